"""What is in a media file, on the one clock that everything after it tells time by.

Zero of the clock is presentation time 0, or the container's start where a format begins at an arbitrary time
(mpegts, mpeg) or a file begins over a minute late. The packets of the whole file are read once, undecoded: containers
state durations that are not there, and rates that are averages.
"""

import hashlib
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mmmie.errors import MediaError
from mmmie.media.container import (
    Clock,
    decode,
    is_cover,
    is_default,
    open_media,
    origin_seconds,
    packets,
    upright_rotation,
    upright_size,
)

STATING = {"mov", "matroska", "avi", "asf", "flv", "wav", "w64", "flac", "aiff", "caf"}
"""Formats whose duration is written in the file; that of the others is a guess by FFmpeg."""

Kind = Literal["audio", "video"]
NAMES: dict[Kind, str] = {"audio": "sound", "video": "picture"}


@dataclass(frozen=True)
class AudioStream:
    """The audio stream that is used; times in seconds on the media clock."""

    index: int
    codec: str
    rate_hz: int
    channels: int
    start_seconds: float
    duration_seconds: float | None
    language: str | None


@dataclass(frozen=True)
class VideoStream:
    """The video stream that is used, as it is seen: upright, with square pixels."""

    index: int
    codec: str
    width: int
    height: int
    start_seconds: float
    """Presentation time of the first frame."""
    mean_rate_hz: float | None
    variable_rate: bool | None
    """Whether more than one in a hundred steps between frames is not the usual one; None: fewer than 3 frames."""
    rotation: int
    """Degrees counterclockwise by which stored frames are turned: 0, 90, 180 or 270."""


@dataclass(frozen=True)
class MediaInfo:
    """What is in a file."""

    path: Path
    sha256: str
    bytes: int
    format: str
    duration_seconds: float
    """The end of the later of sound and picture on the media clock, by their packets."""
    audio: AudioStream | None
    video: VideoStream | None
    notes: tuple[str, ...]
    """What a user should know: which of several streams was taken, what is missing, where the file is cut off."""
    origin_seconds: float = 0.0
    """The container's time that is 0 on the media clock."""
    leaps: bool = False
    """Whether timestamps leap, so that a time can only be reached from the start."""


def probe(path: str | Path, audio_stream: int | None = None) -> MediaInfo:
    """What is in a media file.

    Args:
        path: a local video or recording.
        audio_stream: the number of the audio stream to use; None: the first that is marked as default, else the first.

    Raises:
        MediaError: no such file ("did you mean"), no media, empty, a picture, damaged beyond reading, neither sound
            nor picture in it, or no such audio stream.
    """
    path = Path(path)
    with open_media(path) as container:
        names = container.format.name.split(",")
        suffix = path.suffix[1:].lower()
        origin = origin_seconds(container)
        stated = (container.duration or 0) / 1e6 - origin if names[0] in STATING else 0.0
        kinds = sorted({str(stream.type) for stream in container.streams})
        tracks = _survey(container, origin)
    sound, pictures = ([t for t in tracks if t.kind == kind and t.packets] for kind in NAMES)
    if not sound and sum(t.packets for t in pictures) == 1:
        raise MediaError(f"{path} holds a single picture, not a video. Give a video or a recording.")
    if not sound and not pictures:
        there = f"only: {', '.join(kinds)}" if kinds else "no stream at all"
        raise MediaError(f"{path} holds neither sound nor picture ({there}). Give a video or a recording.")
    notes: list[str] = []
    heard = _choose(path, "audio", sound, audio_stream, notes)
    seen = _choose(path, "video", pictures, None, notes)
    audio = _audio_stream(path, origin, heard, notes) if heard else None
    video = _video_stream(path, origin, seen, notes) if seen else None
    if not audio and not video:
        raise MediaError(f"{path} is damaged or protected: {'; '.join(notes)}. Copy or download it again.")
    used = [track for track, stream in ((heard, audio), (seen, video)) if track and stream]
    longest = max(t.ends for t in tracks)
    leaps = max(t.clock.leaps for t in used)
    if leaps:
        notes.append(
            f"timestamps leap, as in joined files (leaps: {leaps}); they are taken out, and at each of them sound and "
            "picture may shift against each other by some hundredths of a second"
        )
    elif stated - longest > max(0.5, 0.02 * stated):
        notes.append(
            f"ends early: holds {longest:.1f} of the {stated:.1f} s it states; the file is cut off or "
            "damaged: copy or download it again"
        )
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return MediaInfo(
        path=path,
        sha256=digest,
        bytes=path.stat().st_size,
        format=suffix if suffix in names else names[0],
        duration_seconds=max(t.ends for t in used),
        audio=audio,
        video=video,
        notes=tuple(notes),
        origin_seconds=origin,
        leaps=leaps > 0,
    )


