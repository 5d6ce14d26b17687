"""`mmmie evaluate`, `compare` and `verify` from their arguments to what they print and return."""

import json
import re

import pytest

from mmmie.cli.main import main
from mmmie.evidence.evaluation import Evaluation

pytest_plugins = ("stand_in_runs",)
pytestmark = pytest.mark.usefixtures("predict")


@pytest.fixture
def runs(make_corpus, make_run, tmp_path):
    """Two systems of three seeds on one corpus, as folders `good` and `bad`."""
    corpus = make_corpus()
    for name, width in (("good", 20), ("bad", 150)):
        for seed in range(3):
            make_run(corpus, name=name, seed=seed, width=width)
    return tmp_path / "runs"


def _openings(tmp_path):
    return len((tmp_path / "toy.corpus" / "test_openings.jsonl").read_text().splitlines())


def test_evaluate_one_run(runs, capsys):
    assert main(["evaluate", str(runs / "good" / "1")]) == 0
    out = capsys.readouterr().out
    assert out.count("Acc-2 has-zero") == 1
    assert "good seed 1 on toy" in out
    assert "ensemble" not in out


def test_evaluate_a_folder_shows_each_seed_and_the_summary(runs, capsys, tmp_path):
    assert main(["evaluate", str(runs / "good"), str(runs / "bad")]) == 0
    out = capsys.readouterr().out
    assert [out.count(f"{name} seed {seed} on") for name in ("good", "bad") for seed in range(3)] == [1] * 6
    assert out.count("ensemble of 3") == 2
    assert _openings(tmp_path) == 6


def test_stored_shows_without_opening(runs, capsys, tmp_path):
    main(["evaluate", str(runs / "good")])
    summary = capsys.readouterr().out.split("\n\n")[3]
    assert main(["evaluate", "--stored", str(runs / "good")]) == 0
    assert capsys.readouterr().out.strip() == summary.strip()
    assert _openings(tmp_path) == 3
    assert main(["evaluate", "--stored", str(runs / "bad")]) == 2
    assert "no evaluation at" in capsys.readouterr().err


def test_evaluate_on_another_corpus(runs, make_corpus, capsys):
    other = make_corpus("other", prefix="w", splits={"test": 4})
    assert main(["evaluate", str(runs / "good" / "0"), "--corpus", str(other.path)]) == 0
    assert "on other: 20 test utterances of 4 videos" in capsys.readouterr().out
    assert not (runs / "good" / "0" / "evaluation.json").exists()


def test_evaluate_pools_folds(make_corpus, make_run, capsys, tmp_path):
    splits = {"train": 3, "valid": 2, "test": 5}
    for fold, rotate in enumerate((0, 5)):
        corpus = make_corpus(f"fold-{fold}", splits=splits, rotate=rotate)
        for seed in (0, 1):
            make_run(corpus, name=f"cv-{fold}", seed=seed)
    folders = [str(tmp_path / "runs" / f"cv-{fold}") for fold in (0, 1)]
    assert main(["evaluate", "--pooled", *folders]) == 0
    out = capsys.readouterr().out
    assert "cv-0 + cv-1 on 2 folds of fold-0: 50 test utterances, 2 seeds" in out
    low, high = map(float, re.search(r"95 % interval of the mean +\[([\d.]+), ([\d.]+)\]", out).groups())
    mean = float(re.search(r"^mean +([\d.]+)", out, re.MULTILINE).group(1))
    assert low < mean < high
    assert "Interval: bootstrap over 10 videos and 2 seeds." in out
    assert main(["compare", "--pooled", f"a={','.join(folders)}", f"b={','.join(folders)}"]) == 0
    assert "50 test utterances of 10 videos" in capsys.readouterr().out


def test_compare_folders(runs, capsys):
    main(["evaluate", str(runs / "good"), str(runs / "bad")])
    capsys.readouterr()
    assert main(["compare", str(runs / "bad"), str(runs / "good")]) == 0
    out = capsys.readouterr().out
    assert "differences to bad, lower is better" in out
    row = next(line for line in out.splitlines() if line.startswith("good"))
    assert row.endswith("better")
    assert main(["compare", str(runs / "bad"), f"seed={runs / 'bad' / '1'}", "--metric", "acc2_non_zero"]) == 0
    assert "higher is better" in capsys.readouterr().out


def test_compare_says_what_is_missing(runs, capsys):
    assert main(["compare", str(runs / "bad"), str(runs / "good")]) == 2
    assert "Make them with `mmmie evaluate" in capsys.readouterr().err
    main(["evaluate", str(runs / "bad")])
    assert main(["compare", str(runs / "bad"), str(runs / "bad")]) == 2
    assert "two systems are called 'bad'" in capsys.readouterr().err


def test_verify_returns_1_where_a_figure_was_touched(runs, capsys, rewrite):
    main(["evaluate", str(runs / "good")])
    assert main(["verify", str(runs / "good"), "--deep"]) == 0
    assert "3 of 3 runs hold" in capsys.readouterr().out
    rewrite(runs / "good" / "2" / "evaluation.json", "test", "mae", 0.001)
    assert main(["verify", str(runs / "good")]) == 1
    out = capsys.readouterr().out
    assert f"2 of 3 runs hold; not: {runs / 'good' / '2'}" in out
    assert [line.split()[:2] for line in out.splitlines() if line.endswith("FAILED")] == [["test", "mae"]]


def test_evaluation_json_holds_the_figures_by_their_full_names(runs):
    main(["evaluate", str(runs / "good" / "0")])
    content = json.loads((runs / "good" / "0" / "evaluation.json").read_text())
    assert content["test"]["acc2_non_zero"] == Evaluation.read(runs / "good" / "0").test.acc2_non_zero
    assert set(content["test"]) == set(content["valid"])
