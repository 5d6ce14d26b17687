"""How an analysis shows itself: on a terminal a line for each file at work with its stage and the time left."""

import time
from collections.abc import Callable, Collection, Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, ProgressColumn, Task, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar
from rich.text import Text

from mmmie.analysis.request import Input
from mmmie.jobs import Event
from mmmie.study.time_left import RATES, TimeLeft


class ShownProgress:
    """Told of every event; a bar for each file on a terminal, a line for each file that ends elsewhere.

    Args:
        items: all files.
        quiet: show nothing.
        console: where to.
        jobs: how many files are at work at once.
        stages: those that a file will go through.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        items: Sequence[Input],
        quiet: bool = False,
        console: Console | None = None,
        jobs: int = 1,
        stages: Collection[str] = tuple(RATES),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.console = console or Console(stderr=True)
        self.quiet = quiet
        self._clock = clock
        self._left = TimeLeft(items, jobs, stages, clock)
        self._count, self._ended = len(items), 0
        self._tasks: dict[Input, TaskID] = {}
        self._bar = Bar(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=16),
            TextColumn("{task.fields[stage]}", markup=False),
            TimeElapsedColumn(),
            _LeftColumn(clock),
            console=self.console,
            disable=quiet or not self.console.is_terminal,
            transient=True,
        )
        self._all = self._bar.add_task("all", total=len(items), stage="", due=None, visible=len(items) > 1)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def __call__(self, event: Event[Input]) -> None:
        self._left.hear(event)
        if event.ended:
            self._end(event)
        else:
            self._update(event)
        self._bar.update(self._all, completed=self._ended, due=self._due(self._left.seconds()))

    def _update(self, event: Event[Input]) -> None:
        item = event.item
        if item not in self._tasks:
            name = item.media.name if item.media.name.isprintable() else repr(item.media.name)
            self._tasks[item] = self._bar.add_task(name, total=1.0, stage="", due=None)
        task, share = self._tasks[item], self._left.share_of(item)
        stage = event.stage if event.state == "begun" else f"{event.stage} {event.state}"
        self._bar.update(task, completed=share, stage=stage, due=self._due(self._left.seconds_of(item)))

    def _end(self, event: Event[Input]) -> None:
        self._ended += 1
        if event.item in self._tasks:
            self._bar.remove_task(self._tasks.pop(event.item))
        if self.quiet:
            return
        cause = f" in {event.stage}" if event.state == "lost" else ""
        state = "failed" if event.state == "lost" else event.state
        name = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in event.item.media.name)
        seconds = self._left.seconds()
        left = f"  {clock_time(seconds)} left" if seconds and self._ended < self._count else ""
        self.console.print(f"{self._ended}/{self._count}  {name}  {state}{cause}{left}", markup=False, highlight=False)

    def _due(self, seconds: float | None) -> float | None:
        return None if seconds is None else self._clock() + seconds


class _LeftColumn(ProgressColumn):
    """Counts down to when a task is due, also while nothing is heard."""

    max_refresh = 0.5

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__()
        self._clock = clock

    def render(self, task: Task) -> Text:
        due = task.fields["due"]
        return Text("" if due is None else f"{clock_time(max(0.0, due - self._clock()))} left")


def clock_time(seconds: float) -> str:
    """`0:07`, `12:40`, `1:02:40`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
