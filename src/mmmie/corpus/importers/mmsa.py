"""Importer of MMSA pickles: a dict of splits with padded arrays, aligned or not, and `id` as `video$_$segment`."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mmmie.corpus.importers.frames import Sequences, described
from mmmie.corpus.importers.pickles import read_pickle
from mmmie.corpus.importers.settings import MmsaFeatureSettings, MmsaSettings
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
from mmmie.corpus.schema import FeatureInfo, Utterance
from mmmie.errors import CorpusError, did_you_mean

SEPARATOR = "$_$"


def read(settings: MmsaSettings, folder: Path) -> Source:
    """Reads a pickle through the allow-list of `pickles.py`.

    Of each split `id`, `raw_text`, `regression_labels`, `audio`, `vision`, and `audio_lengths` and `vision_lengths`
    where they are there; the text features and the classification labels are ignored.

    Raises:
        CorpusError: the pickle is hostile or damaged, a key is missing, or a row is not what it must be.
    """
    path = folder / settings.file
    splits = read_pickle(path)
    if not isinstance(splits, dict) or not splits:
        raise CorpusError(f"{path}: expected a dict of splits, not {type(splits).__name__}")
    records: list[Record] = []
    features: dict[str, FeatureInfo] = {}
    sequences: dict[tuple[str, str], Sequences] = {}
    stated = settings.features or _present(next(iter(splits.values())))
    for name, content in splits.items():
        split = split_of(str(name), settings, str(path))
        place = f"{path}, split '{name}'"
        if not isinstance(content, dict):
            raise CorpusError(f"{place}: expected a dict, not {type(content).__name__}")
        found = list(_records(content, split, settings, place))
        records += found
        for modality, feature in stated.items():
            lengths = content.get(f"{modality}_lengths")
            part = Sequences.checked(
                _array(content, modality, place),
                None if lengths is None else np.asarray(lengths),
                len(found),
                f"{place}, '{modality}'",
            )
            sequences[split, modality] = part
            info = described(feature, part.dim, part.level, f"{place}, '{modality}'")
            if features.setdefault(modality, info) != info:
                raise CorpusError(f"{place}: '{modality}' has {info.dim} columns, expected {features[modality].dim}")
    return Source(
        files=(path,),
        features=features,
        cleaning=stated,
        sizes=sizes_of(records),
        rows=(
            (record, {m: sequences[record.utterance.split, m].frames(record.row) for m in stated})
            for record in in_corpus_order(records)
        ),
    )


def _present(content: Any) -> dict[Any, MmsaFeatureSettings]:
    return {m: MmsaFeatureSettings() for m in ("audio", "vision") if isinstance(content, dict) and m in content}


def _records(content: Mapping[str, Any], split: str, settings: MmsaSettings, place: str) -> Iterator[Record]:
    ids = _texts(content, "id", place)
    labels = np.asarray(_value(content, "regression_labels", place))
    texts = _texts(content, "raw_text", place) if "raw_text" in content else None
    for name, rows in (("regression_labels", labels.size), ("raw_text", len(ids if texts is None else texts))):
        if rows != len(ids):
            raise CorpusError(f"{place}: {rows} entries in '{name}', but {len(ids)} in 'id'")
    for row, (identifier, label) in enumerate(zip(ids, labels.reshape(-1), strict=True)):
        where = f"{place}, row {row}"
        video, separator, segment = identifier.rpartition(SEPARATOR)
        if not separator or not video:
            raise CorpusError(f"{where}: id {identifier!r}, expected video{SEPARATOR}segment")
        utterance = Utterance(
            video=video,
            index=whole_number(segment, "the segment of its id", where),
            split=split,
            label=label_of(number(str(label), "the regression label", where), settings, where),
            text=None if texts is None else texts[row],
        )
        yield Record(utterance, where, row)


def _value(content: Mapping[str, Any], key: str, place: str) -> Any:
    if key not in content:
        raise CorpusError(f"{place}: no key '{key}'. {did_you_mean(key, map(str, content))}")
    return content[key]


def _array(content: Mapping[str, Any], key: str, place: str) -> Any:
    try:
        return np.asarray(_value(content, key, place))
    except ValueError as error:
        raise CorpusError(f"{place}: '{key}' is not an array: {error}") from None


def _texts(content: Mapping[str, Any], key: str, place: str) -> list[str]:
    value = _value(content, key, place)
    if not isinstance(value, list | tuple | np.ndarray):
        raise CorpusError(f"{place}: '{key}' is {type(value).__name__}, expected a list of texts")
    flat = np.ravel(value).tolist() if isinstance(value, np.ndarray) else value
    return [v.decode("utf-8", "replace") if isinstance(v, bytes) else str(v) for v in flat]
