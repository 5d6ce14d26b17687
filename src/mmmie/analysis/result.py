"""`result.json`: what an analysis found, typed, checked and versioned; its JSON Schema is `docs/result.schema.json`.

All times are float seconds on the media clock, kept to the millisecond, which is the finest that subtitles can say: so
every exported file says the same. Scores are kept to four decimals. NaN and infinity are refused everywhere.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    ValidationError,
    field_validator,
    model_validator,
)

from mmmie.errors import EvidenceError
from mmmie.evidence.predictions import replacing
from mmmie.settings import Modality

SCHEMA_VERSION: Literal[1] = 1
RESULT_FILE = "result.json"
TIME_TOLERANCE_SECONDS = 0.001
"""Times are rounded to this, so an end may lie this far behind the end of the media."""

Seconds = Annotated[float, Field(ge=0), AfterValidator(lambda value: round(value, 3))]
Score = Annotated[float, AfterValidator(lambda value: round(value, 4))]
Share = Annotated[float, Field(ge=0, le=1), AfterValidator(lambda value: round(value, 4))]
Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]

MEANINGS = {
    "score": "The expressed sentiment of the utterance on the scale given by range; it does not say what anyone feels.",
    "interval": "Split-conformal: on held-out utterances this share (coverage) of such intervals held the annotators' "
    "mean.",
    "label": "The score in a word; neutral is around zero.",
    "abstain": "True where the interval covers both signs, or the utterance lies outside what training saw: the label "
    "should then not be relied on.",
    "alone": "The score that the model gives from this modality only.",
    "without": "The score that the model gives when this modality is masked.",
    "contribution": "The exact Shapley value of the modality: what it moves the score by, averaged over all orders in "
    "which the modalities present can be added.",
    "status": "ok: counted in the score. missing: not there for this utterance, with the reason. unused: shown, not "
    "counted, because it did not prove itself on recordings that training had not seen.",
    "context": "The neighbouring utterances that the model read along, and the score without them.",
    "confidence": "The recogniser's probability of the word, from 0 to 1.",
    "aligned": "False where the time of a word is not plausible and only the time of its utterance should be used.",
    "speech_share": "The speaker's share of all speech time.",
    "face_share": "The share of the speaker's speech time in which a face could be linked to the voice.",
    "speaker_sentiment": "The mean score over the speaker's utterances, weighted by their length, with the mean of "
    "their intervals.",
}
"""One sentence for each number of a result; the analyzer may put its own in their place."""


class Closed(BaseModel):
    """Frozen, closed to unknown keys and to NaN and infinity."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, from_attributes=True, use_attribute_docstrings=True
    )

    @field_validator("*")
    @classmethod
    def _encodable(cls, value: Any) -> Any:
        """Names of files may hold bytes that are no UTF-8, which Python shows as lone surrogates and cannot write."""
        if isinstance(value, str):
            return value.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
        if isinstance(value, tuple):
            return tuple(map(cls._encodable, value))
        return value


class Word(Closed):
    word: str
    start: Seconds
    end: Seconds
    confidence: Share | None = None
    aligned: bool = True

    @model_validator(mode="after")
    def _forward(self) -> Self:
        if self.end < self.start:
            raise ValueError(f"the word '{self.word}' ends at {self.end} s, before it begins at {self.start} s")
        return self


class Sentiment(Closed):
    """The verdict on one utterance. `range[0] <= interval[0] <= score <= interval[1] <= range[1]`."""

    score: Score
    range: tuple[Score, Score] = (-3.0, 3.0)
    interval: tuple[Score, Score]
    coverage: float = Field(gt=0, lt=1)
    label: Literal["negative", "neutral", "positive"]
    abstain: bool = False
    abstain_reason: str | None = None

    @model_validator(mode="after")
    def _nested(self) -> Self:
        (low, high), (least, most) = self.interval, self.range
        if not low <= self.score <= high:
            raise ValueError(f"the interval [{low}, {high}] does not hold the score {self.score}")
        if least >= most or low < least or high > most:
            raise ValueError(f"the interval [{low}, {high}] leaves the range [{least}, {most}]; clip it to the range")
        return self


class Reading(Closed):
    """What one modality said of one utterance; `contribution` is 0 or None unless its status is `ok`."""

    status: Literal["ok", "missing", "unused"]
    alone: Score | None = None
    without: Score | None = None
    contribution: Score | None = None
    reason: str | None = None

    @model_validator(mode="after")
    def _reasoned(self) -> Self:
        if self.status == "ok":
            return self
        if not self.reason:
            raise ValueError(f"a modality that is {self.status} needs a reason")
        if self.contribution or (self.status == "missing" and self.alone is not None):
            raise ValueError(f"a modality that is {self.status} cannot have contributed")
        return self


