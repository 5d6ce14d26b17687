"""Prosody of one utterance: pitch, loudness, rate, pauses and timbre, by short-time spectra and autocorrelation.

Everything that enters a model is level-free: a recording played at another gain gives the same numbers. What a reader
wants beside them, the loudness itself and words per second, is in `Prosody` but not in its vector.
"""

from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray

from mmmie.media.mel import RATE_HZ, mel_bands

HOP = 160
"""Samples from frame to frame: 10 ms."""
WINDOW = 640
"""Samples of a frame: 40 ms, which is 2.8 periods of the lowest pitch."""
NUM_FFT = 1024
PITCH_FLOOR_HZ, PITCH_CEILING_HZ = 70.0, 600.0
VOICED_PERIODICITY = 0.5
"""Frames whose autocorrelation peak is below this are unvoiced."""
SPEECH_RANGE_DB = 30.0
"""Frames further than this below the loud ones are silence."""
SHORTEST_PAUSE_SECONDS = 0.15
NUM_CEPSTRA = 12

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Frames:
    """Measures of every 10 ms, each (T,)."""

    level_db: Floats
    """Re full scale."""
    pitch_hz: Floats
    """NaN where unvoiced."""
    periodicity: Floats
    """Height of the autocorrelation's peak in 0..1; harmonics-to-noise is its logit."""
    speech: Flags
    """Within 30 dB of the loud frames."""
    spectrum: NDArray[np.float32]
    """Power, (T, 513)."""


@dataclass(frozen=True)
class Prosody:
    """Prosody of one utterance; the unit ends each name (st: semitones). Not a number where nothing is voiced."""

    pitch_median_hz: float
    pitch_range_st: float
    """From the 10th to the 90th percentile."""
    pitch_deviation_st: float
    pitch_slope_st_per_s: float
    pitch_motion_st_per_s: float
    """Mean absolute change inside voiced runs."""
    pitch_end_st: float
    """Median of the last third of the voiced frames over the median of all."""
    voiced_share: float
    """Of the speech frames."""
    voiced_run_s: float
    """Mean length of a voiced run."""
    level_range_db: float
    """From the 10th to the 90th percentile of speech frames."""
    level_deviation_db: float
    level_slope_db_per_s: float
    level_motion_db_per_s: float
    level_end_db: float
    syllables_per_s: float
    """Peaks of loudness in voiced sound, per second of the utterance (after de Jong and Wempe, 2009)."""
    pause_share: float
    """Silences of 0.15 s and more between the first and the last speech frame."""
    longest_pause_s: float
    harmonicity_db: float
    """Harmonics-to-noise ratio of voiced frames, mean."""
    harmonicity_deviation_db: float
    tilt_db_per_octave: float
    """Slope of the long-term voiced spectrum from 100 Hz to 5 kHz."""
    alpha_ratio_db: float
    """Power of 50 Hz to 1 kHz over that of 1 to 5 kHz, voiced frames."""
    hammarberg_db: float
    """Strongest peak below 2 kHz over the strongest from 2 to 5 kHz, voiced frames."""
    centroid_hz: float
    centroid_deviation_hz: float
    flux_db: float
    """Mean absolute change of the mel spectrum from frame to frame, level taken out."""
    loudness_db: float
    """Level of speech frames re full scale: for the reader, never for a model."""
    words_per_s: float
    """For the reader too: NaN without words."""


READERS_ONLY = ("loudness_db", "words_per_s")
CEPSTRA = tuple(f"mfcc{i}_{part}" for part in ("mean", "deviation") for i in range(1, NUM_CEPSTRA + 1))
"""Mel-frequency cepstral coefficients of speech frames; the 0th, which is level, is left out."""
COLUMNS = tuple("pitch_median_st" if f.name == "pitch_median_hz" else f.name for f in fields(Prosody) if
                f.name not in READERS_ONLY) + CEPSTRA  # fmt: skip
"""Names of `vector`'s columns; the median pitch enters it as semitones over 100 Hz."""


