"""From a source in its own format to a corpus: what all formats have in common, and what is noted on the way."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

from mmmie.corpus.importers.frames import cleaned
from mmmie.corpus.importers.settings import AnyImport
from mmmie.corpus.importers.sources import Record, Source, sha256
from mmmie.corpus.schema import MODALITIES, SPLITS, CorpusInfo, Utterance
from mmmie.corpus.store import Corpus
from mmmie.corpus.writer import CorpusWriter, Frames
from mmmie.errors import CorpusError

READERS = {"csv": "csv_", "h5": "h5", "mmsa": "mmsa", "cmu-sdk": "cmu_sdk"}
"""Format -> its file in this folder, which defines `read(settings, folder) -> Source`."""


def import_corpus(settings: AnyImport, folder: str | Path, out: str | Path) -> Corpus:
    """Imports a source and opens the corpus that comes of it.

    The corpus is there whole or not at all. What was left out, masked, clamped or found odd stands in its notes.

    Args:
        settings: from `load_import` or `parse_import`.
        folder: where the file names of the settings are looked up, or which holds the folder that they name.
        out: the corpus folder to be made.

    Raises:
        CorpusError: a file is not as the settings say (named with line or row), the sizes of the splits are not those
            of the full set, or `out` exists or cannot be written.
    """
    read: Callable[[AnyImport, Path], Source] = import_module(f"{__package__}.{READERS[settings.format]}").read
    inside = Path(folder) / settings.folder
    folder = inside if inside.is_dir() else Path(folder)
    source = read(settings, folder)
    absent = _check_sizes(source, settings)
    info = CorpusInfo(
        name=settings.name,
        label_min=settings.label.min,
        label_max=settings.label.max,
        label_meaning=settings.label.meaning,
        features={m: source.features[m] for m in MODALITIES if m in source.features},
        source=settings.source,
        licence=settings.licence,
        checksums={_relative(path, folder): sha256(path) for path in source.files},
    )
    found: Counter[str] = Counter()
    left_out: Counter[str] = Counter(source.left_out)
    jumps: list[str] = []
    try:
        with CorpusWriter(out, info) as writer:
            for utterance, frames in _prepared(source, settings, found, left_out, jumps):
                writer.add(utterance, frames)
            notes: dict[str, Any] = {**source.notes, **found}
            if left_out:
                notes["utterances left out"] = dict(left_out)
            if jumps:
                notes["jumps back in time"] = jumps
            if absent:
                notes["splits not there"] = absent
            writer.info = replace(info, notes=notes)
    except OSError as error:
        raise CorpusError(f"could not write {out}: {error}. Nothing was left behind.") from error
    return Corpus.open(out)


def _check_sizes(source: Source, settings: AnyImport) -> list[str]:
    """The splits that are expected and not there: of these, only test may be missing."""
    absent = []
    for split in SPLITS:
        expected, came = settings.split_sizes.get(split), source.sizes.get(split, 0)  # type: ignore[call-overload]
        if expected is None or came == expected:
            continue
        if split == "test" and came == 0:
            absent.append(split)
            continue
        raise CorpusError(
            f"{settings.name}: {came} utterances in split '{split}', expected {expected}. "
            f"Bring the files to the full set, or state split_sizes.{split} = {came} if this is meant."
        )
    return absent


def _prepared(
    source: Source, settings: AnyImport, found: Counter[str], left_out: Counter[str], jumps: list[str]
) -> Iterator[tuple[Utterance, dict[str, Frames | None]]]:
    """The rows as they are written; what is met on the way is counted in the last three arguments."""
    last: Utterance | None = None
    for record, raw in source.rows:
        utterance, oddities = _tidy(record, settings)
        frames = {m: None if values is None else cleaned(values, source.cleaning[m]) for m, values in raw.items()}
        lacking = [m for m in settings.require if (utterance.text if m == "text" else frames.get(m)) is None]
        if lacking:
            left_out[f"no {' and '.join(lacking)}"] += 1
            continue
        found.update(oddities)
        if last is not None and last.video == utterance.video and _starts_before(utterance, last):
            jumps.append(f"{last.id} to {utterance.id}")
        last = utterance
        yield utterance, frames


def _tidy(record: Record, settings: AnyImport) -> tuple[Utterance, list[str]]:
    """The utterance as it is stored, and what had to be mended."""
    utterance, oddities = record.utterance, []
    if utterance.text is not None and not utterance.text.strip():
        oddities.append("utterances of blank text, imported as without text")
        utterance = replace(utterance, text=None)
    if utterance.start is not None and utterance.end is not None:
        if utterance.end < utterance.start:
            raise CorpusError(
                f"{record.place}: utterance {utterance.id} ends at {utterance.end:g} s, before it starts at "
                f"{utterance.start:g} s"
            )
        if utterance.start < 0:
            oddities.append("negative starts set to 0")
            utterance = replace(utterance, start=0.0, end=max(0.0, utterance.end))
        if utterance.end == utterance.start:
            oddities.append("utterances of zero length")
    if settings.speakers == "one_per_video" and utterance.speaker is None:
        utterance = replace(utterance, speaker=utterance.video)
    return utterance, oddities


def _starts_before(utterance: Utterance, last: Utterance) -> bool:
    return utterance.start is not None and last.start is not None and utterance.start < last.start


def _relative(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.name
