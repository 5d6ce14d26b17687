"""SubRip subtitles: `Speaker: text`, and the verdict in brackets on a second line.

The format has no escapes, but players read tags and times out of the text. There an invisible word joiner (U+2060)
parts the characters: after `<` and `{`, inside `-->`, and after the first colon of what looks like a time.
"""

import re
from pathlib import Path

from mmmie.analysis.result import Result, Utterance
from mmmie.evidence.predictions import replacing
from mmmie.export.plain import WORD_JOINER, clock_time, one_line, speaker_names, verdict

_READ_BY_PLAYERS = re.compile(r"<(?=\s*/?\s*[A-Za-z][^>]*>)|\{(?=\\)|--(?=>)|\d:(?=\d{1,2}:\d{1,2}[.,]\d)")


def write(result: Result, path: str | Path) -> tuple[str, ...]:
    """Writes a numbered block an utterance; blocks overlap where speakers do."""
    names = speaker_names(result)
    blocks = [_block(number, u, names[u.speaker]) for number, u in enumerate(result.utterances, start=1)]
    with replacing(path) as temporary:
        temporary.write_text("\n".join(blocks), "utf-8", newline="\n")
    return ()


def as_text(text: str) -> str:
    return _READ_BY_PLAYERS.sub(lambda found: found[0] + WORD_JOINER, one_line(text))


def _block(number: int, utterance: Utterance, speaker: str) -> str:
    text = utterance.text if utterance.speaker is None else f"{speaker}: {utterance.text}"
    times = f"{clock_time(utterance.start, ',')} --> {clock_time(utterance.end, ',')}"
    verdict_line = f"({verdict(utterance)})" if utterance.sentiment else ""
    return "\n".join([str(number), times, *filter(None, [as_text(text), verdict_line]), ""])
