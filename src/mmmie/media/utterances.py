"""Utterances, the unit of a verdict: words cut at sentence ends and pauses, 1 to 15 s, one speaker each.

segments + turns -> words with speakers -> runs of one speaker -> sentences -> short ones joined, long ones parted
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Protocol

import numpy as np

from mmmie.media.transcripts import Transcript
from mmmie.media.words import SpokenWord, join_words, spread_words

MIN_SECONDS = 1.0
"""Shorter ones join a neighbour; too little is said in them to judge."""
MAX_SECONDS = 15.0
PAUSE_SECONDS = 0.7
"""A pause like this ends an utterance, sentence or not ..."""
LONG_PAUSE_SECONDS = 1.5
"""... and over one like this not even a short one is joined."""
CLAUSE_SECONDS = 0.3
"""What a comma counts, beside a pause, where a long sentence is parted."""
CROSSTALK_SECONDS = 0.1
"""Less overlap than this is how rough times are."""
NEIGHBOURS = 20
"""Utterances further away in order cannot overlap, as none lasts long."""
LEAST_SECONDS = 0.02
"""An utterance has a length, however little its words say of it."""

FAST_CHARACTERS_PER_SECOND = 22.0
"""Some 4.5 English words a second, where usual speech has 2.5 to 3; words run together and are often misheard."""
FAST_UNSPACED_PER_SECOND = 8.0
"""The same for scripts in which a character is a syllable or a word."""
UNSURE_CONFIDENCE = 0.5

_SENTENCE_END = re.compile(r"[.!?…。！？؟।]+[\"'”’»)\]]*$")
_CLAUSE_END = re.compile(r"[,;:،、，；：–—]+[\"'”’»)\]]*$")
_NO_SENTENCE_END = re.compile(
    r"(?:\b(?:mr|mrs|ms|dr|prof|st|vs|etc|e\.g|i\.e|no|jr|sr|approx)|\b[^\W\d_])\.$", re.IGNORECASE
)


class SpeakerTurn(Protocol):
    """What is needed of a turn: who speaks from when to when, in seconds on the media clock."""

    @property
    def start(self) -> float: ...
    @property
    def end(self) -> float: ...
    @property
    def speaker(self) -> str: ...


@dataclass(frozen=True)
class Spoken:
    """One utterance: what one speaker says in one go.

    Times are seconds on the media clock. `flags` may hold "short" and "long" (outside of 1 to 15 s), "fast speech",
    "unaligned" (most word times are estimates), "unsure words" (the recogniser's mean confidence is under .5) and
    "crosstalk" (another speaker's utterance overlaps).
    """

    id: str
    """"u0000", "u0001", ... in order of their starts."""
    start: float
    end: float
    text: str
    words: tuple[SpokenWord, ...]
    speaker: str | None = None
    flags: tuple[str, ...] = ()


def into_utterances(transcript: Transcript, turns: Sequence[SpeakerTurn] = ()) -> tuple[Spoken, ...]:
    """Cuts a transcript into utterances, in order of their starts.

    Sentences may run over several segments (cues of a subtitle, windows of a recogniser). A segment's own speaker
    counts; where it has none, each word belongs to the turn that it shares most time with, or the nearest one.
    """
    speaker_of = _speaker_of(turns)
    words = [
        (word, segment.speaker or speaker_of(word))
        for segment in transcript.segments
        for word in segment.words or spread_words(segment.text, segment.start, segment.end)
    ]
    pieces = [
        (piece, speaker)
        for speaker, run in groupby(words, key=lambda pair: pair[1])
        for piece in _cut([word for word, _ in run])
    ]
    spoken = [(*_interval(piece), piece, speaker) for piece, speaker in pieces]
    spoken.sort(key=lambda item: item[:2])
    utterances = []
    for i, (start, end, piece, speaker) in enumerate(spoken):
        crosstalk = any(
            other != speaker and min(end, last) - max(start, first) > CROSSTALK_SECONDS
            for first, last, _, other in spoken[max(0, i - NEIGHBOURS) : i + NEIGHBOURS]
        )
        flags = (*_flags(piece, end - start), *(("crosstalk",) if crosstalk else ()))
        utterances.append(Spoken(f"u{i:04d}", start, end, join_words(piece), tuple(piece), speaker, flags))
    return tuple(utterances)


def _speaker_of(turns: Sequence[SpeakerTurn]) -> Callable[[SpokenWord], str | None]:
    """Overlap counts as positive, distance as negative: the greatest is the most overlap, or the nearest."""
    if not turns:
        return lambda _: None
    starts, ends = np.array([t.start for t in turns]), np.array([t.end for t in turns])
    return lambda word: turns[int(np.argmax(np.minimum(ends, word.end) - np.maximum(starts, word.start)))].speaker


def _cut(words: list[SpokenWord]) -> list[list[SpokenWord]]:
    """The words of one speaker, in order, as utterances."""
    sentences: list[list[SpokenWord]] = [[]]
    for word in words:
        last = sentences[-1][-1:]
        if last and (_ends_sentence(last[0].word) or word.start - last[0].end >= PAUSE_SECONDS):
            sentences.append([])
        sentences[-1].append(word)
    return [part for joined in _joined(sentences) for part in _parted(joined)]


def _ends_sentence(word: str) -> bool:
    return bool(_SENTENCE_END.search(word)) and not _NO_SENTENCE_END.search(word)


def _joined(sentences: list[list[SpokenWord]]) -> list[list[SpokenWord]]:
    """Each that is too short joined to the neighbour that it is nearer to, where that does not make it too long."""
    joined = [s for s in sentences if s]
    i = 0
    while i < len(joined):
        if _seconds(joined[i]) >= MIN_SECONDS:
            i += 1
            continue
        neighbours = [
            (joined[b][0].start - joined[a][-1].end, a)
            for a, b in ((i - 1, i), (i, i + 1))
            if a >= 0 and b < len(joined) and _seconds([joined[a][0], joined[b][-1]]) <= MAX_SECONDS
        ]
        gap, a = min(neighbours, default=(LONG_PAUSE_SECONDS, i))
        if gap < LONG_PAUSE_SECONDS:
            joined[a : a + 2] = [joined[a] + joined[a + 1]]
            i = a
        else:
            i += 1
    return joined


def _parted(words: list[SpokenWord]) -> list[list[SpokenWord]]:
    """Parted where it is too long: at a long pause or a comma, rather near the middle."""
    if _seconds(words) <= MAX_SECONDS or len(words) < 2:
        return [words]
    middle = (words[0].start + words[-1].end) / 2
    half = _seconds(words) / 2

    def merit(i: int) -> float:
        before, after = words[i - 1], words[i]
        clause = CLAUSE_SECONDS if _CLAUSE_END.search(before.word) else 0.0
        off_middle = abs((before.end + after.start) / 2 - middle) / half
        return max(0.0, after.start - before.end) + clause - off_middle

    anywhere = range(1, len(words))
    cuts = [i for i in anywhere if min(_seconds(words[:i]), _seconds(words[i:])) >= MIN_SECONDS]
    cut = max(cuts or anywhere, key=merit)
    return _parted(words[:cut]) + _parted(words[cut:])


def _seconds(words: Sequence[SpokenWord]) -> float:
    return words[-1].end - words[0].start


def _interval(words: Sequence[SpokenWord]) -> tuple[float, float]:
    start, end = words[0].start, max(word.end for word in words)
    if end - start < LEAST_SECONDS:
        start = max(0.0, end - LEAST_SECONDS)
        end = max(end, start + LEAST_SECONDS)
    return start, end


def _flags(words: Sequence[SpokenWord], seconds: float) -> tuple[str, ...]:
    characters = sum(len(word.word) for word in words)
    unspaced = characters < 2 * len(words)  # words of one character: Han, Kana, Thai
    most = FAST_UNSPACED_PER_SECOND if unspaced and len(words) > 3 else FAST_CHARACTERS_PER_SECOND
    confidences = [word.confidence for word in words if word.confidence is not None]
    found = {
        "short": seconds < MIN_SECONDS,
        "long": seconds > MAX_SECONDS,
        "fast speech": len(words) > 3 and characters / seconds > most,
        "unaligned": 2 * sum(word.aligned for word in words) < len(words),
        "unsure words": bool(confidences) and sum(confidences) / len(confidences) < UNSURE_CONFIDENCE,
    }
    return tuple(flag for flag, holds in found.items() if holds)
