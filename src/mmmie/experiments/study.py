"""A study as a TOML file: a question, arms that differ in what is asked about, seeds, corpora."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self, get_args

from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from mmmie.errors import RecipeError, did_you_mean
from mmmie.evidence.metrics import METRICS
from mmmie.settings import Settings

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
MADE_BY_THE_STUDY = {
    "name": "a run is named by its arm",
    "training.seed": "seeds are those of the study (seeds = ...)",
}
"""Keys of a recipe that no override may set, and why."""


class ArmSettings(Settings):
    """One thing that is compared: the study's recipe with other settings, or a recipe of its own."""

    recipe: str | None = None
    """Relative to the study file; None: the study's."""
    set: dict[str, Any] = Field({})
    """Overrides, as dotted keys or nested tables; over those of the study."""


class RangeSettings(Settings):
    """Where a search may draw one key from: `low` to `high` (whole numbers where both are), or one of `choices`."""

    low: float | int | None = None
    high: float | int | None = None
    log: bool = False
    choices: list[bool | int | float | str] = Field([])

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        bounded = self.low is not None and self.high is not None
        if bounded == bool(self.choices) or (self.low is None) != (self.high is None):
            raise ValueError("a range is {low = ..., high = ...}, with log = true or without, or {choices = [...]}")
        if self.low is not None and self.high is not None and not self.low < self.high:
            raise ValueError(f"low ({self.low:g}) must be below high ({self.high:g})")
        if self.log and not (self.low is not None and self.low > 0):
            raise ValueError("log = true needs bounds above 0")
        return self


class SearchSettings(Settings):
    """A randomised search over the ranges of one arm, judged on valid alone."""

    trials: int = Field(30, ge=1)
    ranges: dict[str, RangeSettings]
    arm: str = ""
    """Whose recipe is varied; default: the reference."""
    seeds: int = Field(1, ge=1)
    """Each trial is trained with the first so many seeds of the study; it is judged by their mean."""
    seed: int = Field(0, ge=0)
    """Of the draws."""


class Study(Settings):
    """What a study file holds."""

    name: str = Field(pattern=NAME)
    question: str = ""
    recipe: str | None = None
    """Relative to the study file; arms may have their own."""
    seeds: list[int] = Field(list(range(5)), min_length=1)
    """A number n stands for 0..n-1."""
    corpora: list[str] = Field([])
    """Folders relative to where the command runs; none: the recipe's own."""
    metric: str = "mae"
    reference: str = ""
    """The arm that the others are compared with; default: the first."""
    test_on: list[str] = Field([])
    """Further corpora on whose test split every run is evaluated."""
    folds: bool = False
    """Whether the corpora are the folds of one: their test parts, which are disjoint, are compared as one too."""
    robustness: bool = False
    """Whether every run is scored on damaged test input too; see `evidence.robustness`."""
    information: bool = False
    """Whether what every run's representations hold is measured afresh on valid; see `experiments.information`."""
    set: dict[str, Any] = Field({})
    """Overrides for all arms."""
    arms: dict[str, ArmSettings] = Field(min_length=1)
    search: SearchSettings | None = None

    @field_validator("seeds", mode="before")
    @classmethod
    def _count_stands_for_seeds(cls, seeds: Any) -> Any:
        return list(range(seeds)) if isinstance(seeds, int) and not isinstance(seeds, bool) else seeds

    @field_validator("seeds")
    @classmethod
    def _seeds_differ(cls, seeds: list[int]) -> list[int]:
        if len(set(seeds)) < len(seeds) or min(seeds) < 0:
            raise ValueError("seeds are different numbers from 0 on")
        return seeds

    @field_validator("metric")
    @classmethod
    def _known_metric(cls, metric: str) -> str:
        if metric not in METRICS:
            raise ValueError(f"no metric '{metric}'. {did_you_mean(metric, METRICS)}")
        return metric

    @model_validator(mode="after")
    def _arms_are_there(self) -> Self:
        for what, name in (("reference", self.reference), ("search.arm", self.search.arm if self.search else "")):
            if name and name not in self.arms:
                raise ValueError(f"{what}: no arm '{name}'. {did_you_mean(name, self.arms)}")
        for name, arm in self.arms.items():
            if not _is_name(name):
                raise ValueError(f"arm '{name}': a name has letters, digits, '.', '_' and '-' only: it names a folder")
            if arm.recipe is None and self.recipe is None:
                raise ValueError(f"arm '{name}' has no recipe. Give the study one (recipe = ...), or the arm")
        for where, keys in [("set", self.set), *((f"arms.{n}.set", arm.set) for n, arm in self.arms.items())]:
            for key in flat(keys):
                if key in MADE_BY_THE_STUDY:
                    raise ValueError(f"{where} cannot set '{key}': {MADE_BY_THE_STUDY[key]}")
        if self.folds and len(self.corpora) < 2:
            raise ValueError("folds = true pools the test parts of several corpora: name the folds in corpora = [...]")
        if "corpus" in self.set:
            raise ValueError("set cannot set 'corpus' for all arms: name it in corpora = [...]")
        return self

    @property
    def first(self) -> str:
        """The arm that the others are compared with."""
        return self.reference or next(iter(self.arms))

    def overrides(self, arm: str) -> dict[str, Any]:
        """Dotted key to value: those of the study, then those of the arm."""
        return {**flat(self.set), **flat(self.arms[arm].set)}

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Reads a study file; its recipes are not looked at yet.

        Raises:
            RecipeError: no such file, no TOML, an unknown key ("did you mean"), a value out of its range, or an arm
                that is named and not there.
        """
        path = Path(path)
        try:
            values = tomllib.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            beside = [p.name for p in path.parent.glob("*.toml")] if path.parent.is_dir() else []
            raise RecipeError(f"no study at {path}. {did_you_mean(path.name, beside)}".rstrip()) from None
        except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise RecipeError(f"{path} is not a study in TOML: {error}") from None
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise RecipeError("\n".join(_explain(cls, str(path), e) for e in error.errors())) from None


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested tables as dotted keys; an empty table stays a value."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict) and value:
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[prefix + key] = value
    return found


def _is_name(name: str) -> bool:
    return name[:1].isalnum() and name.isascii() and all(c.isalnum() or c in "._-" for c in name)


def _explain(study: type[BaseModel], origin: str, error: Any) -> str:
    where = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        owner: Any = study
        for part in error["loc"][:-1]:
            field = owner.model_fields.get(part)
            owner = (field and _settings_in(field.annotation)) or owner
        return f"{origin}: unknown key '{where}'. {did_you_mean(str(error['loc'][-1]), owner.model_fields)}"
    message = error["msg"].removeprefix("Value error, ")
    came = "" if error["type"] in ("missing", "value_error") else f" (came: {error['input']!r})"
    return f"{origin}: {where + ': ' if where else ''}{message}{came}"


def _settings_in(annotation: Any) -> Any:
    """The settings class in `X`, `X | None` or `dict[str, X]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_settings_in, get_args(annotation))), None)
