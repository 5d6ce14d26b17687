"""Importer of HDF5 data sets: for each split a row per utterance, in one file or several."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmmie.corpus.importers.frames import Sequences, described
from mmmie.corpus.importers.hdf5 import opened, read_dataset
from mmmie.corpus.importers.settings import H5FeatureSettings, H5Reference, H5Settings
from mmmie.corpus.importers.sources import Record, Source, in_corpus_order, label_of, number, sizes_of, whole_number
from mmmie.corpus.schema import SPLITS, FeatureInfo, Utterance
from mmmie.errors import CorpusError


def read(settings: H5Settings, folder: Path) -> Source:
    """Reads the splits that have labels; file names are relative to `folder`.

    Rows without ids become videos of one utterance, named by split and row, so that they have no context.

    Raises:
        CorpusError: a file or data set is missing, or has the wrong number of rows; no split has labels.
    """
    reader = _Reader(settings, folder)
    records: list[Record] = []
    features: dict[str, FeatureInfo] = {}
    sequences: dict[tuple[str, str], Sequences] = {}
    for split in SPLITS:
        if not reader.has(settings.labels, split, "label"):
            continue
        found = list(reader.records(split))
        records += found
        for modality, feature in settings.features.items():
            part = reader.sequences(feature, split, modality, len(found))
            sequences[split, modality] = part
            info = described(feature, part.dim, part.level, reader.place(feature, split, modality))
            if features.setdefault(modality, info) != info:
                raise CorpusError(
                    f"{reader.place(feature, split, modality)}: {info.dim} columns by {info.level}, "
                    f"but the splits before have {features[modality].dim} by {features[modality].level}"
                )
    if not records:
        raise CorpusError(f"no labels in {reader.place(settings.labels, 'train', 'label')}, nor for another split")
    ordered = in_corpus_order(records)
    return Source(
        files=tuple(dict.fromkeys(reader.files)),
        features=features,
        cleaning=settings.features,
        sizes=sizes_of(records),
        rows=(
            (record, {m: sequences[record.utterance.split, m].frames(record.row) for m in settings.features})
            for record in ordered
        ),
    )


@dataclass(frozen=True)
class _Located:
    path: Path
    array: str


class _Reader:
    def __init__(self, settings: H5Settings, folder: Path) -> None:
        self._settings = settings
        self._folder = folder
        self.files: list[Path] = []

    def _locate(self, at: H5Reference | H5FeatureSettings, split: str, thing: str) -> _Located:
        file = at.file or self._settings.file
        if not file:
            raise CorpusError(f"the settings name no HDF5 file for '{thing}': state file, or {thing}'s own file")
        array = at.array or "{split}/" + thing
        return _Located(self._folder / self._named(file, split), self._named(array, split))

    def _named(self, name: str, split: str) -> str:
        return name.replace("{split}", self._settings.split_names.get(split, split))  # type: ignore[call-overload]

    def place(self, at: H5Reference | H5FeatureSettings, split: str, thing: str) -> str:
        located = self._locate(at, split, thing)
        return f"{located.path}, {located.array}"

    def has(self, at: H5Reference, split: str, thing: str) -> bool:
        located = self._locate(at, split, thing)
        if not located.path.is_file():
            return False
        with opened(located.path) as file:
            return located.array in file

    def array(self, at: H5Reference | H5FeatureSettings, split: str, thing: str, array: str = "") -> NDArray[Any]:
        located = self._locate(at, split, thing)
        self.files.append(located.path)
        with opened(located.path) as file:
            return read_dataset(file, self._named(array, split) or located.array, str(located.path))

    def column(self, at: H5Reference, split: str, thing: str, rows: int) -> list[Any]:
        values = self.array(at, split, thing)
        if values.shape not in ((rows,), (rows, 1)):
            raise CorpusError(f"{self.place(at, split, thing)}: shape {values.shape}, expected ({rows},)")
        return [v.decode("utf-8", "replace") if isinstance(v, bytes) else v for v in values.reshape(-1).tolist()]

    def records(self, split: str) -> Iterator[Record]:
        settings = self._settings
        place = self.place(settings.labels, split, "label")
        labels = self.array(settings.labels, split, "label")
        if labels.ndim not in (1, 2) or labels.size != len(labels) or not np.issubdtype(labels.dtype, np.number):
            raise CorpusError(f"{place}: {labels.dtype} of shape {labels.shape}, expected a number for each row")
        given = {
            thing: self.column(at, split, thing, len(labels))
            for thing, at in (("video", settings.video), ("index", settings.index), ("text", settings.text))
            if at is not None
        }
        for row, label in enumerate(labels.reshape(-1)):
            where = f"{place}, row {row}"
            utterance = Utterance(
                video=str(given["video"][row]) if "video" in given else f"{split}-{row:04d}",
                index=whole_number(str(given["index"][row]), "index", where) if "index" in given else 0,
                split=split,
                label=label_of(number(str(label), "label", where), settings, where),
                text=str(given["text"][row]) if "text" in given else None,
            )
            yield Record(utterance, where, row)

    def sequences(self, feature: H5FeatureSettings, split: str, modality: str, rows: int) -> Sequences:
        lengths = self.array(feature, split, modality, feature.lengths) if feature.lengths else None
        return Sequences.checked(
            self.array(feature, split, modality), lengths, rows, self.place(feature, split, modality)
        )
