"""`mmmie import`: a data set in its own format becomes a corpus, by a recipe or by the settings on the command line."""

from pathlib import Path
from typing import Annotated, Any

import typer


def command(
    what: Annotated[
        str, typer.Argument(metavar="RECIPE.toml|csv|h5|mmsa|cmu-sdk", help="An import recipe, or a format.")
    ],
    source: Annotated[
        Path, typer.Argument(help="With a recipe: the folder its files are in. Else: the table, file or folder.")
    ],
    out: Annotated[Path, typer.Option(help="The corpus folder to be made.")],
    audio: Annotated[str, typer.Option(help="Audio features: FILE or FILE:ARRAY, beside the source.")] = "",
    vision: Annotated[str, typer.Option(help="Vision features, likewise.")] = "",
    words: Annotated[str, typer.Option(help="Word times (csv, cmu-sdk).")] = "",
    labels: Annotated[str, typer.Option(help="Labels: FILE or FILE:ARRAY (h5), FILE (cmu-sdk).")] = "",
    splits: Annotated[str, typer.Option(help="Splits by video, JSON or CSV (cmu-sdk).")] = "",
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Any key of an import recipe, as in columns.video=video_id."),
    ] = None,
) -> int:
    """Turn a data set in its own format into a corpus, whole or not at all.

    Every key of every format is described in docs/formats.md.
    """
    from mmmie.analysis.recordings import RecordingsSettings, import_recordings
    from mmmie.corpus.importers.importing import import_corpus
    from mmmie.corpus.importers.settings import load_import, parse_import
    from mmmie.settings import parse_override

    overrides = dict(parse_override(text) for text in settings or ())
    files = {"audio": audio, "vision": vision, "words": words, "labels": labels, "splits": splits}
    files = {thing: file for thing, file in files.items() if file}
    if what.endswith(".toml"):
        if files:
            raise typer.BadParameter(f"--{next(iter(files))} goes with a format; in a recipe, use --set")
        stated, folder = load_import(what, overrides, {"recordings": RecordingsSettings}), source
        if isinstance(stated, RecordingsSettings):
            print(_summary(import_recordings(stated, folder, out)))
            return 0
    else:
        values, folder = _from_files(what, source, files)
        values["name"] = out.name.removesuffix(".corpus")
        stated = parse_import(values, f"mmmie import {what}", overrides)
    print(_summary(import_corpus(stated, folder, out)))
    return 0


def _from_files(format: str, source: Path, files: dict[str, str]) -> tuple[dict[str, Any], Path]:
    """The settings that the command line spells out, and the folder of their files."""
    folder = source if source.is_dir() else source.parent
    values: dict[str, Any] = {"format": format}
    if format == "cmu-sdk":
        from mmmie.corpus.importers.cmu_sdk import files_by_name

        files = files_by_name(source) | files if source.is_dir() else files
    elif not source.is_dir():
        values["table" if format == "csv" else "file"] = source.name
    features = {}
    for thing, stated in files.items():
        file, _, array = stated.partition(":")
        reference = {key: value for key, value in (("file", file), ("array", array)) if value}
        if thing in ("audio", "vision"):
            features[thing] = reference
        else:
            values[thing] = reference if format == "h5" and thing == "labels" else stated
    return {**values, "features": features}, folder


def _summary(corpus: Any) -> str:
    import numpy as np

    info = corpus.info
    counts = [f"{split} {int(np.sum(corpus.splits == split))}" for split in ("train", "valid", "test")]
    everything = corpus.everything()
    lines = [
        f"{corpus.path}: {info.name}, {len(corpus)} utterances of {len(set(everything.videos))} videos",
        f"  splits   {' · '.join(counts)}",
        f"  text     {sum(text is not None for text in everything.texts)} utterances",
    ]
    for modality, feature in info.features.items():
        column = everything.features[modality]
        lines.append(
            f"  {modality:<9}{int(column.present.sum())} utterances, {feature.dim} columns by {feature.level}, "
            f"{feature.extractor}; {info.masked.get(modality, 0)} of {int(column.lengths.sum())} frames masked"
        )
    for note, value in info.notes.items():
        if isinstance(value, dict):
            value = ", ".join(f"{count} ({reason})" for reason, count in value.items())
        elif isinstance(value, list):
            value = ", ".join(value[:3]) + (f" and {len(value) - 3} more" if len(value) > 3 else "")
        lines.append(f"  note     {note}: {value}")
    return "\n".join(lines)
