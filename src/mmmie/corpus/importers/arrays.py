"""npz and npy files whose rows belong to the utterances of a table."""

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmmie.corpus.importers.frames import Sequences, described, within
from mmmie.corpus.importers.settings import ArrayFeatureSettings
from mmmie.corpus.importers.sources import Record, existing
from mmmie.corpus.schema import FeatureInfo
from mmmie.corpus.writer import Frames
from mmmie.errors import CorpusError, did_you_mean

Array = NDArray[Any]


class UtteranceArrays:
    """One modality's array, and which of its rows belong to which utterance."""

    def __init__(self, path: Path, modality: str, settings: ArrayFeatureSettings, table_keys: tuple[str, str]) -> None:
        self.path = path
        self._settings = settings
        arrays = read_arrays(path)
        values = _array(arrays, settings.array or ("" if path.suffix == ".npy" else modality), path)
        self._num_rows = len(values) if values.ndim else 0
        lengths = self._column(arrays, settings.lengths) if settings.lengths else None
        self._sequences = Sequences.checked(values, lengths, self._num_rows, str(path))
        self._times = None
        if settings.times is not None:
            self._times = np.stack([self._column(arrays, name) for name in settings.times], axis=1).astype(np.float64)
        keys = settings.keys
        if keys is None:
            wanted = table_keys[:1] if self._times is not None else table_keys
            keys = wanted if all(key in arrays for key in wanted) else ()
        self._rows = self._rows_by_key([self._column(arrays, key) for key in keys]) if keys else None
        if self._times is not None and len(keys) != 1:
            raise CorpusError(f"{path}: frames with times are keyed by their video alone; state keys = [VIDEO ARRAY]")

    @property
    def info(self) -> FeatureInfo:
        """What `corpus.json` says of this modality."""
        one_by_one = self._times is not None or self._settings.level == "frames"
        level = "frames" if one_by_one else self._sequences.level
        return described(self._settings, self._sequences.dim, level, str(self.path))

    def check(self, records: int) -> None:
        """Raises CorpusError where the array has no keys and not a row for each of so many utterances."""
        if self._rows is None and self._num_rows != records:
            raise CorpusError(
                f"{self.path}: {self._num_rows} rows, but the table has {records}, and no keys say whose they are. "
                "State keys = [VIDEO ARRAY, UTTERANCE ARRAY], or bring the two to one length."
            )

    def unused(self, records: list[Record]) -> int:
        """How many keys of the array name no utterance of the table."""
        if self._rows is None:
            return 0
        known = {self._key(record) for record in records}
        return sum(key not in known for key in self._rows)

    def frames(self, record: Record) -> Frames | None:
        """The frames of one utterance; None where it has none and may have none."""
        if self._rows is None:
            rows = np.array([record.row])
        elif (found := self._rows.get(self._key(record))) is not None:
            rows = found
        elif self._settings.missing == "absent":
            return None
        else:
            raise CorpusError(
                f"{self.path}: no row for utterance {record.utterance.id} ({record.place}). "
                'If it has no such features, state missing = "absent" for this modality.'
            )
        if self._times is not None:
            start, end = record.utterance.start, record.utterance.end
            if start is None or end is None:
                raise CorpusError(f"{record.place}: no start and end, by which {self.path} is to be cut")
            rows = rows[within(self._times[rows], start, end)]
            return Frames(self._sequences.values[rows], self._times[rows, 0])
        if len(rows) > 1:
            return Frames(self._sequences.values[rows])
        return self._sequences.frames(int(rows[0]))

    def _key(self, record: Record) -> tuple[str, ...]:
        return (
            (record.utterance.video,)
            if self._times is not None
            else (record.utterance.video, str(record.utterance.index))
        )

    def _rows_by_key(self, columns: list[Array]) -> dict[tuple[str, ...], NDArray[np.intp]]:
        if len(columns) > 2:
            raise CorpusError(f"{self.path}: keys are video and utterance, not {len(columns)} arrays")
        found: dict[tuple[str, ...], list[int]] = {}
        for row, key in enumerate(zip(*(_as_text(column) for column in columns), strict=True)):
            found.setdefault(key, []).append(row)
        if self._times is None and self._settings.level != "frames":
            for key, rows in found.items():
                if len(rows) > 1:
                    raise CorpusError(
                        f"{self.path}: rows {rows[0]} and {rows[1]} both have the key {'/'.join(key)}. "
                        'If rows are frames of a sequence, state level = "frames".'
                    )
        return {key: np.array(rows) for key, rows in found.items()}

    def _column(self, arrays: Mapping[str, Array], name: str) -> Array:
        column = _array(arrays, name, self.path)
        if column.shape != (self._num_rows,):
            raise CorpusError(f"{self.path}: '{name}' is of shape {column.shape}, expected ({self._num_rows},)")
        return column


def read_arrays(path: Path) -> dict[str, Array]:
    """The arrays of an npz by name, or that of an npy under the empty name.

    Raises:
        CorpusError: no such file, damaged, or holding Python objects, which are never unpickled.
    """
    try:
        loaded = np.load(existing(path), allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return {"": loaded}
        with loaded:
            return {name: loaded[name] for name in loaded.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise CorpusError(
            f"cannot read {path}: {error}. Expected an npz or npy file of plain arrays, without Python objects."
        ) from None


def _array(arrays: Mapping[str, Array], name: str, path: Path) -> Array:
    if name not in arrays:
        raise CorpusError(f"{path}: no array '{name}'. {did_you_mean(name, arrays)}")
    return arrays[name]


def _as_text(column: Array) -> list[str]:
    return [value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value) for value in column.tolist()]
