"""`mmmie merge`."""

from typing import Annotated

import typer


def command(
    corpora: Annotated[list[str], typer.Argument(help="Folders of two corpora or more; they are not changed.")],
    out: Annotated[str, typer.Option(help="Folder of the new corpus.")],
    name: Annotated[str | None, typer.Option(help="Name of the new corpus.")] = None,
) -> None:
    """Put several corpora into one; a modality that one of them lacks is missing in its rows."""
    from collections import Counter

    from mmmie.corpus.merge import merge
    from mmmie.corpus.store import Corpus

    made = merge([Corpus.open(corpus) for corpus in corpora], out, name)
    sizes = Counter(made.splits.tolist())
    typer.echo(f"{made.path}: " + ", ".join(f"{split} {size}" for split, size in sizes.items()))
