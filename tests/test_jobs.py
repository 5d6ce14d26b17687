"""Workers: every file has an outcome, whatever happens to the process that had it."""

import os
import signal
import time
from pathlib import Path

import pytest

from mmmie.analysis.request import Input
from mmmie.analysis.stages import Report
from mmmie.jobs import Event, run_jobs


def make_work():  # type: ignore[no-untyped-def]
    loaded = time.monotonic_ns()

    def work(item: Input, report: Report) -> str:
        name = item.media.stem
        report("media", "begun")
        if name == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        if name == "hang":
            time.sleep(600)
        if name == "fault":
            raise ZeroDivisionError("of ours")
        report("media", "done")
        item.result.write_text(f"{os.getpid()} {loaded}")
        return "partial" if name == "half" else "complete"

    return work


@pytest.mark.parametrize("jobs", [1, 2])
def test_one_that_hangs_crashes_or_fails_costs_no_other(tmp_path: Path, jobs: int) -> None:
    names = ["a", "crash", "b", "fault", "hang", "half", "c"]
    items = [Input(Path(f"{name}.mp4"), tmp_path / name) for name in names]
    events: list[Event] = []
    outcomes = run_jobs(items, make_work, jobs, limit_seconds=5.0, on_event=events.append)
    assert [o.item for o in outcomes] == items
    assert [o.status for o in outcomes] == ["complete", "failed", "complete", "failed", "failed", "partial", "complete"]
    assert [o.lost_in for o in outcomes] == [None, "media", None, "media", "media", None, None]
    causes = [o.cause or "" for o in outcomes]
    assert "SIGSEGV" in causes[1]
    assert "ZeroDivisionError: of ours" in causes[3]
    assert "5 s" in causes[4]
    assert {e.stage for e in events if e.item.media.stem == "a"} == {"media", "report"}
    if jobs == 1:  # the models are loaded once for files that follow each other
        assert (tmp_path / "b").read_text() != (tmp_path / "a").read_text()
        assert (tmp_path / "half").read_text() == (tmp_path / "c").read_text()
