"""What a format's reader hands over: utterances with the place they came from, and their frames, in corpus order."""

import hashlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmmie.corpus.importers.settings import FeatureSettings, ImportSettings
from mmmie.corpus.schema import FeatureInfo, Utterance
from mmmie.corpus.writer import Frames
from mmmie.errors import CorpusError, did_you_mean


@dataclass(frozen=True, slots=True)
class Record:
    """An utterance and where it stands in its source."""

    utterance: Utterance
    place: str
    """File and line or row, as errors name it."""
    row: int
    """Position in the source, from 0."""


@dataclass(frozen=True)
class Source:
    """The content of a source, read lazily where that saves memory."""

    files: tuple[Path, ...]
    features: Mapping[str, FeatureInfo]
    cleaning: Mapping[Any, FeatureSettings]
    """By modality: how its frames are freed of sentinels and padding."""
    sizes: Mapping[str, int]
    """Utterances by split, as they stand in the files."""
    rows: Iterable[tuple[Record, dict[str, Frames | None]]]
    """In corpus order."""
    left_out: Mapping[str, int] = field(default_factory=dict)
    """Reason -> utterances that the reader left out."""
    notes: Mapping[str, Any] = field(default_factory=dict)


def in_corpus_order(records: Iterable[Record]) -> list[Record]:
    """Videos in the order of their first utterance, each one's utterances in ascending index.

    Raises:
        CorpusError: an utterance comes twice, or a video is in two splits.
    """
    videos: dict[str, list[Record]] = {}
    seen: dict[tuple[str, int], Record] = {}
    for record in records:
        utterance = record.utterance
        twin = seen.setdefault((utterance.video, utterance.index), record)
        if twin is not record:
            raise CorpusError(
                f"{record.place}: utterance {utterance.id} comes twice, first at {twin.place}. Remove one of the two."
            )
        block = videos.setdefault(utterance.video, [])
        if block and block[0].utterance.split != utterance.split:
            raise CorpusError(
                f"{record.place}: video '{utterance.video}' is in split '{utterance.split}' here and in "
                f"'{block[0].utterance.split}' at {block[0].place}. A video belongs to one split, or its context leaks."
            )
        block.append(record)
    return [r for block in videos.values() for r in sorted(block, key=lambda r: r.utterance.index)]


def sizes_of(records: Iterable[Record]) -> dict[str, int]:
    """Utterances by split."""
    sizes: dict[str, int] = {}
    for record in records:
        sizes[record.utterance.split] = sizes.get(record.utterance.split, 0) + 1
    return sizes


def number(text: str, what: str, place: str) -> float:
    """A finite number out of a cell; `what` and `place` are named in the error."""
    try:
        value = math.nan if "_" in text else float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise CorpusError(f"{place}: {what} is {text!r}, expected a finite number")
    return value


def whole_number(text: str, what: str, place: str) -> int:
    """A whole number out of a cell, in the range of 64 bits."""
    try:
        value = None if "_" in text else int(text)
    except ValueError:
        value = None
    if value is None or not -(2**63) <= value < 2**63:
        raise CorpusError(f"{place}: {what} is {text!r}, expected a whole number")
    return value


def label_of(value: float, settings: ImportSettings, place: str) -> float:
    """The label after the recipe's transform, checked against its range."""
    stated = settings.label
    label = (value - stated.subtract) * stated.multiply
    if not stated.min <= label <= stated.max:
        changed = "" if label == value else f" (from {value:g})"
        raise CorpusError(
            f"{place}: label {label:g}{changed} is outside [{stated.min:g}, {stated.max:g}]. "
            "Correct the row, or state label.min and label.max (and label.subtract, label.multiply)."
        )
    return label


def split_of(name: str, settings: ImportSettings, place: str) -> str:
    """Our name of a split, from the source's."""
    split = settings.split_of(name)
    if split is None:
        known = [settings.split_names.get(s, s) for s in ("train", "valid", "test")]
        raise CorpusError(
            f"{place}: unknown split {name!r}. {did_you_mean(name, known)} "
            'A source that names them otherwise is read with split_names, as in {valid = "dev"}.'
        )
    return split


def existing(path: Path) -> Path:
    """The path, where a file is there; else a CorpusError with the nearest name in its folder."""
    if path.is_file():
        return path
    if not path.parent.is_dir():
        raise CorpusError(f"no file {path}: there is no folder {path.parent}")
    near = did_you_mean(path.name, [p.name for p in path.parent.iterdir() if p.is_file()])
    raise CorpusError(f"no file {path}. {near}".rstrip())


def sha256(path: Path) -> str:
    """The checksum of a file, as hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
