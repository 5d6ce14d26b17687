"""From a recipe file to finished runs: which seeds, which folders, and what has to be trained before."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmmie.corpus.store import Corpus
from mmmie.errors import CheckpointError, RecipeError
from mmmie.learning.progress import Progress, Silent
from mmmie.learning.run import Run, check_folder
from mmmie.learning.training import fit
from mmmie.settings import Recipe

ShowFor = Callable[[Recipe], Progress]


def train(
    recipe_path: str | Path,
    *,
    seeds: Sequence[int] | None = None,
    overrides: Mapping[str, Any] | None = None,
    runs: str | Path = "runs",
    resume: bool = False,
    show: ShowFor = lambda recipe: Silent(),  # noqa: ARG005
) -> list[Run]:
    """Trains a recipe file once for each seed, into `runs/<name>/<seed>`; finished runs are kept as they are.

    Where `start_from` names a recipe, its run of that seed (or of `start_seed`) is trained first if it is not there.

    Args:
        recipe_path: a TOML file.
        seeds: None: the recipe's own.
        overrides: dotted key to value, for this recipe alone.
        runs: the folder of runs.
        resume: go on with interrupted runs, and keep finished ones.
        show: progress for a recipe.

    Raises:
        RecipeError, CorpusError, FeatureError, TrainingError, CheckpointError: see `fit`.
    """
    recipe_path = Path(recipe_path)
    recipe = Recipe.load(recipe_path, dict(overrides or {}))
    seeds = seeds if seeds is not None else [recipe.training.seed]
    folders = {seed: Path(runs) / recipe.name / str(seed) for seed in seeds}
    kept = {seed: _finished(out, recipe.with_seed(seed), resume) for seed, out in folders.items()}
    done = []
    for seed, out in folders.items():
        run, seeded = kept[seed], recipe.with_seed(seed)
        if run is None:
            start = _start(seeded, recipe_path, Path(runs), show)
            parts = Corpus.open(seeded.corpus).training()
            run = fit(seeded, parts, out, start=start, resume=resume, progress=show(seeded))
        done.append(run)
    return done


def _start(recipe: Recipe, recipe_path: Path, runs: Path, show: ShowFor) -> Run | None:
    """The run to begin with, trained first where it is a recipe whose run is not there."""
    if not recipe.start_from:
        return None
    named = recipe.start_from.replace("{seed}", str(recipe.training.seed))
    if not named.endswith(".toml"):
        start = Run.open(named)
        if not start.finished:
            raise CheckpointError(f"start_from: the run {named} is not finished. Go on with it by --resume.")
        return start
    before = recipe_path.parent / named
    _check_chain(recipe_path, before)
    seed = recipe.seed_of_start(recipe.training.seed)
    return train(before, seeds=[seed], runs=runs, resume=True, show=show)[0]


def _check_chain(recipe_path: Path, before: Path) -> None:
    """Follows `start_from` through recipes to its end."""
    passed = {recipe_path.resolve()}
    while before.suffix == ".toml":
        if before.resolve() in passed:
            raise RecipeError(f"{recipe_path}: start_from leads in a circle, back to {before}")
        passed.add(before.resolve())
        before = before.parent / Recipe.load(before).start_from


def _finished(out: Path, recipe: Recipe, resume: bool) -> Run | None:
    """The run that is kept as it is; None where there is something to train. Raises before anything is trained."""
    if not (resume and (out / "recipe.json").is_file() and Run.open(out).finished):
        check_folder(out, resume, recipe)
        return None
    run = Run.open(out)
    if run.recipe != recipe:
        raise CheckpointError(
            f"the run {out} was trained by another version of the recipe '{recipe.name}'. Choose another --runs "
            "folder or name, or remove it."
        )
    return run
