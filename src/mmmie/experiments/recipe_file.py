"""A recipe as a TOML file that `Recipe.load` reads back as it was."""

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mmmie.errors import RecipeError
from mmmie.evidence.predictions import replacing
from mmmie.settings import NULLABLE, Recipe


def write_recipe(recipe: Recipe, path: Path, comment: str, base: Path) -> None:
    """Writes every setting of a recipe.

    Args:
        recipe: a `start_from` that names a recipe is rewritten, so that it is found from the new place.
        path: the file.
        comment: lines for its head.
        base: folder of the recipe file that it came from.

    Raises:
        RecipeError: what was written does not read back as the same recipe, which is a fault of ours.
        EvidenceError: the file cannot be written.
    """
    if recipe.start_from.endswith(".toml"):
        moved = os.path.relpath((base / recipe.start_from).resolve(), path.resolve().parent)
        recipe = recipe.model_copy(update={"start_from": Path(moved).as_posix()})
    head = "".join(f"# {line}\n" for line in comment.splitlines())
    with replacing(path) as temporary:
        temporary.write_text(head + "\n".join(_lines(recipe.model_dump())) + "\n", encoding="utf-8")
        if Recipe.load(temporary) != recipe:
            raise RecipeError(f"{path} would not be the recipe it was written from. Please report this.")


def _lines(values: Mapping[str, Any], section: str = "") -> Iterator[str]:
    tables = {key: value for key, value in values.items() if isinstance(value, Mapping)}
    for key, value in values.items():
        if key not in tables and (value is not None or key in NULLABLE):
            yield f"{_key(key)} = {_value(value)}"
    for key, value in tables.items():
        name = f"{section}.{_key(key)}" if section else _key(key)
        yield f"\n[{name}]"
        yield from _lines(value, name)


def _key(key: str) -> str:
    return key if key.isascii() and key.replace("-", "").replace("_", "").isalnum() else json.dumps(key)


def _value(value: Any) -> str:
    if value is None:
        return '"none"'
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
