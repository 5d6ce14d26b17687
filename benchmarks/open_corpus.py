"""Seconds and memory to open a corpus of CMU-MOSEI's size and read its first batch.

    python benchmarks/open_corpus.py [CACHE_FOLDER]

The corpus (22,856 utterances, three modalities, 1.4 GB) is generated into the cache folder if it is not there. The
measurement runs in a fresh process, so that memory is that of reading alone; imports are counted apart.
"""

import subprocess
import sys
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
    cache = Path(sys.argv[1] if len(sys.argv) > 1 else Path.home() / ".cache" / "mmmie" / "benchmarks")
    corpus = cache / "mosei-size.corpus"
    if not corpus.exists():
        from mmmie.corpus.synthetic import SIZES, SyntheticSettings, generate

        print(f"generating {corpus} ...")
        began = time.perf_counter()
        generate(corpus, SyntheticSettings(**SIZES["mosei"]))
        print(f"generated in {time.perf_counter() - began:.0f} s")
    size = sum(file.stat().st_size for file in corpus.iterdir())
    print(f"{corpus}: {size / 1e9:.2f} GB\n")
    print(f"{'':<34}{'seconds':>8}{'MB now':>10}{'MB peak':>10}")
    subprocess.run([sys.executable, "-c", MEASURE, str(corpus)], check=True)
    print("\naims: open and first batch below 2 s and 300 MB")


if __name__ == "__main__":
    main()
