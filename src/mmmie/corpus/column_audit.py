"""Lengths, masks and columns of one modality, read once from end to end."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmmie.corpus.store import RaggedFeatures

Doubles = NDArray[np.float64]

NEAR_CONSTANT_SHARE = 0.99
"""A column is near-constant if at least this share of its frames holds one and the same value."""
EXTREME_DEVIATIONS = 30.0
"""A value further than this many standard deviations from its column's mean is extreme; a mask or a sentinel, often."""
ROWS_AT_ONCE = 256


@dataclass(frozen=True)
class ModalityAudit:
    dim: int
    present: int
    """Utterances with at least one frame that is not masked."""
    absent: int
    frames: int
    masked_frames: int
    length_min: int
    length_median: float
    length_p95: float
    length_max: int
    constant_columns: tuple[int, ...]
    near_constant_columns: tuple[int, ...]
    extreme_columns: tuple[int, ...]


def audit_modality(features: RaggedFeatures) -> ModalityAudit:
    """Statistics over all frames that are not masked, a few rows in memory at a time."""
    lengths, dim = features.lengths, features.dim
    count, masked = 0, 0
    total, squares, same = (np.zeros(dim) for _ in range(3))
    low, high = np.full(dim, np.inf), np.full(dim, -np.inf)
    shift: Doubles | None = None
    usual: NDArray[np.float32] | None = None
    for first in range(0, len(features), ROWS_AT_ONCE):
        pieces = [features[row] for row in range(first, min(first + ROWS_AT_ONCE, len(features)))]
        mask = np.concatenate([m for _, m in pieces])
        values = np.concatenate([v for v, _ in pieces])
        masked += int((~mask).sum())
        values = values if mask.all() else values[mask]
        if not len(values):
            continue
        if shift is None or usual is None:
            shift, usual = values.mean(axis=0, dtype=np.float64), np.median(values, axis=0)
        count += len(values)
        low, high = np.minimum(low, values.min(axis=0)), np.maximum(high, values.max(axis=0))
        same += np.count_nonzero(values == usual, axis=0)
        centred = values - shift  # sums of squares far from zero would lose their digits
        total += np.ones(len(centred)) @ centred
        squares += np.einsum("nd,nd->d", centred, centred)
    constant, near, extreme = (np.zeros(dim, dtype=np.bool_) for _ in range(3))
    if count and shift is not None:
        mean = total / count
        deviation = np.sqrt(np.maximum(squares / count - mean**2, 0))
        constant = low == high
        near = ~constant & (same >= NEAR_CONSTANT_SHARE * count)
        reach = np.maximum(high - shift - mean, shift + mean - low)
        extreme = ~constant & ~near & (reach > EXTREME_DEVIATIONS * deviation)
    there = lengths[lengths > 0] if (lengths > 0).any() else np.zeros(1, dtype=np.int64)
    present = int(features.present.sum())
    return ModalityAudit(
        dim=dim,
        present=present,
        absent=len(features) - present,
        frames=int(lengths.sum()),
        masked_frames=masked,
        length_min=int(there.min()),
        length_median=float(np.median(there)),
        length_p95=float(np.quantile(there, 0.95)),
        length_max=int(there.max()),
        constant_columns=tuple(np.flatnonzero(constant).tolist()),
        near_constant_columns=tuple(np.flatnonzero(near).tolist()),
        extreme_columns=tuple(np.flatnonzero(extreme).tolist()),
    )
