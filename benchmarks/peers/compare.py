"""Trains MMSA's own code and ours on the same corpus and features, one after the other, and prints both in one table.

    python benchmarks/peers/compare.py --corpus corpora/mosi.corpus --out peers [--models lmf mmim] [--seeds 3]

See README.md beside this file for what is compared and how it is fair. What is finished under OUT is kept, so that the
same command goes on after an interruption, and calls with other `--models` and `--seeds` add to one table.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from mmsa_features import write_features
from table import count_opening, rows_of, show_all

from mmmie.corpus.store import Corpus
from mmmie.errors import MmmieError
from mmmie.settings import Recipe

HERE = Path(__file__).resolve().parent
RECIPE = HERE.parents[1] / "recipes" / "mosi-frozen.toml"
MMSA = "2.2.1"
NAMES = {"lmf": "lmf", "self-mm": "self_mm", "mmim": "mmim", "misa": "misa", "mult": "mult", "tfn": "tfn"}
"""Our name -> MMSA's, the quickest first."""
ENCODING = ("self-mm", "mmim", "misa")
"""MMSA runs the frozen text encoder in every batch for these, when left to its own way."""


@dataclass(frozen=True)
class Job:
    """One training."""

    side: str
    """`mmmie` or `MMSA`."""
    system: str
    """Our name."""
    given: str
    """Of ours `context` (the recipe's) or `single` (no neighbours); of MMSA's `means` or `own`."""
    seed: int
    epochs: int = 0
    """Stop after this many; 0: when training itself stops."""
    timed_only: bool = False

    @property
    def folder(self) -> Path:
        return Path(self.side) / self.system / self.given / str(self.seed)


def jobs_of(chosen: argparse.Namespace) -> Iterator[Job]:
    """All that was asked for, in turns: ours, then MMSA's of the same name."""
    for seed in range(chosen.seeds):
        for system in ["mmmie", *chosen.models]:
            if "mmmie" in chosen.sides:
                for given in ["context", *(["single"] if system == "mmmie" or chosen.single else [])]:
                    yield Job("mmmie", system, given, seed, chosen.epochs)
            if "MMSA" in chosen.sides and system in NAMES:
                yield Job("MMSA", system, "means", seed, chosen.epochs)
    for system in chosen.models if "MMSA" in chosen.sides else ():
        if system in ENCODING:
            if chosen.own_epochs:
                yield Job("MMSA", system, "own", 0, chosen.own_epochs, timed_only=True)
        else:
            for seed in range(chosen.own_seeds):
                yield Job("MMSA", system, "own", seed, chosen.epochs)


def make_environment(folder: Path) -> Path:
    """The Python of MMSA's own environment, made where it is not there: our torch's exact version first, then MMSA."""
    python = folder / "bin" / "python"
    done = folder / "complete"
    if not done.is_file():
        print(f"installing MMSA {MMSA} into {folder}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        for package in (f"torch=={torch.__version__.partition('+')[0]}", f"MMSA=={MMSA}"):
            subprocess.run([str(python), "-m", "pip", "install", "--quiet", package], check=True)
        done.touch()
    return python


def command_of(job: Job, python: Path, features: dict[str, Path], corpus: Path, out: Path) -> list[str]:
    """What trains it, in a process of its own."""
    common = ["--seed", str(job.seed), "--out", str(out)]
    if job.side == "MMSA":
        command = [str(python), str(HERE / "mmsa_worker.py"), "--model", NAMES[job.system], *common]
        command += ["--features", str(features[job.given]), "--epochs", str(job.epochs)]
        return command + ["--timed-only"] * job.timed_only
    overrides = [f"corpus={corpus}", f"name={job.system}-{job.given}", f"model.system={job.system}"]
    overrides += ["model.context=0"] * (job.given == "single")
    overrides += [f"training.epochs={job.epochs}"] * bool(job.epochs)
    command = [sys.executable, str(HERE / "mmmie_worker.py"), "--recipe", str(RECIPE), *common]
    return command + [part for override in overrides for part in ("--set", override)]


def run(job: Job, command: Sequence[str], folder: Path) -> bool:
    """Trains unless there is a result; False where it failed, which stops nothing else."""
    if (folder / "result.json").is_file():
        return True
    folder.mkdir(parents=True, exist_ok=True)
    print(f"{job.folder}", flush=True)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TQDM_DISABLE": "1"}
    with (folder / "log.txt").open("w", encoding="utf-8") as log:
        done = subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, env=environment, check=False)
    if done.returncode:
        last = (folder / "log.txt").read_text("utf-8").strip().splitlines()[-1:]
        print(f"{job.folder} failed: {''.join(last)}", file=sys.stderr, flush=True)
    return not done.returncode


def compare(chosen: argparse.Namespace) -> int:
    corpus_path = chosen.corpus.resolve()
    out: Path = chosen.out.resolve()
    recipe = Recipe.load(RECIPE, {"corpus": str(corpus_path)})
    corpus = Corpus.open(corpus_path)
    num_train = len(corpus.training().train)
    out.mkdir(parents=True, exist_ok=True)
    features = write_features(corpus, recipe, out)
    python = make_environment(chosen.environment.resolve() if chosen.environment else out / "environment")
    good = True
    for job in jobs_of(chosen):
        folder = out / job.folder
        fresh = not (folder / "result.json").is_file()
        good &= run(job, command_of(job, python, features, corpus_path, folder), folder)
        if fresh and (folder / "predictions.csv").is_file():
            count_opening(corpus_path, job.system, job.given, job.seed, folder, MMSA)
    print("\n" + show_all(rows_of(out, corpus), out, num_train))
    return 0 if good else 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", required=True, type=Path, help="with train, valid and test splits")
    parser.add_argument("--out", required=True, type=Path, help="where everything is kept")
    parser.add_argument("--environment", type=Path, help="MMSA's environment; made where it is not there")
    parser.add_argument("--models", nargs="*", default=list(NAMES), choices=list(NAMES), metavar="MODEL")
    parser.add_argument("--sides", nargs="+", default=["mmmie", "MMSA"], choices=["mmmie", "MMSA"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=0, help="cap of every training; 0: none")
    parser.add_argument("--single", action="store_true", help="all of ours without neighbours too, not mmmie alone")
    parser.add_argument("--own-seeds", type=int, default=1, help="of MMSA's models that read stored token states")
    parser.add_argument("--own-epochs", type=int, default=2, help="of those that run the encoder: timed only; 0: none")
    try:
        return compare(parser.parse_args())
    except MmmieError as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
