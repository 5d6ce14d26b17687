"""How things are said: the voice of each utterance, as a model reads it and as people look at it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from mmmie.analysis.hearing import Heard, Opened
from mmmie.analysis.result import Measure
from mmmie.analysis.stages import StageFailed, StageStore, key_of, load_value, save_value
from mmmie.corpus.schema import FeatureInfo
from mmmie.corpus.store import Floats
from mmmie.errors import MmmieError
from mmmie.features.voice import VoiceExtractor

MEASURES = (
    Measure(name="pitch_median_hz", unit="Hz", meaning="median pitch of what is voiced"),
    Measure(name="pitch_range_st", unit="semitone", meaning="from the 5th to the 95th percentile of the pitch"),
    Measure(name="loudness_db", unit="dB", meaning="level of what is spoken under full scale"),
    Measure(name="level_range_db", unit="dB", meaning="between loud and quiet parts of what is spoken"),
    Measure(name="syllables_per_s", unit="1/s", meaning="peaks of loudness a second, roughly syllables"),
    Measure(name="words_per_s", unit="1/s", meaning="words a second"),
    Measure(name="pause_share", unit="share", meaning="of the utterance in which nothing is said"),
)
"""What is shown of `features.prosody.Prosody`."""


@dataclass(frozen=True)
class VoiceFound:
    """Of N utterances; all empty where no voice was asked for or could be read."""

    key: str = ""
    info: FeatureInfo | None = None
    vectors: tuple[Floats | None, ...] = ()
    missing: tuple[str | None, ...] = ()
    measures: tuple[Measure, ...] = ()
    values: tuple[Mapping[str, float], ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Spoken:
    missing: str
    values: dict[str, float]


def read_voice(store: StageStore, opened: Opened, heard: Heard) -> VoiceFound:
    """The stage `voice`: without it the words still count, so a failure is no more than that."""
    count = len(heard.utterances)
    if opened.audio is None:
        return VoiceFound(missing=("no sound",) * count)
    try:
        extractor = VoiceExtractor.load()
    except MmmieError as error:
        store.log.skip("voice", str(error))
        return VoiceFound(missing=("the voice could not be read",) * count, notes=(str(error),))
    key = key_of("voice 1", heard.key, extractor.info.fingerprint)
    audio = opened.audio

    def write(folder: Path) -> None:
        rows, spoken = [], []
        for utterance in heard.utterances:
            features = extractor(audio.read(utterance.start, utterance.end), len(utterance.words) or None)
            rows.append(features.vector)
            spoken.append(_Spoken(features.missing, _shown(features.prosody)))
            store.log.report("voice", f"at {utterance.end:.0f} s")
        np.save(folder / "vectors.npy", np.array(rows, np.float32).reshape(count, extractor.info.dim))
        save_value(folder / "spoken.json", tuple[_Spoken, ...], tuple(spoken))

    try:
        place = store.make("voice", key, write)
    except StageFailed:
        return VoiceFound(missing=("the voice could not be read",) * count)
    vectors = np.load(place / "vectors.npy", allow_pickle=False)
    spoken: Sequence[_Spoken] = load_value(place / "spoken.json", tuple[_Spoken, ...])
    return VoiceFound(
        key=key,
        info=extractor.info,
        vectors=tuple(None if s.missing else v for s, v in zip(spoken, vectors, strict=True)),
        missing=tuple(s.missing or None for s in spoken),
        measures=MEASURES,
        values=tuple(s.values for s in spoken),
    )


def _shown(prosody: object | None) -> dict[str, float]:
    """The measures that could be taken."""
    if prosody is None:
        return {}
    values = asdict(prosody)  # type: ignore[call-overload]
    taken = {m.name: values[m.name] for m in MEASURES if values[m.name] is not None}
    return {name: round(float(value), 4) for name, value in taken.items() if np.isfinite(value)}
