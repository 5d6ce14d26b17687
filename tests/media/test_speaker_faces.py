"""Whose face it is: the one whose mouth works while its speaker speaks, or nobody's."""

from types import SimpleNamespace

import numpy as np

from mmmie.media.faces import Faces
from mmmie.media.speaker_faces import (
    LEAST_ARTICULATION,
    NO_FACE,
    OFF_CAMERA,
    UNDECIDED,
    articulation,
    link_speakers,
)


def utterance(start: float, end: float, speaker: str | None = "S1") -> SimpleNamespace:
    return SimpleNamespace(start=start, end=end, speaker=speaker)


def seen(*tracks: tuple[float, float, float], seconds: float = 12.0) -> Faces:
    """One track for each (from, to, how far the mouth moves at every frame), at 8 Hz."""
    frame_seconds = np.arange(0, seconds, 1 / 8)
    rows = []
    for number, (start, end, motion) in enumerate(tracks):
        times = frame_seconds[(frame_seconds >= start) & (frame_seconds < end)]
        rows += [(t, number, 0.2 + motion * (i % 2)) for i, t in enumerate(times)]
    rows.sort()
    times, numbers, openings = (np.array(column) for column in zip(*rows, strict=True)) if rows else (np.zeros(0),) * 3
    return Faces(
        frame_seconds=frame_seconds,
        frame_shot=np.zeros(len(frame_seconds), np.int32),
        seconds=times,
        track=numbers.astype(np.int32),
        box=np.zeros((len(times), 4), np.float32),
        mouth_opening=openings.astype(np.float32),
        values=np.zeros((len(times), 1), np.float32),
    )


TALK, STILL = 3 * LEAST_ARTICULATION, 0.3 * LEAST_ARTICULATION


def test_a_video_without_faces_links_nobody():
    empty = seen(seconds=0.0)
    assert articulation(empty).shape == (0,)
    assert link_speakers(empty, [utterance(0, 1)]) == ((None, NO_FACE),)


def test_articulation_by_hand():
    found = seen((0, 1, 0.1))
    np.testing.assert_allclose(articulation(found)[1:-1], 0.1, atol=1e-6)
    assert np.isnan(articulation(found)[[0, -1]]).all()


def test_a_slow_smile_is_no_articulation():
    found = seen((0, 4, 0.0))
    opening = np.linspace(0.2, 0.6, len(found.seconds)).astype(np.float32)
    assert np.nanmax(articulation(Faces(**{**vars(found), "mouth_opening": opening}))) < 1e-6


def test_what_lies_between_two_sightings_far_apart_is_not_known():
    found = seen((0, 1, 0.1))
    keep = np.array([i not in (3, 4) for i in range(8)])
    parts = {k: v[keep] for k, v in vars(found).items() if len(v) == 8 and not k.startswith("frame")}
    assert np.isnan(articulation(Faces(**{**vars(found), **parts}))[[2, 3]]).all()


def test_the_face_that_talks_is_the_speakers():
    assert link_speakers(seen((0, 12, STILL), (0, 12, TALK)), [utterance(1, 5)]) == ((1, ""),)


def test_a_still_face_is_not_the_speakers():
    assert link_speakers(seen((0, 12, STILL)), [utterance(1, 5)]) == ((None, OFF_CAMERA),)


def test_two_that_talk_at_once_are_not_decided():
    assert link_speakers(seen((0, 12, TALK), (0, 12, 0.9 * TALK)), [utterance(1, 5)]) == ((None, UNDECIDED),)


def test_no_face_in_most_of_the_utterance():
    linked = link_speakers(seen((0, 2, TALK)), [utterance(0, 2), utterance(1.5, 5)])
    assert linked == ((0, ""), (None, NO_FACE))


def test_an_utterance_too_short_to_tell_borrows_from_the_speakers_others():
    found = seen((0, 10, TALK))
    opening = found.mouth_opening.copy()
    opening[found.seconds >= 6] = 0.2  # the mouth rests through the last words
    quiet = Faces(**{**vars(found), "mouth_opening": opening})
    assert link_speakers(quiet, [utterance(0, 6), utterance(6, 6.6)])[1] == (0, "")
    assert link_speakers(quiet, [utterance(0, 6, "S2"), utterance(6, 6.6, "S1")])[1] == (None, OFF_CAMERA)


def test_the_listeners_face_is_not_the_other_speakers():
    """Who nods and smiles while another speaks moves too, but much less than when speaking."""
    found = seen((0, 12, 4 * LEAST_ARTICULATION))
    opening = np.where(found.seconds >= 6, 0.2 + (found.mouth_opening - 0.2) * 0.4, found.mouth_opening)
    both = Faces(**{**vars(found), "mouth_opening": opening.astype(np.float32)})
    linked = link_speakers(both, [utterance(0, 6, "S1"), utterance(6, 12, "S2")])
    assert linked == ((0, ""), (None, OFF_CAMERA))
