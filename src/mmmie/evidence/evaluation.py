"""The one door to the test split: a finished run's predictions and metrics, and how often the door was opened.

An evaluation is two files: `predictions.parquet` and `evaluation.json`, in the run folder for the run's own corpus,
in `on/CORPUS` inside it for another one. What the predictions are worth comes from the run's calibration.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

from mmmie.corpus.store import Corpus, Part
from mmmie.errors import CorpusError, EvidenceError
from mmmie.evidence import attribution
from mmmie.evidence.attribution import Reading
from mmmie.evidence.calibration import CALIBRATION_FILE, Calibration, calibrate, labels_of
from mmmie.evidence.metrics import CONVENTIONS, METRICS, Metrics, show, undefined_notes
from mmmie.evidence.openings import Openings, recipe_hash, record_opening
from mmmie.evidence.predictions import PREDICTIONS_FILE, Origin, Predictions, join_worth, replacing
from mmmie.evidence.reliability import Reliability, measure_reliability
from mmmie.evidence.table import table

if TYPE_CHECKING:
    from mmmie.learning.run import Run

EVALUATION_FILE = "evaluation.json"


@dataclass(frozen=True)
class Evaluation:
    """What one run scores on one corpus' test split, and on valid where the corpus is the run's own."""

    folder: Path
    origin: Origin
    recipe: str
    """`recipe_hash`: equal for the seeds of one recipe."""
    corpus_path: str
    own_corpus: bool
    """Whether the run was trained on this corpus, with these splits."""
    test: Metrics
    valid: Metrics | None
    test_videos: int
    openings: Openings
    checkpoint_sha256: str
    """Of the weights that were evaluated: those of a later training are others."""
    predictions_sha256: str
    predictions: Predictions = field(repr=False, compare=False)
    reliability: Reliability | None = None
    """Of the intervals on test; None where the run could not be calibrated, or was evaluated before there were any."""
    calibration_sha256: str | None = None

    def __str__(self) -> str:
        origin, valid = self.origin, self.valid
        rows = [["", "valid", "test", ""]]
        rows += [
            [title, show(name, valid.value(name)) if valid else "-", show(name, self.test.value(name)), text]
            for (name, title), text in zip(METRICS.items(), CONVENTIONS.values(), strict=True)
        ]
        width = max(len(row[3]) for row in rows)
        lines = [
            f"{origin.run} seed {origin.seed} on {origin.corpus}: {self.test.n} test utterances of "
            f"{self.test_videos} videos",
            table([[*row[:3], row[3].ljust(width)] for row in rows]),
            *undefined_notes(origin.label_range),
            *([str(self.reliability)] if self.reliability else []),
            str(self.openings),
        ]
        return "\n".join(lines)

    def to_json(self) -> str:
        values = {
            "run": self.origin.run,
            "seed": self.origin.seed,
            "recipe": self.recipe,
            "corpus": self.origin.corpus,
            "corpus_path": self.corpus_path,
            "corpus_fingerprint": self.origin.corpus_fingerprint,
            "own_corpus": self.own_corpus,
            "label_range": list(self.origin.label_range),
            "test": self.test.to_json(),
            "valid": self.valid.to_json() if self.valid else None,
            "test_videos": self.test_videos,
            "openings": vars(self.openings),
            "checkpoint_sha256": self.checkpoint_sha256,
            "predictions_sha256": self.predictions_sha256,
            "mmmie_version": self.origin.mmmie_version,
        }
        if self.reliability:
            values["reliability"] = self.reliability.to_json()
            values["calibration_sha256"] = self.calibration_sha256
        return json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    @classmethod
    def read(cls, folder: str | Path) -> Self:
        """The stored evaluation of a run folder (or of `on/CORPUS` inside it); opens no test split.

        The figures are as stored; `verify` recomputes them.

        Raises:
            EvidenceError: there is none, or it is damaged.
        """
        folder = Path(folder)
        path = folder / EVALUATION_FILE
        if not path.is_file():
            raise EvidenceError(f"no evaluation at {path}. Make it with `mmmie evaluate {folder}`.")
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            return cls(
                folder=folder,
                origin=Origin(
                    values["run"],
                    values["seed"],
                    values["corpus"],
                    values["corpus_fingerprint"],
                    (float(values["label_range"][0]), float(values["label_range"][1])),
                    values["mmmie_version"],
                ),
                recipe=values["recipe"],
                corpus_path=values["corpus_path"],
                own_corpus=values["own_corpus"],
                test=Metrics.from_json(values["test"]),
                valid=None if values["valid"] is None else Metrics.from_json(values["valid"]),
                test_videos=values["test_videos"],
                openings=Openings(**values["openings"]),
                checkpoint_sha256=values["checkpoint_sha256"],
                predictions_sha256=values["predictions_sha256"],
                predictions=Predictions.read(folder / PREDICTIONS_FILE),
                reliability=Reliability.from_json(values["reliability"]) if "reliability" in values else None,
                calibration_sha256=values.get("calibration_sha256"),
            )
        except (KeyError, TypeError, IndexError, ValueError, OSError) as error:
            raise EvidenceError(f"{path} is damaged: {error!r}. Evaluate the run again.") from None


def evaluate(run: "Run", corpus: Corpus | None = None) -> Evaluation:
    """Opens the test split: scores it with a finished run, counts the opening, writes both files into the run folder.

    Args:
        run: finished.
        corpus: None for the one the run was trained on. Another one needs features of the same fingerprints, and only
            its test split is scored.

    Raises:
        EvidenceError: the run is not finished; its corpus has changed since; a test video was seen in training; a
            score is not finite; a file cannot be written.
        CorpusError, CheckpointError, FeatureError: the corpus, the weights or the features are missing or do not fit.
    """
    if not run.finished:
        raise EvidenceError(f"{run.path} is not finished. Go on with `mmmie train ... --resume`, then evaluate it.")
    corpus = corpus or Corpus.open(run.corpus_path)
    own = _is_own(run, corpus)
    test = corpus.test()
    _refuse_seen_videos(run, corpus, test)
    parts = [test, corpus.training().valid] if own else [test]
    readings = [_finite(attribution.read_part(run, part), part) for part in parts]
    calibration = _calibration(run, corpus, readings[1]) if own else _calibration(run, None, None)
    openings = record_opening(run, corpus.path)
    info = corpus.info
    origin = Origin(
        run.name,
        run.seed,
        info.name,
        info.fingerprint,
        (float(info.label_min), float(info.label_max)),
        version("mmmie"),
    )
    predictions = _predictions(origin, parts, readings, calibration)
    test_rows = predictions.part("test")
    folder = evaluation_folder(run, corpus, own)
    with replacing(folder / PREDICTIONS_FILE) as parquet, replacing(folder / EVALUATION_FILE) as description:
        predictions.write(parquet)
        evaluation = Evaluation(
            folder=folder,
            origin=origin,
            recipe=recipe_hash(run.recipe),
            corpus_path=str(corpus.path.resolve()),
            own_corpus=own,
            test=test_rows.metrics(),
            valid=predictions.part("valid").metrics() if own else None,
            test_videos=len(set(test.videos)),
            openings=openings,
            checkpoint_sha256=str(run.contract["sha256"]),
            predictions_sha256=_checksum(parquet),
            predictions=predictions,
            reliability=measure_reliability(test_rows, calibration.levels.coverage) if calibration else None,
            calibration_sha256=_checksum(run.path / CALIBRATION_FILE) if calibration else None,
        )
        description.write_text(evaluation.to_json(), encoding="utf-8")
    return evaluation


def open_test(run: "Run", corpus: Corpus) -> Part:
    """The test split for a measurement beside the evaluation itself; counts as an opening like it.

    Raises:
        EvidenceError: the run is not finished, was not trained on this corpus, or has seen a test video.
    """
    if not run.finished:
        raise EvidenceError(f"{run.path} is not finished. Go on with `mmmie train ... --resume`.")
    if not _is_own(run, corpus):
        raise EvidenceError(f"{run.path} was not trained on {corpus.path}. Give the corpus that it was trained on.")
    test = corpus.test()
    _refuse_seen_videos(run, corpus, test)
    record_opening(run, corpus.path)
    return test


def evaluation_folder(run: "Run", corpus: Corpus, own: bool) -> Path:
    """Where an evaluation lies; made where it is not there. Another corpus never overwrites the run's own."""
    if own:
        return run.path
    folder = run.path / "on" / f"{corpus.path.resolve().name}-{corpus.info.fingerprint[:8]}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EvidenceError(f"could not make {folder}: {error}") from error
    return folder


