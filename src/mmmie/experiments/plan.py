"""From a study file to its runs: which recipe each arm has on each corpus, what is trained before, where runs lie.

OUT/STUDY/CORPUS/ARM/SEED/     a run folder as any other; recipes that arms start from lie beside the arms
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

from mmmie.errors import CheckpointError, MmmieError, RecipeError, did_you_mean
from mmmie.experiments.study import Study
from mmmie.learning.run import Run
from mmmie.settings import Recipe


class Job(NamedTuple):
    """What one worker does at a time."""

    kind: Literal["text", "train", "run"]
    """`text`: store the text features of a corpus; `train`: train, as what arms start from; `run`: also evaluate."""
    corpus: str
    name: str
    """Of the arm, or of the recipe it starts from."""
    seed: int

    def __str__(self) -> str:
        return f"{self.corpus}/{self.name}" if self.kind == "text" else f"{self.corpus}/{self.name}/{self.seed}"


@dataclass(frozen=True)
class Cell:
    """One arm on one corpus, or a recipe that an arm there starts from."""

    corpus: str
    """The corpus of the study, by the name of its folder."""
    name: str
    recipe_path: Path
    overrides: Mapping[str, Any]
    recipe: Recipe
    """With the overrides; its seed is the recipe's own."""
    start: str = ""
    """The cell that is trained before, by its name."""

    @property
    def path(self) -> str:
        """Of the corpus it is trained on: the study's, or that of an override."""
        return self.recipe.corpus

    def text_key(self) -> str | None:
        """Equal where two cells read the same stored text features; None where it reads none."""
        text, wanted = self.recipe.text, self.recipe.model.modalities
        if (wanted is not None and "text" not in wanted) or (text.depth == "full" and not self.frozen_too):
            return None
        precision = self.recipe.training.precision
        return f"{self.path} {precision} {self.frozen_too} {text.model_dump_json()}"

    @property
    def frozen_too(self) -> bool:
        """Whether the frozen encoder's features are wanted beside a trained one."""
        return self.recipe.minimise.estimator == "vclub"


@dataclass(frozen=True)
class Plan:
    """A study with the recipe of every arm on every corpus."""

    path: Path
    """Of the study file."""
    study: Study
    folder: Path
    """OUT/STUDY."""
    cells: Mapping[tuple[str, str], Cell]
    """By corpus and arm."""
    starts: Mapping[tuple[str, str], Cell]
    """By corpus and recipe name: what arms start from."""

    @cached_property
    def corpora(self) -> list[str]:
        """The corpora's names, in the order of the study."""
        return list(dict.fromkeys(corpus for corpus, _ in self.cells))

    def cell(self, job: Job) -> Cell:
        """No arm has the name of a recipe that arms start from."""
        return self.cells.get((job.corpus, job.name)) or self.starts[job.corpus, job.name]

    def before(self, job: Job) -> Job | None:
        """The run that a run starts from, where a recipe trains it."""
        cell = self.cell(job)
        if not cell.start:
            return None
        return Job("train", cell.corpus, cell.start, cell.recipe.seed_of_start(job.seed))

    def runs_folder(self, corpus: str) -> Path:
        return self.folder / corpus

    def run_folder(self, job: Job) -> Path:
        return self.folder / job.corpus / job.name / str(job.seed)

    def runs(self, seeds: int | None = None, arms: Sequence[str] | None = None) -> list[Job]:
        """The runs of the study, or those of its first seeds and of some arms.

        They come seed by seed, so that a study that is stopped early compares all arms on the seeds it has.

        Raises:
            RecipeError: more seeds than the study has, or an arm that it does not have.
        """
        if seeds is not None and seeds > len(self.study.seeds):
            raise RecipeError(f"the study {self.study.name} has {len(self.study.seeds)} seeds, not {seeds}")
        for arm in arms or ():
            if arm not in self.study.arms:
                raise RecipeError(
                    f"the study {self.study.name} has no arm '{arm}'. {did_you_mean(arm, self.study.arms)}"
                )
        return [
            Job("run", corpus, arm, seed)
            for corpus in self.corpora
            for seed in self.study.seeds[:seeds]
            for arm in self.study.arms
            if arms is None or arm in arms
        ]


