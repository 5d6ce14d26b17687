"""The leak detector: features that predict the labels of some videos far better than of the others.

Features from a network that was trained on the labels of some of the videos give those labels away; on all other videos
they are worth little. Whoever splits such a corpus anew measures the leak, not a model. Nobody needs to know which
videos the network saw: a ridge regression fitted on other videos predicts the labels of the seen ones well and of the
unseen ones badly, and the slope of label on prediction, one number for each video, comes out in two heaps.

    1. Ridge from utterance means to labels, out of fold by video.
    2. Slope of each video with its standard error, under an intercept of the video's own: videos differ in mean label.
    3. Two heaps of slopes by expectation maximisation. Videos of the upper heap weigh more in the next ridge, since
       seen videos predict each other best; repeat from 1.
    4. Alarm if the slopes vary more than their errors and a natural variation explain (chi-squared), and two heaps
       describe them better than one broad one.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

from mmmie.corpus.store import Corpus, RaggedFeatures

Doubles = NDArray[np.float64]
Ints = NDArray[np.int64]

FOLDS = 10
ROUNDS = 3
RIDGES = (1.0, 10.0, 100.0, 1000.0, 10000.0)
LEAST_UTTERANCES = 4
"""A shorter video says too little about its slope."""
LEAST_VIDEOS = 20
"""With fewer videos of that length nothing is said."""
NATURAL_SPREAD = 0.1
"""Standard deviation of slopes between videos that is no cause for alarm, in units of correlation. CMU-MOSI's COVAREP
features, which are clean, show 0.1, no more than their errors explain to within one standard error."""
ALARM_CHANCE = 1e-3
"""Alarm if slopes vary as much as this with at most this chance, for each modality."""
ALARM_GAIN = 4.0
"""Twice the log-likelihood that two heaps must gain on one broad heap: Akaike's price of two more parameters."""


@dataclass(frozen=True)
class Leak:
    """Videos whose labels the features of one modality predict far better than those of the others."""

    modality: str
    videos: tuple[str, ...]
    """The suspicious videos, most suspicious first."""
    chances: tuple[float, ...]
    """Of each of `videos`: the posterior chance that it belongs to the upper heap; above 0.5."""
    correlation_inside: float
    """Pearson correlation of labels with predictions out of fold, over the utterances of `videos`."""
    correlation_outside: float
    """The same over all other videos."""
    p_value: float
    """Chance of slopes as spread as these, if the features were equally good for all videos but for natural spread."""


@dataclass(frozen=True)
class TwoHeaps:
    """What `examine` finds in one modality."""

    chance_V: Doubles
    """(V,) chance of each video to be in the upper heap; NaN where it is too short to tell."""
    prediction_N: Doubles
    """(N,) predictions out of fold, in units of the label."""
    p_value: float
    gain: float
    """Twice the log-likelihood ratio of two heaps over one broad heap."""

    @property
    def alarm(self) -> bool:
        return self.p_value < ALARM_CHANCE and self.gain > ALARM_GAIN


def find_leaks(corpus: Corpus, seed: int = 0) -> list[Leak]:
    """The leaks of a corpus, at most one for each modality with stored features.

    Misaligned or broken features of some videos look the same from outside: then the *others* are to be repaired.

    Measured on 93 videos of 9 to 40 utterances, 62 of them leaked so that ridge reaches r = 0.66 within them: 20 of 20
    caught, 98 % of the leaked videos named and 14 % of the others. With r = 0.56 it catches 9 of 10, with 0.46 3 of 10;
    with 28 leaked videos and r = 0.64 19 of 20, with 14 and r = 0.57 3 of 20. Short videos hide a leak: of 600 of 1 to
    13 utterances, 180 leaked with r = 0.65, 7 of 10 are caught. No false alarm in 1,400 clean corpora whose slopes vary
    naturally by up to 0.15 (r = 0 to 0.75, 24 to 300 videos); with a spread of 0.2, 7 in 100. Silent on CMU-MOSI's
    COVAREP means and its clean vision (p > 0.07).

    Args:
        corpus: all its rows are read, whatever their split.
        seed: of the folds.

    Returns:
        Empty where nothing is suspicious, or where fewer than 20 videos have 4 utterances with features.
    """
    part = corpus.everything()
    found = []
    for modality, features in part.features.items():
        rows = np.flatnonzero(features.present)
        if not len(rows):
            continue
        names, video_N = np.unique(np.array(part.videos)[rows], return_inverse=True)
        labels_N = part.labels[rows].astype(np.float64)
        heaps = examine(utterance_means(features, rows), labels_N, video_N, seed)
        if heaps is None or not heaps.alarm:
            continue
        suspects = np.flatnonzero(np.nan_to_num(heaps.chance_V) > 0.5)
        suspects = suspects[np.argsort(-heaps.chance_V[suspects], kind="stable")]
        inside_N = np.isin(video_N, suspects)
        found.append(
            Leak(
                modality=modality,
                videos=tuple(names[suspects].tolist()),
                chances=tuple(heaps.chance_V[suspects].tolist()),
                correlation_inside=_correlation(heaps.prediction_N[inside_N], labels_N[inside_N]),
                correlation_outside=_correlation(heaps.prediction_N[~inside_N], labels_N[~inside_N]),
                p_value=heaps.p_value,
            )
        )
    return found


