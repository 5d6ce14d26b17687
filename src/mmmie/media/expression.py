"""The expression of a face, as a small network trained on FER2013 names it: weak evidence on talking faces."""

import numpy as np
from numpy.typing import NDArray

from mmmie.media.crops import Pixels, cut, gray
from mmmie.media.face_mesh import Mesh, around
from mmmie.media.networks import Network

SIZE = 64
MARGIN = 1.1
EXPRESSIONS = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")


class Expression:
    """Reads probabilities of `EXPRESSIONS`."""

    def __init__(self) -> None:
        self._network = Network("expression")

    def read(self, image: Pixels, mesh: Mesh) -> NDArray[np.float32]:
        """(7,) float32 that sum to 1, for one face of a frame, (H, W, 3) uint8 RGB."""
        face = gray(cut(image, around(mesh.points, MARGIN), SIZE)).astype(np.float32)
        (probabilities,) = self._network(face / np.float32(127.5) - 1)
        return probabilities.reshape(len(EXPRESSIONS)).astype(np.float32)
