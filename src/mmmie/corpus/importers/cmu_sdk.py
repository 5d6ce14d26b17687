"""Importer of CMU Multimodal SDK sequences (.csd): HDF5 with intervals and features for each video.

    <root>/data/<video>/intervals   (N, 2) seconds
    <root>/data/<video>/features    (N, D) numbers, or one word for each row
    <root>/metadata/<name>          JSON texts, of which the version is kept

The intervals of the labels are the utterances; words and frames belong to the one in which their midpoint lies.
"""

import contextlib
import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmmie.corpus.importers.frames import described, within
from mmmie.corpus.importers.hdf5 import opened, read_dataset
from mmmie.corpus.importers.settings import CmuSdkSettings, CsdFeatureSettings
from mmmie.corpus.importers.sources import (
    Record,
    Source,
    in_corpus_order,
    label_of,
    number,
    sizes_of,
    split_of,
)
from mmmie.corpus.importers.tables import read_table
from mmmie.corpus.schema import FeatureInfo, Utterance, Word
from mmmie.corpus.writer import Frames
from mmmie.errors import CorpusError


def read(settings: CmuSdkSettings, folder: Path) -> Source:
    """Reads labels and words at once and frames video by video; file names are relative to `folder`.

    Raises:
        CorpusError: a file is missing or no computational sequence, or a row is not what it must be.
    """
    split_by_video = read_splits(folder / settings.splits, settings)
    with _Sequence.opened(folder / settings.labels) as labels:
        known = labels.videos()
        records = [
            r
            for video in known
            if video in split_by_video
            for r in _records(labels, video, split_by_video[video], settings)
        ]
        unassigned = sum(len(labels.intervals(video)) for video in known if video not in split_by_video)
    files = [folder / settings.labels, folder / settings.splits]
    if settings.words:
        files.append(folder / settings.words)
        with _Sequence.opened(files[-1]) as words:
            records = list(_with_words(records, words, settings))
    infos: dict[str, FeatureInfo] = {}
    for modality, feature in settings.features.items():
        files.append(folder / feature.file)
        with _Sequence.opened(files[-1]) as sequence:
            infos[modality] = sequence.info(feature)
    return Source(
        files=tuple(files),
        features=infos,
        cleaning=settings.features,
        sizes=sizes_of(records),
        rows=_rows(in_corpus_order(records), settings, folder),
        left_out={f"video in no split of {settings.splits}": unassigned} if unassigned else {},
    )


def read_splits(path: Path, settings: CmuSdkSettings) -> dict[str, str]:
    """Split by video, from a JSON object of lists of ids, or a CSV with the columns video and split.

    Raises:
        CorpusError: no such file, neither JSON nor CSV of this form, an unknown split, or a video in two splits.
    """
    if path.suffix == ".csv":
        table = read_table(path)
        video, split = table.column("video", "the column of ids"), table.column("split", "the column of splits")
        pairs = [(row.cells[video], row.cells[split], row.place) for row in table.rows]
    else:
        if not path.is_file():
            raise CorpusError(
                f"no file {path}: the splits are not in the sequences. Write them as JSON, "
                '{"train": ["VIDEO", ...], "valid": [...], "test": [...]}, or as a CSV with the columns video and '
                "split, and state splits = FILE."
            )
        pairs = []
        try:
            for name, videos in json.loads(path.read_text(encoding="utf-8")).items():
                pairs += [(str(video), str(name), f"{path}, '{name}'") for video in videos]
        except (ValueError, AttributeError, TypeError) as error:
            raise CorpusError(f"{path} is not a JSON object of lists of video ids: {error}") from None
    found: dict[str, str] = {}
    for name, split_name, place in pairs:
        split = split_of(split_name, settings, place)
        if found.setdefault(name, split) != split:
            raise CorpusError(f"{place}: video '{name}' is in the splits '{found[name]}' and '{split}'")
    return found


@dataclass(frozen=True)
class _Sequence:
    path: Path
    root: Any
    data: Any

    @classmethod
    @contextlib.contextmanager
    def opened(cls, path: Path) -> "Iterator[_Sequence]":
        with opened(path) as file:
            roots = [name for name in file if "data" in file[name]]
            if len(roots) != 1:
                raise CorpusError(f"{path}: expected one computational sequence ROOT/data/VIDEO, found {list(file)}")
            yield cls(path, file[roots[0]], file[roots[0]]["data"])

    def videos(self) -> list[str]:
        return list(self.data)

    def intervals(self, video: str) -> NDArray[np.float64]:
        values = read_dataset(self.data, f"{video}/intervals", str(self.path))
        if values.ndim != 2 or values.shape[1] != 2 or not np.issubdtype(values.dtype, np.number):
            raise CorpusError(f"{self.path}, video '{video}': intervals of shape {values.shape}, expected (N, 2)")
        return values.astype(np.float64)

    def features(self, video: str, rows: int) -> NDArray[Any]:
        values = read_dataset(self.data, f"{video}/features", str(self.path))
        if values.ndim == 1:
            values = values[:, None]
        if values.ndim != 2 or len(values) != rows:
            raise CorpusError(f"{self.path}, video '{video}': features of shape {values.shape} for {rows} intervals")
        return values

    def info(self, settings: CsdFeatureSettings) -> FeatureInfo:
        """With the root's name as extractor and the metadata's version, where the recipe states none."""
        first = next(iter(self.data), None)
        if first is None:
            raise CorpusError(f"{self.path} holds no video")
        values = self.features(first, len(self.intervals(first)))
        if not np.issubdtype(values.dtype, np.number):
            raise CorpusError(f"{self.path}, video '{first}': features are {values.dtype}, expected numbers")
        found = {"extractor": self.root.name.strip("/"), "version": self._version()}
        unknown = {key: value for key, value in found.items() if getattr(settings, key) == "unknown"}
        return described(settings.model_copy(update=unknown), values.shape[1], "frames", str(self.path))

    def _version(self) -> str:
        stored = self.root.get("metadata/computational sequence version")
        if not hasattr(stored, "shape"):
            return "unknown"
        text = np.ravel(stored[()])[0]
        return str(text.decode("utf-8", "replace") if isinstance(text, bytes) else text).strip('"')


