"""The sound of a file as 16 kHz mono on the media clock: on disk, read by interval, so that memory stays flat.

Sample i is at i / 16000 s. Sound that starts late begins with silence, gaps are silence, what lies before 0 is
dropped: no one after this adds an offset.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from mmmie.errors import MediaError
from mmmie.media.container import Clock, decode, open_media, resampler
from mmmie.media.files import MediaInfo

RATE_HZ = 16000
JITTER_SECONDS = 0.02
"""Timestamps that differ from the count of samples by less are rounding or jitter; by more, a gap or an overlap."""

PADDING_SECONDS = 0.1


@dataclass(frozen=True)
class Audio:
    """16 kHz mono sound as little-endian int16 in a file without header; sample i is at i / 16000 s."""

    path: Path
    num_samples: int
    rate_hz: int = RATE_HZ
    notes: tuple[str, ...] = ()
    """What was mended while decoding: gaps, overlaps, damaged parts."""

    @property
    def duration_seconds(self) -> float:
        """From 0 of the media clock to the end of the sound; the silence before a late start is counted."""
        return self.num_samples / self.rate_hz

    def read(self, start_seconds: float, end_seconds: float) -> NDArray[np.float32]:
        """The samples from the one nearest to `start_seconds` up to the one before `end_seconds`.

        Args:
            start_seconds, end_seconds: on the media clock; what lies outside the sound is left out.

        Returns:
            (n,) float32 in [-1, 1]; n = 0 where the interval holds no sound.

        Raises:
            MediaError: the file is gone or shorter than it was.
        """
        first = min(max(0, round(start_seconds * self.rate_hz)), self.num_samples)
        count = max(0, min(round(end_seconds * self.rate_hz), self.num_samples) - first)
        try:
            samples = np.fromfile(self.path, dtype="<i2", count=count, offset=2 * first)
        except OSError as error:
            raise MediaError(f"the decoded sound {self.path} cannot be read: {error}. Decode it again.") from None
        if len(samples) < count:
            raise MediaError(
                f"the decoded sound {self.path} ends early: expected {self.num_samples} samples, came "
                f"{first + len(samples)}. Decode it again."
            )
        return samples.astype(np.float32) / np.float32(32768)


def decode_audio(info: MediaInfo, out: Path) -> Audio:
    """Decodes the chosen audio stream of a file to 16 kHz mono (5.1 and stereo mixed down) on the media clock.

    Args:
        info: what `probe` found.
        out: the file to write; it appears when it is complete.

    Raises:
        MediaError: there is no audio stream, or nothing of it can be decoded.
    """
    if info.audio is None:
        raise MediaError(f"{info.path} has no sound that can be decoded. Leave the audio modality out.")
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            timeline = _Timeline(file)
            with open_media(info.path) as container:
                _lay_out(container, info, timeline)
            if not timeline.sounded:
                raise MediaError(f"{info.path}: nothing of its sound can be decoded; it is damaged or protected.")
            timeline.drop_padding(info.duration_seconds)
        os.replace(temporary, out)
    finally:
        temporary.unlink(missing_ok=True)
    return Audio(out, timeline.written, notes=timeline.notes())


class _Timeline:
    """The file being written: runs of samples put where they belong, silence between them."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.written = 0
        self.sounded = 0
        self.gaps: list[float] = []
        self.overlaps: list[float] = []
        self.damaged = 0
        self.leaps = 0
        self._skip = 0

    def start_run(self, seconds: float) -> None:
        """What is appended next belongs at `seconds`."""
        position = round(seconds * RATE_HZ)
        step = position - self.written
        if self.sounded and step > 0:
            self.gaps.append(step / RATE_HZ)
        elif self.sounded and step < 0:
            self.overlaps.append(-step / RATE_HZ)
        if step > 0:
            self.file.seek(2 * position)  # a hole reads as zeros and takes no room
            self.written = position
        self._skip = max(0, -step)

    def append(self, samples: NDArray[np.int16]) -> None:
        self.sounded += len(samples)
        skipped = min(self._skip, len(samples))
        self._skip -= skipped
        self.file.write(samples[skipped:].astype("<i2").tobytes())
        self.written += len(samples) - skipped

    def drop_padding(self, duration_seconds: float) -> None:
        """Decoders fill the last block of a codec with silence, which would be sound after the end of the media."""
        end = round(duration_seconds * RATE_HZ)
        if 0 < self.written - end <= PADDING_SECONDS * RATE_HZ:
            self.written = end
            self.file.truncate(2 * end)

    def notes(self) -> tuple[str, ...]:
        notes = []
        if self.gaps:
            notes.append(f"sound: missing and silent: {sum(self.gaps):.2f} s, gaps: {len(self.gaps)}")
        if self.overlaps:
            notes.append(
                f"sound: twice there, once left out: {sum(self.overlaps):.2f} s, overlaps: {len(self.overlaps)}"
            )
        if self.damaged:
            notes.append(f"sound: damaged packets left out: {self.damaged}")
        if self.leaps:
            notes.append(f"sound: leaps of the timestamps taken out: {self.leaps}")
        return tuple(notes)


def _lay_out(container: Any, info: MediaInfo, timeline: _Timeline) -> None:
    assert info.audio is not None
    clock = Clock(info.origin_seconds)
    shape: tuple[Any, ...] = ()
    to_mono: Any = None
    expected = 0.0
    for frame in decode(container, container.streams[info.audio.index]):
        if frame is None:
            timeline.damaged += 1
            continue
        length = frame.samples / frame.sample_rate
        now = clock.seconds(frame.time, length)
        came = (frame.format.name, frame.layout.name, frame.sample_rate)
        if came != shape or abs(now - expected) > JITTER_SECONDS:
            timeline.append(_mono(to_mono, None))
            timeline.start_run(now)
            to_mono, shape, expected = resampler(RATE_HZ), came, now
        timeline.append(_mono(to_mono, frame))
        expected += length
    timeline.append(_mono(to_mono, None))
    timeline.leaps = clock.leaps


def _mono(to_mono: Any, frame: Any) -> NDArray[np.int16]:
    """The resampler's output for a frame, or with None what it still holds; (n,)."""
    blocks = to_mono.resample(frame) if to_mono else []
    return np.concatenate([np.empty(0, np.int16), *(block.to_ndarray()[0] for block in blocks)])
