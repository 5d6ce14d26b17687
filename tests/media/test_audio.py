"""Sample i is at i / 16000 s: late starts, gaps, overlaps, layouts, rates, damage."""

import wave

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmmie.errors import MediaError
from mmmie.media.audio import Audio, decode_audio
from mmmie.media.files import probe
from odd_files import Sound, cut, index_first, joined, leaping_timestamps, recording, silent_recording, write


def sounding(audio: Audio) -> list[tuple[float, float]]:
    """Intervals in which the tone is heard, in seconds; pauses under 5 ms are within the tone."""
    loud = np.flatnonzero(np.abs(audio.read(0.0, audio.duration_seconds)) > 0.05)
    breaks = np.flatnonzero(np.diff(loud) > 80)
    starts, ends = loud[np.r_[0, breaks + 1]], loud[np.r_[breaks, -1]]
    return [(float(a) / 16000, float(b) / 16000) for a, b in zip(starts, ends, strict=True)]


def pitch(samples: np.ndarray) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(spectrum.argmax() * 16000 / len(samples))


@pytest.fixture
def decoded(odd, tmp_path):
    return lambda name: decode_audio(probe(odd(name)), tmp_path / f"{name}.pcm")


def test_an_ordinary_video(decoded):
    audio = decoded("talking.mp4")
    assert audio.num_samples == pytest.approx(48000, abs=16)
    assert audio.path.stat().st_size == 2 * audio.num_samples
    assert audio.duration_seconds == audio.num_samples / 16000
    assert audio.notes == ()
    ((start, end),) = sounding(audio)
    assert (start, end) == pytest.approx((0.0, 3.0), abs=0.002)
    samples = audio.read(1.0, 2.0)
    assert samples.dtype == np.float32
    assert pitch(samples) == pytest.approx(440, abs=1)
    assert np.abs(samples).max() == pytest.approx(0.3, abs=0.02)


def test_late_sound_begins_with_silence(decoded):
    audio = decoded("late_audio.mp4")
    ((start, end),) = sounding(audio)
    assert (start, end) == pytest.approx((4.0, 6.0), abs=0.002)
    assert not audio.read(0.0, 3.9).any()
    assert audio.duration_seconds == pytest.approx(6.0, abs=0.03)


def test_a_gap_becomes_silence(decoded):
    audio = decoded("gap_in_audio.mkv")
    (first, second) = sounding(audio)
    assert (*first, *second) == pytest.approx((0.0, 1.0, 2.5, 4.0), abs=0.002)
    assert not audio.read(1.01, 2.49).any()
    assert audio.notes == ("sound: missing and silent: 1.50 s, gaps: 1",)


def test_an_overlap_is_left_out_and_what_follows_keeps_its_time(tmp_path):
    audio = decode_audio(probe(joined(tmp_path / "a.ts", 1.6)), tmp_path / "a.pcm")
    assert audio.duration_seconds == pytest.approx(3.6, abs=0.03)
    assert audio.notes == ("sound: twice there, once left out: 0.45 s, overlaps: 1",)
    gap = decode_audio(probe(joined(tmp_path / "b.ts", 2.5)), tmp_path / "b.pcm")
    assert sounding(gap)[1][0] == pytest.approx(2.5, abs=0.03)


def test_a_leaping_clock_makes_no_hour_of_silence(tmp_path):
    for path in (joined(tmp_path / "a.ts"), leaping_timestamps(tmp_path / "b.mkv")):
        info = probe(path)
        audio = decode_audio(info, tmp_path / "a.pcm")
        assert audio.duration_seconds == pytest.approx(info.duration_seconds, abs=0.05)
        assert "sound: leaps of the timestamps taken out: 1" in audio.notes


def test_a_transport_stream_begins_at_zero(decoded):
    ((start, end),) = sounding(decoded("transport_stream.ts"))
    assert (start, end) == pytest.approx((0.5, 3.0), abs=0.005)


