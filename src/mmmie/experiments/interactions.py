"""What each subset of modalities tells of the label, what each adds to the others, and how sure that is.

Every value is a mean over utterances of out-of-fold log-likelihood gains, and all subsets share the draws of one
bootstrap over videos, so that the interval of a difference is that of paired values. The draws keep the fits: what
other videos to learn from would change is not in the intervals.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from mmmie.corpus.store import Corpus
from mmmie.errors import EvidenceError
from mmmie.evidence.attribution import shapley_values
from mmmie.experiments.interaction_results import (
    Increment,
    Interaction,
    Interactions,
    Partition,
    SubsetInformation,
    Value,
)
from mmmie.experiments.partial_information import gaussian_partial_information
from mmmie.experiments.pooled_features import PooledCorpus, pool
from mmmie.experiments.usable_information import OutOfFold, cross_fit, names_of, neighbour_rows, shuffled
from mmmie.settings import TextSettings

Doubles = NDArray[np.float64]
Ints = NDArray[np.int64]

CHUNK = 1_000
"""Draws held in memory at a time."""


def interactions(
    corpus: Corpus,
    *,
    text: TextSettings | None = None,
    context: int = 0,
    folds: int = 5,
    draws: int = 10_000,
    shuffles: int = 99,
    seed: int = 0,
) -> Interactions:
    """Measures the usable information of all subsets of a corpus' modalities, on its train and valid rows only.

    Args:
        context: the features of this many utterances before and after are read too, as a mean of each side.
        folds: of videos, for cross-fitting.
        draws: of the bootstrap over videos.
        shuffles: of each null; the smallest p value is 1 / (shuffles + 1).
        seed: of folds, draws and shuffles.

    Raises:
        EvidenceError: fewer than two modalities, too few videos, or labels that do not vary.
        CorpusError, FeatureError: as `pool`.
    """
    return measure(
        pool(corpus, text),
        corpus.info.name,
        corpus.info.fingerprint,
        context=context,
        folds=folds,
        draws=draws,
        shuffles=shuffles,
        seed=seed,
    )


def measure(
    pooled: PooledCorpus,
    name: str,
    fingerprint: str = "",
    *,
    context: int = 0,
    folds: int = 5,
    draws: int = 10_000,
    shuffles: int = 99,
    seed: int = 0,
) -> Interactions:
    """What `interactions` does, from rows that are already pooled."""
    labels = pooled.labels_N
    if not np.isfinite(labels).all() or np.ptp(labels) == 0:
        raise EvidenceError(
            f"the labels of {name}'s train and valid rows must be numbers that vary; they go from {labels.min()} to "
            f"{labels.max()}. There is nothing to tell."
        )
    names = tuple(pooled.modalities)
    videos, codes = np.unique(pooled.videos_N, return_inverse=True)
    neighbours = neighbour_rows(codes, pooled.order_N, context)
    blocks = list(pooled.modalities.values())
    fits = cross_fit(blocks, labels[:, None], codes, folds, neighbours, seed)
    gains_SN = fits.gains(labels[:, None])[:, :, 0]
    resampled = _Resampled.of(fits, labels, codes, draws, seed)
    nulls = _Nulls(np.zeros((len(gains_SN), len(gains_SN), 0)))
    if shuffles:
        rng = np.random.default_rng([seed, 1])
        made = null_labels(fits.predicted_SNP[:-1, :, 0], labels, codes, shuffles, rng)
        flat = made.transpose(1, 0, 2).reshape(len(labels), -1)
        shuffled_fits = cross_fit(blocks, flat, codes, folds, neighbours, seed)
        means = shuffled_fits.gains(flat).mean(axis=1).reshape(len(gains_SN), len(made), shuffles)
        nulls = _Nulls(means.transpose(1, 0, 2))
    observed = gains_SN.mean(axis=1)
    full = len(observed) - 1
    subsets = sorted(range(1, full + 1), key=lambda s: (s.bit_count(), [not s >> m & 1 for m in range(len(names))]))
    shapley = zip(shapley_values(observed[:, None])[:, 0], shapley_values(resampled.nats_SB), strict=True)
    return Interactions(
        corpus=name,
        fingerprint=fingerprint,
        utterances=len(labels),
        videos=len(videos),
        present={m: float(p.present_N.mean()) for m, p in pooled.modalities.items()},
        context=context,
        folds=folds,
        draws=draws,
        shuffles=shuffles,
        seed=seed,
        subsets=tuple(
            SubsetInformation(
                names_of(s, names),
                _value(float(observed[s]), resampled.nats_SB[s]),
                _value(resampled.r2_S[s], resampled.r2_SB[s]),
                *nulls.against(observed[s], 0, s),
            )
            for s in subsets
        ),
        increments=tuple(
            Increment(
                modality,
                names_of(s, names),
                _value(observed[s | 1 << m] - observed[s], resampled.nats_SB[s | 1 << m] - resampled.nats_SB[s]),
                *nulls.against(observed[s | 1 << m] - observed[s], s, s | 1 << m),
            )
            for m, modality in enumerate(names)
            for s in subsets
            if not s >> m & 1
        ),
        shapley={name: _value(value, drawn) for name, (value, drawn) in zip(names, shapley, strict=True)},
        interactions=tuple(
            Interaction(names_of(s, names), _value(float(_dividend(observed, s)), _dividend(resampled.nats_SB, s)))
            for s in subsets
            if s.bit_count() > 1
        ),
        partitions=_partitions(fits.predicted_SNP[:, :, 0], labels, names, resampled),
    )


def null_labels(
    predicted_SN: Doubles, labels_N: Doubles, videos_N: Ints, shuffles: int, rng: np.random.Generator
) -> Doubles:
    """(S, N, shuffles) labels of which each subset knows what it knows, and no other modality knows more.

    What a subset's out-of-fold predictions leave of the labels is moved to other videos, and the predictions added
    again. For the subset of none that is to shuffle the labels.

    Source: D. Freedman, D. Lane, A nonstochastic interpretation of reported significance levels (1983).
    """
    made = np.empty((len(predicted_SN), len(labels_N), shuffles))
    for s, predicted in enumerate(predicted_SN):
        for b in range(shuffles):
            made[s, :, b] = predicted + shuffled(labels_N - predicted, videos_N, rng)
    return made


@dataclass(frozen=True, eq=False)
class _Nulls:
    """Mean gains of every subset on labels made from every smaller one."""

    nats_OSB: Doubles
    """By the subset the labels were made from, the subset that reads, and the shuffle."""

    def against(self, value: float, smaller: int, larger: int) -> tuple[float, float] | tuple[None, None]:
        """The 95 % quantile of what the larger subset adds to the smaller where there is nothing to add, and p."""
        drawn = self.nats_OSB[smaller, larger] - self.nats_OSB[smaller, smaller]
        if not len(drawn):
            return None, None
        return float(np.quantile(drawn, 0.95)), float((1 + np.sum(drawn >= value)) / (1 + len(drawn)))


@dataclass(frozen=True, eq=False)
class _Resampled:
    """Draws of videos with replacement, the same for every value."""

    nats_SB: Doubles
    r2_S: Doubles
    r2_SB: Doubles
    weights_BV: NDArray[np.uint16]
    codes_N: Ints

    @classmethod
    def of(cls, fits: OutOfFold, labels: Doubles, codes: Ints, draws: int, seed: int) -> "_Resampled":
        gains_SN = fits.gains(labels[:, None])[:, :, 0]
        squares_SN = (labels - fits.predicted_SNP[:, :, 0]) ** 2
        videos = int(codes.max()) + 1
        rng = np.random.default_rng([seed, 2])
        weights = np.stack([np.bincount(rng.integers(videos, size=videos), minlength=videos) for _ in range(draws)])
        drawn = np.concatenate([gains_SN, squares_SN, np.ones((1, len(labels)))])
        sums = _by_video(drawn, codes) @ weights.T.astype(np.float64)
        errors, total = sums[len(gains_SN) : -1], squares_SN.sum(axis=1)
        return cls(
            sums[: len(gains_SN)] / sums[-1],
            1 - total / total[0],
            1 - errors / errors[0],
            weights.astype(np.uint16),
            codes,
        )

    def means(self, rows_KN: Doubles) -> Doubles:
        """(K, B) means over each draw's rows."""
        sums = _by_video(np.concatenate([rows_KN, np.ones((1, len(self.codes_N)))]), self.codes_N)
        parts = [sums @ self.weights_BV[b : b + CHUNK].T for b in range(0, len(self.weights_BV), CHUNK)]
        drawn = np.concatenate(parts, axis=1)
        return np.asarray(drawn[:-1] / drawn[-1])


