// `node read_page.js report.html` runs the page's own script over a bare document, and prints as JSON, by id, what
// each element then reads. It stands in for a browser where there is none: there is no layout, and nobody clicks.
"use strict";
const fs = require("node:fs");
const vm = require("node:vm");
const html = fs.readFileSync(process.argv[2], "utf8");

class Element {
  constructor(attributes = {}) {
    this.attributes = attributes;
    this.children = [];
    this.style = {};
    this.dataset = {};
    this.classList = { add() {}, remove() {}, toggle() {} };
  }
  setAttribute(name, value) { this.attributes[name] = String(value); }
  getAttribute(name) { return this.attributes[name]; }
  removeAttribute(name) { delete this.attributes[name]; }
  append(...children) { this.children.push(...children); }
  addEventListener() {}
  get textContent() { return this.children.map((c) => (c instanceof Element ? c.textContent : c)).join("\n"); }
  set textContent(text) { this.children = [text]; }
}

const elements = new Map();
for (const [tag] of html.replace(/(<script[^>]*>)[^]*?(?=<\/script>)/g, "$1").matchAll(/<[a-z][^>]*>/g)) {
  const attributes = Object.fromEntries([...tag.matchAll(/([\w-]+)="([^"]*)"/g)].map(([, name, value]) => [name, value]));
  if (attributes.id) elements.set(attributes.id, new Element(attributes));
}
for (const id of ["show", "speaker"]) elements.get(id).value = "all";
elements.get("search").value = "";
elements.get("data").textContent = /id="data">([^]*?)<\/script>/.exec(html)[1];
const document = {
  getElementById: (id) => elements.get(id) ?? null,
  createElement: () => new Element(),
  querySelectorAll: (query) => [...elements.values()].filter((e) => query === '[role="tab"]' && e.attributes.role === "tab"),
};
vm.runInNewContext(/<script>([^]*?)<\/script>/.exec(html)[1], { document, location: { hash: "" }, addEventListener() {} });
process.stdout.write(JSON.stringify(Object.fromEntries([...elements].map(([id, e]) => [id, e.textContent]))));
