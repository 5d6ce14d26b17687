"""`mmmie pack RUN`."""

from pathlib import Path
from typing import Annotated

import typer


def command(
    run: Annotated[Path, typer.Argument(help="A finished run.")],
    out: Annotated[Path, typer.Option(help="The folder to make.")],
) -> None:
    """Make a folder of a run's checkpoint, intervals and card, to hand on or to give to `mmmie analyze --model`."""
    from mmmie.evidence.packing import pack
    from mmmie.learning.run import Run

    typer.echo(str(pack(Run.open(run), out)))