def _by_video(rows_KN: Doubles, codes: Ints) -> Doubles:
    return np.stack([np.bincount(codes, weights=row) for row in rows_KN])


def _value(value: float, drawn: Doubles) -> Value:
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Value(float(value), float(low), float(high))


def _dividend(nats_S: Doubles, subset: int) -> Doubles:
    """The Moebius transform of the information at one subset: what no smaller subset of it accounts for."""
    inside = [s for s in range(subset + 1) if s & subset == s]
    signs = [(-1.0) ** (subset.bit_count() - s.bit_count()) for s in inside]
    return np.asarray(np.tensordot(signs, nats_S[inside], axes=1))


def _partitions(
    predicted_SN: Doubles, labels: Doubles, names: Sequence[str], resampled: _Resampled
) -> tuple[Partition, ...]:
    parts = []
    for (i, first), (j, second) in combinations(enumerate(names), 2):
        # Beside the training folds' means, which are low where the labels of the fold that was left out are high.
        values_3N = np.stack([predicted_SN[1 << i], predicted_SN[1 << j], labels]) - predicted_SN[0]
        here = gaussian_partial_information(np.cov(values_3N))
        products = [values_3N[a] * values_3N[b] for a in range(3) for b in range(3)]
        moments = resampled.means(np.concatenate([values_3N, np.stack(products)]))
        mean_B3, square_B33 = moments[:3].T, moments[3:].T.reshape(-1, 3, 3)
        drawn = gaussian_partial_information(square_B33 - mean_B3[:, :, None] * mean_B3[:, None])
        fields = ("redundant", "unique_first", "unique_second", "synergistic")
        parts.append(Partition(first, second, *(_value(getattr(here, f), getattr(drawn, f)) for f in fields)))
    return tuple(parts)
