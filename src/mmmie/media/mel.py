"""The mel filter bank that small audio networks read through."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

RATE_HZ = 16_000
"""Of all audio here."""

Floats = NDArray[np.float64]


@lru_cache(maxsize=8)
def mel_bands(num_bands: int, num_fft: int, low_hz: float = 0.0, high_hz: float = RATE_HZ / 2) -> Floats:
    """Triangles of equal area on Slaney's mel scale, which is linear to 1 kHz and logarithmic above.

    Returns:
        (num_bands, num_fft/2 + 1) float64, read-only.

    Source: Slaney, Auditory Toolbox (1998); the front end that Whisper and the GE2E voice network were trained with.
    """
    step = np.log(6.4) / 27

    def to_mel(hz: Floats) -> Floats:
        return np.where(hz < 1000, hz * 3 / 200, 15 + np.log(np.maximum(hz, 1000) / 1000) / step)

    def to_hz(mel: Floats) -> Floats:
        return np.where(mel < 15, mel * 200 / 3, 1000 * np.exp(step * (mel - 15)))

    ends = to_mel(np.array([low_hz, high_hz]))
    corners = to_hz(np.linspace(ends[0], ends[1], num_bands + 2))
    hz = np.fft.rfftfreq(num_fft, 1 / RATE_HZ)
    rise = (hz - corners[:-2, None]) / np.diff(corners)[:-1, None]
    fall = (corners[2:, None] - hz) / np.diff(corners)[1:, None]
    bands: Floats = np.maximum(0, np.minimum(rise, fall)) * (2 / (corners[2:] - corners[:-2]))[:, None]
    bands.flags.writeable = False
    return bands
