"""What an import recipe may say: a frozen settings class for each format, and how a recipe is read."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args, get_origin

from pydantic import BaseModel, Field, TypeAdapter, ValidationError, model_validator

from mmmie.errors import RecipeError, did_you_mean
from mmmie.settings import Modality, Settings

FeatureModality = Literal["audio", "vision"]
"""The modalities that come as numbers; text is imported as text."""
Split = Literal["train", "valid", "test"]


class LabelSettings(Settings):
    """What the labels mean: `(value - subtract) * multiply`, which must then lie in [min, max]."""

    min: float = -3.0
    max: float = 3.0
    meaning: str = "sentiment, negative to positive"
    subtract: float = 0.0
    multiply: float = 1.0

    @model_validator(mode="after")
    def _range_is_one(self) -> Self:
        if not self.min < self.max:
            raise ValueError(f"label.min ({self.min}) must be below label.max ({self.max})")
        return self


class FeatureSettings(Settings):
    """How one modality's numbers were made, and which of them stand for 'no value'."""

    extractor: str = "unknown"
    version: str = "unknown"
    rate_hz: float | None = Field(None, gt=0)
    settings: dict[str, str | int | float | bool] = Field({})
    sentinels: dict[Annotated[int, Field(ge=0)], tuple[float, ...]] = Field({})
    """Column (from 0) to the values that mean 'none' there; a frame that holds one is masked."""
    zero_frames: Literal["keep", "absent"] = "keep"
    """`absent`: a frame of zeros only is no measurement. Such frames at either end of an utterance are padding and are
    dropped; between others they are masked, so that the steps keep their distance."""


class ArrayFeatureSettings(FeatureSettings):
    """Features in an npz or npy file beside a table."""

    file: str
    array: str = ""
    """Name of the array in an npz; the modality's name where this is empty."""
    keys: tuple[str, ...] | None = None
    """Names of the arrays in the npz that say whose row it is: video and utterance, or the video alone with `times`.
    None: those named as the table's columns where the npz has them, else the rows of the table in order."""
    times: tuple[str, str] | None = None
    """Names of the arrays with start and end of each frame in seconds of the video; frames are cut by the utterances'
    intervals, by their midpoints."""
    lengths: str = ""
    """Name of the array with the number of real steps in each padded sequence."""
    level: Literal["utterance", "frames"] | None = None
    """What a row of a two-dimensional array is: an utterance's vector (the default), or one frame of it."""
    missing: Literal["error", "absent"] = "error"
    """What an utterance that the array does not know means: a broken file, or a modality that is absent there."""


class H5Reference(Settings):
    """A data set in an HDF5 file; `{split}` in either name stands for the split."""

    file: str = ""
    """Empty: the recipe's `file`."""
    array: str = ""
    """Empty: `{split}/` and the name of the thing."""


class H5FeatureSettings(FeatureSettings):
    """Features in an HDF5 data set, a row per utterance."""

    file: str = ""
    array: str = ""
    lengths: str = ""


class MmsaFeatureSettings(FeatureSettings):
    """Features in an MMSA pickle, which pads with zeros."""

    zero_frames: Literal["keep", "absent"] = "absent"


class CsdFeatureSettings(FeatureSettings):
    """Features in a computational sequence of the CMU SDK."""

    file: str
    missing: Literal["error", "absent"] = "absent"
    """What a video that the sequence does not know means."""


class ImportSettings(Settings):
    """What every import recipe may say."""

    name: str
    source: str = ""
    licence: str = ""
    folder: str = ""
    """Of the files, inside the folder that is imported; where there is none of this name, they are in that itself."""
    label: LabelSettings = LabelSettings()
    speakers: Literal["unknown", "one_per_video"] = "unknown"
    require: tuple[Modality, ...] = ()
    """Utterances without one of these are left out and counted."""
    split_names: dict[Split, str] = Field({})
    """What the source calls a split, where it is not train, valid or test."""
    split_sizes: dict[Split, int] = Field({})
    """Utterances of the full set by split; a split that is there must have exactly so many. Test may be absent."""

    def split_of(self, name: str) -> str | None:
        """Our name of the source's split, or None where it names none."""
        return {self.split_names.get(split, split): split for split in get_args(Split)}.get(name)


class Columns(Settings):
    """The table's names for what an utterance holds; a name that is written here must be there."""

    split: str = "split"
    video: str = "video"
    index: str = "index"
    label: str = "label"
    start: str = "start"
    end: str = "end"
    text: str = "text"
    speaker: str = "speaker"


class WordColumns(Settings):
    """The names in the table of word times; video and utterance as in the main table where they are empty."""

    video: str = ""
    index: str = ""
    word: str = "word"
    start: str = "start"
    end: str = "end"


