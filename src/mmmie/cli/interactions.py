"""`mmmie interactions CORPUS`: what each modality tells of the label, alone and beside the others."""

from pathlib import Path
from typing import Annotated

import typer


def command(
    corpus: Annotated[Path, typer.Argument(help="Folder of the corpus; its test split stays closed.")],
    encoder: Annotated[
        str, typer.Option(help="The frozen text encoder: minilm, a folder, or a cached name.")
    ] = "minilm",
    context: Annotated[int, typer.Option(help="Read this many utterances before and after, too.", min=0)] = 0,
    folds: Annotated[int, typer.Option(help="Folds by video of the cross-fitting.", min=2)] = 5,
    draws: Annotated[int, typer.Option(help="Bootstrap draws of videos.", min=100)] = 10_000,
    shuffles: Annotated[int, typer.Option(help="Shuffles of each null; 0: none.", min=0)] = 99,
    seed: Annotated[int, typer.Option(help="Of folds, draws and shuffles.", min=0)] = 0,
    out: Annotated[Path | None, typer.Option(help="Write all values to this JSON file.")] = None,
    figure: Annotated[Path | None, typer.Option(help="Draw to this PNG file.")] = None,
) -> None:
    """Measure the usable information about the label of every subset of modalities, with intervals and a null."""
    from mmmie.corpus.store import Corpus
    from mmmie.experiments.interactions import interactions
    from mmmie.settings import TextSettings

    measured = interactions(
        Corpus.open(corpus),
        text=TextSettings(encoder=encoder),
        context=context,
        folds=folds,
        draws=draws,
        shuffles=shuffles,
        seed=seed,
    )
    typer.echo(str(measured))
    if out is not None:
        measured.write(out)
    if figure is not None:
        from mmmie.experiments.interaction_figure import draw_interactions

        draw_interactions(measured, figure)
