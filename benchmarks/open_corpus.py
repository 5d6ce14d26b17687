"""Seconds and memory to open a corpus of CMU-MOSEI's size and read its first batch.

    python benchmarks/open_corpus.py [CACHE_FOLDER] [--quick]

The corpus (22,856 utterances, three modalities, 1.4 GB) is generated into the cache folder if it is not there; with
--quick it is a small one. It is read in a fresh process, so that memory is that of reading alone; imports are counted
apart. Nothing is computed, so that threads say nothing.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MEASURE = """
import resource, sys, time

def megabytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

def row(what):
    print(f"{what:<34}{time.perf_counter() - began:>8.3f}{resident():>10.0f}{megabytes():>10.0f}")

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize() / 2**20

began = time.perf_counter()
import numpy as np
from mmmie.corpus.store import Corpus
row("import")

began = time.perf_counter()
corpus = Corpus.open(sys.argv[1])
train, valid = corpus.training()
row("open, train and valid")

rows = np.random.default_rng(0).permutation(len(train))[:64]
texts = [train.texts[row] for row in rows]
for features in train.features.values():
    values, mask = features.gather(rows)
row("open and a batch of 64 at random")
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cache", nargs="?", type=Path, default=Path.home() / ".cache" / "mmmie" / "benchmarks")
    parser.add_argument("--quick", action="store_true", help="a smoke run on a small corpus, which is not kept")
    asked = parser.parse_args()
    if asked.quick:
        with tempfile.TemporaryDirectory() as folder:
            measure(Path(folder) / "small.corpus", "small")
    else:
        measure(asked.cache / "mosei-size.corpus", "mosei")


def measure(corpus: Path, preset: str) -> None:
    if not corpus.exists():
        from mmmie.corpus.synthetic import SIZES, SyntheticSettings, generate

        print(f"generating {corpus} ...")
        began = time.perf_counter()
        generate(corpus, SyntheticSettings(**SIZES[preset]))
        print(f"generated in {time.perf_counter() - began:.0f} s")
    size = sum(file.stat().st_size for file in corpus.iterdir())
    print(f"{corpus}: {size / 1e9:.2f} GB\n")
    print(f"{'':<34}{'seconds':>8}{'MB now':>10}{'MB peak':>10}")
    subprocess.run([sys.executable, "-c", MEASURE, str(corpus)], check=True)
    print("\naims: open and first batch below 2 s and 300 MB")


if __name__ == "__main__":
    main()
