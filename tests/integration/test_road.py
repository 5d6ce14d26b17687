"""The whole road through the real process: import, resplit, inspect, train, evaluate, compare, verify."""

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mmmie.corpus.store import Corpus
from mmmie.evidence.evaluation import Evaluation
from mmmie.learning.prediction import predict
from mmmie.learning.run import Run
from tiny_corpora import BAD, FILLERS, GOOD, write_encoder

ROOT = Path(__file__).resolve().parents[2]
VIDEOS, PER_VIDEO = 40, 8

pytestmark = pytest.mark.slow
Mmmie = Callable[..., str]


@pytest.fixture
def mmmie(tmp_path: Path) -> Mmmie:
    """Runs the command in an empty folder; gives what it printed."""

    def run(*arguments: object) -> str:
        command = [sys.executable, "-m", "mmmie", *map(str, arguments)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=600
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def write_table(folder: Path) -> None:
    """A table and audio vectors as a researcher has them: no test split, ids that begin with a hyphen, a blank text.

    Words tell the sign of a factor z, audio a noisy z; the label is z and noise.
    """
    chance = np.random.default_rng(0)
    rows, audio = [], []
    for video in range(VIDEOS):
        for index in range(1, PER_VIDEO + 1):
            z = float(chance.standard_normal())
            words = [*chance.choice(FILLERS, 5), *chance.choice(GOOD if z > 0 else BAD, 2)]
            label = float(np.clip(z + 0.3 * chance.standard_normal(), -3, 3))
            text = " " if (video, index) == (3, 2) else " ".join(words).upper()
            rows.append(["valid" if video < 8 else "train", f"-v{video:02d}", index, f"{label:.3f}", text])
            audio.append(z * np.array([1.0, -1, 0]) + 0.5 * chance.standard_normal(3))
    audio[5][1] = np.nan
    with (folder / "table.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["split", "video", "index", "label", "text"], *rows])
    np.savez(folder / "sound.npz", audio=np.array(audio))


def test_from_a_table_to_verified_results(tmp_path: Path, mmmie: Mmmie) -> None:
    write_table(tmp_path)
    encoder = write_encoder(tmp_path / "bert", layers=2)
    said = mmmie("import", "csv", "table.csv", "--audio", "sound.npz:audio", "--out", "toy.corpus")
    assert "320 utterances of 40 videos" in said
    assert "1 of 320 frames masked" in said
    mmmie("resplit", "toy.corpus", "--seed", 3, "--out", "new.corpus")
    audit = json.loads(mmmie("inspect", "new.corpus", "--json"))
    assert (audit["utterances"], audit["videos"]) == (320, 40)

    (tmp_path / "road.toml").write_text(
        f'name = "road"\ncorpus = "new.corpus"\n[text]\nencoder = "{encoder}"\n[model]\nwidth = 16\nheads = 2\n'
        "context = 1\n[minimise]\ntarget_nats = 1.0\n[training]\nepochs = 24\nbatch_utterances = 16\n"
    )
    trained = mmmie("train", "road.toml", "--seeds", 2, "--quiet")
    assert "over 2 seeds" in trained
    constant = ["--set", "name=still", "--set", "training.learning_rate=1e-9"]
    mmmie("train", "road.toml", "--seeds", 2, "--quiet", *constant)

    shown = mmmie("evaluate", "runs/road", "runs/still")
    corpus = Corpus.open(tmp_path / "new.corpus")
    assert len((corpus.path / "test_openings.jsonl").read_text().splitlines()) == 4
    assert "ensemble of 2" in shown
    median = float(np.median(corpus.training().train.labels))
    of_median = float(np.abs(corpus.test().labels - median).mean())
    for seed in "01":
        run = Run.open(tmp_path / "runs" / "road" / seed)
        test = Evaluation.read(run.path).test
        assert test.mae < 0.8 * of_median, "words and sound tell most of the label"
        assert f"{test.mae:.3f}" in shown
        scores = predict(run, corpus.test())
        assert float(np.abs(scores - corpus.test().labels).mean()) == pytest.approx(test.mae, abs=1e-5)

    row = next(line for line in mmmie("compare", "runs/still", "runs/road").splitlines() if line.startswith("road  "))
    assert row.endswith("better")
    assert "4 of 4 runs hold" in mmmie("verify", "runs/road", "runs/still", "--deep")


@pytest.mark.real_data
def test_cmu_mosi_by_the_recipes_that_are_shipped(tmp_path: Path, mmmie: Mmmie, real_data: Path) -> None:
    said = mmmie("import", ROOT / "recipes" / "data" / "mosi.toml", real_data, "--out", "mosi.corpus")
    assert "train 1284 · valid 229" in said
    complete = Corpus.open(tmp_path / "mosi.corpus")
    mixed = ["--include-test"] if "test" in complete.splits else []
    mmmie("resplit", "mosi.corpus", "--out", "new.corpus", *mixed)
    recipe = ROOT / "recipes" / "mosi-frozen.toml"
    mmmie("train", recipe, "--corpus", "new.corpus", "--set", "training.epochs=2", "--quiet")
    mmmie("evaluate", "runs/mosi-frozen")
    corpus = Corpus.open(tmp_path / "new.corpus")
    labels = corpus.test().labels
    of_median = float(np.abs(labels - np.median(corpus.training().train.labels)).mean())
    test = Evaluation.read(tmp_path / "runs" / "mosi-frozen" / "0").test
    assert test.mae < 0.9 * of_median, "two epochs are enough to have learned something"
    assert test.corr > 0.4
    assert "1 of 1 runs hold" in mmmie("verify", "runs/mosi-frozen", "--deep")
