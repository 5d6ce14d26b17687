"""`mmmie mi A.npy B.npy`: how many nats two arrays share, and how far that can be trusted."""

from pathlib import Path
from typing import Annotated

import typer


def command(
    first: Annotated[Path, typer.Argument(help="N rows, of shape (N,) or (N, D), as .npy.", metavar="A.npy")],
    second: Annotated[Path, typer.Argument(help="The same rows of the other side.", metavar="B.npy")],
    groups: Annotated[
        Path | None,
        typer.Option(help="A text file with the group (video) of each row, one a line; rows of a group depend."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Also write all of it to this JSON file.")] = None,
    folds: Annotated[int, typer.Option(help="Parts of the groups; each is read by critics fitted to the others.")] = 5,
    components: Annotated[int, typer.Option(help="Most principal components a side keeps for the critics.")] = 32,
    permutations: Annotated[int, typer.Option(help="Of the groups, for p.")] = 1000,
    checks: Annotated[bool, typer.Option(help="Look whether other rows and critics tell the same story.")] = True,
    seed: Annotated[int, typer.Option(help="Of folds, critics and draws; equal seeds give equal results.")] = 0,
) -> None:
    """Estimate the mutual information of two arrays, with an interval."""
    from mmmie.experiments.dependence import dependence
    from mmmie.experiments.dependence_files import read_array, read_groups, write_dependence
    from mmmie.experiments.dependence_table import dependence_table

    found = dependence(
        read_array(first),
        read_array(second),
        None if groups is None else read_groups(groups),
        folds=folds,
        components=components,
        permutations=permutations,
        checks=checks,
        seed=seed,
    )
    print(dependence_table(found))
    if out is not None:
        write_dependence(found, out)
