"""Modalities of which one number is read: the score of a ridge regression on train."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

from mmmie.corpus.store import Corpus
from mmmie.errors import RecipeError
from mmmie.learning.assembly import build, fit_readouts, fit_scalers, modalities_of, shapes_of, sources_of
from mmmie.learning.checkpoint import weights_of
from mmmie.learning.prediction import predict
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
    reader: Any = network(recipe(model={"ridge": {modality: PENALTY}}), corpus).encoders[modality].reader
    train = corpus.training().train
    features = train.features[modality]
    rows = np.flatnonzero(features.present)
    assert len(rows) < len(train)
    frames = [reader.standardise(torch.from_numpy(values[mask])) for values, mask in (features[int(r)] for r in rows)]
    means = torch.stack([x.mean(0) for x in frames]).double().numpy()
    expected = Ridge(alpha=PENALTY * len(rows)).fit(means, train.labels[rows]).predict(means)
    found = reader.frame[0](torch.from_numpy(means).float())[:, 0].numpy()
    np.testing.assert_allclose(found - found.mean(), (expected - expected.mean()) / expected.std(ddof=1), atol=1e-4)
    assert reader.frame[1].in_features == 1


def test_a_readout_is_fixed_and_travels_with_the_weights(tmp_path: Path, corpus: Corpus, recipe: Make) -> None:
    wanted = recipe(model={"ridge": {"audio": PENALTY}}, training={"epochs": 2})
    run = fit(wanted, corpus.training(), tmp_path / "run")
    name = "encoders.audio.reader.frame.0.weight_D"
    start = network(wanted, corpus).encoders["audio"].reader.frame[0].weight_D  # type: ignore[union-attr, index]
    assert torch.equal(weights_of(run)[name], start)
    assert np.isfinite(predict(run, corpus.test())).all()


def test_others_are_read_whole(corpus: Corpus, recipe: Make) -> None:
    model = network(recipe(model={"ridge": {"audio": PENALTY}}), corpus)
    assert model.encoders["vision"].reader.frame[1].in_features > 1  # type: ignore[union-attr, index]


def test_text_that_is_trained_has_no_readout(corpus: Corpus, recipe: Make) -> None:
    with pytest.raises(RecipeError, match=r"text\.depth = 'frozen'"):
        network(recipe(model={"ridge": {"text": PENALTY}}, text={"depth": "full"}), corpus)


def test_a_penalty_is_above_zero(corpus: Corpus) -> None:
    with pytest.raises(RecipeError, match=r"model\.ridge\.audio"):
        make_recipe(corpus.path, model={"ridge": {"audio": 0.0}})
