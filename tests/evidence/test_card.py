"""Cards say what is known, say what is missing, and carry the licence of the data."""

import json
import shutil

import pytest

from mmmie.cli.main import main
from mmmie.evidence.card import RECONSTRUCTION, make_card
from mmmie.evidence.evaluation import evaluate
from mmmie.evidence.packing import pack
from mmmie.learning.run import Run


@pytest.fixture
def run(tiny_run, tmp_path):
    return Run.open(shutil.copytree(tiny_run.path, tmp_path / "runs" / "tiny" / "0"))


@pytest.fixture
def licensed(run, tiny_corpus, tmp_path):
    """The run with a copy of its corpus under a licence."""

    def give(licence):
        corpus = shutil.copytree(tiny_corpus.path, tmp_path / "copy.corpus", dirs_exist_ok=True)
        for path, section in ((corpus / "corpus.json", None), (run.path / "checkpoint" / "contract.json", "corpus")):
            values = json.loads(path.read_text())
            if section:
                values[section]["path"] = str(corpus)
            else:
                values["licence"] = licence
            path.write_text(json.dumps(values))
        return make_card(Run.open(run.path))

    return give


def test_before_an_evaluation_nothing_is_guessed(run):
    text = str(make_card(run))
    assert "Not evaluated yet." in text
    assert "Not calibrated yet" in text
    assert RECONSTRUCTION in text
    assert "| train | 60 | 12 |" in text
    for name, shape in run.contract["modalities"].items():
        assert f"| {name} | {shape['input_dim']} |" in text
        assert shape["fingerprint"] in text


def test_after_it_results_intervals_and_openings_are_there(run, tiny_corpus):
    evaluation = evaluate(run, tiny_corpus)
    card = make_card(run)
    text = str(card)
    assert f"| MAE | {evaluation.valid.mae:.3f} | {evaluation.test.mae:.3f} |" in text
    assert str(evaluation.openings) in text
    assert "Split-conformal intervals at 90%" in text
    assert f"On test {evaluation.reliability.coverage:.1%} of the labels lay inside" in text
    assert json.loads(json.dumps(card.values, allow_nan=False))["results"]["test"]["n"] == 20


@pytest.mark.parametrize(
    ("licence", "research_only"),
    [("research only; recordings belong to their authors", True), ("CC-BY-NC-4.0", True), ("CC0-1.0", False)],
)
def test_the_licence_of_the_data_is_copied(licensed, licence, research_only):
    card = licensed(licence)
    assert card.values["licence"] == licence
    assert card.values["research_only"] == research_only
    assert ("Research only, non-commercial." in str(card)) == research_only
    assert f"Of the data it was trained on: {licence}." in str(card)


def test_the_licences_of_all_corpora_it_learned_from_are_named(run, licensed, tmp_path):
    file = run.path / "checkpoint" / "contract.json"
    before = [{"name": "first", "fingerprint": "", "licence": "research only"}, {"name": "second", "licence": "MIT"}]
    file.write_text(json.dumps({**json.loads(file.read_text()), "began_with": before}))
    card = licensed("MIT")
    assert card.values["licence"] == "MIT; first: research only; second: MIT"
    assert card.values["research_only"]
    assert "Training began with what a run had learned from first, then second." in str(card)
    packed = Run.open(pack(Run.open(run.path), tmp_path / "packed"))
    assert str(make_card(packed)) == (packed.path / "card.md").read_text(), "once each, however often it is packed"


def test_a_licence_that_is_not_stated_permits_nothing(run, licensed):
    file = run.path / "checkpoint" / "contract.json"
    before = [{"name": "first", "fingerprint": "", "licence": ""}]
    file.write_text(json.dumps({**json.loads(file.read_text()), "began_with": before}))
    card = licensed("MIT")
    assert card.values["licence"] == "MIT; first: not stated"
    assert card.values["research_only"]


def test_without_the_corpus_nothing_is_permitted(run, licensed, tmp_path):
    licensed("CC0-1.0")
    shutil.rmtree(tmp_path / "copy.corpus")
    card = make_card(Run.open(run.path))
    assert card.values["research_only"]
    assert "unknown: the corpus is not there to say" in str(card)


def test_the_verb_prints_or_writes(run, tmp_path, capsys):
    assert main(["card", str(run.path)]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("# tiny, seed 0\n")
    assert main(["card", str(run.path), "--out", str(tmp_path / "card.md")]) == 0
    assert (tmp_path / "card.md").read_text() == printed
    assert main(["card", str(tmp_path / "runs" / "none")]) == 2
