"""`report.html`: what was said stays text, all of it is there, and nothing is asked of any server."""

import base64
import hashlib
import re
from html.parser import HTMLParser

import pytest

from example_results import HOSTILE, hostile, long, ordinary, result, silent, unreadable
from mmmie.analysis.result import AudioStream, Media, Result
from mmmie.errors import EvidenceError
from mmmie.report.page import media_url, render, write

MAKERS = [ordinary, hostile, silent, unreadable, long]


class Page(HTMLParser):
    """The elements of a page in order, with their attributes, and the text inside each script and style."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.elements, self.comments, self.texts = [], [], {}
        self._open = None
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        self._open = (tag, dict(attributes).get("id"))
        self.texts.setdefault(self._open, "")

    def handle_endtag(self, tag):
        self._open = None

    def handle_data(self, data):
        if self._open:
            self.texts[self._open] += data

    def handle_comment(self, data):
        self.comments.append(data)

    @property
    def data(self):
        return self.texts["script", "data"]


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
def test_the_whole_result_can_be_read_back(make):
    page = Page(render(make()))
    assert Result.from_json(page.data, "the page") == make()


def test_hostile_text_makes_no_element():
    plain = result(hostile().utterances[:1], media=Media(name="plain.mp4", duration_seconds=2.0))
    page, expected = Page(render(hostile())), Page(render(plain))
    assert [tag for tag, _ in page.elements] == [tag for tag, _ in expected.elements]
    assert page.comments == expected.comments == []
    assert [u.text for u in Result.from_json(page.data, "the page").utterances] == list(HOSTILE)
    assert not re.search("[<>&\u2028\u2029]", page.data)
    assert (
        page.texts["h1", None]
        == page.texts["title", None].removesuffix(": expressed sentiment")
        == hostile().media.name
    )


def test_script_inserts_text_only():
    script = Page(render(ordinary())).texts["script", None]
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|eval|Function\(", script)
    assert not re.search(r"fetch|XMLHttpRequest|WebSocket|EventSource|sendBeacon|import\(|\bopen\(['\"]", script)


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
def test_nothing_is_asked_of_any_server(make):
    page = Page(render(make()))
    links = [value for _, attributes in page.elements for name, value in attributes.items() if name in LINKING]
    assert links
    for link in links:
        assert not re.match(r"\s*(//|[a-z][a-z0-9+.-]*:(?!,$))", link, re.IGNORECASE)  # but `data:,`, the empty icon
    for tag, attributes in page.elements:
        assert not any(name.startswith("on") or name == "style" for name in attributes), tag
        assert tag not in ("iframe", "object", "embed", "base")


LINKING = {"src", "href", "srcset", "poster", "action", "formaction", "data", "background", "cite", "ping"}


def test_our_own_text_names_no_address():
    assert not re.search(r"https?:|url\(|@import|//[a-z]+\.", render(ordinary()).replace("CC BY-NC 4.0", ""))


def test_the_policy_allows_the_inline_files_by_hash_and_the_media_only():
    page = Page(render(ordinary()))
    policy = next(a["content"] for _, a in page.elements if a.get("http-equiv") == "Content-Security-Policy")
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules == {
        "default-src": "'none'",
        "script-src": hash_of(page.texts["script", None]),
        "style-src": hash_of(page.texts["style", None]),
        "media-src": "'self' file:",
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    first = [tag for tag, _ in page.elements].index
    assert first("meta") < first("style") < first("script")


def hash_of(text):
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


@pytest.mark.parametrize(
    ("media", "url"),
    [
        ({"name": "interview.mp4"}, "../interview.mp4"),
        ({"name": "a b#1?x=%20.mp4"}, "../a%20b%231%3Fx%3D%2520.mp4"),
        ({"name": "ü\N{PILE OF POO}.mp4"}, "../%C3%BC%F0%9F%92%A9.mp4"),
        ({"name": "x.mp4", "path": "../../media/x.mp4"}, "../../media/x.mp4"),
        ({"name": "x.mp4", "path": "/data/x.mp4"}, "/data/x.mp4"),
        ({"name": "x.mp4", "path": "//example.org/x.mp4"}, "/example.org/x.mp4"),
        ({"name": "x.mp4", "path": "https://example.org/x.mp4"}, "https%3A//example.org/x.mp4"),
        ({"name": "x.mp4", "path": "javascript:alert(1)"}, "javascript%3Aalert%281%29"),
    ],
)
def test_the_media_is_found_by_a_path_without_scheme_or_host(media, url):
    assert media_url(Media(**media)) == url


def test_the_player_fits_the_media():
    stream = AudioStream(index=0, codec="pcm", rate_hz=8000, channels=1, start_seconds=0)
    players = {
        "video": render(ordinary()),
        "audio": render(result((), media=Media(name="a.wav", duration_seconds=1.0, audio=stream))),
        None: render(unreadable()),
    }
    for kind, text in players.items():
        assert [tag for tag, a in Page(text).elements if a.get("id") == "player"] == ([kind] if kind else [])


def test_controls_have_names_and_point_to_what_is_there():
    page = Page(render(ordinary()))
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in page.elements:
        for name in ("aria-controls", "aria-labelledby", "aria-describedby", "for"):
            assert attributes.get(name, ids[0]) in ids
        assert attributes.get("href", "#main").removeprefix("#") in {"main", "data:,"}
    roles = {attributes["role"] for _, attributes in page.elements if "role" in attributes}
    assert {"tablist", "tab", "tabpanel", "slider", "alert", "status", "search"} <= roles
    assert dict(page.elements)["html"]["lang"] == "en"


def test_every_element_that_the_script_asks_for_is_there():
    page = Page(render(ordinary()))
    ids = {attributes["id"] for _, attributes in page.elements if "id" in attributes}
    asked = set(re.findall(r'(?:byId|getElementById)\("([\w-]+)"\)', page.texts["script", None]))
    assert len(asked) > 10
    assert asked <= ids


def test_the_page_is_the_same_the_next_time_and_written_whole(tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    write(ordinary(), path)
    before = path.read_bytes()
    assert before.decode() == render(ordinary())
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(EvidenceError, match="disk full"):
        write(silent(), path)
    assert [p.read_bytes() for p in tmp_path.iterdir()] == [before]
