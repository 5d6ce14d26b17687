"""`mmmie train` in its own words: what it prints, what it refuses, and with which status."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mmmie.cli.main import main
from mmmie.learning.run import Run
from tiny_corpora import write_corpus, write_encoder


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("room")
    write_corpus(folder / "tiny.corpus")
    write_encoder(folder / "bert", layers=2)
    return folder


@pytest.fixture
def recipe(room: Path, tmp_path: Path) -> Callable[..., Path]:
    def make(name: str = "tiny", more: str = "", sections: str = "") -> Path:
        path = tmp_path / f"{name}.toml"
        path.write_text(
            f'name = "{name}"\ncorpus = "{room / "tiny.corpus"}"\n{more}\n[text]\nencoder = "{room / "bert"}"\n'
            "[model]\nwidth = 16\nheads = 2\ncontext = 1\n[minimise]\ntarget_nats = 1.0\n"
            f'[training]\nepochs = 2\nbatch_utterances = 16\nprecision = "float32"\n{sections}'
        )
        return path

    return make


@pytest.fixture
def train(tmp_path: Path) -> Callable[..., int]:
    return lambda path, *more: main(["train", str(path), "--runs", str(tmp_path / "runs"), *more])


def test_one_seed(tmp_path: Path, recipe: Callable, train: Callable, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(recipe()) == 0
    said = capsys.readouterr()
    run = Run.open(tmp_path / "runs" / "tiny" / "0")
    assert run.finished
    assert f"valid MAE {run.status['best_valid_mae']:.4f}" in said.out
    assert f"next: mmmie evaluate {run.path}" in said.out
    assert "epoch 2/2" in said.err
    assert "min audio" in said.err, "terms are named while they are trained"


def test_several_seeds_and_their_spread(
    tmp_path: Path, recipe: Callable, train: Callable, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(recipe(), "--seed", "3", "--seeds", "2", "--quiet") == 0
    said = capsys.readouterr()
    assert sorted(p.name for p in (tmp_path / "runs" / "tiny").iterdir()) == ["3", "4"]
    maes = [Run.open(tmp_path / "runs" / "tiny" / s).status["best_valid_mae"] for s in "34"]
    spread = abs(maes[0] - maes[1]) / 2**0.5
    assert f"valid MAE {sum(maes) / 2:.4f} ± {spread:.4f} over 2 seeds" in said.out
    assert said.err == ""


def test_overrides_win(tmp_path: Path, room: Path, recipe: Callable, train: Callable) -> None:
    write_corpus(tmp_path / "other.corpus", seed=4)
    assert train(
        recipe(), "--set", "model.width=8", "--set", "training.epochs=1", "--set", "minimise.target_nats=none",
        "--corpus", str(tmp_path / "other.corpus"), "--quiet",
    ) == 0  # fmt: skip
    run = Run.open(tmp_path / "runs" / "tiny" / "0")
    assert run.recipe.model.width == 8
    assert run.recipe.minimise.target_nats is None
    assert len(run.history) == 1
    assert run.corpus_path == (tmp_path / "other.corpus").resolve()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--set", "model.widht=8"], "unknown key 'model.widht'. Did you mean 'width'?"),
        (["--set", "model.width"], "--set takes key=value"),
        (["--set", "model.width=wide"], "model.width"),
        (["--set", "training.epochs=0"], "training.epochs"),
        (["--set", "text.encoder=nobody/nothing"], "no text encoder 'nobody/nothing'"),
        (["--set", "minimise.target_nats=3.0"], "Raise training.batch_utterances to at least 55"),
        (["--corpus", "no.corpus"], "no corpus at no.corpus"),
        (["--corpus", "."], "no corpus at"),
    ],
)
def test_mistakes_are_refused_and_leave_no_run(
    tmp_path: Path, recipe: Callable, train: Callable, capsys: pytest.CaptureFixture[str], more: list[str], message: str
) -> None:
    assert train(recipe(), *more, "--quiet") == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.startswith("mmmie train: ")
    assert "Traceback" not in said
    assert not (tmp_path / "runs").exists()


def test_no_such_recipe(tmp_path: Path, recipe: Callable, train: Callable, capsys: pytest.CaptureFixture[str]) -> None:
    recipe()
    assert train(tmp_path / "tinny.toml") == 2
    assert "Did you mean 'tiny.toml'?" in capsys.readouterr().err


def test_a_run_is_not_overwritten_and_is_kept_on_resume(
    tmp_path: Path, recipe: Callable, train: Callable, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(recipe(), "--quiet") == 0
    first = capsys.readouterr().out
    weights = (tmp_path / "runs/tiny/0/checkpoint/model.safetensors").read_bytes()
    assert train(recipe(), "--quiet") == 2
    assert "--resume" in capsys.readouterr().err
    assert train(recipe(), "--quiet", "--resume") == 0
    assert capsys.readouterr().out == first
    assert (tmp_path / "runs/tiny/0/checkpoint/model.safetensors").read_bytes() == weights
    assert train(recipe(), "--quiet", "--resume", "--set", "model.width=8") == 2
    assert "another version of the recipe 'tiny'" in capsys.readouterr().err
    assert train(recipe(), "--quiet", "--resume", "--seeds", "2") == 0, "the missing seed is trained"
    assert Run.open(tmp_path / "runs/tiny/1").finished


def test_a_later_seed_that_is_there_is_refused_before_any_is_trained(
    tmp_path: Path, recipe: Callable, train: Callable, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(recipe(), "--seed", "1", "--quiet") == 0
    assert train(recipe(), "--seeds", "2", "--quiet") == 2
    assert f"{tmp_path / 'runs' / 'tiny' / '1'} holds a run already" in capsys.readouterr().err
    assert train(recipe(), "--seeds", "2", "--quiet", "--resume", "--set", "model.width=8") == 2
    assert not (tmp_path / "runs" / "tiny" / "0").exists()


def test_a_recipe_that_begins_with_another(tmp_path: Path, recipe: Callable, train: Callable) -> None:
    recipe("first")
    second = recipe("second", 'start_from = "first.toml"')
    assert train(second, "--seeds", "2", "--quiet") == 0
    for seed in "01":
        assert Run.open(tmp_path / "runs/first" / seed).finished
        assert Run.open(tmp_path / "runs/second" / seed).finished
    before = (tmp_path / "runs/first/0/metrics.jsonl").read_bytes()
    third = recipe("third", 'start_from = "first.toml"')
    assert train(third, "--quiet") == 0
    assert (tmp_path / "runs/first/0/metrics.jsonl").read_bytes() == before, "what is finished is not trained again"


def test_seeds_that_begin_with_one_run(tmp_path: Path, recipe: Callable, train: Callable) -> None:
    recipe("first")
    second = recipe("second", 'start_from = "first.toml"\nstart_seed = 4')
    assert train(second, "--seeds", "2", "--quiet") == 0
    assert [folder.name for folder in (tmp_path / "runs" / "first").iterdir()] == ["4"]
    assert Run.open(tmp_path / "runs/first/4").seed == 4
    assert sorted(folder.name for folder in (tmp_path / "runs" / "second").iterdir()) == ["0", "1"]


def test_a_recipe_that_begins_with_a_run(
    tmp_path: Path, recipe: Callable, train: Callable, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = tmp_path / "runs"
    assert train(recipe("first"), "--seeds", "2", "--quiet") == 0
    second = recipe("second", f'start_from = "{runs}/first/{{seed}}"')
    assert train(second, "--seed", "1", "--quiet") == 0
    status = json.loads((runs / "first/1/status.json").read_text())
    (runs / "first/1/status.json").write_text(json.dumps({**status, "state": "interrupted"}))
    assert train(second, "--seed", "1", "--runs", str(tmp_path / "new"), "--quiet") == 2
    assert "is not finished" in capsys.readouterr().err
    assert train(recipe("third", f'start_from = "{runs}/frist/0"'), "--quiet") == 2
    assert "no run at" in capsys.readouterr().err


@pytest.mark.parametrize("names", [["one"], ["one", "two"], ["one", "two", "three"]])
def test_recipes_that_begin_with_each_other_are_refused(
    tmp_path: Path, recipe: Callable, train: Callable, capsys: pytest.CaptureFixture[str], names: list[str]
) -> None:
    paths = [recipe(name, f'start_from = "{names[(i + 1) % len(names)]}.toml"') for i, name in enumerate(names)]
    assert train(paths[0], "--quiet") == 2
    assert "start_from" in capsys.readouterr().err


def test_a_full_disk_is_said_and_leaves_whole_files(tmp_path: Path, recipe: Callable, train: Callable) -> None:
    """A limit on the size of files stands for the full disk: metrics still fit, weights do not."""
    assert train(recipe("before"), "--quiet") == 0  # so that text features are stored already
    limited = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv.pop(1)),) * 2); "
        "from mmmie.cli.main import run; run()"
    )
    for size in (20_000, 3_000):
        arguments = ["train", str(recipe()), "--runs", str(tmp_path / str(size)), "--quiet"]
        done = subprocess.run(
            [sys.executable, "-c", limited, str(size), *arguments],
            capture_output=True,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            timeout=120,
        )
        assert done.returncode == 2, done.stderr
        assert "could not write" in done.stderr
        assert "Traceback" not in done.stderr
        for file in (tmp_path / str(size)).rglob("*"):
            assert not file.name.startswith("."), "nothing half-written"
            if file.suffix == ".json":
                json.loads(file.read_text())
