"""Systems against the first of them: mean and spread over seeds, paired difference, and whether it is resolved."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan

import numpy as np

from mmmie.errors import EvidenceError
from mmmie.evidence.metrics import METRICS, check_name, fits, higher_is_better, show, undefined_notes
from mmmie.evidence.predictions import Origin, Predictions, refuse_difference, stack
from mmmie.evidence.statistics import Difference, holm, paired_bootstrap
from mmmie.evidence.summary import Summary, summarise
from mmmie.evidence.table import table

LEVEL = 0.05
FEW_VIDEOS = 20
"""Below this many groups a bootstrap over them is known to give intervals that are too narrow."""
FEW_SEEDS = 5
"""With three seeds that differ more than the videos do, 10 % instead of 5 % of equal systems came out different."""


@dataclass(frozen=True)
class Contrast:
    """One system against the first."""

    difference: Difference
    p_holm: float
    """Adjusted for the number of systems compared with the first."""
    verdict: str
    """`better` or `worse` than the first where p_holm is below 5 %, else `not resolved`; where either has one seed
    only, `better (one seed)`."""


@dataclass(frozen=True)
class Comparison:
    """Systems in the order given, the first being what the others are compared with."""

    metric: str
    origin: Origin
    num_utterances: int
    num_videos: int
    systems: dict[str, Summary]
    contrasts: dict[str, Contrast]
    """By name, for all but the first."""

    def __str__(self) -> str:
        metric, first = self.metric, next(iter(self.systems))
        header = ["", "seeds", f"mean {METRICS[metric]}", "sd", "ensemble", "difference", "95 % interval", "p (Holm)"]
        rows = [[*header, "detectable", "verdict"]]
        for name, summary in self.systems.items():
            row = [name, str(len(summary.runs)), show(metric, summary.mean(metric)), show(metric, summary.sd(metric))]
            row.append(show(metric, summary.ensemble.value(metric)))
            rows.append(row + (_cells(metric, self.contrasts[name]) if name in self.contrasts else [""] * 5))
        head = (
            f"{METRICS[metric]} on {self.origin.corpus}: {self.num_utterances} test utterances of {self.num_videos} "
            f"videos; differences to {first}, {'higher' if higher_is_better(metric) else 'lower'} is better"
        )
        return "\n".join([head, table(rows), *self._notes()])

    def _notes(self) -> list[str]:
        notes = ["Paired bootstrap over videos and seeds; detectable: the smallest difference found 4 times in 5."]
        seeds = {name: len(summary.runs) for name, summary in self.systems.items()}
        single = [name for name, number in seeds.items() if number == 1]
        if single:
            notes.append(
                f"One seed only of {', '.join(single)}: what another seed would give is not in the interval, and a "
                "verdict on it holds for these weights alone."
            )
        if any(1 < number < FEW_SEEDS for number in seeds.values()):
            notes.append(f"Fewer than {FEW_SEEDS} seeds: where seeds differ much, the intervals are too narrow.")
        if self.num_videos < FEW_VIDEOS:
            notes.append(f"{self.num_videos} videos are few: the intervals are somewhat too narrow.")
        if len(self.contrasts) > 1:
            notes.append("p is adjusted for the number of systems, the intervals are not.")
        return notes


def compare(systems: Mapping[str, Sequence[Predictions]], metric: str = "mae", draws: int = 10_000) -> Comparison:
    """Compares systems on the test rows of their predictions.

    Args:
        systems: by name, each with its predictions, one for each seed; at least two systems. The first is what the
            others are compared with.
        metric: a name of `METRICS`.
        draws: of the bootstrap, which is seeded: the same predictions give the same table.

    Raises:
        EvidenceError: one system only; predictions of different corpora, splits or labels, named with the first
            difference; an unknown metric.
    """
    check_name(metric)
    if len(systems) < 2:
        raise EvidenceError(f"a comparison needs at least two systems; came: {', '.join(systems) or 'none'}")
    tests = {name: [p.part("test") for p in predictions] for name, predictions in systems.items()}
    for name, predictions in tests.items():
        if not predictions:
            raise EvidenceError(f"'{name}' has no predictions. Evaluate its runs first.")
    baseline, *others = tests
    reference = tests[baseline][0]
    if not fits(metric, reference.origin.label_range):
        raise EvidenceError(" ".join(undefined_notes(reference.origin.label_range)) + " Choose --metric mae or corr.")
    for name in others:
        refuse_difference(reference, tests[name][0])
    scores = {name: stack(predictions) for name, predictions in tests.items()}
    differences = {
        name: paired_bootstrap(reference.labels, scores[baseline], scores[name], reference.videos, draws)[metric]
        for name in others
    }
    adjusted = holm([1.0 if isnan(d.p) else d.p for d in differences.values()])
    return Comparison(
        metric=metric,
        origin=reference.origin,
        num_utterances=len(reference),
        num_videos=len(np.unique(reference.videos)),
        systems={name: summarise(predictions) for name, predictions in tests.items()},
        contrasts={
            name: Contrast(
                difference, p, _verdict(metric, difference, p, min(len(scores[baseline]), len(scores[name])))
            )
            for (name, difference), p in zip(differences.items(), adjusted, strict=True)
        },
    )


def _verdict(metric: str, difference: Difference, p: float, seeds: int) -> str:
    if not p < LEVEL:
        return "not resolved"
    verdict = "better" if (difference.value > 0) == higher_is_better(metric) else "worse"
    return f"{verdict} (one seed)" if seeds == 1 else verdict


def _cells(metric: str, contrast: Contrast) -> list[str]:
    d = contrast.difference
    if isnan(d.value):
        return ["-", "-", "-", "-", contrast.verdict]
    interval = f"[{show(metric, d.low, sign=True)}, {show(metric, d.high, sign=True)}]"
    p = "<.001" if contrast.p_holm < 0.001 else f"{contrast.p_holm:.3f}"
    return [show(metric, d.value, sign=True), interval, p, show(metric, d.detectable), contrast.verdict]
