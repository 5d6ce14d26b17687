"""`mmmie analyze` over a folder of files that are odd or broken: each ends with a row, and none costs another."""

import csv
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from shutil import copy

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from mmmie.analysis.analysis import Analysis
from mmmie.analysis.result import RESULT_FILE, Result
from mmmie.media.models import describe
from mmmie.study.batch import result_files
from odd_files import AWKWARD_NAMES, MAKERS, Picture, Sound, broken, silent_recording, slide_at, steady, talking, write

SECONDS = {"talking.mp4": 3.0, "rotated.mp4": 2.0, "late_audio.mp4": 6.0, "joined.ts": 4.0, "silence.flac": 600.0}
"""Of some files, whose length is known."""
RAVDESS_RATE_HZ = 16000


@dataclass(frozen=True)
class Study:
    """What a command left behind: its exit status, the rows of its table by file name, and the results."""

    folder: Path
    status: int
    rows: dict[str, dict[str, str]]
    results: dict[str, Result]
    readable: dict[str, bool]


def analyze(inputs: Path, *options: str, readable: dict[str, bool]) -> Study:
    """Runs the command in its own process; one that hangs is a failure."""
    out = inputs.parent / "study"
    command = [sys.executable, "-m", "mmmie", "analyze", str(inputs), "--out", str(out), "--offline", *options]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=1200)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    with (out / "study.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["media"]: row for row in csv.DictReader(file)}
    results = {row["media"]: Analysis.open(out / row["result"].removeprefix("'")).result for row in rows.values()}
    return Study(out, done.returncode, rows, results, readable)


def make_files(folder: Path, few: bool) -> dict[str, bool]:
    """By name, as the table writes it, whether something of the file can be read."""
    folder.mkdir()
    readable = broken(folder, tenths=(5,) if few else range(1, 10))
    for name in ("late_audio.mp4", "no_audio.mp4", "no_video.m4a") if few else MAKERS:
        MAKERS[name](folder / name)
        readable[name] = True
    original = talking(folder.parent / "talking.mp4")
    for name in AWKWARD_NAMES:
        copy(original, folder / name)
        readable[f"'{name}" if name.startswith("-") else name] = True
    if not few:
        silent_recording(folder / "silence.flac", 600)
        readable["silence.flac"] = True
    return readable


@pytest.fixture(scope="module", params=["few", pytest.param("all", marks=pytest.mark.slow)])
def study(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A few files read for their words, or all of them for everything."""
    folder = tmp_path_factory.mktemp("odd") / "in"
    few = request.param == "few"
    return analyze(folder, *(["--modalities", "text"] if few else []), readable=make_files(folder, few))


def test_each_file_has_a_row_and_the_command_says_that_some_failed(study: Study) -> None:
    assert study.rows.keys() == study.readable.keys()
    assert study.status == 1
    expected = {name: "complete" if readable else "failed" for name, readable in study.readable.items()}
    assert {name: row["status"] for name, row in study.rows.items()} == expected
    assert {name: result.status for name, result in study.results.items()} == expected


def test_a_row_of_a_broken_file_says_stage_cause_and_what_to_do(study: Study) -> None:
    for name, readable in study.readable.items():
        row = study.rows[name]
        told = [row[column] for column in ("failed_stage", "cause", "repair")]
        if readable:
            assert told == ["", "", ""]
        else:
            assert row["failed_stage"] == "media"
            assert "Traceback" not in row["cause"]
            assert len(row["cause"]) > 10 < len(row["repair"])
    assert "moov" in study.rows["cut 5 of 10.mp4"]["cause"]
    assert "Copy or download it again" in study.rows["cut 5 of 10.mp4"]["repair"]
    assert "0 bytes" in study.rows["empty.mp4"]["cause"]
    assert "JPEG" in study.rows["picture.mp4"]["cause"] + study.rows["picture.mp4"]["repair"]


def test_a_file_that_is_cut_off_is_read_as_far_as_it_goes_and_says_so(study: Study) -> None:
    for name in (n for n in study.rows if n.endswith("index first.mp4")):
        row, tenth = study.rows[name], int(name.split()[1])
        assert float(row["duration_seconds"]) == pytest.approx(tenth, abs=0.75)
        assert "of the 10.0 s it states" in row["notes"]
        assert "again" in row["notes"]


def test_nothing_is_half_written(study: Study) -> None:
    for row in study.rows.values():
        folder = study.folder / row["result"].removeprefix("'")
        names = {path.name for path in folder.iterdir()}
        assert names - {".stages"} == {RESULT_FILE, *result_files()}
        assert [p.name for p in folder.glob(".stages/*") if p.name.startswith(".")] == []
    assert [p for p in study.folder.iterdir() if p.name != "study.csv" and not p.name.endswith(".mmmie")] == []


def test_nobody_speaks_in_tones_music_and_silence(study: Study) -> None:
    for name, readable in study.readable.items():
        result = study.results[name]
        assert result.utterances == ()
        if readable and result.media.audio is not None:
            assert any("no speech was found" in note for note in result.notes)
        if readable and result.media.audio is None:
            assert "no sound" in study.rows[name]["notes"]


def test_the_media_is_told_as_it_is(study: Study) -> None:
    for name in SECONDS.keys() & study.results.keys():
        assert study.results[name].media.duration_seconds == pytest.approx(SECONDS[name], abs=0.1)
    late = study.results["late_audio.mp4"].media.audio
    assert late is not None
    assert late.start_seconds == pytest.approx(4.0, abs=0.05)
    sound = study.results["no_video.m4a"]
    assert (sound.media.video, sound.media.notes) == (None, ("no picture in it",))
    if "rotated.mp4" in study.results:
        rotated, uhd = study.results["rotated.mp4"].media.video, study.results["uhd.mp4"].media.video
        assert rotated is not None and uhd is not None  # noqa: PT018
        assert (rotated.width, rotated.height, rotated.rotation) == (120, 160, 90)
        assert (uhd.width, uhd.height) == (3840, 2160)
        fast, phone = study.results["fast.mp4"].media.video, study.results["phone.wav"].media.audio
        assert fast is not None and phone is not None  # noqa: PT018
        assert fast.mean_rate_hz == pytest.approx(120, rel=0.01)
        assert (phone.rate_hz, phone.channels) == (8000, 1)
        surround = study.results["surround.mp4"].media.audio
        assert surround is not None
        assert surround.channels == 6


Wave = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def spoken(real_data: Path, *recordings: str, start: float = 0.0) -> tuple[Wave, list[tuple[float, float]]]:
    """Recordings one after the other with half a second between them, from `start` on, and when each is heard."""
    pieces, times, at = [], [], start
    for name in recordings:
        with av.open(str(real_data / "expressive" / "audio" / "ravdess" / f"{name}.flac")) as container:
            frames = [frame.to_ndarray().reshape(-1) for frame in container.decode(audio=0)]
            assert container.streams.audio[0].rate == RAVDESS_RATE_HZ
        samples = np.concatenate(frames) / 32768.0
        pieces += [samples, np.zeros(RAVDESS_RATE_HZ // 2)]
        times.append((at, at + len(samples) / RAVDESS_RATE_HZ))
        at += len(samples) / RAVDESS_RATE_HZ + 0.5
    whole = np.concatenate(pieces)
    clock = start + np.arange(len(whole)) / RAVDESS_RATE_HZ
    return lambda seconds: np.interp(seconds, clock, whole, left=0.0, right=0.0), times


@pytest.fixture(scope="module")
def speech(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, dict[str, list]]:
    """Real voices in odd files, and when they are heard in each."""
    folder = tmp_path_factory.mktemp("speech") / "in"
    folder.mkdir()
    one = ("a01_neutral_i1_s1_r1", "a01_happiness_i1_s2_r1")
    times = {}

    def make(name: str, recordings: tuple[str, ...], start: float = 0.0, picture: bool = True, **sound: object) -> None:
        wave, times[name] = spoken(real_data, *recordings, start=start)
        end = times[name][-1][1] + 0.5
        slides = Picture(steady(end, 10), size=(480, 360), draw=slide_at)
        track = Sound([(start, end)], wave=wave, loudness=0.9, **sound)  # type: ignore[arg-type]
        write(folder / name, *([slides] if picture else []), track)

    make("late.mp4", one, start=4.0)
    make("slides.mp4", one)
    make("surround.mp4", one, layout="5.1")
    make("phone.wav", one, picture=False, rate_hz=8000, layout="mono", codec="pcm_s16le")
    turns = [f"a0{actor}_neutral_i1_s{text}_r1" for text in (1, 2) for actor in (1, 2, 1, 2)]
    make("two.wav", tuple(turns), picture=False, rate_hz=16000, layout="mono", codec="pcm_s16le")
    return analyze(folder, readable=dict.fromkeys(times, True)), times


@pytest.mark.real_data
@pytest.mark.slow
def test_words_are_heard_when_they_are_said_in_odd_files(speech: tuple[Study, dict[str, list]]) -> None:
    study, times = speech
    assert study.status == 0
    for name, heard in times.items():
        result = study.results[name]
        assert result.utterances
        words = [word for u in result.utterances for word in u.words]
        assert "door" in " ".join(word.word for word in words).lower()  # both sentences end so
        end = result.media.duration_seconds
        assert end is not None
        for word in (word for word in words if word.aligned):
            assert any(a - 0.3 <= word.start and word.end <= b + 0.3 for a, b in heard), (name, word)
        assert all(0 <= u.start < u.end <= end for u in result.utterances)
    late = study.results["late.mp4"]
    shift = late.utterances[0].start - study.results["slides.mp4"].utterances[0].start
    assert shift == pytest.approx(4.0, abs=0.15)


@pytest.mark.real_data
@pytest.mark.slow
def test_slides_have_no_face_and_their_speaker_is_not_judged_by_one(speech: tuple[Study, dict[str, list]]) -> None:
    for name in ("slides.mp4", "late.mp4", "phone.wav"):
        for u in speech[0].results[name].utterances:
            assert u.modalities["vision"].status == "missing"
            assert u.modalities["vision"].contribution is None
            assert u.modalities["vision"].reason == ("no picture" if name == "phone.wav" else "no face")
            assert u.face == {}
            assert u.sentiment is not None


@pytest.mark.real_data
@pytest.mark.slow
def test_two_voices_are_told_apart(speech: tuple[Study, dict[str, list]]) -> None:
    if not describe("ge2e").path.is_file():
        pytest.skip("the voice network is not fetched: mmmie models fetch ge2e")
    study, times = speech
    result = study.results["two.wav"]
    assert len(result.speakers) == 2
    right = spoken_seconds = 0.0
    first = result.utterances[0].speaker
    for n, (start, end) in enumerate(times["two.wav"]):
        for u in result.utterances:
            overlap = max(0.0, min(end, u.end) - max(start, u.start))
            spoken_seconds += overlap
            right += overlap * ((u.speaker == first) == (n % 2 == 0))
    assert right > 0.85 * spoken_seconds
