"""Metrics: by hand, and against scikit-learn and scipy."""

from math import isnan

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import pearsonr
from sklearn.metrics import accuracy_score, f1_score

from mmmie.errors import EvidenceError
from mmmie.evidence.metrics import METRICS, Metrics, item_sums, measure, metrics_of_sums, show


def test_worked_example_with_zeros_and_ties():
    labels = [0.0, 0.0, 0.0, 1.0, -1.0, 2.5, -2.0, 3.0]
    scores = [0.0, 0.4, -0.4, 0.0, -0.5, 1.5, 0.6, 4.0]
    found = measure(labels, scores)

    assert found.n == 8
    assert found.mae == pytest.approx((0 + 0.4 + 0.4 + 1 + 0.5 + 1 + 2.6 + 1) / 8)
    # Acc-7, half to even: 0=0, 0=0, 0=0, 1/0, -1/0 (-0.5 -> 0), 2=2 (2.5 and 1.5 -> 2), -2/1, 3=3 (4 is clipped).
    assert found.acc7 == 5 / 8
    # Acc-5: 3 and 4 both become 2, 2.5 and 1.5 both 2.
    assert found.acc5 == 5 / 8
    # Has-zero: labels n n n n - n - n; scores n n - n - n n n (n: non-negative): wrong at the third and seventh.
    assert found.acc2_has_zero == 6 / 8
    # Class non-negative: 5 hits, 1 missed, 1 wrong; negative: 1 hit, 1 and 1. Supports 6 and 2.
    assert found.f1_has_zero == pytest.approx((6 * (10 / 12) + 2 * (2 / 4)) / 8)
    # Non-zero: labels + - + - +, scores (score > 0): 0 is not positive; - - + + +.
    assert found.acc2_non_zero == 3 / 5
    assert found.f1_non_zero == pytest.approx((3 * (4 / 6) + 2 * (2 / 4)) / 5)


def test_rounding_is_half_to_even_and_clips_first():
    assert measure([0.0, 2.0, 2.0, 3.0], [0.5, 1.5, 2.5, 3.5]).acc7 == 1.0
    assert measure([1.0, 3.0], [0.5, 2.5]).acc7 == 0.0
    assert measure([3.0, -3.0, 2.0], [9.0, -9.0, 3.0]).acc7 == pytest.approx(2 / 3)
    assert measure([3.0, -3.0, 2.0], [9.0, -9.0, 3.0]).acc5 == 1.0


@pytest.mark.parametrize("seed", range(5))
def test_agrees_with_scikit_learn_and_scipy(seed):
    rng = np.random.default_rng(seed)
    labels = np.clip(np.round(rng.normal(0, 1.4, 400) * 3) / 3, -3, 3)
    scores = np.where(rng.random(400) < 0.1, 0.0, labels + rng.normal(0, 1, 400))
    found = measure(labels, scores)

    assert found.mae == pytest.approx(np.mean(np.abs(labels - scores)))
    assert found.corr == pytest.approx(pearsonr(labels, scores)[0], abs=1e-12)
    for steps, value in ((3, found.acc7), (2, found.acc5)):
        rounded = [np.round(np.clip(v, -steps, steps)) for v in (labels, scores)]
        assert value == pytest.approx(accuracy_score(*rounded))
    assert found.acc2_has_zero == pytest.approx(accuracy_score(labels >= 0, scores >= 0))
    assert found.f1_has_zero == pytest.approx(f1_score(labels >= 0, scores >= 0, average="weighted"))
    kept = labels != 0
    assert 0 < kept.sum() < len(labels)
    assert found.acc2_non_zero == pytest.approx(accuracy_score(labels[kept] > 0, scores[kept] > 0))
    assert found.f1_non_zero == pytest.approx(f1_score(labels[kept] > 0, scores[kept] > 0, average="weighted"))


