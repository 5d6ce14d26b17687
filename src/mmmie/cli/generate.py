"""`mmmie generate`."""

from enum import StrEnum
from typing import Annotated

import typer


class Size(StrEnum):
    """The presets of `mmmie.corpus.synthetic.SIZES`, named again so that help needs no import of it."""

    small = "small"
    demo = "demo"
    mosei = "mosei"


def command(
    out: Annotated[str, typer.Option(help="Folder of the corpus.")],
    size: Annotated[Size, typer.Option(help="A preset; mosei has the sizes of CMU-MOSEI (1.4 GB).")] = Size.demo,
    videos: Annotated[int | None, typer.Option(min=3, help="Videos, in place of the preset's.")] = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
) -> None:
    """Make a corpus of known mutual information: shared, private and nuisance factors, context, two speakers."""
    from mmmie.corpus.synthetic import SIZES, SyntheticSettings, generate

    sizes = {**SIZES[size.value], "seed": seed}
    if videos is not None:
        sizes |= {"videos": videos, "total_utterances": None}
    made = generate(out, SyntheticSettings(**sizes))
    typer.echo(f"{made.path}: {len(made)} utterances; true mutual information in nats:")
    for pair, nats in made.info.notes["true_mi_nats"].items():
        typer.echo(f"  {pair:<14}{nats:.3f}")
