"""`mmmie experiment STUDY`: arms x seeds x corpora, trained beside each other, compared, drawn."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from mmmie.experiments.plan import Job, Plan


def command(
    study: Annotated[Path, typer.Argument(help="A study, as in studies/mi-terms.toml.")],
    out: Annotated[Path, typer.Option(help="Where studies are kept, as OUT/STUDY/CORPUS/ARM/SEED.")] = Path(
        "experiments"
    ),
    jobs: Annotated[int | None, typer.Option(help="Runs at once; default: the number of cores.", min=1)] = None,
    seeds: Annotated[int | None, typer.Option(help="Only the first so many seeds of the study now.", min=1)] = None,
    arms: Annotated[str, typer.Option(help="Only these arms now, with commas between.")] = "",
    check: Annotated[bool, typer.Option("--check", help="Look for mistakes, show what is to do, and stop.")] = False,
    results: Annotated[bool, typer.Option("--results", help="Train nothing: tables of what is finished.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show no progress.")] = False,
) -> int:
    """Run a study: every arm with every seed on every corpus, each run once, then tables and a forest plot.

    What is finished is not touched again; the same command goes on after an interruption. While it is at work,
    --results shows what is finished and writes nothing. Exit status: 0 all done, 1 some runs failed, 2 a mistake to
    mend.
    """
    from mmmie.experiments import preflight, running
    from mmmie.experiments.plan import plan_study
    from mmmie.experiments.report import write_results
    from mmmie.experiments.status import Board, jobs_with_rows

    plan = plan_study(study, out)
    preflight.check(plan)
    chosen = plan.runs(seeds, [arm.strip() for arm in arms.split(",")] if arms else None)
    if check:
        typer.echo(_overview(plan, chosen))
        return 0
    failed = tried = 0
    with running.only_one(plan, reading=results) as alone:
        if not alone:
            typer.echo(_so_far(plan))
            return 0
        board = Board(plan, chosen, jobs_with_rows(plan, chosen), plan.folder, quiet)
        try:
            with board:
                if not results:
                    outcomes = running.run_study(plan, chosen, jobs or running.num_cores(), board)
                    ended = [outcome.status for outcome in outcomes if outcome.item.kind != "text"]
                    failed, tried = ended.count("failed"), len(ended)
        except KeyboardInterrupt:
            typer.echo("\nstopped; finished epochs are kept. Go on with the same command.", err=True)
            return 130
        panels, files = write_results(plan, board.all_rows())
    for panel in panels:
        typer.echo("\n".join([panel.title, *(f"  {sentence}" for sentence in panel.sentences())]))
    typer.echo(f"{', '.join(file.name for file in files)} in {plan.folder}")
    if failed:
        rows = plan.folder / "status.csv"
        typer.echo(f"{failed} of {tried} runs failed; see {rows}. The same command tries them again.", err=True)
    return int(failed > 0)


def _so_far(plan: "Plan") -> str:
    """What is finished while another command is at work, whose files are left to it."""
    from mmmie.evidence.table import table
    from mmmie.experiments.results import collect
    from mmmie.experiments.running import is_done
    from mmmie.experiments.table import cells

    runs = plan.runs()
    done = sum(is_done(plan, run) for run in runs)
    lines = [line for panel in collect(plan) for line in (panel.title, table(cells(panel)), *panel.sentences(), "")]
    lines.append(
        f"{done} of {len(runs)} runs finished; another command is at work, so no file in {plan.folder} is written"
    )
    return "\n".join(lines)


def _overview(plan: "Plan", chosen: "list[Job]") -> str:
    from mmmie.evidence.table import table
    from mmmie.experiments.running import to_do
    from mmmie.experiments.status import row_of

    jobs = [job for job in to_do(plan, chosen)[0] if job.kind == "train"]
    rows = [row_of(plan, job) for job in [*jobs, *chosen]]
    done = sum(row.state == "done" for row in rows)
    shown = [["arm", "corpus", "seed", "state"], *([r.arm, r.corpus, str(r.seed), r.state] for r in rows)]
    return f"{table(shown)}\n{len(rows)} runs, {done} done, {len(rows) - done} to do, in {plan.folder}"
