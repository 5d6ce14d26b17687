"""Where faces are in a frame: BlazeFace twice, for faces near the camera and far from it.

The near network finds faces wider than a tenth of the frame, however close; the far one those down to a twenty-fifth,
and misses the closest.

Source: Bazarevsky et al. 2019, "BlazeFace"; anchors, scales and threshold are those of MediaPipe's short-range and
full-range face detection.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mmmie.media.crops import Pixels, Square, cut
from mmmie.media.networks import Network

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
        self._near = _Range("face-detector", 128, anchors((16, 2), (8, 6)))
        self._far = _Range("face-detector-far", 192, anchors((48, 1)))
        self._least_logit = float(np.log(least_score / (1 - least_score)))

    def find(self, image: Pixels) -> tuple[Detection, ...]:
        """The faces of a frame, best first.

        Args:
            image: (H, W, 3) uint8, RGB, upright.
        """
        near, far = (part.read(image, self._least_logit) for part in (self._near, self._far))
        scores, points = np.concatenate([near[0], far[0]]), np.concatenate([near[1], far[1]])
        return _merge(scores, points) if scores.size else ()


class _Range:
    """One of the networks, with its anchors."""

    def __init__(self, name: str, size: int, centres: NDArray[np.float32]) -> None:
        self._network = Network(name)
        self._size = size
        self._centres = centres * size

    def read(self, image: Pixels, least_logit: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(n,) scores and (n, 8, 2) points in pixels of the frame: two corners of the box, then the six keypoints."""
        height, width = image.shape[:2]
        whole = Square(width / 2, height / 2, max(width, height))
        offsets, logits = self._network(cut(image, whole, self._size).astype(np.float32) / np.float32(127.5) - 1)
        likely = np.flatnonzero(logits[0, :, 0] > least_logit)
        points = offsets[0, likely].reshape(-1, 8, 2)  # centre and size of the box, then keypoints
        half = points[:, 1] / 2
        points[:, 1] = points[:, 0] + half
        points[:, 0] -= half
        return _sigmoid(logits[0, likely, 0]), whole.to_frame(points + self._centres[likely, None], self._size)


def anchors(*grids: tuple[int, int]) -> NDArray[np.float32]:
    """(n, 2): centres of a network's anchors in [0, 1], row by row; each grid is cells on a side, anchors in a cell."""
    centres = []
    for cells, repeats in grids:
        middles = (np.arange(cells, dtype=np.float32) + 0.5) / cells
        rows, columns = np.meshgrid(middles, middles, indexing="ij")
        centres.append(np.repeat(np.stack([columns, rows], axis=-1).reshape(-1, 2), repeats, axis=0))
    return np.concatenate(centres)


def overlap(box: NDArray[np.float32], boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n,) intersection over union of one box (4,) with (n, 4) others."""
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=1)
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    out: NDArray[np.float32] = shared / np.maximum(np.prod(box[2:] - box[:2]) + areas - shared, 1e-6)
    return out


def _merge(scores: NDArray[np.float32], points: NDArray[np.float32]) -> tuple[Detection, ...]:
    """Boxes that overlap become one, their mean weighted by score: steadier than keeping the best."""
    boxes = points[:, :2].reshape(-1, 4)
    left = np.argsort(-scores)
    merged: list[Detection] = []
    while left.size and len(merged) < MOST_FACES:
        best = left[0]
        same = overlap(boxes[best], boxes[left]) > 0.3
        same[0] = True  # a box without area does not even overlap itself
        weights = scores[left[same]] / scores[left[same]].sum()
        mean = np.einsum("n,nkc->kc", weights, points[left[same]])
        merged.append(Detection(float(scores[best]), mean[:2].reshape(4), mean[2:]))
        left = left[~same]
    return tuple(merged)


def _sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    return (1 / (1 + np.exp(-logits))).astype(np.float32)
