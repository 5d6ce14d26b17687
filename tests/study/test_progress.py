"""What is seen of an analysis while it goes on."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from mmmie.analysis.request import Input
from mmmie.jobs import Event
from mmmie.study.progress import ShownProgress, clock_time


def shown(folder: Path, terminal: bool, quiet: bool = False) -> str:
    items = [Input(folder / name, folder / "out") for name in ("a.mp4", "b\x1b[31m.mp4")]
    for item in items:
        item.media.write_bytes(b"0" * 1000)
    time = 0.0
    console = Console(file=io.StringIO(), force_terminal=terminal, width=100)
    with ShownProgress(items, quiet, console, clock=lambda: time) as progress:
        for item in items:
            progress(Event(item, "media", "begun"))
            progress(Event(item, "media", "done"))
            progress(Event(item, "media", "lasts 1200.0 s"))
            progress(Event(item, "faces", "begun"))
            time += 30.0
            progress(Event(item, "faces", "at 600 s"))
            progress._bar.refresh()
            progress(Event(item, "report", "complete", ended=True))
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_a_line_a_file_with_the_time_left_where_there_is_no_terminal(tmp_path: Path) -> None:
    first, second = shown(tmp_path, terminal=False).splitlines()
    assert first.startswith("1/2  a.mp4  complete  1:")
    assert first.endswith(" left")
    assert second == "2/2  b\N{REPLACEMENT CHARACTER}[31m.mp4  complete"


def test_a_terminal_shows_stage_and_time_left_of_each_and_of_all(tmp_path: Path) -> None:
    text = shown(tmp_path, terminal=True)
    assert "faces at 600 s" in text
    assert "all" in text
    assert "left" in text


def test_quiet_is_quiet(tmp_path: Path) -> None:
    assert shown(tmp_path, terminal=False, quiet=True) == ""


@pytest.mark.parametrize(("seconds", "text"), [(0.2, "0:00"), (59.6, "1:00"), (760, "12:40"), (3760, "1:02:40")])
def test_time_as_clocks_show_it(seconds: float, text: str) -> None:
    assert clock_time(seconds) == text
