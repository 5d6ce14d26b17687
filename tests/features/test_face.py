"""Measures of a face: what they say, what they must not depend on, and their mean over an utterance."""

import numpy as np
import pytest

from mmmie.errors import FeatureError
from mmmie.features.face import COLUMNS, MODEL_COLUMNS, NETWORKS, FaceReader, info, pool, read_pictures
from mmmie.features.face_measures import (
    EXPRESSION,
    FOREHEAD,
    MEASURES,
    MIRRORED,
    POSE,
    UNDER_NOSE,
    USUAL_PITCH,
    face_the_front,
    measure,
)
from mmmie.media.faces import Faces
from mmmie.media.models import MODELS

NAMES = [column.name for column in MEASURES]


def frontal() -> np.ndarray:
    """A made-up mesh that looks into the camera: eyes level, forehead above the nose, all in one depth but the rest."""
    rng = np.random.default_rng(0)
    points = rng.uniform([-1, -1, 0], [1, 1, 1], (468, 3))
    for right, left in MIRRORED:
        points[left] = points[right] * [-1, 1, 1]
    points[list(FOREHEAD)], points[list(UNDER_NOSE)] = (0, -1, 0.2), (0, 0.6, 0.2)
    points[33], points[263], points[133], points[362] = (-0.5, 0, 0), (0.5, 0, 0), (-0.2, 0, 0), (0.2, 0, 0)
    return points.astype(np.float32)


def named(points: np.ndarray) -> dict[str, float]:
    head, pose = face_the_front(points)
    return dict(zip(NAMES, measure(head), strict=True)) | dict(zip(("yaw", "pitch", "roll"), pose, strict=True))


def moved(shift: tuple[float, float, float], *numbers: int) -> dict[str, float]:
    """What changes when points of the frontal face move, in eye distances (it is 1 wide)."""
    points = frontal()
    points[list(numbers)] += np.array(shift, np.float32)
    before, after = named(frontal()), named(points)
    return {name: after[name] - before[name] for name in before if abs(after[name] - before[name]) > 1e-5}


def turned(yaw: float = 0, pitch: float = 0, roll: float = 0) -> np.ndarray:
    """Turns points, x right, y down, z away: yaw to the right of the picture, pitch up, roll clockwise, in degrees."""
    y, p, r = np.radians([yaw, pitch, roll])
    about_y = np.array([[np.cos(y), 0, -np.sin(y)], [0, 1, 0], [np.sin(y), 0, np.cos(y)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(p), np.sin(p)], [0, -np.sin(p), np.cos(p)]])
    about_z = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


def test_every_measure_has_a_name_and_a_unit():
    assert len(measure(frontal().astype(np.float64))) == len(MEASURES) == len(set(NAMES))
    assert MODEL_COLUMNS == MEASURES + EXPRESSION
    assert COLUMNS == MODEL_COLUMNS + POSE
    assert {column.unit for column in COLUMNS} == {"eye distance", "ratio", "probability", "degree"}


@pytest.mark.parametrize("turn", [{}, {"yaw": 30}, {"pitch": -20}, {"roll": 45}, {"yaw": -25, "pitch": 15, "roll": 10}])
@pytest.mark.parametrize("scale", [1, 40, 300])
def test_measures_do_not_depend_on_where_how_large_and_how_turned(turn, scale):
    points = (frontal() @ turned(**turn).T) * scale + np.array([200, 100, -3])
    before, after = named(frontal()), named(points.astype(np.float32))
    for name in NAMES:
        assert after[name] == pytest.approx(before[name], abs=2e-4), name


@pytest.mark.parametrize(("axis", "degrees"), [("yaw", 30), ("yaw", -20), ("pitch", 15), ("pitch", -25), ("roll", 40)])
def test_the_turn_of_the_head(axis, degrees):
    pose = named((frontal() @ turned(**{axis: degrees}).T).astype(np.float32))
    expected = {"yaw": 0.0, "pitch": -USUAL_PITCH, "roll": 0.0}
    expected[axis] += degrees
    assert {key: pose[key] for key in expected} == pytest.approx(expected, abs=1e-3)


