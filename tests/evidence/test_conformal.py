"""Quantiles by hand, coverage by simulation, and how many independent utterances a calibration has."""

from math import inf

import numpy as np
import pytest

from mmmie.evidence.attribution import Reading
from mmmie.evidence.conformal import (
    Levels,
    Margins,
    conformal_quantile,
    effective_number,
    fit_margins,
    margins_from,
    subsets_of,
)

LEVELS = Levels()


@pytest.mark.parametrize(
    ("n", "coverage", "rank"), [(9, 0.9, 9), (10, 0.9, 10), (19, 0.9, 18), (99, 0.9, 90), (4, 0.8, 4), (100, 0.5, 51)]
)
def test_the_rank_is_that_of_the_finite_sample(n, coverage, rank):
    values = np.random.default_rng(n).permutation(np.arange(1.0, n + 1))
    assert conformal_quantile(values, coverage) == rank


@pytest.mark.parametrize(("n", "coverage"), [(0, 0.9), (8, 0.9), (3, 0.8)])
def test_too_few_have_none(n, coverage):
    assert conformal_quantile(np.arange(float(n)), coverage) == inf


def test_coverage_is_exact_over_calibrations():
    draws = np.random.default_rng(0).exponential(size=(20_000, 20))
    covered = [new <= conformal_quantile(values, 0.9) for *values, new in draws]
    # 18 of 20 places are covered, exactly; the standard error of 20,000 draws is 0.002.
    assert np.mean(covered) == pytest.approx(0.9, abs=0.008)


def test_the_coverage_of_one_calibration_lies_where_it_is_said_to():
    low, high = Margins(99, 99, 99.0, 1.0, 1.0, 1.0).coverage_range(0.9)
    rng = np.random.default_rng(1)
    coverages = [conformal_quantile(rng.uniform(size=99), 0.9) for _ in range(20_000)]  # of uniform values: its own
    assert np.quantile(coverages, [0.05, 0.95]) == pytest.approx([low, high], abs=0.004)


def test_utterances_of_a_video_count_less_the_more_they_are_alike():
    rng = np.random.default_rng(2)
    videos = np.repeat(np.arange(50), 20)
    assert effective_number(rng.standard_normal(1000), videos) > 600
    alike = np.repeat(rng.standard_normal(50), 20)
    assert effective_number(alike, videos) == pytest.approx(50)
    half = alike + rng.standard_normal(1000)  # intraclass correlation 1/2: 1000 / (1 + 19 / 2)
    assert effective_number(half, videos) == pytest.approx(95, rel=0.3)
    assert effective_number(alike, np.arange(1000)) == 1000
    assert effective_number(alike, np.zeros(1000)) == 1
    assert effective_number(np.ones(1000), videos) == 1000


def test_margins_know_their_sides():
    # Labels 1 above the score in nine of ten, 3 below in one.
    margins = margins_from(np.array([1.0] * 90 + [-3.0] * 10), np.arange(100), LEVELS)
    assert (margins.half_width, margins.above, margins.below) == (3.0, 1.0, -1.0)
    assert (margins.utterances, margins.videos) == (100, 100)


def _reading(present):
    scores = np.array([[0.0] * len(present), [1.0] * len(present), [2.0] * len(present), [3.0] * len(present)])
    return Reading(("text", "audio"), np.array(present), scores, scores[-1], {})


def test_each_subset_is_calibrated_on_who_has_it_with_the_rest_hidden():
    present = [[True, True]] * 12 + [[True, False]] * 12 + [[False, True]] * 3
    margins = fit_margins(_reading(present), np.zeros(27), np.arange(27), LEVELS)
    assert {name: (m.utterances, m.half_width) for name, m in margins.items()} == {
        "none": (27, 0.0),
        "text": (24, 1.0),
        "audio": (15, 2.0),
        "text+audio": (12, 3.0),
    }
    few = fit_margins(_reading(present[12:]), np.zeros(15), np.arange(15), LEVELS)
    assert sorted(few) == ["none", "text"]


def test_subsets_are_named_in_order():
    present = np.array([[True, False, True], [False, False, False], [True, True, True]])
    names = subsets_of(present, ("text", "audio", "vision")).tolist()
    assert names == ["text+vision", "none", "text+audio+vision"]