def _records(labels: _Sequence, video: str, split: str, settings: CmuSdkSettings) -> Iterator[Record]:
    intervals = labels.intervals(video)
    features = labels.features(video, len(intervals))
    if settings.label_column >= features.shape[1]:
        raise CorpusError(
            f"{labels.path}, video '{video}': {features.shape[1]} columns, so label_column = {settings.label_column} "
            "is not there"
        )
    for index, row in enumerate(np.lexsort((intervals[:, 1], intervals[:, 0]))):
        where = f"{labels.path}, video '{video}', row {row}"
        start, end = (number(str(value), "the interval", where) for value in intervals[row])
        label = label_of(number(str(features[row, settings.label_column]), "the label", where), settings, where)
        yield Record(Utterance(video, index, split, label, start, end), where, int(row))


def _with_words(records: list[Record], words: _Sequence, settings: CmuSdkSettings) -> Iterator[Record]:
    for video, block in groupby(records, lambda record: record.utterance.video):
        if video not in words.data:
            yield from block
            continue
        intervals = words.intervals(video)
        features = words.features(video, len(intervals))[:, 0]
        spoken = [raw.decode("utf-8", "replace") if isinstance(raw, bytes) else str(raw) for raw in features]
        for record in block:
            found = tuple(
                Word(spoken[row], *intervals[row].tolist())
                for row in within(intervals, *_interval(record.utterance))
                if spoken[row].strip() and spoken[row] not in settings.silence
            )
            text = " ".join(word.word for word in found)
            yield replace(record, utterance=replace(record.utterance, text=text, words=found))


def _rows(
    records: list[Record], settings: CmuSdkSettings, folder: Path
) -> Iterator[tuple[Record, dict[str, Frames | None]]]:
    with ExitStack() as files:
        sequences = {
            modality: files.enter_context(_Sequence.opened(folder / feature.file))
            for modality, feature in settings.features.items()
        }
        for _, group in groupby(records, lambda record: record.utterance.video):
            block = list(group)
            whole = {m: _video(block[0], s, settings.features[m].missing) for m, s in sequences.items()}
            for record in block:
                yield record, {m: frames and _cut(frames, record.utterance) for m, frames in whole.items()}


def _video(record: Record, sequence: _Sequence, missing: str) -> tuple[NDArray[np.float64], NDArray[Any]] | None:
    """Intervals and features of the record's video."""
    video = record.utterance.video
    if video in sequence.data:
        intervals = sequence.intervals(video)
        return intervals, sequence.features(video, len(intervals))
    if missing == "absent":
        return None
    raise CorpusError(f"{sequence.path}: no video '{video}' ({record.place}), and missing = \"error\"")


def _cut(video: tuple[NDArray[np.float64], NDArray[Any]], utterance: Utterance) -> Frames:
    intervals, features = video
    rows = within(intervals, *_interval(utterance))
    return Frames(features[rows], intervals[rows, 0])


def _interval(utterance: Utterance) -> tuple[float, float]:
    assert utterance.start is not None
    assert utterance.end is not None
    return utterance.start, utterance.end


def files_by_name(folder: Path) -> dict[str, str]:
    """Labels, words, audio and vision in a folder of sequences, by the names of the SDK's own files.

    Raises:
        CorpusError: no such folder, or two files could be the same thing.
    """
    if not folder.is_dir():
        raise CorpusError(f"no folder {folder} of computational sequences")
    known = {
        "labels": ("label",),
        "words": ("word",),
        "audio": ("covarep", "opensmile"),
        "vision": ("facet", "openface"),
    }
    found: dict[str, str] = {}
    for thing, parts in known.items():
        names = sorted(p.name for p in folder.glob("*.csd") if any(part in p.name.casefold() for part in parts))
        if len(names) > 1:
            raise CorpusError(f"{folder}: {' and '.join(names)} could both be {thing}. Say which with --{thing} FILE.")
        if names:
            found[thing] = names[0]
    return found
