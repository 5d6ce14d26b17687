"""468 points on a face.

Source: Kartynnik et al. 2019, "Real-time Facial Surface Geometry from Monocular Video on Mobile GPUs"; the numbering of
the points, the margin of the square and the threshold are MediaPipe's.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mmmie.media.crops import Pixels, Square, cut
from mmmie.media.networks import Network

SIZE = 192
NUM_POINTS = 468
RIGHT_EYE_OUTER, LEFT_EYE_OUTER = 33, 263


class Mesh(NamedTuple):
    """The points of one face in one frame."""

    points: NDArray[np.float32]
    """(468, 3) in pixels of the frame; x right, y down, z away from the camera, of the scale of x, 0 at the head."""
    score: float
    """In [0, 1]: how surely there is a face in the square."""

    @property
    def box(self) -> NDArray[np.float32]:
        """(4,): left, top, right, bottom of the points."""
        return np.concatenate([self.points[:, :2].min(axis=0), self.points[:, :2].max(axis=0)])

    @property
    def square(self) -> Square:
        """The upright square to read the face from in the next frame."""
        return around(self.points, 1.5)


class FaceMesh:
    """Reads the mesh of a face whose place is roughly known."""

    def __init__(self) -> None:
        self._network = Network("face-mesh")

    def read(self, image: Pixels, square: Square) -> Mesh:
        """The mesh of the face in a square of the frame, (H, W, 3) uint8 RGB; look at its `score` before using it."""
        points, logit = self._network(cut(image, square, SIZE).astype(np.float32) / np.float32(255))
        placed = square.to_frame(points.reshape(NUM_POINTS, 3), SIZE)
        return Mesh(placed, float(1 / (1 + np.exp(-float(logit.item())))))


def around(points: NDArray[np.float32], margin: float) -> Square:
    """The square turned with the eyes around all points, its side `margin` times the longer extent."""
    across = points[LEFT_EYE_OUTER, :2] - points[RIGHT_EYE_OUTER, :2]
    angle = float(np.arctan2(across[1], across[0]))
    cos, sin = np.cos(angle), np.sin(angle)
    turn = np.array([[cos, -sin], [sin, cos]], np.float32)  # frame to upright, for row vectors
    upright = points[:, :2] @ turn
    low, high = upright.min(axis=0), upright.max(axis=0)
    x, y = (turn @ ((low + high) / 2)).tolist()
    return Square(x, y, margin * float((high - low).max()), angle)
