"""Bootstrap against closed forms and its own plain loop, power, Holm."""

from math import isnan, sqrt

import numpy as np
import pytest
from scipy.stats import norm

from mmmie.errors import EvidenceError
from mmmie.evidence.metrics import METRICS, measure
from mmmie.evidence.statistics import bootstrap, holm, paired_bootstrap


def _two_systems(rng, videos=80, per_video=6, better=0.0, seeds=1):
    codes = np.repeat(np.arange(videos), per_video)
    labels = np.clip(rng.normal(0, 1.2, len(codes)), -3, 3)
    hard = rng.normal(0, 0.4, videos)[codes]  # an error that the utterances of a video share
    systems = [
        np.stack([labels + scale * (1 + hard) * rng.normal(0, 1, len(codes)) for _ in range(seeds)])
        for scale in (1.0, 1.0 - better)
    ]
    return labels, *systems, codes


def test_all_metrics_equal_a_plain_loop_over_the_same_draws():
    labels, first, second, codes = _two_systems(np.random.default_rng(0), videos=9, per_video=4)
    found = paired_bootstrap(labels, first, second, codes, draws=40, seed=5)

    picks = np.random.default_rng(5).integers(9, size=(40, 9))
    for name in METRICS:
        differences = []
        for picked in picks:
            rows = np.concatenate([np.flatnonzero(codes == video) for video in picked])
            one, two = (measure(labels[rows], scores[0][rows]).value(name) for scores in (first, second))
            differences.append(two - one)
        assert found[name].low == pytest.approx(np.percentile(differences, 2.5))
        assert found[name].high == pytest.approx(np.percentile(differences, 97.5))
        assert found[name].value == pytest.approx(
            measure(labels, second[0]).value(name) - measure(labels, first[0]).value(name)
        )


def test_standard_error_is_that_of_a_mean_over_independent_videos():
    labels, first, second, codes = _two_systems(np.random.default_rng(1), videos=200, per_video=5)
    errors = np.abs(second[0] - labels) - np.abs(first[0] - labels)
    by_video = errors.reshape(200, 5).mean(axis=1)
    found = paired_bootstrap(labels, first, second, codes)["mae"]
    # 10,000 draws know a standard error to 1 / sqrt(20,000) = 0.7 %.
    assert found.standard_error == pytest.approx(by_video.std() / sqrt(200), rel=0.03)
    assert found.detectable == pytest.approx(2.8016 * found.standard_error, rel=1e-4)


def test_utterances_of_a_video_that_move_together_widen_the_interval():
    rng = np.random.default_rng(2)
    codes = np.repeat(np.arange(30), 20)
    labels = np.zeros(600)
    second = np.abs(rng.normal(1, 0.3, 30))[codes][None]
    by_video = paired_bootstrap(labels, np.ones((1, 600)), second, codes)["mae"]
    by_item = paired_bootstrap(labels, np.ones((1, 600)), second, np.arange(600))["mae"]
    assert by_video.standard_error == pytest.approx(sqrt(20) * by_item.standard_error, rel=0.05)


def test_seeds_add_their_variance_over_their_number():
    """Runs that are constants off the truth by known amounts: videos add nothing, so all spread is that of seeds."""
    labels, codes = np.zeros(40), np.repeat(np.arange(10), 4)
    first, second = np.array([1.0, 1.2, 1.7]), np.array([0.9, 1.4])
    found = paired_bootstrap(labels, np.outer(first, np.ones(40)), np.outer(second, np.ones(40)), codes)["mae"]
    expected = sqrt(first.var(ddof=1) / 3 + second.var(ddof=1) / 2)
    assert found.value == pytest.approx(second.mean() - first.mean())
    assert found.standard_error == pytest.approx(expected, rel=0.03)


def test_coverage_and_false_alarms_over_repeated_experiments():
    """The 95 % interval holds the true difference, 0, in about 95 % of experiments; the p value agrees with it."""
    inside = 0
    for experiment in range(200):
        labels, first, second, codes = _two_systems(np.random.default_rng(experiment), videos=60, per_video=3)
        found = paired_bootstrap(labels, first, second, codes, draws=400, seed=experiment)["mae"]
        inside += found.low <= 0 <= found.high
        if not 0.03 < found.p < 0.07:  # on the edge, interpolated ends and counted draws may part
            assert (found.p < 0.05) == (not found.low <= 0 <= found.high)
    # Binomial(200, .95): 3 sd are 4.6 points; the bootstrap of 60 groups itself falls short by about one.
    assert 0.89 <= inside / 200 <= 0.99


