"use strict";
(() => {
  const result = JSON.parse(document.getElementById("data").textContent);
  const utterances = result.utterances;
  const duration = Math.max(result.media.duration_seconds || 0, ...utterances.slice(-50).map((u) => u.end), 0.001);
  const names = new Map(result.speakers.map((s) => [s.id, s.name]));
  const shownAs = { text: "text", audio: "voice", vision: "face" };
  const byId = (id) => document.getElementById(id);
  const player = byId("player");

  // Children that are strings become text nodes: nothing that was said is ever parsed.
  function make(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children.filter((child) => child !== null));
    return element;
  }
  function at(element, left, width) {
    element.style.left = `${left}%`;
    if (width !== undefined) element.style.width = `${width}%`;
    return element;
  }
  function clock(seconds) {
    const whole = Math.floor(seconds);
    const two = (n) => String(n).padStart(2, "0");
    const hours = Math.floor(whole / 3600);
    const rest = `${hours ? two(Math.floor(whole / 60) % 60) : Math.floor(whole / 60)}:${two(whole % 60)}`;
    return hours ? `${hours}:${rest}` : rest;
  }
  const signed = (value) => (value < 0 ? "−" : "+") + Math.abs(value).toFixed(2);
  const percent = (share) => (share === null ? "–" : `${Math.round(100 * share)} %`);
  const nameOf = (u) => (u.speaker === null ? "?" : names.get(u.speaker));
  const labelOf = (u) => (!u.sentiment || u.sentiment.abstain ? "review" : u.sentiment.label);
  function verdictOf(u) {
    if (!u.sentiment) return "no verdict";
    const { score, abstain, label, interval } = u.sentiment;
    return `${signed(score)} ${abstain ? "abstains" : label} [${interval.map(signed).join(", ")}]`;
  }
  function place(score, [least, most]) {
    return (100 * (score - least)) / (most - least);
  }
  function paint(element, u) {
    const s = u.sentiment;
    element.dataset.tone = s ? Math.round((place(s.score, s.range) - 50) * 0.06) : "none";
    element.classList.toggle("hatched", Boolean(s && s.abstain));
    return element;
  }
  const swatch = (tone, more = "") => make("span", { class: `swatch ${more}`, "data-tone": tone });

  // Header
  const spoken = `${utterances.length} utterance${utterances.length === 1 ? "" : "s"}`;
  const toReview = utterances.filter((u) => labelOf(u) === "review").length;
  byId("facts").textContent = [
    result.media.duration_seconds === null ? null : clock(result.media.duration_seconds),
    utterances.length ? spoken : result.status === "complete" ? "no speech found" : null,
    result.speakers.length ? `${result.speakers.length} speaker${result.speakers.length === 1 ? "" : "s"}` : null,
    toReview ? `${toReview} to review` : null,
    result.model ? `model ${result.model.name}` : null,
  ].filter(Boolean).join(" · ");
  for (const stage of result.stages.filter((s) => s.status === "failed")) {
    byId("problems").append(make("p", {}, `${result.status}: the stage ${stage.stage} failed. ${stage.cause} ${stage.repair}`));
    byId("problems").hidden = false;
  }

  // Band: a lane a speaker, a piece an utterance, as wide as it is long
  const band = byId("band");
  const pieces = [];
  const playheads = [];
  const lanes = [...result.speakers.map((s) => s.id), null].filter((id) => utterances.some((u) => u.speaker === id));
  const tracks = new Map(lanes.map((id) => {
    const playhead = at(make("div", { class: "playhead" }), 0);
    const track = make("div", { class: "track" }, playhead);
    playheads.push(playhead);
    band.append(make("div", { class: "lane", "aria-hidden": "true" }, make("span", { class: "lane-name" }, id === null ? "?" : names.get(id)), track));
    return [id, track];
  }));
  utterances.forEach((u, index) => {
    const piece = at(make("div", { class: "piece", "data-index": index }), (100 * u.start) / duration, (100 * (u.end - u.start)) / duration);
    pieces.push(paint(piece, u));
    tracks.get(u.speaker).append(piece);
  });
  for (const [id, track] of tracks) track.append(playheads[lanes.indexOf(id)]); // above its pieces
  band.hidden = utterances.length === 0;
  if (utterances.length) {
    byId("legend").append(
      swatch(-3), "negative", swatch(0), "neutral", swatch(3), "positive",
      swatch(0, "hatched"), "abstains", swatch("none"), "no verdict, gaps are silence",
    );
  }

  let chosen = -1;
  function choose(index) {
    if (chosen >= 0) pieces[chosen].classList.remove("chosen");
    chosen = index;
    pieces[index].classList.add("chosen");
    band.setAttribute("aria-valuenow", index + 1);
    band.setAttribute("aria-valuetext", describe(utterances[index]));
    byId("hovered").textContent = describe(utterances[index]);
  }
  const describe = (u) => `${clock(u.start)} ${nameOf(u)}: ${u.text} ${verdictOf(u)}`;
  function seek(seconds, play) {
    if (player) {
      player.currentTime = seconds;
      if (play) Promise.resolve(player.play()).catch(() => {});
    }
    mark(seconds);
    try { history.replaceState(null, "", `#t=${seconds}`); } catch { /* some browsers forbid it on files */ }
  }
  function play(index) {
    choose(index);
    seek(utterances[index].start, true);
  }
  const pieceUnder = (event) => event.target.closest(".piece");
  band.addEventListener("pointerover", (event) => {
    const piece = pieceUnder(event);
    if (piece) byId("hovered").textContent = describe(utterances[piece.dataset.index]);
  });
  band.addEventListener("click", (event) => {
    const piece = pieceUnder(event);
    const track = event.target.closest(".track");
    if (piece) play(Number(piece.dataset.index));
    else if (track) {
      const box = track.getBoundingClientRect();
      seek(Number((((event.clientX - box.left) / box.width) * duration).toFixed(2)), true);
    }
  });
  band.addEventListener("keydown", (event) => {
    const last = utterances.length - 1;
    const step = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageDown: -10, PageUp: 10 }[event.key];
    if (step) choose(Math.min(last, Math.max(0, chosen + step)));
    else if (event.key === "Home") choose(0);
    else if (event.key === "End") choose(last);
    else if (event.key === "Enter" || event.key === " ") play(Math.max(0, chosen));
    else return;
    event.preventDefault();
  });
  band.setAttribute("aria-valuemin", 1);
  band.setAttribute("aria-valuemax", Math.max(1, utterances.length));
  band.setAttribute("aria-valuenow", 1);
  if (utterances.length) band.setAttribute("aria-valuetext", describe(utterances[0]));

  // Transcript
  let largest = 0.5;
  for (const u of utterances) for (const r of Object.values(u.modalities)) largest = Math.max(largest, Math.abs(r.contribution || 0));
  function contributions(u) {
    const rows = make("div", { class: "parts" });
    for (const [modality, label] of Object.entries(shownAs)) {
      const reading = u.modalities[modality];
      if (!reading) continue;
      rows.append(make("span", {}, label));
      if (reading.status !== "ok" || reading.contribution === null) {
        const alone = reading.alone === null ? "" : ` (alone ${signed(reading.alone)})`;
        rows.append(make("span", { class: "reason" }, `${reading.status}: ${reading.reason || "no contribution"}${alone}`));
        continue;
      }
      const size = (50 * Math.abs(reading.contribution)) / largest;
      const negative = reading.contribution < 0;
      const bar = at(make("div", { "data-tone": negative ? -2 : 2 }), negative ? 50 - size : 50, size);
      rows.append(make("div", { class: "bar", "aria-hidden": "true" }, bar), make("span", { class: "number" }, signed(reading.contribution)));
    }
    return rows;
  }
  function measures(u) {
    const say = (defined, values) => defined.filter((m) => m.name in values).map((m) => `${m.name} ${values[m.name]}${m.unit ? ` ${m.unit}` : ""}`);
    const lines = [...say(result.voice_measures, u.voice), ...say(result.face_measures, u.face)];
    if (u.context.without !== null) lines.push(`score without its ${u.context.used.length} neighbours ${signed(u.context.without)}`);
    return lines.length ? make("details", {}, make("summary", {}, "more"), lines.join("; ")) : null;
  }
  function item(u, index) {
    const remarks = [...u.flags, ...(u.edited ? ["edited"] : []), ...(u.sentiment && u.sentiment.abstain_reason ? [`abstains: ${u.sentiment.abstain_reason}`] : [])];
    const left = make("div", {},
      make("button", { class: "seek", type: "button", "aria-label": `Play from ${clock(u.start)}` }, clock(u.start)),
      make("span", { class: "who" }, nameOf(u)),
      make("p", { class: "said", dir: "auto" }, u.text),
      remarks.length ? make("p", { class: "hint" }, remarks.join("; ")) : null,
      measures(u));
    const right = make("div", {}, make("p", { class: "verdict" }, paint(make("span", { class: "swatch", "aria-hidden": "true" }), u), verdictOf(u)));
    if (u.sentiment) {
      const { score, interval, range } = u.sentiment;
      const [low, high] = interval.map((end) => place(end, range));
      right.append(make("div", { class: "scale", "aria-hidden": "true" },
        at(make("div", { class: "interval" }), low, high - low), at(make("div", { class: "dot" }), place(score, range))));
    }
    right.append(contributions(u));
    return make("li", { "data-index": index }, left, right);
  }
  const items = utterances.map(item);
  byId("transcript").append(...items);
  byId("transcript").addEventListener("click", (event) => {
    if (!event.target.closest(".seek, .said") || String(getSelection())) return;
    play(Number(event.target.closest("li").dataset.index));
  });

  // Filter and search
  for (const id of lanes) byId("speaker").append(make("option", { value: id === null ? "" : id }, id === null ? "?" : names.get(id)));
  const searched = utterances.map((u) => u.text.toLowerCase());
  function filter() {
    const [show, speaker, words] = [byId("show").value, byId("speaker").value, byId("search").value.trim().toLowerCase()];
    let found = 0;
    utterances.forEach((u, index) => {
      const match = (show === "all" || labelOf(u) === show)
        && (speaker === "all" || (u.speaker || "") === speaker) && searched[index].includes(words);
      items[index].hidden = !match;
      pieces[index].classList.toggle("off", !match);
      found += match;
    });
    byId("found").textContent = `${found} of ${spoken}`;
  }
  let waiting;
  byId("filters").addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(filter, 120); });
  byId("filters").addEventListener("submit", (event) => { event.preventDefault(); filter(); });
  filter();

  // Playback
  let current = -1;
  function spokenAt(seconds) {
    let low = 0, high = utterances.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (utterances[middle].start <= seconds) low = middle + 1; else high = middle;
    }
    for (let index = low - 1; index >= Math.max(0, low - 5); index -= 1) if (utterances[index].end > seconds) return index;
    return -1;
  }
  function mark(seconds) {
    for (const playhead of playheads) at(playhead, (100 * seconds) / duration);
    const now = spokenAt(seconds);
    if (now === current) return;
    if (current >= 0) items[current].removeAttribute("aria-current");
    current = now;
    if (now < 0) return;
    items[now].setAttribute("aria-current", "true");
    if (byId("follow").checked && !items[now].hidden) items[now].scrollIntoView({ block: "nearest" });
  }
  if (player) {
    player.addEventListener("timeupdate", () => mark(player.currentTime));
    const missing = () => {
      player.hidden = true;
      byId("no-media").textContent = `The recording ${result.media.name} was not found, or this browser cannot play it. The transcript works without it.`;
      byId("no-media").hidden = false;
    };
    player.addEventListener("error", missing);
    if (player.error) missing(); // it failed before this script ran
  }
  function followLink() {
    const time = /^#t=(\d+(?:\.\d+)?)$/.exec(location.hash);
    if (!time) return;
    const seconds = Math.min(Number(time[1]), duration);
    const go = () => seek(seconds, false);
    if (player && player.readyState === 0) player.addEventListener("loadedmetadata", go, { once: true });
    go();
    if (current >= 0) choose(current);
  }
  addEventListener("hashchange", followLink);

  // Summary
  function table(caption, heads, rows) {
    return make("div", { class: "wide" }, make("table", {}, make("caption", { class: "sr-only" }, caption),
      make("thead", {}, make("tr", {}, ...heads.map((head) => make("th", { scope: "col" }, head)))),
      make("tbody", {}, ...rows.map(([first, ...cells]) =>
        make("tr", {}, make("th", { scope: "row" }, first), ...cells.map((cell) => make("td", {}, String(cell))))))));
  }
  function meanOf(some) {
    const rated = some.filter((u) => u.sentiment);
    const weight = rated.reduce((sum, u) => sum + u.end - u.start, 0);
    if (!weight) return "–";
    return `${signed(rated.reduce((sum, u) => sum + (u.end - u.start) * u.sentiment.score, 0) / weight)} (${rated.length})`;
  }
  const quarters = [0, 1, 2, 3].map((q) => utterances.filter((u) => Math.min(3, Math.floor((2 * (u.start + u.end)) / duration)) === q));
  const heading = (text) => make("h2", {}, text);
  byId("view-summary").append(
    heading("By speaker"),
    table("By speaker", ["Speaker", "Speech", "Face linked", "Mean", "Interval", "Positive", "Neutral", "Negative", "Abstained"],
      result.speakers.map((s) => [s.name, percent(s.speech_share), percent(s.face_share),
        s.sentiment ? signed(s.sentiment.mean) : "–",
        s.sentiment && s.sentiment.interval ? `[${s.sentiment.interval.map(signed).join(", ")}]` : "–",
        s.counts.positive, s.counts.neutral, s.counts.negative, s.counts.abstained])),
    heading("By quarter of the recording"),
    table("By quarter of the recording", ["Quarter", "All", ...lanes.map((id) => (id === null ? "?" : names.get(id)))],
      quarters.map((some, q) => [`${clock((q * duration) / 4)} to ${clock(((q + 1) * duration) / 4)}`, meanOf(some),
        ...lanes.map((id) => meanOf(some.filter((u) => u.speaker === id)))])),
    make("p", { class: "hint" }, "Mean score weighted by length, over utterances with a verdict, abstained ones too (their number in brackets); an utterance belongs to the quarter that holds its middle."),
    ...result.limits.map((limit) => make("p", { class: "hint" }, limit)));

  // About
  const list = (entries) => make("dl", {}, ...entries.flatMap(([term, text]) => [make("dt", {}, term), make("dd", {}, text)]));
  const about = byId("view-about");
  if (result.model) {
    const weights = Object.entries(result.model.weights).map(([m, w]) => `${shownAs[m]} ${w}${w ? "" : " (shown, not counted)"}`).join(", ");
    about.append(heading("Model"), list([["Name", result.model.name], ["Card", result.model.card], ["Licence", result.model.licence],
      ...(weights ? [["Weights", weights]] : [])]));
  }
  about.append(heading("What the numbers mean"), list(Object.entries(result.meanings)),
    heading("How this was made"),
    table("Stages", ["Stage", "Status", "Seconds"], result.stages.map((s) => [s.stage, s.status, s.seconds.toFixed(1)])));
  if (result.notes.length || result.media.notes.length) {
    about.append(heading("Notes"), make("ul", {}, ...[...result.media.notes, ...result.notes].map((note) => make("li", {}, note))));
  }
  about.append(heading("Media, settings, versions"),
    make("pre", { tabindex: "0" }, JSON.stringify({ media: result.media, seed: result.seed, language: result.language, settings: result.settings, versions: result.versions }, null, 2)));

  // Tabs
  const tabs = [...document.querySelectorAll('[role="tab"]')];
  function open(tab) {
    for (const each of tabs) {
      const selected = each === tab;
      each.setAttribute("aria-selected", String(selected));
      each.tabIndex = selected ? 0 : -1;
      byId(each.getAttribute("aria-controls")).hidden = !selected;
    }
  }
  tabs.forEach((tab, index) => {
    tab.addEventListener("click", () => open(tab));
    tab.addEventListener("keydown", (event) => {
      const to = { ArrowRight: index + 1, ArrowLeft: index - 1 + tabs.length, Home: 0, End: tabs.length - 1 }[event.key];
      if (to === undefined) return;
      open(tabs[to % tabs.length]);
      tabs[to % tabs.length].focus();
      event.preventDefault();
    });
  });

  followLink();
})();
