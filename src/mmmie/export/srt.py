"""SubRip subtitles: `Speaker: text`, and the verdict in brackets on a second line.

A word joiner behind the speaker's colon, and the shape of the verdict, are what `media.transcript_formats` knows them
by when the file comes back as a transcript.

The format has no escapes, but players read tags, entities and times out of the text. There an invisible word joiner
(U+2060) parts the characters: after `<`, `{` and `&`, inside `-->`, and after
the first colon of what looks like a time.
"""

import re
from pathlib import Path

from mmmie.analysis.result import Result, Utterance
from mmmie.evidence.predictions import replacing
from mmmie.export.plain import WORD_JOINER, clock_time, one_line, verdict, voices

_READ_BY_PLAYERS = re.compile(r"<(?=\s*/?\s*[A-Za-z][^>]*>)|\{(?=\\)|--(?=>)|\d:(?=\d{1,2}:\d{1,2}[.,]\d)|&(?=#?\w+;)")


def write(result: Result, path: str | Path) -> tuple[str, ...]:
    """Writes a numbered block an utterance; blocks overlap where speakers do."""
    names = voices(result)
    blocks = [_block(number, u, names.get(u.speaker)) for number, u in enumerate(result.utterances, start=1)]
    with replacing(path) as temporary:
        temporary.write_text("\n".join(blocks), "utf-8", newline="\n")
    return ()


def as_text(text: str) -> str:
    unmarked = one_line(text).replace(WORD_JOINER, "")
    return _READ_BY_PLAYERS.sub(lambda found: found[0] + WORD_JOINER, unmarked)


def _block(number: int, utterance: Utterance, speaker: str | None) -> str:
    said = as_text(utterance.text)
    text = said if speaker is None else f"{as_text(speaker)}:{WORD_JOINER} {said}"
    times = f"{clock_time(utterance.start, ',')} --> {clock_time(utterance.end, ',')}"
    verdict_line = f"({verdict(utterance)})" if utterance.sentiment else ""
    return "\n".join([str(number), times, *filter(None, [text.rstrip(), verdict_line]), ""])