class Context(Closed):
    """The neighbours read along with an utterance, and the score without them."""

    used: tuple[Id, ...] = ()
    without: Score | None = None


class Utterance(Closed):
    """One stretch of speech of one speaker. `sentiment` is None where no verdict could be computed."""

    id: Id
    start: Seconds
    end: Seconds
    speaker: Id | None = None
    text: str = ""
    text_source: str | None = None
    words: tuple[Word, ...] = ()
    sentiment: Sentiment | None = None
    modalities: dict[Modality, Reading] = {}
    context: Context = Context()
    voice: dict[Name, float] = {}
    """By name of a `Measure` in `Result.voice_measures`; a measure that could not be taken is left out."""
    face: dict[Name, float] = {}
    flags: tuple[str, ...] = ()
    edited: bool = False

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.end <= self.start:
            raise ValueError(f"{self.id} ends at {self.end} s, not after its start at {self.start} s")
        starts = [word.start for word in self.words if word.aligned]
        if starts != sorted(starts):
            raise ValueError(f"the aligned words of {self.id} are not in order of their times")
        return self

    @property
    def needs_review(self) -> bool:
        """Whether a person should look: there is no verdict, or the model abstains."""
        return self.sentiment is None or self.sentiment.abstain


class Counts(Closed):
    """Utterances by verdict; an abstained one is not counted under its label."""

    positive: int = Field(0, ge=0)
    neutral: int = Field(0, ge=0)
    negative: int = Field(0, ge=0)
    abstained: int = Field(0, ge=0)

    @classmethod
    def of(cls, utterances: Iterable[Utterance]) -> Self:
        verdicts = [u.sentiment for u in utterances if u.sentiment is not None]
        names = ["abstained" if verdict.abstain else verdict.label for verdict in verdicts]
        return cls(**{name: names.count(name) for name in cls.model_fields})


class SpeakerSentiment(Closed):
    """The mean over a speaker's utterances, and its interval where one could be given."""

    mean: Score
    interval: tuple[Score, Score] | None = None

    @model_validator(mode="after")
    def _held(self) -> Self:
        if self.interval and not self.interval[0] <= self.mean <= self.interval[1]:
            raise ValueError(f"the interval {list(self.interval)} does not hold the mean {self.mean}")
        return self


class Speaker(Closed):
    """`id` is what utterances refer to; `name` is what is shown. `face_share` is None where no face was looked for."""

    id: Id
    name: str
    speech_share: Share
    face_share: Share | None = None
    sentiment: SpeakerSentiment | None = None
    counts: Counts = Counts()


class AudioStream(Closed):
    """The stream that was heard, as `mmmie.media.files.AudioStream` has it."""

    index: int
    codec: str
    rate_hz: int
    channels: int
    start_seconds: float
    duration_seconds: float | None = None
    language: str | None = None


class VideoStream(Closed):
    """The stream that was seen; width and height are upright, after `rotation` degrees."""

    index: int
    codec: str
    width: int
    height: int
    start_seconds: float
    mean_rate_hz: float | None = None
    variable_rate: bool | None = None
    rotation: int = 0


