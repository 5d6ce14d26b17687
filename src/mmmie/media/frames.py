"""The pictures of a video at a chosen rate: upright, shrunk, with the time at which each is shown."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmmie.errors import MediaError
from mmmie.media.container import (
    Clock,
    decode,
    open_media,
    reformatter,
    upright_rotation,
    upright_size,
)
from mmmie.media.files import MediaInfo

SEEK_FROM = 5.0
"""Seconds: a start before this is reached by decoding from the beginning."""
RECENT_PACKETS = 64
"""Among these a packet's neighbours in time are looked for; codecs reorder by 16 at most."""


@dataclass(frozen=True)
class Frame:
    """A picture and when it is shown."""

    seconds: float
    """Presentation time on the media clock."""
    image: NDArray[np.uint8]
    """(H, W, 3) RGB, upright, square pixels."""


def frames(
    info: MediaInfo, rate_hz: float = 8.0, max_side: int = 640, start: float = 0.0, end: float | None = None
) -> Iterator[Frame]:
    """The first frame shown in every period of 1 / `rate_hz` s, in order of time; frames not taken are not converted.

    Periods are counted from 0 of the clock, so the same frames are taken whatever `start` is.

    Args:
        info: what `probe` found.
        rate_hz: at most this many frames a second.
        max_side: larger images are shrunk until their longer side has this many pixels.
        start, end: seconds on the media clock, `end` excluded; None: to the end.

    Raises:
        MediaError: there is no video stream, or the file cannot be read any more.
    """
    if info.video is None:
        raise MediaError(f"{info.path} has no picture that can be decoded. Leave the vision modality out.")
    return _frames(info, rate_hz, max_side, start, end)


def _frames(
    info: MediaInfo, rate_hz: float, max_side: int, start: float, end: float | None, may_seek: bool = True
) -> Iterator[Frame]:
    assert info.video is not None
    period = 1 / rate_hz
    convert, clock, last = reformatter(), Clock(info.origin_seconds), -1
    with open_media(info.path) as container:
        stream = container.streams[info.video.index]
        stream.codec_context.thread_type = "AUTO"
        sought = may_seek and start > SEEK_FROM and not info.leaps
        if sought:
            container.seek(int(1e6 * (start - period + info.origin_seconds)))
        for picture in decode(container, stream, None if info.leaps else _Needless(info.origin_seconds, rate_hz)):
            if picture is None or picture.is_corrupt:
                continue
            if sought and (picture.time is None or picture.time - info.origin_seconds > start - period):
                break  # the format sought too far, or does not know where it is
            sought = False
            now = clock.seconds(picture.time, float((picture.duration or 0) * picture.time_base))
            number = _period(now, rate_hz)
            if end is not None and now >= end:
                return
            if number > last and now >= start:
                yield Frame(now, _upright(convert, picture, stream, max_side))
            last = max(last, number)
    if sought:
        yield from _frames(info, rate_hz, max_side, start, end, may_seek=False)


class _Needless:
    """Knows, before a packet is decoded, that the period of its frame has an earlier one.

    It may not know it of every such packet, but whatever it says is so: what is left out would not have been taken.
    """

    def __init__(self, origin_seconds: float, rate_hz: float) -> None:
        self._origin_seconds, self._rate_hz = origin_seconds, rate_hz
        self._recent: deque[tuple[int, float]] = deque(maxlen=RECENT_PACKETS)

    def __call__(self, packet: Any) -> bool:
        if packet.pts is None or packet.is_discard:  # such a frame is decoded for the sake of others, and never shown
            return False
        now = float(packet.pts * packet.time_base) - self._origin_seconds
        number = _period(now, self._rate_hz)
        needless = any(other == number and earlier < now for other, earlier in self._recent)
        self._recent.append((number, now))
        return needless


def _period(seconds: float, rate_hz: float) -> int:
    return int(seconds * rate_hz + 1e-6)


def _upright(convert: Any, picture: Any, stream: Any, max_side: int) -> NDArray[np.uint8]:
    """(H, W, 3)."""
    rotation = upright_rotation(picture)
    width, height = upright_size(picture, stream)
    shrink = min(1.0, max_side / max(width, height))
    width, height = max(1, round(width * shrink)), max(1, round(height * shrink))
    stored = (height, width) if rotation % 180 else (width, height)
    image = convert.reformat(picture, *stored, format="rgb24", interpolation="AREA").to_ndarray()
    return np.ascontiguousarray(np.rot90(image, rotation // 90))
