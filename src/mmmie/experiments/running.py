"""The runs of a study, trained and evaluated in processes beside each other, each of them once."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from mmmie.errors import EvidenceError
from mmmie.experiments.plan import Job, Plan
from mmmie.jobs import Event, Outcome, Report, Work, run_jobs
from mmmie.learning.progress import Silent
from mmmie.learning.run import Run

if TYPE_CHECKING:
    from mmmie.corpus.store import Corpus
    from mmmie.evidence.evaluation import Evaluation
    from mmmie.evidence.robustness import Robustness
    from mmmie.experiments.information import Information


def num_cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def num_threads(processes: int) -> int:
    """Of each of several processes: its share of the cores, and no more than OMP_NUM_THREADS allows."""
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    allowed = int(wanted) if wanted.isdecimal() and int(wanted) else num_cores()
    return max(1, min(num_cores() // max(1, processes), allowed))


def done_run(plan: Plan, job: Job) -> Run | None:
    """The finished run of a job; None where there is something to train."""
    folder = plan.run_folder(job)
    if not (folder / "recipe.json").is_file():
        return None
    run = Run.open(folder)
    return run if run.finished else None


def stored_evaluation(run: Run, other: "Corpus | None" = None) -> "Evaluation | None":
    """The evaluation of a run's weights on its own corpus, or another; None where there is none of these weights."""
    from mmmie.evidence.evaluation import Evaluation

    folders = [run.path] if other is None else sorted((run.path / "on").glob(f"*-{other.info.fingerprint[:8]}"))
    for folder in folders:
        try:
            evaluation = Evaluation.read(folder)
        except EvidenceError:
            continue
        if evaluation.checkpoint_sha256 == run.contract.get("sha256"):
            return evaluation
    return None


def is_done(plan: Plan, job: Job) -> bool:
    """Whether a run is finished, and evaluated wherever the study wants it."""
    run = done_run(plan, job)
    if run is None or job.kind == "train":
        return run is not None
    return None not in [stored_evaluation(run, other) for other in tested_on(plan, run)] and not _lacks(plan, run)


def stored_robustness(run: Run) -> "Robustness | None":
    """Of a run's present weights; None where it was not measured."""
    from mmmie.evidence.robustness import Robustness

    try:
        return Robustness.read(run)
    except EvidenceError:
        return None


def stored_information(run: Run) -> "Information | None":
    """Of a run's present weights; None where it was not measured."""
    from mmmie.experiments.information import Information

    try:
        return Information.read(run)
    except EvidenceError:
        return None


def _lacks(plan: Plan, run: Run) -> bool:
    study = plan.study
    return (study.robustness and stored_robustness(run) is None) or (
        study.information and stored_information(run) is None
    )


def tested_on(plan: Plan, run: Run) -> "list[Corpus | None]":
    """What a run is evaluated on: its own corpus (None), then those of `test_on` that are not its own."""
    from mmmie.corpus.store import Corpus

    others = map(Corpus.open, plan.study.test_on)
    return [None, *(other for other in others if other.info.fingerprint != run.corpus_fingerprint)]


def run_study(plan: Plan, runs: Sequence[Job], jobs: int, on_event: Callable[[Event[Job]], None]) -> list[Outcome[Job]]:
    """Does what is missing of some runs, after what they need: text features, and what they start from.

    Args:
        plan: checked.
        runs: of the plan; those that are done are left alone.
        jobs: processes; each has an equal share of the cores.
        on_event: told of every stage of every job.

    Returns:
        how each job ended, what the runs need included.
    """
    items, after = to_do(plan, runs)
    threads = num_threads(min(jobs, len(items)))
    return run_jobs(items, partial(make_work, plan, threads), jobs, None, on_event, after)


