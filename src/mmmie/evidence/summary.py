"""Several seeds of one system: each, their mean and spread, and the ensemble of their mean score."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isnan

import numpy as np

from mmmie.evidence.metrics import METRICS, Metrics, fits, show, undefined_notes
from mmmie.evidence.predictions import Origin, Predictions, stack
from mmmie.evidence.statistics import Interval, bootstrap
from mmmie.evidence.table import table


@dataclass(frozen=True)
class Summary:
    """Test metrics over the seeds of one system."""

    origin: Origin
    seeds: tuple[int, ...]
    runs: tuple[Metrics, ...]
    """For each seed."""
    ensemble: Metrics
    """Of the mean score over the seeds: one predictor that costs as many runs."""
    num_videos: int
    intervals: Mapping[str, Interval] = field(default_factory=dict)
    """By metric that fits the labels: of the mean over seeds, see `statistics.bootstrap`; empty unless asked for."""

    def mean(self, name: str) -> float:
        """Over the seeds; NaN where one has none."""
        return float(np.mean([metrics.value(name) for metrics in self.runs]))

    def sd(self, name: str) -> float:
        """Over the seeds, with ddof 1; NaN for a single one."""
        values = [metrics.value(name) for metrics in self.runs]
        return float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")

    def __str__(self) -> str:
        lines = {f"seed {seed}": metrics.value for seed, metrics in zip(self.seeds, self.runs, strict=True)}
        lines |= {"mean": self.mean, "sd": self.sd, f"ensemble of {len(self.runs)}": self.ensemble.value}
        rows = [["", *METRICS.values()]]
        rows += [[title, *(show(name, value(name)) for name in METRICS)] for title, value in lines.items()]
        notes = undefined_notes(self.origin.label_range)
        if self.intervals:
            rows.insert(-1, ["95 % interval of the mean", *(self._ends(name) for name in METRICS)])
            drawn = f"{self.num_videos} videos" + (
                f" and {len(self.runs)} seeds" if len(self.runs) > 1 else ", one seed"
            )
            notes.append(f"Interval: bootstrap over {drawn}.")
        head = f"{self.origin.run} on {self.origin.corpus}: {self.ensemble.n} test utterances, {len(self.runs)} seeds"
        return "\n".join([head, table(rows), *notes])

    def _ends(self, name: str) -> str:
        found = self.intervals.get(name)
        if found is None or isnan(found.low):
            return "-"
        return f"[{show(name, found.low)}, {show(name, found.high)}]"


def summarise(seeds: Sequence[Predictions], intervals: bool = False) -> Summary:
    """Summarises the test rows of one system's predictions, one for each seed.

    Args:
        seeds: their predictions.
        intervals: with intervals of the means, where there are two videos to draw from.

    Raises:
        EvidenceError: they are not of the same utterances.
    """
    tests = [predictions.part("test") for predictions in seeds]
    scores_RN = stack(tests)
    num_videos = len(np.unique(tests[0].videos))
    found: dict[str, Interval] = {}
    if intervals and num_videos > 1:
        found = bootstrap(tests[0].labels, scores_RN, tests[0].videos)
        found = {name: interval for name, interval in found.items() if fits(name, tests[0].origin.label_range)}
    return Summary(
        origin=tests[0].origin,
        seeds=tuple(predictions.origin.seed for predictions in tests),
        runs=tuple(predictions.metrics() for predictions in tests),
        ensemble=replace(tests[0], scores=scores_RN.mean(axis=0)).metrics(),
        num_videos=num_videos,
        intervals=found,
    )
