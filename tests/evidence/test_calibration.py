"""Calibrations are fitted on valid alone, stored, found again, refused where they do not fit; judgements by hand."""

import json
from dataclasses import replace
from hashlib import sha256
from math import inf

import numpy as np
import pyarrow.parquet as pq
import pytest

from mmmie.errors import EvidenceError
from mmmie.evidence import attribution
from mmmie.evidence.calibration import Calibration, calibrate
from mmmie.evidence.compare import compare
from mmmie.evidence.conformal import Levels, Margins
from mmmie.evidence.evaluation import Evaluation, evaluate
from mmmie.evidence.predictions import Predictions
from mmmie.evidence.verify import verify
from mmmie.learning.run import Run
from stand_in_runs import reading_of, scores_of

pytest_plugins = ("stand_in_runs",)
pytestmark = pytest.mark.usefixtures("predict")


def _calibration(**margins):
    made = {name: Margins(50, 5, 30.0, *values) for name, values in margins.items()}
    return Calibration(Levels(), (-3.0, 3.0), ("text", "audio"), made, {}, 0.0, "w", "c", "v")


def test_intervals_are_clipped_to_the_labels_and_as_wide_as_the_subset_needs():
    calibration = _calibration(none=(2.5, 0, 0), text=(1.0, 0, 0))
    lower, upper, _ = calibration.bounds(np.array([0.5, 2.5, 0.5, -4.0]), np.array(["text", "text", "audio", "text"]))
    assert lower.tolist() == [-0.5, 1.5, -2.0, -3.0]  # audio has no margins: the widest there are
    assert upper.tolist() == [1.5, 3.0, 3.0, -3.0]


def test_a_sign_is_unsure_where_neither_is_excluded():
    calibration = _calibration(text=(2.0, 0.75, 0.5))
    # The neutral band is 0.25 wide on either side: unsure from -0.25 to 0.5, both exclusive.
    scores = np.array([-0.5, -0.24, 0.0, 0.49, 0.51, 2.0])
    assert calibration.bounds(scores, np.array(["text"] * 6))[2].tolist() == [False, True, True, True, False, False]
    positive = replace(calibration, label_range=(1.0, 5.0))
    assert not positive.bounds(scores, np.array(["text"] * 6))[2].any()


def test_without_any_margins_the_interval_is_the_whole_range():
    lower, upper, unsure = _calibration().bounds(np.array([1.0]), np.array(["text"]))
    assert (lower.tolist(), upper.tolist(), unsure.tolist()) == ([-3.0], [3.0], [True])


def test_a_calibration_is_read_as_it_was_written(tmp_path, make_corpus, make_run):
    written = calibrate(make_run(make_corpus()))
    written = replace(written, margins={**written.margins, "text": Margins(3, 1, 1.0, inf, inf, 0.5)})
    written.write(tmp_path)
    found = Calibration.read(tmp_path)
    for name in ("levels", "label_range", "modalities", "margins", "reference", "checkpoint_sha256", "valid_sha256"):
        assert getattr(found, name) == getattr(written, name)
    features = np.random.default_rng(0).standard_normal((9, 3)).astype(np.float32)
    assert found.familiar["text"].p_values(features).tolist() == written.familiar["text"].p_values(features).tolist()


def test_it_is_fitted_on_valid_and_train_and_never_asks_for_test(make_corpus, make_run, predict):
    corpus, asked = make_corpus(), []
    predict(lambda run, part: asked.extend(part.ids) or scores_of(run, part))
    calibration = calibrate(make_run(corpus))
    assert sorted(asked) == sorted(corpus.training().valid.ids)
    assert calibration.margins["text"].utterances == 15
    assert not (corpus.path / "test_openings.jsonl").exists()


def test_the_half_width_is_the_quantile_of_the_residuals(make_corpus, make_run):
    corpus = make_corpus(splits={"train": 6, "valid": 8, "test": 3})
    run = make_run(corpus)
    valid = corpus.training().valid
    errors = np.abs(np.array([u.label for u in valid]) - scores_of(run, valid).astype(np.float64))
    assert calibrate(run).margins["text"].half_width == pytest.approx(np.sort(errors)[36], abs=1e-12)  # of 40


def test_what_is_stored_is_used_until_the_weights_change(make_corpus, make_run, predict, rewrite):
    run = make_run(make_corpus())
    first = calibrate(run)
    asked = []
    predict(lambda run, part: asked.append(part.name) or scores_of(run, part))
    assert calibrate(Run.open(run.path)).margins == first.margins
    assert not asked
    assert calibrate(Run.open(run.path), levels=Levels(coverage=0.5)).levels.coverage == 0.5
    assert asked == ["valid"]
    rewrite(run.path / "checkpoint" / "contract.json", "sha256", "0" * 64)
    assert calibrate(Run.open(run.path)).checkpoint_sha256 == "0" * 64


def test_other_corpora_and_splits_are_refused(make_corpus, make_run):
    run = make_run(make_corpus())
    with pytest.raises(EvidenceError, match="fingerprint"):
        calibrate(run, make_corpus("other", prefix="w"))
    with pytest.raises(EvidenceError, match=r"v13 was in neither train nor valid then"):
        calibrate(run, make_corpus("resplit", rotate=4))
    assert not (run.path / "calibration.json").exists()


