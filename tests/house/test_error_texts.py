"""Mistakes through the real command: status 2, what to do on stderr, never a traceback."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mmmie.corpus.synthetic import SyntheticSettings, generate


def mmmie(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from mmmie.cli.main import run; run()", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=120)


def refusal(*arguments: str, cwd: Path) -> str:
    done = mmmie(*arguments, cwd=cwd)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert not done.stdout
    return done.stderr


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with a small corpus and a recipe for it."""
    folder = tmp_path_factory.mktemp("errors")
    generate(folder / "toy.corpus", SyntheticSettings(videos=5, utterances=(2, 3)))
    (folder / "toy.toml").write_text('name = "toy"\ncorpus = "toy.corpus"\n')
    return folder


def test_unknown_verb(tmp_path):
    assert refusal("trian", cwd=tmp_path) == "mmmie has no verb 'trian'. Did you mean 'train'?\n"


def test_unknown_option(tmp_path):
    assert "No such option: --sed" in refusal("train", "toy.toml", "--sed", "3", cwd=tmp_path)


def test_unknown_recipe_key(place):
    (place / "typo.toml").write_text('name = "typo"\ncorpus = "toy.corpus"\n[model]\nwidht = 64\n')
    said = refusal("train", "typo.toml", cwd=place)
    assert said == "mmmie train: typo.toml: unknown key 'model.widht'. Did you mean 'width'?\n"


def test_unknown_key_of_an_override(place):
    assert "Did you mean 'epochs'?" in refusal("train", "toy.toml", "--set", "training.epoch=3", cwd=place)


def test_value_out_of_range(place):
    said = refusal("train", "toy.toml", "--set", "model.dropout=1.5", cwd=place)
    assert "toy.toml: model.dropout" in said
    assert "1.5" in said


def test_missing_recipe(place):
    assert "no recipe at toi.toml. Did you mean 'toy.toml'?" in refusal("train", "toi.toml", cwd=place)


@pytest.mark.parametrize("verb", ["inspect", "train"])
def test_missing_corpus(place, verb):
    arguments = ("inspect", "toys.corpus") if verb == "inspect" else ("train", "toy.toml", "--corpus", "toys.corpus")
    said = refusal(*arguments, cwd=place)
    assert "no corpus at toys.corpus" in said
    assert "Did you mean 'toy.corpus'?" in said
    assert not (place / "runs").exists()


def test_corpus_of_another_version(place):
    future = place / "future.corpus"
    future.mkdir()
    description = json.loads((place / "toy.corpus" / "corpus.json").read_text())
    (future / "corpus.json").write_text(json.dumps({**description, "schema_version": 7}))
    said = refusal("inspect", "future.corpus", cwd=place)
    assert "schema version 7" in said
    assert "Import the corpus again" in said


def test_corpus_that_exists(place):
    before = (place / "toy.corpus" / "corpus.json").read_bytes()
    assert "exists already" in refusal("generate", "--size", "small", "--out", "toy.corpus", cwd=place)
    assert (place / "toy.corpus" / "corpus.json").read_bytes() == before


def test_missing_run(place):
    assert "no run at runs/toy" in refusal("evaluate", "runs/toy", cwd=place)


def test_a_folder_that_no_demo_made(place):
    (place / "mine").mkdir()
    (place / "mine" / "notes.txt").write_text("keep me")
    assert "no demo made it" in refusal("demo", "--out", "mine", cwd=place)
    assert (place / "mine" / "notes.txt").read_text() == "keep me"


def test_a_name_that_begins_with_a_hyphen_is_no_option_of_ours(place):
    said = refusal("inspect", "-3g5yACwYnA.corpus", cwd=place)
    assert said.endswith("If -3g5yACwYnA.corpus is a name, write ./-3g5yACwYnA.corpus, or put -- before it.\n")
    assert "no corpus at -3g5yACwYnA.corpus" in refusal("inspect", "./-3g5yACwYnA.corpus", cwd=place)
    assert "is a name" not in refusal("inspect", "--leak", "toy.corpus", cwd=place)
    assert "no corpus at -3g5yACwYnA.corpus" in refusal("inspect", "--", "-3g5yACwYnA.corpus", cwd=place)


def test_a_video_whose_id_begins_with_a_hyphen(place):
    """Ids as YouTube gives them travel through the files; they are never taken for options."""
    rows = [f"{split},-3g5yACwYn{n},0,0.5,well" for n, split in enumerate(("train", "valid", "test"))]
    (place / "table.csv").write_text("\n".join(["split,video,index,label,text", *rows]) + "\n")
    done = mmmie("import", "csv", "table.csv", "--out", "hyphen.corpus", cwd=place)
    assert done.returncode == 0, done.stderr
    assert mmmie("inspect", "hyphen.corpus", "--no-leaks", cwd=place).returncode == 0
