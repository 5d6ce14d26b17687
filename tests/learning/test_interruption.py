"""Runs that are killed go on and end as if nothing had happened; all of it with real processes."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from mmmie.corpus.store import Corpus
from mmmie.learning.run import Run
from tiny_corpora import recipe_values

FITS = """
import json, os, signal, sys
import transformers.models.bert.modeling_bert  # so that each fork need not
from mmmie.corpus.store import Corpus
from mmmie.learning import training
from mmmie.settings import Recipe


def die_at(name, times):
    owner, count = training if hasattr(training, name) else training._Training, 0
    plain = getattr(owner, name)

    def counted(*arguments, **more):
        nonlocal count
        count += 1
        if count == times:
            os.kill(os.getpid(), signal.SIGKILL)
        return plain(*arguments, **more)

    setattr(owner, name, counted)


def fit(values, out, where, resume):
    if where:
        name, times = where.split(":")
        die_at(name, int(times))
    recipe = Recipe.parse(values, "test")
    training.fit(recipe, Corpus.open(recipe.corpus).training(), out, resume=resume)


for line in sys.stdin:
    child = os.fork()
    if not child:
        try:
            fit(**json.loads(line))
        except BaseException as error:
            print(repr(error), file=sys.stderr)
            os._exit(1)
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
"""Each line of its input is trained in a process of its own, which kills itself at the nth call of a function."""

DEPTHS: list[dict[str, Any]] = [
    {},
    {"text": {"depth": "full", "passage_tokens": 40}, "method": "paper", "minimise": {"target_nats": "none"}},
]


Fit = Callable[..., int]


