"""How far a difference between two systems can be trusted: bootstrap over videos and seeds, power, Holm."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm

from mmmie.errors import EvidenceError
from mmmie.evidence.metrics import METRICS, item_sums, metrics_of_sums

Floats = NDArray[np.float64]

CHUNK = 1_000
"""Draws held in memory at a time."""


@dataclass(frozen=True)
class Difference:
    """One metric of a second system minus that of a first, both averaged over their seeds."""

    value: float
    low: float
    high: float
    """The 95 % percentile interval."""
    p: float
    """Two-sided: twice the smaller share of draws on one side of zero, never 0."""
    standard_error: float
    detectable: float
    """The smallest true difference that this comparison would call different at 5 % four times in five."""


@dataclass(frozen=True)
class Interval:
    """A mean and its 95 % percentile interval."""

    value: float
    low: float
    high: float


def paired_bootstrap(
    labels: ArrayLike,
    first_RN: ArrayLike,
    second_RN: ArrayLike,
    videos: ArrayLike,
    draws: int = 10_000,
    seed: int = 0,
) -> dict[str, Difference]:
    """Differences between two systems in every metric, by a bootstrap over test videos and over training seeds.

    Utterances of a video are not independent, so whole videos are drawn, with replacement, the same for both systems;
    the difference of paired errors varies less than either. What another set of seeds would give is drawn too, for
    each system on its own, since equal seeds of two systems share nothing: the runs' deviations from their mean are
    drawn with replacement after scaling by sqrt(R / (R - 1)), without which R drawn runs vary too little. With one
    run there is no such part, and the interval holds for these weights only: in simulations whose seeds differ by 0.1
    in MAE, 46 % of equal systems of one seed came out different at 5 %, 10 % with three seeds, 7 % with five.

    The smallest detectable difference is (z_0.975 + z_0.8) se = 2.80 se, with se the bootstrap's standard error, whose
    square is that of the test videos plus sd_1^2 / R_1 + sd_2^2 / R_2 of the seeds.

    Args:
        labels: (N,).
        first_RN: scores (R, N), a row for each seed of the first system.
        second_RN: the same for the second system; its number of seeds may differ.
        videos: (N,) the video of each item, any dtype that sorts.
        draws: how many; 10,000 give the ends of the interval to within 1 % of its width.
        seed: of the draws.

    Returns:
        by metric; all NaN where the metric is undefined on the items themselves. Draws in which it is undefined are
        left out.

    Raises:
        EvidenceError: fewer than two videos, or arrays that do not fit.

    Source:
        B. Efron, R. Tibshirani, An Introduction to the Bootstrap (1993), ch. 13 (percentile interval); A. C. Davison,
        D. V. Hinkley, Bootstrap Methods and their Application (1997), 3.8 (resampling groups, and the scaling).
    """
    (first, one), (second, two) = _draw(labels, (first_RN, second_RN), videos, draws, seed)
    return {name: _difference(second[name] - first[name], two[name] - one[name]) for name in METRICS}


def bootstrap(
    labels: ArrayLike, scores_RN: ArrayLike, videos: ArrayLike, draws: int = 10_000, seed: int = 0
) -> dict[str, Interval]:
    """Every metric of one system, averaged over its seeds, with the interval of `paired_bootstrap`.

    For the difference of two systems the paired one is narrower: intervals of each that overlap decide nothing.

    Args, Raises: as `paired_bootstrap`.

    Returns:
        by metric; all NaN where the metric is undefined on the items themselves.
    """
    ((observed, drawn),) = _draw(labels, (scores_RN,), videos, draws, seed)
    differences = {name: _difference(observed[name], drawn[name]) for name in METRICS}
    return {name: Interval(d.value, d.low, d.high) for name, d in differences.items()}


def holm(p_values: Sequence[float]) -> list[float]:
    """p values adjusted for their number: the chance of any false "different" among them stays below the level.

    Source: S. Holm, A simple sequentially rejective multiple test procedure (1979).
    """
    adjusted = [1.0] * len(p_values)
    highest = 0.0
    for rank, i in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = highest
    return adjusted


def _draw(
    labels: ArrayLike, systems: Sequence[ArrayLike], videos: ArrayLike, draws: int, seed: int
) -> list[tuple[dict[str, float], dict[str, Floats]]]:
    """For each system its metrics on all items, and (draws,) on drawn videos and seeds; videos are the same for all."""
    names, codes = np.unique(np.asarray(videos), return_inverse=True)
    if len(names) < 2:
        raise EvidenceError(f"a bootstrap over videos needs at least two; came: {len(names)}")
    of_videos = [_sums_by_video(labels, scores_RN, codes, len(names)) for scores_RN in systems]
    rng = np.random.default_rng(seed)
    drawn: list[dict[str, list[Floats]]] = [{name: [] for name in METRICS} for _ in systems]
    for start in range(0, draws, CHUNK):
        weights_BV = _draw_counts(rng, min(CHUNK, draws - start), len(names))
        for sums_RVK, kept in zip(of_videos, drawn, strict=True):
            values = metrics_of_sums(np.einsum("bv,rvk->rbk", weights_BV, sums_RVK, optimize=True))
            chosen_RB = rng.integers(len(sums_RVK), size=(len(sums_RVK), len(weights_BV)))
            for name in METRICS:
                kept[name].append(_draw_seeds(values[name], chosen_RB))
    observed = [metrics_of_sums(sums_RVK.sum(axis=1)) for sums_RVK in of_videos]
    return [
        ({name: float(o[name].mean()) for name in METRICS}, {name: np.concatenate(kept[name]) for name in METRICS})
        for o, kept in zip(observed, drawn, strict=True)
    ]


def _sums_by_video(labels: ArrayLike, scores_RN: ArrayLike, codes: NDArray[Any], num_videos: int) -> Floats:
    runs = []
    for scores in np.atleast_2d(np.asarray(scores_RN, dtype=np.float64)):
        items = item_sums(labels, scores)
        if len(items) != len(codes):
            raise EvidenceError(f"{len(items)} scores but {len(codes)} videos; expected one for each item")
        sums = np.zeros((num_videos, items.shape[1]))
        np.add.at(sums, codes, items)
        runs.append(sums)
    return np.stack(runs)


def _draw_counts(rng: np.random.Generator, draws: int, num_videos: int) -> Floats:
    picked = rng.integers(num_videos, size=(draws, num_videos)) + num_videos * np.arange(draws)[:, None]
    counts = np.bincount(picked.ravel(), minlength=draws * num_videos)
    return np.asarray(counts.reshape(draws, num_videos), dtype=np.float64)


def _draw_seeds(values_RB: Floats, chosen_RB: NDArray[np.int64]) -> Floats:
    mean_B, R = values_RB.mean(axis=0), len(values_RB)
    if R == 1:
        return np.asarray(mean_B)
    deviations_RB = (values_RB - mean_B) * sqrt(R / (R - 1))
    return np.asarray(mean_B + np.take_along_axis(deviations_RB, chosen_RB, axis=0).mean(axis=0))


def _difference(observed: float, drawn: Floats) -> Difference:
    drawn = drawn[np.isfinite(drawn)]
    if not np.isfinite(observed) or len(drawn) < 2:
        return Difference(*[np.nan] * 6)
    low, high = np.percentile(drawn, [2.5, 97.5])
    tail = min(np.sum(drawn <= 0), np.sum(drawn >= 0))
    se = float(drawn.std(ddof=1))
    return Difference(
        value=observed,
        low=float(low),
        high=float(high),
        p=float(min(1.0, 2 * (1 + tail) / (1 + len(drawn)))),
        standard_error=se,
        detectable=float(norm.ppf(0.975) + norm.ppf(0.8)) * se,
    )