def utterance_means(features: RaggedFeatures, rows: Ints) -> Doubles:
    """(N, D) the mean over the frames of each row that are not masked; every row must have one."""
    means = np.empty((len(rows), features.dim))
    for n, row in enumerate(rows):
        values, mask = features[row]
        means[n] = values[mask].mean(axis=0, dtype=np.float64)
    return means


def examine(features_ND: Doubles, labels_N: Doubles, video_N: Ints, seed: int = 0) -> TwoHeaps | None:
    """Steps 1 to 4 for one modality.

    Args:
        features_ND: one finite vector per utterance.
        labels_N: (N,) their labels.
        video_N: (N,) videos as numbers from 0 without holes.
        seed: of the folds.

    Returns:
        None where there are too few videos, or labels or features do not vary.
    """
    sizes_V = np.bincount(video_N)
    long_V = sizes_V >= LEAST_UTTERANCES
    varying = features_ND.std(axis=0) > 1e-9
    if long_V.sum() < LEAST_VIDEOS or labels_N.std() < 1e-9 or not varying.any():
        return None
    # Heavy tails are common in acoustic features, and one wild column must not decide.
    x_ND = features_ND[:, varying]
    x_ND = np.clip((x_ND - x_ND.mean(axis=0)) / x_ND.std(axis=0), -5, 5)
    fold_N = (np.random.default_rng(seed).permutation(len(sizes_V)) % FOLDS)[video_N]

    chance_V = np.full(len(sizes_V), 0.5)
    ridges: tuple[float, ...] = RIDGES
    for _ in range(ROUNDS):
        weight_N = np.clip(chance_V, 0.02, 1)[video_N]
        prediction_N, ridge = _predict_out_of_fold(x_ND, labels_N, weight_N, fold_N, ridges)
        ridges = (ridge,)
        slopes = _slopes(prediction_N, labels_N, video_N, sizes_V)
        if slopes is None:
            return None
        slope_V, variance_V = slopes[0][long_V], slopes[1][long_V]
        chance_V = np.full(len(sizes_V), 0.5)
        two, chance_V[long_V] = _fit_two_heaps(slope_V, variance_V)
    weight_V = 1 / (variance_V + NATURAL_SPREAD**2)
    spread = (weight_V * (slope_V - np.average(slope_V, weights=weight_V)) ** 2).sum()
    return TwoHeaps(
        chance_V=np.where(long_V, chance_V, np.nan),
        prediction_N=prediction_N,
        p_value=float(chi2.sf(spread, len(slope_V) - 1)),
        gain=2 * (two - _fit_one_heap(slope_V, variance_V)),
    )


def _predict_out_of_fold(
    x_ND: Doubles, y_N: Doubles, weight_N: Doubles, fold_N: Ints, ridges: tuple[float, ...]
) -> tuple[Doubles, float]:
    """Weighted ridge predictions of every fold from the other folds, and the ridge of least squared error."""
    predictions = np.empty((len(ridges), len(y_N)))
    # With a column of ones, one matrix of moments holds sums, means and products, and a fold is a subtraction.
    z_NE = np.column_stack([x_ND, y_N, np.ones(len(y_N))])
    total = (z_NE * weight_N[:, None]).T @ z_NE
    for fold in range(FOLDS):
        held = fold_N == fold
        moments = total - (z_NE[held] * weight_N[held, None]).T @ z_NE[held]
        # Weights of mean 1 keep the ridge comparable between rounds.
        moments *= (~held).sum() / moments[-1, -1]
        mean = moments[-1, :-1] / moments[-1, -1]
        centred = moments[:-1, :-1] - moments[-1, -1] * np.outer(mean, mean)
        values, vectors = np.linalg.eigh(centred[:-1, :-1])
        target = vectors.T @ centred[:-1, -1]
        for r, ridge in enumerate(ridges):
            coefficients = vectors @ (target / (np.maximum(values, 0) + ridge))
            predictions[r, held] = (x_ND[held] - mean[:-1]) @ coefficients + mean[-1]
    best = int((weight_N * (predictions - y_N) ** 2).sum(axis=1).argmin())
    return predictions[best], ridges[best]