@pytest.fixture(scope="module")
def fit_in_a_process() -> Iterator[Fit]:
    """Trains in a new process, and gives its exit status."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        [sys.executable, "-c", FITS], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None

        def run(values: dict[str, Any], out: Path, where: str = "", resume: bool = False) -> int:
            print(json.dumps({"values": values, "out": str(out), "where": where, "resume": resume}), file=server.stdin)
            server.stdin.flush()
            return int(server.stdout.readline())

        yield run
        server.stdin.close()


def outcome(path: Path) -> tuple[dict[str, bytes], list[dict[str, Any]], dict[str, Any]]:
    """Weights to the bit, metrics and status apart from seconds."""
    run = Run.open(path)
    weights = load_file(path / "checkpoint" / "model.safetensors")
    lines = [{k: v for k, v in line.items() if k != "seconds"} for line in run.history]
    return (
        {name: tensor.numpy().tobytes() for name, tensor in weights.items()},
        lines,
        {k: v for k, v in run.status.items() if k != "seconds"},
    )


@pytest.fixture(scope="module")
def values(corpus: Corpus, encoder: Path) -> Callable[..., dict[str, Any]]:
    def make(**sections: Any) -> dict[str, Any]:
        training = {"epochs": 4, "learning_rate": 3e-3}
        text = {"encoder": str(encoder), **sections.pop("text", {})}
        return recipe_values(corpus.path, text=text, training=training, **sections)

    return make


@pytest.fixture(scope="module")
def uninterrupted(
    fit_in_a_process: Fit, values: Callable[..., dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> list[Any]:
    found = []
    for number, sections in enumerate(DEPTHS):
        out = tmp_path_factory.mktemp("whole") / str(number)
        assert fit_in_a_process(values(**sections), out) == 0
        found.append(outcome(out))
    return found


@pytest.mark.parametrize("sections", [0, 1], ids=["frozen text", "trained text"])
@pytest.mark.parametrize(
    "where",
    [
        "_learn:2",  # in the first epoch: nothing is kept yet
        "_learn:11",  # in the third epoch
        "_epoch:3",  # between epochs
        "save_checkpoint:2",  # after judging, before the checkpoint of a better epoch
        "write_whole:2",
        "save_state:3",  # metrics are ahead of the state
    ],
)
def test_a_killed_run_goes_on_bit_for_bit(
    tmp_path: Path,
    fit_in_a_process: Fit,
    values: Callable[..., dict[str, Any]],
    uninterrupted: list[Any],
    where: str,
    sections: int,
) -> None:
    made = values(**DEPTHS[sections])
    assert fit_in_a_process(made, tmp_path / "run", where) == -signal.SIGKILL
    assert Run.open(tmp_path / "run").status["state"] == "running"
    assert fit_in_a_process(made, tmp_path / "run", resume=True) == 0
    assert outcome(tmp_path / "run") == uninterrupted[sections]
    assert Run.open(tmp_path / "run").finished
    left = [p.name for p in (tmp_path / "run").iterdir() if "state" in p.name or p.name.startswith(".")]
    assert left == []


def test_a_run_killed_again_and_again(
    tmp_path: Path, fit_in_a_process: Fit, values: Callable[..., dict[str, Any]], uninterrupted: list[Any]
) -> None:
    for where in ("_learn:6", "_learn:5", "save_state:1"):
        assert fit_in_a_process(values(), tmp_path / "run", where, resume=True) == -signal.SIGKILL
    assert fit_in_a_process(values(), tmp_path / "run", resume=True) == 0
    assert outcome(tmp_path / "run") == uninterrupted[0]


@pytest.fixture
def command(corpus: Corpus, encoder: Path, tmp_path: Path) -> list[str]:
    recipe = tmp_path / "long.toml"
    recipe.write_text(
        f'name = "long"\ncorpus = "{corpus.path}"\n[text]\nencoder = "{encoder}"\n[model]\nwidth = 16\nheads = 2\n'
        "[minimise]\ntarget_nats = 1.0\n[training]\nepochs = 25\npatience = 25\nbatch_utterances = 16\n"
        'precision = "float32"\n'
    )
    arguments = ["-c", "from mmmie.cli.main import run; run()", "train", str(recipe), "--runs", str(tmp_path / "runs")]
    return [sys.executable, *arguments]


def _start_and_stop(command: list[str], out: Path, with_: signal.Signals) -> tuple[int, str]:
    """Starts the command, and stops it from outside once two epochs are recorded."""
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # which a job in the background ignores
    )
    metrics = out / "metrics.jsonl"
    until = time.monotonic() + 120
    while not (metrics.is_file() and len(metrics.read_text().splitlines()) >= 2):
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        assert time.monotonic() < until
        time.sleep(0.01)
    process.send_signal(with_)
    _, said = process.communicate(timeout=60)
    return process.returncode, said


@pytest.mark.slow
@pytest.mark.parametrize("with_", [signal.SIGKILL, signal.SIGINT])
def test_the_command_is_stopped_and_goes_on(tmp_path: Path, command: list[str], with_: signal.Signals) -> None:
    out = tmp_path / "runs" / "long" / "0"
    status, said = _start_and_stop(command, out, with_)
    run = Run.open(out)
    assert 2 <= len(run.history) < 25
    if with_ == signal.SIGINT:
        assert status == 130
        assert run.status["state"] == "interrupted"
        assert "--resume" in said
        assert "Traceback" not in said
    else:
        assert status == -signal.SIGKILL
        assert run.status["state"] == "running"
    again = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert again.returncode == 2
    assert "holds a run already" in again.stderr
    assert "--resume" in again.stderr
    resumed = subprocess.run([*command, "--resume"], capture_output=True, text=True, timeout=240)
    assert resumed.returncode == 0, resumed.stderr
    assert Run.open(out).finished
    whole = [*command[:-1], str(tmp_path / "whole")]
    assert subprocess.run(whole, capture_output=True, timeout=240).returncode == 0
    assert outcome(out) == outcome(tmp_path / "whole" / "long" / "0")
    kept = subprocess.run([*command, "--resume"], capture_output=True, text=True, timeout=120)
    assert kept.returncode == 0, "a finished run is kept"
