"""New train, valid and test splits of a corpus, by video and by seed; the features are not copied."""

import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mmmie.corpus.schema import SPLITS
from mmmie.corpus.store import Corpus
from mmmie.errors import CorpusError
from mmmie.settings import Settings

OF_ITS_OWN = ("corpus.json", "utterances.arrow", "test_openings.jsonl")
"""Files of a corpus that tell of its splits, and are not those of another."""


class ResplitSettings(Settings):
    """How a corpus is cut."""

    fractions: tuple[float, float, float] = (0.6, 0.2, 0.2)
    """Of utterances, for train, valid and test; they sum to 1. With folds, test is 1 / folds and the rest is shared
    between train and valid in the proportion given here."""
    seed: int = 0
    fold: int | None = None
    """Cross-validation: which fold, from 0, is test. One seed gives the same folds whichever is asked for."""
    folds: int | None = None
    include_test: bool = False
    """Take the rows of an existing test split into the pool."""


def resplit(corpus: Corpus, out: str | Path, settings: ResplitSettings | None = None) -> Corpus:
    """A corpus of the same utterances and features in new splits; no video is in two of them.

    Features are hard links to the source's files (copies where the file system has none), and the fingerprint, which
    leaves splits out, stays the same: what an encoder stored for the source serves the new corpus too.

    Args:
        corpus: the source; it is not changed.
        out: the folder to make.
        settings: fractions, seed, folds.

    Returns:
        The new corpus, opened. `notes["resplit"]` holds the settings, the parent's folder and fingerprint.

    Raises:
        CorpusError: the source has a test split and `include_test` is off; fractions, fold or folds make no sense; too
            few videos; `out` exists; the disk is full. Nothing is left behind.
    """
    settings = settings or ResplitSettings()
    _check(corpus, settings)
    out = Path(out)
    if out.exists():
        raise CorpusError(f"{out} exists already. Choose another --out, or remove it first.")
    codes = corpus.everything().video_codes
    of_video = _splits_of_videos(np.bincount(codes), settings)
    splits = np.array(SPLITS)[of_video[codes]]
    table = corpus.table.set_column(corpus.table.column_names.index("split"), "split", pa.array(splits.tolist()))
    note = {
        **settings.model_dump(exclude_none=True),
        "parent": corpus.path.name,
        "parent_fingerprint": corpus.info.fingerprint,
        "utterances": {name: int((splits == name).sum()) for name in SPLITS},
    }
    info = replace(corpus.info, notes={**corpus.info.notes, "resplit": note})

    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        for file in _kept(corpus.path):
            place = temporary / file.relative_to(corpus.path)
            place.parent.mkdir(parents=True, exist_ok=True)
            _link(file, place)
        with pa.ipc.new_file(str(temporary / "utterances.arrow"), table.schema) as sink:
            sink.write_table(table)
        (temporary / "corpus.json").write_text(info.to_json(), encoding="utf-8")
        os.chmod(temporary, 0o755)
        temporary.rename(out)
    except OSError as failure:
        raise CorpusError(f"could not write {out}: {failure}. Nothing was left behind.") from failure
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return Corpus.open(out)


def assign_videos(sizes: NDArray[np.int64], fractions: Sequence[float], rng: np.random.Generator) -> NDArray[np.int64]:
    """Groups of videos whose shares of the utterances are as near to `fractions` as exchanging two videos can bring.

    The videos are shuffled and cut; afterwards videos of two groups are exchanged while that brings the sizes nearer.

    Args:
        sizes: (V,) utterances of each video.
        fractions: one for each group; they sum to 1.
        rng: decides the shuffle.

    Returns:
        (V,) the group of each video, from 0. Each group with a fraction above 0 has a video if there are enough.
    """
    goals = np.asarray(fractions, dtype=np.float64) * sizes.sum()
    order = rng.permutation(len(sizes))
    middles = np.cumsum(sizes[order]) - sizes[order] / 2
    groups = np.empty(len(sizes), dtype=np.int64)
    groups[order] = np.minimum(np.searchsorted(np.cumsum(goals), middles, side="right"), len(goals) - 1)
    _fill_empty(groups, goals, sizes)
    for _ in range(len(sizes)):
        if not _exchange_best(groups, goals, sizes):
            break
    return groups


