"""Seconds of an epoch with frozen text, at CMU-MOSI's and CMU-MOSEI's sizes, and whether they grow with utterances.

    python benchmarks/epoch.py [--quick]

An epoch is all that `fit` does in one: batches, steps with the whole objective, judging on valid, checkpoint and state.
Left out is what is done once: the text encoder's pass over the corpus. Random vectors stand where its output would be
stored, which changes no time. The first epoch warms up and is not counted.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch
from corpora import write

from mmmie.corpus.store import Corpus
from mmmie.features.passages import Passage
from mmmie.features.text_states import StateStore
from mmmie.learning.progress import Silent
from mmmie.learning.training import _Training
from mmmie.settings import Recipe

MOSI = {"train": 1284, "valid": 229, "per_video": 24, "words": 10.0, "audio": True}
MOSEI = {"train": 16326, "valid": 1871, "per_video": 7, "words": 16.0, "audio": False}
QUICK = {"MOSI's size": {**MOSI, "train": 64, "valid": 24}}
SIZES = {
    "MOSI's size, text and audio": MOSI,
    "a quarter of MOSEI's, text": {**MOSEI, "train": MOSEI["train"] // 4, "valid": MOSEI["valid"] // 4},
    "half of MOSEI's, text": {**MOSEI, "train": MOSEI["train"] // 2, "valid": MOSEI["valid"] // 2},
    "MOSEI's size, text": MOSEI,
}


def random_means(store: StateStore, kind: str, passages: list[Passage], *_: object) -> dict[str, torch.Tensor]:
    """What the store would compute, drawn."""
    keys = b"".join(key for passage in passages for key in passage.keys())
    return {
        "keys": torch.frombuffer(bytearray(keys), dtype=torch.uint8).reshape(-1, 16),
        kind: torch.randn(len(keys) // 16, store.encoder.num_states * store.encoder.width).half(),
    }


def epoch_seconds(corpus: Corpus, out: Path, epochs: int) -> tuple[float, float]:
    """Wall and processor seconds of an epoch, medians."""
    recipe = Recipe(name="epoch", corpus=str(corpus.path))
    training = _Training(recipe, corpus.training(), out, None, False, Silent())
    training._write_head()
    wall, processor = [], []
    for _ in range(1 + epochs):
        began, began_processor = time.perf_counter(), time.process_time()
        training._epoch(training.step)
        wall.append(time.perf_counter() - began)
        processor.append(time.process_time() - began_processor)
    return statistics.median(wall[1:]), statistics.median(processor[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smoke run on a few utterances")
    quick = parser.parse_args().quick
    StateStore._compute = random_means  # type: ignore[method-assign, assignment]
    print(f"one process, {torch.get_num_threads()} thread(s), batches of 64, the default recipe\n")
    print(f"{'':<30}{'utterances':>11}{'seconds':>9}{'processor':>11}{'ms/utterance':>14}")
    with tempfile.TemporaryDirectory() as folder:
        for number, (name, size) in enumerate((QUICK if quick else SIZES).items()):
            corpus = write(Path(folder) / f"{number}.corpus", **size)  # type: ignore[arg-type]
            wall, processor = epoch_seconds(corpus, Path(folder) / f"run{number}", epochs=1 if quick else 5)
            rate = 1e3 * processor / size["train"]
            print(f"{name:<30}{size['train']:>11}{wall:>9.2f}{processor:>11.2f}{rate:>14.3f}", flush=True)
    print("\naims: below 1 s at MOSI's size and 8 s at MOSEI's on 2 cores; the last column stays as it is")


if __name__ == "__main__":
    main()
