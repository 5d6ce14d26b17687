"""Usable information: how much better a stated family predicts the label for having seen some modalities, in nats.

The family is Gaussian with a mean that is linear in one vector an utterance and modality, and one scale: ridge
regression with a strength for each modality. All is chosen without the rows that are judged.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from mmmie.errors import EvidenceError
from mmmie.experiments.pooled_features import Pooled
from mmmie.experiments.ridge import Fitted, VideoBlocks, ridge_path

Doubles = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

COMPONENTS = 256
"""Principal components that are kept of a modality; of MOSI's text all 1208 would tell 0.298 nats, these 0.284."""
FARTHEST = 5.0
"""Deviations from the mean, beyond which a feature counts as no farther: one odd recording is not to rule a fit."""
NEIGHBOUR_SHARE = 0.125
"""Of the variance of the neighbours' coefficients, relative to those of the utterance itself."""
STRENGTHS = tuple(4.0**e for e in range(-4, 5))
SHARES = (1.0, 0.125)
"""Of the variance of each modality's coefficients, relative to the largest in a subset."""


@dataclass(frozen=True, eq=False)
class OutOfFold:
    """What every subset S of M modalities says of P labels of N utterances it has not learnt from.

    Row s of the subsets has the modalities m with bit m of s set; row 0 has none.
    """

    predicted_SNP: Doubles
    scale_SNP: Doubles
    """Standard deviation that the family gives its prediction."""

    def gains(self, labels_NP: Doubles) -> Doubles:
        """(2^M, N, P) nats by which each subset's log-likelihood of each label exceeds that of no modality."""
        standard = (labels_NP - self.predicted_SNP) / self.scale_SNP
        log_likelihood = -0.5 * standard**2 - np.log(self.scale_SNP)
        return np.asarray(log_likelihood - log_likelihood[0])


def cross_fit(
    modalities: Sequence[Pooled],
    labels_NP: Doubles,
    videos_N: Ints,
    folds: int = 5,
    neighbours: Sequence[Ints] = (),
    seed: int = 0,
) -> OutOfFold:
    """Predicts every row from fits to the other folds' videos, for all subsets of the modalities.

    Inside the training folds, the strengths of a subset are those with the least squared error over videos left out,
    and that error is the family's scale. The candidates of a subset include those of its own subsets and "nothing":
    the family may ignore what it sees, without which more features could not but hurt. A modality that an utterance
    lacks is replaced by its mean in training, with a column that says so.

    Args:
        modalities: M of them, all of the same N rows.
        labels_NP: each column is fitted on its own.
        videos_N: number of each row's video.
        folds: of videos, drawn by `seed`.
        neighbours: as `neighbour_rows` gives them; the mean over the rows before, and that over the rows after, are
            read beside the utterance itself.

    Raises:
        EvidenceError: fewer than two videos a fold, or labels that are predicted without any error.

    Source: Y. Xu, S. Zhao, J. Song, R. Stewart, S. Ermon, A Theory of Usable Information under Computational
    Constraints (2020), definitions 1 and 2; here with separate rows for learning and for judging, so that the value is
    a lower bound, in expectation, on the information usable by the family, and may be below 0.
    """
    fold_N = assign_folds(videos_N, folds, seed)
    subsets = 1 << len(modalities)
    predicted = np.empty((subsets, *labels_NP.shape))
    scale = np.empty_like(predicted)
    for fold in range(folds):
        train = fold_N != fold
        blocks = [encode(pooled, train, neighbours) for pooled in modalities]
        search = _Search(labels_NP[train], VideoBlocks.of(videos_N[train]), subsets, int((~train).sum()))
        for share_M in _weightings(len(modalities)):
            support = sum(1 << m for m, share in enumerate(share_M) if share)
            features = np.concatenate(
                [np.sqrt(share) * block for share, block in zip(share_M, blocks, strict=True) if share], axis=1
            )
            if features.shape[1]:
                search.try_all(features[train], features[~train], support)
        if (search.error_SP <= 0).any():
            raise EvidenceError("the labels of some training folds do not vary, or are a linear function of a feature")
        predicted[:, ~train], scale[:, ~train] = search.predicted_SNP, np.sqrt(search.error_SP)[:, None]
    return OutOfFold(predicted, scale)


def assign_folds(videos_N: Ints, folds: int, seed: int) -> Ints:
    """(N,) folds from 0, whole videos, as many videos in each as can be.

    Raises:
        EvidenceError: fewer than two videos a fold.
    """
    names, codes = np.unique(videos_N, return_inverse=True)
    if folds < 2:
        raise EvidenceError(f"cross-fitting takes at least 2 folds, not {folds}")
    if len(names) < 2 * folds:
        raise EvidenceError(
            f"{folds} folds by video need at least {2 * folds} videos in train and valid; there are {len(names)}. "
            "Take fewer folds, or a corpus with more videos."
        )
    return np.asarray(np.random.default_rng(seed).permutation(np.arange(len(names)) % folds)[codes])


