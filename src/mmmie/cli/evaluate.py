"""`mmmie evaluate RUN...`: opens the test split for finished runs, and shows what they score."""

from pathlib import Path
from typing import Annotated

import typer


def command(
    runs: Annotated[list[Path], typer.Argument(help="Run folders, or folders of them (all seeds).", metavar="RUN...")],
    corpus: Annotated[
        Path | None, typer.Option(help="Another corpus than the one trained on; only its test split is scored.")
    ] = None,
    pooled: Annotated[
        bool,
        typer.Option(
            "--pooled",
            help="The runs are folds of a cross-validation: join their test splits; with 95 % intervals by video.",
        ),
    ] = False,
    stored: Annotated[
        bool, typer.Option("--stored", help="Show what was evaluated before, without opening the test split again.")
    ] = False,
) -> None:
    """Open the test split: predictions and metrics of finished runs. Every opening is counted in the corpus."""
    from mmmie.corpus.store import Corpus
    from mmmie.errors import EvidenceError
    from mmmie.evidence.evaluation import Evaluation, evaluate
    from mmmie.evidence.predictions import pool
    from mmmie.evidence.summary import summarise
    from mmmie.learning.run import find_runs

    if stored and corpus:
        raise EvidenceError("--stored shows the evaluation on a run's own corpus; leave --corpus out.")
    other = Corpus.open(corpus) if corpus else None
    systems: dict[Path, list[Evaluation]] = {}
    for run in find_runs(runs):
        evaluation = Evaluation.read(run.path) if stored else evaluate(run, other)
        systems.setdefault(run.path.parent, []).append(evaluation)
        if pooled or stored:
            continue
        print(f"{evaluation}\n", flush=True)
    if pooled:
        folds = [evaluation.predictions for several in systems.values() for evaluation in several]
        print(summarise(pool(folds), intervals=True))
        return
    for several in systems.values():
        if len(several) > 1:
            print(f"{summarise([evaluation.predictions for evaluation in several])}\n")
        elif stored:
            print(f"{several[0]}\n")
