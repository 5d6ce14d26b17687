"""Opening and decoding media files, and the clock on which everything in them tells time.

This is the one file that imports PyAV; what reads media (files, audio, frames) goes through it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmmie.errors import MediaError, did_you_mean, missing_extra

PLAYED = (
    "mov,matroska,webm,avi,asf,flv,mpegts,mpeg,ivf,ogg,mxf,dv,gxf,nut,rm,3gp,gif,"
    "wav,w64,aiff,au,caf,mp3,aac,ac3,eac3,flac,amr,ape,wv,tta,dsf"
)
"""Formats that may hold a recording. Playlists (hls, concat) name other files and hosts, and are never opened."""
PICTURES = "jpeg_pipe,png_pipe,webp_pipe,bmp_pipe,tiff_pipe,psd_pipe,jpegxl_pipe,j2k_pipe,ico"
BARE = "h264,hevc,m4v,mpegvideo,obu"
"""Opened only so that the refusal can say what they are."""

LATE_START = 60.0
"""Seconds: a file that begins later than this is part of a longer recording, and its clock starts with it."""
LEAP_FORWARD, LEAP_BACK = 600.0, 1.0
"""Seconds: a longer step between neighbours is a broken clock, not a pause."""


@contextmanager
def open_media(path: Path) -> Iterator[Any]:
    """An `av.container.InputContainer` on a local file; no other file and no network is reached from it.

    Its streams and packets must not be touched after the block.

    Raises:
        MediaError: nothing there, no file, a picture, or nothing that can be read.
        MmmieError: PyAV is not installed.
    """
    av = _av()
    _require_file(path)
    limits = {"format_whitelist": f"{PLAYED},{PICTURES},{BARE}", "protocol_whitelist": "file"}
    try:
        container = av.open(str(path.absolute()), container_options=limits, metadata_errors="replace")
    except PermissionError:
        raise _denied(path) from None
    except (av.error.FFmpegError, OSError, ValueError):
        raise MediaError(_why_unreadable(path)) from None
    with container, _failing_well(path):
        kind = container.format.name
        if kind in PICTURES.split(","):
            name = kind.removesuffix("_pipe").upper()
            raise MediaError(f"{path} is a picture ({name}), whatever its name says. Give a video or a recording.")
        if kind in BARE.split(","):
            raise MediaError(
                f"{path} is a bare {kind} stream, which does not say when its pictures are shown. Put it into a "
                "container at its true rate, as in: ffmpeg -framerate 25 -i IN -c copy OUT.mp4"
            )
        yield container


@contextmanager
def _failing_well(path: Path) -> Iterator[None]:
    try:
        yield
    except _av().error.FFmpegError as error:
        raise MediaError(f"{path}: reading it failed: {error}. If a player opens it, convert it to mp4.") from None


def packets(container: Any, indices: list[int]) -> Iterator[Any]:
    """The packets of some streams in the order of the file; a file that ends within a packet ends before it."""
    av = _av()
    if not indices:
        return
    source = container.demux([container.streams[index] for index in indices])
    while True:
        try:
            packet = next(source, None)
        except (av.error.FFmpegError, OSError):
            return
        if packet is None:
            return
        if packet.size:
            yield packet


def decode(container: Any, stream: Any, needless: Callable[[Any], bool] | None = None) -> Iterator[Any]:
    """The frames of a stream in order of presentation, and None for every packet that cannot be decoded.

    Args:
        container: an open one.
        stream: one of its streams.
        needless: told of each packet in the order of the file, says whether its frame is not needed. Such a frame is
            left out where no other is built on it, and given all the same where one is.
    """
    av = _av()
    for packet in packets(container, [stream.index]):
        if needless is not None:
            stream.codec_context.skip_frame = "NONREF" if needless(packet) else "DEFAULT"
        try:
            frames = packet.decode()
        except (av.error.FFmpegError, EOFError):
            frames = [None]
        yield from frames
    try:
        held = stream.codec_context.decode(None)
    except (av.error.FFmpegError, EOFError):
        held = [None]
    for frame in held:
        if frame is not None:
            frame.time_base = stream.time_base  # which PyAV takes from the packet, and here there is none
        yield frame


def resampler(rate_hz: int) -> Any:
    """An `av.AudioResampler` to mono int16 at a rate."""
    return _av().AudioResampler(format="s16", layout="mono", rate=rate_hz)


def reformatter() -> Any:
    """An `av` VideoReformatter; it keeps its tables from one frame to the next."""
    return _av().video.reformatter.VideoReformatter()


def is_cover(stream: Any) -> bool:
    """Whether a video stream is a still that comes with the sound: cover art, thumbnails."""
    stills = _av().stream.Disposition
    return bool(stream.disposition & (stills.attached_pic | stills.timed_thumbnails))


def is_default(stream: Any) -> bool:
    return bool(stream.disposition & _av().stream.Disposition.default)


def begins_anywhere(container: Any) -> bool:
    """Whether presentation times of the format begin at an arbitrary value and may leap, as in mpegts."""
    return bool(container.format.flags & _av().format.Flags.ts_discont.value)


def origin_seconds(container: Any) -> float:
    """The container's time that is 0 on the media clock."""
    starts = (container.start_time or 0) / 1e6
    return starts if begins_anywhere(container) or starts > LATE_START else 0.0


