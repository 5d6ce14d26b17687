"""Comparison of systems: the figures of its table, its verdicts, and what it refuses."""

from math import isnan

import numpy as np
import pytest

from mmmie.errors import EvidenceError
from mmmie.evidence.compare import compare
from mmmie.evidence.evaluation import evaluate
from mmmie.evidence.predictions import pool
from mmmie.evidence.statistics import paired_bootstrap

pytest_plugins = ("stand_in_runs",)
pytestmark = pytest.mark.usefixtures("predict")


@pytest.fixture
def evaluated(make_corpus, make_run):
    """Predictions of seeds of systems that differ in the size of their error (`width` / 100)."""
    corpora = {}

    def make(name, width, seeds=(0, 1, 2), corpus="toy", **how):
        if corpus not in corpora:
            corpora[corpus] = make_corpus(corpus, **how)
        runs = [make_run(corpora[corpus], name=name, seed=seed, width=width) for seed in seeds]
        return [evaluate(run).predictions for run in runs]

    return make


def test_figures_are_those_of_the_bootstrap_and_the_seeds(evaluated):
    systems = {"a": evaluated("a", 100), "b": evaluated("b", 50, seeds=(0, 1))}
    found = compare(systems, draws=2000)
    tests = {name: [p.part("test") for p in several] for name, several in systems.items()}
    maes = {name: [t.metrics().mae for t in several] for name, several in tests.items()}
    assert found.systems["a"].mean("mae") == pytest.approx(np.mean(maes["a"]))
    assert found.systems["b"].sd("mae") == pytest.approx(np.std(maes["b"], ddof=1))
    expected = paired_bootstrap(
        tests["a"][0].labels,
        np.stack([t.scores for t in tests["a"]]),
        np.stack([t.scores for t in tests["b"]]),
        tests["a"][0].videos,
        2000,
    )["mae"]
    assert found.contrasts["b"].difference == expected
    assert found.contrasts["b"].difference.value == pytest.approx(np.mean(maes["b"]) - np.mean(maes["a"]))
    assert (found.num_utterances, found.num_videos) == (40, 8)


def test_verdicts_follow_the_direction_of_the_metric(evaluated):
    systems = {"middle": evaluated("m", 100), "good": evaluated("g", 20), "bad": evaluated("b", 250)}
    by_mae = compare(systems)
    assert {name: c.verdict for name, c in by_mae.contrasts.items()} == {"good": "better", "bad": "worse"}
    assert by_mae.contrasts["good"].difference.value < 0
    by_corr = compare(systems, "corr")
    assert {name: c.verdict for name, c in by_corr.contrasts.items()} == {"good": "better", "bad": "worse"}
    assert by_corr.contrasts["good"].difference.value > 0


def test_what_is_as_good_is_not_resolved(evaluated):
    found = compare({"a": evaluated("a", 100), "b": evaluated("b", 100)})
    contrast = found.contrasts["b"]
    assert contrast.verdict == "not resolved"
    assert contrast.difference.low < 0 < contrast.difference.high
    assert abs(contrast.difference.value) < contrast.difference.detectable


def test_p_values_are_adjusted_for_their_number(evaluated):
    a, b, c = evaluated("a", 100), evaluated("b", 100), evaluated("c", 20)
    alone, both = compare({"a": a, "c": c}).contrasts["c"], compare({"a": a, "b": b, "c": c}).contrasts["c"]
    assert alone.p_holm == alone.difference.p
    assert both.p_holm == pytest.approx(2 * alone.p_holm)


def test_the_table_says_what_a_reader_must_know(evaluated):
    text = str(compare({"base": evaluated("a", 100), "better": evaluated("b", 20, seeds=(0,))}))
    assert "MAE on toy: 40 test utterances of 8 videos; differences to base, lower is better" in text
    for word in ("seeds", "sd", "ensemble", "95 % interval", "p (Holm)", "detectable", "verdict"):
        assert word in text
    assert "One seed only of better" in text
    assert "8 videos are few" in text
    row = next(line for line in text.splitlines() if line.startswith("better"))
    assert row.split()[:2] == ["better", "1"]
    assert row.endswith("better (one seed)")
    assert "Fewer than 5 seeds" in text


def test_the_same_predictions_give_the_same_table(evaluated):
    systems = {"a": evaluated("a", 100), "b": evaluated("b", 90)}
    assert str(compare(systems)) == str(compare(systems))


def test_a_constant_system_has_no_correlation_to_compare(evaluated, predict):
    a = evaluated("a", 100)
    predict(lambda _, part: np.full(len(part), 0.1, dtype=np.float32))
    contrast = compare({"a": a, "flat": evaluated("flat", 100)}, "corr").contrasts["flat"]
    assert isnan(contrast.difference.value)
    assert contrast.verdict == "not resolved"


def test_what_does_not_pair_is_refused(evaluated):
    a = evaluated("a", 100)
    with pytest.raises(EvidenceError, match="different corpora: 'toy'"):
        compare({"a": a, "b": evaluated("b", 100, corpus="other", prefix="w")})
    with pytest.raises(EvidenceError, match=r"row 0 is v09/0 in the one and v05/0 in the other"):
        compare({"a": a, "b": evaluated("c", 100, corpus="resplit", rotate=4)})
    with pytest.raises(EvidenceError, match="at least two systems; came: a"):
        compare({"a": a})
    with pytest.raises(EvidenceError, match="'b' has no predictions"):
        compare({"a": a, "b": []})
    with pytest.raises(EvidenceError, match="Did you mean 'mae'"):
        compare({"a": a, "b": a}, "maee")


def test_a_metric_that_does_not_fit_the_labels_is_refused(evaluated):
    likert = {n: evaluated(n, 50, corpus="likert", label_range=(1.0, 5.0)) for n in ("a", "b")}
    with pytest.raises(EvidenceError, match="Acc-7 and Acc-5 are defined for labels in"):
        compare(likert, "acc7")
    assert compare(likert, "mae").contrasts["b"].verdict == "not resolved"


def test_cross_validated_systems_are_compared_on_all_folds(evaluated):
    """Two folds whose tests are disjoint: 5 of 10 videos each."""
    systems = {}
    for name, width in (("a", 120), ("b", 20)):
        folds = []
        for fold, rotate in enumerate((0, 5)):
            how = {"splits": {"train": 3, "valid": 2, "test": 5}, "rotate": rotate, "corpus": f"fold-{fold}"}
            folds += evaluated(f"{name}-{fold}", width, **how)
        systems[name] = pool(folds)
    found = compare(systems)
    assert (found.num_utterances, found.num_videos) == (50, 10)
    assert [len(s.runs) for s in found.systems.values()] == [3, 3]
    assert found.contrasts["b"].verdict == "better"
