"""Results as files that other tools open; a file a format, a row in `FORMATS` a format.

Every `write(result, path)` gives the same bytes for the same result, writes whole or not at all, and returns notes on
what the format could not hold as it was. What is said stays text in all of them: each file's head says how.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mmmie.analysis.result import Result
from mmmie.errors import EvidenceError, did_you_mean
from mmmie.export import columns, csv_, elan, labelstudio, parquet, srt, textgrid, webvtt


@dataclass(frozen=True)
class Format:
    """The name of the file in the folder of the results, and what writes it."""

    file: str
    write: Callable[[Result, str | Path], tuple[str, ...]]


FORMATS: dict[str, Format] = {
    "csv": Format("utterances.csv", csv_.write),
    "parquet": Format("utterances.parquet", parquet.write),
    "columns": Format("columns.json", columns.write),
    "vtt": Format("utterances.vtt", webvtt.write),
    "srt": Format("utterances.srt", srt.write),
    "elan": Format("utterances.eaf", elan.write),
    "textgrid": Format("utterances.TextGrid", textgrid.write),
    "labelstudio": Format("labelstudio.json", labelstudio.write),
}


def export_all(result: Result, folder: str | Path, formats: tuple[str, ...] = tuple(FORMATS)) -> tuple[str, ...]:
    """Writes a result into a folder in these formats, and returns notes such as `utterances.TextGrid: ...`.

    Raises:
        EvidenceError: an unknown format, or a file that cannot be written.
    """
    for name in formats:
        if name not in FORMATS:
            raise EvidenceError(f"there is no export format '{name}'. {did_you_mean(name, FORMATS)}")
    chosen = [FORMATS[name] for name in formats]
    return tuple(f"{f.file}: {note}" for f in chosen for note in f.write(result, Path(folder) / f.file))
