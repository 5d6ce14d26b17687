"""Two processes under torchrun train as one does on the same global batches."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from mmmie.corpus.store import Corpus
from mmmie.learning.run import Run
from tiny_corpora import recipe_values, write_corpus, write_encoder

WATCHED = """ # Adam divides by the size of a gradient, and would blow up the rounding of those that are about 0

import json, sys
import torch
from mmmie.corpus.store import Corpus
from mmmie.learning import training
from mmmie.settings import Recipe

values, out = json.loads(sys.argv[1]), sys.argv[2]
learn, seen = training._Training._learn, []


def watched(self, step, batch):
    inner = self.step.objective.forward
    def heard(prediction, batch_, number):
        seen.append({"rows": {n: len(r.mean_ND) for n, r in prediction.representations.items()}})
        return inner(prediction, batch_, number)
    self.step.objective.forward = heard
    try:
        terms = learn(self, step, batch)
    finally:
        self.step.objective.forward = inner
    seen[-1]["terms"] = {t.name: [float(t.value.detach()), t.weight] for t in terms}
    seen[-1]["mine"] = len(batch.shares[self.processes.rank])
    seen[-1]["all"] = len(batch.rows_N)
    return terms


def plain_descent(*arguments):
    groups = make_optimizer(*arguments).param_groups
    return torch.optim.SGD([{"params": g["params"], "lr": g["lr"], "base_lr": 30 * g["base_lr"]} for g in groups])


training._Training._learn = watched
make_optimizer, training.make_optimizer = training.make_optimizer, plain_descent
recipe = Recipe.parse(values, "test")
maker = training._Training(
    recipe, Corpus.open(recipe.corpus).training(), training.Path(out), None, False, training.Silent()
)
maker.run()
rank = maker.processes.rank
torch.save({n: p.detach() for n, p in maker.model.named_parameters()}, f"{out}/weights.{rank}")
open(f"{out}/steps.{rank}", "w").write(json.dumps(seen))
"""

TOLERANCE = 2e-5
"""Relative, of float32 sums in another order, over a dozen steps of plain descent."""
TOLERANCE_OF_Q = 1e-2
"""vCLUB's q keeps its Adam."""


