"""Verification: an honest run passes; every kind of tampering is caught, and by the check that names it."""

import hashlib
import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmmie.corpus.store import Corpus
from mmmie.evidence.calibration import Calibration
from mmmie.evidence.evaluation import evaluate
from mmmie.evidence.metrics import measure
from mmmie.evidence.predictions import Predictions
from mmmie.evidence.reliability import measure_reliability
from mmmie.evidence.verify import verify
from mmmie.learning.run import Run
from stand_in_runs import scores_of

pytest_plugins = ("stand_in_runs",)
pytestmark = pytest.mark.usefixtures("predict")


@pytest.fixture
def run(make_corpus, make_run):
    run = make_run(make_corpus())
    evaluate(run)
    return run


def _failed(run, deep=False):
    verification = verify(Run.open(run.path), deep)
    failed = {check.what for check in verification.checks if check.status == "FAILED"}
    assert verification.ok == (not failed)
    return failed


@pytest.mark.parametrize("deep", [False, True])
def test_an_honest_run_passes_every_check(run, deep):
    verification = verify(run, deep)
    assert {check.status for check in verification.checks} == {"ok"}
    assert verification.ok
    checked = {check.what for check in verification.checks}
    metrics = ("n", "mae", "corr", "acc7", "acc5", "acc2_has_zero", "f1_has_zero", "acc2_non_zero", "f1_non_zero")
    assert {f"{split} {name}" for split in ("test", "valid") for name in metrics} <= checked
    assert {"sha256 of model.safetensors", "best epoch", "labels in the corpus", "openings of the test split"} < checked
    assert any(what.startswith("test scores predicted again") for what in checked) == deep
    assert f"{len(checked)} ok, 0 failed, 0 skipped" in str(verification)


def test_undefined_metrics_verify_too(make_corpus, make_run, predict):
    predict(lambda _, part: np.full(len(part), 0.5, dtype=np.float32))
    run = make_run(make_corpus(label_range=(1.0, 5.0)))
    evaluate(run)
    assert _failed(run) == {"valid mae of the best epoch"}  # which the stand-in's log takes from another rule


@pytest.mark.parametrize("split", ["test", "valid"])
@pytest.mark.parametrize("metric", ["mae", "corr", "acc7", "f1_non_zero"])
def test_a_stored_metric_that_was_touched_is_caught(run, rewrite, split, metric):
    rewrite(run.path / "evaluation.json", split, metric, lambda value: value - 1e-6)
    assert _failed(run) == {f"{split} {metric}"}


def _rewrite_parquet(run, change):
    path = run.path / "predictions.parquet"
    table = pq.read_table(path)
    pq.write_table(change(table), path)


def _column(table, name, change):
    values = np.array(table[name].to_pylist())
    return table.set_column(table.schema.names.index(name), table.schema.field(name), pa.array(change(values)))


def test_scores_that_were_touched_are_caught(run):
    def flatter(table):
        labels = table["label"].to_numpy()
        return _column(table, "score", lambda scores: scores + 0.5 * (labels - scores))

    _rewrite_parquet(run, flatter)
    failed = _failed(run, deep=True)
    assert {"sha256 of predictions.parquet", "test mae", "valid mae", "valid mae of the best epoch"} <= failed
    assert any(what.startswith("test scores predicted again") for what in failed)


def test_one_score_that_changes_no_rounded_figure_is_caught(run):
    _rewrite_parquet(run, lambda t: _column(t, "score", lambda s: np.where(np.arange(len(s)) == 7, s + 1e-12, s)))
    assert _failed(run) == {"sha256 of predictions.parquet"}


