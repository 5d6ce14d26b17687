"""Recomputes every stored figure of a run from what it was computed from, and says which do not agree."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from math import isclose, isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmmie.corpus.store import Corpus, Part
from mmmie.errors import EvidenceError, MmmieError
from mmmie.evidence import attribution
from mmmie.evidence.calibration import CALIBRATION_FILE, Calibration, checksum_of
from mmmie.evidence.conformal import fit_margins, margins_from
from mmmie.evidence.evaluation import EVALUATION_FILE, Evaluation
from mmmie.evidence.openings import OPENINGS_FILE, recipe_hash
from mmmie.evidence.predictions import PREDICTIONS_FILE, Predictions, Worth
from mmmie.evidence.reliability import measure_reliability
from mmmie.evidence.robustness import ROBUSTNESS_FILE, recompute
from mmmie.evidence.table import table

if TYPE_CHECKING:
    from mmmie.learning.run import Run

SAME_NUMBERS = 1e-9
"""Between a metric and the same metric of the same float64 scores: only the order of additions may differ."""
FLOAT32 = (1e-4, 1e-4)
"""Between a score, or an MAE, of one set of weights computed twice: on another machine, or in batches padded otherwise,
float32 differs by about 1e-5."""
BFLOAT16 = (2e-2, 1e-3)
"""The same where the recipe lets the text encoder compute in bfloat16, which another machine may not have: a fully
trained MiniLM on MOSI differed by up to 0.007 in a score and 0.0003 in the MAE between the two."""


@dataclass(frozen=True)
class Check:
    """One stored figure against the same figure found again."""

    what: str
    stored: str
    found: str
    status: str
    """`ok`, `FAILED`, or `skipped` where what it needs is not there; `found` then says why."""


@dataclass(frozen=True)
class Verification:
    """All checks of one run."""

    path: Path
    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing failed; what was skipped is not counted."""
        return all(check.status != "FAILED" for check in self.checks)

    def __str__(self) -> str:
        rows = [["", "stored", "found", "status"]]
        rows += [[check.what, check.stored, check.found, check.status] for check in self.checks]
        failed = sum(check.status == "FAILED" for check in self.checks)
        skipped = sum(check.status == "skipped" for check in self.checks)
        total = f"{len(self.checks) - failed - skipped} ok, {failed} failed, {skipped} skipped"
        return f"{self.path}\n{table(rows)}\n{total}"


def verify(run: "Run", deep: bool = False) -> Verification:
    """Checks checkpoint, training log and every evaluation of a run; what is damaged is a failed check, not an error.

    Args:
        run: finished; without an evaluation only checkpoint and log are checked.
        deep: also computes the scores again from the checkpoint, which needs the corpus. The utterances scored are
            those whose scores are stored already, so this is no further opening of the test split.
    """
    checks = [*_guarded("checkpoint", _checkpoint(run)), *_guarded("training log", _training(run))]
    folders = [folder for folder in (run.path, *sorted((run.path / "on").glob("*"))) if _is_evaluated(folder)]
    if not folders:
        checks.append(Check("evaluation", "", "not evaluated yet", "skipped"))
    for folder in folders:
        prefix = "" if folder == run.path else f"{folder.relative_to(run.path)}: "
        checks += [replace(c, what=prefix + c.what) for c in _guarded("evaluation", _evaluation(run, folder, deep))]
    if (run.path / ROBUSTNESS_FILE).exists():
        checks += _guarded("robustness", _robustness(run))
    return Verification(run.path, tuple(checks))


def _is_evaluated(folder: Path) -> bool:
    """One of the two files without the other is a failure, not an absence."""
    return (folder / EVALUATION_FILE).exists() or (folder / PREDICTIONS_FILE).exists()


def _guarded(what: str, checks: Iterator[Check]) -> Iterator[Check]:
    """The checks, and a failed one in place of those that an unreadable file cut off."""
    try:
        yield from checks
    except KeyError as error:
        yield Check(f"{what} readable", "", f"{error} is missing", "FAILED")
    except (MmmieError, OSError, TypeError, ValueError, AttributeError) as error:
        yield Check(f"{what} readable", "", str(error), "FAILED")


