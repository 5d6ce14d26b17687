"""Text and verdicts in the one line that subtitles and annotations have room for."""

import re

from mmmie.analysis.result import Result, Utterance
from mmmie.media.transcript_formats import EVERYBODY

_NO_CHARACTER = re.compile(r"[\x00-\x1f\x7f-\x9f\ufffe\uffff]")
"""Control characters and noncharacters: XML forbids most of them, and none of them is text."""

WORD_JOINER = "\N{WORD JOINER}"
"""Invisible and without width: it parts two characters that a reader would otherwise take for markup."""


def one_line(text: str) -> str:
    """Runs of white space and line ends of any kind as one space; what is no character as U+FFFD."""
    return _NO_CHARACTER.sub("\N{REPLACEMENT CHARACTER}", " ".join(text.split()))


def verdict(utterance: Utterance) -> str:
    """As `-1.40 negative [-2.10, -0.50]`; `abstains` in place of the label where it does; empty without a verdict."""
    sentiment = utterance.sentiment
    if sentiment is None:
        return ""
    word = "abstains" if sentiment.abstain else sentiment.label
    return f"{sentiment.score:+.2f} {word} [{sentiment.interval[0]:+.2f}, {sentiment.interval[1]:+.2f}]"


def speaker_names(result: Result) -> dict[str | None, str]:
    """What each speaker is shown as, by id, in one line; `?` for None."""
    return {None: "?", **{speaker.id: one_line(speaker.name) or speaker.id for speaker in result.speakers}}


def voices(result: Result) -> dict[str | None, str]:
    """The names of those whose voices are told apart, by id: what a subtitle puts before what they say."""
    return {i: name for i, name in speaker_names(result).items() if i not in (None, EVERYBODY)}


def milliseconds(seconds: float) -> int:
    return round(1000 * seconds)


def clock_time(seconds: float, mark: str) -> str:
    """83.2 as `00:01:23.200`, with `mark` before the milliseconds."""
    whole, millis = divmod(milliseconds(seconds), 1000)
    minutes, second = divmod(whole, 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours:02d}:{minute:02d}:{second:02d}{mark}{millis:03d}"
