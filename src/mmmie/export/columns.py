"""`columns.json`, the data dictionary: what each column of `utterances.csv` and `utterances.parquet` is."""

import json
from pathlib import Path

from mmmie.analysis.columns import columns
from mmmie.analysis.result import Result
from mmmie.evidence.predictions import replacing

CSV_CONVENTIONS = {
    "encoding": "UTF-8 without a byte order mark; in a spreadsheet choose UTF-8 at import.",
    "missing": "An empty cell: no value, or an empty string.",
    "bool": "true or false.",
    "formulas": "A string whose first character, after any apostrophes, is one of = + - @, their full-width forms, a "
    "tab or a line break gets an apostrophe in front, so that no spreadsheet computes it. Take off one "
    "apostrophe to have the string back. Numbers are left alone.",
}


def write(result: Result, path: str | Path) -> tuple[str, ...]:
    """Writes the dictionary as JSON: `columns` (name, dtype, unit, meaning), in order, and the CSV's conventions."""
    dictionary = {
        "row": "One utterance.",
        "clock": result.media.clock,
        "columns": [{"name": c.name, "dtype": c.dtype, "unit": c.unit, "meaning": c.meaning} for c in columns(result)],
        "csv": CSV_CONVENTIONS,
    }
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(dictionary, indent=2, ensure_ascii=False) + "\n", "utf-8", newline="\n")
    return ()
