"""Squares cut out of a frame, turned upright and brought to a size; and back from the square to the frame."""

from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mmmie.errors import MediaError, missing_extra

Pixels = NDArray[np.uint8]


class Square(NamedTuple):
    """A square of a frame: its centre and side in pixels, and the clockwise turn of its content in radians."""

    x: float
    y: float
    side: float
    angle: float = 0.0

    def affine(self, size: int) -> NDArray[np.float32]:
        """(2, 3): takes pixels of the cut-out, (0, 0) to (size, size), to pixels of the frame."""
        step = self.side / size
        cos, sin = step * np.cos(self.angle), step * np.sin(self.angle)
        half = size / 2
        return np.array([[cos, -sin, self.x - half * (cos - sin)], [sin, cos, self.y - half * (sin + cos)]], np.float32)

    def to_frame(self, points: NDArray[np.float32], size: int) -> NDArray[np.float32]:
        """(..., 2) or (..., 3) points of the cut-out of `size` pixels, in pixels of the frame; z is scaled alike."""
        affine = self.affine(size)
        placed = points[..., :2] @ affine[:, :2].T + affine[:, 2]
        return np.concatenate([placed, points[..., 2:] * np.float32(self.side / size)], axis=-1)


def cut(image: Pixels, square: Square, size: int) -> Pixels:
    """The square as `size` by `size` pixels with the channels of the image; black beyond its edges."""
    cv2 = _opencv()
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    shift = np.array([0.5, 0.5], np.float32)  # OpenCV counts from the middle of the first pixel
    affine = square.affine(size)
    affine[:, 2] += affine[:, :2] @ shift - shift
    out: Pixels = cv2.warpAffine(image, affine, (size, size), flags=flags)
    return out


def gray(image: Pixels) -> Pixels:
    """(H, W, 3) RGB as (H, W) luminance."""
    cv2 = _opencv()
    out: Pixels = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    return out


def shrink(image: Pixels, width: int, height: int) -> Pixels:
    """The image at another, smaller size, each pixel a mean over its area."""
    cv2 = _opencv()
    rows, columns = image.shape[:2]
    if rows % 2 == columns % 2 == 0 and rows >= 4 * height and columns >= 4 * width:  # means of means, 3 times as fast
        image = cv2.resize(image, (columns // 2, rows // 2), interpolation=cv2.INTER_AREA)
    out: Pixels = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    return out


def with_margin(image: Pixels, share: float) -> Pixels:
    """The image with its edges drawn out on all sides by a share of its longer side."""
    cv2 = _opencv()
    width = int(max(image.shape[:2]) * share)
    out: Pixels = cv2.copyMakeBorder(image, width, width, width, width, cv2.BORDER_REPLICATE)
    return out


def read_picture(path: Path) -> Pixels:
    """A picture file as (H, W, 3) uint8 RGB.

    Raises:
        MediaError: it cannot be read as a picture.
    """
    cv2 = _opencv()
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise MediaError(f"{path} cannot be read as a picture. Expected a JPEG, PNG or the like.")
    out: Pixels = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    return out


def _opencv() -> ModuleType:
    try:
        import cv2
    except ImportError:
        raise missing_extra("opencv-python-headless", "video") from None
    return cv2
