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
from mmmie.evidence.evaluation import EVALUATION_FILE, Evaluation
from mmmie.evidence.openings import OPENINGS_FILE, recipe_hash
from mmmie.evidence.predictions import PREDICTIONS_FILE, Predictions
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
    yield from _openings(stored)
    yield from _against_corpus(run, stored, predictions, deep)


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
    from mmmie.learning.prediction import predict

    same_score, same_mae = _tolerances(run)
    for split, of_split in rows.items():
        scores = np.asarray(predict(run, Part(split, corpus, of_split)), dtype=np.float64)
        stored = predictions.part(split)
        worst = int(np.argmax(np.abs(scores - stored.scores)))
        what = f"{split} scores predicted again, worst {stored.ids[worst]}"
        yield _close(what, stored.scores[worst], scores[worst], same_score)
        mae = float(np.abs(scores - stored.labels).mean())
        yield _close(f"{split} mae predicted again", stored.metrics().mae, mae, same_mae)


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
