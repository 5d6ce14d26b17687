"""The demo as a user runs it: through the real process, on its own recipe and corpus."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mmmie.analysis.analysis import Analysis
from mmmie.cli.demo import MADE, MARK
from mmmie.cli.demo import command as demo
from mmmie.errors import MmmieError
from mmmie.evidence.evaluation import Evaluation
from mmmie.evidence.verify import verify
from mmmie.learning.run import Run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> tuple[Path, str]:
    """The folder of a demo, made over an earlier one that was cut short, and what it printed."""
    folder = tmp_path_factory.mktemp("demo")
    stale = folder / "runs" / "demo"
    (stale / "mmmie").mkdir(parents=True)
    (stale / MARK).touch()
    (stale / "mmmie" / "recipe.json").write_text("{}")
    (stale / "notes.txt").write_text("mine")
    command = [sys.executable, "-c", "from mmmie.cli.main import run; run()", "demo"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return stale, done.stdout


def test_mmmie_beats_text_alone_and_the_median_by_what_the_corpus_hides_from_text(made):
    folder, _ = made
    mmmie, text = (Evaluation.read(folder / name).test for name in ("mmmie", "text-only"))
    test = Evaluation.read(folder / "mmmie").predictions.part("test")
    median = np.abs(test.labels - np.median(test.labels)).mean()
    # Of the label's variance text can find .5 at most; audio and vision add .2, and context .15.
    assert text.mae < 0.92 * median
    assert mmmie.mae < text.mae - 0.02
    assert mmmie.corr > text.corr + 0.03


def test_every_term_is_logged_and_no_pair_is_said_to_share_more_than_it_does(made):
    folder, _ = made
    run = Run.open(folder / "mmmie")
    kept = run.history[run.status["best_epoch"]]
    pairs = ("text-audio", "text-vision", "audio-vision")
    terms = {"task", *(f"max {pair}" for pair in pairs), *(f"min {m}" for m in ("text", "audio", "vision"))}
    assert set(kept["train"]) == terms
    truth = json.loads((folder / "demo.corpus" / "corpus.json").read_text())["notes"]["true_mi_nats"]
    for pair in pairs:
        assert 0 < kept["valid_information"][f"max {pair}"]["nats"] < truth[pair]
    for modality in ("text", "audio", "vision"):
        lower, upper = kept["valid_information"][f"min {modality}"]["interval_nats"]
        assert lower <= upper < 1.25 * run.recipe.minimise.target_nats  # ten epochs need not arrive exactly
        assert run.history[0]["train"][f"min {modality}"] > 2 * run.recipe.minimise.target_nats


def test_the_test_split_was_opened_once_by_each_run(made):
    folder, _ = made
    assert len((folder / "demo.corpus" / "test_openings.jsonl").read_text().splitlines()) == 2
    assert Evaluation.read(folder / "mmmie").openings.before_by_run == 0


def test_what_is_printed_is_what_is_stored(made):
    folder, printed = made
    lines = {line.split("  ")[0]: line for line in printed.splitlines()}
    for title, name in (("text only", "text-only"), ("MMMIE", "mmmie")):
        assert f"{Evaluation.read(folder / name).test.mae:.3f}" in lines[title]
        assert verify(Run.open(folder / name)).ok
    assert "median of train" in lines


def test_the_figures_lie_where_the_demo_says(made):
    folder, printed = made
    for name in ("training", "information", "predictions"):
        figure = folder / "figures" / f"{name}.png"
        assert figure.read_bytes().startswith(b"\x89PNG")
        assert f"runs/demo/figures/{name}.png" in printed


def test_an_earlier_demo_was_replaced_and_nothing_else(made):
    folder, _ = made
    assert {path.name for path in folder.iterdir()} == {*MADE, MARK, "talk.wav", "talk.srt", "notes.txt"}
    assert Run.open(folder / "mmmie").finished


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "demo").write_text("mine")
    with pytest.raises(MmmieError, match="no demo made it"):
        demo(tmp_path / "demo")
    assert (tmp_path / "demo").read_text() == "mine"


def test_a_recording_is_analyzed_by_the_packaged_checkpoint(made):
    folder, printed = made
    result = Analysis.open(folder / "talk.mmmie").result
    assert result.status == "complete"
    scores = [u.sentiment.score for u in result.utterances]
    assert scores[1] > 0.5 > -0.5 > scores[2]  # wonderful, laughed; dull, disappointed
    assert scores[4] > 0.5
    assert result.model.weights.keys() == {"text", "audio", "vision"}
    assert "non-commercial" in result.model.licence
    assert str(folder / "talk.mmmie" / "report.html").removeprefix(str(folder.parent.parent) + "/") in printed
