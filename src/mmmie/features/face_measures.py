"""What a face does, in numbers with names: ratios in the spirit of action units, and the turn of the head.

Points are first turned to a frontal head, so that looking aside changes no ratio more than it must, and divided by the
distance between the outer corners of the eyes, which no expression moves. Left and right are averaged.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmmie.media.expression import EXPRESSIONS

Points = NDArray[np.float32]


@dataclass(frozen=True)
class Column:
    """One number of a face: its name, its unit, and what it says."""

    name: str
    unit: str
    meaning: str


MEASURES = (
    Column("mouth_corner_lift", "eye distance", "corners of the mouth above the line between the lips; a smile (AU12)"),
    Column("mouth_corner_to_nose", "eye distance", "corners of the mouth below the nose; small in a smile (AU12)"),
    Column("mouth_corner_depth", "eye distance", "corners of the mouth behind the lips; large in a smile"),
    Column("mouth_width", "eye distance", "between the corners of the mouth; large in a smile, small in a pout (AU18)"),
    Column("lip_gap", "eye distance", "between the inner edges of the lips (AU25)"),
    Column("mouth_opening", "eye distance", "between the outer edges of the lips (AU25, AU26)"),
    Column("upper_lip_to_nose", "eye distance", "upper lip below the nose; small when it is raised (AU10)"),
    Column("upper_lip_thickness", "eye distance", "small when lips are pressed or stretched (AU24, AU20)"),
    Column("lower_lip_thickness", "eye distance", "small when lips are pressed or stretched (AU24, AU20)"),
    Column("lower_lip_to_chin", "eye distance", "lower lip above the chin; large when the chin is raised (AU17)"),
    Column("jaw_drop", "eye distance", "chin below the nose (AU26)"),
    Column("eye_opening", "ratio", "height of the open eye to its width; 0 is shut (AU5, AU43)"),
    Column("lower_lid_lift", "eye distance", "lower lids above the corners of the eye; large when tight (AU6, AU7)"),
    Column("upper_lid_lift", "eye distance", "upper lids above the corners of the eye (AU5)"),
    Column("brow_inner_height", "eye distance", "inner ends of the brows above the eyes (AU1; AU4 lowers)"),
    Column("brow_middle_height", "eye distance", "middle of the brows above the eyes (AU4 lowers)"),
    Column("brow_outer_height", "eye distance", "outer ends of the brows above the eyes (AU2)"),
    Column("brow_gap", "eye distance", "between the inner ends of the brows; small in a frown (AU4)"),
    Column("nose_width", "eye distance", "between the wings of the nose (AU9, AU12)"),
    Column("nose_wing_lift", "eye distance", "wings of the nose above its base (AU9)"),
    Column("nose_to_eyes", "eye distance", "wings of the nose below the eyes; small when wrinkled (AU9)"),
    Column("cheek_lift", "eye distance", "cheeks above the base of the nose (AU6)"),
    Column("cheek_to_eye", "eye distance", "cheeks below the lower lids; small when raised (AU6)"),
    Column("cheek_depth", "eye distance", "cheeks behind the base of the nose"),
    Column("mouth_asymmetry", "eye distance", "difference of height between the corners of the mouth"),
    Column("eye_asymmetry", "ratio", "difference between the openings of the eyes"),
    Column("brow_asymmetry", "eye distance", "difference of height between the inner ends of the brows"),
)
"""What `measure` gives, in its order. "Eye distance" is the distance between the outer corners of the eyes."""

EXPRESSION = tuple(Column(name, "probability", f"expression: {name}") for name in EXPRESSIONS)

POSE = (
    Column("yaw", "degree", "head turned; positive to the right of the picture"),
    Column("pitch", "degree", "head raised; positive up"),
    Column("roll", "degree", "head tilted; positive clockwise in the picture"),
)

COLUMNS = MEASURES + EXPRESSION + POSE
"""What is known of one face in one frame."""

MIRRORED = ((33, 263), (133, 362), (127, 356), (234, 454), (143, 372), (54, 284))
"""Points on the right and left of the head that no expression moves much: eyes, temples, cheekbones, forehead."""
FOREHEAD, UNDER_NOSE = (10, 151, 109, 338), (2, 94, 97, 326)
USUAL_PITCH = 5.3
"""Degrees by which the plane of forehead and nose leans in a face that looks into the camera: the median of LFW."""


def face_the_front(points: Points) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Turns a mesh to a frontal head.

    Args:
        points: (468, 3) mesh in pixels: x right, y down, z away from the camera.

    Returns:
        head: (468, 3) x to the person's left, y down, z backwards, from between the eyes, in eye distances;
        pose: (3,) yaw, pitch, roll in degrees.
    """
    mesh = points.astype(np.float64)
    right, left = zip(*MIRRORED, strict=True)
    across = _unit((mesh[list(left)] - mesh[list(right)]).mean(axis=0))
    down = mesh[list(UNDER_NOSE)].mean(axis=0) - mesh[list(FOREHEAD)].mean(axis=0)
    down = _unit(down - across * (across @ down))
    back = np.cross(across, down)
    eyes = mesh[[33, 133, 263, 362]].mean(axis=0)
    distance = max(float(np.linalg.norm(mesh[263] - mesh[33])), 1e-6)
    head = (mesh - eyes) @ np.stack([across, down, back]).T / distance
    yaw, roll = np.arctan2(-back[0], back[2]), np.arctan2(across[1], across[0])
    pitch = np.arcsin(np.clip(back[1], -1, 1))
    return head, np.degrees([yaw, pitch, roll]) - np.array([0, USUAL_PITCH, 0])


