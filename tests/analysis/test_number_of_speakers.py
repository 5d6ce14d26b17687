"""How many speak, where the user knows it: handed down, part of what a stage is kept under, and owned up to."""

from pathlib import Path
from typing import Any

import pytest

from mmmie.analysis import hearing
from mmmie.analysis.hearing import Heard, Opened, hear
from mmmie.analysis.request import Request
from mmmie.analysis.stages import StageLog, StageStore
from mmmie.cli.main import main
from mmmie.errors import FeatureError
from mmmie.media.audio import Audio
from mmmie.media.files import MediaInfo
from mmmie.media.speakers import Turn
from mmmie.media.speech import Span
from mmmie.settings import AnalysisSettings

CUE = "1\n00:00:00,200 --> 00:00:01,800\nSo it was a good day.\n\n2\n00:00:02,200 --> 00:00:03,800\nNo, it was not.\n"


class Listener:
    """Hears one recording again and again; its voices are those that were asked for, at most two."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (folder / "sound").write_bytes(bytes(2 * 64000))
        info = MediaInfo(Path("talk.wav"), "0" * 64, 9, "wav", 4.0, None, None, ())
        self.opened = Opened("key", info, Audio(folder / "sound", 64000))
        self.transcript = folder / "talk.srt"
        self.transcript.write_text(CUE)
        self.log = StageLog()
        self.store = StageStore(folder / "stages", self.log)
        self.asked: list[int | None] = []
        monkeypatch.setattr(hearing, "find_speech", lambda _: (Span(0.1, 1.9), Span(2.1, 3.9)))
        monkeypatch.setattr(hearing, "find_speakers", self.find_speakers)
        monkeypatch.setattr(hearing, "find", lambda _: Path())

    def find_speakers(self, audio: Audio, speech: Any, num_speakers: int | None) -> tuple[Turn, ...]:
        self.asked.append(num_speakers)
        return Turn(0.1, 1.9, "S1"), Turn(2.1, 3.9, "S1" if num_speakers == 1 else "S2")

    def hear(self, num_speakers: int | None) -> Heard:
        heard = hear(self.store, self.opened, self.transcript, AnalysisSettings(num_speakers=num_speakers))
        assert heard is not None
        return heard


def test_the_number_is_handed_down_and_decides_what_is_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listener = Listener(tmp_path, monkeypatch)
    by_itself, two, again, one = (listener.hear(n) for n in (None, 2, 2, 1))
    assert listener.asked == [None, 2, 1]
    assert two == again
    assert [u.speaker for u in two.utterances] == ["S1", "S2"]
    assert [u.speaker for u in one.utterances] == ["S1", "S1"]
    assert by_itself.key == two.key != one.key  # the same turns make the same utterances
    assert [r.status for r in listener.log.records if r.stage == "speech"] == ["done", "kept", "kept", "kept"]


def test_fewer_voices_than_were_said_to_be_there_are_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listener = Listener(tmp_path, monkeypatch)
    assert listener.hear(2).transcript.notes == ()
    assert listener.hear(3).transcript.notes[-1] == "3 speakers were said to be there; voices told apart: 2"


def test_one_speaker_needs_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listener = Listener(tmp_path, monkeypatch)

    def absent(name: str) -> Path:
        raise FeatureError("not there. Fetch it with: mmmie models fetch ge2e")

    monkeypatch.setattr(hearing, "find", absent)
    assert {u.speaker for u in listener.hear(1).utterances} == {"S1"}
    assert {u.speaker for u in listener.hear(2).utterances} == {None}


def test_the_command_takes_a_number(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert Request.from_words(num_speakers=2).settings.num_speakers == 2
    assert Request.from_words().settings.num_speakers is None
    assert main(["analyze", str(tmp_path), "--num-speakers", "0"]) == 2
    assert "--num-speakers" in capsys.readouterr().err
