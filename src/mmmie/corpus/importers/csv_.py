"""Importer of tables: utterances in a CSV file, features in npz or npy files, word times in a second CSV file."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from mmmie.corpus.importers.arrays import UtteranceArrays
from mmmie.corpus.importers.settings import CsvSettings
from mmmie.corpus.importers.sources import (
    Record,
    Source,
    in_corpus_order,
    label_of,
    number,
    sizes_of,
    split_of,
    whole_number,
)
from mmmie.corpus.importers.tables import Row, Table, read_table
from mmmie.corpus.schema import Utterance, Word
from mmmie.corpus.writer import Frames
from mmmie.errors import CorpusError

Words = dict[tuple[str, int], list[Word]]


def read(settings: CsvSettings, folder: Path) -> Source:
    """Reads a table and what lies beside it; file names are relative to `folder`.

    Raises:
        CorpusError: a file, column or key is missing; a cell is not what it must be; an array has the wrong length.
    """
    table = read_table(folder / settings.table)
    records = list(_records(table, settings))
    files, notes = [table.path], {}
    if settings.texts:
        other = read_table(folder / settings.texts)
        files.append(other.path)
        texts = _texts(other, settings)
        records = [_with_text(record, texts, other.path) for record in records]
    if settings.words:
        times = read_table(folder / settings.words)
        files.append(times.path)
        words = _words(times, settings)
        records = [_with_words(record, words) for record in records]
        known = {(r.utterance.video, r.utterance.index) for r in records}
        if strangers := sum(key not in known for key in words):
            notes[f"utterances of {settings.words} that {settings.table} does not know"] = strangers
    arrays: dict[str, UtteranceArrays] = {}
    for modality, feature in settings.features.items():
        path = folder / feature.file
        arrays[modality] = UtteranceArrays(path, modality, feature, (settings.columns.video, settings.columns.index))
        arrays[modality].check(len(records))
        files.append(path)
        if strangers := arrays[modality].unused(records):
            notes[f"rows of {feature.file} that {settings.table} does not know"] = strangers
    ordered = in_corpus_order(records)
    return Source(
        files=tuple(files),
        features={modality: array.info for modality, array in arrays.items()},
        cleaning=settings.features,
        sizes=sizes_of(records),
        rows=_rows(ordered, arrays),
        notes=notes,
    )


def _rows(
    records: list[Record], arrays: dict[str, UtteranceArrays]
) -> Iterator[tuple[Record, dict[str, Frames | None]]]:
    for record in records:
        yield record, {modality: array.frames(record) for modality, array in arrays.items()}


def _records(table: Table, settings: CsvSettings) -> Iterator[Record]:
    columns = settings.columns
    split, video, index, label = (
        table.column(getattr(columns, key), f"columns.{key}") for key in ("split", "video", "index", "label")
    )
    start, end, text, speaker = (
        table.optional_column(getattr(columns, key), f"columns.{key}", key in columns.model_fields_set)
        if key != "text" or not settings.texts
        else None
        for key in ("start", "end", "text", "speaker")
    )
    for position, row in enumerate(table.rows):
        cells = row.cells
        if not cells[video]:
            raise CorpusError(f"{row.place}: column '{video}' is empty, expected the name of the video")
        utterance = Utterance(
            video=cells[video],
            index=whole_number(cells[index], index, row.place),
            split=split_of(cells[split], settings, row.place),
            label=label_of(number(cells[label], label, row.place), settings, row.place),
            start=_time(row, start),
            end=_time(row, end),
            speaker=(cells[speaker] or None) if speaker else None,
            text=cells[text] if text else None,
        )
        yield Record(utterance, row.place, position)


def _time(row: Row, column: str | None) -> float | None:
    return number(row.cells[column], column, row.place) if column and row.cells[column] else None


def _texts(table: Table, settings: CsvSettings) -> dict[tuple[str, int], str]:
    columns = settings.columns
    video, index, text = (table.column(getattr(columns, key), f"columns.{key}") for key in ("video", "index", "text"))
    return {(row.cells[video], whole_number(row.cells[index], index, row.place)): row.cells[text] for row in table.rows}


def _with_text(record: Record, texts: dict[tuple[str, int], str], path: Path) -> Record:
    utterance = record.utterance
    key = (utterance.video, utterance.index)
    if key not in texts:
        raise CorpusError(f"{record.place}: {path} has no row for video {key[0]}, utterance {key[1]}")
    return replace(record, utterance=replace(utterance, text=texts[key]))


def _words(table: Table, settings: CsvSettings) -> Words:
    names = settings.word_columns
    video = table.column(names.video or settings.columns.video, "word_columns.video")
    index = table.column(names.index or settings.columns.index, "word_columns.index")
    word, start, end = (table.column(getattr(names, key), f"word_columns.{key}") for key in ("word", "start", "end"))
    words: Words = {}
    for row in table.rows:
        cells = row.cells
        found = words.setdefault((cells[video], whole_number(cells[index], index, row.place)), [])
        if cells[word].strip() and cells[word] not in settings.silence:
            found.append(Word(cells[word], number(cells[start], start, row.place), number(cells[end], end, row.place)))
    return words


def _with_words(record: Record, words: Words) -> Record:
    utterance = record.utterance
    found = words.get((utterance.video, utterance.index), ())
    return replace(record, utterance=replace(utterance, words=tuple(found)))