@dataclass
class _Track:
    """What a stream's header and packets say; a stream itself must not outlive its container."""

    kind: Kind
    index: int
    codec: str
    size: str
    language: str | None
    default: bool
    clock: Clock
    ends: float = 0.0
    packets: int = 0
    times: "array[float]" = field(default_factory=lambda: array("d"))
    """Of video: presentation times, seconds, in order of decoding."""

    def __str__(self) -> str:
        return f"{self.index} ({self.codec}, {self.size}{', ' + self.language if self.language else ''})"


def _survey(container: Any, origin: float) -> list[_Track]:
    tracks: dict[int, _Track] = {}
    for stream in container.streams:
        if stream.type not in NAMES or stream.codec_context is None or is_cover(stream):
            continue
        size = stream.layout.name if stream.type == "audio" else f"{stream.width}x{stream.height}"
        language = None if stream.language in ("und", "") else stream.language
        facts = (stream.type, stream.index, stream.codec_context.name, size, language, is_default(stream))
        tracks[stream.index] = _Track(*facts, Clock(origin))
    for packet in packets(container, list(tracks)):
        track = tracks[packet.stream_index]
        decoded = packet.dts if packet.dts is not None else packet.pts  # in order, as a clock needs it
        shown = packet.pts if packet.pts is not None else packet.dts
        base, length = packet.time_base, float((packet.duration or 0) * packet.time_base)
        now = track.clock.seconds(None if decoded is None else float(decoded * base), length)
        now += 0.0 if decoded is None else float((shown - decoded) * base)
        if not packet.is_discard:
            track.packets += 1
            track.ends = max(track.ends, now + length)
            if track.kind == "video":
                track.times.append(now)
    return list(tracks.values())


def _choose(path: Path, kind: Kind, tracks: list[_Track], wanted: int | None, notes: list[str]) -> _Track | None:
    if wanted is not None and wanted not in [t.index for t in tracks]:
        there = "; ".join(map(str, tracks)) or "none"
        raise MediaError(f"{path} has no {kind} stream {wanted}. Its {kind} streams: {there}.")
    if not tracks:
        notes.append(f"no {NAMES[kind]} in it")
        return None
    marked = [t for t in tracks if t.default]
    taken = next((t for t in tracks if t.index == wanted), (marked or tracks)[0])
    if len(tracks) > 1:
        why = "as asked" if wanted is not None else "marked as default" if marked else "the first"
        others = "; ".join(str(t) for t in tracks if t is not taken)
        notes.append(f"{len(tracks)} {kind} streams: took {taken}, {why}; not used: {others}")
    return taken


@contextmanager
def _first_frame(path: Path, track: _Track, notes: list[str]) -> Iterator[Any]:
    """It knows more of rotation, rate and channels than the header does, and it proves that there is a decoder."""
    with open_media(path) as container:
        stream = container.streams[track.index]
        frames = decode(container, stream)
        frame = next((frame for frame in frames if frame is not None), None)
        if frame is None:
            notes.append(f"its {NAMES[track.kind]} ({track.codec}) cannot be decoded")
        yield frame, stream


def _audio_stream(path: Path, origin: float, track: _Track, notes: list[str]) -> AudioStream | None:
    with _first_frame(path, track, notes) as (frame, _):
        if frame is None:
            return None
        start = max(0.0, (frame.time or 0.0) - origin)
        channels, rate = frame.layout.nb_channels, frame.sample_rate
    length = max(0.0, track.ends - start)
    return AudioStream(track.index, track.codec, rate, channels, start, length, track.language)


def _video_stream(path: Path, origin: float, track: _Track, notes: list[str]) -> VideoStream | None:
    with _first_frame(path, track, notes) as (frame, stream):
        if frame is None:
            return None
        start = max(0.0, (frame.time or 0.0) - origin)
        rotation = upright_rotation(frame)
        width, height = upright_size(frame, stream)
    steps = np.diff(np.sort(np.frombuffer(track.times, dtype=np.float64)))
    rate = variable = None
    if len(steps) > 1 and steps.sum() > 0:
        usual = float(np.median(steps))
        # A container that counts milliseconds turns a steady 30 Hz into steps of 33 and 34.
        odd = np.abs(steps - usual) > max(0.1 * usual, 0.0015)
        rate, variable = len(steps) / float(steps.sum()), bool(odd.mean() > 0.01)
    return VideoStream(track.index, track.codec, width, height, start, rate, variable, rotation)