def test_the_detectable_difference_is_found_four_times_in_five():
    rng = np.random.default_rng(3)
    videos, sd = 100, 0.5
    labels, codes = np.zeros(videos), np.arange(videos)
    detectable = (norm.ppf(0.975) + norm.ppf(0.8)) * sd / sqrt(videos)
    found = 0
    for experiment in range(200):
        second = 5 + detectable + rng.normal(0, sd, (1, videos))
        difference = paired_bootstrap(labels, np.full((1, videos), 5.0), second, codes, 400, experiment)["mae"]
        found += difference.p < 0.05
    assert found / 200 == pytest.approx(0.8, abs=0.085)  # 3 sd of Binomial(200, .8)


def test_a_real_difference_is_found_and_a_system_does_not_differ_from_itself():
    labels, first, second, codes = _two_systems(np.random.default_rng(4), better=0.3)
    found = paired_bootstrap(labels, first, second, codes)["mae"]
    assert found.high < 0
    assert found.p == pytest.approx(2 / 10_001)
    same = paired_bootstrap(labels, first, first, codes)["mae"]
    assert (same.value, same.low, same.high, same.p) == (0.0, 0.0, 0.0, 1.0)


def test_the_same_seed_gives_the_same_interval():
    data = _two_systems(np.random.default_rng(6), seeds=3)
    assert paired_bootstrap(*data, draws=500) == paired_bootstrap(*data, draws=500)
    assert paired_bootstrap(*data, draws=500) != paired_bootstrap(*data, draws=500, seed=1)


def test_an_undefined_metric_gives_no_difference():
    labels, first, _, codes = _two_systems(np.random.default_rng(7))
    found = paired_bootstrap(labels, first, np.full_like(first, 0.1), codes, draws=100)
    assert isnan(found["corr"].value)
    assert isnan(found["corr"].p)
    assert not isnan(found["mae"].p)


def test_one_video_is_refused():
    with pytest.raises(EvidenceError, match="at least two; came: 1"):
        paired_bootstrap([0.0, 1.0], [[0.0, 1.0]], [[0.0, 1.0]], ["a", "a"])


def test_the_interval_of_one_system_equals_a_plain_loop_over_the_same_draws():
    labels, scores, _, codes = _two_systems(np.random.default_rng(8), videos=9, per_video=4)
    found = bootstrap(labels, scores, codes, draws=40, seed=5)
    picks = np.random.default_rng(5).integers(9, size=(40, 9))
    drawn = [np.concatenate([np.flatnonzero(codes == video) for video in picked]) for picked in picks]
    for name in METRICS:
        values = [measure(labels[rows], scores[0][rows]).value(name) for rows in drawn]
        assert found[name].value == pytest.approx(measure(labels, scores[0]).value(name))
        assert (found[name].low, found[name].high) == pytest.approx(tuple(np.percentile(values, [2.5, 97.5])))


def test_the_interval_of_one_system_holds_its_true_error():
    """E|N(0, 1)| = .798 lies in 95 % intervals of about 95 % of experiments."""
    inside = 0
    for experiment in range(200):
        rng = np.random.default_rng(experiment)
        found = bootstrap(np.zeros(300), rng.normal(0, 1, (1, 300)), np.repeat(np.arange(60), 5), 400)["mae"]
        inside += found.low <= sqrt(2 / np.pi) <= found.high
    assert 0.89 <= inside / 200 <= 0.99  # 3 sd of Binomial(200, .95)


def test_an_undefined_metric_has_no_interval():
    labels, scores, _, codes = _two_systems(np.random.default_rng(9))
    found = bootstrap(labels, np.full_like(scores, 0.1), codes, draws=100)
    assert isnan(found["corr"].value)
    assert isnan(found["corr"].low)
    assert found["mae"].low < found["mae"].value < found["mae"].high


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([0.02]) == [0.02]
    assert holm([]) == []