def measure_frames(audio: NDArray[np.float32]) -> Frames:
    """Level, pitch and spectrum of every 10 ms.

    Args:
        audio: (n,) float32 in [-1, 1], 16 kHz, at least one frame of 40 ms.

    Source: pitch by the autocorrelation divided by that of the window (Boersma, 1993); candidates are chosen in two
        passes, the second of which prefers what is near the utterance's median, in place of his path search.
    """
    frames = torch.from_numpy(audio).unfold(0, WINDOW, HOP)
    frames = frames - frames.mean(dim=1, keepdim=True)
    window = torch.hann_window(WINDOW, periodic=False)
    spectrum = torch.fft.rfft(frames * window, NUM_FFT).abs().square()
    correlation = torch.fft.irfft(spectrum)[:, : NUM_FFT // 2].numpy()
    correlation = correlation / np.maximum(correlation[:, :1], np.finfo(np.float32).tiny) / _autocorrelation(window)
    power = frames.square().mean(dim=1).double().numpy()
    level_db = 10 * np.log10(np.maximum(power, max(power.max() * 1e-9, 1e-20)))
    speech = level_db > np.percentile(level_db, 95) - SPEECH_RANGE_DB
    pitch_hz, periodicity = _follow_pitch(correlation, speech)
    return Frames(level_db, pitch_hz, periodicity, speech, spectrum.numpy())


def _autocorrelation(window: torch.Tensor) -> NDArray[np.float32]:
    values = torch.fft.irfft(torch.fft.rfft(window, 2 * NUM_FFT).abs().square())[: NUM_FFT // 2]
    correlation: NDArray[np.float32] = (values / values[0]).clamp(min=1e-3).numpy()
    return correlation


def _follow_pitch(correlation_TL: NDArray[np.float32], speech_T: Flags) -> tuple[Floats, Floats]:
    first, last = int(RATE_HZ / PITCH_CEILING_HZ), int(RATE_HZ / PITCH_FLOOR_HZ)
    before, here, after = (correlation_TL[:, first + shift : last + shift + 1] for shift in (-1, 0, 1))
    is_peak = (here > before) & (here >= after)
    slope, bend = before - after, np.minimum(before - 2 * here + after, -1e-9)  # below 0 at a peak
    height = np.where(is_peak, np.minimum(here - 0.125 * slope**2 / bend, 1.0), 0.0)
    octave = np.log2(RATE_HZ / np.arange(first, last + 1))
    # A multiple of the period fits as well as the period itself: each octave down must fit better by .03.
    score = np.where(is_peak, height + 0.03 * octave, -1.0)
    rows = np.arange(len(score))
    best = score.argmax(axis=1)
    voiced = speech_T & (height[rows, best] > VOICED_PERIODICITY)
    if voiced.any():
        score -= 0.15 * np.abs(octave - np.median(octave[best[voiced]]))
        best = score.argmax(axis=1)
        voiced = speech_T & (height[rows, best] > VOICED_PERIODICITY)
    shift = np.clip(0.5 * slope[rows, best] / bend[rows, best], -0.5, 0.5)
    return np.where(voiced, RATE_HZ / (first + best + shift), np.nan), height[rows, best].astype(np.float64)


def measure_prosody(frames: Frames, num_words: int | None = None) -> Prosody:
    """The utterance's prosody out of its frames.

    Args:
        frames: of the whole utterance.
        num_words: words spoken in it, where they are known.
    """
    voiced, speech = ~np.isnan(frames.pitch_hz), frames.speech
    seconds = len(speech) * HOP / RATE_HZ
    pitch_st = 12 * np.log2(frames.pitch_hz / 100.0)
    runs = _runs(voiced)
    level = frames.level_db[speech]
    pauses = [(end - start) * HOP / RATE_HZ for start, end in _runs(~speech) if start > 0 and end < len(speech)]
    pauses = [pause for pause in pauses if pause >= SHORTEST_PAUSE_SECONDS]
    ratio = np.clip(frames.periodicity[voiced], 1e-4, 0.9999)
    harmonicity = 10 * np.log10(ratio / (1 - ratio))
    pitch = _contour(pitch_st[voiced], np.flatnonzero(voiced))
    loudness = _contour(level, np.flatnonzero(speech))
    return Prosody(
        pitch_median_hz=float(np.median(frames.pitch_hz[voiced])) if voiced.any() else np.nan,
        pitch_range_st=pitch["range"],
        pitch_deviation_st=pitch["deviation"],
        pitch_slope_st_per_s=pitch["slope"],
        pitch_motion_st_per_s=pitch["motion"],
        pitch_end_st=pitch["end"],
        voiced_share=float(voiced.sum() / max(speech.sum(), 1)),
        voiced_run_s=float(np.mean([end - start for start, end in runs]) * HOP / RATE_HZ) if runs else np.nan,
        level_range_db=loudness["range"],
        level_deviation_db=loudness["deviation"],
        level_slope_db_per_s=loudness["slope"],
        level_motion_db_per_s=loudness["motion"],
        level_end_db=loudness["end"],
        syllables_per_s=_count_nuclei(frames.level_db, voiced) / seconds,
        pause_share=sum(pauses) / seconds,
        longest_pause_s=max(pauses, default=0.0),
        harmonicity_db=float(harmonicity.mean()) if voiced.any() else np.nan,
        harmonicity_deviation_db=float(harmonicity.std()) if voiced.any() else np.nan,
        **_timbre(frames.spectrum, voiced, speech),
        loudness_db=float(np.median(level)),
        words_per_s=num_words / seconds if num_words is not None else np.nan,
    )


def prosody_vector(frames: Frames, prosody: Prosody) -> NDArray[np.float32]:
    """The level-free numbers for a model, (len(COLUMNS),) float32, in the order of `COLUMNS`."""
    values = {f.name: getattr(prosody, f.name) for f in fields(Prosody)}
    values["pitch_median_st"] = 12 * np.log2(values["pitch_median_hz"] / 100.0)
    log_mel = _log_mel(frames.spectrum[frames.speech])
    cepstra = log_mel @ _cosines(log_mel.shape[1]).T
    values |= dict(zip(CEPSTRA, np.concatenate([cepstra.mean(axis=0), cepstra.std(axis=0)]), strict=True))
    return np.array([values[name] for name in COLUMNS], np.float32)


def _contour(values: Floats, frame: NDArray[np.intp]) -> dict[str, float]:
    """Shape of a curve that is known at some frames."""
    if len(values) < 3:
        return dict.fromkeys(("range", "deviation", "slope", "motion", "end"), np.nan)
    time = frame * HOP / RATE_HZ
    low, high = np.percentile(values, [10, 90])
    neighbours = np.diff(frame) == 1
    motion = np.abs(np.diff(values))[neighbours]
    last = values[-max(len(values) // 3, 1) :]
    return {
        "range": float(high - low),
        "deviation": float(values.std()),
        "slope": float(np.polyfit(time - time.mean(), values, 1)[0]),
        "motion": float(np.minimum(motion, 6.0).mean() * RATE_HZ / HOP) if len(motion) else 0.0,
        "end": float(np.median(last) - np.median(values)),
    }


def _runs(flags: Flags) -> list[tuple[int, int]]:
    """First frame and one past the last of each run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return [(int(start), int(end)) for start, end in edges.reshape(-1, 2)]


def _count_nuclei(level_db: Floats, voiced: Flags) -> int:
    """Syllable nuclei: maxima of smooth loudness in voiced sound, each 2 dB above the valley before it."""
    smooth = np.convolve(np.pad(level_db, 4, mode="edge"), np.hanning(9) / np.hanning(9).sum(), mode="valid")
    turns = np.flatnonzero(np.diff(np.sign(np.diff(smooth))) != 0) + 1
    count, valley = 0, smooth[0]
    for turn in turns:
        if smooth[turn] < valley:
            valley = smooth[turn]
        elif voiced[turn] and smooth[turn] - valley >= 2.0 and smooth[turn] > np.max(smooth) - 25.0:
            count, valley = count + 1, smooth[turn]
    return count


def _timbre(spectrum: NDArray[np.float32], voiced: Flags, speech: Flags) -> dict[str, float]:
    hz = np.fft.rfftfreq(NUM_FFT, 1 / RATE_HZ)
    log_mel = _log_mel(spectrum)
    shape = log_mel - log_mel.mean(axis=1, keepdims=True)
    both = speech[1:] & speech[:-1]
    flux = float(np.abs(np.diff(shape, axis=0))[both].mean() * 10 / np.log(10)) if both.any() else 0.0
    if not voiced.any():
        names = ("tilt_db_per_octave", "alpha_ratio_db", "hammarberg_db", "centroid_hz", "centroid_deviation_hz")
        return dict.fromkeys(names, np.nan) | {"flux_db": flux}
    sound = spectrum[voiced] / np.maximum(spectrum[voiced].sum(axis=1, keepdims=True), np.finfo(float).tiny)
    mean = sound.mean(axis=0)
    band = (hz >= 100) & (hz <= 5000)
    # Octaves, not hertz, weigh alike.
    weight = 1 / np.sqrt(hz[band])
    tilt = np.polyfit(np.log2(hz[band]), 10 * np.log10(np.maximum(mean[band], 1e-12)), 1, w=weight)[0]
    low, high = sound[:, (hz >= 50) & (hz < 1000)].sum(axis=1), sound[:, (hz >= 1000) & (hz <= 5000)].sum(axis=1)
    peak_low, peak_high = sound[:, hz < 2000].max(axis=1), sound[:, (hz >= 2000) & (hz <= 5000)].max(axis=1)
    centroid = sound @ hz
    return {
        "tilt_db_per_octave": float(tilt),
        "alpha_ratio_db": _mean_ratio_db(low, high),
        "hammarberg_db": _mean_ratio_db(peak_low, peak_high),
        "centroid_hz": float(centroid.mean()),
        "centroid_deviation_hz": float(centroid.std()),
        "flux_db": flux,
    }


def _mean_ratio_db(above: Floats, below: Floats) -> float:
    """Mean over frames, each held to 60 dB: digital silence in a band is no number."""
    return float(np.clip(10 * np.log10(np.maximum(above, 1e-12) / np.maximum(below, 1e-12)), -60, 60).mean())


def _log_mel(spectrum: NDArray[np.float32]) -> Floats:
    """Natural logarithm of 26 mel bands, held to 80 dB under the utterance's loudest, (T, 26)."""
    bands = spectrum @ mel_bands(26, NUM_FFT, 60.0, 7600.0).T
    floor = max(bands.max(initial=0.0) * 1e-8, np.finfo(float).tiny)
    log_mel: Floats = np.log(np.maximum(bands, floor))
    return log_mel


def _cosines(num_bands: int) -> Floats:
    """The rows of the discrete cosine transform that give coefficients 1 to 12."""
    order = np.arange(1, NUM_CEPSTRA + 1)[:, None]
    cosines: Floats = np.cos(np.pi * order * (np.arange(num_bands) + 0.5) / num_bands) * np.sqrt(2 / num_bands)
    return cosines
