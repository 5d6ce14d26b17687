"""The exception family: what a user can mend, said once, at the top.

    MmmieError
    ├── RecipeError        a recipe that does not parse, or asks for the impossible
    ├── CorpusError        a corpus, or a file imported into one, that is not as it must be
    ├── FeatureError       an encoder or extractor that is missing or of another fingerprint
    ├── MediaError         a video or recording that cannot be read
    ├── TranscriptError    a transcript that cannot be read, or does not fit its media
    ├── TrainingError      training that cannot go on
    │   └── NonFiniteError a term or a gradient became NaN or infinite
    ├── CheckpointError    a checkpoint that does not fit its corpus, or is broken
    └── EvidenceError      results that cannot be computed, paired or verified

The command line shows any of them without a traceback and exits with status 2.
"""

from collections.abc import Iterable
from difflib import get_close_matches


class MmmieError(Exception):
    """A mistake the user can mend; the text says what was expected, what came, and what to do."""


class RecipeError(MmmieError):
    """A recipe that does not parse, or asks for the impossible."""


class CorpusError(MmmieError):
    """A corpus, or a file imported into one, that is not as it must be."""


class FeatureError(MmmieError):
    """An encoder or extractor that is missing, broken, or of another fingerprint."""


class MediaError(MmmieError):
    """A video or recording that cannot be read."""


class TranscriptError(MmmieError):
    """A transcript that cannot be read, or does not fit its media."""


class TrainingError(MmmieError):
    """Training that cannot go on."""


class NonFiniteError(TrainingError):
    """A term or a gradient became NaN or infinite; the text names term, utterances and epoch."""


class CheckpointError(MmmieError):
    """A checkpoint that does not fit its corpus, or is broken."""


class EvidenceError(MmmieError):
    """Results that cannot be computed, paired or verified."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A closing sentence for errors about names: the nearest known name, else the list of them."""
    known = sorted(known)
    near = get_close_matches(name, known, n=1, cutoff=0.6)
    if near:
        return f"Did you mean '{near[0]}'?"
    return f"Known: {', '.join(known)}." if known else ""


def missing_extra(library: str, extra: str) -> MmmieError:
    """The error for an optional library that is not installed."""
    return MmmieError(f"{library} is not installed. Install it with: pip install 'mmmie[{extra}]'")
