"""Faces through a video: shots, tracks, sightings, whose face it is; the networks themselves on real clips."""

from dataclasses import dataclass

import numpy as np
import pytest

from mmmie.errors import FeatureError
from mmmie.media import face_tracks, faces
from mmmie.media.crops import Square, cut, read_picture, shrink
from mmmie.media.face_detector import Detection, anchors, overlap
from mmmie.media.face_mesh import NUM_POINTS, Mesh, around
from mmmie.media.face_tracks import FaceTracker
from mmmie.media.faces import Faces, find_faces
from mmmie.media.shots import ShotCounter

BLANK = np.zeros((90, 160, 3), np.uint8)


# ---- squares


def test_a_square_brings_its_content_to_size():
    image = np.zeros((100, 100, 3), np.uint8)
    image[40:60, 20:40] = 200
    assert (cut(image, Square(30, 50, 20), 8) > 190).mean() > 0.7  # edges are blurred by half a pixel
    assert cut(image, Square(80, 50, 20), 8).max() == 0


def test_a_turned_square_brings_its_content_upright():
    """What lies to the right of the centre in the cut-out lies along the turned axis in the frame."""
    right = Square(50, 40, 20, np.pi / 2).to_frame(np.array([[96, 48], [48, 48]], np.float32), 96)
    np.testing.assert_allclose(right, [[50, 50], [50, 40]], atol=1e-4)
    image = np.zeros((100, 100, 3), np.uint8)
    image[44:52, 48:53] = 200  # below the centre
    upright = cut(image, Square(50, 40, 24, np.pi / 2), 24)[..., 0]
    assert upright[:, 15:].sum() > 10 * upright[:, :12].sum()


@pytest.mark.parametrize("size", [(360, 640), (640, 640), (480, 270), (361, 641), (100, 40)])
def test_an_image_shrunk_in_two_steps_holds_the_same_means(size):
    cv2 = pytest.importorskip("cv2")
    coarse = np.random.default_rng(0).integers(0, 256, (9, 16, 3)).astype(np.uint8)
    image = cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC)  # smooth at the scale of a pixel
    at_once = cv2.resize(image, (32, 18), interpolation=cv2.INTER_AREA)  # both steps round, and so does this one
    np.testing.assert_allclose(shrink(image, 32, 18).astype(int), at_once.astype(int), atol=2)


def test_depth_is_scaled_as_width():
    placed = Square(50, 50, 48).to_frame(np.array([[48, 48, 10]], np.float32), 96)
    np.testing.assert_allclose(placed, [[50, 50, 5]], atol=1e-5)


# ---- the detector's arithmetic


def test_anchors_of_the_networks():
    near, far = anchors((16, 2), (8, 6)), anchors((48, 1))
    assert near.shape == (896, 2)
    assert far.shape == (2304, 2)
    np.testing.assert_allclose(near[:4], [[1 / 32, 1 / 32]] * 2 + [[3 / 32, 1 / 32]] * 2)
    np.testing.assert_allclose(near[-1], [15 / 16, 15 / 16])


def test_overlap_by_hand():
    box = np.array([0, 0, 2, 2], np.float32)
    others = np.array([[0, 0, 2, 2], [1, 0, 3, 2], [5, 5, 6, 6], [0, 0, 0, 0]], np.float32)
    np.testing.assert_allclose(overlap(box, others), [1, 1 / 3, 0, 0])


# ---- shots


def pictures(*levels: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 40, BLANK.shape)
    return [np.clip(noise + level, 0, 255).astype(np.uint8) for level in levels]


def count_shots(images: list[np.ndarray]) -> list[int]:
    counter = ShotCounter()
    return [counter.next(image) for image in images]


def test_a_cut_is_counted_once():
    assert count_shots(pictures(10, 12, 11, 180, 181, 180, 10)) == [0, 0, 0, 1, 1, 1, 2]


def test_a_slow_change_of_light_is_no_cut():
    assert count_shots(pictures(*range(10, 200, 12)))[-1] == 0


def test_a_moving_thing_is_no_cut():
    images = []
    for x in range(0, 100, 10):
        image = BLANK + 100
        image[30:70, x : x + 50] = (200, 150, 120)
        images.append(image.astype(np.uint8))
    assert count_shots(images)[-1] == 0


# ---- tracks, with stand-ins that see faces where the test puts them


