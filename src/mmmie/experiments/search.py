"""A randomised search over a recipe's stated ranges, judged on valid alone.

    OUT/STUDY/search/journal.log              Optuna's: what was drawn, and what it was worth
    OUT/STUDY/search/TRIAL/SEED/              the runs; never evaluated on test
    OUT/STUDY/search/trials.csv, best.toml    all trials, the best first; the best as a whole recipe

The one file that imports Optuna. What a trial draws depends on the search's seed and the trial's number alone, so that
a search that was interrupted goes on as if it had not been.
"""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from mmmie.errors import EvidenceError, RecipeError, missing_extra
from mmmie.evidence.predictions import replacing
from mmmie.experiments.plan import Cell, Job, Plan
from mmmie.experiments.recipe_file import write_recipe
from mmmie.experiments.running import done_run
from mmmie.experiments.study import RangeSettings, SearchSettings
from mmmie.settings import Recipe

FOLDER = "search"
JOURNAL = "journal.log"


@dataclass(frozen=True)
class Trial:
    """One draw of settings."""

    number: int
    settings: Mapping[str, Any]
    error: str = ""
    """Why no recipe can be made of it, as a width that the heads do not divide."""
    valid_mae: float | None = None
    """Of the best epochs, the mean over the search's seeds; None where a run is not finished."""

    @property
    def name(self) -> str:
        return f"trial-{self.number:03d}"


@dataclass(frozen=True)
class Search:
    """The trials of a study's search, as a plan whose runs are trained and not evaluated."""

    settings: SearchSettings
    plan: Plan
    trials: tuple[Trial, ...]
    seeds: tuple[int, ...]

    @property
    def folder(self) -> Path:
        return self.plan.folder / FOLDER

    def runs(self) -> list[Job]:
        """Trial by trial."""
        return [Job("train", FOLDER, t.name, seed) for t in self.trials if not t.error for seed in self.seeds]


def plan_search(plan: Plan, num_trials: int | None = None) -> Search:
    """Draws the trials of a study's search that are not drawn yet.

    Args:
        plan: checked.
        num_trials: in all, those of former calls included; None: as the study says.

    Raises:
        RecipeError: the study has no search, or no trial makes a recipe.
        EvidenceError: the search was begun with other ranges.
        MmmieError: Optuna is not installed.
    """
    settings = plan.study.search
    if settings is None:
        raise RecipeError(f"{plan.path} has no [search]. Give it one, with ranges of the keys to vary.")
    if settings.seeds > len(plan.study.seeds):
        raise RecipeError(f"{plan.path}: search.seeds is {settings.seeds}, and the study has {len(plan.study.seeds)}")
    (plan.folder / FOLDER).mkdir(parents=True, exist_ok=True)
    base = plan.cells[plan.corpora[0], settings.arm or plan.study.first]
    drawn, cells = [], {}
    for number, values in enumerate(_draw(plan, settings, num_trials or settings.trials)):
        trial = Trial(number, values)
        overrides = {**base.overrides, **values, "name": trial.name}
        try:
            recipe = Recipe.load(base.recipe_path, overrides)
        except RecipeError as error:
            trial = replace(trial, error=str(error))
        else:
            cells[FOLDER, trial.name] = Cell(FOLDER, trial.name, base.recipe_path, overrides, recipe, base.start)
        drawn.append(trial)
    if not cells:
        raise RecipeError(f"search.ranges: {drawn[0].error}")
    starts = {(FOLDER, n): replace(cell, corpus=FOLDER) for (c, n), cell in plan.starts.items() if c == base.corpus}
    trial_plan = Plan(plan.path, plan.study, plan.folder, cells, starts)
    return Search(settings, trial_plan, tuple(drawn), tuple(plan.study.seeds[: settings.seeds]))