def _checkpoint(run: "Run") -> Iterator[Check]:
    weights = run.path / "checkpoint" / "model.safetensors"
    if not weights.is_file():
        raise EvidenceError(f"no weights at {weights}")
    yield _equal("sha256 of model.safetensors", run.contract["sha256"], _sha256(weights))


def _training(run: "Run") -> Iterator[Check]:
    status, epochs = run.status, run.history
    yield _equal("epochs in metrics.jsonl", status["epochs"], len(epochs))
    best = min(epochs, key=lambda epoch: epoch["valid"]["mae"])
    yield _equal("best epoch", status["best_epoch"], best["epoch"])
    yield _close("its valid mae", status["best_valid_mae"], best["valid"]["mae"], SAME_NUMBERS)


def _evaluation(run: "Run", folder: Path, deep: bool) -> Iterator[Check]:
    parquet = folder / PREDICTIONS_FILE
    predictions = Predictions.read(parquet)
    stored = Evaluation.read(folder)
    yield _equal("sha256 of predictions.parquet", stored.predictions_sha256, _sha256(parquet))
    yield _equal("sha256 of the evaluated weights", stored.checkpoint_sha256, run.contract["sha256"])
    yield _equal("who was evaluated", f"{stored.origin.run} {stored.origin.seed}", f"{run.name} {run.seed}")
    yield _equal("who predicted", str(stored.origin), str(predictions.origin), shown=("as evaluation", "otherwise"))
    yield _equal("recipe", stored.recipe, recipe_hash(run.recipe))
    if stored.own_corpus:
        yield _equal("corpus fingerprint", stored.origin.corpus_fingerprint, run.corpus_fingerprint)
    yield _equal("test videos", stored.test_videos, len(set(predictions.part("test").videos)))
    for split, metrics in (("test", stored.test), ("valid", stored.valid)):
        part = predictions.part(split)
        if metrics is None:
            yield _equal(f"{split} utterances", 0, len(part))
            continue
        again = part.metrics().to_json()
        for name, value in metrics.to_json().items():
            yield _close(f"{split} {name}", value, again[name], SAME_NUMBERS)
    if stored.valid is not None:
        logged = run.status["best_valid_mae"]
        yield _close(
            "valid mae of the best epoch", logged, predictions.part("valid").metrics().mae, _tolerances(run)[1]
        )
    if stored.reliability is not None or predictions.worth is not None:
        yield from _guarded("calibration", _worth(run, stored, predictions))
    yield from _openings(stored)
    yield from _against_corpus(run, stored, predictions, deep)


def _worth(run: "Run", stored: Evaluation, predictions: Predictions) -> Iterator[Check]:
    """Margins from the residuals on valid, intervals from margins and scores, coverage and the rest from intervals."""
    file = run.path / CALIBRATION_FILE
    calibration = Calibration.read(run.path)
    if predictions.worth is None or stored.reliability is None:
        raise EvidenceError(f"only one of {EVALUATION_FILE} and {PREDICTIONS_FILE} knows of intervals")
    worth, test = predictions.worth, predictions.part("test")
    yield _equal("sha256 of calibration.json", stored.calibration_sha256, _sha256(file))
    yield _equal("sha256 of the calibrated weights", calibration.checkpoint_sha256, run.contract["sha256"])
    if stored.own_corpus:
        yield from _margins(calibration, predictions.part("valid"), _tolerances(run)[0])
    lower, upper, unsure = calibration.bounds(predictions.scores, worth.modalities)
    yield _worst("lower ends of the intervals", predictions, worth.lower, lower, SAME_NUMBERS)
    yield _worst("upper ends of the intervals", predictions, worth.upper, upper, SAME_NUMBERS)
    yield _worst("abstentions", predictions, worth.abstain, unsure | worth.outside, 0)
    explained = calibration.reference + sum(worth.contributions.values())
    yield _worst("scores from contributions", predictions, predictions.scores, explained, _tolerances(run)[0])
    again = measure_reliability(test, calibration.levels.coverage).to_json()
    for name, value in stored.reliability.to_json().items():
        yield _furthest(f"test {name}", value, again[name])


