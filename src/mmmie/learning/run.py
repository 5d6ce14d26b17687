"""A run: one recipe trained with one seed, as a folder.

recipe.json           the resolved recipe
environment.json      versions, commit, machine, command
training_videos.json  the videos of train and valid: none of them may ever be tested on
metrics.jsonl         a line per epoch, every term in nats on train and valid
status.json           running, interrupted or finished; the best epoch
checkpoint/           model.safetensors and contract.json of the best epoch
state.safetensors     what `--resume` needs; removed when the run is finished
predictions.parquet, evaluation.json    written by `evaluate`
"""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

from mmmie.errors import CheckpointError, did_you_mean
from mmmie.settings import Recipe


@dataclass(frozen=True)
class Run:
    """An opened run folder; what is in it is read when asked for."""

    path: Path

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Opens a run folder, finished or not.

        Raises:
            CheckpointError: there is no run.
        """
        path = Path(path)
        if not (path / "recipe.json").is_file():
            beside = [p.parent.name for p in path.parent.glob("*/recipe.json")]
            raise CheckpointError(f"no run at {path}: it has no recipe.json. {did_you_mean(path.name, beside)}")
        return cls(path)

    @cached_property
    def recipe(self) -> Recipe:
        return Recipe.parse(json.loads((self.path / "recipe.json").read_text("utf-8")), str(self.path / "recipe.json"))

    @property
    def name(self) -> str:
        return self.recipe.name

    @property
    def seed(self) -> int:
        return self.recipe.training.seed

    @cached_property
    def status(self) -> dict[str, Any]:
        return _read(self.path / "status.json")

    @property
    def finished(self) -> bool:
        return bool(self.status.get("state") == "finished")

    @cached_property
    def contract(self) -> dict[str, Any]:
        """What the checkpoint expects: modalities, feature fingerprints, label range, context."""
        return _read(self.path / "checkpoint" / "contract.json")

    @property
    def corpus_path(self) -> Path:
        return Path(self._corpus["path"])

    @property
    def corpus_fingerprint(self) -> str:
        return str(self._corpus["fingerprint"])

    @property
    def _corpus(self) -> dict[str, str]:
        if "corpus" not in self.contract:
            raise CheckpointError(f"the run {self.path} has no checkpoint. Train it with `mmmie train`.")
        return dict(self.contract["corpus"])

    @property
    def training_videos(self) -> list[str]:
        """The videos of train and valid, of the runs that it began with too."""
        return list(json.loads((self.path / "training_videos.json").read_text("utf-8")))

    @property
    def history(self) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl."""
        file = self.path / "metrics.jsonl"
        return [json.loads(line) for line in file.read_text("utf-8").splitlines()] if file.is_file() else []


def find_runs(paths: Iterable[str | Path]) -> list[Run]:
    """Finished runs at these folders; a folder of seeds stands for all of its runs, in the order of their seeds.

    Raises:
        CheckpointError: a folder holds no run, or one that is not finished.
    """
    runs: list[Run] = []
    for path in map(Path, paths):
        if (path / "recipe.json").is_file():
            runs.append(Run.open(path))
            continue
        inside = [Run.open(p.parent) for p in path.glob("*/recipe.json")]
        if not inside:
            Run.open(path)
        runs += sorted(inside, key=lambda run: run.seed)
    for run in runs:
        if not run.finished:
            raise CheckpointError(
                f"the run {run.path} is {run.status.get('state', 'not begun')}, not finished. "
                "Go on with `mmmie train ... --resume`."
            )
    return runs


def check_folder(out: Path, resume: bool, recipe: Recipe) -> None:
    """Whether a recipe may be trained into a folder.

    Raises:
        CheckpointError: it holds a run, and that is not one that `resume` may go on with.
    """
    if not (out / "recipe.json").is_file():
        return
    if not resume:
        raise CheckpointError(f"{out} holds a run already. Go on with --resume, choose another --out, or remove it.")
    run = Run.open(out)
    if run.finished:
        raise CheckpointError(f"the run {out} is finished; there is nothing to resume")
    if run.recipe != recipe:
        raise CheckpointError(
            f"the run {out} was begun by another version of the recipe '{recipe.name}'. Go on with that version, or "
            "choose another --runs folder or name."
        )


def check_resumed(run: Run, contract: Mapping[str, Any], videos: Sequence[str]) -> None:
    """Whether an interrupted run would go on with what it was begun with; the path of the corpus may have changed.

    Args:
        contract: what the run would now write; see `assembly.contract_of`.
        videos: those it would now train on.

    Raises:
        CheckpointError: the features, the content of the corpus or its splits are others.
    """
    for what, before, now in (
        ("modalities or features", run.contract.get("modalities"), contract["modalities"]),
        ("content of the corpus", run.corpus_fingerprint, contract["corpus"]["fingerprint"]),
        ("splits", run.training_videos, list(videos)),
    ):
        if before != now:
            raise CheckpointError(
                f"the run {run.path} was begun with other {what} than {contract['corpus']['path']} has now. Bring the "
                "corpus back, or train again into another folder."
            )


def environment() -> dict[str, Any]:
    """Versions, commit and machine, for whoever has to explain a difference later."""
    packages = ("mmmie", "torch", "transformers", "numpy", "pyarrow", "safetensors")
    return {
        "versions": {"python": platform.python_version(), **{name: version(name) for name in packages}},
        "commit": _commit(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.platform()}",
        "command": sys.argv,
    }


def write_json(path: Path, value: Any) -> None:
    """Writes a JSON file whole; see `write_whole`."""
    write_whole(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def write_whole(path: Path, text: str) -> None:
    """Writes a file under a temporary name, then renames it.

    Raises:
        CheckpointError: the disk is full, or the folder gone; what was there before is still there.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    except OSError as error:
        raise CheckpointError(f"could not write {path}: {error}") from None
    finally:
        temporary.unlink(missing_ok=True)


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text("utf-8")))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise CheckpointError(f"{path} is damaged: {error}") from None


def _commit() -> str:
    try:
        here = Path(__file__).parent
        found = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12"],
            cwd=here,
            capture_output=True,
            text=True,
            timeout=5,
        )
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return found.stdout.strip() or "unknown"
