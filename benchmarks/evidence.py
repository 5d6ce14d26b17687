"""How long the statistics of an evaluation of CMU-MOSEI's size take: metrics, bootstrap over videos, Shapley values.

python benchmarks/evidence.py [--quick]
"""

import argparse
import time

import numpy as np

from mmmie.evidence.attribution import shapley_values
from mmmie.evidence.conformal import Levels, margins_from
from mmmie.evidence.metrics import measure
from mmmie.evidence.statistics import paired_bootstrap

AIM_SECONDS = 5.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the size")
    quick = parser.parse_args().quick
    utterances, videos, draws = (466, 68, 1_000) if quick else (4_659, 676, 10_000)
    rng = np.random.default_rng(0)
    video_N = np.sort(rng.integers(0, videos, utterances))
    labels = np.clip(rng.normal(0, 1, utterances), -3, 3).round(2)
    first, second = (labels + rng.normal(0, sd, (5, utterances)) for sd in (0.6, 0.65))
    subsets = rng.normal(0, 1, (8, utterances))
    steps = {
        "metrics of 5 seeds": lambda: [measure(labels, scores) for scores in first],
        f"paired bootstrap, {draws} draws, 5 against 5 seeds": lambda: paired_bootstrap(
            labels, first, second, video_N, draws
        ),
        "Shapley values of 3 modalities": lambda: shapley_values(subsets),
        "conformal margins": lambda: margins_from(labels - first[0], video_N, Levels()),
    }
    print(f"{utterances} utterances of {videos} videos")
    total = 0.0
    for name, step in steps.items():
        began = time.perf_counter()
        step()
        took = time.perf_counter() - began
        total += took
        print(f"  {name:<56}{took:8.3f} s")
    print(f"  {'all':<56}{total:8.3f} s")
    print(f"aim: below {AIM_SECONDS:.1f} s; {'held' if total < AIM_SECONDS else 'missed'} here")


if __name__ == "__main__":
    main()
