"""`mmmie licenses`."""

from typing import Annotated

import typer


def command(
    json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Show the licence of the checkpoint, of packaged corpora, and of every network and library in use."""
    from mmmie.analysis.licences import in_use

    found = in_use()
    if json:
        import dataclasses
        from json import dumps

        typer.echo(dumps([dataclasses.asdict(thing) for thing in found], indent=2, ensure_ascii=False))
        return
    for thing in found:
        terms = f"{thing.licence}  NON-COMMERCIAL" if thing.non_commercial else thing.licence
        remark = f"  ({thing.remark})" if thing.remark else ""
        typer.echo(f"{thing.kind:<11}{thing.name + ' ' + thing.version:<34}{terms}{remark}")
    restricted = [thing.name for thing in found if thing.non_commercial]
    typer.echo(f"\nNot for commercial use: {', '.join(restricted) if restricted else 'nothing of the above'}.")
