"""The JSON Schema of `result.json`, published as `docs/result.schema.json`."""

import json
from pathlib import Path
from typing import Any

from mmmie.analysis.result import SCHEMA_VERSION, Result
from mmmie.evidence.predictions import replacing


def result_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of `result.json`."""
    schema = Result.model_json_schema(mode="serialization")
    title = f"The result of an analysis by mmmie, schema version {SCHEMA_VERSION}"
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": title}


def write_schema(path: str | Path) -> None:
    """Writes the schema as JSON; `python -m mmmie.analysis.schema PATH` does it from the shell.

    Raises:
        EvidenceError: the file cannot be written.
    """
    with replacing(path) as temporary:
        text = json.dumps(result_schema(), indent=2, ensure_ascii=False) + "\n"
        temporary.write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    import sys

    write_schema(sys.argv[1])
