"""Where the picture cuts to another: what was tracked before a cut says nothing about what is seen after it."""

import numpy as np
from numpy.typing import NDArray

from mmmie.media.crops import Pixels, shrink

WIDTH, HEIGHT = 32, 18
COLOURS = 8


class ShotCounter:
    """Counts shots as frames come in.

    A cut changes both which colours there are and where they are; a person who moves changes the second, a light that
    goes on the first. So a cut is where both jump.
    """

    def __init__(self, colour_jump: float = 0.3, place_jump: float = 0.12) -> None:
        """`colour_jump`: share of pixels, `place_jump`: mean difference of brightness in [0, 1]."""
        self._colour_jump, self._place_jump = colour_jump, place_jump
        self._before: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None
        self._shot = 0

    def next(self, image: Pixels) -> int:
        """The number of the shot that a frame, (H, W, 3) uint8 RGB, is of; from 0."""
        small = shrink(image, WIDTH, HEIGHT)
        now = (_histogram(small), small.mean(axis=2) / 255)
        if self._before is not None:
            colours = np.abs(now[0] - self._before[0]).sum() / 2
            places = np.abs(now[1] - self._before[1]).mean()
            self._shot += bool(colours > self._colour_jump and places > self._place_jump)
        self._before = now
        return self._shot


def _histogram(small: Pixels) -> NDArray[np.float64]:
    """(512,) share of pixels by colour; each counts in two neighbouring bins of brightness, so that a flicker that
    crosses the edge of a bin is no jump."""
    step = 256 // COLOURS
    place = np.array([COLOURS * COLOURS, COLOURS, 1])
    pixels = small.reshape(-1, 3).astype(np.int64)
    shifted = np.minimum(pixels + step // 2, 255)
    bins = np.concatenate([(pixels // step) @ place, (shifted // step) @ place])
    return np.bincount(bins, minlength=COLOURS**3) / bins.size