def _seen_videos(run: "Run") -> frozenset[str]:
    try:
        return frozenset(run.training_videos)
    except (OSError, ValueError) as error:
        raise EvidenceError(
            f"cannot read which videos {run.path} was trained on: {error}. Without them no test is known to be one; "
            "train it again."
        ) from None


def _is_own(run: "Run", corpus: Corpus) -> bool:
    """By content rather than by path, so that a corpus may move; of one content, splits make the difference."""
    same_rows = corpus.info.fingerprint == run.corpus_fingerprint
    videos = corpus.table.column("video").to_pylist()
    fitted = {video for video, split in zip(videos, corpus.splits, strict=True) if split != "test"}
    own = same_rows and fitted <= _seen_videos(run)
    if not own and corpus.path.resolve() == run.corpus_path.resolve():
        what = "its splits are others" if same_rows else f"fingerprint {corpus.info.fingerprint}"
        raise EvidenceError(
            f"{corpus.path} has changed since {run.path} was trained on it (fingerprint {run.corpus_fingerprint}; now "
            f"{what}). Train the run again, or give the corpus it was trained on with --corpus."
        )
    return own


def _refuse_seen_videos(run: "Run", corpus: Corpus, test: Part) -> None:
    seen = sorted(set(test.videos) & _seen_videos(run))
    if seen:
        named = ", ".join(seen[:5]) + (", ..." if len(seen) > 5 else "")
        raise EvidenceError(
            f"{len(seen)} of {len(set(test.videos))} test videos of {corpus.path} were in train or valid of "
            f"{run.path}: {named}. Scores on them would be no evidence. Evaluate on a split whose test videos the run "
            "has not seen, or train on this one."
        )


