"""From a file to its result: every stage once, what can be shown shown, and nothing lost when a stage fails."""

import csv
import json
from pathlib import Path

import pytest

import mmmie
from mmmie.analysis.analysis import Analysis
from mmmie.analysis.analyzer import Analyzer
from mmmie.analysis.request import Request
from mmmie.analysis.result import Result
from mmmie.cli.main import main
from mmmie.corpus.importers.importing import import_corpus
from mmmie.corpus.importers.settings import parse_import
from mmmie.errors import CheckpointError, RecipeError, TranscriptError
from mmmie.study.batch import analyze_all, write_files
from mmmie.study.inputs import find_inputs
from odd_files import late_audio, no_video, talking

GOOD, BAD = ("wonderful", "great", "lovely", "brilliant"), ("awful", "dull", "terrible", "boring")
CUES = ((0.2, 1.6, "What a wonderful and brilliant film."), (1.7, 2.9, "But the ending was terrible."))


@pytest.fixture(scope="session")
def text_run(tmp_path_factory: pytest.TempPathFactory) -> mmmie.Run:
    """A model of text alone that has learned a few words."""
    folder = tmp_path_factory.mktemp("text")
    rows = []
    for v in range(24):
        for i in range(4):
            words, sign = (GOOD, 1) if (v + i) % 2 else (BAD, -1)
            text = f"The {('film', 'story', 'acting')[i % 3]} was {words[(v + 2 * i) % 4]}."
            rows.append(["train" if v < 16 else "valid", f"v{v}", i, text, sign * (1 + i % 2)])
    with (folder / "utterances.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([["split", "video", "index", "text", "label"], *rows])
    corpus = import_corpus(parse_import({"format": "csv", "name": "words"}, "test"), folder, folder / "words.corpus")
    recipe = mmmie.Recipe.parse(
        {"name": "words", "corpus": str(corpus.path), "training": {"epochs": 12, "learning_rate": 3e-3}}, "test"
    )
    return mmmie.fit(recipe, corpus.training(), folder / "run")


def srt(path: Path, cues: tuple[tuple[float, float, str], ...] = CUES) -> Path:
    def time(seconds: float) -> str:
        return f"00:00:{seconds:06.3f}".replace(".", ",")

    path.write_text("\n".join(f"{n}\n{time(a)} --> {time(b)}\n{t}\n" for n, (a, b, t) in enumerate(cues, 1)))
    return path


def test_words_of_a_transcript_are_judged_in_context(text_run: mmmie.Run, tmp_path: Path) -> None:
    video = talking(tmp_path / "talk.mp4")
    analysis = Analyzer.load(text_run.path).analyze(video, tmp_path / "out", srt(tmp_path / "talk.srt"))
    result = analysis.result
    assert result.status == "complete"
    first, second = result.utterances
    assert (first.text, first.start) == (CUES[0][2], 0.2)
    assert first.sentiment is not None
    assert second.sentiment is not None
    assert first.sentiment.score > second.sentiment.score
    assert first.context.used == (second.id,)
    assert first.modalities["text"].status == "ok"
    assert first.modalities["audio"].reason == "the checkpoint does not read it"
    assert first.modalities["vision"].status == "missing"
    reading = first.modalities["text"]
    assert reading.alone == pytest.approx(first.sentiment.score, abs=1e-3)
    assert first.text_source == "talk.srt"
    assert result.media.path == "../talk.mp4"
    write_files(analysis)
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"result.json", "report.html", "utterances.csv", "utterances.vtt", "columns.json"} <= names
    assert Analysis.open(tmp_path / "out").result == result
    assert "verdict" in str(analysis)


def test_a_second_call_does_nothing_and_a_changed_transcript_only_what_depends_on_it(
    text_run: mmmie.Run, tmp_path: Path
) -> None:
    video, transcript = talking(tmp_path / "talk.mp4"), srt(tmp_path / "talk.srt")
    arguments = ["analyze", str(video), "--model", str(text_run.path), "--out", str(tmp_path), "--quiet"]
    arguments += ["--transcript", str(transcript)]
    result = tmp_path / "talk.mmmie" / "result.json"
    assert main(arguments) == 0
    written = result.stat().st_mtime_ns
    assert main(arguments) == 0
    assert result.stat().st_mtime_ns == written
    srt(transcript, (CUES[0], (1.7, 2.9, "And the ending was great.")))
    assert main(arguments) == 0
    stages = {s.stage: s.status for s in Result.from_json(result.read_bytes(), "result").stages}
    assert stages["media"] == stages["speech"] == "kept"
    assert stages["transcript"] == stages["utterances"] == stages["prediction"] == "done"


def test_broken_files_cost_only_themselves(
    text_run: mmmie.Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    talking(folder / "good.mp4", 2.0)
    late_audio(folder / "-late ☺ it's.mp4")
    no_video(folder / "sound.m4a")
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "text.mp4").write_bytes(b"this is no video at all")
    out = tmp_path / "out"
    status = main(["analyze", str(folder), "--model", str(text_run.path), "--out", str(out), "--modalities", "text"])
    assert status == 1
    assert "3 of 5 complete" in capsys.readouterr().out
    with (out / "study.csv").open(encoding="utf-8", newline="") as stream:
        table = {row["media"]: row for row in csv.DictReader(stream)}
    assert {name: row["status"] for name, row in table.items()} == {
        "'-late ☺ it's.mp4": "complete",
        "good.mp4": "complete",
        "sound.m4a": "complete",
        "empty.mp4": "failed",
        "text.mp4": "failed",
    }
    for name in ("empty", "text"):
        (stage,) = json.loads((out / f"{name}.mmmie" / "result.json").read_text())["stages"]
        assert stage["stage"] == "media"
        assert stage["cause"]
        assert stage["repair"]


def test_refusals_come_before_any_work(text_run: mmmie.Run, tmp_path: Path) -> None:
    two = [talking(tmp_path / f"{n}.mp4", 1.0) for n in "ab"]
    items = find_inputs([str(path) for path in two], tmp_path)
    request = Request.from_words(model=text_run.path, transcript=srt(tmp_path / "a.srt"))
    with pytest.raises(TranscriptError, match="one transcript for 2 files"):
        analyze_all(items, request, 1, 60, lambda event: None)
    with pytest.raises(RecipeError, match="Did you mean 'vision'"):
        Request.from_words(model=text_run.path, modalities="text,visoin")
    with pytest.raises(RecipeError, match="S1=Ana"):
        Request.from_words(model=text_run.path, names="Ana")
    with pytest.raises(CheckpointError, match="no checkpoint"):
        Request.from_words(model=tmp_path)
    with pytest.raises(TranscriptError, match=r"Did you mean 'a\.srt'"):
        Request.from_words(model=text_run.path, transcript=tmp_path / "aa.srt")
    with pytest.raises(CheckpointError, match="no checkpoint"):
        Analyzer.load(tmp_path)
