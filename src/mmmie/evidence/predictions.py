"""`predictions.parquet`: a score for every utterance of the evaluated splits, beside its label and what it is worth."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mmmie.corpus.schema import SPLITS
from mmmie.errors import EvidenceError, did_you_mean
from mmmie.evidence.metrics import Metrics, measure

PREDICTIONS_FILE = "predictions.parquet"

_SCHEMA = pa.schema(
    [
        ("video", pa.string()),
        ("index", pa.int64()),
        ("split", pa.string()),
        ("label", pa.float64()),
        ("score", pa.float64()),
    ]
)
_WORTH = [
    ("lower", pa.float64()),
    ("upper", pa.float64()),
    ("abstain", pa.bool_()),
    ("outside", pa.bool_()),
    ("typicality", pa.float64()),
    ("modalities", pa.string()),
    ("without_context", pa.float64()),
]
_CONTRIBUTION = "contribution_"
_DESCRIPTION = b"mmmie"


@dataclass(frozen=True)
class Origin:
    """Who made predictions, and of what: the metadata of `predictions.parquet`."""

    run: str
    seed: int
    corpus: str
    corpus_fingerprint: str
    label_range: tuple[float, float]
    mmmie_version: str


@dataclass(frozen=True, eq=False)
class Worth:
    """How far each of N predictions can be trusted and what made it, each array (N,) in their order."""

    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    """The ends of the interval, in the range of the labels."""
    abstain: NDArray[np.bool_]
    """Whether no sign should be read from the score: neither is excluded, or the input is unfamiliar."""
    outside: NDArray[np.bool_]
    """Whether a modality's features lie outside what training saw."""
    typicality: NDArray[np.float64]
    """The smallest p value of a modality's features; see `familiarity`."""
    modalities: NDArray[np.str_]
    """Those the utterance has, as `text+audio`."""
    without_context: NDArray[np.float64]
    """The score with its neighbours hidden."""
    contributions: Mapping[str, NDArray[np.float64]]
    """By modality; they sum to the score less that of nothing seen."""

    def rows(self, rows: NDArray[np.int64]) -> Self:
        """Some of them."""
        names = [name for name, _ in _WORTH]
        contributions = {name: values[rows] for name, values in self.contributions.items()}
        return replace(self, contributions=contributions, **{name: getattr(self, name)[rows] for name in names})


def join_worth(parts: Sequence[Worth]) -> Worth:
    """Several, one after the other; of the same modalities."""
    columns = {name: np.concatenate([getattr(part, name) for part in parts]) for name, _ in _WORTH}
    names = parts[0].contributions
    contributions = {name: np.concatenate([part.contributions[name] for part in parts]) for name in names}
    return Worth(**columns, contributions=contributions)