def finish_search(search: Search) -> list[Trial]:
    """Judges the trials that are trained, and writes `trials.csv` and `best.toml`.

    Returns:
        all trials, the best first; those without a value last.

    Raises:
        EvidenceError: a file cannot be written.
    """
    judged = [replace(trial, valid_mae=_valid_mae(search, trial)) for trial in search.trials]
    _tell(search, judged)
    judged.sort(key=lambda trial: (trial.valid_mae is None, trial.valid_mae or 0.0, trial.number))
    with replacing(search.folder / "trials.csv") as temporary:
        temporary.write_text(_csv(search.settings, judged), encoding="utf-8", newline="")
    best = judged[0]
    if best.valid_mae is not None:
        _write_best(search, best, sum(trial.valid_mae is not None for trial in judged))
    return judged


def _valid_mae(search: Search, trial: Trial) -> float | None:
    runs = [done_run(search.plan, Job("train", FOLDER, trial.name, seed)) for seed in search.seeds]
    values = [run.status["best_valid_mae"] for run in runs if run is not None]
    return fmean(values) if len(values) == len(search.seeds) else None


def _write_best(search: Search, best: Trial, trained: int) -> None:
    cell = search.plan.cells[FOLDER, best.name]
    comment = (
        f"The best of {trained} trials of the search of {search.plan.study.name}: {best.name}, valid MAE "
        f"{best.valid_mae:.4f} over {len(search.seeds)} seed{'s' * (len(search.seeds) > 1)}.\n"
        "It was chosen by that number, which is therefore too good; test has not been looked at."
    )
    recipe = cell.recipe.model_copy(update={"name": f"{search.plan.study.name}-best"})
    write_recipe(recipe, search.folder / "best.toml", comment, cell.recipe_path.parent)


def _csv(settings: SearchSettings, trials: Sequence[Trial]) -> str:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["trial", "valid_mae", *settings.ranges, "error"])
    for trial in trials:
        mae = "" if trial.valid_mae is None else trial.valid_mae
        error = trial.error.splitlines()[-1] if trial.error else ""
        writer.writerow([trial.name, mae, *(trial.settings[key] for key in settings.ranges), error])
    return text.getvalue()


def _draw(plan: Plan, settings: SearchSettings, total: int) -> list[dict[str, Any]]:
    optuna = _optuna()
    study = _open(plan)
    ranges = json.dumps({key: r.model_dump() for key, r in settings.ranges.items()}, sort_keys=True)
    begun = study.user_attrs.get("ranges")
    if begun is None:
        study.set_user_attr("ranges", ranges)
    elif begun != ranges:
        raise EvidenceError(
            f"the search in {plan.folder / FOLDER} was begun with other ranges. Remove that folder, or give the study "
            "another name."
        )
    distributions = {key: _distribution(r) for key, r in settings.ranges.items()}
    while len(study.trials) < total:
        study.sampler = optuna.samplers.RandomSampler(seed=settings.seed * 100_003 + len(study.trials))
        study.ask(distributions)
    return [dict(trial.params) for trial in study.trials[:total]]


def _tell(search: Search, trials: Sequence[Trial]) -> None:
    state = _optuna().trial.TrialState
    study = _open(search.plan)
    open_ = {trial.number for trial in study.trials if not trial.state.is_finished()}
    for trial in trials:
        if trial.number in open_ and trial.valid_mae is not None:
            study.tell(trial.number, trial.valid_mae)
        elif trial.number in open_ and trial.error:
            study.tell(trial.number, state=state.FAIL)


def _open(plan: Plan) -> Any:
    optuna = _optuna()
    backend = optuna.storages.journal.JournalFileBackend(str(plan.folder / FOLDER / JOURNAL))
    return optuna.create_study(
        storage=optuna.storages.JournalStorage(backend),
        study_name=plan.study.name,
        direction="minimize",
        load_if_exists=True,
    )


def _distribution(of: RangeSettings) -> Any:
    distributions = _optuna().distributions
    if of.choices:
        return distributions.CategoricalDistribution(of.choices)
    whole = isinstance(of.low, int) and isinstance(of.high, int)
    kind = distributions.IntDistribution if whole else distributions.FloatDistribution
    return kind(of.low, of.high, log=of.log)


def _optuna() -> Any:
    try:
        import optuna
        import optuna.storages.journal
    except ImportError:
        raise missing_extra("Optuna", "search") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