@pytest.mark.parametrize("jitter", [0.0, 0.004, 0.012])
def test_jitter_of_timestamps_is_no_gap(tmp_path, jitter):
    """Containers that count milliseconds, and capture that wobbles by a few."""
    rng = np.random.default_rng(0)
    block = 1024 / 48000
    pieces = [(n * block + d, (n + 1) * block + d) for n, d in enumerate(rng.uniform(-jitter, jitter, 90).clip(0))]
    audio = decode_audio(probe(write(tmp_path / "a.mkv", Sound(pieces, codec="pcm_s16le"))), tmp_path / "a.pcm")
    assert audio.notes == ()
    assert len(sounding(audio)) == 1
    assert audio.duration_seconds == pytest.approx(90 * block, abs=0.02)


def test_drift_is_followed(tmp_path):
    """Blocks that come 2 % late: after 10 s of them the sound is still where the clock says."""
    block = 1024 / 48000
    pieces = [(1.02 * n * block, 1.02 * n * block + block) for n in range(480)]
    audio = decode_audio(probe(write(tmp_path / "a.mkv", Sound(pieces, codec="pcm_s16le"))), tmp_path / "a.pcm")
    assert audio.duration_seconds == pytest.approx(pieces[-1][1], abs=0.022)
    assert "missing and silent" in audio.notes[0]


@pytest.mark.parametrize(
    ("rate_hz", "layout", "codec"),
    [
        (8000, "mono", "pcm_s16le"),
        (16000, "mono", "pcm_s16le"),
        (44100, "stereo", "pcm_s16le"),
        (48000, "5.1", "pcm_s16le"),
        (96000, "7.1", "pcm_s16le"),
        (48000, "quad", "flac"),
        (48000, "stereo", "libopus"),
    ],
)
def test_rates_and_layouts(tmp_path, rate_hz, layout, codec):
    audio = decode_audio(probe(recording(tmp_path / "a.mkv", rate_hz, layout, codec)), tmp_path / "a.pcm")
    samples = audio.read(0.5, 1.5)
    assert audio.duration_seconds == pytest.approx(2.0, abs=0.03)
    assert pitch(samples) == pytest.approx(440, abs=1)
    assert 0.25 < np.abs(samples).max() < 0.35  # a down-mix of equal channels is as loud as each of them


def test_a_click_stays_where_it_is(tmp_path):
    """Through a resampler from 48 kHz, whose filter has a delay that must not show."""
    path = write(tmp_path / "a.wav", Sound([(0, 0.5), (0.5, 1.0)], codec="pcm_s16le", layout="mono", loudness=0.0))
    content = bytearray(path.read_bytes())
    begins = content.index(b"data") + 8
    for sample in (24000, 24001, 24002):
        content[begins + 2 * sample : begins + 2 * sample + 2] = (20000).to_bytes(2, "little")
    path.write_bytes(content)
    audio = decode_audio(probe(path), tmp_path / "a.pcm")
    assert np.abs(audio.read(0, 1)).argmax() in (8000, 8001)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".flac", ".mp3"])
def test_a_cut_file_gives_what_there_is(tmp_path, suffix):
    whole = tmp_path / f"whole{suffix}"
    codec = {".mp4": "aac", ".mkv": "aac", ".flac": "flac", ".mp3": "libmp3lame"}[suffix]
    index_first(whole) if suffix == ".mp4" else write(whole, Sound([(0, 10)], codec=codec))
    for tenth in (2, 5, 8):
        info = probe(cut(whole, tmp_path / f"cut{suffix}", tenth / 10))
        audio = decode_audio(info, tmp_path / "a.pcm")
        assert audio.duration_seconds == pytest.approx(info.duration_seconds, abs=0.2)
        assert tenth - 1 < audio.duration_seconds < tenth + 1


