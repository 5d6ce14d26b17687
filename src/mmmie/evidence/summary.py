"""Several seeds of one system: each, their mean and spread, and the ensemble of their mean score."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mmmie.evidence.metrics import METRICS, Metrics, show, undefined_notes
from mmmie.evidence.predictions import Origin, Predictions, stack
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
        head = f"{self.origin.run} on {self.origin.corpus}: {self.ensemble.n} test utterances, {len(self.runs)} seeds"
        return "\n".join([head, table(rows), *undefined_notes(self.origin.label_range)])


def summarise(seeds: Sequence[Predictions]) -> Summary:
    """Summarises the test rows of one system's predictions, one for each seed.

    Raises:
        EvidenceError: they are not of the same utterances.
    """
    tests = [predictions.part("test") for predictions in seeds]
    mean_score = stack(tests).mean(axis=0)
    return Summary(
        origin=tests[0].origin,
        seeds=tuple(predictions.origin.seed for predictions in tests),
        runs=tuple(predictions.metrics() for predictions in tests),
        ensemble=replace(tests[0], scores=mean_score).metrics(),
    )
