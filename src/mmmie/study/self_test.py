"""Every stage tried on a drawn film of three seconds, each by itself: what one lacks is made up for in the next.

The stages run in a process of their own, so that a library that crashes or hangs costs its stage and no more.
"""

import re
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

from mmmie.analysis.predicting import CORPUS_FOLDER, predict_corpus, write_corpus
from mmmie.analysis.request import PACKAGED_RUN
from mmmie.analysis.seeing import face_info
from mmmie.analysis.stages import StageFailed, StageLog, StageStore
from mmmie.corpus.store import Floats
from mmmie.errors import CheckpointError, FeatureError, MediaError
from mmmie.features.voice import packaged_info
from mmmie.jobs import FAILED, Event, Outcome, Report, Work, run_jobs
from mmmie.learning.run import Run
from mmmie.media.audio import Audio, decode_audio
from mmmie.media.faces import Faces, SeenImage, find_faces
from mmmie.media.files import MediaInfo, probe
from mmmie.media.frames import Frame, frames
from mmmie.media.recognise import recognise
from mmmie.media.speakers import find_speakers
from mmmie.media.speech import Span, find_speech
from mmmie.media.transcripts import Segment, Transcript
from mmmie.media.utterances import into_utterances
from mmmie.study import film
from mmmie.study.doctor import State

LIMIT_SECONDS = 120.0
"""A stage that takes longer hangs, on whatever machine."""
SAID = Transcript((Segment(0.2, 1.5, "What a wonderful film."), Segment(1.6, 2.8, "But the end was awful.")), "doctor")
LEAST_SPEECH_SECONDS, LEAST_FACE_SHARE = 1.0, 0.5
COMMAND = re.compile(r"(?:(?:Install|Fetch) it with: )?(?P<line>(?:pip install|mmmie models fetch)[^\n]*)")
"""In the errors of mmmie, the command that mends what is lacking."""
ABSENT = re.compile(r"is not installed|is not there|needs? the pack")
REINSTALL = "pip install --force-reinstall 'mmmie[video]'"


class Tried(NamedTuple):
    """What became of a stage."""

    stage: str
    state: State
    seconds: float
    """Of work, the loading of its networks included."""
    detail: str
    """What it found, or why it does not work."""
    repair: str = ""
    """The command that mends it."""


@dataclass
class Found:
    """What the stages have found so far; before that, what they should find."""

    folder: Path
    audio: Audio
    speech: tuple[Span, ...] = (Span(SAID.segments[0].start, SAID.segments[-1].end),)
    info: MediaInfo | None = None
    faces: Faces | None = None

    @classmethod
    def nothing(cls, folder: Path) -> "Found":
        sound = film.voice()
        sound.astype("<i2").tofile(folder / "drawn.s16")
        return cls(folder, Audio(folder / "drawn.s16", len(sound)))


def try_stages(begun: Callable[[str], None] = lambda _: None) -> tuple[Tried, ...]:
    """Tries every stage of `STAGES`, and tells of each when it begins."""

    times: dict[str, float] = {}

    def hear(event: Event[str]) -> None:
        if event.state == "begun":
            times[event.item] = time.monotonic()
            begun(event.item)
        elif event.ended:
            times[event.item] = time.monotonic() - times.get(event.item, time.monotonic())

    with tempfile.TemporaryDirectory(prefix="mmmie-doctor-") as folder:
        outcomes = run_jobs(tuple(STAGES), partial(make_work, Path(folder)), 1, LIMIT_SECONDS, hear)
    return tuple(_tried(outcome, times[outcome.item]) for outcome in outcomes)


def make_work(folder: Path) -> Work[str]:
    """What does a stage by its name, and gives what it found."""
    import torch

    torch.set_num_threads(1)
    found = Found.nothing(folder)

    def work(item: str, report: Report) -> str:
        report(item, "begun")
        return STAGES[item](found)

    return work


def _tried(outcome: Outcome[str], seconds: float) -> Tried:
    if outcome.status != FAILED:
        return Tried(outcome.item, "ok", seconds, outcome.status)
    cause = (outcome.cause or "unknown").strip()
    command = COMMAND.search(cause)
    if command is not None:
        state: State = "not installed" if ABSENT.search(cause) else "failed"
        return Tried(outcome.item, state, seconds, cause[: command.start()].strip(" :"), command["line"])
    return Tried(outcome.item, "failed", seconds, cause.splitlines()[-1], REINSTALL)


