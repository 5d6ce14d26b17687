"""What the finished runs of a study say: arms against the reference, on every corpus they were tested on."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import isnan, nan, prod
from statistics import fmean
from typing import Any

from mmmie.corpus.store import Corpus
from mmmie.evidence.compare import Comparison, Contrast, compare
from mmmie.evidence.metrics import METRICS, show
from mmmie.evidence.predictions import Predictions, pool
from mmmie.evidence.summary import Summary, summarise
from mmmie.experiments.plan import Job, Plan, corpus_name
from mmmie.experiments.running import done_run, stored_evaluation
from mmmie.learning.run import Run

BySeed = Mapping[str, Mapping[int, Predictions]]
"""By arm, then by seed."""


@dataclass(frozen=True)
class ArmResult:
    """What the runs of one arm score in one panel."""

    arm: str
    summary: Summary | None
    """None where no run is evaluated."""
    contrast: Contrast | None
    """None for the reference, and where either has nothing to compare."""
    seconds: float
    """Mean training time of a run; NaN without runs. Runs beside each other make each other slower."""
    parameters: int | None
    """Numbers in the checkpoint; a frozen text encoder is not among them."""
    missing: tuple[int, ...]
    """Seeds of the study without an evaluation."""


@dataclass(frozen=True)
class Panel:
    """All arms trained on one corpus and tested on one, which may be another."""

    trained_on: str
    tested_on: str
    metric: str
    reference: str
    arms: tuple[ArmResult, ...]
    """In the order of the study."""
    comparison: Comparison | None
    """None where the reference, or all others, have no evaluated run."""

    @property
    def title(self) -> str:
        return self.trained_on if self.trained_on == self.tested_on else f"{self.trained_on} → {self.tested_on}"

    def sentences(self) -> list[str]:
        """The answer for each arm: better or worse where that is resolved, else what could not have been seen."""
        said = [verdict(a.arm, a.contrast, self.metric, self.reference) for a in self.arms if a.contrast]
        missing = {a.arm: a.missing for a in self.arms if a.missing}
        if missing:
            runs = "; ".join(f"{arm}: {', '.join(map(str, seeds))}" for arm, seeds in missing.items())
            said.append(f"Missing runs (arm: seeds): {runs}.")
        return said


def verdict(arm: str, contrast: Contrast, metric: str, reference: str) -> str:
    """One sentence on an arm against the reference; it names a winner only where Holm's p is below 5 %."""
    d, title = contrast.difference, METRICS[metric]
    if isnan(d.value):
        return f"{arm}: {title} is undefined on these rows, nothing is known."
    interval = f"95 % interval [{show(metric, d.low, sign=True)}, {show(metric, d.high, sign=True)}]"
    if contrast.verdict == "not resolved":
        return (
            f"{arm} against {reference}: not resolved ({show(metric, d.value, sign=True)} {title}, {interval}): "
            f"differences below {show(metric, d.detectable)} could not have been seen."
        )
    better, _, one_seed = contrast.verdict.partition(" ")
    return (
        f"{arm} is {better} than {reference} by {show(metric, abs(d.value))} {title} ({interval}, "
        f"{show_p(contrast.p_holm, name=True)})" + (f" {one_seed}." if one_seed else ".")
    )


def show_p(p: float, name: bool = False) -> str:
    shown = "<.001" if p < 0.001 else f"{p:.3f}"
    return shown if not name else f"p {shown}" if p < 0.001 else f"p = {shown}"


def collect(plan: Plan, draws: int = 10_000) -> list[Panel]:
    """The panels of a study, from whatever is finished.

    Args:
        plan: checked.
        draws: of the bootstrap over videos.

    Raises:
        EvidenceError: predictions do not pair, or are damaged.
    """
    panels, folds = [], []
    for corpus in plan.corpora:
        own = {arm: finished_runs(plan, corpus, arm) for arm in plan.study.arms}
        folds.append((own, _evaluated(own)))
        panels.append(_panel(plan, (corpus, corpus), *folds[-1], draws))
        fingerprints = {Corpus.open(plan.cells[corpus, arm].path).info.fingerprint for arm in plan.study.arms}
        for path in plan.study.test_on:
            other = Corpus.open(path)
            if other.info.fingerprint not in fingerprints:
                panels.append(_panel(plan, (corpus, corpus_name(other.path)), own, _evaluated(own, other), draws))
    return [_pooled(plan, folds, draws), *panels] if plan.study.folds else panels