def _forge(run, change):
    """Tampers with the scores and makes all that follows from them agree, intervals and checksum included."""
    _rewrite_parquet(run, change)
    path = run.path / "predictions.parquet"
    forged, calibration = Predictions.read(path), Calibration.read(run.path)
    lower, upper, unsure = calibration.bounds(forged.scores, forged.worth.modalities)
    explained = {"text": forged.scores - calibration.reference}
    worth = replace(
        forged.worth, lower=lower, upper=upper, abstain=unsure | forged.worth.outside, contributions=explained
    )
    forged = replace(forged, worth=worth)
    forged.write(path)
    table = pq.read_table(path)
    content = json.loads((run.path / "evaluation.json").read_text())
    splits = np.array(table["split"].to_pylist())
    for split in ("test", "valid"):
        rows = splits == split
        content[split] = measure(table["label"].to_numpy()[rows], table["score"].to_numpy()[rows]).to_json()
    content["reliability"] = measure_reliability(forged.part("test"), calibration.levels.coverage).to_json()
    content["test_videos"] = len({v for v, s in zip(table["video"].to_pylist(), splits, strict=True) if s == "test"})
    content["predictions_sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    (run.path / "evaluation.json").write_text(json.dumps(content))


def test_a_forged_evaluation_is_caught_by_the_corpus_or_by_predicting_again(run):
    def better_test(table):
        splits = np.array(table["split"].to_pylist())
        labels = table["label"].to_numpy()
        return _column(table, "score", lambda s: np.where(splits == "test", labels, s))

    _forge(run, better_test)
    assert _failed(run) == set()  # consistent in itself: this is what --deep is for
    failed = {what.split(",")[0] for what in _failed(run, deep=True)}
    assert failed == {"test scores predicted again", "test mae predicted again", "test contribution of text"}


@pytest.mark.parametrize(
    ("precision", "shift", "caught"),
    [("float32", 1e-5, False), ("float32", 1e-3, True), ("auto", 5e-3, False), ("auto", 5e-2, True)],
)
def test_predicting_again_allows_for_the_precision_and_no_more(
    make_corpus, make_run, predict, precision, shift, caught
):
    run = make_run(make_corpus(), precision=precision)
    evaluate(run)
    predict(lambda run, part: scores_of(run, part) + shift * (np.arange(len(part)) == 0))
    failed = {what.split(",")[0] for what in _failed(run, deep=True)}
    assert ({f"{split} scores predicted again" for split in ("test", "valid")} <= failed) == caught
    assert bool(failed) == caught


def test_a_small_shift_of_all_scores_is_caught_by_the_mae(make_corpus, make_run, predict):
    """Each score within what bfloat16 explains, but all of them in the direction of the label."""
    run = make_run(make_corpus(), precision="auto")
    evaluate(run)
    predict(lambda run, part: scores_of(run, part) + 0.01 * np.sign(scores_of(run, part) - part.labels))
    assert _failed(run, deep=True) == {"test mae predicted again", "valid mae predicted again"}


def test_dropped_rows_are_caught(run):
    def easy_ones(table):
        error = np.abs(table["label"].to_numpy() - table["score"].to_numpy())
        splits = np.array(table["split"].to_pylist())
        return table.filter(pa.array((splits != "test") | (error < 0.5)))

    _forge(run, easy_ones)
    assert _failed(run) == {"utterances of the corpus"}


def test_changed_labels_are_caught(run):
    def agree(table):
        splits = np.array(table["split"].to_pylist())
        scores = np.clip(table["score"].to_numpy(), -3, 3)
        return _column(table, "label", lambda labels: np.where(splits == "test", scores, labels))

    _forge(run, agree)
    assert _failed(run) == {"labels in the corpus"}


def test_other_weights_are_caught(run):
    (run.path / "checkpoint" / "model.safetensors").write_bytes(b"others")
    assert _failed(run) == {"sha256 of model.safetensors"}


def test_an_evaluation_of_earlier_weights_is_caught(run, rewrite):
    weights = run.path / "checkpoint" / "model.safetensors"
    weights.write_bytes(b"trained again")
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    rewrite(run.path / "checkpoint" / "contract.json", "sha256", digest)
    assert _failed(run) == {"sha256 of the evaluated weights", "sha256 of the calibrated weights"}


def test_an_epoch_that_was_not_the_best_is_caught(run, rewrite):
    rewrite(run.path / "status.json", "best_epoch", 2)
    assert _failed(run) == {"best epoch"}


def test_a_best_valid_mae_that_was_touched_is_caught(run, rewrite):
    rewrite(run.path / "status.json", "best_valid_mae", lambda value: value - 0.01)
    assert _failed(run) == {"its valid mae", "valid mae of the best epoch"}


def test_openings_taken_out_of_the_count_are_caught(run):
    (Run.open(run.path).corpus_path / "test_openings.jsonl").unlink()
    assert _failed(run) == {"openings of the test split"}


def test_another_seed_or_recipe_is_caught(run, rewrite):
    rewrite(run.path / "evaluation.json", "seed", 5)
    rewrite(run.path / "evaluation.json", "recipe", "0" * 16)
    assert _failed(run) == {"who was evaluated", "who predicted", "recipe"}


@pytest.mark.parametrize("name", ["evaluation.json", "predictions.parquet"])
@pytest.mark.parametrize("how", ["removed", "emptied"])
def test_a_file_that_is_missing_or_broken_fails_and_the_other_checks_go_on(run, name, how):
    (run.path / name).unlink() if how == "removed" else (run.path / name).write_bytes(b"")
    assert _failed(run) == {"evaluation readable"}
    assert len(verify(run).checks) == 5


def test_a_broken_log_fails(run):
    (run.path / "metrics.jsonl").write_text('{"epoch": 0}\n')
    assert "training log readable" in _failed(run)


def test_without_an_evaluation_it_is_said(make_corpus, make_run):
    verification = verify(make_run(make_corpus()))
    assert verification.ok
    assert [check.status for check in verification.checks] == ["ok", "ok", "ok", "ok", "skipped"]


def test_without_the_corpus_it_is_said_and_deep_fails(run, tmp_path):
    Run.open(run.path).corpus_path.rename(tmp_path / "elsewhere")
    skipped = [check for check in verify(run).checks if check.status == "skipped"]
    assert [check.what for check in skipped] == ["labels in the corpus"]
    assert "no corpus at" in skipped[0].found
    assert _failed(run, deep=True) == {"labels in the corpus"}


def test_evaluations_on_other_corpora_are_checked_too(run, make_corpus, rewrite):
    other = evaluate(run, make_corpus("other", prefix="w", splits={"test": 4}))
    assert _failed(run, deep=True) == set()
    rewrite(other.folder / "evaluation.json", "test", "mae", 0.1)
    assert _failed(run) == {f"on/{other.folder.name}: test mae"}


def test_deep_scores_the_rows_that_were_scored_and_opens_no_test(run, predict):
    asked = []

    def spy(run, part):
        asked.extend(part.ids)
        return scores_of(run, part)

    predict(spy)
    corpus = Corpus.open(run.corpus_path)
    before = (corpus.path / "test_openings.jsonl").read_text()
    assert verify(run, deep=True).ok
    assert sorted(asked) == sorted([*corpus.test().ids, *corpus.training().valid.ids])
    assert (corpus.path / "test_openings.jsonl").read_text() == before