def encode(pooled: Pooled, train: Bools, neighbours: Sequence[Ints] = ()) -> Doubles:
    """(N, D) float64 features of all rows, standardised and rotated by what the training rows are.

    Columns are cut off at `FARTHEST` deviations and centred, and the training rows have mean squared length 1, so that
    one strength means the same for modalities of any width. Of more than `COMPONENTS` columns the first principal
    components are kept.
    """
    present = pooled.present_N
    known = pooled.values_ND[train & present].astype(np.float64)
    if not len(known):
        return np.zeros((len(present), 0))
    mean, deviation = known.mean(axis=0), known.std(axis=0)
    varying = deviation > 1e-6 * np.maximum(1.0, np.abs(mean))
    values = np.zeros((len(present), int(varying.sum())))
    standard = (pooled.values_ND[present][:, varying] - mean[varying]) / deviation[varying]
    values[present] = np.clip(standard, -FARTHEST, FARTHEST)
    if values.shape[1] > COMPONENTS:
        values = values @ _principal(values[train & present])
    if neighbours:
        half = len(neighbours) // 2
        sides = [_mean_of(values, present, side) for side in (neighbours[:half], neighbours[half:])]
        values = np.concatenate([values, *(np.sqrt(NEIGHBOUR_SHARE) * side for side in sides)], axis=1)
    values = _unit_length(values, train)
    absent = ~present
    if absent[train].any() and not absent[train].all():
        column = absent.astype(np.float64)[:, None]
        values = np.concatenate([values, column / column[train].std() / np.sqrt(max(1, values.shape[1]))], axis=1)
    return np.asarray(values - values[train].mean(axis=0))


def _principal(known_ND: Doubles) -> Doubles:
    """(D, COMPONENTS at most) the first principal directions of centred rows, by the smaller of the two Gram sides."""
    if len(known_ND) >= known_ND.shape[1]:
        return np.asarray(np.linalg.eigh(known_ND.T @ known_ND)[1][:, ::-1][:, :COMPONENTS])
    values, vectors = np.linalg.eigh(known_ND @ known_ND.T)
    kept = np.flatnonzero(values > 1e-9 * values[-1])[::-1][:COMPONENTS]
    return np.asarray(known_ND.T @ (vectors[:, kept] / np.sqrt(values[kept])))


def _mean_of(values: Doubles, present: Bools, neighbours: Sequence[Ints]) -> Doubles:
    total, count = np.zeros_like(values), np.zeros(len(values))
    for row in neighbours:
        there = (row >= 0) & present[row]
        total[there] += values[row[there]]
        count += there
    return np.asarray(total / np.maximum(count, 1)[:, None])


def _unit_length(values: Doubles, train: Bools) -> Doubles:
    length = np.sqrt((values[train] ** 2).sum(axis=1).mean()) if values.shape[1] else 0.0
    return values / length if length > 0 else values


def _weightings(modalities: int) -> list[tuple[float, ...]]:
    """Shares of each modality, 0 where it is left out; the largest is 1."""
    return [shares for shares in product((0.0, *SHARES), repeat=modalities) if max(shares) == 1.0]


class _Search:
    """The best fit so far of every subset to every label."""

    def __init__(self, labels_NP: Doubles, videos: VideoBlocks, subsets: int, judged: int) -> None:
        self.labels_NP, self.videos = labels_NP, videos
        mean = labels_NP.mean(axis=0)
        alone = videos.without_own(labels_NP - mean, np.zeros((len(labels_NP), 0)), np.zeros(0))
        self.error_SP = np.tile((alone**2).mean(axis=0), (subsets, 1))
        self.predicted_SNP = np.tile(mean, (subsets, judged, 1))

    def try_all(self, train_ND: Doubles, judged_ND: Doubles, support: int) -> None:
        for fit in ridge_path(train_ND, self.labels_NP, self.videos, STRENGTHS):
            for subset in range(len(self.error_SP)):
                if subset & support == support:
                    self._keep_better(fit, judged_ND, subset)

    def _keep_better(self, fit: Fitted, judged_ND: Doubles, subset: int) -> None:
        better = fit.error_P < self.error_SP[subset]
        if better.any():
            predicted = judged_ND @ fit.coefficients_DP[:, better] + fit.mean_P[better]
            self.predicted_SNP[subset][:, better] = predicted
            self.error_SP[subset][better] = fit.error_P[better]


def neighbour_rows(videos_N: Ints, order_N: Ints, width: int) -> list[Ints]:
    """For each of the `width` places before, then after, in the same video (N,) the row there, or -1."""
    sequence = np.lexsort((order_N, videos_N))
    found = []
    for offset in (o for o in range(-width, width + 1) if o):
        rows = np.full(len(videos_N), -1)
        here, there = (sequence[-offset:], sequence[:offset]) if offset < 0 else (sequence[:-offset], sequence[offset:])
        same = videos_N[here] == videos_N[there]
        rows[here[same]] = there[same]
        found.append(rows)
    return found


def shuffled(rows_N: Doubles, videos_N: Ints, rng: np.random.Generator) -> Doubles:
    """The same values over other rows: videos in random order, end to end, turned by a random number of rows.

    Runs of a video's rows stay together, so that what they have in common still looks like what it is: chance of a few
    videos, not of many rows.
    """
    names, codes = np.unique(videos_N, return_inverse=True)
    rank = rng.permutation(len(names))[codes]
    source = np.roll(np.argsort(rank, kind="stable"), rng.integers(len(rows_N)))
    moved = np.empty_like(rows_N)
    moved[np.argsort(codes, kind="stable")] = rows_N[source]
    return moved


def names_of(subset: int, modalities: Sequence[str] | Mapping[str, object]) -> str:
    """`text+audio`, or `nothing`."""
    return "+".join(name for m, name in enumerate(modalities) if subset >> m & 1) or "nothing"
