"""CSV for spreadsheets, R and everything else; its conventions are told in `columns.json`.

A transcript is a stranger's text and a spreadsheet computes what looks like a formula: such strings get an apostrophe.
Source: OWASP, CSV Injection.
"""

import csv
from pathlib import Path
from typing import Any

from mmmie.analysis.columns import columns, rows
from mmmie.analysis.result import Result
from mmmie.evidence.predictions import replacing

_STARTS_A_FORMULA = tuple("=+-@\t\r\n＝＋－＠")


def write(result: Result, path: str | Path) -> tuple[str, ...]:
    """Writes a header and a row an utterance, comma separated, quoted where needed, lines ended by CR LF (RFC 4180)."""
    names = [column.name for column in columns(result)]
    cells = rows(result)
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\r\n")  # a lone CR in a text is quoted only because of it
        writer.writerow(names)
        writer.writerows(zip(*(map(_cell, cells[name]) for name in names), strict=True))
    return ()


def as_text(text: str) -> str:
    """The string with an apostrophe in front where a spreadsheet might compute it; one-to-one, so it can be undone."""
    return f"'{text}" if text.lstrip("'").startswith(_STARTS_A_FORMULA) else text


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return as_text(value.replace("\0", "\N{REPLACEMENT CHARACTER}")) if isinstance(value, str) else repr(value)