def _calibration(run: "Run", corpus: Corpus | None, valid: Reading | None) -> Calibration | None:
    """None for another corpus than the run's own where that is no longer there to be calibrated on."""
    try:
        return calibrate(run, corpus, valid=valid)
    except (CorpusError, EvidenceError):
        if corpus is not None:
            raise
        return None


def _finite(reading: Reading, part: Part) -> Reading:
    scores = reading.scores
    if scores.shape != (len(part),):
        raise EvidenceError(f"{len(part)} {part.name} utterances, but scores of shape {scores.shape}")
    bad = np.flatnonzero(~np.isfinite(scores))
    if len(bad):
        raise EvidenceError(
            f"{len(bad)} {part.name} scores are not finite, the first of utterance {part.ids[bad[0]]} "
            f"({scores[bad[0]]}). The weights or the features of this utterance are broken."
        )
    return reading


def _predictions(
    origin: Origin, parts: Sequence[Part], readings: Sequence[Reading], calibration: Calibration | None
) -> Predictions:
    rows = [(part.name, utterance) for part in parts for utterance in part]
    return Predictions(
        origin,
        videos=np.array([u.video for _, u in rows], dtype=np.str_),
        indices=np.array([u.index for _, u in rows], dtype=np.int64),
        splits=np.array([split for split, _ in rows], dtype=np.str_),
        labels=np.concatenate([labels_of(part) for part in parts]),
        scores=np.concatenate([reading.scores for reading in readings]),
        worth=join_worth([calibration.judge(reading) for reading in readings]) if calibration else None,
    )


def _checksum(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()
