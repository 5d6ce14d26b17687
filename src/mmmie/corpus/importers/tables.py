"""CSV tables, read strictly: every mistake is named with its line."""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from mmmie.corpus.importers.sources import existing
from mmmie.errors import CorpusError, did_you_mean


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a table and the line at which it begins."""

    cells: dict[str, str]
    place: str


@dataclass(frozen=True)
class Table:
    """A CSV file with a header."""

    path: Path
    columns: tuple[str, ...]
    rows: list[Row]

    def column(self, name: str, key: str) -> str:
        """`name`, where the table has such a column; `key` is the setting that names it, for the error."""
        if name in self.columns:
            return name
        raise CorpusError(
            f"{self.path}: no column '{name}'. {did_you_mean(name, self.columns)} "
            f'Columns of other names are stated as {key} = "NAME".'
        )

    def optional_column(self, name: str, key: str, stated: bool) -> str | None:
        """As `column`, but None where the setting was not stated and nothing of a like name is there."""
        like = [c for c in self.columns if c.strip().casefold() == name.casefold()]
        if name in self.columns or stated or like or get_close_matches(name, self.columns, n=1, cutoff=0.8):
            return self.column(name, key)
        return None


def read_table(path: Path) -> Table:
    """Reads a CSV file: UTF-8 (a byte order mark is skipped), comma separated, quotes where needed.

    Raises:
        CorpusError: no such file, not UTF-8, no header, a column name twice, or a row with too few or many cells.
    """
    raw = existing(path).read_bytes()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise CorpusError(
            f"{path}, line {line}: not UTF-8 (byte 0x{raw[error.start]:02x}). Save the table as UTF-8."
        ) from None
    lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = next(lines, None)
        if not header:
            raise CorpusError(f"{path} is empty: expected a header and rows")
        twice = sorted({name for name in header if header.count(name) > 1})
        if twice:
            raise CorpusError(f"{path}: column '{twice[0]}' comes twice in the header")
        return Table(path, tuple(header), list(_rows(path, header, lines)))
    except csv.Error as error:
        raise CorpusError(f"{path}, line {lines.line_num}: {error}") from None


def _rows(path: Path, header: list[str], lines: Any) -> Iterator[Row]:
    begin = lines.line_num + 1
    for cells in lines:
        place = f"{path}, line {begin}"
        begin = lines.line_num + 1
        if not cells:
            continue
        if len(cells) != len(header):
            raise CorpusError(f"{place}: {len(cells)} cells, expected {len(header)} ({', '.join(header)})")
        yield Row(dict(zip(header, cells, strict=True)), place)