def plan_study(path: str | Path, out: str | Path) -> Plan:
    """Reads a study and the recipe of every arm on every corpus.

    Raises:
        RecipeError: the study or a recipe is missing or wrong; the text names the arm.
    """
    path = Path(path)
    study = Study.load(path)
    slots = _named_corpora(study.corpora) if study.corpora else {}
    cells: dict[tuple[str, str], Cell] = {}
    starts: dict[tuple[str, str], Cell] = {}
    for slot, corpus in slots.items() or [("", None)]:
        for arm in [study.first, *(arm for arm in study.arms if arm != study.first)]:
            cell = _cell(path, study, arm, slot, corpus)
            slot = cell.corpus  # where the study names no corpus: that of the reference's recipe
            cells[slot, arm] = cell
            starts |= {(slot, before.name): before for before in _chain(cell, arm)}
    for (slot, name), before in starts.items():
        if name in study.arms:
            raise RecipeError(
                f"arm '{name}' has the name of the recipe {before.recipe_path}, which other arms start from, and their "
                "runs would share a folder. Name the arm otherwise."
            )
        assert slot == before.corpus
    in_order = {(slot, arm): cells[slot, arm] for slot in dict.fromkeys(s for s, _ in cells) for arm in study.arms}
    return Plan(path, study, Path(out) / study.name, in_order, starts)


def corpus_name(path: str | Path) -> str:
    """The name of a corpus in folders and tables: that of its folder, without `.corpus`."""
    return Path(path).name.removesuffix(".corpus")


def _named_corpora(paths: Sequence[str]) -> dict[str, str]:
    named: dict[str, str] = {}
    for path in paths:
        name = corpus_name(path)
        if name in named:
            raise RecipeError(f"two corpora of the study are called '{name}': {named[name]} and {path}. Rename one.")
        named[name] = path
    return named


def _cell(path: Path, study: Study, arm: str, slot: str, corpus: str | None) -> Cell:
    recipe_path = path.parent / (study.arms[arm].recipe or study.recipe or "")
    overrides = {**({} if corpus is None else {"corpus": corpus}), **study.overrides(arm), "name": arm}
    with naming(arm):
        recipe = Recipe.load(recipe_path, overrides)
        if not recipe.start_from.endswith(".toml"):
            return Cell(slot or corpus_name(recipe.corpus), arm, recipe_path, overrides, recipe)
        before = Recipe.load(recipe_path.parent / recipe.start_from)
        return Cell(slot or corpus_name(recipe.corpus), arm, recipe_path, overrides, recipe, before.name)


def _chain(cell: Cell, arm: str) -> Iterator[Cell]:
    """What is trained before a cell, the nearest first."""
    passed = [cell.recipe_path.resolve()]
    recipe, at = cell.recipe, cell.recipe_path
    with naming(arm):
        while recipe.start_from.endswith(".toml"):
            at = at.parent / recipe.start_from
            if at.resolve() in passed:
                raise RecipeError(f"{cell.recipe_path}: start_from leads in a circle, back to {at}")
            passed.append(at.resolve())
            recipe = Recipe.load(at)
            named = recipe.start_from
            following = Recipe.load(at.parent / named).name if named.endswith(".toml") else ""
            yield Cell(cell.corpus, recipe.name, at, {}, recipe, following)


def start_jobs(plan: Plan) -> list[Job]:
    """The runs that arms start from, of every seed."""
    found: dict[Job, None] = {}
    for job in plan.runs():
        before = plan.before(job)
        while before is not None:
            found[before] = None
            before = plan.before(before)
    return list(found)


def start_run(recipe: Recipe, seed: int) -> Run | None:
    """The run that a recipe names to begin with; None where it names a recipe, or nothing.

    Raises:
        CheckpointError: it is not there, or not finished.
    """
    if not recipe.start_from or recipe.start_from.endswith(".toml"):
        return None
    run = Run.open(recipe.start_from.replace("{seed}", str(seed)))
    if not run.finished:
        raise CheckpointError(f"start_from: the run {run.path} is not finished. Go on with it by --resume.")
    return run


@contextmanager
def naming(arm: str) -> Iterator[None]:
    """Puts the arm before the text of an error that the user can mend."""
    try:
        yield
    except MmmieError as error:
        raise type(error)(f"arm '{arm}': {error}") from None
