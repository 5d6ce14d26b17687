"""The one door to test: what goes through it, what it refuses, and that it counts."""

import ast
import json
from pathlib import Path

import numpy as np
import pytest

import mmmie
from mmmie.corpus.store import Corpus
from mmmie.errors import CorpusError, EvidenceError
from mmmie.evidence.evaluation import Evaluation, evaluate
from mmmie.evidence.metrics import measure
from mmmie.evidence.predictions import Predictions
from mmmie.evidence.summary import summarise

pytest_plugins = ("stand_in_runs",)
pytestmark = pytest.mark.usefixtures("predict")


def test_scores_test_and_valid_and_writes_both_files(make_corpus, make_run):
    corpus = make_corpus()
    run = make_run(corpus)
    before = {p.name for p in run.path.iterdir()}
    evaluation = evaluate(run, corpus)

    assert {p.name for p in run.path.iterdir()} - before == {
        "predictions.parquet",
        "evaluation.json",
        "calibration.json",
        "calibration.safetensors",
    }
    stored = Predictions.read(run.path / "predictions.parquet")
    assert stored.part("test").ids == corpus.test().ids
    assert stored.part("valid").ids == corpus.training().valid.ids
    assert np.array_equal(stored.part("test").labels, [u.label for u in corpus.test()])
    assert evaluation.test == measure(stored.part("test").labels, stored.part("test").scores)
    assert evaluation.valid == measure(stored.part("valid").labels, stored.part("valid").scores)
    assert (evaluation.test.n, evaluation.test_videos, evaluation.own_corpus) == (40, 8, True)
    assert Evaluation.read(run.path) == evaluation


def test_prints_both_conventions_by_their_full_names(make_corpus, make_run):
    evaluation = evaluate(make_run(make_corpus()))
    text = str(evaluation)
    for words in ("Acc-2 has-zero", "Acc-2 non-zero", "F1 has-zero", "F1 non-zero", "negative / non-negative"):
        assert words in text
    assert f"{evaluation.test.mae:.3f}" in text
    assert f"{100 * evaluation.test.acc7:.1f}" in text
    assert "toy seed 0 on toy: 40 test utterances of 8 videos" in text
    assert "opened for the first time" in text


def test_every_opening_is_counted(make_corpus, make_run):
    corpus = make_corpus()
    first, again, other = make_run(corpus), make_run(corpus, seed=1), make_run(corpus, name="other", width=90)
    assert evaluate(first).openings.before == 0
    evaluate(again)
    assert vars(evaluate(first).openings) == {
        "before": 2,
        "before_by_run": 1,
        "recipes_before": 1,
        "counted_in": "corpus",
    }
    evaluate(other)
    openings = evaluate(again).openings
    assert (openings.before, openings.before_by_run, openings.recipes_before) == (4, 1, 2)
    assert str(openings) == "Test split opened 4 times before, by 2 recipes; once by this run."
    lines = [json.loads(line) for line in (corpus.path / "test_openings.jsonl").read_text().splitlines()]
    assert [(line["run"], line["seed"]) for line in lines] == [
        ("toy", 0),
        ("toy", 1),
        ("toy", 0),
        ("other", 0),
        ("toy", 1),
    ]
    assert set(lines[0]) == {"time", "run", "seed", "path", "recipe"}


def test_a_damaged_line_still_counts_as_an_opening(make_corpus, make_run):
    corpus = make_corpus()
    (corpus.path / "test_openings.jsonl").write_text('{"run": "toy", "se\n')
    assert evaluate(make_run(corpus)).openings.before == 1


def test_where_the_corpus_cannot_be_written_the_run_counts(make_corpus, make_run):
    corpus = make_corpus()
    (corpus.path / "test_openings.jsonl").mkdir()  # opening it for writing fails, for root too
    run = make_run(corpus)
    evaluate(run)
    evaluation = evaluate(run)
    assert (evaluation.openings.counted_in, evaluation.openings.before_by_run) == ("run", 1)
    assert "read-only" in str(evaluation)
    assert len((run.path / "test_openings.jsonl").read_text().splitlines()) == 2


def test_an_opening_that_cannot_be_counted_does_not_happen(make_corpus, make_run):
    corpus = make_corpus()
    run = make_run(corpus)
    for folder in (corpus.path, run.path):
        (folder / "test_openings.jsonl").mkdir()
    with pytest.raises(EvidenceError, match="cannot be counted"):
        evaluate(run)
    assert not (run.path / "evaluation.json").exists()


def test_test_videos_seen_in_training_are_refused(make_corpus, make_run):
    run = make_run(make_corpus("dev"))
    other = make_corpus("resplit", rotate=4)
    assert other.info.fingerprint == Corpus.open(run.corpus_path).info.fingerprint
    with pytest.raises(EvidenceError, match=r"4 of 8 test videos .* in train or valid of .*: v05, v06, v07, v08"):
        evaluate(run, other)
    assert not (other.path / "test_openings.jsonl").exists()
    assert not (run.path / "on").exists()


