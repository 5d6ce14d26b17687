"""`mmmie train RECIPE`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from mmmie.learning.run import Run


def command(
    recipe: Annotated[Path, typer.Argument(help="A recipe, as in recipes/mosi.toml.")],
    set_: Annotated[list[str] | None, typer.Option("--set", help="Override a key, as in model.width=64.")] = None,
    corpus: Annotated[str | None, typer.Option(help="The corpus, in place of the recipe's.")] = None,
    seed: Annotated[int | None, typer.Option(help="The seed, in place of the recipe's.", min=0)] = None,
    seeds: Annotated[int | None, typer.Option(help="Train this many seeds, from the recipe's on.", min=1)] = None,
    runs: Annotated[Path, typer.Option(help="Where runs are kept, as RUNS/name/seed.")] = Path("runs"),
    resume: Annotated[bool, typer.Option("--resume", help="Go on with interrupted runs; keep finished ones.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show no progress.")] = False,
) -> int:
    """Train by a recipe, with one seed or several, and show the valid results."""
    from mmmie.learning.parallel import join
    from mmmie.learning.plan import train
    from mmmie.learning.progress import Progress, Shown, Silent
    from mmmie.settings import Recipe, parse_override

    first = join().first
    overrides = dict(parse_override(text) for text in set_ or [])
    if corpus is not None:
        overrides["corpus"] = corpus
    start = seed if seed is not None else Recipe.load(recipe, overrides).training.seed
    chosen = list(range(start, start + (seeds or 1)))

    def show(of: Recipe) -> Progress:
        return Silent() if quiet or not first else Shown(f"{of.name}/{of.training.seed}")

    try:
        done = train(recipe, seeds=chosen, overrides=overrides, runs=runs, resume=resume, show=show)
    except KeyboardInterrupt:
        if first:
            typer.echo(
                "\nstopped; the last finished epoch is kept. Go on with the same command and --resume.", err=True
            )
        return 130
    if first:
        _print(done)
    return 0


def _print(runs: "list[Run]") -> None:
    import statistics

    for run in runs:
        status = run.status
        typer.echo(
            f"{run.path}  valid MAE {status['best_valid_mae']:.4f}  epoch {status['best_epoch'] + 1} of "
            f"{status['epochs']}  {status['seconds']:.0f} s"
        )
    if len(runs) > 1:
        values = [run.status["best_valid_mae"] for run in runs]
        typer.echo(f"valid MAE {statistics.mean(values):.4f} ± {statistics.stdev(values):.4f} over {len(runs)} seeds")
    typer.echo(f"next: mmmie evaluate {runs[0].path if len(runs) == 1 else runs[0].path.parent}")