def mesh_at(x: float, y: float = 40, size: float = 20, score: float = 0.9) -> Mesh:
    """A mesh whose points fill a box around (x, y), upright."""
    points = np.zeros((NUM_POINTS, 3), np.float32)
    points[:, 0], points[:, 1] = x, y
    points[1, :2], points[2, :2] = (x - size / 2, y - size / 2), (x + size / 2, y + size / 2)
    points[33, 0], points[263, 0] = x - size / 4, x + size / 4
    return Mesh(points, score)


class Scene:
    """Stands for both networks: `faces` are the centres of the faces of the frame that is looked at."""

    def __init__(self) -> None:
        self.faces: list[float] = []
        self.searches = 0

    def find(self, image):
        self.searches += 1
        return tuple(self.detection(x) for x in self.faces)

    def read(self, image, square):
        near = [x for x in self.faces if abs(x - square.x) < 15]
        return mesh_at(min(near, key=lambda x: abs(x - square.x))) if near else mesh_at(square.x, score=0.1)

    @staticmethod
    def detection(x: float) -> Detection:
        return Detection(0.9, np.array([x - 10, 30, x + 10, 50], np.float32), np.full((6, 2), (x, 40), np.float32))


@pytest.fixture
def scene(monkeypatch) -> Scene:
    scene = Scene()
    monkeypatch.setattr(face_tracks, "FaceDetector", lambda: scene)
    monkeypatch.setattr(face_tracks, "FaceMesh", lambda: scene)
    return scene


def follow(scene: Scene, course: list[list[float]], tracker: FaceTracker | None = None) -> list[dict[int, float]]:
    """Track number -> centre, for each frame at 8 Hz."""
    tracker = tracker or FaceTracker()
    seen = []
    for i, there in enumerate(course):
        scene.faces = there
        seen.append({number: float(mesh.points[0, 0]) for number, mesh in tracker.next(i / 8, BLANK)})
    return seen


def test_a_moving_face_keeps_its_number_and_is_searched_for_rarely(scene):
    seen = follow(scene, [[30 + 5 * i] for i in range(16)])
    assert seen == [{0: 30 + 5 * i} for i in range(16)]
    assert scene.searches == 4  # every half second of two seconds


def test_two_faces_are_two_tracks(scene):
    assert follow(scene, [[30, 100], [34, 96], [38, 92]]) == [{0: 30, 1: 100}, {0: 34, 1: 96}, {0: 38, 1: 92}]


def test_a_face_that_comes_in_is_found_within_half_a_second(scene):
    seen = follow(scene, [[30]] * 5 + [[30, 100]] * 5)
    assert seen[4] == {0: 30}
    assert seen[8] == {0: 30, 1: 100}


def test_a_face_lost_for_a_moment_keeps_its_number(scene):
    seen = follow(scene, [[30]] * 4 + [[]] * 4 + [[32]] * 5)
    assert seen[5] == {}
    assert seen[-1] == {0: 32}


def test_a_face_lost_for_long_is_another(scene):
    assert follow(scene, [[30]] * 4 + [[]] * 20 + [[32]] * 5)[-1] == {1: 32}


def test_nothing_is_followed_across_a_cut(scene):
    tracker = FaceTracker()
    follow(scene, [[30]] * 3, tracker)
    tracker.cut()
    scene.faces = [30]
    assert [number for number, _ in tracker.next(3 / 8, BLANK)] == [1]


def test_faces_that_meet_do_not_become_two_tracks_of_one(scene):
    seen = follow(scene, [[30, 60], [38, 52], [45], [45], [45]])
    assert all(len(faces) == 1 for faces in seen[2:])


def test_no_more_faces_than_asked_for(scene):
    assert len(follow(scene, [[20, 60, 100, 140]], FaceTracker(most_faces=2))[0]) == 2


# ---- sightings


class Read:
    num_values = 3

    def __call__(self, image, mesh):
        return np.array([mesh.points[0, 0], 1, 2], np.float32)


@dataclass(frozen=True)
class Frame:
    seconds: float
    image: np.ndarray


def film(scene: Scene, course: list[list[float]], images: list[np.ndarray] | None = None):
    for i, there in enumerate(course):
        scene.faces = there
        yield Frame(i / 8, BLANK if images is None else images[i])


def test_a_video_without_a_face_has_no_sighting(scene):
    found = find_faces(film(scene, [[]] * 8), Read())
    assert found.share_with_face == 0
    assert found.seconds.shape == found.track.shape == found.mouth_opening.shape == (0,)
    assert found.values.shape == (0, 3)
    assert found.box.shape == (0, 4)
    assert len(found.frame_seconds) == 8