def measure(head: NDArray[np.float64]) -> NDArray[np.float64]:
    """(len(MEASURES),) of a frontal head, (468, 3) as `face_the_front` gives it."""

    def height(*numbers: int) -> float:
        return -float(head[list(numbers), 1].mean())

    def depth(*numbers: int) -> float:
        return float(head[list(numbers), 2].mean())

    def distance(one: int, other: int) -> float:
        return float(np.linalg.norm(head[one] - head[other]))

    lips, nose = height(13, 14), height(2)
    corner_right, corner_left = height(61) - lips, height(291) - lips
    eye_right = (distance(159, 145) + distance(158, 153) + distance(160, 144)) / 3 / distance(33, 133)
    eye_left = (distance(386, 374) + distance(385, 380) + distance(387, 373)) / 3 / distance(263, 362)
    corners_right, corners_left = height(33, 133), height(263, 362)
    brow_right, brow_left = height(55, 107) - height(133), height(285, 336) - height(362)
    cheeks = height(205, 425)
    return np.array(
        [
            (corner_right + corner_left) / 2,
            nose - height(61, 291),
            depth(61, 291) - depth(13, 14),
            distance(61, 291),
            distance(13, 14),
            distance(0, 17),
            nose - height(0),
            distance(0, 13),
            distance(14, 17),
            height(17) - height(152),
            nose - height(152),
            (eye_right + eye_left) / 2,
            (height(145, 153, 144) - corners_right + height(374, 380, 373) - corners_left) / 2,
            (height(159, 158, 160) - corners_right + height(386, 385, 387) - corners_left) / 2,
            (brow_right + brow_left) / 2,
            (height(52, 105) - corners_right + height(282, 334) - corners_left) / 2,
            height(46, 70, 276, 300) - height(33, 263),
            distance(55, 285),
            distance(129, 358),
            height(129, 358) - nose,
            height(133, 362) - height(129, 358),
            cheeks - nose,
            height(145, 374) - cheeks,
            depth(205, 425) - depth(2),
            abs(corner_right - corner_left),
            abs(eye_right - eye_left),
            abs(brow_right - brow_left),
        ]
    )


def _unit(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    unit: NDArray[np.float64] = vector / max(float(np.linalg.norm(vector)), 1e-9)
    return unit
