"""`mmmie search STUDY`: settings drawn from a study's ranges, judged on valid."""

from pathlib import Path
from typing import Annotated

import typer


def command(
    study: Annotated[Path, typer.Argument(help="A study with a [search], as in studies/search-mosi.toml.")],
    trials: Annotated[int | None, typer.Option(help="Trials in all, in place of the study's.", min=1)] = None,
    out: Annotated[Path, typer.Option(help="Where studies are kept; the search goes to OUT/STUDY/search.")] = Path(
        "experiments"
    ),
    jobs: Annotated[int | None, typer.Option(help="Runs at once; default: the number of cores.", min=1)] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show no progress.")] = False,
) -> int:
    """Search a recipe's settings at random within stated ranges; the test split is never opened.

    The same command goes on after an interruption; with more --trials it draws more. Exit status: 0 done, 1 some trials
    failed, 2 a mistake to mend.
    """
    from mmmie.experiments import preflight, running
    from mmmie.experiments.plan import plan_study
    from mmmie.experiments.search import finish_search, plan_search
    from mmmie.experiments.status import Board

    plan = plan_study(study, out)
    preflight.check(plan)
    with running.only_one(plan):
        search = plan_search(plan, trials)
        runs = search.runs()
        shelf = preflight.Shelf()
        for run in runs:
            preflight.check_run(search.plan, run, shelf)
        try:
            with Board(search.plan, runs, runs, search.folder, quiet) as board:
                running.run_study(search.plan, runs, jobs or running.num_cores(), board)
        except KeyboardInterrupt:
            typer.echo("\nstopped; finished epochs are kept. Go on with the same command.", err=True)
            return 130
        judged = finish_search(search)
    for trial in judged[:5]:
        if trial.valid_mae is not None:
            values = "  ".join(
                f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}"
                for key, value in trial.settings.items()
            )
            typer.echo(f"{trial.name}  valid MAE {trial.valid_mae:.4f}  {values}")
    failed = sum(trial.valid_mae is None for trial in judged)
    if failed:
        typer.echo(f"{failed} of {len(judged)} trials have no value; see {search.folder / 'trials.csv'}", err=True)
    if failed < len(judged):
        typer.echo(f"next: mmmie train {search.folder / 'best.toml'}")
    return int(failed > 0)