@pytest.mark.parametrize("name", ["calibration.json", "calibration.safetensors"])
def test_a_damaged_calibration_is_refused(make_corpus, make_run, name):
    run = make_run(make_corpus())
    with pytest.raises(EvidenceError, match="Make it with `mmmie evaluate"):
        Calibration.read(run.path)
    calibrate(run)
    (run.path / name).write_bytes(b"{}")
    with pytest.raises(EvidenceError, match="damaged"):
        Calibration.read(run.path)


def test_unfamiliar_input_is_outside_and_abstained_from(make_corpus, make_run):
    corpus = make_corpus(splits={"train": 30, "valid": 20, "test": 3})
    calibration = calibrate(make_run(corpus))
    test = corpus.test()
    usual = reading_of(np.full(len(test), 2.9), test)
    strange = replace(usual, features={"text": usual.features["text"] + 50})
    assert calibration.judge(strange).outside.all()
    assert calibration.judge(strange).abstain.all()
    assert calibration.judge(strange).typicality.max() == pytest.approx(1 / 51)
    assert calibration.judge(usual).outside.sum() <= 1
    absent = replace(strange, present=np.zeros_like(strange.present))
    assert not calibration.judge(absent).outside.any()
    with pytest.raises(EvidenceError, match="the calibration is of text, and what was read of audio"):
        calibration.judge(replace(usual, modalities=("audio",)))


def test_an_evaluation_stores_and_shows_what_its_predictions_are_worth(make_corpus, make_run):
    evaluation = evaluate(make_run(make_corpus()))
    worth = Predictions.read(evaluation.folder / "predictions.parquet").part("test").worth
    labels = evaluation.predictions.part("test").labels
    covered = np.mean((worth.lower <= labels) & (labels <= worth.upper))
    assert evaluation.reliability.coverage == covered
    assert f"Intervals stated at 90% cover {covered:.1%}" in str(evaluation)
    assert Evaluation.read(evaluation.folder).reliability == evaluation.reliability
    assert list(worth.contributions) == ["text"]


def test_runs_evaluated_before_there_was_any_still_open_compare_and_verify(make_corpus, make_run):
    corpus = make_corpus()
    runs = [make_run(corpus, seed=seed) for seed in (0, 1)]
    for run in runs:
        evaluation = evaluate(run)
        replace(evaluation.predictions, worth=None).write(run.path / "predictions.parquet")
        assert pq.read_schema(run.path / "predictions.parquet").names == ["video", "index", "split", "label", "score"]
        values = json.loads((run.path / "evaluation.json").read_text())
        digest = sha256((run.path / "predictions.parquet").read_bytes()).hexdigest()
        values = {**values, "predictions_sha256": digest}
        del values["reliability"], values["calibration_sha256"]
        (run.path / "evaluation.json").write_text(json.dumps(values))
        (run.path / "calibration.json").unlink()
    old = Evaluation.read(runs[0].path)
    assert (old.reliability, old.predictions.worth) == (None, None)
    assert "Intervals" not in str(old)
    assert verify(runs[0], deep=True).ok
    assert compare({"a": [old.predictions], "b": [Evaluation.read(runs[1].path).predictions]}).num_utterances == 40


def test_another_corpus_is_judged_by_the_calibration_of_the_own_one(make_corpus, make_run, tmp_path):
    corpus = make_corpus()
    run, other = make_run(corpus), make_corpus("other", prefix="w", splits={"test": 4})
    corpus.path.rename(tmp_path / "gone")
    assert evaluate(run, other).reliability is None
    (tmp_path / "gone").rename(corpus.path)
    assert evaluate(run, other).reliability is not None


def test_it_is_asked_through_one_door(make_corpus, make_run, monkeypatch):
    """An evaluation reads test and valid once each: what the calibration needs of valid is handed on."""
    asked = []
    inner = attribution.read_part
    monkeypatch.setattr(attribution, "read_part", lambda run, part: asked.append(part.name) or inner(run, part))
    evaluate(make_run(make_corpus()))
    assert asked == ["test", "valid"]


def test_a_subset_without_margins_borrows_those_of_the_part_known_best_and_holds_the_joint_score():
    calibration = _calibration(text=(1.0, 0.5, 0.5), audio=(2.0, 1.5, 1.5))
    text, joint = np.array([1.0, 1.0, -0.6]), np.array([1.2, 2.5, 0.1])
    reading = attribution.Reading(
        modalities=("text", "audio"),
        present=np.ones((3, 2), bool),
        subset_scores=np.stack([np.zeros(3), text, np.full(3, 2.9), joint]),
        without_context=joint,
        features={},
    )
    worth = calibration.judge(reading, borrow=True)
    np.testing.assert_allclose(worth.lower, [0.0, 0.0, -1.6])
    np.testing.assert_allclose(worth.upper, [2.0, 2.5, 0.4])
    assert worth.abstain.tolist() == [False, False, True]  # the joint score has another sign than the words alone
    wide = calibration.judge(reading)
    np.testing.assert_allclose(wide.upper - wide.lower, [3.8, 2.5, 4.0])  # the widest, clipped to the labels
