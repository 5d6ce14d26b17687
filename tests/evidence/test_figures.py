"""Figures out of a run's own files; a run that measured nothing says so."""

import json
import sys

import numpy as np
import pytest

from mmmie.errors import EvidenceError
from mmmie.evidence.figures import draw_information, draw_predictions, draw_training
from mmmie.evidence.predictions import Origin, Predictions
from mmmie.learning.run import Run

PNG = b"\x89PNG"


@pytest.fixture
def make_run(tmp_path):
    def make(information, epochs=3):
        folder = tmp_path / "run"
        folder.mkdir()
        lines = [
            {
                "epoch": epoch,
                "train": {"task": 0.9, "max text-audio": 0.1, "min text": 3.0},
                "valid": {"mae": 0.8},
                "valid_information": information,
            }
            for epoch in range(epochs)
        ]
        (folder / "recipe.json").write_text(json.dumps({"name": "toy", "corpus": "toy.corpus"}))
        (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        (folder / "status.json").write_text(json.dumps({"state": "finished", "best_epoch": epochs - 1}))
        return Run.open(folder)

    return make


INFORMATION = {
    "max text-audio": {"nats": 0.1, "saturated": False},
    "same_video_share": 0.1,
    "min text": {"interval_nats": [1.0, 1.1], "mean_share": 0.9},
}


@pytest.fixture
def titles(monkeypatch):
    """Everything that is written on the figures that are saved."""
    from matplotlib.figure import Figure

    seen = []
    save = Figure.savefig

    def spy(figure, *args, **kwargs):
        seen.extend(text.get_text() for ax in figure.axes for text in [ax.title, *ax.get_xticklabels()])
        seen.extend(t.get_text() for ax in figure.axes if ax.get_legend() for t in ax.get_legend().get_texts())
        return save(figure, *args, **kwargs)

    monkeypatch.setattr(Figure, "savefig", spy)
    return seen


def test_training_shows_every_term(make_run, tmp_path, titles):
    draw_training(make_run(INFORMATION), tmp_path / "new" / "training.png")
    assert (tmp_path / "new" / "training.png").read_bytes().startswith(PNG)
    assert {"task", "max text-audio (nats)", "min text (nats)", "valid [L, U]"} <= set(titles)


def test_information_shows_intervals_pairs_and_what_is_true(make_run, tmp_path, titles):
    run = make_run(INFORMATION)
    draw_information(run, tmp_path / "information.png", {"text-audio": 0.5, "label-text": 0.2})
    assert {"text", "text-audio", "measured [L, U]", "true I(X; label)", "true I(X; X')"} <= set(titles)


def test_information_of_a_corpus_whose_truth_is_unknown(make_run, tmp_path, titles):
    draw_information(make_run(INFORMATION), tmp_path / "information.png")
    assert not any("true" in title for title in titles)


def test_a_run_without_measured_information_says_so(make_run, tmp_path):
    with pytest.raises(EvidenceError, match="measured no mutual information"):
        draw_information(make_run({"min text": {"mean_share": 0.9}}), tmp_path / "information.png")


def test_a_run_without_an_epoch_says_so(make_run, tmp_path):
    with pytest.raises(EvidenceError, match="no finished epoch"):
        draw_training(make_run(INFORMATION, epochs=0), tmp_path / "training.png")


def test_predictions_are_those_of_test(tmp_path, titles):
    origin = Origin("toy", 0, "toy", "0" * 16, (-3.0, 3.0), "0")
    splits, labels = np.array(["test", "valid", "test"]), np.array([-1.0, 0.0, 1.0])
    predictions = Predictions(origin, np.array(["a", "b", "a"]), np.arange(3), splits, labels, labels / 2)
    draw_predictions(predictions, tmp_path / "predictions.png")
    assert "n = 2, MAE 0.500, Corr 1.000" in titles


def test_without_matplotlib_the_repair_is_named(make_run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(EvidenceError, match=r"pip install 'mmmie\[figures\]'"):
        draw_training(make_run(INFORMATION), tmp_path / "training.png")
    assert not (tmp_path / "training.png").exists()
