"""`mmmie interactions` from its arguments to what it prints and writes."""

import json

import pytest

from mmmie.cli.main import main
from tiny_corpora import write_corpus


def test_interactions_prints_tables_and_writes_json_and_a_figure(tmp_path, capsys):
    corpus = write_corpus(tmp_path / "c.corpus", text=False)
    out, figure = tmp_path / "i.json", tmp_path / "i.png"
    options = ["--draws", "200", "--shuffles", "9", "--context", "1", "--out", str(out), "--figure", str(figure)]
    assert main(["interactions", str(corpus.path), *options]) == 0
    printed = capsys.readouterr().out
    assert "c: 85 train and valid utterances of 17 videos (audio 86%, vision 86%)" in printed
    for row in ("audio+vision", "adds", "Shapley", "synergy", "Secondary"):
        assert row in printed
    stored = json.loads(out.read_text())
    assert stored["context"] == 1
    assert [s["subset"] for s in stored["subsets"]] == ["audio", "vision", "audio+vision"]
    assert f"{stored['subsets'][0]['nats']['value']:.3f}" in printed
    assert figure.read_bytes().startswith(b"\x89PNG")


def test_without_shuffles_there_is_no_null(tmp_path, capsys):
    corpus = write_corpus(tmp_path / "c.corpus", text=False)
    out = tmp_path / "i.json"
    assert main(["interactions", str(corpus.path), "--draws", "200", "--shuffles", "0", "--out", str(out)]) == 0
    assert "nan" not in capsys.readouterr().out
    assert json.loads(out.read_text(), parse_constant=pytest.fail)["subsets"][0]["p"] is None


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--folds", "9"], "9 folds by video need at least 18 videos"),
        (["--folds", "1"], "--folds"),
        (["--encoder", "/nowhere"], "no text encoder '/nowhere'"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path, capsys, options, said):
    corpus = write_corpus(tmp_path / "c.corpus", text="--encoder" in options)
    assert main(["interactions", str(corpus.path), *options]) == 2
    assert said in capsys.readouterr().err


def test_a_missing_corpus_is_named(tmp_path, capsys):
    assert main(["interactions", str(tmp_path / "none.corpus")]) == 2
    assert "no corpus at" in capsys.readouterr().err