def test_a_nose_that_points_right_is_a_positive_yaw():
    """The sign by the picture itself, not by the test's own turning."""
    face = (frontal() @ turned(yaw=30).T).astype(np.float32)
    nose = np.array([0, 0, -1]) @ turned(yaw=30).T  # forwards is towards the camera
    assert nose[0] > 0
    assert named(face)["yaw"] > 0
    assert (np.array([0, 0, -1]) @ turned(pitch=30).T)[1] < 0  # up, as y goes down


def test_corners_of_the_mouth_that_rise_are_a_smile():
    change = moved((0, -0.1, 0), 61, 291)
    assert change["mouth_corner_lift"] == pytest.approx(0.1)
    assert change["mouth_corner_to_nose"] == pytest.approx(-0.1)
    assert "lip_gap" not in change


def test_one_corner_that_rises_is_an_asymmetry():
    before = named(frontal())["mouth_asymmetry"]
    points = frontal()
    points[61, 1] = points[291, 1] - 0.2
    assert named(points)["mouth_asymmetry"] == pytest.approx(0.2, abs=1e-5)
    assert before != pytest.approx(0.2, abs=1e-3)


def test_lips_that_part():
    points = frontal()
    points[13], points[14] = (0, 0.8, 0), (0, 0.85, 0)
    closed = named(points)
    points[14] += (0, 0.3, 0)
    assert named(points)["lip_gap"] - closed["lip_gap"] == pytest.approx(0.3, abs=1e-5)


def test_brows_that_rise_and_meet():
    change = moved((0, -0.2, 0), 55, 107, 285, 336)
    assert change == pytest.approx({"brow_inner_height": 0.2}, abs=1e-4)
    points = frontal()
    points[55], points[285] = (-0.2, -0.3, 0), (0.2, -0.3, 0)
    assert named(points)["brow_gap"] == pytest.approx(0.4, abs=1e-5)


def test_eyes_that_shut():
    points = frontal()
    for upper, lower in ((159, 145), (158, 153), (160, 144), (386, 374), (385, 380), (387, 373)):
        points[upper] = points[lower]
    shut = named(points)
    assert shut["eye_opening"] == pytest.approx(0, abs=1e-6)
    points[[159, 158, 160, 386, 385, 387]] -= np.array([0, 0.12, 0], np.float32)
    assert named(points)["eye_opening"] == pytest.approx(0.4, abs=1e-5)  # eyes here are 0.3 wide


def test_a_jaw_that_drops():
    assert moved((0, 0.25, 0), 152) == pytest.approx({"jaw_drop": 0.25, "lower_lip_to_chin": 0.25}, abs=1e-4)


# ---- utterances


def faces_of(times: list[float], tracks: list[int], values: np.ndarray) -> Faces:
    return Faces(
        frame_seconds=np.unique(times),
        frame_shot=np.zeros(len(np.unique(times)), np.int32),
        seconds=np.array(times),
        track=np.array(tracks, np.int32),
        box=np.zeros((len(times), 4), np.float32),
        mouth_opening=np.zeros(len(times), np.float32),
        values=values.astype(np.float32),
    )


def test_the_mean_is_over_the_speakers_face_within_the_utterance():
    values = np.arange(6)[:, None] * np.ones(len(COLUMNS))
    faces = faces_of([0.0, 0.5, 0.5, 1.0, 1.0, 2.0], [0, 0, 1, 0, 1, 0], values)
    pooled = pool(faces, [(0.0, 1.5), (0.5, 1.0), (0.0, 9.0)], [0, 1, 1])
    assert pooled.values.shape == (3, len(MODEL_COLUMNS))
    assert pooled.values.dtype == np.float32
    np.testing.assert_allclose(pooled.values[:, 0], [(0 + 1 + 3) / 3, 2, 3])
    np.testing.assert_allclose(pooled.deviations[:, 0], [np.std([0, 1, 3]), 0, 1])
    assert pooled.num_frames.tolist() == [3, 1, 2]


