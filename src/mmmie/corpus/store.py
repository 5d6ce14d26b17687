"""A corpus on disk: a folder of `corpus.json` and memory-mapped Arrow files, opened at once and read as needed.

    corpus.json        CorpusInfo
    utterances.arrow   a row per utterance, in the order of (video, index), each video in one block
    audio.arrow        the same rows: `frames`, a ragged list of float32 vectors, null where the modality is absent;
    vision.arrow       `masked`, the numbers of the frames that no model may see; `times`, seconds, where known

Masked frames keep their NaN on disk, so that whoever forgets the mask notices.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mmmie.corpus.schema import UNLABELLED, CorpusInfo, Utterance, Word
from mmmie.errors import CorpusError, did_you_mean

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

PACKAGED = {"ratings": Path(__file__).parents[1] / "corpora" / "ratings"}
"""Corpora that come with the package, by the name that opens them."""


class RaggedFeatures:
    """The features of some rows in one modality, as slices of the memory map; nothing is copied until it is asked for.

    Rows are numbered from 0 within the selection.
    """

    def __init__(self, batches: Sequence[pa.RecordBatch], rows: Ints, dim: int) -> None:
        self.dim = dim
        self._batches = batches
        starts = np.cumsum([0] + [len(batch) for batch in batches])
        self._batch_of = np.searchsorted(starts, rows, side="right") - 1
        self._row_in_batch = rows - starts[self._batch_of]

    def __len__(self) -> int:
        return len(self._row_in_batch)

    @cached_property
    def _flat(self) -> list[tuple[Ints, Floats, Ints, NDArray[np.int32]]]:
        flat = []
        for batch in self._batches:
            frames, masked = batch.column("frames"), batch.column("masked")
            flat.append(
                (
                    frames.offsets.to_numpy(),
                    frames.values.values.to_numpy().reshape(-1, self.dim),
                    masked.offsets.to_numpy(),
                    masked.values.to_numpy(),
                )
            )
        return flat

    @cached_property
    def lengths(self) -> Ints:
        """(N,) frames of each row, masked ones included; 0 where the modality is absent."""
        sizes = [np.diff(offsets) for offsets, *_ in self._flat]
        return np.array([sizes[b][r] for b, r in zip(self._batch_of, self._row_in_batch, strict=True)], dtype=np.int64)

    @cached_property
    def present(self) -> Bools:
        """(N,) whether the row has at least one frame that is not masked."""
        masked = [np.diff(offsets) for _, _, offsets, _ in self._flat]
        hidden = np.array(
            [masked[b][r] for b, r in zip(self._batch_of, self._row_in_batch, strict=True)], dtype=np.int64
        )
        return self.lengths > hidden

    def __getitem__(self, row: int) -> tuple[Floats, Bools]:
        """Values (T, D), a view of the memory map with NaN in masked frames, and mask (T,), True where real."""
        b, r = self._batch_of[row], self._row_in_batch[row]
        offsets, values, masked_offsets, masked = self._flat[b]
        frames = values[offsets[r] : offsets[r + 1]]
        mask = np.ones(len(frames), dtype=np.bool_)
        mask[masked[masked_offsets[r] : masked_offsets[r + 1]]] = False
        return frames, mask

    def gather(self, rows: Ints) -> tuple[Floats, Bools]:
        """Values (N, T, D) and mask (N, T) of several rows, padded to the longest; masked and padded values are 0."""
        longest = max(1, int(self.lengths[rows].max(initial=0)))
        values = np.zeros((len(rows), longest, self.dim), dtype=np.float32)
        mask = np.zeros((len(rows), longest), dtype=np.bool_)
        for n, row in enumerate(rows):
            frames, real = self[row]
            values[n, : len(frames)] = frames
            mask[n, : len(frames)] = real
        values[~mask] = 0.0
        return values, mask

    def times(self, row: int) -> NDArray[np.float64] | None:
        """(T,) frame times in seconds, or None where the corpus does not know them."""
        column = self._batches[self._batch_of[row]].column("times")
        value = column[int(self._row_in_batch[row])]
        return np.array(value.as_py(), dtype=np.float64) if value.is_valid else None


@dataclass(frozen=True)
class Part:
    """Some rows of a corpus, in corpus order: what a split looks like to everything that reads one."""

    name: str
    corpus: "Corpus"
    rows: Ints

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def _table(self) -> pa.Table:
        return self.corpus.table.take(pa.array(self.rows))

    @cached_property
    def videos(self) -> list[str]:
        return self._table.column("video").to_pylist()  # type: ignore[no-any-return]

    @cached_property
    def indices(self) -> Ints:
        return self._table.column("index").to_numpy()  # type: ignore[no-any-return]

    @cached_property
    def labels(self) -> Floats:
        """(N,) float32."""
        return self._table.column("label").to_numpy().astype(np.float32)  # type: ignore[no-any-return]

    @cached_property
    def texts(self) -> list[str | None]:
        return self._table.column("text").to_pylist()  # type: ignore[no-any-return]

    @cached_property
    def speakers(self) -> list[str | None]:
        return self._table.column("speaker").to_pylist()  # type: ignore[no-any-return]

    @cached_property
    def ids(self) -> list[str]:
        """`video/index` of each row."""
        return [f"{video}/{index}" for video, index in zip(self.videos, self.indices, strict=True)]

    @cached_property
    def video_codes(self) -> Ints:
        """(N,) videos as numbers from 0, in order of appearance."""
        codes: dict[str, int] = {}
        return np.array([codes.setdefault(video, len(codes)) for video in self.videos], dtype=np.int64)

    @cached_property
    def speaker_codes(self) -> Ints:
        """(N,) speakers as numbers from 0; -1 where unknown."""
        codes: dict[str, int] = {}
        return np.array(
            [-1 if speaker is None else codes.setdefault(speaker, len(codes)) for speaker in self.speakers],
            dtype=np.int64,
        )

    def utterance(self, row: int) -> Utterance:
        """The record of one row, numbered from 0 within this part."""
        return _utterance(self._table.slice(row, 1).to_pylist()[0])

    def __iter__(self) -> Iterator[Utterance]:
        return map(_utterance, self._table.to_pylist())

    @cached_property
    def features(self) -> Mapping[str, RaggedFeatures]:
        """By modality, audio before vision: the stored features of these rows."""
        return {name: self.corpus.features(name, self.rows) for name in self.corpus.info.features}


class TrainingParts(NamedTuple):
    """What learning may see."""

    train: Part
    valid: Part


class Corpus:
    """An opened corpus. Opening reads the utterances' table and maps the rest."""

    def __init__(self, path: Path, info: CorpusInfo, table: pa.Table) -> None:
        self.path = path
        self.info = info
        self.table = table
        self._batches: dict[str, list[pa.RecordBatch]] = {}

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Opens a corpus.

        Args:
            path: its folder, or the name of one in `PACKAGED`.

        Raises:
            CorpusError: nothing there, not a corpus, of another schema version, or damaged.
        """
        path = PACKAGED.get(str(path), Path(path))
        description = path / "corpus.json"
        if not description.is_file():
            beside = (
                [p.name for p in path.parent.glob("*") if (p / "corpus.json").is_file()] if path.parent.is_dir() else []
            )
            raise CorpusError(
                f"no corpus at {path}: it has no corpus.json. {did_you_mean(path.name, beside)} "
                "A corpus is made by `mmmie import` or `mmmie generate`.".replace("  ", " ")
            )
        info = CorpusInfo.from_json(description.read_text(encoding="utf-8"), str(description))
        table = pa.Table.from_batches(_map(path / "utterances.arrow"))
        return cls(path, info, table)

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @cached_property
    def splits(self) -> NDArray[np.str_]:
        return np.array(self.table.column("split").to_pylist(), dtype=np.str_)

    def _part(self, name: str) -> Part:
        return Part(name, self, np.flatnonzero(self.splits == name))

    def training(self) -> TrainingParts:
        """The train and valid splits: all that learning may see.

        Raises:
            CorpusError: one of the two is empty.
        """
        parts = TrainingParts(self._part("train"), self._part("valid"))
        for part in parts:
            if not len(part):
                raise CorpusError(
                    f"{self.path} has no utterances in its {part.name} split. Make splits by video with "
                    f"`mmmie resplit {self.path} --out NEW.corpus`."
                )
        return parts

    def test(self) -> Part:
        """The test split. `mmmie.evidence.evaluation` is the one place that calls this.

        Raises:
            CorpusError: it is empty.
        """
        part = self._part("test")
        if not len(part):
            raise CorpusError(
                f"{self.path} has no test split. Make one by video with `mmmie resplit {self.path} --out NEW.corpus`."
            )
        return part

    def unlabelled(self) -> Part:
        """The rows to be predicted, whose labels nobody knows.

        Raises:
            CorpusError: there are none.
        """
        part = self._part(UNLABELLED)
        if not len(part):
            raise CorpusError(f"{self.path} has no rows without a label")
        return part

    def everything(self) -> Part:
        """All rows whatever their split, for audits and copies: never for learning or evaluation."""
        return Part("everything", self, np.arange(len(self)))

    def features(self, modality: str, rows: Ints) -> RaggedFeatures:
        if modality not in self._batches:
            batches = _map(self.path / f"{modality}.arrow")
            if sum(len(b) for b in batches) != len(self):
                raise CorpusError(
                    f"{self.path / modality}.arrow does not have the rows of utterances.arrow. Import again."
                )
            self._batches[modality] = batches
        return RaggedFeatures(self._batches[modality], rows, self.info.features[modality].dim)


def _map(path: Path) -> list[pa.RecordBatch]:
    try:
        with pa.memory_map(str(path)) as source:
            reader = pa.ipc.open_file(source)
            return [reader.get_batch(i) for i in range(reader.num_record_batches)]
    except (OSError, pa.ArrowInvalid) as error:
        raise CorpusError(f"cannot read {path}: {error}. Import the corpus again.") from None


def _utterance(row: dict[str, Any]) -> Utterance:
    words = tuple(Word(w["word"], w["start"], w["end"]) for w in row.pop("words") or ())
    return Utterance(**row, words=words)
