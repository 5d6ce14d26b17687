"""Videos to measure on: one with a drawn face and a made voice, and any clip repeated until it is long."""

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

RATE_HZ = 16000
FRAMES_HZ = 25
SIZE = (640, 360)
VOWELS = ((730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (530, 1840, 2480), (570, 840, 2410))
"""The first formants of a man's vowels, in Hz (Peterson and Barney, 1952)."""
HAIR, SKIN, LIPS, DARK, WHITE = (60, 40, 30), (215, 170, 145), (170, 80, 80), (60, 20, 20), (245, 245, 245)


def talking_head(path: Path, seconds: float) -> Path:
    """A drawn face that opens its mouth over a voice of vowels: faces and speech are found in it, but no words.

    The recogniser finds it hard, and takes longer than for speech.
    """
    with av.open(str(path), "w") as out:
        picture = out.add_stream("libx264", rate=FRAMES_HZ, options={"preset": "veryfast"})
        picture.width, picture.height, picture.pix_fmt = *SIZE, "yuv420p"
        sound = out.add_stream("aac", rate=RATE_HZ, layout="mono")
        heard = (_voice(seconds) * 32767).astype(np.int16)
        for number in range(round(seconds * FRAMES_HZ)):
            seen = av.VideoFrame.from_ndarray(_face(number / FRAMES_HZ), format="rgb24")
            seen.pts, seen.time_base = number, Fraction(1, FRAMES_HZ)
            out.mux(picture.encode(seen))
        for first in range(0, len(heard), 1024):
            block = av.AudioFrame.from_ndarray(heard[None, first : first + 1024], format="s16", layout="mono")
            block.pts, block.sample_rate, block.time_base = first, RATE_HZ, Fraction(1, RATE_HZ)
            out.mux(sound.encode(block))
        out.mux([*picture.encode(None), *sound.encode(None)])
    return path


def _voice(seconds: float) -> NDArray[np.float64]:
    chance = np.random.default_rng(0)
    pieces: list[NDArray[np.float64]] = []
    while sum(map(len, pieces)) < seconds * RATE_HZ:
        for _ in range(chance.integers(6, 14)):
            pieces += [0.06 * np.hanning(800) * chance.standard_normal(800), _vowel(chance)]
        pieces.append(np.zeros(int(chance.uniform(0.4, 0.8) * RATE_HZ)))
    return np.concatenate(pieces)[: round(seconds * RATE_HZ)]


def _vowel(chance: np.random.Generator) -> NDArray[np.float64]:
    length = int(chance.uniform(0.12, 0.26) * RATE_HZ)
    turns = np.cumsum(np.full(length, 120 * 2 ** chance.uniform(-0.3, 0.3) / RATE_HZ))
    wave = np.diff(np.floor(turns), prepend=0.0) + 0.005 * chance.standard_normal(length)
    wave = lfilter([1], [1, -0.95], wave)
    for formant, width in zip(VOWELS[chance.integers(len(VOWELS))], (80, 100, 150), strict=True):
        radius = np.exp(-np.pi * width / RATE_HZ)
        wave = lfilter([1], [1, -2 * radius * np.cos(2 * np.pi * formant / RATE_HZ), radius**2], wave)
    shaped: NDArray[np.float64] = wave * np.sqrt(np.sin(np.pi * np.arange(length) / length))
    return 0.3 * shaped / np.abs(shaped).max()


def _face(seconds: float) -> NDArray[np.uint8]:
    """(H, W, 3) RGB."""
    image = np.full((SIZE[1], SIZE[0], 3), (90, 110, 120), np.uint8)
    middle = SIZE[0] // 2 + int(20 * np.sin(seconds))

    def spot(x: float, y: float, width: float, height: float, colour: tuple[int, int, int]) -> None:
        centre, axes = (int(middle + x), int(SIZE[1] / 2 + y)), (int(width), int(height))
        cv2.ellipse(image, centre, axes, 0, 0, 360, colour, -1, cv2.LINE_AA)

    spot(0, -10, 88, 118, HAIR)
    spot(0, 150, 60, 60, (190, 145, 120))
    spot(0, 10, 75, 100, SKIN)
    spot(0, -75, 72, 38, HAIR)
    for side in (-1, 1):
        spot(side * 30, -12, 15, 7, WHITE)
        spot(side * 30, -12, 6, 6, HAIR)
        spot(side * 30, -32, 18, 4, HAIR)
        spot(side * 9, 32, 5, 3, (150, 100, 85))
    spot(0, 14, 6, 26, (225, 185, 160))
    opening = 8 * abs(np.sin(2 * np.pi * 3.3 * seconds))
    spot(0, 58, 26, 7 + opening, LIPS)
    spot(0, 58, 20, 1 + opening, DARK)
    blurred: NDArray[np.uint8] = cv2.GaussianBlur(image, (0, 0), 1.5)
    return blurred


def repeated(clip: Path, out: Path, seconds: float) -> Path:
    """A clip's first picture and sound over and over for so many seconds; packets are copied, nothing is encoded."""
    with av.open(str(clip)) as first, av.open(str(out), "w") as into:
        taken = [*first.streams.video[:1], *first.streams.audio[:1]]
        to = {stream.index: into.add_stream_from_template(stream) for stream in taken}
        length, begins = first.duration / 1e6, 0.0
        while begins < seconds:
            with av.open(str(clip)) as again:
                for packet in again.demux([again.streams[index] for index in to]):
                    if packet.dts is None or begins + float(packet.dts * packet.time_base) > seconds:
                        continue
                    shift = round(begins / packet.time_base)
                    packet.pts, packet.dts, packet.stream = (
                        packet.pts + shift,
                        packet.dts + shift,
                        to[packet.stream_index],
                    )
                    into.mux(packet)
            begins += length
    return out
