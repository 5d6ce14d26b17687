"""Several files at once, each in a process of its own kind: one that hangs or crashes costs its file and no other.

A worker loads its models once and takes file after file. It says when a stage begins and ends; one that is silent for
longer than its limit is stopped, and a new worker goes on with the next file.
"""

import multiprocessing
import signal
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Literal, Protocol

from mmmie.analysis.request import Input
from mmmie.analysis.stages import Report

POLL_SECONDS = 0.5
BEGINNING = "start"
"""The stage of a worker that has not said anything about its file yet."""


class Work(Protocol):
    """Done in the worker for each file; created there, once, from what can be pickled."""

    def __call__(self, item: Input, report: Report) -> str:
        """The status of the result that it wrote."""


@dataclass(frozen=True)
class Event:
    """What the parent is told while it waits."""

    item: Input
    stage: str
    state: str
    """`begun`, `done`, `kept`, `skipped`, `failed`; at the end of a file `complete`, `partial`, `failed`, `lost`."""
    ended: bool = False
    """Whether it tells of the end of the file."""


@dataclass(frozen=True)
class Outcome:
    """How a file ended."""

    item: Input
    status: Literal["complete", "partial", "failed"]
    seconds: float
    lost_in: str | None = None
    """The stage in which its worker was stopped or died; then nothing was written for it."""
    cause: str | None = None


def run_jobs(
    items: Sequence[Input],
    make_work: Callable[[], Work],
    jobs: int,
    limit_seconds: float,
    on_event: Callable[[Event], None],
) -> list[Outcome]:
    """Does the work for every file and gives their outcomes in the order of `items`.

    Args:
        items: the files.
        make_work: called in each worker; picklable.
        jobs: how many workers.
        limit_seconds: a stage that takes longer is taken to hang.
        on_event: told of every stage, in this process.
    """
    waiting = list(items)
    outcomes: dict[Input, Outcome] = {}
    workers: list[_Worker] = []
    try:
        while len(outcomes) < len(items):
            while waiting and len(workers) < max(1, jobs):
                workers.append(_Worker(make_work))
            for worker in workers:
                if worker.item is None and waiting:
                    worker.give(waiting.pop(0))
            wait([worker.connection for worker in workers], POLL_SECONDS)
            for worker in list(workers):
                for event in worker.hear():
                    on_event(event)
                outcome = worker.outcome(limit_seconds)
                if outcome is not None:
                    outcomes[outcome.item] = outcome
                    state = "lost" if outcome.lost_in else outcome.status
                    on_event(Event(outcome.item, outcome.lost_in or "report", state, ended=True))
                if not worker.alive:
                    workers.remove(worker)
    finally:
        for worker in workers:
            worker.stop()
    return [outcomes[item] for item in items]


@dataclass
class _Worker:
    make_work: Callable[[], Work]
    item: Input | None = None
    alive: bool = True
    connection: Connection = field(init=False)
    _process: SpawnProcess = field(init=False)
    _stage: str = BEGINNING
    _began: float = 0.0
    _heard: float = 0.0
    _end: tuple[str, str | None] | None = None

    def __post_init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs, self.make_work), daemon=True)
        self._process.start()
        theirs.close()

    def give(self, item: Input) -> None:
        self.item, self._stage, self._end = item, BEGINNING, None
        self._began = self._heard = time.monotonic()
        with suppress(OSError):  # a worker that died is noticed below
            self.connection.send(item)

    def hear(self) -> list[Event]:
        events = []
        with suppress(EOFError, OSError):
            while self.connection.poll():
                kind, *values = self.connection.recv()
                self._heard = time.monotonic()
                if kind == "end":
                    self._end = (values[0], values[1])
                elif self.item is not None:
                    self._stage = values[0]
                    events.append(Event(self.item, *values))
        return events

    def outcome(self, limit_seconds: float) -> Outcome | None:
        """How the file ended, if it did; a worker that hangs is stopped."""
        died = not self._process.is_alive()
        if self.item is None:
            self.alive = not died
            return None
        item, seconds = self.item, time.monotonic() - self._began
        if self._end is not None:
            status, fault = self._end
            self.item = None
            if fault is not None:
                return Outcome(item, "failed", seconds, self._stage, fault)
            return Outcome(item, status, seconds)  # type: ignore[arg-type]
        if died:
            self.alive = False
            return Outcome(item, "failed", seconds, self._stage, f"the process died ({_exit(self._process.exitcode)})")
        if time.monotonic() - self._heard > limit_seconds:
            self.stop()
            return Outcome(item, "failed", seconds, self._stage, f"no end after {limit_seconds:g} s")
        return None

    def stop(self) -> None:
        self.alive = False
        self._process.kill()
        self._process.join()
        self.connection.close()


def _work(connection: Connection, make_work: Callable[[], Work]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent is interrupted, and stops its workers
    work: Work | None = None
    with suppress(EOFError, OSError):  # the parent is gone
        while True:
            item = connection.recv()
            try:
                work = work or make_work()
                status = work(item, lambda stage, state: connection.send(("stage", stage, state)))
                connection.send(("end", status, None))
            except (EOFError, BrokenPipeError):
                raise
            except Exception:  # a fault of ours costs this file, and says what it was
                connection.send(("end", "failed", traceback.format_exc()))


def _exit(code: int | None) -> str:
    if code is not None and code < 0:
        with suppress(ValueError):
            return f"signal {signal.Signals(-code).name}"
    return f"exit status {code}"
