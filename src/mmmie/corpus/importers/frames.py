"""Frames of one utterance: cut out of a video by time, and freed of sentinels and padding."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmmie.corpus.importers.settings import FeatureSettings
from mmmie.corpus.schema import FeatureInfo
from mmmie.corpus.writer import Frames
from mmmie.errors import CorpusError


def described(settings: FeatureSettings, dim: int, level: str, file: str) -> FeatureInfo:
    """What `corpus.json` says of a modality; the rules for sentinels and zeros belong to what its numbers mean."""
    beyond = [column for column in settings.sentinels if column >= dim]
    if beyond:
        raise CorpusError(f"{file}: sentinels are stated for column {beyond[0]}, but the columns are 0 to {dim - 1}")
    meaning = dict(settings.settings)
    if settings.sentinels:
        meaning["sentinels"] = str({c: list(v) for c, v in sorted(settings.sentinels.items())})
    if settings.zero_frames != "keep":
        meaning["zero_frames"] = settings.zero_frames
    return FeatureInfo(dim, level, settings.extractor, settings.version, meaning, settings.rate_hz)


@dataclass(frozen=True)
class Sequences:
    """One modality of many utterances: a vector for each, or a padded sequence and perhaps its number of real steps."""

    values: NDArray[Any]
    """(N, D) or (N, T, D)."""
    lengths: NDArray[Any] | None

    @classmethod
    def checked(cls, values: NDArray[Any], lengths: NDArray[Any] | None, rows: int, place: str) -> "Sequences":
        """Raises CorpusError, naming `place`: not numbers, of another shape, or not of so many rows."""
        if values.ndim not in (2, 3) or not np.issubdtype(values.dtype, np.number):
            raise CorpusError(
                f"{place}: {values.dtype} of shape {values.shape}, expected numbers of shape (rows, columns) or "
                "(rows, steps, columns)"
            )
        if len(values) != rows:
            raise CorpusError(f"{place}: {len(values)} rows, but there are {rows} labels")
        if lengths is None or values.ndim == 2:
            return cls(values, None)
        lengths = lengths.reshape(-1)
        if len(lengths) != rows or not np.issubdtype(lengths.dtype, np.integer):
            raise CorpusError(f"{place}: {lengths.dtype} lengths of shape {lengths.shape}, expected {rows} integers")
        wrong = np.flatnonzero((lengths < 0) | (lengths > values.shape[1]))
        if len(wrong):
            raise CorpusError(
                f"{place}, row {wrong[0]}: a length of {lengths[wrong[0]]}, but sequences have {values.shape[1]} steps"
            )
        return cls(values, lengths)

    @property
    def dim(self) -> int:
        return int(self.values.shape[-1])

    @property
    def level(self) -> str:
        return "utterance" if self.values.ndim == 2 else "frames"

    def frames(self, row: int) -> Frames:
        if self.values.ndim == 2:
            return Frames(self.values[row : row + 1])
        return Frames(self.values[row, : None if self.lengths is None else int(self.lengths[row])])


def cleaned(frames: Frames, settings: FeatureSettings) -> Frames | None:
    """NaN for sentinels; with `zero_frames = "absent"` no padding, NaN for zeros between, None where nothing is left.

    Args:
        frames: values (T, D).
    """
    values, times = np.array(frames.values, dtype=np.float64), frames.times
    if settings.zero_frames == "absent":
        real = np.flatnonzero((values != 0).any(axis=1))
        if not len(real):
            return None
        values[(values == 0).all(axis=1)] = np.nan
        kept = slice(int(real[0]), int(real[-1]) + 1)
        values, times = values[kept], None if times is None else times[kept]
    for column, sentinels in settings.sentinels.items():
        values[np.isin(values[:, column], sentinels), column] = np.nan
    return Frames(values, times) if len(values) else None


def within(intervals: NDArray[np.float64], start: float, end: float) -> NDArray[np.intp]:
    """The rows of `intervals` (N, 2), in seconds, whose midpoints lie in [start, end)."""
    middle = intervals.mean(axis=1)
    return np.flatnonzero((start <= middle) & (middle < end))