def finished_runs(plan: Plan, corpus: str, arm: str) -> dict[int, Run]:
    """Those of one arm on one corpus, by seed."""
    found = {seed: done_run(plan, Job("run", corpus, arm, seed)) for seed in plan.study.seeds}
    return {seed: run for seed, run in found.items() if run is not None}


def _evaluated(runs: Mapping[str, Mapping[int, Run]], other: Corpus | None = None) -> BySeed:
    predictions: dict[str, dict[int, Predictions]] = {}
    for arm, of_arm in runs.items():
        evaluated = {seed: stored_evaluation(run, other) for seed, run in of_arm.items()}
        predictions[arm] = {seed: e.predictions for seed, e in evaluated.items() if e is not None}
    return predictions


def _pooled(plan: Plan, folds: Sequence[tuple[Mapping[str, Mapping[int, Run]], BySeed]], draws: int) -> Panel:
    """The test parts of all folds as one, of every seed that has all of them."""
    runs: dict[str, dict[int, Run]] = {}
    predictions: dict[str, dict[int, Predictions]] = {}
    for arm in plan.study.arms:
        found = [evaluated[arm] for _, evaluated in folds]
        whole = [seed for seed in plan.study.seeds if all(seed in fold for fold in found)]
        predictions[arm] = dict(zip(sorted(whole), pool([fold[s] for fold in found for s in whole]), strict=True))
        runs[arm] = {seed: folds[0][0][arm][seed] for seed in whole}
    title = f"{len(folds)} folds pooled"
    return _panel(plan, (title, title), runs, predictions, draws)


def _panel(
    plan: Plan, names: tuple[str, str], runs: Mapping[str, Mapping[int, Run]], predictions: BySeed, draws: int
) -> Panel:
    """`names`: of what was trained on and tested on."""
    systems = _same_origin({arm: list(p.values()) for arm, p in predictions.items() if p}, plan.study.first)
    compared = None
    if plan.study.first in systems and len(systems) > 1:
        compared = compare(systems, plan.study.metric, draws)
    arms = [
        ArmResult(
            arm=arm,
            summary=summarise(systems[arm]) if arm in systems else None,
            contrast=compared.contrasts.get(arm) if compared else None,
            seconds=fmean(r.status["seconds"] for r in runs[arm].values()) if runs[arm] else nan,
            parameters=count_parameters(next(iter(runs[arm].values()))) if runs[arm] else None,
            missing=tuple(seed for seed in plan.study.seeds if seed not in predictions[arm]),
        )
        for arm in plan.study.arms
    ]
    return Panel(*names, plan.study.metric, plan.study.first, tuple(arms), compared)


def _same_origin(systems: Mapping[str, Sequence[Predictions]], first: str) -> dict[str, list[Predictions]]:
    """The reference first, and all under one corpus: arms may be of other features of the same utterances.

    Ids and labels are compared row by row all the same, by `compare`.
    """
    order = [first, *(arm for arm in systems if arm != first)] if first in systems else list(systems)
    if not order:
        return {}
    origin = systems[order[0]][0].origin

    def here(predictions: Predictions) -> Predictions:
        named = replace(predictions.origin, corpus=origin.corpus, corpus_fingerprint=origin.corpus_fingerprint)
        return replace(predictions, origin=named)

    return {arm: [here(p) for p in systems[arm]] for arm in order}


def count_parameters(run: Run) -> int | None:
    """Numbers in a run's checkpoint, read from the head of the file; None where it cannot be read."""
    try:
        with open(run.path / "checkpoint" / "model.safetensors", "rb") as file:
            head: dict[str, Any] = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        return sum(prod(map(int, entry["shape"])) for name, entry in head.items() if name != "__metadata__")
    except (OSError, ValueError, KeyError, TypeError):
        return None
