"""Parquet: the table of the CSV with its types, and with units and meanings in the metadata of its fields."""

import json
from pathlib import Path
from typing import Any

from mmmie.analysis.columns import columns, rows
from mmmie.analysis.result import Result
from mmmie.evidence.predictions import replacing


def write(result: Result, path: str | Path) -> tuple[str, ...]:
    """Writes a row an utterance; strings are as they were said, missing cells are null."""
    import pyarrow.parquet as pq

    with replacing(path) as temporary:
        pq.write_table(as_arrow(result), temporary)
    return ()


def as_arrow(result: Result) -> Any:
    """The table as a `pyarrow.Table`."""
    import pyarrow as pa

    types = {"string": pa.string(), "float64": pa.float64(), "int64": pa.int64(), "bool": pa.bool_()}
    fields = [
        pa.field(c.name, types[c.dtype], metadata={"unit": c.unit, "meaning": c.meaning}) for c in columns(result)
    ]
    about = {"schema_version": result.schema_version, "media": result.media.name, "sha256": result.media.sha256}
    schema = pa.schema(fields, metadata={"mmmie": json.dumps(about)})
    return pa.table(list(rows(result).values()), schema=schema)
