"""`mmmie forget STUDY...`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mmmie.study.forget import Derived


def command(
    folders: Annotated[list[Path], typer.Argument(help="Folders of analyses (talk.mmmie), or of many of them.")],
    keep_results: Annotated[
        bool, typer.Option("--keep-results", help="Delete only the stages: decoded sound, and what was found in it.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> int:
    """Delete what analyses derived from media, after listing it: stages, results, pages, study.csv.

    Media, transcripts and whatever else no analysis made stay. Exit status: 0 deleted, 1 not, 2 a mistake to mend.
    """
    import sys

    from mmmie.errors import MmmieError
    from mmmie.study.forget import Entry, delete, find_derived

    found = [derived for folder in folders for derived in find_derived(folder, keep_results)]
    _list(found)
    total = sum(derived.num_files for derived in found)
    if total and not yes:
        if not sys.stdin.isatty():
            raise MmmieError("nothing was deleted: nobody is there to be asked. Say --yes to delete what is listed.")
        try:
            agreed = typer.confirm("Delete all of it?")
        except typer.Abort:
            agreed = False
        if not agreed:
            typer.echo("nothing was deleted")
            return 1
    gone = 0

    def count(entry: Entry) -> None:
        nonlocal gone
        gone += entry.num_files

    try:
        delete(found, count)
    except KeyboardInterrupt:
        typer.echo(f"\nstopped; {gone} of {total} files are gone. Go on with the same command.", err=True)
        return 130
    typer.echo(f"deleted {gone} files")
    return 0


def _list(found: "Sequence[Derived]") -> None:
    """One analysis by its entries, several by a line each; then what stays."""
    if len(found) == 1:
        for entry in found[0].entries:
            typer.echo(f"{_size(entry.num_bytes):>9}  {entry.path}{'/' if entry.path.is_dir() else ''}")
    else:
        for derived in found:
            path = derived.folder if len(derived.entries) != 1 else derived.entries[0].path
            typer.echo(f"{_size(derived.num_bytes):>9}  {derived.num_files:>4} files  {path}")
    for derived in found:
        for path in derived.foreign:
            typer.echo(f"    stays  {path}")
    typer.echo(
        f"{_size(sum(d.num_bytes for d in found)):>9}  in {sum(d.num_files for d in found)} files, to be deleted"
    )


def _size(num_bytes: int) -> str:
    return f"{num_bytes / 1e6:.1f} MB" if num_bytes >= 1e5 else f"{num_bytes / 1e3:.1f} kB"
