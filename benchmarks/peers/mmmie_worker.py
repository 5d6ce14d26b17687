"""Trains one system of ours with one seed as `mmmie train` does, and leaves what `mmsa_worker.py` leaves of MMSA's.

python mmmie_worker.py --recipe recipes/mosi-frozen.toml --set corpus=X --seed 0 --out FOLDER
"""

import argparse
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")

import torch

from mmmie.evidence.evaluation import evaluate
from mmmie.learning.plan import train
from mmmie.learning.progress import Silent
from mmmie.settings import parse_override


class Clock(Silent):
    """Wall and processor seconds of each epoch: train, valid, checkpoint."""

    def __init__(self) -> None:
        self.marks: list[tuple[float, float]] = []

    def epoch(self, epoch: int, epochs: int, steps: int) -> None:  # noqa: ARG002
        if not self.marks:
            self._mark()

    def epoch_done(self, line: dict[str, Any], best_epoch: int) -> None:  # noqa: ARG002
        self._mark()

    def _mark(self) -> None:
        self.marks.append((time.perf_counter(), time.process_time()))

    def epochs(self) -> list[dict[str, float]]:
        pairs = zip(self.marks, self.marks[1:], strict=False)
        return [{"seconds": b[0] - a[0], "cpu_seconds": b[1] - a[1]} for a, b in pairs]


def peak_megabytes() -> float:
    """The most memory this process has held. Not `ru_maxrss`, which begins with that of the process that started it."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def measure(recipe: Path, overrides: Sequence[str], seed: int, out: Path) -> None:
    clock = Clock()
    settings = dict(parse_override(text) for text in overrides)
    run = train(recipe, seeds=[seed], overrides=settings, runs=out / "runs", show=lambda _: clock)[0]
    result = {"epochs": clock.epochs(), "peak_mb": peak_megabytes(), "notes": [], "capped": 0}
    evaluation = evaluate(run)
    result["predictions"] = str((evaluation.folder / "predictions.parquet").relative_to(out))
    (out / "result.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", required=True, type=Path)
    parser.add_argument("--set", action="append", default=[], dest="overrides", help="as `mmmie train --set`")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", required=True, type=Path)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    measure(chosen.recipe, chosen.overrides, chosen.seed, chosen.out)


if __name__ == "__main__":
    main()