def test_another_corpus_is_scored_on_test_only_and_beside_the_own(make_corpus, make_run):
    corpus, other = make_corpus(), make_corpus("other", prefix="w", splits={"test": 4})
    run = make_run(corpus)
    own = evaluate(run)
    cross = evaluate(run, other)
    assert (cross.own_corpus, cross.valid, cross.test.n) == (False, None, 20)
    assert cross.folder.parent == run.path / "on"
    assert Evaluation.read(cross.folder) == cross
    assert Evaluation.read(run.path) == own
    assert cross.openings.before == 0
    assert len((other.path / "test_openings.jsonl").read_text().splitlines()) == 1


def test_a_corpus_that_moved_is_still_the_own_one(make_corpus, make_run, tmp_path):
    corpus = make_corpus()
    run = make_run(corpus)
    corpus.path.rename(tmp_path / "moved.corpus")
    with pytest.raises(CorpusError, match="no corpus at"):
        evaluate(run)
    assert evaluate(run, Corpus.open(tmp_path / "moved.corpus")).own_corpus


def test_a_corpus_that_changed_in_its_place_is_refused(make_corpus, make_run, rewrite):
    corpus = make_corpus()
    run = make_run(corpus)
    rewrite(run.path / "checkpoint" / "contract.json", "corpus", "fingerprint", "0" * 16)
    with pytest.raises(EvidenceError, match="has changed since"):
        evaluate(run)
    assert not (corpus.path / "test_openings.jsonl").exists()


def test_a_run_that_is_not_finished_is_refused(make_corpus, make_run, rewrite):
    run = make_run(make_corpus())
    rewrite(run.path / "status.json", "state", "interrupted")
    with pytest.raises(EvidenceError, match="not finished"):
        evaluate(run)


def test_a_run_that_does_not_say_what_it_saw_is_refused(make_corpus, make_run):
    run = make_run(make_corpus())
    (run.path / "training_videos.json").unlink()
    with pytest.raises(EvidenceError, match="which videos"):
        evaluate(run)


def test_scores_that_are_not_finite_name_the_utterance_and_leave_nothing(make_corpus, make_run, predict):
    run = make_run(make_corpus())
    predict(lambda _, part: np.where(np.arange(len(part)) == 3, np.nan, 0.0))
    with pytest.raises(EvidenceError, match=r"1 test scores are not finite, the first of utterance v09/3 \(nan\)"):
        evaluate(run)
    assert not list(run.path.glob("*.parquet*"))


def test_scores_of_the_wrong_number_are_refused(make_corpus, make_run, predict):
    predict(lambda _, part: np.zeros(len(part) + 1))
    with pytest.raises(EvidenceError, match=r"40 test utterances, but scores of shape \(41,\)"):
        evaluate(make_run(make_corpus()))


def test_metrics_that_do_not_fit_the_labels_are_left_out_and_said(make_corpus, make_run):
    evaluation = evaluate(make_run(make_corpus(label_range=(1.0, 5.0))))
    assert (evaluation.test.acc7, evaluation.test.acc2_non_zero) == (None, None)
    assert "these are in [1, 5]" in str(evaluation)
    assert "Acc-2 and F1 need negative and positive labels" in str(evaluation)


def test_a_damaged_evaluation_is_refused(make_corpus, make_run):
    run = make_run(make_corpus())
    with pytest.raises(EvidenceError, match="no evaluation at"):
        Evaluation.read(run.path)
    evaluate(run)
    (run.path / "evaluation.json").write_text('{"run": "toy"}')
    with pytest.raises(EvidenceError, match="damaged"):
        Evaluation.read(run.path)


def test_summary_is_mean_sd_and_ensemble_over_seeds(make_corpus, make_run):
    corpus = make_corpus()
    evaluations = [evaluate(make_run(corpus, seed=seed)) for seed in (0, 1, 4)]
    summary = summarise([evaluation.predictions for evaluation in evaluations])
    maes = [evaluation.test.mae for evaluation in evaluations]
    assert summary.seeds == (0, 1, 4)
    assert summary.mean("mae") == pytest.approx(np.mean(maes))
    assert summary.sd("mae") == pytest.approx(np.std(maes, ddof=1))
    scores = np.mean([e.predictions.part("test").scores for e in evaluations], axis=0)
    labels = evaluations[0].predictions.part("test").labels
    assert summary.ensemble == measure(labels, scores)
    # Errors of seeds that are independent cancel in part.
    assert summary.ensemble.mae < min(maes)
    for line in ("seed 4", "mean", "sd", "ensemble of 3", "Acc-2 has-zero"):
        assert line in str(summary)


def test_one_seed_has_no_spread(make_corpus, make_run):
    summary = summarise([evaluate(make_run(make_corpus())).predictions])
    assert np.isnan(summary.sd("mae"))


def test_the_door_is_the_only_one():
    """No other file of the package calls `.test()` of anything."""
    package = Path(mmmie.__file__).parent
    callers = {
        str(file.relative_to(package))
        for file in package.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "test"
    }
    assert callers == {"evidence/evaluation.py"}
