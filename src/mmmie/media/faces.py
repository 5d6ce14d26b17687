"""The faces of a video: who is in sight when, cut at shots, and what a reader of faces makes of each sighting."""

from array import array
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
    frame_seconds, frame_shot = array("d"), array("i")
    seconds, tracks, numbers = array("d"), array("i"), array("f")
    for frame in frames:
        height, width = frame.image.shape[:2]
        shot = shots.next(frame.image)
        if frame_shot and shot != frame_shot[-1]:
            tracker.cut()
        frame_seconds.append(frame.seconds)
        frame_shot.append(shot)
        for track, mesh in tracker.next(frame.seconds, frame.image):
            seconds.append(frame.seconds)
            tracks.append(track)
            numbers.extend((mesh.box / [width, height, width, height]).tolist())
            numbers.append(mouth_opening(mesh))
            numbers.extend(read(frame.image, mesh).tolist())
    track_M = np.array(tracks, np.int32)
    often_M = np.bincount(track_M)[track_M] >= min(least_sightings, len(frame_seconds)) if tracks else np.zeros(0, bool)
    rows = np.array(numbers, np.float32).reshape(-1, 5 + read.num_values)[often_M]
    return Faces(
        frame_seconds=np.array(frame_seconds, np.float64),
        frame_shot=np.array(frame_shot, np.int32),
        seconds=np.array(seconds, np.float64)[often_M],
        track=track_M[often_M],
        box=rows[:, :4],
        mouth_opening=rows[:, 4],
        values=rows[:, 5:],
    )


def mouth_opening(mesh: Mesh) -> float:
    """How far the outer edges of the lips are apart, in distances between the outer corners of the eyes."""
    points = mesh.points
    eyes = float(np.linalg.norm(points[LEFT_EYE_OUTER] - points[RIGHT_EYE_OUTER]))
    return float(np.linalg.norm(points[LOWER_LIP] - points[UPPER_LIP])) / max(eyes, 1e-6)
