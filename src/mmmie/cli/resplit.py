"""`mmmie resplit`."""

from typing import Annotated

import typer


def command(
    corpus: Annotated[str, typer.Argument(help="Folder of the corpus; it is not changed.")],
    out: Annotated[str, typer.Option(help="Folder of the new corpus.")],
    fractions: Annotated[tuple[float, float, float], typer.Option(help="Of utterances, for train, valid and test.")] = (
        0.6,
        0.2,
        0.2,
    ),
    seed: Annotated[int, typer.Option(min=0)] = 0,
    fold: Annotated[int | None, typer.Option(help="Cross-validation: which fold, from 0, is test.")] = None,
    folds: Annotated[int | None, typer.Option(help="Cross-validation: of how many folds.")] = None,
    include_test: Annotated[bool, typer.Option("--include-test", help="Use the existing test split as well.")] = False,
) -> None:
    """Make new train, valid and test splits by video; features are linked, not copied."""
    from mmmie.corpus.resplit import ResplitSettings, resplit
    from mmmie.corpus.store import Corpus

    settings = ResplitSettings(fractions=fractions, seed=seed, fold=fold, folds=folds, include_test=include_test)
    made = resplit(Corpus.open(corpus), out, settings)
    sizes = made.info.notes["resplit"]["utterances"]
    typer.echo(f"{made.path}: " + ", ".join(f"{name} {size}" for name, size in sizes.items()))
