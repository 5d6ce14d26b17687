"""What a regression of the voice is worth on recordings of a set it has not seen, by penalty and weight of prosody.

    mmmie import recipes/data/expressive-voice.toml ../shared/data/expressive --out voice.corpus
    python benchmarks/checkpoint/voice.py voice.corpus

Each set is left out in turn, and all rows of the others fit the ridge regression of `model.ridge`. URDU, the only
natural speech, never trains. Printed: r of prediction and label on each set left out, and their mean: it chooses the
recipe; then what that choice is worth beyond itself: made with half of URDU's speakers, read on the other half.
"""

import sys
from collections import Counter
from itertools import product

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

from mmmie.corpus.store import Corpus
from mmmie.features.prosody import COLUMNS

NATURAL = "urdu"
PENALTIES = (1.0, 3.0, 10.0)
WEIGHTS = (1.0, 2.0, 3.0, 4.0, 6.0)
HALVES = 400

Doubles = NDArray[np.float64]


def predicted(x_ND: Doubles, y_N: Doubles, train_N: NDArray[np.bool_], penalty: float, weight: float) -> Doubles:
    """(N,) what the regression of the train rows says of all rows; the last columns, prosody, weigh `weight`."""
    x_ND = StandardScaler().fit(x_ND[train_N]).transform(x_ND).clip(-10, 10)
    x_ND[:, -len(COLUMNS) :] *= weight
    ridge = Ridge(alpha=penalty * int(train_N.sum())).fit(x_ND[train_N], y_N[train_N])
    return np.asarray(ridge.predict(x_ND))


def main() -> None:
    part = Corpus.open(sys.argv[1]).everything()
    features = part.features["audio"]
    x_ND = np.stack([features[row][0][0] for row in range(len(part))]).astype(np.float64)
    y_N = part.labels.astype(np.float64)
    speaker_N = np.array(part.speakers, dtype=str)
    set_N = np.array([speaker.split("-")[0] for speaker in speaker_N])
    sets = sorted(set(set_N))
    print(f"{len(part)} recordings: {dict(Counter(set_N.tolist()))}")

    def r(score_N: Doubles, read_N: NDArray[np.bool_]) -> float:
        return float(np.corrcoef(score_N[read_N], y_N[read_N])[0, 1])

    acted, natural, on_natural = {}, {}, {}
    print("penalty  prosody  " + "  ".join(f"{name:>8}" for name in sets) + "      mean")
    for choice in product(PENALTIES, WEIGHTS):
        found = {}
        for name in sets:
            score_N = predicted(x_ND, y_N, (set_N != name) & (set_N != NATURAL), *choice)
            found[name] = r(score_N, set_N == name)
            if name == NATURAL:
                natural[choice] = score_N
        acted[choice] = sum(value for name, value in found.items() if name != NATURAL)
        on_natural[choice] = found[NATURAL]
        mean = np.mean(list(found.values()))
        print(f"{choice[0]:7g}  {choice[1]:7g}  " + "  ".join(f"{found[n]:8.3f}" for n in sets) + f"  {mean:8.4f}")
    best = max(acted, key=lambda choice: acted[choice] + on_natural[choice])
    print(f"chosen: penalty {best[0]:g}, prosody {best[1]:g}: {NATURAL} {on_natural[best]:.3f}")

    chance = np.random.default_rng(0)
    speakers = np.unique(speaker_N[set_N == NATURAL])
    read = {"chosen on the other half": [], "the same, all alike (penalty 3, prosody 1)": []}
    for _ in range(HALVES):
        half = chance.permutation(speakers)[: len(speakers) // 2]
        choosing = np.isin(speaker_N, half)
        reading = (set_N == NATURAL) & ~choosing
        if len(set(y_N[choosing])) < 2 or len(set(y_N[reading])) < 2:
            continue
        chosen = max(acted, key=lambda choice, mask=choosing: acted[choice] + r(natural[choice], mask))
        read["chosen on the other half"].append(r(natural[chosen], reading))
        read["the same, all alike (penalty 3, prosody 1)"].append(r(natural[3.0, 1.0], reading))
    for name, values in read.items():
        print(f"half of {NATURAL}'s speakers, {name}: r {np.mean(values):.3f} ± {np.std(values):.3f}")


if __name__ == "__main__":
    main()
