"""`mmmie analyze` killed amid its stages goes on where it was, to the result it would have had."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mmmie.analysis.analysis import Analysis
from mmmie.analysis.result import RESULT_FILE, Result
from mmmie.analysis.stages import STAGES
from mmmie.features.face import NETWORKS
from mmmie.media.models import describe, verify
from mmmie.report.page import REPORT_FILE
from odd_files import talking

SCRIPT = Path(__file__).resolve().parents[1] / "kill_in_stage.py"
CUES = ("What a wonderful and brilliant film.", "But the ending was terrible.", "I would see it again.")


class Command:
    """`mmmie analyze` of one file, each time in its own process."""

    def __init__(self, media: Path, *options: str) -> None:
        self.media, self.options = media, options

    def __call__(self, out: Path, stage: str = "none", whom: str = "both") -> int:
        """The exit status; negative where a signal ended it."""
        command = [sys.executable, str(SCRIPT), stage, whom, str(self.media), "--out", str(out), *self.options]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=600)
        assert "Traceback" not in done.stdout + done.stderr
        return done.returncode


@pytest.fixture
def command(tmp_path: Path) -> Command:
    """Of sound, picture and a transcript."""
    time = "00:00:0{}.200 --> 00:00:0{}.900"
    cues = [f"{time.format(2 * n, 2 * n + 1)}\n{text}\n" for n, text in enumerate(CUES)]
    (tmp_path / "talk.vtt").write_text("\n".join(["WEBVTT\n", *cues]))
    return Command(
        talking(tmp_path / "talk.mp4", 6.0), "--transcript", str(tmp_path / "talk.vtt"), "--offline", "--quiet"
    )


def folder_of(out: Path) -> Path:
    (folder,) = out.glob("*.mmmie")
    return folder


def without_stages(result: Result) -> Result:
    return result.model_copy(update={"stages": ()})


def assert_same(resumed: Path, whole: Path) -> None:
    """All files byte by byte, save what is said of the stages of the two calls."""
    names = {path.name for path in whole.iterdir()}
    assert {path.name for path in resumed.iterdir()} == names
    for name in names - {".stages", RESULT_FILE, REPORT_FILE}:
        assert (resumed / name).read_bytes() == (whole / name).read_bytes(), name
    results = [Analysis.open(folder).result for folder in (resumed, whole)]
    assert without_stages(results[0]) == without_stages(results[1])
    assert [s.stage for s in results[0].stages] == [s.stage for s in results[1].stages]
    for folder, result in zip((resumed, whole), results, strict=True):
        data = re.search(r'<script[^>]*id="data"[^>]*>(.*?)</script>', (folder / REPORT_FILE).read_text("utf-8"), re.S)
        assert data is not None
        assert Result.from_json(data[1], "the page") == result
    kept = [{path.name for path in (folder / ".stages").iterdir()} for folder in (resumed, whole)]
    assert kept[0] == kept[1]


def statuses(out: Path) -> dict[str, str]:
    return {s.stage: s.status for s in Analysis.open(folder_of(out)).result.stages}


def test_what_was_done_before_a_kill_is_kept_and_what_was_half_done_is_done_again(
    command: Command, tmp_path: Path
) -> None:
    command.options += ("--modalities", "text")
    assert command(tmp_path / "whole") == 0
    assert command(tmp_path / "killed", "prediction") == -signal.SIGKILL
    left = folder_of(tmp_path / "killed")
    assert not (left / RESULT_FILE).exists()
    assert len(list(left.glob(".stages/.prediction-*"))) == 1
    assert command(tmp_path / "killed") == 0
    assert_same(left, folder_of(tmp_path / "whole"))
    done = statuses(tmp_path / "killed")
    assert done.pop("prediction") == "done"
    assert done == dict.fromkeys(("media", "transcript", "utterances", "features"), "kept")
    before = {path: path.stat().st_mtime_ns for path in left.rglob("*")}
    assert command(tmp_path / "killed", "any") == 0, "no stage is executed, or it would have been killed"
    assert {path: path.stat().st_mtime_ns for path in left.rglob("*")} == before
    (left / "utterances.csv").unlink()
    assert command(tmp_path / "killed", "any") == 0
    assert_same(left, folder_of(tmp_path / "whole"))


@pytest.mark.slow
def test_killed_in_every_stage_one_after_the_other(command: Command, tmp_path: Path) -> None:
    assert command(tmp_path / "whole") == 0
    stages = [stage for stage, status in statuses(tmp_path / "whole").items() if status == "done"]
    least = set(STAGES) - {"speakers"}  # nobody speaks in a tone
    if any(verify(name) for name in NETWORKS):
        least -= {"faces"}
    assert least <= set(stages)
    for stage in [*stages, "report"]:
        assert command(tmp_path / "killed", stage) == -signal.SIGKILL, stage
    assert command(tmp_path / "killed") == 0
    assert_same(folder_of(tmp_path / "killed"), folder_of(tmp_path / "whole"))


@pytest.mark.slow
def test_a_worker_that_is_killed_is_told_of_and_its_file_resumed(command: Command, tmp_path: Path) -> None:
    assert command(tmp_path / "killed", "features", "worker") == 1
    result = Analysis.open(folder_of(tmp_path / "killed")).result
    (stage,) = result.stages
    assert (result.status, stage.stage, stage.cause) == ("failed", "features", "the process died (signal SIGKILL)")
    assert stage.repair is not None
    assert "again" in stage.repair
    assert command(tmp_path / "killed") == 0
    assert command(tmp_path / "whole") == 0
    assert_same(folder_of(tmp_path / "killed"), folder_of(tmp_path / "whole"))


@pytest.mark.slow
@pytest.mark.real_data
def test_killed_while_words_are_recognised_and_voices_told_apart(real_data: Path, tmp_path: Path) -> None:
    if not describe("ge2e").path.is_file():
        pytest.skip("the voice network is not fetched: mmmie models fetch ge2e")
    command = Command(real_data / "clips" / "face_1.mp4", "--offline", "--quiet")
    assert command(tmp_path / "whole") == 0
    for stage in ("transcript", "speakers", "voice"):
        assert command(tmp_path / "killed", stage) == -signal.SIGKILL, stage
    assert command(tmp_path / "killed") == 0
    assert_same(folder_of(tmp_path / "killed"), folder_of(tmp_path / "whole"))


@pytest.mark.slow
def test_a_call_from_another_folder_goes_on_with_the_same_file(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    command.media = Path("talk.mp4")
    assert command(tmp_path / "out", "media") == -signal.SIGKILL
    assert command(tmp_path / "out", "transcript") == -signal.SIGKILL
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    command.media = Path("../talk.mp4")
    assert command(tmp_path / "out") == 0
    assert statuses(tmp_path / "out")["media"] == "kept"
    assert Analysis.open(tmp_path / "out" / "talk.mmmie").result.media.path == "../../talk.mp4"
