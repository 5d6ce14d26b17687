"""What the predictions of each arm are worth: coverage of intervals, abstention, and what each modality contributed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import nan

import numpy as np
from numpy.typing import NDArray

from mmmie.evidence.conformal import Levels, conformal_quantile
from mmmie.evidence.predictions import Predictions
from mmmie.evidence.reliability import Reliability, measure_reliability
from mmmie.evidence.statistics import Interval

Floats = NDArray[np.float64]

RESPLITS = 20
SCORE_BINS = 5
DRAWS = 2_000


@dataclass(frozen=True)
class ArmWorth:
    """Of the runs of one arm on one corpus; shares in [0, 1], means over seeds."""

    coverage: float
    """Over `RESPLITS` halvings of the videos of valid and test: the quantile from one half, counted in the other."""
    coverage_sd: float
    """Between halvings."""
    coverage_error: float
    """What one standard error of the mean over the videos would be: sd over videos of their own coverage, over their
    root. Halvings share videos, so that sd / sqrt(RESPLITS) would be too little."""
    test_coverage: float
    """Of the intervals as they were stated: fitted on valid, counted on test."""
    width: float
    bins: tuple[float, ...]
    """Coverage in `SCORE_BINS` bins of the score, from the lowest."""
    risk_coverage: Mapping[float, float]
    """By share of utterances kept, those of the largest |score| first: accuracy of their signs on test."""
    abstained: float
    sign_accuracy: float
    sign_accuracy_kept: float
    contributions: Mapping[str, Interval]
    """By modality, and `context`: mean size of its contribution on test, interval over videos."""

    @property
    def holds(self) -> bool:
        """Whether the coverage is within one standard error of what is stated."""
        return abs(self.coverage - Levels().coverage) <= self.coverage_error


@dataclass(frozen=True)
class ResplitCoverage:
    """Of the stated intervals of one arm, counted on the test parts of several splits of the same utterances."""

    splits: int
    coverage: float
    """Mean over splits."""
    sd: float
    """Between splits."""
    error: float
    """As `ArmWorth.coverage_error`, and for the same reason: the splits share videos."""

    @property
    def holds(self) -> bool:
        """Whether the coverage is within one standard error of what is stated."""
        return abs(self.coverage - Levels().coverage) <= self.error


def coverage_over_resplits(splits: Sequence[Sequence[Predictions]]) -> ResplitCoverage | None:
    """Measures it over the runs of one arm, by split; None where fewer than two splits have intervals."""
    shares: list[float] = []
    by_video: dict[str, list[float]] = {}
    for runs in splits:
        tests = [test for run in runs if len(test := run.part("test")) and test.worth is not None]
        if not tests:
            continue
        inside_N = np.mean([_inside(test) for test in tests], axis=0)
        shares.append(float(inside_N.mean()))
        for video in np.unique(tests[0].videos):
            by_video.setdefault(str(video), []).append(float(inside_N[tests[0].videos == video].mean()))
    if len(shares) < 2:
        return None
    of_videos = [np.mean(found) for found in by_video.values()]
    error = float(np.std(of_videos, ddof=1) / np.sqrt(len(of_videos))) if len(of_videos) > 1 else nan
    return ResplitCoverage(len(shares), float(np.mean(shares)), float(np.std(shares, ddof=1)), error)


def _inside(test: Predictions) -> Floats:
    assert test.worth is not None
    return ((test.worth.lower <= test.labels) & (test.labels <= test.worth.upper)).astype(np.float64)


def measure_worth(runs: Sequence[Predictions]) -> ArmWorth | None:
    """Measures it over the runs of one arm; None where they have no intervals.

    Args:
        runs: stored predictions, valid and test rows with their worth.
    """
    known = [run for run in runs if run.worth is not None and len(run.part("test")) and len(run.part("valid"))]
    if not known:
        return None
    halved = [_halvings(run) for run in known]
    stated = [measure_reliability(run.part("test"), Levels().coverage) for run in known]
    return ArmWorth(
        coverage=float(np.mean([h.coverage for h in halved])),
        coverage_sd=float(np.mean([h.sd for h in halved])),
        coverage_error=float(np.mean([h.error for h in halved])),
        test_coverage=float(np.mean([r.coverage for r in stated])),
        width=float(np.mean([r.mean_width for r in stated])),
        bins=tuple(np.mean([h.bins for h in halved], axis=0).tolist()),
        risk_coverage={share: _mean([r.risk_coverage.get(f"{share:g}") for r in stated]) for share in _shares(stated)},
        abstained=float(np.mean([r.abstained for r in stated])),
        sign_accuracy=_mean([r.sign_accuracy for r in stated]),
        sign_accuracy_kept=_mean([r.sign_accuracy_kept for r in stated]),
        contributions=_contributions([run.part("test") for run in known]),
    )


@dataclass(frozen=True)
class _Halved:
    coverage: float
    sd: float
    error: float
    bins: Floats


def _halvings(run: Predictions) -> _Halved:
    rows = np.flatnonzero(run.splits != "train")
    _, codes = np.unique(run.videos[rows], return_inverse=True)
    residuals = np.abs(run.labels[rows] - run.scores[rows])
    edges = np.quantile(run.scores[rows], np.arange(1, SCORE_BINS) / SCORE_BINS)
    bin_N = np.searchsorted(edges, run.scores[rows], side="right")
    videos = int(codes.max()) + 1
    rng = np.random.default_rng(0)
    shares, covered_N, counted_N = [], np.zeros(len(rows)), np.zeros(len(rows))
    for _ in range(RESPLITS):
        known_N = np.isin(codes, rng.permutation(videos)[: videos // 2])
        inside = residuals[~known_N] <= conformal_quantile(residuals[known_N], Levels().coverage)
        shares.append(float(inside.mean()))
        covered_N[~known_N] += inside
        counted_N[~known_N] += 1
    share_N = np.divide(covered_N, counted_N, out=np.full(len(rows), nan), where=counted_N > 0)
    seen = counted_N > 0
    by_video = np.array([share_N[seen & (codes == v)].mean() for v in range(videos) if (seen & (codes == v)).any()])
    bins = np.array(
        [np.nanmean(share_N[bin_N == b]) if (seen & (bin_N == b)).any() else nan for b in range(SCORE_BINS)]
    )
    error = float(by_video.std(ddof=1) / np.sqrt(len(by_video))) if len(by_video) > 1 else nan
    return _Halved(float(np.mean(shares)), float(np.std(shares, ddof=1)), error, bins)


def _contributions(tests: Sequence[Predictions]) -> dict[str, Interval]:
    """Mean size over seeds and utterances; videos are drawn with replacement, the same for all modalities."""
    worths = [test.worth for test in tests if test.worth is not None]
    sizes = {
        name: np.mean([np.abs(worth.contributions[name]) for worth in worths], axis=0)
        for name in worths[0].contributions
    }
    sizes["context"] = np.mean(
        [np.abs(test.scores - worth.without_context) for test, worth in zip(tests, worths, strict=True)], axis=0
    )
    _, codes = np.unique(tests[0].videos, return_inverse=True)
    counts_V = np.bincount(codes).astype(float)
    drawn_KV = np.random.default_rng(0).multinomial(len(counts_V), np.ones(len(counts_V)) / len(counts_V), DRAWS)
    found = {}
    for name, size_N in sizes.items():
        means_K = drawn_KV @ np.bincount(codes, size_N) / (drawn_KV @ counts_V)
        low, high = np.quantile(means_K, [0.025, 0.975])
        found[name] = Interval(float(size_N.mean()), float(low), float(high))
    return found


def _shares(stated: Sequence[Reliability]) -> list[float]:
    return [float(share) for share in stated[0].risk_coverage]


def _mean(values: Sequence[float | None]) -> float:
    there = [value for value in values if value is not None]
    return float(np.mean(there)) if there else nan