def _robustness(run: "Run") -> Iterator[Check]:
    stored, again, found = recompute(run)
    yield _equal("sha256 of robustness.parquet", stored["scores_sha256"], found)
    yield _equal("sha256 of the damaged weights", stored["checkpoint_sha256"], run.contract["sha256"])
    yield _equal("conditions", len(stored["conditions"]), len(again))
    for condition, metrics, recomputed in zip(stored["conditions"], stored["metrics"], again, strict=True):
        name = " ".join([condition["kind"], *condition["modalities"], f"{condition['level']:g}"])
        yield _furthest(f"damaged: {name}", metrics, recomputed)


def _margins(calibration: Calibration, valid: Predictions, tolerance: float) -> Iterator[Check]:
    """Of the utterances that have every modality; those of other subsets need the scores of `deep`."""
    yield _equal("utterances calibrated on", calibration.valid_sha256, checksum_of(valid.ids, valid.labels))
    whole = "+".join(calibration.modalities)
    if valid.worth is None or whole not in calibration.margins:
        return
    rows = valid.worth.modalities == whole
    again = margins_from((valid.labels - valid.scores)[rows], valid.videos[rows], calibration.levels)
    yield _equal("utterances with every modality", calibration.margins[whole].utterances, again.utterances)
    for name in ("half_width", "below", "above"):
        yield _close(f"margin {name}", getattr(calibration.margins[whole], name), getattr(again, name), tolerance)


def _worst(what: str, predictions: Predictions, stored: Any, found: Any, tolerance: float) -> Check:
    """Of one value for each utterance, the one that is furthest off."""
    stored, found = (np.asarray(values, dtype=np.float64) for values in (stored, found))
    row = int(np.argmax(np.abs(stored - found)))
    return _close(f"{what}, worst {predictions.ids[row]}", stored[row], found[row], tolerance)


def _furthest(what: str, stored: Any, found: Any) -> Check:
    """Of the numbers in nested JSON values, the first that does not agree, else the first."""
    pairs = list(zip(_flat(stored), _flat(found), strict=True))
    checks = [_close(f"{what} {name}".strip(), value, again, SAME_NUMBERS) for (name, value), (_, again) in pairs]
    failed = [check for check in checks if check.status == "FAILED"]
    return failed[0] if failed else replace(checks[0], what=what)


def _flat(values: Any, name: str = "") -> list[tuple[str, float | None]]:
    """The numbers of nested JSON values, each with the path to it."""
    if isinstance(values, dict):
        return [pair for key, value in values.items() for pair in _flat(value, f"{name} {key}".strip())]
    if isinstance(values, list | tuple):
        return [pair for i, value in enumerate(values) for pair in _flat(value, f"{name} {i + 1}".strip())]
    return [(name, values)]


def _openings(stored: Evaluation) -> Iterator[Check]:
    ledger = Path(stored.corpus_path) / OPENINGS_FILE
    if stored.openings.counted_in == "corpus" and ledger.parent.is_dir():
        counted = len(ledger.read_text(encoding="utf-8").splitlines()) if ledger.is_file() else 0
        least = stored.openings.before + 1
        yield Check("openings of the test split", f"{least} or more", str(counted), _status(counted >= least))


def _against_corpus(run: "Run", stored: Evaluation, predictions: Predictions, deep: bool) -> Iterator[Check]:
    if not (Path(stored.corpus_path) / "corpus.json").is_file():
        yield Check("labels in the corpus", "", f"no corpus at {stored.corpus_path}", "FAILED" if deep else "skipped")
        return
    corpus = Corpus.open(stored.corpus_path)
    yield _equal("fingerprint of the corpus", stored.origin.corpus_fingerprint, corpus.info.fingerprint)
    splits = ("test", "valid") if stored.own_corpus else ("test",)
    rows = {split: np.flatnonzero(corpus.splits == split) for split in splits}
    # An audit of rows that are scored already; the order is that of the file: test, then valid.
    part = Part("scored", corpus, np.concatenate(list(rows.values())))
    ids = [
        f"{split} {id_}"
        for split, id_ in zip(np.repeat(splits, [len(r) for r in rows.values()]), part.ids, strict=True)
    ]
    scored = [f"{split} {id_}" for split, id_ in zip(predictions.splits, predictions.ids, strict=True)]
    missing = sorted(set(ids) ^ set(scored))
    yield Check(
        "utterances of the corpus",
        str(len(scored)),
        str(len(ids)) if not missing else f"{len(ids)}; first difference: {missing[0]}",
        _status(ids == scored),
    )
    if ids != scored:
        return
    labels = np.array([utterance.label for utterance in part])
    wrong = np.flatnonzero(labels != predictions.labels)
    row = wrong[0] if len(wrong) else 0
    yield Check(
        "labels in the corpus",
        f"{part.ids[row]}: {predictions.labels[row]:g}" if len(wrong) else f"{len(labels)} equal",
        f"{part.ids[row]}: {labels[row]:g}" if len(wrong) else f"{len(labels)} equal",
        _status(not len(wrong)),
    )
    if deep:
        yield from _scores_again(run, corpus, rows, predictions)


