"""Writing a corpus: row by row, checked, into a temporary folder that is renamed when all of it is there."""

import hashlib
import math
import os
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mmmie.corpus.schema import SPLITS, UNLABELLED, CorpusInfo, Utterance
from mmmie.corpus.store import Floats
from mmmie.errors import CorpusError, did_you_mean

ROWS_PER_BATCH = 256

_WORDS = pa.list_(pa.struct([("word", pa.string()), ("start", pa.float64()), ("end", pa.float64())]))
_UTTERANCES = pa.schema(
    [
        ("video", pa.string()),
        ("index", pa.int64()),
        ("split", pa.string()),
        ("label", pa.float64()),
        ("start", pa.float64()),
        ("end", pa.float64()),
        ("speaker", pa.string()),
        ("text", pa.string()),
        ("words", _WORDS),
    ]
)


def _features_schema(dim: int) -> pa.Schema:
    return pa.schema(
        [
            ("frames", pa.large_list(pa.list_(pa.float32(), dim))),
            ("masked", pa.list_(pa.int32())),
            ("times", pa.large_list(pa.float64())),
        ]
    )


class Frames(NamedTuple):
    """The features of one utterance in one modality, as an importer hands them over."""

    values: NDArray[Any]
    """(T, D); NaN or infinite where a value is missing or a sentinel."""
    times: NDArray[np.float64] | None = None
    """(T,) seconds on the media clock, where known."""


