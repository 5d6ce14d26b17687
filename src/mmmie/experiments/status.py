"""How a study goes: `status.csv`, a row a run, and one line on the terminal."""

import csv
import io
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as Bar

from mmmie.evidence.predictions import replacing
from mmmie.experiments.plan import Job, Plan, start_jobs
from mmmie.experiments.running import is_done, stored_evaluation, to_do
from mmmie.jobs import Event
from mmmie.learning.run import Run

STATUS_FILE = "status.csv"


@dataclass(frozen=True)
class Row:
    """One run of a study; also one that arms start from, which is not evaluated."""

    corpus: str
    arm: str
    seed: int
    state: Literal["waiting", "interrupted", "running", "done", "failed"]
    valid_mae: float | None = None
    test_mae: float | None = None
    seconds: float | None = None
    """Of training."""
    error: str = ""


def jobs_with_rows(plan: Plan, chosen: Sequence[Job]) -> list[Job]:
    """All runs of a study, after what they start from where that is there or is trained now."""
    now = to_do(plan, chosen)[0]
    starts = [job for job in start_jobs(plan) if job in now or (plan.run_folder(job) / "recipe.json").is_file()]
    return [*starts, *plan.runs()]


def row_of(plan: Plan, job: Job) -> Row:
    """What the folders say of a run."""
    row = Row(job.corpus, job.name, job.seed, "waiting")
    folder = plan.run_folder(job)
    if not (folder / "recipe.json").is_file():
        return row
    run = Run.open(folder)
    row = replace(row, valid_mae=run.status.get("best_valid_mae"), seconds=run.status.get("seconds"))
    if job.kind == "train":
        return replace(row, state="done" if run.finished else "interrupted")
    evaluation = stored_evaluation(run) if run.finished else None
    if evaluation is None or not is_done(plan, job):
        return replace(row, state="interrupted")
    return replace(row, state="done", test_mae=evaluation.test.mae)


class Board:
    """The rows of a study, kept up by events, in `status.csv` and on the terminal.

    Args:
        plan: checked.
        chosen: the runs that are done now, or are done already.
        shown: those that have a row.
        folder: where `status.csv` is kept.
        quiet: show nothing; the file is written all the same.
        console: where to.
    """

    def __init__(
        self,
        plan: Plan,
        chosen: Sequence[Job],
        shown: Sequence[Job],
        folder: Path,
        quiet: bool = False,
        console: Console | None = None,
    ) -> None:
        self.plan, self.folder = plan, folder
        self.rows = {job: row_of(plan, job) for job in shown}
        at_work = [job for job in to_do(plan, chosen)[0] if job.kind != "text"]
        self.console = console or Console(stderr=True)
        self.quiet = quiet
        self._share: dict[Job, float] = dict.fromkeys(at_work, 0.0)
        self._ended = self._failed = 0
        self._began = time.monotonic()
        self._bar = Bar(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TextColumn("{task.fields[left]}{task.fields[failed]}", markup=False),
            console=self.console,
            disable=quiet or not self.console.is_terminal,
            transient=True,
        )
        self._task = self._bar.add_task(plan.study.name, total=len(at_work), left="", failed="")

    def __enter__(self) -> Self:
        self.write()
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()
        for job, row in self.rows.items():
            if row.state == "running":
                self.rows[job] = row_of(self.plan, job)
        self.write()

    def __call__(self, event: Event[Job]) -> None:
        job = event.item
        if event.ended:
            self._end(job, event)
        elif event.stage == "training" and job in self._share:
            done, _, epochs = event.state.partition("/")
            self._share[job] = int(done) / int(epochs)
        elif event.stage == "text":
            self._bar.update(self._task, description=f"{self.plan.study.name}  text features {event.state}")
        if job in self.rows and not event.ended and self.rows[job].state != "running":
            self.rows[job] = replace(self.rows[job], state="running", error="")
            self.write()
        self._bar.update(self._task, left=self._left())

    def all_rows(self) -> list[Row]:
        return list(self.rows.values())

    def write(self) -> None:
        """Writes `status.csv` whole."""
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, [field.name for field in fields(Row)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(row) for row in self.rows.values())
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / STATUS_FILE
        with replacing(path) as temporary:
            temporary.write_text(text.getvalue(), encoding="utf-8")

    def _end(self, job: Job, event: Event[Job]) -> None:
        failed = event.state in ("failed", "lost")
        error = _last_line(event.cause) if failed else ""
        if job.kind == "text":
            self._bar.update(self._task, description=self.plan.study.name)
            if failed:
                self._say(f"text features of {job}: {error}")
            return
        row = row_of(self.plan, job)
        self._keep_cause(job, event.cause if failed else None)
        self.rows[job] = replace(row, state="failed", error=error) if failed else row
        self.write()
        self._share[job] = 1.0
        self._ended += 1
        self._failed += failed
        self._bar.update(self._task, completed=self._ended, failed=f"  {self._failed} failed" if self._failed else "")
        self._say(f"{self._ended}/{len(self._share)}  {job}  {error or _result(self.rows[job])}")

    def _keep_cause(self, job: Job, cause: str | None) -> None:
        """The whole text of an error lies beside the run's folder until the run has succeeded."""
        folder = self.plan.run_folder(job)
        path = folder.with_name(f"{folder.name}.error.txt")
        if cause is None:
            path.unlink(missing_ok=True)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            temporary.write_text(cause + "\n", encoding="utf-8")

    def _say(self, text: str) -> None:
        if not self.quiet and not (self.console.is_terminal and "failed" not in text and self._failed == 0):
            self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def _left(self) -> str:
        share = sum(self._share.values()) / max(1, len(self._share))
        if share < 0.01:
            return ""
        seconds = int((time.monotonic() - self._began) * (1 - share) / share)
        return f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d} left"


def _result(row: Row) -> str:
    test = "" if row.test_mae is None else f"  test {row.test_mae:.4f}"
    return f"valid MAE {row.valid_mae:.4f}{test}  {row.seconds:.0f} s"


def _last_line(text: str | None) -> str:
    lines = [line.strip() for line in (text or "unknown").splitlines() if line.strip()]
    return lines[-1] if lines else "unknown"
