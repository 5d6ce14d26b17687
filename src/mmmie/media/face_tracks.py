"""Faces followed from frame to frame: a face is looked for where it was, and searched for only now and then."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmmie.media.crops import Pixels
from mmmie.media.face_detector import FaceDetector, overlap
from mmmie.media.face_mesh import FaceMesh, Mesh

LEAST_SCORE = 0.5
SAME_FACE = 0.3
"""Intersection over union from which two boxes in one frame, or in two that follow each other, are one face."""


@dataclass(eq=False)
class Track:
    """A face in sight, or lost a moment ago."""

    number: int
    mesh: Mesh
    seen: float
    """When it was seen last, in seconds."""


class FaceTracker:
    """Meshes of the faces in frames that follow each other, each under the number of its track.

    Searching costs more than reading a face and finds what was not there before, so it is done at the beginning of a
    shot, when a face was lost, and every `search_seconds`.
    """

    def __init__(self, most_faces: int = 4, search_seconds: float = 0.5, forget_seconds: float = 1.5) -> None:
        """`forget_seconds`: for so long, a face that comes back to where it was lost keeps its number."""
        self._detector, self._mesh = FaceDetector(), FaceMesh()
        self._most_faces = most_faces
        self._search_seconds, self._forget_seconds = search_seconds, forget_seconds
        self._tracks: list[Track] = []
        self._in_sight: list[Track] = []
        self._searched = -np.inf
        self._numbers = 0

    def cut(self) -> None:
        """Forgets all faces: the next frame is of another shot."""
        self._tracks, self._in_sight, self._searched = [], [], -np.inf

    def next(self, seconds: float, image: Pixels) -> tuple[tuple[int, Mesh], ...]:
        """Track number and mesh of each face of the next frame, (H, W, 3) uint8 RGB; numbers are never used twice."""
        now: list[tuple[Track, Mesh]] = []
        for track in self._in_sight:
            mesh = self._mesh.read(image, track.mesh.square)
            if mesh.score >= LEAST_SCORE and not _among(mesh.box, now):
                now.append((track, mesh))
        lost = len(now) < len(self._in_sight)
        if len(now) < self._most_faces and (lost or seconds - self._searched >= self._search_seconds):
            now += self._search(image, now)
            self._searched = seconds
        for track, mesh in now:
            track.mesh, track.seen = mesh, seconds
        self._in_sight = [track for track, _ in now]
        self._tracks = self._in_sight + [
            t for t in self._tracks if seconds - t.seen <= self._forget_seconds and t not in self._in_sight
        ]
        return tuple((track.number, mesh) for track, mesh in now)

    def _search(self, image: Pixels, now: list[tuple[Track, Mesh]]) -> list[tuple[Track, Mesh]]:
        found: list[tuple[Track, Mesh]] = []
        for detection in self._detector.find(image):
            if len(now) + len(found) == self._most_faces:
                break
            if _among(detection.box, now + found):
                continue
            mesh = self._mesh.read(image, detection.square)
            if mesh.score >= LEAST_SCORE and not _among(mesh.box, now + found):
                found.append((self._known(mesh, now + found) or self._new(mesh), mesh))
        return found

    def _known(self, mesh: Mesh, taken: list[tuple[Track, Mesh]]) -> Track | None:
        """The lost track whose face was last seen where this one is."""
        lost = [track for track in self._tracks if all(track is not other for other, _ in taken)]
        if not lost:
            return None
        overlaps = overlap(mesh.box, np.stack([track.mesh.box for track in lost]))
        best = int(overlaps.argmax())
        return lost[best] if overlaps[best] >= SAME_FACE else None

    def _new(self, mesh: Mesh) -> Track:
        self._numbers += 1
        return Track(self._numbers - 1, mesh, -np.inf)


def _among(box: NDArray[np.float32], faces: list[tuple[Track, Mesh]]) -> bool:
    return bool(faces) and bool((overlap(box, np.stack([mesh.box for _, mesh in faces])) >= SAME_FACE).any())
