"""`mmmie compare A B ...`: whether systems differ by more than their test videos and seeds explain."""

from pathlib import Path
from typing import Annotated

import typer


def command(
    systems: Annotated[
        list[str],
        typer.Argument(
            help="Evaluated systems, the first being what the others are compared with: a folder of runs, several "
            "with commas between, or NAME=FOLDER.",
            metavar="SYSTEM SYSTEM...",
        ),
    ],
    metric: Annotated[str, typer.Option(help="What to compare: mae, corr, acc7, acc2_non_zero, ...")] = "mae",
    pooled: Annotated[
        bool, typer.Option("--pooled", help="Each system's runs are folds of a cross-validation: join their tests.")
    ] = False,
) -> None:
    """Compare runs: mean, spread, paired bootstrap over videos and seeds, smallest detectable difference."""
    from mmmie.errors import EvidenceError
    from mmmie.evidence.compare import compare
    from mmmie.evidence.predictions import PREDICTIONS_FILE, Predictions, pool
    from mmmie.learning.run import find_runs

    named: dict[str, list[Predictions]] = {}
    for system in systems:
        name, folders = _named(system)
        if name in named:
            raise EvidenceError(f"two systems are called '{name}'. Name them, as in other={system.split('=')[-1]}.")
        predictions = [Predictions.read(run.path / PREDICTIONS_FILE) for run in find_runs(folders)]
        named[name] = pool(predictions) if pooled else predictions
    print(compare(named, metric))


def _named(system: str) -> tuple[str, list[Path]]:
    """`NAME=A,B` or `A,B`; the name is that of the folder, with its parent's where it is a seed."""
    name, equals, rest = system.partition("=")
    folders = [Path(folder) for folder in (rest if equals else system).split(",")]
    if equals:
        return name, folders
    first = folders[0]
    return (f"{first.parent.name}/{first.name}" if first.name.isdigit() else first.name), folders
