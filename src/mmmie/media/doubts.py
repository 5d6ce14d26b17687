"""Recognised words on trial: are their times plausible, and was what they say heard at all?"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from mmmie.media.speech import Span
from mmmie.media.words import SpokenWord, join_words

MIN_WORD_SECONDS = 0.02
"""One state of the encoder; a word with less was not found in the sound."""
MAX_WORD_SECONDS = 1.5
"""Longer is a drawl or, far more often, a time that ran into a pause or noise; long words get more."""
MAX_SECONDS_PER_CHARACTER = 0.2
REACH_SECONDS = 0.2
"""Word times are this rough: a word that lies no further outside of speech belongs to it."""
MIN_REPEATS = 4
MIN_LOOP_WORDS = 8
"""People say "no no no no" and sing a line three times; a loop of the recogniser goes on until it is stopped."""
MAX_PHRASE_WORDS = 30
LOOP = "a loop of the recogniser"
PHANTOM_CONFIDENCE = 0.6
"""A clearly spoken "thank you" has more."""
PHANTOMS = frozenset(
    {
        "you",
        "thank you",
        "thank you very much",
        "thank you for watching",
        "thanks for watching",
        "thank you so much for watching",
        "please subscribe",
        "bye",
        "bye bye",
        "so",
        "subtitles by the amara org community",
        "vielen dank",
        "untertitel der amara org community",
        "untertitelung des zdf 2020",
        "merci d'avoir regardé cette vidéo",
        "sous titres réalisés par la communauté d'amara org",
        "gracias",
        "gracias por ver el video",
        "ご視聴ありがとうございました",
        "谢谢观看",
        "продолжение следует",
    }
)
"""What Whisper is known to write where there is only noise: the ends of the videos that it learned from."""


def checked_words(
    aligned: Sequence[Mapping[str, Any]], offset: float, spans: Sequence[Span], spaced: bool
) -> tuple[SpokenWord, ...]:
    """Words with times on the media clock, cut to the speech that they lie in.

    A word keeps `aligned` when it lies in speech (or within 0.2 s of it), follows the word before, and lasts neither
    too short nor too long for its letters.

    Args:
        aligned: with `word`, `start`, `end` in seconds of the window, and `probability`; a word that continues the one
            before (punctuation, "self" + "-starter") has no leading space.
        offset: the window's start on the media clock.
        spans: the speech in the window, in order, on the media clock.
        spaced: whether the language parts words by spaces.
    """
    words: list[SpokenWord] = []
    for piece in _joined(aligned, spaced):
        start, end = offset + piece.start, offset + piece.end
        span = max(spans, key=lambda s: min(s.end, end) - max(s.start, start))
        overlap = min(span.end, end) - max(span.start, start)
        last = words[-1].end if words else -math.inf
        if overlap > 0:
            start, end = max(start, span.start), min(end, span.end)
        most = max(MAX_WORD_SECONDS, MAX_SECONDS_PER_CHARACTER * len(piece.word))
        inside = span.start - REACH_SECONDS <= start and end <= span.end + REACH_SECONDS
        plausible = inside and start >= last - 1e-9 and MIN_WORD_SECONDS <= end - start <= most
        start = max(start, last)
        words.append(replace(piece, start=start, end=max(start, end), aligned=plausible))
    return tuple(words)


def _joined(aligned: Sequence[Mapping[str, Any]], spaced: bool) -> list[SpokenWord]:
    words: list[SpokenWord] = []
    for piece in aligned:
        text = str(piece["word"])
        start, end, confidence = float(piece["start"]), float(piece["end"]), float(piece["probability"])
        said = any(c.isalnum() for c in text)
        if not text.strip():
            continue
        if words and (not text.startswith(" ") if spaced else not said):
            before = words[-1]
            both = min(before.confidence or 0.0, confidence) if said else before.confidence
            words[-1] = replace(
                before,
                word=before.word + text.strip(),
                end=max(before.end, end) if said else before.end,
                confidence=both,
            )
        else:
            words.append(SpokenWord(text.strip(), start, end, confidence))
    return words


def is_phantom(words: Sequence[SpokenWord]) -> bool:
    """Whether this is nothing but a phrase that Whisper writes on noise, and it is not sure of it either."""
    text = " ".join("".join(c if c.isalnum() or c == "'" else " " for c in w.word) for w in words).lower()
    if not any(c.isalnum() for c in text):
        return True
    mean = sum(w.confidence or 0.0 for w in words) / len(words)
    return " ".join(text.split()) in PHANTOMS and mean < PHANTOM_CONFIDENCE


def without_loops(words: Sequence[SpokenWord]) -> tuple[tuple[SpokenWord, ...], list[str]]:
    """The words with each loop of repetitions reduced to its first turn, and a note a loop."""
    said = ["".join(c for c in w.word.lower() if c.isalnum()) for w in words]
    kept: list[SpokenWord] = []
    notes = []
    i = 0
    while i < len(words):
        length, turns = _loop_at(said, i)
        if turns:
            first, last = words[i], words[i + length * turns - 1]
            phrase = join_words(words[i : i + length])
            notes.append(
                f"'{phrase[:60]}' was recognised {turns} times in a row from {first.start:.2f} to {last.end:.2f} s: "
                f"{LOOP}, of which one is kept"
            )
        kept.extend(words[i : i + length])
        i += length * max(1, turns)
    return tuple(kept), notes


def _loop_at(said: Sequence[str], i: int) -> tuple[int, int]:
    """(words of the phrase, turns) of the loop that begins at `i`; (1, 0) where none does."""
    for length in range(1, min(MAX_PHRASE_WORDS, (len(said) - i) // MIN_REPEATS) + 1):
        phrase = said[i : i + length]
        turns = 1
        while said[i + turns * length : i + (turns + 1) * length] == phrase:
            turns += 1
        if turns >= MIN_REPEATS and turns * length >= MIN_LOOP_WORDS:
            return length, turns
    return 1, 0
