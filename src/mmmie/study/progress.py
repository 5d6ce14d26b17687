"""How an analysis shows itself: on a terminal a line for each file at work with its stage and the time left."""

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from mmmie.analysis.request import Input
from mmmie.study.jobs import Event

SHARES = {
    "media": 0.03,
    "speech": 0.05,
    "transcript": 0.4,
    "speakers": 0.07,
    "utterances": 0.0,
    "faces": 0.35,
    "voice": 0.05,
    "features": 0.01,
    "prediction": 0.03,
    "report": 0.01,
}
"""Of the time a file takes, as measured on the packaged models; only the time left that is shown depends on it."""


class ShownProgress:
    """Told of every event; a bar for each file on a terminal, a line for each file that ends elsewhere.

    Args:
        items: all files.
        quiet: show nothing.
        console: where to.
    """

    def __init__(self, items: Sequence[Input], quiet: bool = False, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True)
        self.quiet = quiet
        self._done: dict[Input, float] = dict.fromkeys(items, 0.0)
        self._tasks: dict[Input, TaskID] = {}
        self._ended = 0
        self._began = time.monotonic()
        self._bar = Bar(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=16),
            TextColumn("{task.fields[stage]}", markup=False),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
            console=self.console,
            disable=quiet or not self.console.is_terminal,
            transient=True,
        )

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def __call__(self, event: Event) -> None:
        item = event.item
        if item not in self._tasks:
            name = item.media.name if item.media.name.isprintable() else repr(item.media.name)
            self._tasks[item] = self._bar.add_task(name, total=1.0, stage="", left="")
        if event.ended:
            self._end(item, event)
            return
        if event.state != "begun":
            self._done[item] = min(1.0, self._done[item] + SHARES.get(event.stage, 0.0))
        stage = event.stage if event.state == "begun" else f"{event.stage} {event.state}"
        self._bar.update(self._tasks[item], completed=self._done[item], stage=stage, left=self._left())

    def _end(self, item: Input, event: Event) -> None:
        self._ended += 1
        self._done[item] = 1.0
        self._bar.remove_task(self._tasks[item])
        if not self.quiet:
            cause = f" in {event.stage}" if event.state == "lost" else ""
            state = "failed" if event.state == "lost" else event.state
            name = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in item.media.name)
            self.console.print(
                f"{self._ended}/{len(self._done)}  {name}  {state}{cause}", markup=False, highlight=False
            )

    def _left(self) -> str:
        share = sum(self._done.values()) / max(1, len(self._done))
        if share < 0.02:
            return ""
        seconds = (time.monotonic() - self._began) * (1 - share) / share
        return f"{int(seconds) // 60}:{int(seconds) % 60:02d} left"
