"""Many jobs in processes of their own: one that hangs or crashes costs itself and no other.

A worker loads what it needs once and takes item after item. It says when a stage begins and ends; one that is silent
for longer than a limit is stopped, and a new worker goes on with the next item. Workers end with their parent, however
it ends.
"""

import multiprocessing
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Generic, Protocol, TypeVar

from mmmie.errors import MmmieError

Item = TypeVar("Item", bound=Hashable)
Taken = TypeVar("Taken", contravariant=True)

Report = Callable[[str, str], None]
"""Told of a stage and its state."""

POLL_SECONDS = 0.5
BEGINNING = "start"
"""The stage of a worker that has not said anything about its item yet."""
FAILED = "failed"


class Work(Protocol[Taken]):
    """Done in the worker for each item; created there, once, from what can be pickled."""

    def __call__(self, item: Taken, report: Report) -> str:
        """Does the work and gives a status of the caller's own; `failed` is taken as what it says."""


@dataclass(frozen=True)
class Event(Generic[Item]):
    """What the parent is told while it waits."""

    item: Item
    stage: str
    state: str
    """As the work reports it, such as `begun` or `done`; at the end of an item its status, or `lost`."""
    ended: bool = False
    """Whether it tells of the end of the item."""
    cause: str | None = None
    """At the end of an item that was lost: why."""


@dataclass(frozen=True)
class Outcome(Generic[Item]):
    """How an item ended."""

    item: Item
    status: str
    """What the work returned, or `failed`."""
    seconds: float
    lost_in: str | None = None
    """The stage in which its work raised an error, or its worker was stopped or died."""
    cause: str | None = None


def run_jobs(
    items: Sequence[Item],
    make_work: Callable[[], Work[Item]],
    jobs: int,
    limit_seconds: float | None,
    on_event: Callable[[Event[Item]], None],
    after: Mapping[Item, Sequence[Item]] | None = None,
) -> list[Outcome[Item]]:
    """Does the work for every item and gives their outcomes in the order of `items`.

    Args:
        items: different ones, picklable.
        make_work: called in each worker; picklable.
        jobs: how many workers.
        limit_seconds: a stage that takes longer is taken to hang; None: no limit.
        on_event: told of every stage, in this process.
        after: for some items, those among `items` that must have ended well before it begins. Where one of them did
            not, the item is not begun, and has failed.
    """
    waiting = list(items)
    outcomes: dict[Item, Outcome[Item]] = {}
    workers: list[_Worker[Item]] = []

    def end(outcome: Outcome[Item]) -> None:
        outcomes[outcome.item] = outcome
        state = "lost" if outcome.lost_in else outcome.status
        on_event(Event(outcome.item, outcome.lost_in or "report", state, ended=True, cause=outcome.cause))

    try:
        while len(outcomes) < len(items):
            for outcome in _hopeless(waiting, outcomes, after or {}):
                waiting.remove(outcome.item)
                end(outcome)
            ready = [item for item in waiting if all(before in outcomes for before in (after or {}).get(item, ()))]
            idle = [worker for worker in workers if worker.item is None]
            while len(idle) < len(ready) and len(workers) < max(1, jobs):
                idle.append(_Worker(make_work))
                workers.append(idle[-1])
            for worker, item in zip(idle, ready, strict=False):
                waiting.remove(item)
                worker.give(item)
            wait([worker.connection for worker in workers], POLL_SECONDS)
            for worker in list(workers):
                for event in worker.hear():
                    on_event(event)
                ended = worker.outcome(limit_seconds)
                if ended is not None:
                    end(ended)
                if not worker.alive:
                    workers.remove(worker)
    finally:
        for worker in workers:
            worker.stop()
    return [outcomes[item] for item in items]


def _hopeless(
    waiting: Sequence[Item], outcomes: Mapping[Item, Outcome[Item]], after: Mapping[Item, Sequence[Item]]
) -> list[Outcome[Item]]:
    found = []
    for item in waiting:
        for before in after.get(item, ()):
            if before in outcomes and outcomes[before].status == FAILED:
                cause = f"{before}, which comes before it, failed: {outcomes[before].cause}"
                found.append(Outcome(item, FAILED, 0.0, BEGINNING, cause))
                break
    return found


@dataclass
class _Worker(Generic[Item]):
    make_work: Callable[[], Work[Item]]
    item: Item | None = None
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

    def give(self, item: Item) -> None:
        self.item, self._stage, self._end = item, BEGINNING, None
        self._began = self._heard = time.monotonic()
        with suppress(OSError):  # a worker that died is noticed below
            self.connection.send(item)

    def hear(self) -> list[Event[Item]]:
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

    def outcome(self, limit_seconds: float | None) -> Outcome[Item] | None:
        """How the item ended, if it did; a worker that hangs is stopped."""
        died = not self._process.is_alive()
        if self.item is None:
            self.alive = not died
            return None
        item, seconds = self.item, time.monotonic() - self._began
        if self._end is not None:
            status, fault = self._end
            self.item = None
            if fault is not None:
                return Outcome(item, FAILED, seconds, self._stage, fault)
            return Outcome(item, status, seconds)
        if died:
            self.alive = False
            return Outcome(item, FAILED, seconds, self._stage, f"the process died ({_exit(self._process.exitcode)})")
        if limit_seconds is not None and time.monotonic() - self._heard > limit_seconds:
            self.stop()
            return Outcome(item, FAILED, seconds, self._stage, f"no end after {limit_seconds:g} s")
        return None

    def stop(self) -> None:
        self.alive = False
        self._process.kill()
        self._process.join()
        self.connection.close()


def _work(connection: Connection, make_work: Callable[[], Work[Item]]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent is interrupted, and stops its workers
    threading.Thread(target=_end_with_parent, daemon=True).start()
    work: Work[Item] | None = None
    with suppress(EOFError, OSError):  # the parent is gone
        while True:
            item = connection.recv()
            try:
                work = work or make_work()
                status = work(item, lambda stage, state: connection.send(("stage", stage, state)))
                connection.send(("end", status, None))
            except (EOFError, BrokenPipeError):
                raise
            except MmmieError as error:  # what the user can mend, in its own words
                connection.send(("end", FAILED, str(error)))
            except Exception:  # a fault of ours costs this item, and says what it was
                connection.send(("end", FAILED, traceback.format_exc()))


def _end_with_parent() -> None:
    """A parent that was killed is started again by whoever killed it, and meets no worker of its former life."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _exit(code: int | None) -> str:
    if code is not None and code < 0:
        with suppress(ValueError):
            return f"signal {signal.Signals(-code).name}"
    return f"exit status {code}"
