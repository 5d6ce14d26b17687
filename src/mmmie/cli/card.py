"""`mmmie card RUN`: the card of a trained model."""

from pathlib import Path
from typing import Annotated

import typer


def command(
    run: Annotated[Path | None, typer.Argument(help="A run folder; none: the packaged checkpoint.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write Markdown here, and print only where.")] = None,
) -> None:
    """Show the card of a trained model: data, licence, features, results, intervals, use and limits."""
    from mmmie.analysis.request import PACKAGED_RUN
    from mmmie.evidence.card import make_card, write_card
    from mmmie.learning.run import Run

    opened = Run.open(run or PACKAGED_RUN)
    if out:
        write_card(opened, out)
        typer.echo(f"Wrote {out}")
    else:
        typer.echo(str(make_card(opened)), nl=False)
