"""The last stages before the result: utterances as a corpus, and what a checkpoint says of each.

A video is predicted exactly as a corpus is: its utterances become one, in the split `unlabelled`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmmie.analysis.stages import StageStore, key_of, load_value, save_value
from mmmie.corpus.schema import UNLABELLED, CorpusInfo, FeatureInfo, Utterance, Word
from mmmie.corpus.store import Corpus, Floats
from mmmie.corpus.writer import CorpusWriter, Frames
from mmmie.evidence.attribution import Reading, read_part
from mmmie.evidence.calibration import calibrate
from mmmie.learning.run import Run
from mmmie.media.utterances import Spoken
from mmmie.settings import Modality

CORPUS_FOLDER = "features.corpus"


@dataclass(frozen=True)
class ModalityVerdict:
    """What one modality said of an utterance that has it."""

    alone: float
    without: float
    contribution: float


@dataclass(frozen=True)
class Verdict:
    """What a checkpoint says of an utterance; scores in the unit of its labels."""

    score: float
    lower: float
    upper: float
    abstain: bool
    outside: bool
    without_context: float
    modalities: Mapping[Modality, ModalityVerdict]
    """Those the utterance has."""


@dataclass(frozen=True)
class Verdicts:
    """All utterances of a file, and what holds for each of them."""

    rows: tuple[Verdict, ...]
    coverage: float
    label_range: tuple[float, float]
    neutral: float
    """Scores nearer to 0 than this are called neutral."""
    context: int
    """k: how many utterances on either side were read along."""


def write_corpus(
    folder: Path,
    name: str,
    utterances: Sequence[Spoken],
    features: Mapping[str, tuple[FeatureInfo, Sequence[Floats | None]]],
    with_text: bool,
) -> None:
    """The utterances of one file as a corpus.

    Args:
        folder: to be made.
        name: of the media.
        utterances: N of them.
        features: by modality how the numbers were made, and N vectors (D,); None where the modality is missing.
        with_text: whether what was said is to be read.
    """
    info = CorpusInfo(name=name, features={modality: made for modality, (made, _) in features.items()})
    with CorpusWriter(folder, info) as writer:
        for n, spoken in enumerate(utterances):
            row = Utterance(
                video=name,
                index=n,
                split=UNLABELLED,
                label=math.nan,
                start=spoken.start,
                end=spoken.end,
                speaker=spoken.speaker,
                text=spoken.text if with_text and spoken.text.strip() else None,
                words=tuple(Word(w.word, w.start, w.end) for w in spoken.words),
            )
            vectors = {modality: values[n] for modality, (_, values) in features.items()}
            writer.add(row, {m: None if v is None else Frames(v[None]) for m, v in vectors.items()})


def predict_corpus(store: StageStore, folder: Path, key: str, run: Run) -> Verdicts:
    """The stage `prediction`. Raises StageFailed: the checkpoint does not fit, or has no calibration."""

    def write(place: Path) -> None:
        calibration = calibrate(run)
        reading = read_part(run, Corpus.open(folder).unlabelled())
        worth = calibration.judge(reading, borrow=True)
        rows = tuple(
            Verdict(
                score=float(reading.scores[n]),
                lower=float(worth.lower[n]),
                upper=float(worth.upper[n]),
                abstain=bool(worth.abstain[n]),
                outside=bool(worth.outside[n]),
                without_context=float(reading.without_context[n]),
                modalities=_of_modalities(reading, n),
            )
            for n in range(len(reading))
        )
        low, high = calibration.label_range
        verdicts = Verdicts(
            rows=rows,
            coverage=calibration.levels.coverage,
            label_range=(low, high),
            neutral=calibration.levels.neutral * (high - low),
            context=run.recipe.model.context,
        )
        save_value(place / "value.json", Verdicts, verdicts)

    place = store.make("prediction", key_of("prediction 1", key, run.contract.get("sha256")), write)
    verdicts = load_value(place / "value.json", Verdicts)
    assert isinstance(verdicts, Verdicts)
    return verdicts


def _of_modalities(reading: Reading, n: int) -> dict[Modality, ModalityVerdict]:
    return {
        name: ModalityVerdict(  # type: ignore[misc]
            alone=float(reading.alone(name)[n]),
            without=float(reading.without(name)[n]),
            contribution=float(reading.contributions[name][n]),
        )
        for m, name in enumerate(reading.modalities)
        if reading.present[n, m]
    }
