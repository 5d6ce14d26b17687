"""The time left, on a clock of the test's own: it learns what this machine takes, and knows what is still to do."""

from pathlib import Path

import pytest

from mmmie.analysis.request import Input, Request
from mmmie.jobs import Event
from mmmie.settings import AnalysisSettings
from mmmie.study.time_left import AFTERWARDS, HEARING, RATES, TimeLeft, stages_of

CHAIN = ("media", *HEARING, *AFTERWARDS)


class Clock:
    """Shows what it was set to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def files(folder: Path, seconds: list[float], bytes_a_second: int = 100) -> list[Input]:
    found = []
    for n, duration in enumerate(seconds):
        media = folder / f"{n}.mp4"
        media.write_bytes(b"0" * round(duration * bytes_a_second))
        found.append(Input(media, folder / f"{n}.mmmie"))
    return found


class Machine:
    """Workers that take `slower` times as long as is expected; tells `left` of everything, in order of time."""

    def __init__(self, clock: Clock, left: TimeLeft, slower: float, jobs: int = 1, loading: float = 0.0) -> None:
        self.clock, self.left, self.slower, self.jobs, self.told_every = clock, left, slower, jobs, 10.0
        self.loading = loading
        """Seconds that the first prediction of each worker takes longer."""
        self.log: list[tuple[float, float | None]] = []
        """When something was told, and what was then said to be left."""

    def run(self, items: list[Input], seconds: list[float], without: tuple[str, ...] = ()) -> float:
        """Does all files; gives when the last ended."""
        free = [0.0] * self.jobs
        events: list[tuple[float, int, Event[Input]]] = []
        for item, duration in zip(items, seconds, strict=True):
            worker = free.index(min(free))
            loading = self.loading if free[worker] == 0 else 0.0
            told, free[worker] = self._file(item, duration, free[worker], without, loading)
            events += [(time, len(events) + n, event) for n, (time, event) in enumerate(told)]
        for time, _, event in sorted(events, key=lambda e: e[:2]):
            self.clock.now = time
            self.left.hear(event)
            self.log.append((time, self.left.seconds()))
        return max(free)

    def _file(
        self, item: Input, duration: float, begin: float, without: tuple[str, ...], loading: float
    ) -> tuple[list[tuple[float, Event[Input]]], float]:
        events, at, joined = [], begin, begin

        def stage(name: str, start: float) -> float:
            end = start + self.slower * RATES[name] * duration + loading * (name == "prediction")
            events.append((start, Event(item, name, "begun")))
            if name in ("transcript", "faces"):
                steps = int(duration / self.told_every)
                for n in range(1, steps):
                    events.append((start + (end - start) * n / steps, Event(item, name, f"at {n * self.told_every} s")))
            events.append((end, Event(item, name, "done")))
            return end

        for name in CHAIN:
            if name in without:
                continue
            if name == "voice":
                at = max(at, joined)
            if name == "report":
                at += self.slower * RATES[name] * duration
                continue
            at = stage(name, at)
            if name == "media":
                events.append((at, Event(item, name, f"lasts {duration} s")))
                joined = stage("faces", at) if "faces" not in without else at
        events.append((at, Event(item, "report", "complete", ended=True)))
        return events, at


def worst(log: list[tuple[float, float | None]], end: float, since: float, until: float = 1.0) -> float:
    """The largest error of what was said to be left between two shares of the whole, as a share of the whole."""
    said = [(time, left) for time, left in log if since * end <= time <= until * end]
    assert len(said) > 5
    assert all(left is not None for _, left in said)
    return max(abs(left - (end - time)) for time, left in said if left is not None) / end


@pytest.mark.parametrize("slower", [0.3, 1.0, 4.0])
def test_one_long_file_is_foretold_from_its_own_progress(tmp_path: Path, slower: float) -> None:
    clock, seconds = Clock(), [7200.0]
    items = files(tmp_path, seconds, bytes_a_second=1)
    machine = Machine(clock, left := TimeLeft(items, clock=clock), slower)
    end = machine.run(items, seconds)
    assert worst(machine.log, end, since=0.15) < 0.1
    assert left.seconds() == 0.0


@pytest.mark.parametrize("jobs", [1, 2, 3])
@pytest.mark.parametrize("slower", [0.5, 3.0])
def test_many_files_of_different_lengths(tmp_path: Path, jobs: int, slower: float) -> None:
    clock, seconds = Clock(), [60.0, 300, 20, 600, 120, 90, 240, 30, 400, 150]
    items = files(tmp_path, seconds)
    machine = Machine(clock, TimeLeft(items, jobs, clock=clock), slower, jobs)
    end = machine.run(items, seconds)
    assert worst(machine.log, end, since=0.15) < 0.12
    assert worst(machine.log, end, since=0.5) < 0.06


def test_networks_are_loaded_once(tmp_path: Path) -> None:
    """Short files: the first takes ten times as long as each of the others."""
    clock, seconds = Clock(), [10.0] * 40
    items = files(tmp_path, seconds)
    machine = Machine(clock, TimeLeft(items, 2, clock=clock), 1.0, jobs=2, loading=9.0)
    end = machine.run(items, seconds)
    assert worst(machine.log, end, since=0.6) < 0.1


def test_with_two_workers_half_the_time_is_left(tmp_path: Path) -> None:
    seconds = [100.0] * 8
    items = files(tmp_path, seconds)
    said = []
    for jobs in (1, 2):
        left = TimeLeft(items, jobs, clock=Clock())
        left.hear(Event(items[0], "media", "lasts 100.0 s"))
        said.append(left.seconds())
    assert said[1] == pytest.approx(said[0] / 2, rel=0.01)


def test_a_file_that_waits_is_as_long_as_its_bytes_say(tmp_path: Path) -> None:
    items = files(tmp_path, [100.0, 900.0])
    left = TimeLeft(items, clock=Clock())
    assert left.seconds() is None
    left.hear(Event(items[0], "media", "lasts 100.0 s"))
    assert left.seconds() == pytest.approx(10 * left.seconds_of(items[0]))


def test_what_is_kept_takes_no_time_and_teaches_none(tmp_path: Path) -> None:
    clock = Clock()
    items = files(tmp_path, [100.0, 100.0])
    left = TimeLeft(items, clock=clock)
    left.hear(Event(items[0], "media", "kept"))
    left.hear(Event(items[0], "media", "lasts 100.0 s"))
    before = left.seconds()
    left.hear(Event(items[0], "faces", "kept"))
    assert left.rates()["faces"] == pytest.approx(RATES["faces"])
    assert left.seconds() < before
    left.hear(Event(items[0], "report", "complete", ended=True))
    assert left.seconds() == pytest.approx(left.seconds_of(items[1]))
    left.hear(Event(items[1], "report", "complete", ended=True))  # found whole: it was never begun
    assert left.seconds() == 0.0
    assert left.rates()["faces"] == pytest.approx(RATES["faces"])


def test_stages_that_files_do_without_are_no_longer_expected(tmp_path: Path) -> None:
    """Recordings without a picture: nothing says so of those that wait."""
    clock, seconds = Clock(), [200.0] * 6
    items = files(tmp_path, seconds)
    machine = Machine(clock, left := TimeLeft(items, clock=clock), 1.0)
    end = machine.run(items, seconds, without=("faces",))
    assert worst(machine.log, end, since=0.5) < 0.08
    assert left.rates()["faces"] < RATES["faces"] / 10


def test_a_stage_that_takes_longer_than_expected_is_not_said_to_be_over(tmp_path: Path) -> None:
    clock = Clock()
    items = files(tmp_path, [100.0])
    left = TimeLeft(items, clock=clock)
    left.hear(Event(items[0], "media", "lasts 100.0 s"))
    left.hear(Event(items[0], "faces", "begun"))
    clock.now = 1000.0
    assert left.seconds() > 50
    assert 0 <= left.share_of(items[0]) < 1


def test_what_was_lost_teaches_nothing(tmp_path: Path) -> None:
    clock = Clock()
    items = files(tmp_path, [100.0, 100.0])
    left = TimeLeft(items, clock=clock)
    left.hear(Event(items[0], "media", "lasts 100.0 s"))
    left.hear(Event(items[0], "faces", "begun"))
    clock.now = 900.0
    left.hear(Event(items[0], "faces", "lost", ended=True))
    assert left.rates()["faces"] == pytest.approx(RATES["faces"])
    assert left.seconds() == pytest.approx(left.seconds_of(items[1]))


@pytest.mark.parametrize(
    ("modalities", "given", "needless"),
    [
        (("text", "audio", "vision"), False, set()),
        (("text", "audio"), False, {"faces"}),
        (("text",), True, {"faces", "voice", "transcript", "speech", "speakers"}),
        (("text", "vision"), False, {"voice"}),
        (("audio",), True, {"faces", "transcript"}),
    ],
)
def test_only_stages_that_are_asked_for_are_expected(
    modalities: tuple[str, ...], given: bool, needless: set[str]
) -> None:
    settings = AnalysisSettings(modalities=modalities)  # type: ignore[arg-type]
    request = Request(settings, Path("run"), Path("talk.srt") if given else None)
    assert set(RATES) - set(stages_of(request)) == needless
