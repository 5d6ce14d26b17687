"""How often a test split was opened: the one number that no metric shows."""

import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from mmmie.errors import EvidenceError
from mmmie.settings import Recipe

if TYPE_CHECKING:
    from mmmie.learning.run import Run

OPENINGS_FILE = "test_openings.jsonl"


@dataclass(frozen=True)
class Openings:
    """How often a test split had been opened before, as its own count tells; copies of a corpus count from zero."""

    before: int
    before_by_run: int
    recipes_before: int
    """Different recipes, seeds aside: each is one more choice that the test split could have steered."""
    counted_in: str
    """`corpus`, or `run` where the corpus folder cannot be written, which then knows of this run only."""

    def __str__(self) -> str:
        if self.counted_in == "run":
            known = (
                f"{_times(self.before_by_run)} before by this run; others are unknown: the corpus folder is read-only"
            )
            return f"Test split opened {known}."
        if not self.before:
            return "Test split opened for the first time."
        return (
            f"Test split opened {_times(self.before)} before, by {self.recipes_before} "
            f"recipe{'s' * (self.recipes_before != 1)}; {_times(self.before_by_run)} by this run."
        )


def recipe_hash(recipe: Recipe) -> str:
    """16 hex digits over the recipe of a run, as its recipe.json states it, without its seed.

    Settings that a later version of mmmie knows besides do not count: a run keeps its hash.
    """
    stated = recipe.model_dump_json(exclude_unset=True, exclude={"training": {"seed"}})
    return sha256(stated.encode()).hexdigest()[:16]


def record_opening(run: "Run", corpus_path: Path) -> Openings:
    """Appends a line to the corpus' `test_openings.jsonl`, or to the run's where the corpus cannot be written.

    Raises:
        EvidenceError: neither can be written: an opening that is not counted does not happen.
    """
    line = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "run": run.name,
        "seed": run.seed,
        "path": str(run.path.resolve()),
        "recipe": recipe_hash(run.recipe),
    }
    errors = []
    for counted_in, folder in (("corpus", corpus_path), ("run", run.path)):
        try:
            earlier = _append(folder / OPENINGS_FILE, json.dumps(line, ensure_ascii=False))
        except OSError as error:
            errors.append(str(error))
            continue
        return Openings(
            before=len(earlier),
            before_by_run=sum(e.get("path") == line["path"] for e in earlier),
            recipes_before=len({e.get("recipe") for e in earlier}),
            counted_in=counted_in,
        )
    raise EvidenceError(f"the opening of the test split cannot be counted: {'; '.join(errors)}. Make one writable.")


def _append(path: Path, line: str) -> list[dict[str, object]]:
    with open(path, "a+", encoding="utf-8") as file:
        file.seek(0)
        earlier = [_parse(text) for text in file.read().splitlines() if text.strip()]
        file.seek(0, os.SEEK_END)
        file.write(line + "\n")
    return earlier


def _parse(text: str) -> dict[str, object]:
    """A line someone damaged still counts as an opening."""
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _times(n: int) -> str:
    return {1: "once", 2: "twice"}.get(n, f"{n} times")
