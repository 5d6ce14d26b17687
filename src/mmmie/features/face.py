"""Faces as numbers: what a face does in each frame, and its mean over an utterance.

The expression network says what a still face means, the measures say what moves; both are given, and which to believe
is learned. How the head is turned is known for each frame, for curves, and is no part of what a model sees.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmmie.corpus.schema import FeatureInfo
from mmmie.features.face_measures import COLUMNS, EXPRESSION, MEASURES, face_the_front, measure
from mmmie.media import expression
from mmmie.media.crops import Pixels, with_margin
from mmmie.media.face_detector import FaceDetector
from mmmie.media.face_mesh import FaceMesh, Mesh
from mmmie.media.face_tracks import LEAST_SCORE
from mmmie.media.faces import Faces
from mmmie.media.models import MODELS

VERSION = "1"
MODEL_COLUMNS = MEASURES + EXPRESSION
"""What a model sees of an utterance: the mean of each over the frames in which the speaker's face is seen."""

NETWORKS = ("face-detector", "face-detector-far", "face-mesh", "expression")
"""The files of `media.models` without which no face is read."""

PICTURE_MARGIN = 0.25


def info() -> FeatureInfo:
    """How these numbers are made; they mean the same for videos and for single pictures."""
    return FeatureInfo(
        dim=len(MODEL_COLUMNS),
        level="utterance",
        extractor="mmmie.features.face",
        version=VERSION,
        settings={
            "columns": [column.name for column in MODEL_COLUMNS],
            "statistic": "mean over frames",
            # what finds small faces, "face-detector-far", changes no number of a face and stands for no other meaning
            "networks": {name: MODELS[name].sha256 for name in ("face-detector", "face-mesh", "expression")},
            "expression_margin": expression.MARGIN,
        },
    )


class FaceReader:
    """Makes (len(COLUMNS),) float32 of one face in one frame: what `media.faces.find_faces` asks for."""

    num_values = len(COLUMNS)

    def __init__(self) -> None:
        self._expression = expression.Expression()

    def __call__(self, image: Pixels, mesh: Mesh) -> NDArray[np.float32]:
        head, pose = face_the_front(mesh.points)
        return np.concatenate([measure(head), self._expression.read(image, mesh), pose]).astype(np.float32)


@dataclass(frozen=True)
class FaceFeatures:
    """Faces of N utterances or pictures."""

    values: NDArray[np.float32]
    """(N, len(MODEL_COLUMNS)); NaN where there is no face, never zeros."""
    deviations: NDArray[np.float32]
    """(N, len(MODEL_COLUMNS)) standard deviation over the frames, for people to see; NaN where there is no face."""
    num_frames: NDArray[np.int64]
    """(N,) frames with the face."""

    @property
    def present(self) -> NDArray[np.bool_]:
        """(N,)"""
        return self.num_frames > 0


def pool(faces: Faces, spans: Sequence[tuple[float, float]], tracks: Sequence[int | None]) -> FaceFeatures:
    """The mean face of each utterance.

    Args:
        faces: as `find_faces` gives them with a `FaceReader`.
        spans: N pairs of start and end, in seconds on the media clock.
        tracks: N numbers of the track that is the speaker's face; None where none is.
    """
    chosen = []
    for (start, end), track in zip(spans, tracks, strict=True):
        first, last = np.searchsorted(faces.seconds, [start, end])
        values = faces.values[first:last, : len(MODEL_COLUMNS)]
        chosen.append(values[faces.track[first:last] == track] if track is not None else values[:0])
    return _summary(chosen)


def read_pictures(pictures: Iterable[Pixels]) -> FaceFeatures:
    """The most central face of each single picture, (H, W, 3) uint8 RGB, for training from pictures.

    Pictures of faces are cut so tightly that the detector misses many: a margin is laid around each.
    """
    detector, mesh, read = FaceDetector(), FaceMesh(), FaceReader()
    chosen = []
    for picture in pictures:
        image = with_margin(picture, PICTURE_MARGIN)
        found = _central_face(image, detector, mesh)
        chosen.append(np.zeros((0, len(COLUMNS)), np.float32) if found is None else read(image, found)[None])
    return _summary([values[:, : len(MODEL_COLUMNS)] for values in chosen])


def _central_face(image: Pixels, detector: FaceDetector, mesh: FaceMesh) -> Mesh | None:
    height, width = image.shape[:2]

    def off_centre(box: NDArray[np.float32]) -> float:
        return float(np.hypot((box[0] + box[2]) / 2 - width / 2, (box[1] + box[3]) / 2 - height / 2))

    detections = detector.find(image)
    if not detections:
        return None
    nearest = min(detections, key=lambda detection: off_centre(detection.box))
    first = mesh.read(image, nearest.square)
    found = mesh.read(image, first.square)  # a face that is followed is read from its own mesh, so this one too
    return found if min(first.score, found.score) >= LEAST_SCORE else None


def _summary(chosen: list[NDArray[np.float32]]) -> FaceFeatures:
    empty = np.full(len(MODEL_COLUMNS), np.nan, np.float32)

    def each(statistic: str) -> NDArray[np.float32]:
        rows = [getattr(values, statistic)(axis=0) if len(values) else empty for values in chosen]
        return np.array(rows, np.float32).reshape(-1, len(MODEL_COLUMNS))

    return FaceFeatures(each("mean"), each("std"), np.array([len(values) for values in chosen], np.int64))
