"""Words with their times, and how text parts into words and words make text, with spaces or without."""

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class SpokenWord:
    """One word on the media clock, in seconds; where a script has no spaces, one character.

    `aligned` is False where the time is only an estimate: not plausible, or spread over its utterance by characters.
    `confidence` is the recogniser's probability, in [0, 1].
    """

    word: str
    start: float
    end: float
    confidence: float | None = None
    aligned: bool = True


def spread_words(text: str, start: float, end: float) -> tuple[SpokenWord, ...]:
    """The words of `text` over [start, end] seconds in proportion to their characters, `aligned` False."""
    words = [word for part in text.split() for word in _parted(part)]
    characters = sum(map(len, words))
    spread = []
    done = 0
    for word in words:
        first, last = (start + (end - start) * (done + part) / characters for part in (0, len(word)))
        spread.append(SpokenWord(word, first, last, aligned=False))
        done += len(word)
    return tuple(spread)


def join_words(words: Iterable[SpokenWord]) -> str:
    """The text of words: with spaces between, save where both neighbours are of a script that has none."""
    text = ""
    for word in words:
        tight = not text or (_unspaced(text[-1]) and _unspaced(word.word[:1]))
        text += word.word if tight else f" {word.word}"
    return text


def _parted(text: str) -> list[str]:
    """Text without white space, parted into characters where its script has no spaces; marks stay with their letter."""
    parts: list[str] = []
    for character in text:
        letter = _unspaced(character) and unicodedata.category(character)[0] == "L"
        if parts and not letter and not (_unspaced(parts[-1][0]) and unicodedata.category(character)[0] in "LN"):
            parts[-1] += character
        else:
            parts.append(character)
    return parts


def _unspaced(character: str) -> bool:
    """Han, Kana and their full stops, Thai, Lao, Burmese, Khmer."""
    return any(
        first <= character <= last
        for first, last in (("ก", "໿"), ("က", "႟"), ("ក", "៿"), ("、", "鿿"), ("豈", "﫿"), ("！", "～"), ("𠀀", "𲎯"))
    )
