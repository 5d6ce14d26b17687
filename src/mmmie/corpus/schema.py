"""What is known about utterances: the records that travel, and what `corpus.json` says of the whole."""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import Any

from mmmie.errors import CorpusError
from mmmie.settings import MODALITIES, Modality

SCHEMA_VERSION = 1
SPLITS = ("train", "valid", "test")
UNLABELLED = "unlabelled"
"""The split of rows whose label nobody knows (NaN): what is to be predicted, and never learnt from or evaluated."""

__all__ = [
    "MODALITIES",
    "SCHEMA_VERSION",
    "SPLITS",
    "UNLABELLED",
    "CorpusInfo",
    "FeatureInfo",
    "Modality",
    "Utterance",
    "Word",
]


@dataclass(frozen=True, slots=True)
class Word:
    """One word with its time on the media clock, in seconds."""

    word: str
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Utterance:
    """The labelled unit: one stretch of speech of one video.

    `index` orders utterances within their video; only the order counts, not the value of the first. `text` is None
    where it is absent (which is not the same as empty); `speaker` is None where the corpus does not know speakers. The
    label is NaN in the split `unlabelled`, and only there.
    """

    video: str
    index: int
    split: str
    label: float
    start: float | None = None
    end: float | None = None
    speaker: str | None = None
    text: str | None = None
    words: tuple[Word, ...] = ()

    @property
    def id(self) -> str:
        """`video/index`, as errors, predictions and reports name it."""
        return f"{self.video}/{self.index}"


@dataclass(frozen=True)
class FeatureInfo:
    """How one modality's numbers were made; a model refuses features of another `fingerprint`."""

    dim: int
    level: str
    """`frames`: a sequence for each utterance; `utterance`: one vector."""
    extractor: str
    version: str = "unknown"
    settings: dict[str, Any] = field(default_factory=dict)
    rate_hz: float | None = None

    @property
    def fingerprint(self) -> str:
        """16 hex digits over everything that decides what the numbers mean."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class CorpusInfo:
    """The content of `corpus.json`."""

    name: str
    label_min: float = -3.0
    label_max: float = 3.0
    label_meaning: str = "sentiment, negative to positive"
    features: dict[str, FeatureInfo] = field(default_factory=dict)
    """By modality: audio and vision. Text is stored as text; what an encoder makes of it belongs to the encoder."""
    source: str = ""
    licence: str = ""
    checksums: dict[str, str] = field(default_factory=dict)
    """sha256 of each imported file."""
    notes: dict[str, Any] = field(default_factory=dict)
    """What the importer or the generator has to say: rows left out, values masked, the true mutual information."""
    masked: dict[str, int] = field(default_factory=dict)
    """By modality: frames with a NaN, an infinity or a sentinel, which no model sees."""
    fingerprint: str = ""
    """16 hex digits over the utterances (not their splits) and frames; written when the corpus is closed."""
    schema_version: int = SCHEMA_VERSION

    def to_json(self) -> str:
        features = {name: {**asdict(f), "fingerprint": f.fingerprint} for name, f in self.features.items()}
        return json.dumps({**asdict(self), "features": features}, indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str, origin: str) -> "CorpusInfo":
        """Raises CorpusError: not JSON, of another schema version, or with fields missing or unknown."""
        try:
            values = json.loads(text)
            version = values.get("schema_version")
        except (ValueError, AttributeError) as error:
            raise CorpusError(f"{origin} is not a corpus description: {error}") from None
        if version != SCHEMA_VERSION:
            raise CorpusError(
                f"{origin} has schema version {version}, and this mmmie reads version {SCHEMA_VERSION}. "
                "Import the corpus again from its source with this version."
            )
        try:
            features = {
                name: FeatureInfo(**{k: v for k, v in f.items() if k != "fingerprint"})
                for name, f in values.pop("features").items()
            }
            return cls(**values, features=features)
        except (TypeError, KeyError, AttributeError) as error:
            raise CorpusError(f"{origin} is damaged: {error}. Import the corpus again.") from None
