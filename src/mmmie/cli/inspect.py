"""`mmmie inspect`."""

from typing import Annotated

import typer


def command(
    corpus: Annotated[str, typer.Argument(help="Folder of the corpus.")],
    json: Annotated[bool, typer.Option("--json", help="Print the audit as JSON.")] = False,
    leaks: Annotated[
        bool, typer.Option(help="Also look for features that give the labels of some videos away.")
    ] = True,
) -> None:
    """Audit a corpus: splits, labels, lengths, masked values, columns, text, times, duplicates, leaks."""
    from mmmie.corpus.audit import inspect
    from mmmie.corpus.store import Corpus

    audit = inspect(Corpus.open(corpus), leaks=leaks)
    typer.echo(audit.to_json() if json else str(audit), nl=False)
