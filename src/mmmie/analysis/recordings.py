"""Labelled recordings and pictures as a corpus, read by the very extractors that read a video when it is analyzed.

Each file is a video of one utterance, so that no context leaks from one recording of a person to the next.
"""

import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field

from mmmie.corpus.importers.settings import FeatureModality, ImportSettings
from mmmie.corpus.importers.sources import label_of, number, sha256, split_of
from mmmie.corpus.importers.tables import Row, Table, read_table
from mmmie.corpus.schema import CorpusInfo, FeatureInfo, Utterance
from mmmie.corpus.store import Corpus, Floats
from mmmie.corpus.writer import CorpusWriter, Frames
from mmmie.errors import CorpusError
from mmmie.settings import Settings

Choice = dict[str, tuple[str, ...]]
"""Column -> values; a row is chosen that has one of the values in each of the columns."""


class RecordingColumns(Settings):
    """The table's names."""

    path: str = "path"
    """Of the file, relative to the table."""
    speaker: str = "speaker"
    label: str = "label"
    split: str = "split"


class RecordingsSettings(ImportSettings):
    """A table of labelled sound files or pictures."""

    format: Literal["recordings"]
    modality: FeatureModality
    """What the files are read for: `audio`, the voice in sound files; `vision`, the face in pictures."""
    table: str = "recordings.csv"
    columns: RecordingColumns = RecordingColumns()
    only: Choice = Field({})
    """Which rows are taken; empty: all."""
    test: Choice = Field({})
    """Rows that go to the split test whatever the table says: a set that is to be unseen. Empty: none."""


@dataclass(frozen=True)
class _Reader:
    info: FeatureInfo
    read: Callable[[Iterable[Path]], Iterable[tuple[Floats | None, str]]]
    """Each file's vector (D,), or None and why there is none."""


def import_recordings(settings: RecordingsSettings, folder: str | Path, out: str | Path) -> Corpus:
    """Reads every file of a table and opens the corpus that comes of it.

    Files in which nothing is found (no voice, no face) are left out, and counted by reason in the corpus' notes.

    Raises:
        CorpusError: a file is missing or no media, a cell is not what it must be, or nothing is chosen.
        MmmieError: a library or a network's file is missing.
    """
    table = read_table(Path(folder) / settings.table)
    rows = [row for row in table.rows if settings.only == {} or _chosen(row, table, settings.only, "only")]
    if not rows:
        raise CorpusError(f"{table.path}: no row is chosen by only = {settings.only}. Correct the values.")
    reader = _voice_reader() if settings.modality == "audio" else _face_reader()
    info = CorpusInfo(
        name=settings.name,
        label_min=settings.label.min,
        label_max=settings.label.max,
        label_meaning=settings.label.meaning,
        features={settings.modality: reader.info},
        source=settings.source,
        licence=settings.licence,
        checksums={settings.table: sha256(table.path)},
        notes={"recordings": len(rows)},
    )
    left_out: Counter[str] = Counter()
    utterances = [_utterance(row, table, settings) for row in rows]
    paths = [table.path.parent / utterance.video for utterance in utterances]
    for path, row in zip(paths, rows, strict=True):
        if not path.is_file():
            raise CorpusError(f"{row.place}: there is no file {path}")
    with CorpusWriter(out, info) as writer:
        for utterance, (vector, missing) in zip(utterances, reader.read(paths), strict=True):
            if vector is None:
                left_out[missing] += 1
            else:
                writer.add(utterance, {settings.modality: Frames(vector[None])})
        if left_out:
            info.notes["recordings left out"] = dict(left_out)
    return Corpus.open(out)


def _chosen(row: Row, table: Table, choice: Mapping[str, Sequence[str]], key: str) -> bool:
    return all(row.cells[table.column(column, f"{key}.{column}")] in values for column, values in choice.items())


def _utterance(row: Row, table: Table, settings: RecordingsSettings) -> Utterance:
    path, speaker, label, split = (
        table.column(getattr(settings.columns, key), f"columns.{key}") for key in ("path", "speaker", "label", "split")
    )
    cells = row.cells
    unseen = bool(settings.test) and _chosen(row, table, settings.test, "test")
    return Utterance(
        video=cells[path],
        index=0,
        split="test" if unseen else split_of(cells[split], settings, row.place),
        label=label_of(number(cells[label], label, row.place), settings, row.place),
        speaker=cells[speaker] or None,
    )


def _voice_reader() -> _Reader:
    from mmmie.features.voice import VoiceExtractor
    from mmmie.media.audio import decode_audio
    from mmmie.media.files import probe

    extractor = VoiceExtractor.load()

    def read(paths: Iterable[Path]) -> Iterator[tuple[Floats | None, str]]:
        for path in paths:
            with tempfile.TemporaryDirectory() as scratch:
                audio = decode_audio(probe(path), Path(scratch) / "sound.s16")
                features = extractor(audio.read(0.0, audio.duration_seconds))
            yield (None if features.missing else features.vector), features.missing

    return _Reader(extractor.info, read)


def _face_reader() -> _Reader:
    from mmmie.features import face
    from mmmie.media.crops import read_picture

    def read(paths: Iterable[Path]) -> Iterator[tuple[Floats | None, str]]:
        features = face.read_pictures(map(read_picture, paths))
        for vector, present in zip(features.values, features.present, strict=True):
            yield (vector if present else None), "no face"

    return _Reader(face.info(), read)
