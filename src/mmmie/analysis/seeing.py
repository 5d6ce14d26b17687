"""What is seen: faces through the whole video, and which of them is the speaker's while he speaks."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from mmmie.analysis.hearing import Heard, Opened
from mmmie.analysis.result import Measure
from mmmie.analysis.stages import StageFailed, StageStore, key_of
from mmmie.corpus.schema import FeatureInfo
from mmmie.corpus.store import Floats
from mmmie.errors import MmmieError
from mmmie.features import face
from mmmie.media.ahead import ahead
from mmmie.media.faces import Faces, find_faces
from mmmie.media.frames import Frame, frames
from mmmie.media.models import find
from mmmie.media.speaker_faces import link_speakers

SHOWN = (
    "mouth_corner_lift",
    "lip_gap",
    "eye_opening",
    "brow_inner_height",
    "happiness",
    "sadness",
    "anger",
    "surprise",
)
"""Of a face's measures, those that a page has room for."""
FACES_FILE = "faces.npz"
TOLD_SECONDS = 5.0
"""Of media, after which it says how far faces have been looked for: a stage that is silent for long may be hanging."""


@dataclass(frozen=True)
class Looked:
    """Where the faces of a video are, or why there are none to speak of."""

    key: str = ""
    file: Path | None = None
    reason: str = "not asked for"
    notes: tuple[str, ...] = ()

    def faces(self) -> Faces:
        """Read from the file: those of hours are not kept while other stages run."""
        assert self.file is not None
        with np.load(self.file, allow_pickle=False) as file:
            return Faces(**{f.name: file[f.name] for f in fields(Faces)})


@dataclass(frozen=True)
class FaceFound:
    """Of N utterances; all empty where no face was asked for."""

    key: str = ""
    info: FeatureInfo | None = None
    vectors: tuple[Floats | None, ...] = ()
    missing: tuple[str | None, ...] = ()
    seen: tuple[bool | None, ...] = ()
    """Whether the speaker's face was seen; None: nobody looked."""
    measures: tuple[Measure, ...] = ()
    values: tuple[Mapping[str, float], ...] = ()
    notes: tuple[str, ...] = ()


face_info = face.info
"""How faces are read, where none was."""


def look(store: StageStore, opened: Opened, rate_hz: float) -> Looked:
    """The stage `faces`: without it words and voice still count, so a failure is no more than that."""
    if opened.info.video is None:
        store.log.skip("faces", "there is no picture")
        return Looked(reason="no picture")
    try:
        for name in face.NETWORKS:
            find(name)
    except MmmieError as error:
        store.log.skip("faces", str(error))
        return Looked(reason="the networks for faces are not there", notes=(f"faces were not looked for: {error}",))
    key = key_of("faces 2", opened.key, rate_hz, face.info().fingerprint)

    def write(folder: Path) -> None:
        found = find_faces(_told(ahead(frames(opened.info, rate_hz)), store), face.FaceReader())
        np.savez(folder / FACES_FILE, **{f.name: getattr(found, f.name) for f in fields(found)})

    try:
        place = store.make("faces", key, write)
    except StageFailed:
        return Looked(reason="faces could not be looked for")
    return Looked(key, place / FACES_FILE)


def _told(seen: Iterable[Frame], store: StageStore) -> Iterator[Frame]:
    told = 0.0
    for frame in seen:
        if frame.seconds >= told + TOLD_SECONDS:
            told = frame.seconds
            store.log.report("faces", f"at {told:.0f} s")
        yield frame


def speakers_faces(looked: Looked, heard: Heard) -> FaceFound:
    """The face of the speaker of each utterance, where one can be told."""
    count = len(heard.utterances)
    if looked.file is None:
        return FaceFound(missing=(looked.reason,) * count, seen=(None,) * count, notes=looked.notes)
    faces = looked.faces()
    links = link_speakers(faces, heard.utterances)
    spans = [(u.start, u.end) for u in heard.utterances]
    pooled = face.pool(faces, spans, [link.track for link in links])
    shown = [i for i, column in enumerate(face.MODEL_COLUMNS) if column.name in SHOWN]
    return FaceFound(
        key=key_of(looked.key, heard.key),
        info=face.info(),
        vectors=tuple(v if p else None for v, p in zip(pooled.values, pooled.present, strict=True)),
        missing=tuple(None if p else link.missing for link, p in zip(links, pooled.present, strict=True)),
        seen=tuple(bool(p) for p in pooled.present),
        measures=tuple(
            Measure(name=f"face_{c.name}", unit=c.unit, meaning=c.meaning)
            for c in (face.MODEL_COLUMNS[i] for i in shown)
        ),
        values=tuple(
            {f"face_{face.MODEL_COLUMNS[i].name}": round(float(row[i]), 4) for i in shown if p}
            for row, p in zip(pooled.values, pooled.present, strict=True)
        ),
    )
