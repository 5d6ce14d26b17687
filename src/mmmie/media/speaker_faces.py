"""Whose face is seen while someone speaks: the one whose mouth works, and only if it does.

A mouth that speaks opens and closes several times a second; one that smiles, or listens, moves slowly. What is measured
is how much the opening departs from a straight course over three frames ("articulation"), in eye distances. On the
clips it was chosen on, at 8 Hz, a talking face has more of it than a silent one in 98 of 100 pairs of stretches of
1.5 s, and in all pairs of stretches of 3 s, whether a face is 30 or 250 pixels wide. It does not hear: where a narrator
speaks over the picture of someone else who talks, that face is taken for the narrator's.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from mmmie.media.faces import Faces

LEAST_ARTICULATION = 0.014
OTHERS_FACE = 0.5
"""A face that works less than this share as hard for one speaker as for another is the other's."""
TOO_CLOSE = 0.75
"""Where a second face works at least this share as hard as the first, neither is taken for the speaker's."""
BORROWED_SECONDS = 2.0
"""How much a speaker's other utterances with the same face count beside an utterance itself."""
LEAST_SHARE = 0.5
"""Of the frames of an utterance, in which a face must be seen to stand for it."""

NO_FACE = "no face"
OFF_CAMERA = "speaker off camera"
UNDECIDED = "several faces, none linked"


class Spoken(Protocol):
    """What is needed of an utterance."""

    @property
    def start(self) -> float: ...

    @property
    def end(self) -> float: ...

    @property
    def speaker(self) -> str | None: ...


class SpeakerFace(NamedTuple):
    """The track that is the speaker's face, or the reason why none is."""

    track: int | None
    missing: str


def link_speakers(faces: Faces, utterances: Sequence[Spoken]) -> tuple[SpeakerFace, ...]:
    """For each utterance, the face of its speaker.

    A face that is in sight is not yet the speaker's: nobody's face is better than the wrong one.
    """
    works = articulation(faces)
    seen = [_seen(faces, works, utterance) for utterance in utterances]
    heard: dict[tuple[str | None, int], list[float]] = {}
    for utterance, own in zip(utterances, seen, strict=True):
        for track, bends in own.items():
            heard.setdefault((utterance.speaker, track), []).extend(bends)
    usual = {key: (_mean(bends), len(bends)) for key, bends in heard.items()}
    rate_hz = 1 / float(np.median(np.diff(faces.frame_seconds))) if faces.frame_seconds.size > 1 else 1.0
    return tuple(
        _decide({track: _evidence(bends, utterance.speaker, track, usual, rate_hz) for track, bends in own.items()})
        for utterance, own in zip(utterances, seen, strict=True)
    )


def articulation(faces: Faces) -> NDArray[np.float64]:
    """(M,) how much each sighting's mouth departs from the mean of the one before and the one after, of its track.

    In eye distances; NaN at the ends of a track and where a frame between was missed.
    """
    found = np.full(faces.seconds.size, np.nan)
    if faces.frame_seconds.size < 3:
        return found
    longest = 1.5 * float(np.median(np.diff(faces.frame_seconds)))
    for track in np.unique(faces.track):
        rows = np.flatnonzero(faces.track == track)
        opening, steps = faces.mouth_opening[rows].astype(np.float64), np.diff(faces.seconds[rows])
        bend = np.abs(opening[:-2] - 2 * opening[1:-1] + opening[2:]) / 2
        bend[(steps[:-1] > longest) | (steps[1:] > longest)] = np.nan
        found[rows[1:-1]] = bend
    return found


def _seen(faces: Faces, works: NDArray[np.float64], utterance: Spoken) -> dict[int, list[float]]:
    """The tracks that are in sight through most of an utterance, and how their mouths work in it."""
    span = (utterance.start, utterance.end)
    num_frames = np.diff(np.searchsorted(faces.frame_seconds, span)).item()
    first, last = np.searchsorted(faces.seconds, span).tolist()
    tracks, counts = np.unique(faces.track[first:last], return_counts=True)
    often = tracks[counts >= LEAST_SHARE * num_frames].tolist()
    known = ~np.isnan(works[first:last])
    return {track: works[first:last][known & (faces.track[first:last] == track)].tolist() for track in often}


def _evidence(
    bends: list[float],
    speaker: str | None,
    track: int,
    usual: dict[tuple[str | None, int], tuple[float, int]],
    rate_hz: float,
) -> float:
    """The articulation of a face in an utterance, steadied by the speaker's others; 0 where it is another's face."""
    of_speaker, _ = usual[speaker, track]
    of_others = [mean for (who, t), (mean, count) in usual.items() if t == track and who != speaker and count > rate_hz]
    if max(of_others, default=0.0) >= max(LEAST_ARTICULATION, of_speaker / OTHERS_FACE):
        return 0.0
    borrowed = BORROWED_SECONDS * rate_hz
    return (sum(bends) + borrowed * of_speaker) / (len(bends) + borrowed)


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def _decide(evidence: dict[int, float]) -> SpeakerFace:
    if not evidence:
        return SpeakerFace(None, NO_FACE)
    best, *others = sorted(evidence, key=lambda track: evidence[track], reverse=True)
    if evidence[best] < LEAST_ARTICULATION:
        return SpeakerFace(None, OFF_CAMERA)
    if others and evidence[others[0]] >= TOO_CLOSE * evidence[best]:
        return SpeakerFace(None, UNDECIDED)
    return SpeakerFace(best, "")
