"""What is measured of intervals and abstentions, on predictions counted by hand; and what a touch changes."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from mmmie.errors import EvidenceError
from mmmie.evidence.evaluation import Evaluation, evaluate
from mmmie.evidence.figures import draw_reliability
from mmmie.evidence.predictions import Origin, Predictions, Worth
from mmmie.evidence.reliability import Reliability, measure_reliability
from mmmie.evidence.verify import verify
from mmmie.learning.run import Run


def _predictions(label_range=(-3.0, 3.0)):
    labels = np.array([1.0, -1.0, 0.0, 2.0])
    scores = np.array([0.5, 0.25, 2.0, 3.0])
    worth = Worth(
        lower=scores - 1,
        upper=scores + 1,
        abstain=np.array([False, True, False, False]),
        outside=np.array([False, True, False, False]),
        typicality=np.ones(4),
        modalities=np.array(["text"] * 4),
        without_context=scores - 0.5,
        contributions={"text": scores},
    )
    origin = Origin("toy", 0, "toy", "0" * 16, label_range, "0")
    return Predictions(origin, np.array(list("aabb")), np.arange(4), np.array(["test"] * 4), labels, scores, worth)


def test_by_hand():
    measured = measure_reliability(_predictions(), 0.9)
    assert (measured.coverage, measured.mean_width, measured.abstained, measured.outside) == (0.5, 2.0, 0.25, 0.25)
    assert (measured.sign_accuracy, measured.sign_accuracy_kept) == (pytest.approx(2 / 3), 1.0)
    assert measured.sign_accuracy_abstained == 0.0
    assert measured.mae_kept == pytest.approx((0.5 + 2 + 1) / 3)
    # By |score|: 3, 2 (whose label has no sign), 0.5, 0.25.
    assert measured.risk_coverage["0.5"] == 1.0
    assert measured.risk_coverage["1"] == pytest.approx(2 / 3)
    assert [(bin_.n, bin_.mean_score, bin_.mean_label, bin_.coverage) for bin_ in measured.bins] == [
        (1, 0.25, -1.0, 0.0),
        (1, 0.5, 1.0, 1.0),
        (1, 2.0, 0.0, 0.0),
        (1, 3.0, 2.0, 1.0),
    ]
    assert measured.mean_contributions == {"text": 1.4375, "context": 0.5}
    assert Reliability.from_json(json.loads(json.dumps(measured.to_json()))) == measured


def test_labels_without_a_sign_have_no_accuracy_of_signs():
    measured = measure_reliability(_predictions((1.0, 5.0)), 0.9)
    assert (measured.sign_accuracy, measured.risk_coverage["1"]) == (None, None)
    assert str(measured).endswith("abstained on 25%.")


def test_without_intervals_there_is_nothing_to_measure():
    with pytest.raises(EvidenceError, match="no intervals"):
        measure_reliability(replace(_predictions(), worth=None), 0.9)


def test_worth_travels_through_parquet(tmp_path):
    written = _predictions()
    written.write(tmp_path / "p.parquet")
    found = Predictions.read(tmp_path / "p.parquet").worth
    for name in ("lower", "upper", "abstain", "outside", "typicality", "modalities", "without_context"):
        assert getattr(found, name).tolist() == getattr(written.worth, name).tolist()
    assert found.contributions["text"].tolist() == written.worth.contributions["text"].tolist()


@pytest.fixture
def evaluated(tiny_run, tiny_corpus, tmp_path):
    """A copy of a really trained run, evaluated."""
    run = Run.open(shutil.copytree(tiny_run.path, tmp_path / "run"))
    evaluate(run, tiny_corpus)
    return run


def test_a_trained_run_holds_deeply_and_is_drawn(evaluated, tmp_path):
    verification = verify(evaluated, deep=True)
    assert verification.ok, str(verification)
    checked = {check.what.split(",")[0] for check in verification.checks}
    assert {"test contribution of vision", "margin half_width of text", "valid typicality", "abstentions"} <= checked
    evaluation = Evaluation.read(evaluated.path)
    draw_reliability(evaluation, tmp_path / "reliability.png")
    assert (tmp_path / "reliability.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(EvidenceError, match="no intervals"):
        draw_reliability(replace(evaluation, reliability=None), tmp_path / "none.png")


@pytest.mark.parametrize(
    ("column", "what"),
    [
        ("lower", "lower ends of the intervals"),
        ("upper", "upper ends of the intervals"),
        ("abstain", "abstentions"),
        ("contribution_audio", "scores from contributions"),
    ],
)
def test_a_touched_column_is_caught(evaluated, column, what):
    path = evaluated.path / "predictions.parquet"
    predictions = Predictions.read(path)
    worth = predictions.worth
    if column.startswith("contribution"):
        worth = replace(worth, contributions={**worth.contributions, "audio": worth.contributions["audio"] + 0.1})
    else:
        values = getattr(worth, column).copy()
        values[0] = not values[0] if column == "abstain" else values[0] - 0.5
        worth = replace(worth, **{column: values})
    replace(predictions, worth=worth).write(path)
    failed = {check.what.split(",")[0] for check in verify(evaluated).checks if check.status == "FAILED"}
    assert what in failed


@pytest.mark.parametrize("key", ["coverage", "mean_width", "abstained", "sign_accuracy_kept"])
def test_a_touched_figure_is_caught(evaluated, key):
    path = evaluated.path / "evaluation.json"
    values = json.loads(path.read_text())
    values["reliability"][key] = (values["reliability"][key] or 0.0) + 1e-6  # none: all is abstained from
    path.write_text(json.dumps(values))
    assert [c.what for c in verify(evaluated).checks if c.status == "FAILED"] == [f"test {key}"]


def test_narrower_margins_are_caught(evaluated):
    path = evaluated.path / "calibration.json"
    values = json.loads(path.read_text())
    for margins in values["margins"].values():
        margins["half_width"] *= 0.9
    path.write_text(json.dumps(values))
    failed = {check.what.split(",")[0] for check in verify(evaluated).checks if check.status == "FAILED"}
    assert {"sha256 of calibration.json", "margin half_width", "lower ends of the intervals"} <= failed