def test_an_utterance_without_a_face_is_missing_and_never_zero():
    pooled = pool(faces_of([0.0, 0.5], [0, 0], np.ones((2, len(COLUMNS)))), [(0, 1), (0, 1), (3, 4)], [0, None, 0])
    assert pooled.present.tolist() == [True, False, False]
    assert np.isnan(pooled.values[1:]).all()
    assert np.isnan(pooled.deviations[1:]).all()
    assert np.isfinite(pooled.values[0]).all()


def test_no_utterance_and_no_face():
    none = faces_of([], [], np.zeros((0, len(COLUMNS))))
    assert pool(none, [], []).values.shape == (0, len(MODEL_COLUMNS))
    assert pool(none, [(0, 1)], [None]).present.tolist() == [False]


def test_every_network_has_its_file():
    assert set(NETWORKS) <= set(MODELS)


def test_the_fingerprint_holds_the_networks(monkeypatch):
    before = info()
    assert before.dim == len(MODEL_COLUMNS)
    assert before.level == "utterance"
    assert info().fingerprint == before.fingerprint
    other = MODELS["expression"].__class__(**{**vars(MODELS["expression"]), "sha256": "0" * 64})
    monkeypatch.setitem(MODELS, "expression", other)
    assert info().fingerprint != before.fingerprint


# ---- the networks


@pytest.fixture(scope="module")
def networks() -> None:
    from mmmie.media.models import find

    try:
        for name in NETWORKS:
            find(name)
    except FeatureError as error:
        pytest.skip(str(error))


def test_a_picture_without_a_face_is_missing(networks):
    pooled = read_pictures([np.full((120, 100, 3), 128, np.uint8)])
    assert pooled.present.tolist() == [False]
    assert np.isnan(pooled.values).all()


@pytest.mark.real_data
def test_happy_pictures_are_read_as_happy(real_data, networks):
    from mmmie.media.crops import read_picture

    folder = real_data / "expressive" / "faces" / "lfw"
    happy, neutral = (sorted(folder.glob(f"*_{emotion}_*"))[:25] for emotion in ("happiness", "neutral"))
    pooled = read_pictures(read_picture(path) for path in (*happy, *neutral))
    assert pooled.present.mean() > 0.9
    at = {column.name: i for i, column in enumerate(MODEL_COLUMNS)}
    smiles, rests = pooled.values[:25], pooled.values[25:]
    for name, margin in (("happiness", 0.5), ("mouth_corner_lift", 0.02), ("mouth_width", 0.05)):
        assert np.nanmean(smiles[:, at[name]]) > np.nanmean(rests[:, at[name]]) + margin
    expressions = pooled.values[pooled.present][:, -len(EXPRESSION) :]
    np.testing.assert_allclose(expressions.sum(axis=1), 1, atol=1e-5)


@pytest.mark.real_data
def test_lips_of_one_who_talks_move_more_than_the_brows(real_data, networks):
    from mmmie.media.faces import find_faces
    from mmmie.media.files import probe
    from mmmie.media.frames import frames

    faces = find_faces(frames(probe(real_data / "clips" / "face_2.mp4"), 8, end=3), FaceReader())
    assert faces.values.shape[1] == len(COLUMNS)
    at = {column.name: i for i, column in enumerate(COLUMNS)}
    spread = faces.values.std(axis=0)
    assert spread[at["lip_gap"]] > 2 * spread[at["brow_inner_height"]]
    assert np.abs(faces.values[:, [at["yaw"], at["pitch"], at["roll"]]]).max() < 30