class CsvSettings(ImportSettings):
    """A table of utterances, arrays beside it, and word times."""

    format: Literal["csv"]
    table: str = "utterances.csv"
    columns: Columns = Columns()
    texts: str = ""
    """A second table whose column `columns.text` replaces the texts (of a recogniser, say); keys are named alike."""
    words: str = ""
    word_columns: WordColumns = WordColumns()
    silence: tuple[str, ...] = ("sp",)
    """Entries of the word table that are no words."""
    features: dict[FeatureModality, ArrayFeatureSettings] = Field({})


class H5Settings(ImportSettings):
    """HDF5 data sets with a row per utterance, for each split."""

    format: Literal["h5"]
    file: str = ""
    labels: H5Reference = H5Reference()
    video: H5Reference | None = None
    """None: each row is a video of its own, named by split and row."""
    index: H5Reference | None = None
    text: H5Reference | None = None
    features: dict[FeatureModality, H5FeatureSettings] = Field({})


class MmsaSettings(ImportSettings):
    """An MMSA pickle, aligned or not."""

    format: Literal["mmsa"]
    file: str
    features: dict[FeatureModality, MmsaFeatureSettings] = Field({})
    """Empty: audio and vision, those that are there."""


class CmuSdkSettings(ImportSettings):
    """Computational sequences (.csd) of the CMU Multimodal SDK, cut by the intervals of the labels."""

    format: Literal["cmu-sdk"]
    labels: str
    label_column: int = Field(0, ge=0)
    words: str = ""
    silence: tuple[str, ...] = ("sp",)
    splits: str = "splits.json"
    """A JSON object of lists of video ids by split, or a CSV with the columns video and split."""
    features: dict[FeatureModality, CsdFeatureSettings] = Field({})


AnyImport = CsvSettings | H5Settings | MmsaSettings | CmuSdkSettings
FORMATS: dict[str, type[AnyImport]] = {
    "csv": CsvSettings,
    "h5": H5Settings,
    "mmsa": MmsaSettings,
    "cmu-sdk": CmuSdkSettings,
}


def load_import(
    path: str | Path, overrides: Mapping[str, Any] | None = None, more: Mapping[str, type[ImportSettings]] | None = None
) -> Any:
    """Reads an import recipe.

    Args:
        path: a TOML file.
        overrides: dotted key to value, as in `{"label.min": -1}`.
        more: formats that are read elsewhere, beside `FORMATS`.

    Raises:
        RecipeError: no such file, no TOML, an unknown format or key ("did you mean"), or a value out of its range.
    """
    path = Path(path)
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        beside = [p.name for p in path.parent.glob("*.toml")] if path.parent.is_dir() else []
        raise RecipeError(f"no import recipe at {path}. {did_you_mean(path.name, beside)}".rstrip()) from None
    except OSError as error:
        raise RecipeError(f"cannot read {path}: {error}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path} is not TOML: {error}") from None
    return parse_import(values, str(path), overrides, more)


def parse_import(
    values: Mapping[str, Any],
    origin: str,
    overrides: Mapping[str, Any] | None = None,
    more: Mapping[str, type[ImportSettings]] | None = None,
) -> Any:
    """Import settings from nested values; `origin` is named in errors, which are those of `load_import`."""
    formats: dict[str, type[ImportSettings]] = {**FORMATS, **(more or {})}
    filled = _overridden(values, overrides or {})
    name = filled.get("format")
    if not isinstance(name, str) or name not in formats:
        came = "no format" if name is None else f"format {name!r}"
        raise RecipeError(f"{origin}: {came}. {did_you_mean(str(name), formats)}")
    try:
        return TypeAdapter(formats[name]).validate_python(filled)
    except ValidationError as error:
        raise RecipeError("\n".join(_explain(formats[name], origin, e) for e in error.errors())) from None


def _overridden(values: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    filled = dict(values)
    for key, value in overrides.items():
        section, _, rest = key.partition(".")
        if not rest:
            filled[section] = value
            continue
        inner = filled.get(section, {})
        if not isinstance(inner, dict):
            raise RecipeError(f"'{key}' does not name a key: '{section}' is a value")
        filled[section] = _overridden(inner, {rest: value})
    return filled


def _explain(model: type[BaseModel], origin: str, error: Any) -> str:
    where = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        return (
            f"{origin}: unknown key '{where}'. {did_you_mean(str(error['loc'][-1]), _keys(model, error['loc'][:-1]))}"
        )
    message = error["msg"].removeprefix("Value error, ")
    came = "" if error["type"] in ("missing", "value_error") else f" (came: {error['input']!r})"
    return f"{origin}: {where + ': ' if where else ''}{message}{came}"


def _keys(model: type[BaseModel], place: tuple[Any, ...]) -> list[str]:
    """The keys that are known at a place in the settings."""
    annotation: Any = model
    for part in place:
        if get_origin(annotation) is dict:
            annotation = get_args(annotation)[1]
        else:
            annotation = annotation.model_fields[part].annotation
        optional = [a for a in get_args(annotation) if isinstance(a, type) and issubclass(a, Settings)]
        if get_origin(annotation) is not dict and optional:
            annotation = optional[0]
    return list(annotation.model_fields)
