"""Stages: done once, appearing whole, failing into a record."""

import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from mmmie.analysis.stages import StageFailed, StageLog, StageStore, key_of, load_value, save_value
from mmmie.errors import MediaError


def test_a_stage_is_done_once_for_each_key_and_the_old_output_goes(tmp_path: Path) -> None:
    calls: list[Path] = []

    def write(folder: Path) -> None:
        calls.append(folder)
        (folder / "x").write_text(str(len(calls)))

    store = StageStore(tmp_path / "s", StageLog())
    first = store.make("media", key_of("a"), write)
    assert store.make("media", key_of("a"), write) == first
    assert len(calls) == 1
    second = store.make("media", key_of("b"), write)
    assert (second / "x").read_text() == "2"
    assert sorted(p.name for p in (tmp_path / "s").iterdir()) == [second.name]
    assert [record.status for record in store.log.records] == ["done", "kept", "done"]


def test_a_mistake_becomes_a_record_and_leaves_nothing(tmp_path: Path) -> None:
    def write(folder: Path) -> None:
        (folder / "half").write_text("x")
        raise MediaError("x.mp4 is empty: 0 bytes. Copy it again")

    seen: list[tuple[str, str]] = []
    store = StageStore(tmp_path / "s", StageLog(lambda stage, state: seen.append((stage, state))))
    with pytest.raises(StageFailed):
        store.make("media", "k", write)
    (record,) = store.log.records
    assert (record.status, record.cause, record.repair) == ("failed", "x.mp4 is empty: 0 bytes.", "Copy it again.")
    assert list((tmp_path / "s").iterdir()) == []
    assert seen == [("media", "begun"), ("media", "failed")]


def test_a_fault_of_ours_is_not_swallowed(tmp_path: Path) -> None:
    store = StageStore(tmp_path / "s", StageLog())
    with pytest.raises(ZeroDivisionError):
        store.make("media", "k", lambda folder: print(1 / 0))
    assert list((tmp_path / "s").iterdir()) == []


@dataclass(frozen=True)
class Inner:
    seconds: float
    name: str | None


@dataclass(frozen=True)
class Outer:
    path: Path
    parts: tuple[Inner, ...]


def test_values_come_back_as_they_went(tmp_path: Path) -> None:
    value = Outer(Path("a/b c.mp4"), (Inner(0.1 + 0.2, None), Inner(1e-9, "é\n")))
    save_value(tmp_path / "v.json", Outer, value)
    assert load_value(tmp_path / "v.json", Outer) == value
    assert key_of({"a": 1, "b": 2}) == key_of({"b": 2, "a": 1})
    assert key_of("a", 1) != key_of("a", 2)


@pytest.mark.parametrize(
    ("text", "cause", "repair"),
    [
        ("it ends at 3.5 s. Copy it again.", "it ends at 3.5 s.", "Copy it again."),
        ("is it a subtitle? Mend it.", "is it a subtitle?", "Mend it."),
        ("it is Latin-1. Save it by: iconv (a guess)", "it is Latin-1.", "Save it by: iconv (a guess)"),
        ("it is a folder", "it is a folder.", "Look at the file, and analyze it again."),
    ],
)
def test_the_last_sentence_of_an_error_is_what_to_do(text: str, cause: str, repair: str, tmp_path: Path) -> None:
    def write(_folder: Path) -> None:
        raise MediaError(text)

    store = StageStore(tmp_path / "s", StageLog())
    with pytest.raises(StageFailed):
        store.make("media", "k", write)
    assert (store.log.records[0].cause, store.log.records[0].repair) == (cause, repair)


def test_what_a_killed_call_left_goes_when_the_stage_is_done(tmp_path: Path) -> None:
    for name in (".media-k.killed", "speech-k"):
        (tmp_path / name).mkdir()
    StageStore(tmp_path, StageLog()).make("media", "k", lambda folder: (folder / "x").touch())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["media-k", "speech-k"]


@pytest.mark.skipif(sys.platform != "linux", reason="only the C library of Linux keeps what is freed")
def test_what_a_stage_freed_goes_back_to_the_system(tmp_path: Path) -> None:
    before = resident_mb()

    def write(folder: Path) -> None:
        kept = [bytes([1]) * 10_000 for _ in range(20_000)]
        assert resident_mb() > before + 150
        pins.append(kept[-1])  # at the top of the heap, so that by itself the C library gives nothing back

    pins: list[bytes] = []
    StageStore(tmp_path, StageLog()).make("voice", "k", write)
    assert resident_mb() < before + 50


def resident_mb() -> float:
    lines = Path("/proc/self/status").read_text("utf-8").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))