def _media(found: Found) -> str:
    info = probe(film.write(found.folder / "film.avi"))
    audio = decode_audio(info, found.folder / "decoded.s16")
    if info.video is None or abs(info.duration_seconds - film.SECONDS) > 0.1 or audio.num_samples != len(film.voice()):
        raise MediaError(f"a film of {film.SECONDS:g} s was read as {info.duration_seconds:g} s: {info.notes}")
    found.info, found.audio = info, audio
    return f"{info.duration_seconds:.1f} s of picture and sound"


def _speech(found: Found) -> str:
    speech = find_speech(found.audio)
    seconds = sum(span.end - span.start for span in speech)
    if seconds < LEAST_SPEECH_SECONDS:
        raise MediaError(f"only {seconds:.1f} s of {film.SECONDS:g} s of vowels were taken for speech")
    found.speech = speech
    return f"{seconds:.1f} s of speech"


def _transcript(found: Found) -> str:
    transcript = recognise(found.audio, found.speech, cpu_threads=1)
    return f"{transcript.source} heard {sum(len(s.words) for s in transcript.segments)} words in vowels"


def _utterances(_: Found) -> str:
    return f"{len(into_utterances(SAID))} of 2 sentences"


def _speakers(found: Found) -> str:
    turns = find_speakers(found.audio, found.speech)
    return f"{len({turn.speaker for turn in turns})} voice"


def _faces(found: Found) -> str:
    from mmmie.features.face import FaceReader

    drawn: Iterable[SeenImage] = (Frame(seconds, image) for seconds, image in film.pictures())
    faces = find_faces(drawn if found.info is None else frames(found.info, film.FRAMES_HZ), FaceReader())
    if faces.share_with_face < LEAST_FACE_SHARE:
        raise FeatureError(f"a drawn face was seen in only {faces.share_with_face:.0%} of the pictures")
    found.faces = faces
    return f"a face in {faces.share_with_face:.0%} of {len(faces.frame_seconds)} pictures"


def _features(found: Found) -> str:
    from mmmie.features.face import pool
    from mmmie.features.voice import VoiceExtractor

    spoken = into_utterances(SAID)
    voice = VoiceExtractor.load()
    voices: list[Floats | None] = [voice(found.audio.read(u.start, u.end)).vector for u in spoken]
    faces: list[Floats | None] = [None] * len(spoken)
    if found.faces is not None:
        faces = list(
            pool(found.faces, [(u.start, u.end) for u in spoken], [int(found.faces.track[0])] * len(spoken)).values
        )
    features = {"audio": (voice.info, voices), "vision": (face_info(), faces)}
    write_corpus(found.folder / CORPUS_FOLDER, "film", spoken, features, with_text=True)
    return f"{voice.info.dim} of the voice, {face_info().dim} of the face"


def _prediction(found: Found) -> str:
    corpus = found.folder / CORPUS_FOLDER
    if not corpus.exists():  # words are enough
        nothing = [None] * 2
        features = {"audio": (packaged_info(), nothing), "vision": (face_info(), nothing)}
        write_corpus(corpus, "film", into_utterances(SAID), features, with_text=True)
    log = StageLog()
    try:
        verdicts = predict_corpus(StageStore(found.folder, log), corpus, "doctor", Run.open(PACKAGED_RUN))
    except StageFailed:
        raise CheckpointError(f"{log.records[-1].cause} {log.records[-1].repair}") from None
    good, bad = (row.score for row in verdicts.rows)
    if not good > bad:
        raise CheckpointError(f"a wonderful film scored {good:+.2f}, an awful end {bad:+.2f}")
    return f"a wonderful film {good:+.2f}, an awful end {bad:+.2f}"


STAGES: dict[str, Callable[[Found], str]] = {
    "media": _media,
    "speech": _speech,
    "transcript": _transcript,
    "utterances": _utterances,
    "speakers": _speakers,
    "faces": _faces,
    "features": _features,
    "prediction": _prediction,
}
"""By name; each raises MmmieError where it does not work."""
