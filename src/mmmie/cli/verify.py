"""`mmmie verify RUN...`: recomputes every stored figure, and fails where one does not agree."""

from pathlib import Path
from typing import Annotated

import typer


def command(
    runs: Annotated[list[Path], typer.Argument(help="Run folders, or folders of them (all seeds).", metavar="RUN...")],
    deep: Annotated[
        bool, typer.Option("--deep", help="Also compute the scores again from the checkpoint and the corpus.")
    ] = False,
) -> int:
    """Recompute every stored figure from the stored predictions. Exit status 1 where one does not agree."""
    from mmmie.evidence.verify import verify
    from mmmie.learning.run import find_runs

    found = []
    for run in find_runs(runs):
        found.append(verify(run, deep))
        print(f"{found[-1]}\n", flush=True)
    failed = [str(verification.path) for verification in found if not verification.ok]
    print(f"{len(found) - len(failed)} of {len(found)} runs hold" + (f"; not: {', '.join(failed)}" if failed else ""))
    return 1 if failed else 0
