"""Unfamiliar input is found, familiar input is called so at the stated rate, and few videos call nothing unfamiliar."""

import numpy as np
import pytest

from mmmie.evidence.familiarity import PROJECTED_DIM, learn_familiarity, project


def _videos(rng, number, each=8, dim=6, spread=1.0):
    """Utterances around the mean of their video."""
    means = spread * rng.standard_normal((number, 1, dim))
    features = (means + rng.standard_normal((number, each, dim))).reshape(-1, dim).astype(np.float32)
    return features, [f"v{i}" for i in range(number) for _ in range(each)]


def _learn(rng, train=60, valid=40):
    features, videos = _videos(rng, train + valid)
    cut = 8 * train
    return learn_familiarity(features[:cut], videos[:cut], features[cut:], videos[cut:])


def test_new_videos_are_called_unfamiliar_no_more_often_than_stated():
    rng = np.random.default_rng(0)
    rates = []
    for _ in range(40):
        familiarity = _learn(rng)
        new, _ = _videos(rng, 40)
        rates.append(np.mean(familiarity.p_values(new) <= 0.1))
    assert np.mean(rates) == pytest.approx(0.1, abs=0.03)


def test_far_and_differently_shaped_inputs_are_found():
    familiarity = _learn(np.random.default_rng(1))
    new, _ = _videos(np.random.default_rng(2), 10)
    assert familiarity.num_videos == 100
    assert familiarity.p_values(new + 15.0).max() <= 0.01
    assert np.median(familiarity.p_values(5 * new)) <= 0.02


def test_with_few_videos_the_smallest_p_value_is_large():
    familiarity = _learn(np.random.default_rng(3), train=6, valid=3)
    assert familiarity.p_values(np.full((1, 6), 1e3, np.float32)).tolist() == [0.1]


def test_long_videos_count_no_more_than_short_ones():
    features, videos = _videos(np.random.default_rng(4), 30)
    longer = np.concatenate([features, np.tile(features[-8:] * 40, (50, 1))])
    familiarity = learn_familiarity(features, videos, longer, [*videos, *["v29"] * 400])
    assert familiarity.num_videos == 30
    assert familiarity.weights_R.sum() == pytest.approx(30)


def test_constant_columns_do_not_decide():
    features, videos = _videos(np.random.default_rng(5), 40)
    features[:, 0] = 7.0
    familiarity = learn_familiarity(features, videos, features, videos)
    moved = features.copy()
    moved[:, 0] += 0.01
    assert np.abs(familiarity.p_values(moved) - familiarity.p_values(features)).max() < 0.1


def test_without_two_videos_nothing_is_learned():
    features, videos = _videos(np.random.default_rng(6), 1)
    assert learn_familiarity(features, videos, features, videos) is None
    assert learn_familiarity(features[:0], [], features, videos) is None


def test_wide_features_are_projected_and_keep_their_distances():
    rng = np.random.default_rng(7)
    wide = rng.standard_normal((20, 2000)).astype(np.float32)
    narrow = project(wide)
    assert narrow.shape == (20, PROJECTED_DIM)
    ratio = np.linalg.norm(narrow[:10] - narrow[10:], axis=1) / np.linalg.norm(wide[:10] - wide[10:], axis=1)
    assert ratio * np.sqrt(2000 / PROJECTED_DIM) == pytest.approx(1, abs=0.3)
    assert np.array_equal(project(wide[:, :50]), wide[:, :50])


def test_the_projection_is_the_same_everywhere():
    unit = np.eye(256, dtype=np.float32)
    signs = (project(unit) > 0).astype(np.uint8)
    assert np.packbits(signs[0, :32]).tolist() == [95, 130, 194, 217]
    assert signs.mean() == pytest.approx(0.5, abs=0.02)