@dataclass(frozen=True, eq=False)
class Predictions:
    """Scores of some utterances, each array (N,) in the same order."""

    origin: Origin
    videos: NDArray[np.str_]
    indices: NDArray[np.int64]
    splits: NDArray[np.str_]
    labels: NDArray[np.float64]
    scores: NDArray[np.float64]
    worth: Worth | None = None
    """None for runs that were evaluated before there was any, and for the pooled folds of a cross-validation."""

    def __len__(self) -> int:
        return len(self.scores)

    @cached_property
    def ids(self) -> list[str]:
        """`video/index` of each row."""
        return [f"{video}/{index}" for video, index in zip(self.videos, self.indices, strict=True)]

    def part(self, split: str) -> Self:
        """The rows of one split, in order; possibly none."""
        rows = np.flatnonzero(self.splits == split)
        names = ("videos", "indices", "splits", "labels", "scores")
        worth = self.worth.rows(rows) if self.worth else None
        return replace(self, worth=worth, **{name: getattr(self, name)[rows] for name in names})

    def metrics(self) -> Metrics:
        """Of all rows. Raises EvidenceError: there are none, or a score is not finite."""
        return measure(self.labels, self.scores, self.origin.label_range)

    def write(self, path: str | Path) -> None:
        """Writes parquet, whole or not at all. Raises EvidenceError: the file cannot be written."""
        columns = [self.videos.tolist(), self.indices, self.splits.tolist(), self.labels, self.scores]
        schema = _SCHEMA
        if self.worth:
            schema = _with_worth(list(self.worth.contributions))
            columns += [getattr(self.worth, name).tolist() for name, _ in _WORTH]
            columns += [values.tolist() for values in self.worth.contributions.values()]
        metadata = {_DESCRIPTION: json.dumps(vars(self.origin)).encode()}
        table = pa.table(columns, schema=schema.with_metadata(metadata))
        with replacing(path) as temporary:
            pq.write_table(table, temporary)

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Reads what `write` wrote.

        Raises:
            EvidenceError: not there; not such a file; a missing column; a split, label or score that cannot be; an
                utterance that comes twice.
        """
        path = Path(path)
        if not path.is_file():
            raise EvidenceError(f"no predictions at {path}. Make them with `mmmie evaluate {path.parent}`.")
        try:
            with pa.memory_map(str(path)) as source:
                table = pq.ParquetFile(source).read()
            description = json.loads(table.schema.metadata[_DESCRIPTION])
            origin = Origin(**{**description, "label_range": tuple(description["label_range"])})
        except (OSError, pa.ArrowException, ValueError, TypeError, KeyError) as error:
            raise EvidenceError(f"{path} is not a file of predictions: {error}. Evaluate the run again.") from None
        modalities = [name.removeprefix(_CONTRIBUTION) for name in table.column_names if name.startswith(_CONTRIBUTION)]
        has_worth = len(table.column_names) > len(_SCHEMA)
        schema = _with_worth(modalities) if has_worth else _SCHEMA
        if not table.schema.equals(schema):
            came, expected = (", ".join(f"{field.name} {field.type}" for field in s) for s in (table.schema, schema))
            raise EvidenceError(f"{path} has the columns {came}; expected {expected}. Evaluate the run again.")
        if any(column.null_count for column in table.columns):
            raise EvidenceError(f"{path} has empty cells. Evaluate the run again.")
        predictions = cls(
            origin,
            np.array(table["video"].to_pylist(), dtype=np.str_),
            table["index"].to_numpy(),
            np.array(table["split"].to_pylist(), dtype=np.str_),
            table["label"].to_numpy(),
            table["score"].to_numpy(),
            _worth_in(table, modalities) if has_worth else None,
        )
        predictions._check(str(path))
        return predictions

    def _check(self, where: str) -> None:
        seen: set[str] = set()
        low, high = self.origin.label_range
        for row, (id_, split) in enumerate(zip(self.ids, self.splits, strict=True)):
            if id_ in seen:
                raise EvidenceError(f"{where}, row {row}: {id_} comes twice. Evaluate the run again.")
            seen.add(id_)
            if split not in SPLITS:
                raise EvidenceError(f"{where}, row {row}: unknown split '{split}'. {did_you_mean(split, SPLITS)}")
            if not (low <= self.labels[row] <= high) or not np.isfinite(self.scores[row]):
                raise EvidenceError(
                    f"{where}, row {row}: {id_} has label {self.labels[row]} and score {self.scores[row]}; expected "
                    f"a label in [{low}, {high}] and a finite score. Evaluate the run again."
                )


def _with_worth(modalities: Sequence[str]) -> pa.Schema:
    return pa.schema([*_SCHEMA, *_WORTH, *((_CONTRIBUTION + name, pa.float64()) for name in modalities)])


def _worth_in(table: pa.Table, modalities: Sequence[str]) -> Worth:
    columns = {name: np.array(table[name].to_pylist()) for name, _ in _WORTH}
    return Worth(**columns, contributions={name: table[_CONTRIBUTION + name].to_numpy() for name in modalities})


def stack(several: Sequence[Predictions]) -> NDArray[np.float64]:
    """Scores (R, N) of R predictions of the same N utterances.

    Raises:
        EvidenceError: they are of different corpora or utterances, named with the first difference.
    """
    first = several[0]
    for other in several[1:]:
        refuse_difference(first, other)
    return np.stack([predictions.scores for predictions in several])


def refuse_difference(first: Predictions, other: Predictions) -> None:
    """Raises EvidenceError where two predictions are not of the same utterances with the same labels, in order."""
    names = f"{_name(first)} and {_name(other)}"
    if first.origin.corpus_fingerprint != other.origin.corpus_fingerprint:
        raise EvidenceError(
            f"{names} were evaluated on different corpora: '{first.origin.corpus}' "
            f"({first.origin.corpus_fingerprint}) and '{other.origin.corpus}' ({other.origin.corpus_fingerprint}). "
            "Evaluate them on one corpus."
        )
    for row, (a, b) in enumerate(zip(first.ids, other.ids, strict=False)):
        if a != b:
            raise EvidenceError(
                f"{names} do not pair: row {row} is {a} in the one and {b} in the other, so their test splits differ. "
                "Evaluate them on one split, or pool the folds of a cross-validation with --pooled."
            )
        if first.labels[row] != other.labels[row]:
            raise EvidenceError(f"{names} do not pair: {a} has label {first.labels[row]} and {other.labels[row]}")
    if len(first) != len(other):
        longer = max(first, other, key=len)
        raise EvidenceError(
            f"{names} do not pair: {len(first)} and {len(other)} utterances; the first that only one has is "
            f"{longer.ids[min(len(first), len(other))]}"
        )


def pool(folds: Sequence[Predictions]) -> list[Predictions]:
    """The test predictions of a cross-validation: for each seed those of all folds, as if they were one split.

    Args:
        folds: one for each fold and seed; the folds are splits of one corpus, with no test video in two of them.

    Returns:
        one for each seed, in order of the seed, rows in order of (video, index).

    Raises:
        EvidenceError: different corpora; a test video in two folds of a seed; a seed that lacks a fold.
    """
    by_seed: dict[int, list[Predictions]] = {}
    for fold in folds:
        by_seed.setdefault(fold.origin.seed, []).append(fold.part("test"))
    pooled = [_join(parts) for _, parts in sorted(by_seed.items())]
    everything = set().union(*(set(p.videos) for p in pooled))
    for predictions in pooled:
        missing = sorted(everything - set(predictions.videos))
        if missing:
            raise EvidenceError(
                f"seed {predictions.origin.seed} has no test predictions for {len(missing)} videos that other seeds "
                f"have, such as {missing[0]}. Train and evaluate every fold with the same seeds."
            )
    return pooled


def _join(parts: Sequence[Predictions]) -> Predictions:
    seen: dict[str, Predictions] = {}
    for part in parts:
        if part.origin.corpus_fingerprint != parts[0].origin.corpus_fingerprint:
            raise EvidenceError(
                f"{_name(parts[0])} and {_name(part)} are not folds of one corpus: '{parts[0].origin.corpus}' and "
                f"'{part.origin.corpus}' hold different utterances. Make folds with `mmmie resplit`."
            )
        for video in np.unique(part.videos):
            if video in seen:
                raise EvidenceError(
                    f"{_name(seen[video])} and {_name(part)} both test video {video}; folds are disjoint. "
                    "Leave one of the runs out."
                )
            seen[video] = part
    columns = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in ("videos", "indices", "splits", "labels", "scores")
    }
    order = np.lexsort((columns["indices"], columns["videos"]))
    name = " + ".join(dict.fromkeys(part.origin.run for part in parts))
    origin = replace(parts[0].origin, run=name, corpus=f"{len(parts)} folds of {parts[0].origin.corpus}")
    return replace(parts[0], origin=origin, worth=None, **{name: column[order] for name, column in columns.items()})


def _name(predictions: Predictions) -> str:
    return f"{predictions.origin.run} seed {predictions.origin.seed}"


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A temporary name beside `path`, renamed to it when the block ends well and removed when it does not.

    Raises:
        EvidenceError: the file system refuses (full, read-only); `path` is as it was before.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise EvidenceError(f"could not write {path}: {error}. It is as it was before.") from error
    finally:
        temporary.unlink(missing_ok=True)
