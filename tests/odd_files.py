"""Media files that are odd on purpose, made with PyAV alone; every function writes one file and returns its path.

The picture tells its own time: its grey is `grey_at(seconds)`, and a red patch marks the corner that is at the top
left when it is upright. The sound is a tone of 440 Hz wherever there is sound.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

TICK = Fraction(1, 90000)


@dataclass(frozen=True)
class Sound:
    """A tone in pieces: `(start, end)` in seconds."""

    pieces: Sequence[tuple[float, float]]
    rate_hz: int = 48000
    layout: str = "stereo"
    codec: str = "aac"
    loudness: float = 0.3
    language: str | None = None
    default: bool | None = None
    wave: Callable[[NDArray[np.float64]], NDArray[np.float64]] | None = None
    """In place of the tone: from seconds to values between -1 and 1."""


@dataclass(frozen=True)
class Picture:
    """Frames at these times, in seconds."""

    times: Sequence[float]
    size: tuple[int, int] = (160, 120)
    codec: str = "libx264"
    rotation: int = 0
    square: Fraction | None = None
    options: dict[str, str] = field(default_factory=lambda: {"preset": "ultrafast", "g": "25"})
    draw: Callable[[float, tuple[int, int]], NDArray[np.uint8]] | None = None
    """In place of the grey: from seconds and (width, height) to RGB."""


def grey_at(seconds: float) -> float:
    """The grey of the picture at a time, 0 to 255; 12 levels a second from 40, repeated after 15 s."""
    return 40 + 12 * (seconds % 15)


def steady(seconds: float, rate_hz: float = 25.0, start: float = 0.0) -> list[float]:
    return [start + n / rate_hz for n in range(round(seconds * rate_hz))]


def write(
    path: Path,
    *tracks: Sound | Picture,
    container: str | None = None,
    options: dict[str, str] | None = None,
    shift: float = 0.0,
) -> Path:
    """A file of some tracks; `shift` seconds are added to every time in it."""
    with av.open(str(path), "w", format=container, options=options or {}) as out:
        streams = [_add(out, track) for track in tracks]
        packets = []
        for track, stream in zip(tracks, streams, strict=True):
            frames = _tones(track) if isinstance(track, Sound) else _pictures(track)
            for frame in [*frames, None]:
                packets += stream.encode(frame)
        for packet in packets:
            for name in ("pts", "dts"):
                setattr(packet, name, getattr(packet, name) + round(shift / packet.time_base))
        for packet in sorted(packets, key=lambda p: p.dts * p.time_base):
            out.mux(packet)
    return path


def _add(out: "av.container.OutputContainer", track: Sound | Picture) -> "av.stream.Stream":
    if isinstance(track, Sound):
        stream = out.add_stream(track.codec, rate=track.rate_hz)
        stream.layout = track.layout
        if track.language:
            stream.metadata["language"] = track.language
        if track.default is not None:
            stream.disposition = av.stream.Disposition.default if track.default else av.stream.Disposition(0)
        return stream
    stream = out.add_stream(track.codec, rate=25, options=track.options)
    stream.width, stream.height = track.size
    stream.pix_fmt = "yuvj420p" if track.codec == "mjpeg" else "yuv420p"
    stream.codec_context.time_base = TICK if track.codec != "mpeg4" else Fraction(1, 25)
    if track.square:
        stream.codec_context.sample_aspect_ratio = track.square
    if track.rotation:
        stream.set_display_rotation(track.rotation)
    return stream


def _tones(track: Sound) -> list["av.AudioFrame"]:
    frames = []
    channels = av.AudioLayout(track.layout).nb_channels
    for start, end in track.pieces:
        first, last = round(start * track.rate_hz), round(end * track.rate_hz)
        for begin in range(first, last, 1024):
            times = np.arange(begin, min(begin + 1024, last)) / track.rate_hz
            wave = track.loudness * (np.sin(2 * np.pi * 440 * times) if track.wave is None else track.wave(times))
            block = np.repeat((wave * 32767).astype(np.int16)[:, None], channels, axis=1).reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(block, format="s16", layout=track.layout)
            frame.sample_rate, frame.time_base, frame.pts = track.rate_hz, Fraction(1, track.rate_hz), begin
            frames.append(frame)
    return frames


def _pictures(track: Picture) -> list["av.VideoFrame"]:
    frames = []
    for seconds in track.times:
        frame = av.VideoFrame.from_ndarray(_image(seconds, track), format="rgb24")
        frame.time_base, frame.pts = TICK, round(seconds / TICK)
        frames.append(frame)
    return frames


def _image(seconds: float, track: Picture) -> NDArray[np.uint8]:
    width, height = track.size
    if track.draw is not None:
        return track.draw(seconds, track.size)
    turned = track.rotation % 180 != 0
    image = np.full((width, height, 3) if turned else (height, width, 3), round(grey_at(seconds)), dtype=np.uint8)
    patch = min(width, height) // 3
    image[:patch, :patch] = (220, 20, 20)
    return np.ascontiguousarray(np.rot90(image, -track.rotation // 90))


def talking(path: Path, seconds: float = 3.0) -> Path:
    """Nothing odd: sound and picture from 0."""
    return write(path, Picture(steady(seconds)), Sound([(0, seconds)]))


def rotated(path: Path, degrees: int = 90) -> Path:
    """Stored lying; players turn it `degrees` counterclockwise, to 120x160 for 90 and 270."""
    return write(path, Picture(steady(2), rotation=degrees), Sound([(0, 2)]))


def wide_pixels(path: Path) -> Path:
    """160x120 stored, 320x120 seen."""
    return write(path, Picture(steady(1), square=Fraction(2)))


def late_audio(path: Path, start: float = 4.0) -> Path:
    """Six seconds of picture; the sound begins `start` seconds late."""
    return write(path, Picture(steady(6)), Sound([(start, 6)]))


def gap_in_audio(path: Path) -> Path:
    """Sound from 0 to 1 and from 2.5 to 4 s. Name it .mkv."""
    return write(path, Picture(steady(4)), Sound([(0, 1), (2.5, 4)], codec="pcm_s16le"))


def joined(path: Path, second_starts: float = 0.0) -> Path:
    """Two transport streams of 2 s one after the other in one file; the times of the second begin at `second_starts`.

    Less than 2 is an overlap, more a gap, and 0 a clock that starts again. Name it .ts.
    """
    parts = []
    for start in (0.0, second_starts):
        part = write(path, Picture(steady(2)), Sound([(0, 2)]), container="mpegts", shift=start)
        parts.append(part.read_bytes())
    path.write_bytes(b"".join(parts))
    return path


def leaping_timestamps(path: Path) -> Path:
    """Two seconds of sound and picture; from the second second on, every time is 5000 s later. Name it .mkv."""
    times = [t if t < 1 else t + 5000 for t in steady(2)]
    return write(path, Picture(times), Sound([(0, 1), (5001, 5002)], codec="pcm_s16le"))


def no_audio(path: Path) -> Path:
    return write(path, Picture(steady(2)))


def no_video(path: Path) -> Path:
    """Sound alone; .mp4 and .m4a hold AAC."""
    return write(path, Sound([(0, 2)]))


def recording(path: Path, rate_hz: int = 8000, layout: str = "mono", codec: str = "pcm_s16le") -> Path:
    """Sound alone, uncompressed unless said otherwise: .wav, .mkv."""
    return write(path, Sound([(0, 2)], rate_hz=rate_hz, layout=layout, codec=codec))


def surround(path: Path) -> Path:
    """Two seconds of 5.1."""
    return write(path, Picture(steady(2)), Sound([(0, 2)], layout="5.1"))


def several_audio_streams(path: Path) -> Path:
    """German mono as stream 1, English stereo as stream 2 and marked as default, no language as 3. Name it .mkv."""
    return write(
        path,
        Picture(steady(2)),
        Sound([(0, 2)], layout="mono", language="ger", default=False),
        Sound([(0, 2)], language="eng", default=True),
        Sound([(0, 1)], default=False),
    )


def variable_rate(path: Path) -> Path:
    """Frames 20 and 60 ms apart in turn, for three seconds."""
    times = np.cumsum([0.0] + [0.02, 0.06] * 37)
    return write(path, Picture([float(t) for t in times]), Sound([(0, 3)]))


def late_picture(path: Path, start: float = 0.852) -> Path:
    return write(path, Picture(steady(2, start=start)), Sound([(0, 3)]))


def transport_stream(path: Path, start: float = 1.4, audio_later: float = 0.5) -> Path:
    """An mpegts whose clock begins at `start`, with sound that comes `audio_later` after the picture. Name it .ts."""
    return write(path, Picture(steady(3)), Sound([(audio_later, 3)]), container="mpegts", shift=start)


def fast(path: Path, rate_hz: float = 120.0) -> Path:
    return write(path, Picture(steady(1, rate_hz)), Sound([(0, 1)]))


def uhd(path: Path) -> Path:
    """Five frames of 3840x2160."""
    return write(path, Picture(steady(0.2), size=(3840, 2160)), Sound([(0, 0.2)]))


def silent(path: Path, seconds: float = 3.0) -> Path:
    """Digital silence under a picture."""
    return write(path, Picture(steady(seconds)), Sound([(0, seconds)], loudness=0.0))


def silent_recording(path: Path, seconds: float) -> Path:
    """Digital silence alone, 16 kHz mono, made quickly whatever its length. Name it .flac or .wav."""
    codec = "flac" if path.suffix == ".flac" else "pcm_s16le"
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=16000)
        stream.layout = "mono"
        for second in range(round(seconds)):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.int16), format="s16", layout="mono")
            frame.sample_rate, frame.time_base, frame.pts = 16000, Fraction(1, 16000), 16000 * second
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def music_at(times: NDArray[np.float64]) -> NDArray[np.float64]:
    """Three chords, a second each, of four harmonics, struck twice a second."""
    chords = np.array([[261.6, 329.6, 392.0], [220.0, 261.6, 329.6], [174.6, 220.0, 261.6]])
    notes = chords[times.astype(int) % 3].T
    struck = np.exp(-3 * (times % 0.5))
    partials = [np.sin(2 * np.pi * k * notes * times) / k for k in range(1, 5)]
    return np.asarray(struck * np.sum(partials, axis=(0, 1)) / 6)


def music(path: Path, seconds: float = 6.0) -> Path:
    """Music alone. Name it .m4a."""
    return write(path, Sound([(0, seconds)], wave=music_at, loudness=0.8))


def slide_at(seconds: float, size: tuple[int, int]) -> NDArray[np.uint8]:
    """A slide with a heading, four lines and a chart; another one every two seconds."""
    import cv2

    width, height = size
    image = np.full((height, width, 3), 250, np.uint8)
    number = int(seconds // 2) + 1
    cv2.putText(image, f"Quarter {number}", (width // 12, height // 6), 0, height / 300, (20, 20, 90), 2)
    for line in range(4):
        place = (width // 12, height // 3 + line * height // 9)
        cv2.putText(image, f"- point {line} of slide {number}", place, 0, height / 500, (40, 40, 40), 1)
        bar = height * (2 + (line * number) % 5) // 12
        left = width * (13 + 2 * line) // 22
        cv2.rectangle(image, (left, height - 10 - bar), (left + width // 14, height - 10), (60, 140, 60), -1)
    return image


def slides(path: Path, seconds: float = 6.0, size: tuple[int, int] = (480, 360)) -> Path:
    """Slides without any face, under a tone."""
    return write(path, Picture(steady(seconds, 10), size=size, draw=slide_at), Sound([(0, seconds)]))


def with_cover(path: Path) -> Path:
    """Sound with cover art. Name it .mp3."""
    codec = "libmp3lame" if path.suffix == ".mp3" else "aac"
    with av.open(str(path), "w") as out:
        track, cover = Sound([(0, 2)], codec=codec), Picture([0.0], codec="mjpeg", options={})
        sound, picture = _add(out, track), _add(out, cover)
        picture.disposition = av.stream.Disposition.attached_pic
        for stream, frames in ((picture, _pictures(cover)), (sound, _tones(track))):
            for frame in [*frames, None]:
                out.mux(stream.encode(frame))
    return path


def subtitles_only(path: Path) -> Path:
    """One line of SubRip and nothing else. Name it .mkv."""
    text = path.with_suffix(".srt")
    text.write_text("1\n00:00:00,000 --> 00:00:01,000\nhello\n\n")
    with av.open(str(text)) as source, av.open(str(path), "w") as out:
        stream = out.add_stream_from_template(source.streams.subtitles[0])
        for packet in source.demux():
            if packet.size:
                packet.stream = stream
                out.mux(packet)
    return path


def jpeg(path: Path) -> Path:
    """A JPEG picture, whatever the name is."""
    return write(path, Picture([0.0], codec="mjpeg", options={}), container="image2", options={"update": "1"})


def cut(whole: Path, path: Path, fraction: float) -> Path:
    """The first part of another file."""
    content = whole.read_bytes()
    path.write_bytes(content[: round(len(content) * fraction)])
    return path


def index_first(path: Path, seconds: float = 10.0) -> Path:
    """An mp4 that has its index before its content, so that a cut one can be read."""
    tracks = Picture(steady(seconds)), Sound([(0, seconds)])
    return write(path, *tracks, options={"movflags": "+faststart"})


def empty(path: Path) -> Path:
    path.write_bytes(b"")
    return path


def playlist(path: Path, named: Path) -> Path:
    """An HLS playlist that names another file, and a host that must not be asked."""
    path.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{named}\n#EXTINF:9,\nhttp://127.0.0.1:9/x.ts\n")
    return path


AWKWARD_NAMES = ("two words.mp4", 'it\'s "quoted".mp4', "smile 😀 ü.mp4", "-leading.mp4", "a:b.mp4", "50%d.mp4")

MAKERS: dict[str, Callable[[Path], Path]] = {
    "talking.mp4": talking,
    "rotated.mp4": rotated,
    "late_audio.mp4": late_audio,
    "gap_in_audio.mkv": gap_in_audio,
    "joined.ts": joined,
    "no_audio.mp4": no_audio,
    "no_video.m4a": no_video,
    "phone.wav": recording,
    "surround.mp4": surround,
    "several_audio_streams.mkv": several_audio_streams,
    "variable_rate.mp4": variable_rate,
    "late_picture.mp4": late_picture,
    "transport_stream.ts": transport_stream,
    "fast.mp4": fast,
    "uhd.mp4": uhd,
    "silent.mp4": silent,
    "with_cover.mp3": with_cover,
    "music.m4a": music,
    "slides.mp4": slides,
}
"""Readable oddities by file name."""


def broken(folder: Path, tenths: Sequence[int] = range(1, 10)) -> dict[str, bool]:
    """Writes files that are no whole media: cut at tenths, empty, a picture. By name whether something can be read."""
    with_index_last, with_index_first = talking(folder / "last.mp4", 6.0), index_first(folder / "first.mp4")
    made = {}
    for tenth in tenths:
        cut(with_index_last, folder / f"cut {tenth} of 10.mp4", tenth / 10)
        cut(with_index_first, folder / f"cut {tenth} of 10, index first.mp4", tenth / 10)
        made |= {f"cut {tenth} of 10.mp4": False, f"cut {tenth} of 10, index first.mp4": True}
    with_index_last.unlink()
    with_index_first.unlink()
    empty(folder / "empty.mp4")
    jpeg(folder / "picture.mp4")
    return made | {"empty.mp4": False, "picture.mp4": False}