def test_damage_in_the_middle_does_not_move_the_rest(tmp_path):
    hurt = tmp_path / "hurt.mp4"
    content = bytearray(index_first(hurt, 6.0).read_bytes())
    rng = np.random.default_rng(1)
    for place in rng.integers(len(content) // 3, len(content) // 2, 12):
        content[place : place + 40] = rng.bytes(40)
    hurt.write_bytes(content)
    audio = decode_audio(probe(hurt), tmp_path / "a.pcm")
    assert audio.duration_seconds == pytest.approx(6.0, abs=0.05)
    assert any("damaged packets left out" in note for note in audio.notes)
    assert pitch(audio.read(5.0, 6.0)) == pytest.approx(440, abs=1)


def test_digital_silence(decoded):
    audio = decoded("silent.mp4")
    assert not audio.read(0, 3).any()
    assert audio.duration_seconds == pytest.approx(3.0, abs=0.03)


def test_ten_minutes_of_silence(tmp_path):
    audio = decode_audio(probe(silent_recording(tmp_path / "a.flac", 600)), tmp_path / "a.pcm")
    assert audio.num_samples == 600 * 16000
    assert not audio.read(599, 601).any()


def test_no_sound(odd, tmp_path):
    with pytest.raises(MediaError, match="has no sound"):
        decode_audio(probe(odd("no_audio.mp4")), tmp_path / "a.pcm")
    assert not list(tmp_path.iterdir())


def test_nothing_is_left_of_a_failed_decoding(odd, tmp_path):
    path = cut(odd("talking.mp4"), tmp_path / "gone.mp4", 1.0)
    info = probe(path)
    path.unlink()
    out = tmp_path / "out" / "a.pcm"
    with pytest.raises(MediaError, match="no file at"):
        decode_audio(info, out)
    assert not list(out.parent.iterdir())


def test_the_named_stream_is_decoded(odd, tmp_path):
    long = decode_audio(probe(odd("several_audio_streams.mkv"), audio_stream=1), tmp_path / "a.pcm")
    short = decode_audio(probe(odd("several_audio_streams.mkv"), audio_stream=3), tmp_path / "b.pcm")
    assert long.duration_seconds == pytest.approx(2.0, abs=0.03)
    assert short.duration_seconds == pytest.approx(1.0, abs=0.03)


@pytest.fixture(scope="session")
def ramp(tmp_path_factory):
    path = tmp_path_factory.mktemp("ramp") / "ramp.pcm"
    np.arange(-16000, 16000).astype("<i2").tofile(path)
    return Audio(path, 32000)


@given(start=st.floats(-3, 3), length=st.floats(-1, 3))
def test_reading_is_slicing(ramp, start, length):
    end = start + length
    everything = np.arange(-16000, 16000, dtype=np.float32) / 32768
    first, last = max(0, round(start * 16000)), max(0, round(end * 16000))
    np.testing.assert_array_equal(ramp.read(start, end), everything[first:last])


def test_reading_what_was_cut_off_or_removed(tmp_path):
    path = tmp_path / "a.pcm"
    np.zeros(100, "<i2").tofile(path)
    with pytest.raises(MediaError, match=r"expected 200 samples, came 100\. Decode it again"):
        Audio(path, 200).read(0, 1)
    path.unlink()
    with pytest.raises(MediaError, match="cannot be read"):
        Audio(path, 200).read(0, 1)


@pytest.mark.real_data
def test_facts_of_real_clips(real_data, tmp_path):
    def sound(name: str) -> Audio:
        return decode_audio(probe(real_data / "clips" / name), tmp_path / "a.pcm")

    late = sound("face_noface.mov")
    assert not late.read(0.0, 2.43).any()
    assert np.abs(late.read(2.43, 2.5)).max() > 0.01
    assert late.duration_seconds == pytest.approx(2.43 + 3.97, abs=0.03)
    early = sound("noface_face.mov")
    assert early.duration_seconds == pytest.approx(3.97, abs=0.03)
    assert np.abs(early.read(0.0, 0.1)).max() > 0.01
    assert not sound("WolfgangLanger_Pexels.mp4").read(0.0, 20.0).any()
    quiet = sound("single_face.mp4").read(0.0, 3.0)
    assert np.sqrt(np.square(quiet).mean()) == pytest.approx(0.001, abs=0.0005)


@pytest.mark.real_data
def test_real_speech_equals_the_plain_chain(real_data, tmp_path):
    """Stereo at 16 kHz, mixed down: the mean of both channels, within the rounding of int16."""
    path = real_data / "mosi" / "raw" / "03bSnISJMiM_1.wav"
    audio = decode_audio(probe(path), tmp_path / "a.pcm")
    with wave.open(str(path)) as file:
        both = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2)
    np.testing.assert_allclose(audio.read(0, 10), both.mean(axis=1) / 32768, atol=1.5 / 32768)