def _fill_empty(groups: NDArray[np.int64], goals: NDArray[np.float64], sizes: NDArray[np.int64]) -> None:
    for group in np.flatnonzero(goals > 0):
        counts = np.bincount(groups, minlength=len(goals))
        if not counts[group] and counts.max() > 1:
            donors = np.flatnonzero(groups == counts.argmax())
            groups[donors[np.argmin(np.abs(sizes[donors] - goals[group]))]] = group


def _exchange_best(groups: NDArray[np.int64], goals: NDArray[np.float64], sizes: NDArray[np.int64]) -> bool:
    """Exchanges two videos, or a video for none, between the largest and the smallest group; False if nothing helps."""
    excess = np.bincount(groups, weights=sizes, minlength=len(goals)) - goals
    excess[goals == 0] = 0
    high, low = int(excess.argmax()), int(excess.argmin())
    if high == low:
        return False
    ours, theirs = np.flatnonzero(groups == high), np.flatnonzero(groups == low)
    moved = sizes[ours][:, None] - np.concatenate([[0], sizes[theirs]])[None, :]
    if len(ours) == 1:
        moved = moved[:, 1:]
    cost = np.abs(excess[high] - moved) + np.abs(excess[low] + moved)
    if not cost.size or cost.min() >= abs(excess[high]) + abs(excess[low]) - 1e-9:
        return False
    a, b = np.unravel_index(int(cost.argmin()), cost.shape)
    b = b if len(ours) > 1 else b + 1
    groups[ours[a]] = low
    if b:
        groups[theirs[b - 1]] = high
    return True


def _splits_of_videos(sizes: NDArray[np.int64], settings: ResplitSettings) -> NDArray[np.int64]:
    train, valid, test = settings.fractions
    rng = np.random.default_rng(settings.seed)
    if settings.folds is None:
        return assign_videos(sizes, (train, valid, test), rng)
    is_test = assign_videos(sizes, [1 / settings.folds] * settings.folds, rng) == settings.fold
    splits = np.full(len(sizes), SPLITS.index("test"))
    share = valid / (train + valid)
    splits[~is_test] = assign_videos(sizes[~is_test], (1 - share, share), rng)
    return splits


def _check(corpus: Corpus, settings: ResplitSettings) -> None:
    if "test" in corpus.splits and not settings.include_test:
        raise CorpusError(
            f"{corpus.path} has a test split ({int((corpus.splits == 'test').sum())} utterances); new splits would mix "
            "it into training. If that is what you want, say --include-test."
        )
    if abs(sum(settings.fractions) - 1) > 1e-6 or min(settings.fractions) < 0 or settings.fractions[0] == 0:
        raise CorpusError(f"fractions of train, valid, test must be positive and sum to 1, not {settings.fractions}")
    if (settings.fold is None) != (settings.folds is None):
        raise CorpusError("--fold and --folds go together: --fold 0 --folds 5 makes the first of five folds test")
    if (settings.folds is not None and not 0 <= (settings.fold or 0) < settings.folds) or settings.folds == 1:
        raise CorpusError(f"fold {settings.fold} of {settings.folds}: folds are at least 2, counted from 0")
    videos = len(set(corpus.everything().videos))
    needed = settings.folds + 1 if settings.folds else sum(f > 0 for f in settings.fractions)
    if videos < needed:
        raise CorpusError(f"{corpus.path} has {videos} videos; these splits need at least {needed}")


def _kept(folder: Path) -> list[Path]:
    """The files that new splits leave as they are; hidden ones are still being written."""
    files = [file for file in folder.rglob("*") if file.is_file() and not file.name.startswith(".")]
    return sorted(file for file in files if file.name not in OF_ITS_OWN)


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
