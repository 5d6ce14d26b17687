"""Tables of a study as Markdown and CSV, written whole."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmmie.evidence.predictions import replacing


def as_markdown(rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table, the first row a header."""
    header, *body = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return [header, "|---|" + "---:|" * (len(rows[0]) - 1), *body]


def as_csv(records: Sequence[Mapping[str, Any]]) -> str:
    """A row a record, a column a key, in the order of their first coming."""
    text = io.StringIO(newline="")
    names = list(dict.fromkeys(name for record in records for name in record))
    writer = csv.DictWriter(text, names, lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows(records)
    return text.getvalue()


def write_all(folder: Path, texts: Mapping[str, str]) -> list[Path]:
    """Writes files by name into a folder. Raises EvidenceError: one cannot be written."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        with replacing(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8", newline="")
    return [folder / name for name in texts]
