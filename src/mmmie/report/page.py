"""`report.html`: one self-contained file, opened from disk, that asks nothing of any server.

`page.html` is the frame, `page.css` and `page.js` go into it as they are, the result travels as JSON inside. What a
stranger said reaches the page as JSON strings and from there as text nodes only, so that it can never become markup;
and a content security policy allows the two inline files by their hashes, the media beside the page, and nothing else.
"""

import base64
import hashlib
import html
import re
from importlib import resources
from pathlib import Path
from urllib.parse import quote

from mmmie.analysis.result import Media, Result
from mmmie.evidence.predictions import replacing

REPORT_FILE = "report.html"

_BREAKS_OUT = str.maketrans({c: f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"})
"""In JSON these stand inside strings only, where an escape says the same; without `<` no tag and no comment begins."""


def write(result: Result, path: str | Path) -> None:
    """Writes the page, whole or not at all.

    Raises:
        EvidenceError: the file cannot be written.
    """
    with replacing(path) as temporary:
        temporary.write_text(render(result), "utf-8", newline="\n")


def render(result: Result) -> str:
    """The page as HTML, with all of `result.json` in its element `data`."""
    frame, style, script = (_packaged(name) for name in ("page.html", "page.css", "page.js"))
    parts = {
        "policy": _policy(style, script),
        "title": html.escape(result.media.name),
        "style": style,
        "player": _player(result.media),
        "data": result.to_json().translate(_BREAKS_OUT),
        "script": script,
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], frame)


def media_url(media: Media) -> str:
    """Where the page finds the media: relative where the path is, percent-encoded, never with a scheme or a host."""
    path = media.path or f"../{media.name}"
    return quote(f"/{path.lstrip('/')}" if path.startswith("/") else path)


def _packaged(name: str) -> str:
    return resources.files("mmmie.report").joinpath(name).read_text("utf-8")


def _policy(style: str, script: str) -> str:
    def allowed(text: str) -> str:
        return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

    return (
        f"default-src 'none'; script-src {allowed(script)}; style-src {allowed(style)}; media-src 'self' file:; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def _player(media: Media) -> str:
    url = html.escape(media_url(media))
    if media.video is not None:
        return f'<video id="player" controls playsinline preload="metadata" src="{url}"></video>'
    return f'<audio id="player" controls preload="metadata" src="{url}"></audio>' if media.audio is not None else ""
