"""Where somebody speaks: on real recordings, in silence, and whatever the blocks are."""

import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from mmmie.media import speech
from mmmie.media.audio import Audio, decode_audio
from mmmie.media.files import probe
from mmmie.media.speech import FRAME_SAMPLES, RATE_HZ, Span, find_speech, speech_probabilities

pytest.importorskip("onnxruntime")
pytest.importorskip("silero_vad")


def _audio(folder: Path, samples: NDArray[np.int16], name: str = "sound") -> Audio:
    path = folder / f"{name}.i16"
    samples.astype("<i2").tofile(path)
    return Audio(path, len(samples))


def _clip(real_data: Path, tmp_path: Path, name: str) -> Audio:
    return decode_audio(probe(real_data / name), tmp_path / "sound.i16")


def _stretches(*parts: tuple[float, int]) -> list[tuple[int, int]]:
    """Of frames of constant probability, in frames."""
    probabilities = [p for p, count in parts for _ in range(count)]
    return [(a // FRAME_SAMPLES, b // FRAME_SAMPLES) for a, b in speech._stretches(probabilities)]


def test_speech_begins_high_and_ends_low() -> None:
    assert _stretches((0.1, 5), (0.4, 5), (0.6, 10), (0.4, 5), (0.1, 20)) == [(10, 25)]


def test_short_pauses_are_merged_and_long_ones_kept() -> None:
    short, long = int(0.25 * RATE_HZ) // FRAME_SAMPLES, int(0.4 * RATE_HZ) // FRAME_SAMPLES
    assert _stretches((0.9, 20), (0.0, short), (0.9, 20)) == [(0, 40 + short)]
    assert _stretches((0.9, 20), (0.0, long), (0.9, 20)) == [(0, 20), (20 + long, 40 + long)]


def test_clicks_are_no_speech_and_an_end_without_pause_counts() -> None:
    assert _stretches((0.0, 10), (0.9, 4), (0.0, 30)) == []
    assert _stretches((0.0, 10), (0.9, 4)) == []
    assert _stretches((0.0, 10), (0.9, 20), (0.0, 2)) == [(10, 30)]


def test_padding_stays_between_neighbours_and_within_the_recording(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = [0.0] * 1 + [0.9] * 20 + [0.0] * 10 + [0.9] * 20
    monkeypatch.setattr(speech, "speech_probabilities", lambda audio: iter(frames))
    num_samples = len(frames) * FRAME_SAMPLES - 100  # the last frame was filled with silence
    first, second = find_speech(_audio(tmp_path, np.zeros(num_samples, np.int16)))
    assert first == Span(0.0, 21 * FRAME_SAMPLES / RATE_HZ + 0.1)
    assert second == Span(31 * FRAME_SAMPLES / RATE_HZ - 0.1, num_samples / RATE_HZ)


@pytest.mark.parametrize("num_samples", [0, 1, 511, 512, 16000, 40 * 16000])
def test_silence_of_any_length_has_no_speech(tmp_path: Path, num_samples: int) -> None:
    audio = _audio(tmp_path, np.zeros(num_samples, np.int16))
    assert find_speech(audio) == ()
    assert len(list(speech_probabilities(audio))) == -(-num_samples // FRAME_SAMPLES)


def test_noise_has_no_speech(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(0, 2000, 10 * RATE_HZ).astype(np.int16)
    assert find_speech(_audio(tmp_path, noise)) == ()


def test_an_absent_library_is_named_with_its_repair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    speech._network.cache_clear()
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(Exception, match=r"onnxruntime is not installed.*mmmie\[video\]"):
        find_speech(_audio(tmp_path, np.zeros(16000, np.int16)))


@pytest.mark.real_data
def test_blocks_change_nothing(real_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The state of the network is carried over: 0.1 s at a time gives what 33 s at a time gives."""
    audio = _clip(real_data, tmp_path, "clips/face_1.mp4")
    at_once = np.array(list(speech_probabilities(audio)))
    monkeypatch.setattr(speech, "BLOCK_FRAMES", 3)
    in_blocks = np.array(list(speech_probabilities(audio)))
    np.testing.assert_allclose(in_blocks, at_once, atol=1e-4)  # float32 sums in another order
    assert at_once.max() > 0.9


@pytest.mark.real_data
def test_probabilities_are_those_of_the_package_itself(real_data: Path, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    threads = torch.get_num_threads()
    silero_vad = pytest.importorskip("silero_vad")
    torch.set_num_threads(threads)  # its import changes them for everybody
    audio = _clip(real_data, tmp_path, "clips/face_5.mp4")
    model = silero_vad.load_silero_vad(onnx=True)
    samples = torch.from_numpy(audio.read(0, audio.duration_seconds))
    theirs = model.audio_forward(samples, RATE_HZ).numpy().ravel()
    np.testing.assert_allclose(list(speech_probabilities(audio)), theirs, atol=1e-3)


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["WolfgangLanger_Pexels.mp4", "face_noface.mov", "no_face.mp4", "noface_face.mov"])
def test_clips_without_speech_have_none(real_data: Path, tmp_path: Path, name: str) -> None:
    assert find_speech(_clip(real_data, tmp_path, f"clips/{name}")) == ()


@pytest.mark.real_data
def test_a_late_start_moves_speech_on_the_clock_exactly(real_data: Path, tmp_path: Path) -> None:
    """4 s of silence before a recording: the same speech, 4 s later, to the frame of the network."""
    audio = _clip(real_data, tmp_path, "clips/face_1.mp4")
    samples = np.fromfile(audio.path, "<i2")
    late = _audio(tmp_path, np.concatenate([np.zeros(125 * FRAME_SAMPLES, np.int16), samples]), "late")
    now, then = find_speech(audio), find_speech(late)
    assert len(then) == len(now) == 2
    np.testing.assert_allclose(np.array(then)[1:], np.array(now)[1:] + 4.0, atol=0.033)
    assert then[0].end - 4.0 == pytest.approx(now[0].end, abs=0.033)


@pytest.mark.real_data
def test_the_speech_of_the_labelled_utterances_is_found(real_data: Path, tmp_path: Path) -> None:
    """Times of the MOSEI corpus: their speech is found, and pauses of the recording are not."""
    spans = find_speech(_clip(real_data, tmp_path, "mosei/video/-3nNcZdcdvU.mp4"))
    found = sum(span.end - span.start for span in spans)
    assert 36 < found < 42  # of 44.3 s; it begins after 1.4 s
    assert 1.0 < spans[0].start < 1.8
    assert all(a.end < b.start for a, b in pairwise(spans))
