"""Everything a study shows at its end, from whatever is finished."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from mmmie.corpus.store import Corpus
from mmmie.errors import EvidenceError
from mmmie.evidence.calibration import Calibration
from mmmie.evidence.predictions import Predictions
from mmmie.evidence.robustness import stored_scores
from mmmie.experiments.forest import draw_forest
from mmmie.experiments.information_report import Measured, write_information
from mmmie.experiments.plan import Plan
from mmmie.experiments.results import Panel, collect, finished_runs
from mmmie.experiments.robustness_report import Damage, write_robustness
from mmmie.experiments.running import stored_evaluation, stored_information, stored_robustness
from mmmie.experiments.status import Row
from mmmie.experiments.table import write_tables
from mmmie.experiments.worth import ArmWorth, ResplitCoverage, coverage_over_resplits, measure_worth
from mmmie.experiments.worth_report import write_worth
from mmmie.learning.run import Run

T = TypeVar("T")


def write_results(plan: Plan, rows: Sequence[Row]) -> tuple[list[Panel], list[Path]]:
    """Compares the arms on every corpus and writes tables and figure.

    Args:
        plan: checked.
        rows: of all runs of the study.

    Raises:
        EvidenceError: predictions do not pair, or a file cannot be written.
    """
    panels = collect(plan)
    runs = {
        corpus: {arm: list(finished_runs(plan, corpus, arm).values()) for arm in plan.study.arms}
        for corpus in plan.corpora
    }
    return panels, [
        *write_tables(plan, panels, rows),
        *draw_forest(plan, panels),
        *write_worth(plan.folder, {corpus: _worth(arms) for corpus, arms in runs.items()}, _over_resplits(plan, runs)),
        *(write_robustness(plan.folder, _by_run(runs, _damage), plan.study.first) if plan.study.robustness else ()),
        *(write_information(plan.folder, _by_run(runs, _measured)) if plan.study.information else ()),
    ]


def _worth(arms: Mapping[str, Sequence[Run]]) -> dict[str, ArmWorth]:
    measured = {arm: measure_worth(_predictions(runs)) for arm, runs in arms.items()}
    return {arm: worth for arm, worth in measured.items() if worth is not None}


def _over_resplits(
    plan: Plan, runs: Mapping[str, Mapping[str, Sequence[Run]]]
) -> dict[str, dict[str, ResplitCoverage]]:
    """Coverage over corpora that hold the same utterances, as resplits of one do."""
    alike: dict[str, list[str]] = {}
    for corpus in plan.corpora:
        content = Corpus.open(plan.cells[corpus, plan.study.first].path).info.fingerprint
        alike.setdefault(content, []).append(corpus)
    found = {}
    for corpora in alike.values():
        arms = {
            arm: coverage_over_resplits([_predictions(runs[corpus][arm]) for corpus in corpora])
            for arm in plan.study.arms
        }
        found[f"{len(corpora)} splits, from {corpora[0]} on"] = {arm: c for arm, c in arms.items() if c is not None}
    return {title: arms for title, arms in found.items() if arms}


def _predictions(runs: Sequence[Run]) -> list[Predictions]:
    return [evaluation.predictions for run in runs if (evaluation := stored_evaluation(run)) is not None]


def _by_run(
    runs: Mapping[str, Mapping[str, Sequence[Run]]], read: Callable[[Run], T | None]
) -> dict[str, dict[str, list[T]]]:
    return {
        corpus: {arm: [one for run in of_arm if (one := read(run)) is not None] for arm, of_arm in arms.items()}
        for corpus, arms in runs.items()
    }


def _measured(run: Run) -> Measured | None:
    information, evaluation = stored_information(run), stored_evaluation(run)
    if information is None or evaluation is None:
        return None
    return Measured(run, information, evaluation.test.mae)


def _damage(run: Run) -> Damage | None:
    robustness = stored_robustness(run)
    if robustness is None:
        return None
    try:
        margins = Calibration.read(run.path).margins
    except EvidenceError:
        margins = {}
    return Damage(robustness, stored_scores(run), {subset: m.half_width for subset, m in margins.items()})
