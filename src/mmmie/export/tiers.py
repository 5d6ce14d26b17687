"""Tiers, as ELAN and Praat have them: a speaker's utterances and words side by side in time, none over another.

Utterances of two speakers may overlap, each in the speaker's own tier. Inside one tier an overlap is mended by
shortening the earlier of the two, and said.
"""

from dataclasses import dataclass
from math import inf
from typing import NamedTuple

from mmmie.analysis.result import Result, Utterance
from mmmie.export.plain import milliseconds, one_line, speaker_names


class Span(NamedTuple):
    """Whole milliseconds on the media clock, `start` before `end`."""

    start: int
    end: int


class SpokenWord(NamedTuple):
    span: Span
    word: str


@dataclass(frozen=True)
class Spoken:
    """An utterance as its tier holds it, and its aligned words inside it."""

    span: Span
    utterance: Utterance
    words: tuple[SpokenWord, ...]


@dataclass(frozen=True)
class Tier:
    """All of one speaker; the names are in one line, and no two tiers share one. `notes` say what was mended."""

    name: str
    spoken: tuple[Spoken, ...]
    notes: tuple[str, ...]

    @property
    def sentiment_name(self) -> str:
        return f"{self.name} sentiment"

    @property
    def words_name(self) -> str:
        return f"{self.name} words"


def speaker_tiers(result: Result) -> tuple[Tier, ...]:
    """A tier a speaker who says something, in the order of the result; those of nobody known come last."""
    by_speaker: dict[str | None, list[Utterance]] = {speaker.id: [] for speaker in result.speakers} | {None: []}
    for utterance in result.utterances:
        by_speaker[utterance.speaker].append(utterance)
    names = speaker_names(result)
    taken: set[str] = set()
    tiers = []
    for speaker, spoken in by_speaker.items():
        if spoken:
            tiers.append(_tier(_unlike(taken, names[speaker], f" ({speaker or 'unknown'})"), spoken))
            taken |= {tiers[-1].name, tiers[-1].sentiment_name, tiers[-1].words_name}
    return tuple(tiers)


def _unlike(taken: set[str], name: str, more: str) -> str:
    """Speakers may share a name, or be named like another's tier of words."""
    while {name, f"{name} sentiment", f"{name} words"} & taken:
        name += more
    return name


def _tier(name: str, utterances: list[Utterance]) -> Tier:
    wished = [Span(milliseconds(u.start), milliseconds(u.end)) for u in utterances]
    spans = apart(wished)
    mended = [u.id for u, a, b in zip(utterances, wished, spans, strict=True) if a != b]
    notes = [f"{name}: overlaps inside the tier were mended by changing the times of {', '.join(mended)}"]
    return Tier(
        name,
        tuple(Spoken(span, u, _words(u, span)) for u, span in zip(utterances, spans, strict=True)),
        tuple(notes if mended else ()),
    )


def apart(spans: list[Span]) -> list[Span]:
    """The spans, ordered by start, without overlap: each ends where the next begins at the latest, and lasts 1 ms.

    Where several begin at once, the later ones begin 1 ms after one another.
    """
    starts: list[int] = []
    for span in spans:
        starts.append(max(span.start, starts[-1] + 1) if starts else span.start)
    limits = [*starts[1:], inf]
    return [
        Span(start, max(start + 1, int(min(span.end, limit))))
        for start, span, limit in zip(starts, spans, limits, strict=False)
    ]


def _words(utterance: Utterance, inside: Span) -> tuple[SpokenWord, ...]:
    """The words that have times of their own, cut to the utterance, and left out where they lie outside of it."""
    timed = [(Span(milliseconds(w.start), milliseconds(w.end)), w.word) for w in utterance.words if w.aligned]
    timed = [(span, word) for span, word in timed if span.end > inside.start and span.start < inside.end]
    spans = apart([Span(max(span.start, inside.start), span.end) for span, _ in timed])
    return tuple(
        SpokenWord(Span(span.start, min(span.end, inside.end)), one_line(word))
        for span, (_, word) in zip(spans, timed, strict=True)
        if span.start < inside.end
    )