def test_a_video_without_a_frame():
    empty = Faces(*(np.zeros(0) for _ in range(4)), np.zeros((0, 4)), np.zeros(0), np.zeros((0, 3)))
    assert empty.share_with_face == 0
    assert empty.num_shots == 0


def test_sightings_have_times_boxes_and_values(scene):
    found = find_faces(film(scene, [[]] * 4 + [[40]] * 8), Read())
    assert found.share_with_face == pytest.approx(8 / 12)
    assert found.seconds.tolist() == [i / 8 for i in range(4, 12)]
    np.testing.assert_allclose(found.box[0], [30 / 160, 30 / 90, 50 / 160, 50 / 90])
    np.testing.assert_array_equal(found.values, [[40, 1, 2]] * 8)


def test_a_face_seen_once_is_an_error_of_the_detector(scene):
    course = [[40]] * 8
    course[4] = [40, 120]
    assert set(find_faces(film(scene, course), Read()).track) == {0}


def test_a_picture_is_a_video_of_one_frame(scene):
    assert find_faces(film(scene, [[40]]), Read()).share_with_face == 1


def test_a_cut_begins_new_tracks(scene):
    found = find_faces(film(scene, [[40]] * 8, pictures(*[10] * 4, *[180] * 4)), Read())
    assert found.num_shots == 2
    assert found.track.tolist() == [0] * 4 + [1] * 4


def test_mouth_opening_does_not_depend_on_the_size_of_the_face():
    one = mesh_at(50, size=20)
    one.points[17, 1] = 44
    assert faces.mouth_opening(one) == pytest.approx(0.4)
    assert faces.mouth_opening(Mesh(one.points * 3, 0.9)) == pytest.approx(0.4)


# ---- the networks


@pytest.fixture(scope="module")
def networks() -> None:
    from mmmie.media.models import find

    try:
        for name in ("face-detector", "face-detector-far", "face-mesh"):
            find(name)
    except FeatureError as error:
        pytest.skip(str(error))


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("clip", "least", "most"),
    [
        ("face_1.mp4", 1, 1),
        ("face_3.mp4", 1, 1),
        ("face_5.mp4", 1, 1),
        ("no_face.mp4", 0, 0),
        ("noface_face.mov", 0.33, 0.47),
        ("single_face.mp4", 1, 1),
    ],
)
def test_share_of_frames_with_a_face(real_data, networks, clip, least, most):
    from mmmie.media.files import probe
    from mmmie.media.frames import frames

    found = find_faces(frames(probe(real_data / "clips" / clip), 4), Read())
    assert least <= found.share_with_face <= most
    assert np.unique(found.track).size == (1 if least else 0)
    assert ((found.box[:, 2:] - found.box[:, :2]) > 0.1).all()


@pytest.mark.real_data
@pytest.mark.parametrize("turn", [0, 25])
@pytest.mark.parametrize("width", [40, 120, 300])
def test_points_lie_on_the_face_whatever_its_size_and_tilt(real_data, networks, width, turn):
    """A face brought to a place, size and tilt is found with its eyes there."""
    from mmmie.media.face_detector import FaceDetector
    from mmmie.media.face_mesh import FaceMesh
    from mmmie.media.files import probe
    from mmmie.media.frames import frames

    detector, network = FaceDetector(), FaceMesh()
    original = next(frames(probe(real_data / "clips" / "face_4.mp4"), 4)).image
    first = network.read(original, detector.find(original)[0].square)
    square = around(first.points, 1.6)
    scale = width / square.side
    view = Square(square.x, square.y, 640 / scale, square.angle - np.radians(turn))
    image = cut(original, view, 640)
    (found, *_) = detector.find(image)
    mesh = network.read(image, network.read(image, found.square).square)
    assert mesh.score > 0.9
    eyes = view.to_frame(mesh.points[[33, 263]], 640)[:, :2]
    error = np.linalg.norm(eyes - first.points[[33, 263], :2], axis=1)
    assert error.max() < 0.12 * np.linalg.norm(first.points[263] - first.points[33])


def test_a_file_that_is_no_picture(tmp_path):
    from mmmie.errors import MediaError

    (tmp_path / "not.jpg").write_bytes(b"text")
    with pytest.raises(MediaError, match=r"not\.jpg cannot be read as a picture"):
        read_picture(tmp_path / "not.jpg")
