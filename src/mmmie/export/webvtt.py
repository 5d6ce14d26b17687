"""WebVTT: subtitles for the browser, coloured by verdict, with the speaker as voice and the verdict as second line.

What is said is escaped (`&`, `<`, `>`, so `-->` too), and a line end in it is a space: an empty line would end the cue.
Source: W3C, WebVTT: The Web Video Text Tracks Format, section 4.
"""

from pathlib import Path

from mmmie.analysis.result import Result, Utterance
from mmmie.evidence.predictions import replacing
from mmmie.export.plain import clock_time, one_line, verdict, voices

HEAD = """WEBVTT

NOTE
Last line of a cue: expressed sentiment as score, label and interval; it is not spoken.
The name of a cue is the id of its utterance in result.json.

STYLE
::cue(.negative) { color: #ffb07c; }
::cue(.positive) { color: #8fd3ff; }
::cue(.neutral) { color: #ffffff; }
::cue(.abstains) { color: #d0d0d0; }
"""


def write(result: Result, path: str | Path) -> tuple[str, ...]:
    """Writes a cue an utterance; cues overlap where speakers do."""
    names = voices(result)
    cues = [_cue(utterance, names.get(utterance.speaker)) for utterance in result.utterances]
    with replacing(path) as temporary:
        temporary.write_text("\n".join([HEAD, *cues]), "utf-8", newline="\n")
    return ()


def escape(text: str) -> str:
    return one_line(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _cue(utterance: Utterance, speaker: str | None) -> str:
    text = escape(utterance.text)
    if utterance.sentiment:
        text = f"<c.{'abstains' if utterance.sentiment.abstain else utterance.sentiment.label}>{text}</c>"
    if speaker is not None:
        text = f"<v {escape(speaker)}>{text}</v>"
    times = f"{clock_time(utterance.start, '.')} --> {clock_time(utterance.end, '.')}"
    return "\n".join([utterance.id, times, *filter(None, [text, verdict(utterance)]), ""])
