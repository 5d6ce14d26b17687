"""Where faces are in a frame: BlazeFace, for faces that fill a tenth of the frame or more.

Source: Bazarevsky et al. 2019, "BlazeFace"; anchors and thresholds as MediaPipe's short-range face detection sets them.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mmmie.media.crops import Pixels, Square, cut
from mmmie.media.networks import Network

SIZE = 128
MOST_FACES = 8


class Detection(NamedTuple):
    """A face as the detector sees it, in pixels of the frame."""

    score: float
    box: NDArray[np.float32]
    """(4,): left, top, right, bottom."""
    keypoints: NDArray[np.float32]
    """(6, 2): right eye, left eye, tip of the nose, mouth, right ear, left ear (of the person)."""

    @property
    def square(self) -> Square:
        """The upright square around the face that the mesh is read from."""
        (right_x, right_y), (left_x, left_y) = self.keypoints[:2].tolist()
        left, top, right, bottom = self.box.tolist()
        side = 1.5 * max(right - left, bottom - top)
        angle = float(np.arctan2(left_y - right_y, left_x - right_x))
        return Square((left + right) / 2, (top + bottom) / 2, side, angle)


class FaceDetector:
    """Finds faces in single frames."""

    def __init__(self, least_score: float = 0.5) -> None:
        self._network = Network("face-detector")
        self._anchors = anchors()
        self._least_logit = float(np.log(least_score / (1 - least_score)))

    def find(self, image: Pixels) -> tuple[Detection, ...]:
        """The faces of a frame, best first.

        Args:
            image: (H, W, 3) uint8, RGB, upright.
        """
        height, width = image.shape[:2]
        whole = Square(width / 2, height / 2, max(width, height))
        offsets, logits = self._network(cut(image, whole, SIZE).astype(np.float32) / np.float32(127.5) - 1)
        likely = np.flatnonzero(logits[0, :, 0] > self._least_logit)
        if likely.size == 0:
            return ()
        points = offsets[0, likely].reshape(-1, 8, 2)
        points[:, [0, 2, 3, 4, 5, 6, 7]] += self._anchors[likely, None] * SIZE
        half = points[:, 1] / 2
        boxes = np.concatenate([points[:, 0] - half, points[:, 0] + half], axis=1)
        scores = 1 / (1 + np.exp(-logits[0, likely, 0]))
        return tuple(
            Detection(score, whole.to_frame(box.reshape(2, 2), SIZE).reshape(4), whole.to_frame(keypoints, SIZE))
            for score, box, keypoints in _merge(scores, boxes, points[:, 2:])
        )


def anchors() -> NDArray[np.float32]:
    """(896, 2): centres of the network's anchors, in [0, 1]; two a cell of 16 x 16, then six a cell of 8 x 8."""
    grids = []
    for cells, repeats in ((16, 2), (8, 6)):
        centres = (np.arange(cells, dtype=np.float32) + 0.5) / cells
        rows, columns = np.meshgrid(centres, centres, indexing="ij")
        grids.append(np.repeat(np.stack([columns, rows], axis=-1).reshape(-1, 2), repeats, axis=0))
    return np.concatenate(grids)


def overlap(box: NDArray[np.float32], boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n,) intersection over union of one box (4,) with (n, 4) others."""
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=1)
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    out: NDArray[np.float32] = shared / np.maximum(np.prod(box[2:] - box[:2]) + areas - shared, 1e-6)
    return out


def _merge(
    scores: NDArray[np.float32], boxes: NDArray[np.float32], keypoints: NDArray[np.float32]
) -> list[tuple[float, NDArray[np.float32], NDArray[np.float32]]]:
    """Boxes that overlap become one, their mean weighted by score: steadier than keeping the best."""
    left = np.argsort(-scores)
    merged: list[tuple[float, NDArray[np.float32], NDArray[np.float32]]] = []
    while left.size and len(merged) < MOST_FACES:
        same = left[overlap(boxes[left[0]], boxes[left]) > 0.3]
        same = same if same.size else left[:1]  # a box without area does not even overlap itself
        weights = scores[same] / scores[same].sum()
        mean_box = np.einsum("n,nc->c", weights, boxes[same])
        merged.append((float(scores[same[0]]), mean_box, np.einsum("n,nkc->kc", weights, keypoints[same])))
        left = np.setdiff1d(left, same, assume_unique=True)
        left = left[np.argsort(-scores[left])]
    return merged