def test_f1_where_a_class_is_never_said_or_never_true():
    labels = [-1.0, -2.0, 1.0]
    assert measure(labels, [1.0, 1.0, 1.0]).f1_has_zero == pytest.approx(
        f1_score([0, 0, 1], [1, 1, 1], average="weighted", zero_division=0)
    )
    assert measure([1.0, 2.0], [1.0, -1.0]).f1_non_zero == pytest.approx(
        f1_score([1, 1], [1, 0], average="weighted", zero_division=0)
    )


@pytest.mark.parametrize("constant", [0.0, 0.1, -2.7, 1 / 3])
def test_constant_scores_have_no_correlation(constant):
    found = measure([-1.0, 0.3, 2.0, 0.7], np.full(4, constant))
    assert isnan(found.corr)
    assert found.mae > 0
    assert show("corr", found.corr) == "-"
    assert found.to_json()["corr"] is None


def test_scores_of_tiny_spread_still_correlate():
    labels = np.array([-1.0, 0.3, 2.0, 0.7])
    assert measure(labels, 0.1 + 1e-6 * labels).corr == pytest.approx(1.0)


def test_without_non_zero_labels_the_non_zero_metrics_are_undefined():
    found = measure([0.0, 0.0], [0.5, -0.5])
    assert found.acc2_non_zero is not None
    assert isnan(found.acc2_non_zero)
    assert isnan(found.value("f1_non_zero"))
    assert found.acc2_has_zero == 0.5


def test_one_item():
    found = measure([1.0], [1.25])
    assert (found.n, found.mae, found.acc7, found.acc2_non_zero) == (1, 0.25, 1.0, 1.0)
    assert isnan(found.corr)


def test_metrics_that_do_not_fit_the_range_are_none():
    likert = measure([1.0, 5.0], [2.0, 4.0], (1.0, 5.0))
    assert (likert.acc7, likert.acc5, likert.acc2_has_zero, likert.f1_non_zero) == (None, None, None, None)
    assert likert.mae == 1.0
    unit = measure([-1.0, 1.0], [-0.5, 0.5], (-1.0, 1.0))
    assert (unit.acc7, unit.acc2_non_zero) == (None, 1.0)


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_a_score_that_is_not_finite_is_refused_by_row(broken):
    with pytest.raises(EvidenceError, match=r"1 of 3 scores are not finite, the first in row 1"):
        measure([0.0, 1.0, 2.0], [0.0, broken, 2.0])


@pytest.mark.parametrize("pair", [([], []), ([0.0], [0.0, 1.0]), ([[0.0]], [[0.0]])])
def test_shapes_that_do_not_fit_are_refused(pair):
    with pytest.raises(EvidenceError, match="one score for each label"):
        measure(*pair)


def test_unknown_metric_names_the_nearest():
    with pytest.raises(EvidenceError, match="Did you mean 'acc2_non_zero'"):
        measure([1.0], [1.0]).value("acc2_nonzero")


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.integers(-9, 9), st.integers(-20, 20), st.integers(0, 4)), min_size=1, max_size=30),
)
def test_sums_over_parts_give_the_metrics_of_the_whole(items):
    """The bootstrap adds sums of videos: whatever the parts, the metrics are those of all items."""
    labels, scores = np.array([i[0] / 3 for i in items]), np.array([i[1] / 5 for i in items])
    parts = np.array([i[2] for i in items])
    sums = item_sums(labels, scores)
    added = sum(sums[parts == part].sum(axis=0) for part in np.unique(parts))
    whole = measure(labels, scores)
    for name, value in metrics_of_sums(added).items():
        assert float(value) == pytest.approx(whole.value(name), nan_ok=True, abs=1e-9)


def test_json_round_trip_keeps_every_number():
    found = measure([-1.0, 0.5, 2.0], [-0.5, 0.5, 1.0])
    assert Metrics.from_json(found.to_json()) == found
    assert set(found.to_json()) == {"n", *METRICS}
    with pytest.raises(EvidenceError, match="not a set of metrics"):
        Metrics.from_json({"n": 3, "mae": "much"})