@dataclass
class Clock:
    """Turns the times of one stream into seconds on the media clock, in one pass and in the order of its times.

    Where timestamps leap (joined or wrapped streams) the stream goes on without a step; missing ones follow the last.
    """

    origin_seconds: float
    leaps: int = 0
    _next: float | None = None

    def seconds(self, own: float | None, length: float) -> float:
        """The time of a packet or frame.

        Args:
            own: its time in the container, seconds, or None where it has none.
            length: how long it lasts, seconds; 0 where unknown.
        """
        expected = self._next or 0.0
        now = expected if own is None else own - self.origin_seconds
        if self._next is not None and not -LEAP_BACK <= now - expected <= LEAP_FORWARD:
            self.origin_seconds += now - expected
            self.leaps += 1
            now = expected
        self._next = now + length
        return now


def upright_rotation(frame: Any) -> int:
    """Degrees counterclockwise that turn a decoded frame upright: 0, 90, 180 or 270."""
    return int(round(frame.rotation / 90) % 4 * 90)


def upright_size(frame: Any, stream: Any) -> tuple[int, int]:
    """Width and height of a frame as seen: with square pixels, turned upright."""
    width = max(1, round(frame.width * float(stream.sample_aspect_ratio or 1)))
    return (frame.height, width) if upright_rotation(frame) % 180 else (width, frame.height)


def _av() -> Any:
    try:
        import av
    except ImportError:
        raise missing_extra("av", "video") from None
    return av


def _require_file(path: Path) -> None:
    try:
        if path.is_dir():
            raise MediaError(f"{path} is a folder; a video or recording was expected. Name the files in it.")
        if path.is_file():
            if path.stat().st_size == 0:
                raise MediaError(f"{path} is empty (0 bytes): the recording or the copy failed. Copy it again.")
            return
        if path.exists():
            raise MediaError(f"{path} is not a regular file; a video or recording was expected.")
        beside = [p.name for p in path.parent.iterdir() if p.is_file()] if path.parent.is_dir() else []
    except PermissionError:
        raise _denied(path) from None
    near = did_you_mean(path.name, beside)
    raise MediaError(f"no file at {path}. {near if near.startswith('Did') else ''}".rstrip())


def _denied(path: Path) -> MediaError:
    return MediaError(f"{path} may not be read: permission denied. Change its owner or mode.")


def _why_unreadable(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(16)
    if head[4:8] in (b"ftyp", b"mdat", b"wide", b"free"):
        return (
            f"{path} is cut off or damaged: its index (moov), which mp4 and mov keep at one end of the file, is not "
            "there. Copy or download it again; an interrupted recording can be mended by a tool such as untrunc."
        )
    shown = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in head)
    return (
        f"{path} is not a video or recording in a format that is read here (it begins with '{shown}'). "
        "If a player opens it, convert it to mp4."
    )
