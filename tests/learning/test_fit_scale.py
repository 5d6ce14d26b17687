"""The scale of the scores that is fitted on valid."""

from pathlib import Path

import numpy as np
import pytest
import torch

from mmmie.corpus.store import TrainingParts
from mmmie.learning.checkpoint import weights_of
from mmmie.learning.prediction import predict
from mmmie.learning.training import fit
from mmmie.learning.validation import SCALES, best_scale
from mmmie.settings import Recipe
from tiny_corpora import make_recipe, write_corpus


@pytest.fixture
def parts(tmp_path: Path) -> TrainingParts:
    return write_corpus(tmp_path / "tiny.corpus").training()


def recipe(parts: TrainingParts, **training: object) -> Recipe:
    return make_recipe(parts.train.corpus.path, training={"epochs": 3, **training})


@pytest.mark.parametrize("seed", range(5))
def test_no_other_scale_has_a_smaller_error(seed: int) -> None:
    chance = np.random.default_rng(seed)
    label = chance.normal(size=41)
    score = np.where(chance.random(41) < 0.1, 0.0, 1.2 * label + chance.normal(scale=0.5, size=41))
    found = best_scale(torch.tensor(score), torch.tensor(label))
    errors = [np.abs(score * scale - label).mean() for scale in np.linspace(*SCALES, 2001)]
    assert np.abs(score * found - label).mean() <= min(errors) + 1e-12
    assert SCALES[0] < found < 1


def test_what_is_known_by_hand() -> None:
    label = torch.tensor([-2.0, 0.5, 1.0])
    assert best_scale(label * 0.8, label) == pytest.approx(1.25)
    assert best_scale(label * 100, label) == SCALES[0], "held"
    assert best_scale(-label, label) == SCALES[0], "a scale never turns scores round"
    assert best_scale(torch.zeros(3), label) == 1


def test_the_checkpoint_says_what_valid_was_judged_by(tmp_path: Path, parts: TrainingParts) -> None:
    plain = fit(recipe(parts), parts, tmp_path / "plain")
    scaled = fit(recipe(parts, fit_scale=True), parts, tmp_path / "scaled")
    for run in (plain, scaled):
        error = np.abs(predict(run, parts.valid) - parts.valid.labels).mean()
        assert error == pytest.approx(run.status["best_valid_mae"], rel=1e-5)
    assert all(line["valid"]["scale"] == 1 for line in plain.history)
    for raw, line in zip(plain.history, scaled.history, strict=True):
        assert line["train"] == raw["train"], "training itself is the same"
        assert line["valid"]["mae"] <= raw["valid"]["mae"] + 1e-7
        assert line["valid"]["corr"] == raw["valid"]["corr"]
    best = scaled.history[scaled.status["best_epoch"]]["valid"]["scale"]
    assert best != 1
    before, after = weights_of(plain)["label_scale"], weights_of(scaled)["label_scale"]
    assert float(after / before) == pytest.approx(best)


def test_a_run_that_begins_with_it_has_a_scale_of_its_own(tmp_path: Path, parts: TrainingParts) -> None:
    first = fit(recipe(parts, fit_scale=True), parts, tmp_path / "first")
    second = fit(recipe(parts), parts, tmp_path / "second", start=first)
    plain = fit(recipe(parts), parts, tmp_path / "plain")
    assert torch.equal(weights_of(second)["label_scale"], weights_of(plain)["label_scale"])
