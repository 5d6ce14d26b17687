"""Shapley values against their definition, and readings of a trained network against its own forward pass."""

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
import torch

from mmmie.corpus.batching import Batcher, SequenceGroup
from mmmie.corpus.store import Part
from mmmie.errors import EvidenceError
from mmmie.evidence.attribution import features_of_part, read, read_part, shapley_values
from mmmie.learning.assembly import build, fit_scalers, shapes_of, sources_of
from mmmie.learning.prediction import load_model, predict

CPU = torch.device("cpu")


def test_two_players_by_hand():
    # Alone 1 and 2, together 5: the surplus of 2 is shared.
    assert shapley_values(np.array([[0.0], [1.0], [2.0], [5.0]])).ravel().tolist() == [2.0, 3.0]


def test_one_player_gets_everything():
    assert shapley_values(np.array([[1.0, -1.0], [4.0, 2.0]])).tolist() == [[3.0, 3.0]]


def test_three_players_are_averages_over_the_orders_of_joining():
    values = np.random.default_rng(0).standard_normal((8, 5))
    expected = np.zeros((3, 5))
    for order in permutations(range(3)):
        coalition = 0
        for player in order:
            expected[player] += values[coalition | 1 << player] - values[coalition]
            coalition |= 1 << player
    np.testing.assert_allclose(shapley_values(values), expected / 6, atol=1e-12)


@pytest.fixture(scope="module")
def everything(tiny_corpus):
    return tiny_corpus.everything()


@pytest.fixture(scope="module")
def reading(tiny_run, everything):
    return read_part(tiny_run, everything)


def test_scores_are_the_predictions(tiny_run, everything, reading):
    assert reading.modalities == ("text", "audio", "vision")
    np.testing.assert_allclose(reading.scores, predict(tiny_run, everything), atol=1e-5)


def test_contributions_sum_to_what_seeing_changed(reading):
    total = sum(reading.contributions.values())
    np.testing.assert_allclose(total, reading.scores - reading.reference, atol=1e-5)
    assert np.abs(reading.scores - reading.reference).max() > 0.1
    assert np.ptp(reading.subset_scores[0]) < 1e-5


def test_subsets_are_those_of_the_visible_argument(tiny_run, everything, reading):
    model = load_model(tiny_run, everything).eval()
    batcher = Batcher(everything, sources_of(everything, tiny_run.recipe, model.modalities), 1)
    batch = batcher.batch(np.arange(len(everything)))
    for subset in range(8):
        visible = {
            name: torch.full_like(batch.present[name], bool(subset >> m & 1)) for m, name in enumerate(model.modalities)
        }
        with torch.no_grad():
            scores = model(batch, visible=visible).score_B.numpy()
        np.testing.assert_allclose(reading.subset_scores[subset], scores, atol=1e-5)
    assert np.array_equal(reading.alone("audio"), reading.subset_scores[0b010])
    assert np.array_equal(reading.without("audio"), reading.subset_scores[0b101])
    with pytest.raises(EvidenceError, match="Did you mean 'vision'"):
        reading.alone("vison")


class Shifted:
    """A source whose values are others."""

    def __init__(self, source):
        self.source = source
        self.present = source.present

    def collate(self, rows, videos):
        inputs = self.source.collate(rows, videos)
        groups = [SequenceGroup(g.rows_G, g.values_GTD + 3.0, g.mask_GT) for g in inputs.groups]
        return replace(inputs, groups=tuple(groups))


def test_what_is_hidden_has_no_influence(tiny_run, everything, reading):
    model = load_model(tiny_run, everything)
    sources = sources_of(everything, tiny_run.recipe, model.modalities)
    other = read(model, Batcher(everything, {**sources, "audio": Shifted(sources["audio"])}, 1), CPU)
    for subset in range(8):
        difference = np.abs(other.subset_scores[subset] - reading.subset_scores[subset]).max()
        assert difference > 1e-3 if subset & 0b010 else difference < 1e-6


def test_without_context_is_the_utterance_read_alone(tiny_run, everything, reading):
    for row in (0, 7, 23):
        alone = Part("one", everything.corpus, np.array([row]))
        assert reading.without_context[row] == pytest.approx(float(predict(tiny_run, alone)[0]), abs=1e-5)
    assert np.abs(reading.without_context - reading.scores).max() > 1e-3


def test_a_modality_that_the_window_lacks_contributes_nothing(tiny_run, everything):
    recipe = tiny_run.recipe.model_copy(update={"model": tiny_run.recipe.model.model_copy(update={"context": 0})})
    torch.manual_seed(0)
    names = ("text", "audio", "vision")
    model = build(recipe, shapes_of(everything, recipe, names))
    sources = sources_of(everything, recipe, names)
    fit_scalers(model, sources)
    reading = read(model, Batcher(everything, sources, 0), CPU)
    assert np.array_equal(reading.without_context, reading.scores)
    for m, name in enumerate(names):
        absent = ~reading.present[:, m]
        assert absent.any()
        assert not reading.contributions[name][absent].any()
        assert reading.contributions[name][~absent].all()


def test_features_are_the_same_with_and_without_scores(tiny_run, everything, reading):
    features, present = features_of_part(tiny_run, everything)
    assert np.array_equal(present, reading.present)
    for name in reading.modalities:
        np.testing.assert_allclose(features[name], reading.features[name], atol=1e-6)
