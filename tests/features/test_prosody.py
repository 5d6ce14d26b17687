import numpy as np
import pytest
from numpy.typing import NDArray

from mmmie.features.prosody import COLUMNS, measure_frames, measure_prosody, prosody_vector

RATE = 16_000
Sound = NDArray[np.float32]


def voice(pitch_hz: NDArray[np.float64] | float, seconds: float = 2.0, fall_db_per_octave: float = 6.0) -> Sound:
    """A sum of harmonics whose pitch may move, as from a throat."""
    n = int(seconds * RATE)
    pitch = np.broadcast_to(np.asarray(pitch_hz, np.float64), n)
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    harmonics = [
        np.sin(k * phase) * 10 ** (-fall_db_per_octave * np.log2(k) / 20) * (pitch * k < 7000) for k in range(1, 40)
    ]
    sound = np.sum(harmonics, axis=0)
    return (0.3 * sound / np.abs(sound).max()).astype(np.float32)


@pytest.mark.parametrize("pitch", [80.0, 123.0, 210.0, 333.0, 500.0])
@pytest.mark.parametrize("fall", [0.0, 6.0, 12.0])
def test_steady_pitch_is_found_in_its_octave(pitch: float, fall: float) -> None:
    frames = measure_frames(voice(pitch, fall_db_per_octave=fall))
    assert np.isfinite(frames.pitch_hz).mean() > 0.95
    assert np.nanmedian(frames.pitch_hz) == pytest.approx(pitch, rel=0.005)
    assert np.nanmax(np.abs(frames.pitch_hz / pitch - 1)) < 0.02


def test_a_missing_fundamental_is_heard() -> None:
    phase = 2 * np.pi * 150 * np.arange(2 * RATE) / RATE
    sound = sum(np.sin(k * phase) for k in (2, 3, 4, 5)) * 0.1
    assert np.nanmedian(measure_frames(np.asarray(sound, np.float32)).pitch_hz) == pytest.approx(150, rel=0.01)


def test_a_glide_of_an_octave_in_two_seconds() -> None:
    prosody = measure_prosody(measure_frames(voice(150 * 2 ** (np.arange(2 * RATE) / (2 * RATE)))))
    assert prosody.pitch_median_hz == pytest.approx(150 * 2**0.5, rel=0.01)
    assert prosody.pitch_range_st == pytest.approx(0.8 * 12, abs=0.3)
    assert prosody.pitch_slope_st_per_s == pytest.approx(6, abs=0.1)
    assert prosody.pitch_motion_st_per_s == pytest.approx(6, abs=0.5)
    assert prosody.pitch_end_st == pytest.approx(4, abs=0.2)


def test_noise_is_not_voiced() -> None:
    noise = (np.random.default_rng(0).standard_normal(2 * RATE) * 0.1).astype(np.float32)
    assert np.isfinite(measure_frames(noise).pitch_hz).mean() < 0.03


@pytest.mark.parametrize("ratio_db", [5.0, 10.0])
def test_harmonicity_is_the_ratio_of_harmonics_to_noise(ratio_db: float) -> None:
    sound = voice(200.0, fall_db_per_octave=3.0).astype(np.float64)
    noise = np.random.default_rng(1).standard_normal(len(sound))
    noise *= np.sqrt((sound**2).mean() / (noise**2).mean()) * 10 ** (-ratio_db / 20)
    prosody = measure_prosody(measure_frames((sound + noise).astype(np.float32)))
    assert prosody.harmonicity_db == pytest.approx(ratio_db, abs=1.0)


def test_level_of_a_full_scale_sine() -> None:
    sine = np.sin(2 * np.pi * 200 * np.arange(RATE) / RATE).astype(np.float32)
    assert measure_prosody(measure_frames(sine)).loudness_db == pytest.approx(-3.01, abs=0.05)


def test_syllables_and_pauses_are_counted() -> None:
    swell = np.maximum(0.05, np.sin(np.pi * 4 * np.arange(2 * RATE) / RATE) ** 2)  # four a second
    babble = voice(180.0) * swell.astype(np.float32)
    silence = np.zeros(int(0.5 * RATE), np.float32)
    prosody = measure_prosody(measure_frames(np.concatenate([babble, silence, babble])), num_words=9)
    assert prosody.syllables_per_s * 4.5 == pytest.approx(16, abs=1)
    assert prosody.longest_pause_s == pytest.approx(0.5, abs=0.06)
    assert prosody.pause_share == pytest.approx(0.5 / 4.5, abs=0.02)
    assert prosody.words_per_s == pytest.approx(2, abs=0.05)


def test_silence_around_an_utterance_is_no_pause() -> None:
    silence = np.zeros(RATE, np.float32)
    prosody = measure_prosody(measure_frames(np.concatenate([silence, voice(150.0), silence])))
    assert prosody.longest_pause_s == 0
    assert prosody.voiced_share > 0.9


def test_a_darker_voice_falls_more_steeply() -> None:
    bright, dark = (measure_prosody(measure_frames(voice(150.0, fall_db_per_octave=f))) for f in (3.0, 9.0))
    assert dark.tilt_db_per_octave < bright.tilt_db_per_octave - 3
    assert dark.alpha_ratio_db > bright.alpha_ratio_db
    assert dark.hammarberg_db > bright.hammarberg_db
    assert dark.centroid_hz < bright.centroid_hz


@pytest.mark.parametrize("gain", [3.0, 0.1, 0.001])
def test_gain_changes_nothing_that_a_model_sees(gain: float) -> None:
    rng = np.random.default_rng(2)
    sound = voice(150 + 30 * np.sin(np.arange(2 * RATE) / 4000)) * (1 + np.sin(np.arange(2 * RATE) / 2500)) / 2
    sound = (sound + rng.standard_normal(len(sound)) * 0.003).astype(np.float32)
    vectors = []
    for audio in (sound, (sound * gain).astype(np.float32)):
        frames = measure_frames(audio)
        vectors.append(prosody_vector(frames, measure_prosody(frames)))
    np.testing.assert_allclose(vectors[1], vectors[0], rtol=1e-3, atol=1e-3)
    assert len(vectors[0]) == len(COLUMNS) == 48


def test_what_is_not_voiced_has_no_pitch_rather_than_zero() -> None:
    noise = (np.random.default_rng(0).standard_normal(RATE // 2) * 0.1).astype(np.float32)
    frames = measure_frames(noise)
    frames.pitch_hz[:] = np.nan
    prosody = measure_prosody(frames)
    assert prosody.voiced_share == 0
    assert np.isnan([prosody.pitch_median_hz, prosody.pitch_slope_st_per_s, prosody.harmonicity_db]).all()
    assert np.isfinite([prosody.level_range_db, prosody.flux_db, prosody.syllables_per_s]).all()
