"""Modalities of which one number is read: the score of a ridge regression on train."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

from mmmie.corpus.store import Corpus, Part
from mmmie.errors import RecipeError
from mmmie.evidence.attribution import read_part
from mmmie.learning.assembly import build, fit_readouts, fit_scalers, modalities_of, shapes_of, sources_of
from mmmie.learning.checkpoint import weights_of
from mmmie.learning.prediction import load_model, predict
from mmmie.learning.training import fit
from mmmie.models.network import Network
from mmmie.settings import Recipe
from tiny_corpora import make_recipe

Make = Callable[..., Recipe]
PENALTY = 0.5


def network(recipe: Recipe, corpus: Corpus) -> Network:
    train = corpus.training().train
    modalities = modalities_of(recipe, train)
    sources = sources_of(train, recipe, modalities)
    model = build(recipe, shapes_of(train, recipe, modalities))
    fit_scalers(model, sources)
    fit_readouts(model, sources, train.labels, recipe.model)
    return model


@pytest.mark.parametrize("modality", ["audio", "vision"])  # frames, and a vector an utterance; both have holes
def test_a_readout_is_ridge_regression(corpus: Corpus, recipe: Make, modality: str) -> None:
    reader: Any = network(recipe(model={"ridge": {modality: {"penalty": PENALTY}}}), corpus).encoders[modality].reader
    train = corpus.training().train
    features = train.features[modality]
    rows = np.flatnonzero(features.present)
    assert len(rows) < len(train)
    frames = [reader.standardise(torch.from_numpy(values[mask])) for values, mask in (features[int(r)] for r in rows)]
    means = torch.stack([x.mean(0) for x in frames]).double().numpy()
    expected = Ridge(alpha=PENALTY * len(rows)).fit(means, train.labels[rows]).predict(means)
    found = reader.readout(torch.from_numpy(means).float())[:, 0].numpy()
    np.testing.assert_allclose(found - found.mean(), (expected - expected.mean()) / expected.std(ddof=1), atol=1e-4)
    assert reader.frame[1].in_features == 1


def test_blocks_of_columns_weigh_what_the_recipe_says(corpus: Corpus, recipe: Make) -> None:
    train = corpus.training().train
    features = train.features["vision"]
    dim, rows = features.dim, np.flatnonzero(features.present)
    blocks = [[1, 3.0], [dim - 1, 0.5]]
    ridge = {"vision": {"penalty": PENALTY, "weights": blocks}}
    reader: Any = network(recipe(model={"ridge": ridge}), corpus).encoders["vision"].reader
    x = torch.stack([reader.standardise(torch.tensor(features[int(row)][0][0])) for row in rows])
    weighted = (x.double() * torch.tensor([3.0] + [0.5] * (dim - 1))).numpy()
    expected = Ridge(alpha=PENALTY * len(rows)).fit(weighted, train.labels[rows]).predict(weighted)
    np.testing.assert_allclose(reader.readout.predict(x.float())[:, 0].numpy(), expected, atol=1e-4)
    with pytest.raises(RecipeError, match=rf"vision\.weights tell of {dim + 1} columns, and the features have {dim}"):
        network(recipe(model={"ridge": {"vision": {"penalty": 1.0, "weights": [[dim + 1, 1.0]]}}}), corpus)


EXPERTS = {"text": {"explained": 0.4}, "audio": {"explained": 0.2}, "vision": {"explained": 0.2, "slope": 0.5}}


def test_an_expert_that_is_a_regression_says_what_it_predicts(tmp_path: Path, corpus: Corpus, recipe: Make) -> None:
    """In units of the label, times what it has proved; before training and after it."""
    wanted = recipe(
        model={"ridge": {"vision": {"penalty": PENALTY}}, "experts": EXPERTS, "options": {"readout": "mean"}},
        training={"epochs": 2},
    )
    run = fit(wanted, corpus.training(), tmp_path / "run")
    train, test = corpus.training().train, corpus.test()
    reading = read_part(run, test)
    reader: Any = load_model(run, test).encoders["vision"].reader

    def of(part: Part) -> tuple[np.ndarray, np.ndarray]:
        features = part.features["vision"]
        rows = np.flatnonzero(features.present)
        return torch.stack([reader.standardise(torch.tensor(features[int(r)][0][0])) for r in rows]).numpy(), rows

    (x_train, train_rows), (x_test, test_rows) = of(train), of(test)
    fitted = Ridge(alpha=PENALTY * len(x_train)).fit(x_train.astype(np.float64), train.labels[train_rows])
    centre = float(np.median(train.labels))
    expected = centre + 0.5 * (fitted.predict(x_test) - centre)
    np.testing.assert_allclose(reading.alone("vision")[test_rows], expected, atol=1e-4)
    assert np.std(expected) > 0.05


def test_a_batch_in_which_regressions_alone_are_read_teaches_nothing(tmp_path: Path, corpus: Corpus) -> None:
    wanted = make_recipe(
        corpus.path,
        model={
            "modalities": ["vision"],
            "ridge": {"vision": {"penalty": PENALTY}},
            "experts": EXPERTS,
            "options": {"readout": "mean"},
            "noise": "none",
        },
        maximise={"estimator": "none"},
        minimise={"estimator": "none"},
        training={"epochs": 1},
    )
    run = fit(wanted, corpus.training(), tmp_path / "run")
    assert np.isfinite(predict(run, corpus.test())).all()


def test_a_readout_is_fixed_and_travels_with_the_weights(tmp_path: Path, corpus: Corpus, recipe: Make) -> None:
    wanted = recipe(model={"ridge": {"audio": {"penalty": PENALTY}}}, training={"epochs": 2})
    run = fit(wanted, corpus.training(), tmp_path / "run")
    name = "encoders.audio.reader.readout.weight_D"
    start = network(wanted, corpus).encoders["audio"].reader.readout.weight_D  # type: ignore[union-attr, index]
    assert torch.equal(weights_of(run)[name], start)
    assert np.isfinite(predict(run, corpus.test())).all()


def test_others_are_read_whole(corpus: Corpus, recipe: Make) -> None:
    model = network(recipe(model={"ridge": {"audio": {"penalty": PENALTY}}}), corpus)
    assert model.encoders["vision"].reader.frame[1].in_features > 1  # type: ignore[union-attr, index]


def test_text_that_is_trained_has_no_readout(corpus: Corpus, recipe: Make) -> None:
    with pytest.raises(RecipeError, match=r"text\.depth = 'frozen'"):
        network(recipe(model={"ridge": {"text": {"penalty": PENALTY}}}, text={"depth": "full"}), corpus)


def test_a_penalty_is_above_zero(corpus: Corpus) -> None:
    with pytest.raises(RecipeError, match=r"model\.ridge\.audio"):
        make_recipe(corpus.path, model={"ridge": {"audio": {"penalty": 0.0}}})