def under_torchrun(arguments: list[str], processes: int) -> subprocess.CompletedProcess[str]:
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run([*launch, *arguments], env=environment, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_encoder(tmp_path_factory.mktemp("encoders") / "bert", layers=2, dropout=0.0)


@pytest.fixture
def train_by(tmp_path: Path) -> Callable[..., list[Any]]:
    """Trains under so many processes; gives for each its steps and its last weights."""

    def train(values: dict[str, Any], processes: int) -> list[Any]:
        script, out = tmp_path / "watched.py", tmp_path / f"run{processes}"
        script.write_text(WATCHED)
        done = under_torchrun([str(script), json.dumps(values), str(out)], processes)
        assert done.returncode == 0, done.stderr[-3000:]
        return [
            (json.loads((out / f"steps.{rank}").read_text()), torch.load(out / f"weights.{rank}"))
            for rank in range(processes)
        ]

    return train


def exact(corpus: Path, encoder: Path, **sections: Any) -> dict[str, Any]:
    """Without dropout, whose draws depend on how the batch is shared out."""
    model = {"dropout": 0.0, **sections.pop("model", {})}
    text = {"encoder": str(encoder), **sections.pop("text", {})}
    training = {"epochs": 3, "modality_dropout": 0.0, **sections.pop("training", {})}
    return recipe_values(corpus, model=model, text=text, training=training, **sections)


VCLUB = {"method": "paper", "minimise": {"target_nats": "none", "weight": 0.05}}


@pytest.mark.parametrize(
    "sections",
    [
        {},
        pytest.param({"text": {"depth": "full", "passage_tokens": 40}, **VCLUB}, marks=pytest.mark.slow),
        pytest.param(
            {"maximise": {"estimator": "jsd", "negatives": "across_videos"}, "minimise": {"estimator": "vib"}},
            marks=pytest.mark.slow,
        ),
        pytest.param({"text": {"depth": "top", "top_layers": 1}}, marks=pytest.mark.slow),
    ],
    ids=["frozen", "full, vclub", "jsd, vib", "top"],
)
def test_two_processes_are_as_one(
    corpus: Corpus, encoder: Path, train_by: Callable[..., list[Any]], sections: dict[str, Any]
) -> None:
    values = exact(corpus.path, encoder, **sections)
    ((alone, weights),) = train_by(values, 1)
    halves = train_by(values, 2)
    assert len(alone) == 12
    for steps, _ in halves:
        for ours, theirs in zip(steps, alone, strict=True):
            assert 0 < ours["mine"] < ours["all"], "each encodes a share"
            assert ours["rows"] == theirs["rows"] == dict.fromkeys(ours["rows"], ours["all"]), "all negatives are seen"
            assert ours["terms"].keys() == theirs["terms"].keys()
            for name, (value, weight) in ours["terms"].items():
                near = TOLERANCE_OF_Q if "method" in sections and name.startswith("min") else TOLERANCE
                assert value == pytest.approx(theirs["terms"][name][0], rel=near, abs=near), name
                assert weight == pytest.approx(theirs["terms"][name][1], rel=TOLERANCE, abs=TOLERANCE), name
    assert sum(steps[0]["mine"] for steps, _ in halves) == alone[0]["all"]
    for name, tensor in weights.items():
        torch.testing.assert_close(halves[0][1][name], tensor, rtol=1e-3, atol=1e-4, msg=lambda m, n=name: f"{n}: {m}")
        assert torch.equal(halves[0][1][name], halves[1][1][name]), f"{name}: the processes stay together to the bit"


@pytest.mark.slow
def test_a_process_without_text_or_without_utterances_keeps_up(
    tmp_path: Path, train_by: Callable[..., list[Any]]
) -> None:
    """Batches of two targets: shares are empty, or without any text, while the text encoder is trained.

    The encoder is wide enough for several buckets of gradients, some of which are then ready at once.
    """
    encoder = write_encoder(tmp_path / "wide", layers=2, width=256, dropout=0.0)
    made = write_corpus(tmp_path / "small.corpus", {"train": 3, "valid": 2}, per_video=4)
    minimise, maximise = {"estimator": "none"}, {"estimator": "none"}
    training = {"batch_utterances": 2, "run_length": 2, "epochs": 2}
    values = exact(made.path, encoder, text={"depth": "full"}, training=training, minimise=minimise, maximise=maximise)
    ((alone, weights),) = train_by(values, 1)
    halves = train_by(values, 2)
    assert any(step["mine"] == 0 for steps, _ in halves for step in steps), "the case is there"
    for name, tensor in weights.items():
        torch.testing.assert_close(halves[1][1][name], tensor, rtol=1e-3, atol=1e-4, msg=lambda m, n=name: f"{n}: {m}")
    assert len(alone) == 12


@pytest.mark.slow
def test_the_command_under_torchrun_writes_one_run(tmp_path: Path, corpus: Corpus, encoder: Path) -> None:
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(
        f'name = "tiny"\ncorpus = "{corpus.path}"\n[text]\nencoder = "{encoder}"\n[model]\nwidth = 16\nheads = 2\n'
        "[minimise]\ntarget_nats = 1.0\n[training]\nepochs = 2\nbatch_utterances = 16\n"
    )
    arguments = ["train", str(recipe), "--seeds", "2"]
    done = under_torchrun(["-m", "mmmie", *arguments, "--runs", str(tmp_path / "runs")], 2)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("valid MAE") == 3, "one process speaks: two seeds and their mean"
    for seed in "01":
        run = Run.open(tmp_path / "runs" / "tiny" / seed)
        assert run.finished
        assert len(run.history) == 2
        load_file(run.path / "checkpoint" / "model.safetensors")
        assert not list(run.path.rglob(".*"))