class CorpusWriter:
    """Writes a corpus row by row into a temporary folder beside `path`, and renames it when the block ends well.

        with CorpusWriter(path, info) as writer:
            writer.add(utterance, {"audio": Frames(values)})

    Rows come video by video, each video's utterances in ascending index. A modality that is not given is absent.

    Raises:
        CorpusError: `path` exists; a video comes twice or is in two splits; an index does not ascend; an unknown
            split; a label that is not finite or out of range; an array of the wrong shape. Nothing is left behind.
    """

    def __init__(self, path: str | Path, info: CorpusInfo) -> None:
        self.path = Path(path)
        if self.path.exists():
            raise CorpusError(f"{self.path} exists already. Choose another --out, or remove it first.")
        self.info = info
        self._seen: dict[str, str] = {}
        self._last: Utterance | None = None
        self._rows: list[dict[str, Any]] = []
        self._pending: dict[str, list[tuple[Floats | None, list[int], NDArray[np.float64] | None]]] = {
            m: [] for m in info.features
        }
        self._masked = dict.fromkeys(info.features, 0)
        self._hash = hashlib.sha256()

    def __enter__(self) -> Self:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._temporary = Path(tempfile.mkdtemp(prefix=f".{self.path.name}.", dir=self.path.parent))
        except OSError as failure:
            raise self._failed(failure) from failure
        self._sinks = {
            name: pa.ipc.new_file(str(self._temporary / f"{name}.arrow"), _features_schema(f.dim))
            for name, f in self.info.features.items()
        }
        return self

    def add(self, utterance: Utterance, features: Mapping[str, Frames | None]) -> None:
        """Appends one utterance with its features; see the class for the order and the errors."""
        self._check(utterance)
        for name in features:
            if name not in self.info.features:
                raise CorpusError(f"{utterance.id}: features of '{name}', which corpus.json does not announce")
        row = {name: getattr(utterance, name) for name in _UTTERANCES.names}
        row["words"] = [{"word": w.word, "start": w.start, "end": w.end} for w in utterance.words] or None
        self._rows.append(row)
        self._hash.update(repr([v for k, v in row.items() if k != "split"]).encode())
        for name, pending in self._pending.items():
            pending.append(self._checked_frames(utterance, name, features.get(name)))
            if len(pending) == ROWS_PER_BATCH:
                self._flush(name)
        self._last = utterance

    def companion(self, name: str) -> Path:
        """Where to write a file that is to stand in the corpus's folder beside its own; it appears with the corpus."""
        return self._temporary / name

    def _check(self, utterance: Utterance) -> None:
        known = (*SPLITS, UNLABELLED)
        if utterance.split not in known:
            raise CorpusError(
                f"{utterance.id}: unknown split '{utterance.split}'. {did_you_mean(utterance.split, known)}"
            )
        if utterance.split == UNLABELLED:
            if not math.isnan(utterance.label):
                raise CorpusError(f"{utterance.id}: label {utterance.label} in the split 'unlabelled'; leave it NaN")
        elif not (self.info.label_min <= utterance.label <= self.info.label_max):
            raise CorpusError(
                f"{utterance.id}: label {utterance.label} is outside [{self.info.label_min}, {self.info.label_max}]. "
                "Correct the row, or state the range of the labels."
            )
        last = self._last
        if last is not None and last.video == utterance.video:
            if utterance.index <= last.index:
                raise CorpusError(
                    f"{utterance.id}: its index does not follow {last.index}; each utterance comes once, in order"
                )
        elif utterance.video in self._seen:
            raise CorpusError(
                f"{utterance.id}: video '{utterance.video}' comes in two blocks; keep its utterances together"
            )
        split = self._seen.setdefault(utterance.video, utterance.split)
        if split != utterance.split:
            raise CorpusError(
                f"{utterance.id}: video '{utterance.video}' is in the splits '{split}' and '{utterance.split}'. "
                "A video belongs to one split, or its context leaks."
            )

    def _checked_frames(
        self, utterance: Utterance, name: str, frames: Frames | None
    ) -> tuple[Floats | None, list[int], NDArray[np.float64] | None]:
        info = self.info.features[name]
        if frames is None or len(frames.values) == 0:
            return None, [], None
        values = np.asarray(frames.values)
        if values.ndim != 2 or values.shape[1] != info.dim:
            raise CorpusError(f"{utterance.id}: {name} of shape {values.shape}, expected (frames, {info.dim})")
        if info.level == "utterance" and len(values) != 1:
            raise CorpusError(f"{utterance.id}: {name} has {len(values)} vectors, expected one for each utterance")
        if frames.times is not None and len(frames.times) != len(values):
            raise CorpusError(f"{utterance.id}: {name} has {len(values)} frames but {len(frames.times)} times")
        with np.errstate(over="ignore"):
            values = np.ascontiguousarray(values, dtype=np.float32)
        bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
        self._masked[name] += len(bad)
        self._hash.update(name.encode())
        self._hash.update(values.tobytes())
        return values, bad.tolist(), frames.times

    def _flush(self, name: str) -> None:
        pending = self._pending[name]
        if not pending:
            return
        dim = self.info.features[name].dim
        lengths = [0 if values is None else len(values) for values, _, _ in pending]
        flat = np.concatenate([v for v, _, _ in pending if v is not None] or [np.zeros((0, dim), np.float32)])
        frames = pa.LargeListArray.from_arrays(
            np.cumsum([0, *lengths]),
            pa.FixedSizeListArray.from_arrays(pa.array(flat.reshape(-1)), dim),
            mask=pa.array([values is None for values, _, _ in pending]),
        )
        masked = pa.array([bad for _, bad, _ in pending], type=pa.list_(pa.int32()))
        times = pa.array(
            [None if t is None else np.asarray(t, dtype=np.float64) for _, _, t in pending],
            type=pa.large_list(pa.float64()),
        )
        try:
            self._sinks[name].write_batch(pa.record_batch([frames, masked, times], schema=_features_schema(dim)))
        except OSError as failure:
            raise self._failed(failure) from failure
        pending.clear()

    def _failed(self, failure: OSError) -> CorpusError:
        return CorpusError(
            f"could not write {self.path}: {failure}. Nothing was left behind; make room, or choose another --out."
        )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._close()
            else:
                for sink in self._sinks.values():
                    with suppress(OSError):  # the error that brought us here is the one to show
                        sink.close()
        except OSError as failure:
            raise self._failed(failure) from failure
        finally:
            shutil.rmtree(self._temporary, ignore_errors=True)

    def _close(self) -> None:
        if not self._rows:
            raise CorpusError(f"nothing to write to {self.path}: no utterances came")
        for name, sink in self._sinks.items():
            self._flush(name)
            sink.close()
        with pa.ipc.new_file(str(self._temporary / "utterances.arrow"), _UTTERANCES) as sink:
            sink.write_table(pa.Table.from_pylist(self._rows, schema=_UTTERANCES))
        info = replace(self.info, masked=self._masked, fingerprint=self._hash.hexdigest()[:16])
        (self._temporary / "corpus.json").write_text(info.to_json(), encoding="utf-8")
        os.chmod(self._temporary, 0o755)
        self._temporary.rename(self.path)
