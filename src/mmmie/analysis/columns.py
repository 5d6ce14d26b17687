"""The table of an analysis, an utterance a row: one definition behind CSV, Parquet, the frame and `columns.json`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from mmmie.analysis.result import Measure, Result, Utterance
from mmmie.settings import MODALITIES, Modality

Dtype = Literal["string", "float64", "int64", "bool"]


@dataclass(frozen=True)
class Column:
    """A column: name, type, unit (empty: none), meaning, and how its cell comes from an utterance; None: no value."""

    name: str
    dtype: Dtype
    unit: str
    meaning: str
    cell: Callable[[Utterance], Any]


def columns(result: Result) -> tuple[Column, ...]:
    """The columns in order; the last ones are the voice and face measures that the result defines."""
    names = {speaker.id: speaker.name for speaker in result.speakers}
    says = result.meanings
    return (
        Column("media", "string", "", "Name of the file analyzed.", lambda _: result.media.name),
        Column("id", "string", "", "Name of the utterance, unique within its media.", lambda u: u.id),
        Column("start_seconds", "float64", "s", "Where it begins on the media clock.", lambda u: u.start),
        Column("end_seconds", "float64", "s", "Where it ends on the media clock.", lambda u: u.end),
        Column("speaker", "string", "", "Who speaks, by id; empty where unknown.", lambda u: u.speaker),
        Column("speaker_name", "string", "", "Who speaks, by name.", lambda u: names.get(u.speaker or "")),
        Column("text", "string", "", "What is said.", lambda u: u.text),
        Column("text_source", "string", "", "Which recogniser or file the text is from.", lambda u: u.text_source),
        Column("num_words", "int64", "words", "Words with a time of their own.", lambda u: len(u.words)),
        Column("word_confidence", "float64", "", f"Mean over its words. {says.get('confidence', '')}", _confidence),
        Column("score", "float64", "score", says.get("score", ""), _of_sentiment(lambda s: s.score)),
        Column("range_low", "float64", "score", "Least score there is.", _of_sentiment(lambda s: s.range[0])),
        Column("range_high", "float64", "score", "Greatest score there is.", _of_sentiment(lambda s: s.range[1])),
        Column("interval_low", "float64", "score", says.get("interval", ""), _of_sentiment(lambda s: s.interval[0])),
        Column("interval_high", "float64", "score", says.get("interval", ""), _of_sentiment(lambda s: s.interval[1])),
        Column("coverage", "float64", "", "Coverage of the interval, 0 to 1.", _of_sentiment(lambda s: s.coverage)),
        Column("label", "string", "", says.get("label", ""), _of_sentiment(lambda s: s.label)),
        Column("abstain", "bool", "", says.get("abstain", ""), _of_sentiment(lambda s: s.abstain)),
        Column("abstain_reason", "string", "", "Why the model abstains.", _of_sentiment(lambda s: s.abstain_reason)),
        *(column for modality in MODALITIES for column in _modality_columns(modality, says)),
        Column("context_used", "string", "", "Neighbours read along, by id.", lambda u: " ".join(u.context.used)),
        Column("score_without_context", "float64", "score", says.get("context", ""), lambda u: u.context.without),
        Column("flags", "string", "", "What is unusual about the utterance.", lambda u: "; ".join(u.flags)),
        Column("edited", "bool", "", "Whether a person changed its text or speaker.", lambda u: u.edited),
        *(_voice_column(measure) for measure in result.voice_measures),
        *(_face_column(measure) for measure in result.face_measures),
    )


def rows(result: Result) -> dict[str, list[Any]]:
    """The cells by column, each a list with a value an utterance; None where there is no value."""
    return {column.name: [column.cell(u) for u in result.utterances] for column in columns(result)}


def _of_sentiment(value: Callable[[Any], Any]) -> Callable[[Utterance], Any]:
    return lambda u: None if u.sentiment is None else value(u.sentiment)


def _confidence(utterance: Utterance) -> float | None:
    known = [word.confidence for word in utterance.words if word.confidence is not None]
    return round(sum(known) / len(known), 4) if known else None


def _modality_columns(modality: Modality, says: dict[str, str]) -> tuple[Column, ...]:
    def of(field: str) -> Callable[[Utterance], Any]:
        return lambda u: getattr(u.modalities.get(modality), field, None)

    return (
        Column(f"{modality}_status", "string", "", says.get("status", ""), of("status")),
        Column(f"{modality}_reason", "string", "", f"Why {modality} is missing or unused.", of("reason")),
        Column(f"{modality}_alone", "float64", "score", says.get("alone", ""), of("alone")),
        Column(f"{modality}_without", "float64", "score", says.get("without", ""), of("without")),
        Column(f"{modality}_contribution", "float64", "score", says.get("contribution", ""), of("contribution")),
    )


def _voice_column(measure: Measure) -> Column:
    return Column(
        f"voice_{measure.name}", "float64", measure.unit, measure.meaning, lambda u: u.voice.get(measure.name)
    )


def _face_column(measure: Measure) -> Column:
    return Column(f"face_{measure.name}", "float64", measure.unit, measure.meaning, lambda u: u.face.get(measure.name))
