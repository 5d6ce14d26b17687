"""How training shows itself: a bar with the named terms on a terminal, a line per epoch elsewhere, or nothing."""

from types import TracebackType
from typing import Any, Protocol, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar


class Progress(Protocol):
    """Where `fit` tells how it goes."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def features(self, done: int, total: int) -> None:
        """Passages whose text features are computed."""
        ...

    def epoch(self, epoch: int, epochs: int, steps: int) -> None: ...
    def step(self, terms: dict[str, float]) -> None: ...
    def epoch_done(self, line: dict[str, Any], best_epoch: int) -> None: ...


class Silent:
    """Shows nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def features(self, done: int, total: int) -> None: ...
    def epoch(self, epoch: int, epochs: int, steps: int) -> None: ...
    def step(self, terms: dict[str, float]) -> None: ...
    def epoch_done(self, line: dict[str, Any], best_epoch: int) -> None: ...


class Shown:
    """A bar on a terminal; a line per epoch, and every tenth of the text features, elsewhere.

    Args:
        title: what is being trained.
        console: where to.
    """

    def __init__(self, title: str, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True)
        self.title = title
        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[terms]}"),
            console=self.console,
            disable=not self.console.is_terminal,
            transient=True,
        )
        self._task: TaskID | None = None
        self._tenth = -1
        self._epochs = 0

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def features(self, done: int, total: int) -> None:
        if self.console.is_terminal:
            self.console.print(f"{self.title}  text features {done}/{total}", end="\r")
        elif 10 * done // total != self._tenth:
            self._tenth = 10 * done // total
            self._line(f"{self.title}  text features {done}/{total}")

    def epoch(self, epoch: int, epochs: int, steps: int) -> None:
        self._epochs = epochs
        if self._task is not None:
            self._bar.remove_task(self._task)
        self._task = self._bar.add_task(f"{self.title}  epoch {epoch + 1}/{epochs}", total=steps, terms="")

    def step(self, terms: dict[str, float]) -> None:
        if self._task is not None:
            shown = "  ".join(f"{name} {value:.2f}" for name, value in terms.items())
            self._bar.update(self._task, advance=1, terms=shown)

    def epoch_done(self, line: dict[str, Any], best_epoch: int) -> None:
        terms = "  ".join(f"{name} {value:.3f}" for name, value in line["train"].items())
        mark = "  best" if best_epoch == line["epoch"] else ""
        self._line(
            f"{self.title}  epoch {line['epoch'] + 1}/{self._epochs}  valid MAE {line['valid']['mae']:.4f}  "
            f"{terms}  {line['seconds']:.0f} s{mark}"
        )

    def _line(self, text: str) -> None:
        """One line, and off a terminal one however long it is, so that logs can be searched."""
        self.console.print(text, highlight=False, soft_wrap=not self.console.is_terminal)
