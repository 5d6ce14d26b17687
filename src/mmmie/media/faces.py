"""The faces of a video: who is in sight when, cut at shots, and what a reader of faces makes of each sighting."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mmmie.media.crops import Pixels
from mmmie.media.face_mesh import LEFT_EYE_OUTER, RIGHT_EYE_OUTER, Mesh
from mmmie.media.face_tracks import FaceTracker
from mmmie.media.shots import ShotCounter

UPPER_LIP, LOWER_LIP = 0, 17
"""Their points at the outer edge, in the middle of the mouth."""


class FaceReader(Protocol):
    """Makes numbers of a face: called with the frame and the mesh, it gives (num_values,) float32."""

    @property
    def num_values(self) -> int: ...

    def __call__(self, image: Pixels, mesh: Mesh) -> NDArray[np.float32]: ...


class SeenImage(Protocol):
    """What is needed of a frame."""

    @property
    def seconds(self) -> float: ...

    @property
    def image(self) -> Pixels: ...


@dataclass(frozen=True)
class Faces:
    """F frames that were looked at, and M sightings of faces in them, in order of time.

    A frame without a face has no sighting: nothing here is zero for want of a face.
    """

    frame_seconds: NDArray[np.float64]
    """(F,) increasing."""
    frame_shot: NDArray[np.int32]
    """(F,) the number of the shot, from 0."""
    seconds: NDArray[np.float64]
    """(M,) times out of `frame_seconds`."""
    track: NDArray[np.int32]
    """(M,) one number for one face as long as it is followed; never across a cut."""
    box: NDArray[np.float32]
    """(M, 4) left, top, right, bottom as shares of the frame's width and height; may reach beyond it."""
    mouth_opening: NDArray[np.float32]
    """(M,) distance between the outer edges of the lips, in distances between the outer corners of the eyes."""
    values: NDArray[np.float32]
    """(M, D) what the reader made of each."""

    @property
    def share_with_face(self) -> float:
        """The share of the frames that show a face."""
        return float(np.isin(self.frame_seconds, self.seconds).mean()) if self.frame_seconds.size else 0.0

    @property
    def num_shots(self) -> int:
        return int(self.frame_shot.max()) + 1 if self.frame_shot.size else 0


def find_faces(frames: Iterable[SeenImage], read: FaceReader, most_faces: int = 4, least_sightings: int = 3) -> Faces:
    """Follows all faces through a video.

    Only one frame is held at a time; what stays is a row of numbers for each sighting.

    Args:
        frames: in order of time, at about 8 Hz: fewer do not show who speaks.
        read: makes numbers of one face in one frame.
        most_faces: no more than so many are followed at once.
        least_sightings: a track seen less often is taken for an error of the detector and left out, except in a
            video of so few frames.

    Raises:
        FeatureError: a network's file is absent or of another content.
    """
    tracker, shots = FaceTracker(most_faces), ShotCounter()
    frame_seconds: list[float] = []
    frame_shot: list[int] = []
    rows: list[tuple[float, int, NDArray[np.float32], float, NDArray[np.float32]]] = []
    for frame in frames:
        height, width = frame.image.shape[:2]
        shot = shots.next(frame.image)
        if frame_shot and shot != frame_shot[-1]:
            tracker.cut()
        frame_seconds.append(frame.seconds)
        frame_shot.append(shot)
        for track, mesh in tracker.next(frame.seconds, frame.image):
            box = (mesh.box / [width, height, width, height]).astype(np.float32)
            rows.append((frame.seconds, track, box, mouth_opening(mesh), read(frame.image, mesh)))
    tracks = np.array([row[1] for row in rows], np.int32)
    often = np.bincount(tracks)[tracks] >= min(least_sightings, len(frame_seconds)) if rows else np.zeros(0, bool)
    kept = [row for row, keep in zip(rows, often, strict=True) if keep]
    return Faces(
        frame_seconds=np.array(frame_seconds, np.float64),
        frame_shot=np.array(frame_shot, np.int32),
        seconds=np.array([row[0] for row in kept], np.float64),
        track=tracks[often],
        box=np.array([row[2] for row in kept], np.float32).reshape(-1, 4),
        mouth_opening=np.array([row[3] for row in kept], np.float32),
        values=np.array([row[4] for row in kept], np.float32).reshape(-1, read.num_values),
    )


def mouth_opening(mesh: Mesh) -> float:
    """How far the outer edges of the lips are apart, in distances between the outer corners of the eyes."""
    points = mesh.points
    eyes = float(np.linalg.norm(points[LEFT_EYE_OUTER] - points[RIGHT_EYE_OUTER]))
    return float(np.linalg.norm(points[LOWER_LIP] - points[UPPER_LIP])) / max(eyes, 1e-6)
