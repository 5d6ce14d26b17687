"""A film of three seconds for tests of an installation: a drawn face that speaks vowels, nobody's face and voice.

It is written without any library for media: uncompressed pictures and sound in an AVI, which FFmpeg reads everywhere.
"""

import struct
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SECONDS = 3.0
RATE_HZ = 16000
FRAMES_HZ = 8
SIZE = (320, 240)
VOWELS = ((730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (530, 1840, 2480), (570, 840, 2410))
"""Formants in Hz of a man's a, i, u, e, o; source: Peterson and Barney (1952)."""
BANDWIDTHS_HZ = (80, 100, 140)
SYLLABLES_HZ = 4.0


def voice(seconds: float = SECONDS) -> NDArray[np.int16]:
    """Vowels, four a second, 16 kHz: pulses of a falling pitch through the resonances of a mouth."""
    from scipy.signal import lfilter

    time = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    pitch = 135 - 20 * time / seconds + 8 * np.sin(2 * np.pi * 0.9 * time)
    turns = np.cumsum(pitch) / RATE_HZ
    pulses = np.diff(np.floor(turns), prepend=0.0)
    source = lfilter([1.0], [1.0, -0.95], pulses) + 0.002 * np.random.default_rng(0).standard_normal(len(time))
    spoken = np.zeros_like(source)
    for n, formants in enumerate(VOWELS):
        sound = source
        for frequency, bandwidth in zip(formants, BANDWIDTHS_HZ, strict=True):
            radius = np.exp(-np.pi * bandwidth / RATE_HZ)
            turn = 2 * np.cos(2 * np.pi * frequency / RATE_HZ)
            sound = lfilter([1 - radius * turn + radius**2], [1, -radius * turn, radius**2], sound)
        own = (time * SYLLABLES_HZ).astype(int) % len(VOWELS) == n
        spoken += lfilter([0.01], [1, -0.99], own.astype(float)) * sound
    spoken *= 0.35 + 0.65 * np.sin(np.pi * (time * SYLLABLES_HZ % 1)) ** 2
    spoken *= (time > 0.2) & (time < seconds - 0.2)
    samples: NDArray[np.int16] = (0.4 * 32767 * spoken / np.abs(spoken).max()).astype(np.int16)
    return samples


def picture(seconds: float) -> NDArray[np.uint8]:
    """(240, 320, 3) RGB: a face from the front, whose mouth opens and closes."""
    image = _face().copy()
    opening = 4 + 8 * abs(np.sin(np.pi * SYLLABLES_HZ * seconds))
    _paint(image, (160, 170), (25, 5 + opening), (178, 88, 84))  # lips
    _paint(image, (160, 170), (19, opening), (70, 26, 28))
    return np.clip(image, 0, 255).astype(np.uint8)


@lru_cache(maxsize=1)
def _face() -> NDArray[np.float64]:
    """All but the mouth."""
    image = np.empty((SIZE[1], SIZE[0], 3))
    image[:] = (96, 120, 140)
    _paint(image, (160, 95), (74, 88), (58, 40, 30))  # hair
    _paint(image, (160, 230), (34, 50), (190, 140, 115))  # neck
    _paint(image, (160, 125), (60, 82), (222, 172, 145))  # skin
    for side in (-1, 1):
        eye = 160 + 25 * side
        _paint(image, (eye, 92), (15, 3.5), (70, 48, 38))  # brow
        _paint(image, (eye, 110), (12, 8), (170, 120, 100))  # lids
        _paint(image, (eye, 110), (10, 5.5), (240, 238, 235))
        _paint(image, (eye, 110), (5, 5.5), (60, 40, 30))
        _paint(image, (160 + 7 * side, 147), (5, 4), (150, 98, 82))  # nostril
    _paint(image, (160, 130), (6, 18), (232, 184, 158))  # nose
    return image


def _paint(
    image: NDArray[np.float64], centre: tuple[float, float], radii: tuple[float, float], colour: tuple[int, int, int]
) -> None:
    """An ellipse with soft edges, lit from the front, laid over the image."""
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    light = 1.1 - 0.35 * ((x - 150) / 90) ** 2 - 0.15 * ((y - 110) / 120) ** 2
    inside = ((x - centre[0]) / radii[0]) ** 2 + ((y - centre[1]) / radii[1]) ** 2
    cover = np.clip((1.15 - inside) / 0.3, 0, 1)[..., None]
    image[:] = (1 - cover) * image + cover * light[..., None] * colour


def pictures() -> list[tuple[float, NDArray[np.uint8]]]:
    """All of them, each with its time in seconds."""
    return [(n / FRAMES_HZ, picture(n / FRAMES_HZ)) for n in range(round(SECONDS * FRAMES_HZ))]


def write(path: Path) -> Path:
    """Writes the film. Source: AVI RIFF file reference, Microsoft."""
    sound, frames = voice(), pictures()
    width, height = SIZE
    step = RATE_HZ // FRAMES_HZ
    head = struct.pack("<14I", 10**6 // FRAMES_HZ, 0, 0, 0x10, len(frames), 0, 2, 0, width, height, 0, 0, 0, 0)
    image = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, width * height * 3, 0, 0, 0, 0)
    wave = struct.pack("<HHIIHH", 1, 1, RATE_HZ, 2 * RATE_HZ, 2, 16)
    body = b""
    for n, (_, frame) in enumerate(frames):
        body += _chunk(b"00db", np.ascontiguousarray(frame[::-1, :, ::-1]).tobytes())  # bottom up, and BGR
        body += _chunk(b"01wb", sound[n * step : (n + 1) * step].astype("<i2").tobytes())
    streams = _stream(b"vids", 1, FRAMES_HZ, len(frames), 0, image) + _stream(b"auds", 1, RATE_HZ, len(sound), 2, wave)
    content = _list(b"hdrl", _chunk(b"avih", head) + streams) + _list(b"movi", body)
    path.write_bytes(_chunk(b"RIFF", b"AVI " + content))
    return path


def _stream(kind: bytes, scale: int, rate: int, length: int, sample_bytes: int, layout: bytes) -> bytes:
    head = kind + bytes(4) + struct.pack("<10I", 0, 0, 0, scale, rate, 0, length, 0, 0xFFFFFFFF, sample_bytes)
    return _list(b"strl", _chunk(b"strh", head + struct.pack("<4H", 0, 0, *SIZE)) + _chunk(b"strf", layout))


def _chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)


def _list(kind: bytes, content: bytes) -> bytes:
    return _chunk(b"LIST", kind + content)