def _slopes(prediction_N: Doubles, y_N: Doubles, video_N: Ints, sizes_V: Ints) -> tuple[Doubles, Doubles] | None:
    """Slope of each video and its sampling variance, by generalised least squares with a random intercept per video."""
    if prediction_N.std() < 1e-12:
        return None
    y_N = (y_N - y_N.mean()) / y_N.std()
    p_N = (prediction_N - prediction_N.mean()) / prediction_N.std()
    videos, total = len(sizes_V), len(y_N)
    sum_p_V, sum_y_V = np.bincount(video_N, p_N), np.bincount(video_N, y_N)
    sum_pp_V, sum_py_V = np.bincount(video_N, p_N**2), np.bincount(video_N, p_N * y_N)
    # Errors within videos are those around each video's own line: slopes that differ must not widen their own errors.
    pp_V, py_V = sum_pp_V - sum_p_V**2 / sizes_V, sum_py_V - sum_p_V * sum_y_V / sizes_V
    yy_V = np.bincount(video_N, y_N**2) - sum_y_V**2 / sizes_V
    fitted = (sizes_V >= LEAST_UTTERANCES) & (pp_V > 1e-12)
    if not fitted.any():
        return None
    within = max((yy_V - py_V**2 / np.maximum(pp_V, 1e-12))[fitted].sum() / (sizes_V[fitted] - 2).sum(), 1e-9)
    mean_V = (sum_y_V - (p_N * y_N).mean() * sum_p_V) / sizes_V
    typical_size = (total - (sizes_V**2).sum() / total) / (videos - 1)
    between = max(0.0, ((sizes_V * mean_V**2).sum() / (videos - 1) - within) / typical_size)
    shrink_V = between / (within + sizes_V * between)
    precision_V = np.maximum((sum_pp_V - shrink_V * sum_p_V**2) / within, 1e-9)
    return (sum_py_V - shrink_V * sum_p_V * sum_y_V) / within / precision_V, 1 / precision_V


def _fit_one_heap(slope_V: Doubles, variance_V: Doubles) -> float:
    """Log-likelihood, up to a constant, of one normal heap whose centre and spread are fitted."""
    best = -np.inf
    for spread in np.arange(0, 0.8, 0.025):
        weight_V = 1 / (variance_V + spread**2)
        error_V = slope_V - np.average(slope_V, weights=weight_V)
        best = max(best, 0.5 * float((np.log(weight_V) - weight_V * error_V**2).sum()))
    return best


def _fit_two_heaps(slope_V: Doubles, variance_V: Doubles) -> tuple[float, Doubles]:
    """Log-likelihood, up to the same constant, of two heaps of equal spread, and each video's chance of the upper."""
    best, best_chance_V = -np.inf, np.full(len(slope_V), 0.5)
    for spread in (0.0, 0.1, 0.2):
        weight_V = 1 / (variance_V + spread**2)
        for share in (0.2, 0.5, 0.8):
            chance_V = np.where(slope_V > np.quantile(slope_V, 1 - share), 0.9, 0.1)
            for _ in range(60):
                upper = np.clip(chance_V.mean(), 0.02, 0.98)
                high = np.average(slope_V, weights=weight_V * chance_V)
                low = np.average(slope_V, weights=weight_V * (1 - chance_V))
                log_high_V = np.log(upper) - 0.5 * weight_V * (slope_V - high) ** 2
                log_low_V = np.log1p(-upper) - 0.5 * weight_V * (slope_V - low) ** 2
                log_sum_V = np.logaddexp(log_high_V, log_low_V)
                chance_V = np.clip(np.exp(log_high_V - log_sum_V), 1e-9, 1 - 1e-9)
            value = float((log_sum_V + 0.5 * np.log(weight_V)).sum())
            if value > best:
                best, best_chance_V = value, chance_V if high >= low else 1 - chance_V
    return best, best_chance_V


def _correlation(a: Doubles, b: Doubles) -> float:
    if len(a) < 2 or a.std() == 0 or b.std() == 0:
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])