def _scores_again(run: "Run", corpus: Corpus, rows: dict[str, Any], predictions: Predictions) -> Iterator[Check]:
    same_score, same_mae = _tolerances(run)
    for split, of_split in rows.items():
        reading = attribution.read_part(run, Part(split, corpus, of_split))
        scores, stored = reading.scores, predictions.part(split)
        yield _worst(f"{split} scores predicted again", stored, stored.scores, scores, same_score)
        mae = float(np.abs(scores - stored.labels).mean())
        yield _close(f"{split} mae predicted again", stored.metrics().mae, mae, same_mae)
        if stored.worth is not None:
            yield from _guarded("calibration", _worth_again(run, stored, stored.worth, reading, split))


def _worth_again(
    run: "Run", stored: Predictions, worth: Worth, reading: attribution.Reading, split: str
) -> Iterator[Check]:
    tolerance = _tolerances(run)[0]
    calibration = Calibration.read(run.path)
    found = calibration.judge(reading)
    yield _worst(f"{split} scores without context", stored, worth.without_context, found.without_context, tolerance)
    for name, values in worth.contributions.items():
        yield _worst(f"{split} contribution of {name}", stored, values, found.contributions[name], tolerance)
    yield _equal(f"{split} modalities", list(worth.modalities), list(found.modalities), shown=("as stored", "others"))
    # A distance near that of another video may change sides with rounding: one video is the step of these p values.
    step = max((1 / (1 + f.num_videos) for f in calibration.familiar.values()), default=0.0)
    yield _worst(f"{split} typicality", stored, worth.typicality, found.typicality, step)
    settled = worth.typicality == found.typicality
    outside = np.where(settled, worth.outside, found.outside)
    yield _worst(f"{split} outside what training saw", stored, outside, found.outside, 0)
    if split == "valid":
        margins = fit_margins(reading, stored.labels, stored.videos, calibration.levels)
        yield _equal("subsets with margins", sorted(calibration.margins), sorted(margins))
        for name in sorted(set(margins) & set(calibration.margins)):
            kept = calibration.margins[name].half_width
            yield _close(f"margin half_width of {name}", kept, margins[name].half_width, tolerance)


def _tolerances(run: "Run") -> tuple[float, float]:
    return FLOAT32 if run.recipe.training.precision == "float32" else BFLOAT16


def _equal(what: str, stored: Any, found: Any, shown: tuple[str, str] | None = None) -> Check:
    same = stored == found
    left, right = (shown[0], shown[0] if same else shown[1]) if shown else (str(stored), str(found))
    return Check(what, _short(left), _short(right), _status(same))


def _close(what: str, stored: float | None, found: float | None, tolerance: float) -> Check:
    left, right = (float("nan") if value is None else float(value) for value in (stored, found))
    same = (isnan(left) and isnan(right)) or isclose(left, right, rel_tol=0, abs_tol=tolerance)
    digits = 6 if same else 12
    return Check(what, f"{left:.{digits}g}", f"{right:.{digits}g}", _status(same))


def _status(same: bool) -> str:
    return "ok" if same else "FAILED"


def _short(text: str) -> str:
    return text if len(text) <= 24 else text[:16] + "..."


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        digest = sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
