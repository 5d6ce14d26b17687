"""What each branch of the checkpoint that ships is worth on valid, set by set, and whether its intervals hold.

    mmmie train recipes/analysis.toml          (docs/analysis.md says from what)
    python benchmarks/checkpoint/branches.py runs/analysis/0 corpora/analysis.corpus

Scores are the joined ones, r is their correlation with the labels, and the run's own calibration abstains. Coverage:
over 40 random halves of the speakers, or of the videos where nobody is named; margins from one half of all that has the
modality, read on the other. Last the words' R^2 and slope, from which the recipe has their part.
"""

import sys
from collections.abc import Iterator

import numpy as np

from mmmie.corpus.store import Corpus, Part
from mmmie.errors import MmmieError
from mmmie.evidence.attribution import Doubles, Reading, read_part
from mmmie.evidence.calibration import calibrate
from mmmie.evidence.conformal import Levels, margins_from, subsets_of
from mmmie.learning.run import Run

HALVES = 40


def sets_of(part: Part) -> Iterator[tuple[str, np.ndarray]]:
    """Names of the sets in the merged corpus, and the rows of each."""
    speakers = np.array([speaker or "" for speaker in part.speakers])
    mosi, words = np.char.startswith(speakers, "CMU-MOSI:"), np.array([text is not None for text in part.texts])
    yield "words, MOSI", mosi
    yield "words, MOSEI", words & ~mosi
    yield "voice, five sets", np.char.startswith(speakers, "expressive speech:")
    for name in ("fer2013", "lfw"):
        yield f"face, {name}", np.array([f"faces/{name}/" in video for video in part.videos])


def coverages(part: Part, reading: Reading, levels: Levels) -> tuple[Doubles, Doubles]:
    """(N,) how often an utterance's label was inside, and how often it was read."""
    labels = part.labels.astype(np.float64)
    off = labels - reading.scores
    who = np.array([speaker or video for speaker, video in zip(part.speakers, part.videos, strict=True)])
    subsets = subsets_of(reading.present, reading.modalities)
    chance, names = np.random.default_rng(0), np.unique(who)
    inside, read = np.zeros(len(part)), np.zeros(len(part))
    for _ in range(HALVES):
        first = np.isin(who, chance.permutation(names)[: len(names) // 2])
        for subset in set(subsets.tolist()):
            fitting, rows = first & (subsets == subset), ~first & (subsets == subset)
            width = margins_from(off[fitting], np.array(part.videos)[fitting], levels).half_width
            inside[rows] += np.abs(off[rows]) <= width
            read[rows] += 1
    return inside, read


def main() -> None:
    run = Run.open(sys.argv[1])
    part = Corpus.open(sys.argv[2]).training().valid
    calibration = calibrate(run)
    reading = read_part(run, part)
    worth = calibration.judge(reading)
    labels = part.labels.astype(np.float64)
    inside, read = coverages(part, reading, calibration.levels)
    print(f"{'':<18}{'utterances':>10}{'MAE':>8}{'of 0':>8}{'r':>7}{'covered':>9}{'abstained':>11}{'sign right':>12}")
    for name, rows in [*sets_of(part), ("all", np.ones(len(part), dtype=np.bool_))]:
        told = rows & ~worth.abstain & (labels != 0)
        right = np.mean(np.sign(reading.scores[told]) == np.sign(labels[told])) if told.any() else np.nan
        off, size = np.abs(labels - reading.scores)[rows].mean(), np.abs(labels[rows]).mean()
        r = np.corrcoef(reading.scores[rows], labels[rows])[0, 1]
        covered = inside[rows].sum() / read[rows].sum()
        print(
            f"{name:<18}{rows.sum():>10}{off:>8.3f}{size:>8.3f}{r:>7.3f}{covered:>9.3f}"
            f"{worth.abstain[rows].mean():>11.2f}{right:>12.2f}"
        )
    words = reading.present[:, reading.modalities.index("text")]
    raw = reading.alone("text")[words] / run.recipe.model.experts["text"].slope  # type: ignore[index]
    slope, _ = np.polyfit(raw, labels[words], 1)
    print(f"words: R^2 {np.corrcoef(raw, labels[words])[0, 1] ** 2:.3f}, slope {slope:.3f}")
    for name, margins in calibration.margins.items():
        print(f"half width at {calibration.levels.coverage:.0%}, {name}: {margins.half_width:.2f}")


if __name__ == "__main__":
    try:
        main()
    except MmmieError as error:
        sys.exit(str(error))