def to_do(plan: Plan, runs: Sequence[Job]) -> tuple[list[Job], dict[Job, list[Job]]]:
    """Those of some runs that are not done, after all that they need; for each what must have ended before it."""
    todo = [job for job in runs if not is_done(plan, job)]
    texts: dict[str, Job] = {}
    starts: dict[Job, None] = {}
    after: dict[Job, list[Job]] = {}

    def need(job: Job) -> None:
        cell = plan.cell(job)
        needs = after.setdefault(job, [])
        if done_run(plan, job) is not None:
            return
        key = cell.text_key()
        if key is not None:
            needs.append(texts.setdefault(key, Job("text", cell.corpus, cell.name, 0)))
        before = plan.before(job)
        if before is not None and done_run(plan, before) is None:
            needs.append(before)
            if before not in starts:
                need(before)
                starts[before] = None

    for job in todo:
        need(job)
    return [*texts.values(), *starts, *todo], after


@contextmanager
def only_one(plan: Plan, reading: bool = False) -> Iterator[bool]:
    """Keeps a second command off a study that is at work; the system lets go of the lock however the first one ends.

    Gives whether no other is at work, which is always so unless `reading`.

    Raises:
        EvidenceError: another command is at work on it, and this one is not for reading alone.
    """
    try:
        import fcntl
    except ImportError:  # a system without such locks
        yield True
        return
    plan.folder.mkdir(parents=True, exist_ok=True)
    with open(plan.folder / ".lock", "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            if not reading:
                raise EvidenceError(
                    f"another command is at work on {plan.folder}. Wait for it, or give this one another --out."
                ) from None
            yield False
            return
        yield True


def make_work(plan: Plan, threads: int) -> Work[Job]:
    """What a worker does with a job of a plan, in so many threads."""
    import torch

    torch.set_num_threads(threads)

    def work(item: Job, report: Report) -> str:
        if item.kind == "text":
            _store_text(plan, item, report)
            return "done"
        run = _train(plan, item, report)
        if item.kind == "run":
            _evaluate(plan, run, report)
        return "done"

    return work


def _train(plan: Plan, job: Job, report: Report) -> Run:
    from mmmie.learning.plan import train

    cell = plan.cell(job)
    return train(
        cell.recipe_path,
        seeds=[job.seed],
        overrides=cell.overrides,
        runs=plan.runs_folder(job.corpus),
        resume=True,
        show=lambda recipe: _Epochs(report, recipe.training.epochs),
    )[0]


def _evaluate(plan: Plan, run: Run, report: Report) -> None:
    """Everything that is asked of a finished run, each once."""
    from mmmie.evidence.evaluation import evaluate
    from mmmie.evidence.robustness import measure_robustness
    from mmmie.experiments.information import measure_information

    report("evaluating", "begun")
    for other in tested_on(plan, run):
        if stored_evaluation(run, other) is None:
            evaluate(run, other)
    if plan.study.robustness and stored_robustness(run) is None:
        measure_robustness(run)
    if plan.study.information and stored_information(run) is None:
        measure_information(run)


def _store_text(plan: Plan, job: Job, report: Report) -> None:
    """Computes the text features of all rows that a cell is trained or evaluated on, once for all workers.

    The others wait for it, so that it has all cores.
    """
    import torch

    from mmmie.corpus.store import Corpus
    from mmmie.features.text_sources import text_source

    cell, threads = plan.cell(job), torch.get_num_threads()
    torch.set_num_threads(num_threads(1))
    for path in dict.fromkeys([cell.path, *plan.study.test_on]):
        text_source(
            Corpus.open(path).everything(),
            cell.recipe.text,
            cell.recipe.training.precision,
            frozen_too=cell.frozen_too,
            progress=lambda done, total: report("text", f"{done}/{total}"),
        )
    torch.set_num_threads(threads)


class _Epochs(Silent):
    """Passes on how many epochs are done."""

    def __init__(self, report: Report, epochs: int) -> None:
        self.report, self.epochs = report, epochs

    def epoch(self, epoch: int, epochs: int, steps: int) -> None:  # noqa: ARG002
        self.report("training", f"{epoch}/{self.epochs}")