class Media(Closed):
    """The file analyzed. What could not be read of a broken file is None."""

    name: str
    path: str | None = None
    """From the folder of the result, with `/`; None: beside that folder."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    bytes: int | None = None
    format: str | None = None
    duration_seconds: Seconds | None = None
    audio: AudioStream | None = None
    video: VideoStream | None = None
    clock: str = (
        "Seconds from presentation time 0 of the container, or from its first stream where the format "
        "begins at an arbitrary time."
    )
    notes: tuple[str, ...] = ()


class Model(Closed):
    """The checkpoint that gave the verdicts."""

    name: str
    fingerprint: str | None = None
    card: str
    """A summary in a few sentences: trained on what, measured how, for which use."""
    licence: str
    weights: dict[Modality, Annotated[float, Field(ge=0)]] = {}
    """What a modality may weigh in the verdict; 0: shown, not counted."""


class Measure(Closed):
    """What a number in `Utterance.voice` or `Utterance.face` is."""

    name: Name
    unit: str
    meaning: str


class Stage(Closed):
    """What became of one stage. `kept`: its result was there already."""

    stage: str
    status: Literal["done", "kept", "skipped", "failed"]
    cause: str | None = None
    repair: str | None = None
    seconds: Annotated[float, Field(ge=0), AfterValidator(lambda value: round(value, 3))] = 0.0

    @model_validator(mode="after")
    def _caused(self) -> Self:
        if self.status == "failed" and not (self.cause and self.repair):
            raise ValueError(f"the failed stage '{self.stage}' needs a cause and a repair")
        return self


class Result(Closed):
    """One analyzed file.

    `status` is `complete` where no stage failed, `partial` where one failed and there is still something to show, and
    `failed` where there is nothing. Utterances are ordered by start and may overlap.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    status: Literal["complete", "partial", "failed"]
    media: Media
    stages: tuple[Stage, ...] = ()
    model: Model | None = None
    settings: dict[str, JsonValue] = {}
    seed: int = 0
    versions: dict[str, str] = {}
    language: str | None = None
    meanings: dict[str, str] = MEANINGS
    notes: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()
    """What is known not to hold of these verdicts, as it was measured."""
    voice_measures: tuple[Measure, ...] = ()
    face_measures: tuple[Measure, ...] = ()
    speakers: tuple[Speaker, ...] = ()
    utterances: tuple[Utterance, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for problem in _problems(self):
            raise ValueError(problem)
        return self

    def to_json(self) -> str:
        """JSON, an utterance a line."""
        head = json.dumps(self.model_dump(mode="json", exclude={"utterances"}), indent=2, ensure_ascii=False)
        lines = ",\n    ".join(utterance.model_dump_json() for utterance in self.utterances)
        return head.removesuffix("\n}") + ',\n  "utterances": [' + (f"\n    {lines}\n  " if lines else "") + "]\n}\n"

    @classmethod
    def from_json(cls, text: str | bytes, origin: str) -> Self:
        """Raises EvidenceError: not JSON, of another schema version, or not as the schema says; `origin` is named."""
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        if where == "schema_version":
            raise EvidenceError(
                f"{origin} has schema version {first['input']!r}, and this mmmie reads version {SCHEMA_VERSION}. "
                "Analyze the media again with this version."
            )
        message = first["msg"].removeprefix("Value error, ")
        raise EvidenceError(f"{origin} is not the result of an analysis: {where}: {message}. Analyze the media again.")

    def write(self, folder: str | Path) -> Path:
        """Writes `result.json` into a folder, whole or not at all, and returns where it is.

        Raises:
            EvidenceError: the file cannot be written.
        """
        path = Path(folder) / RESULT_FILE
        with replacing(path) as temporary:
            temporary.write_text(self.to_json(), encoding="utf-8", newline="\n")
        return path


def _problems(result: Result) -> Iterable[str]:
    failed = [stage.stage for stage in result.stages if stage.status == "failed"]
    if (result.status == "complete") == bool(failed):
        yield f"status is '{result.status}', but the failed stages are: {', '.join(failed) or 'none'}"
    ids = [utterance.id for utterance in result.utterances]
    known_ids = set(ids)
    if len(known_ids) < len(ids):
        yield f"utterance ids come twice: {sorted({i for i in ids if ids.count(i) > 1})[:3]}"
    starts = [utterance.start for utterance in result.utterances]
    if starts != sorted(starts):
        yield "utterances are not in order of their start"
    known = {speaker.id for speaker in result.speakers}
    if len(known) < len(result.speakers):
        yield "a speaker comes twice"
    voice, face = ({m.name for m in measures} for measures in (result.voice_measures, result.face_measures))
    end = result.media.duration_seconds
    for u in result.utterances:
        last = max([u.end, *(word.end for word in u.words)])
        if end is None or last > end + TIME_TOLERANCE_SECONDS:
            yield f"{u.id} ends at {last} s, but the media ends at {end} s"
        if u.speaker is not None and u.speaker not in known:
            yield f"{u.id} is spoken by '{u.speaker}', who is not among the speakers {sorted(known)}"
        if unknown := (u.voice.keys() - voice) | (u.face.keys() - face):
            yield f"{u.id} has measures that the header does not define: {sorted(unknown)}"
        if unknown := set(u.context.used) - known_ids:
            yield f"the context of {u.id} names utterances that are not there: {sorted(unknown)}"
    for speaker in result.speakers:
        counted = Counts.of(u for u in result.utterances if u.speaker == speaker.id)
        if speaker.counts != counted:
            yield f"the counts of {speaker.id} are {speaker.counts!r}, but the utterances say {counted!r}"
