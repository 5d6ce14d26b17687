"""Frames are picked by presentation time, are upright, and are where their picture says they are."""

from itertools import islice

import numpy as np
import pytest

from mmmie.errors import MediaError
from mmmie.media import frames as frames_module
from mmmie.media.files import probe
from mmmie.media.frames import Frame, frames
from odd_files import MAKERS, Picture, cut, grey_at, index_first, joined, leaping_timestamps, steady, wide_pixels, write


def shown_at(frame: Frame) -> float:
    """The grey of a place without the red patch."""
    return float(frame.image[-frame.image.shape[0] // 4 :, -frame.image.shape[1] // 4 :].mean())


def assert_pictures_tell_the_time(taken: list[Frame]) -> None:
    for frame in taken:
        assert shown_at(frame) == pytest.approx(grey_at(frame.seconds), abs=2.5)


@pytest.mark.parametrize("name", ["talking.mp4", "late_picture.mp4", "variable_rate.mp4", "fast.mp4", "late_audio.mp4"])
def test_times_and_pictures_belong_together(probed, name):
    info = probed(name)
    taken = list(frames(info))
    assert len(taken) > 5
    assert taken[0].seconds == pytest.approx(info.video.start_seconds)
    assert_pictures_tell_the_time(taken)


@pytest.mark.parametrize(("name", "rate_hz"), [("talking.mp4", 8), ("variable_rate.mp4", 5), ("fast.mp4", 50)])
def test_at_most_the_rate_and_evenly(probed, name, rate_hz):
    info = probed(name)
    times = np.array([frame.seconds for frame in frames(info, rate_hz=rate_hz)])
    assert (np.diff(times) > 0).all()
    periods = np.floor(times * rate_hz + 1e-6)
    assert len(set(periods)) == len(times)
    assert len(times) == pytest.approx(info.duration_seconds * rate_hz, abs=2)


def test_a_higher_rate_than_the_video_gives_every_frame_once(probed):
    times = [frame.seconds for frame in frames(probed("talking.mp4"), rate_hz=1000)]
    assert times == pytest.approx([n / 25 for n in range(75)], abs=0.001)


def test_frames_that_are_not_taken_are_not_converted(probed, monkeypatch):
    converted = []
    convert = frames_module._upright
    monkeypatch.setattr(frames_module, "_upright", lambda *a: converted.append(1) or convert(*a))
    assert len(list(frames(probed("fast.mp4"), rate_hz=4))) == len(converted) == 4


@pytest.mark.parametrize("codec", ["libx264", "libx265", "mpeg4", "libvpx-vp9", "mjpeg"])
@pytest.mark.parametrize("start", [0.0, 2.3])
def test_frames_that_nothing_needs_are_left_out_and_change_nothing(tmp_path, monkeypatch, codec, start):
    options = {"mjpeg": {}, "libx264": {"preset": "ultrafast", "bf": "3", "b-adapt": "0"}}.get(codec, {"bf": "3"}) | {
        "g": "25"
    }
    suffix = {"mjpeg": "mov", "libvpx-vp9": "mkv"}.get(codec, "mp4")
    info = probe(write(tmp_path / f"a.{suffix}", Picture(steady(4), codec=codec, options=options)))
    decoded = []
    decode = frames_module.decode

    def all_of_them(container, stream, needless=None):
        return decode(container, stream)

    def counted(container, stream, needless=None):
        for frame in decode(container, stream, needless):
            decoded.append(frame.time)
            yield frame

    monkeypatch.setattr(frames_module, "decode", all_of_them)
    whole = list(frames(info, rate_hz=6, start=start))
    monkeypatch.setattr(frames_module, "decode", counted)
    sparing = list(frames(info, rate_hz=6, start=start))
    assert [f.seconds for f in sparing] == [f.seconds for f in whole]
    assert all((a.image == b.image).all() for a, b in zip(sparing, whole, strict=True))
    assert len(whole) > 5
    if codec == "libx264":
        assert len(decoded) < 80  # of 100, every other of which no other is built on


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_upright(tmp_path, degrees):
    info = probe(MAKERS["rotated.mp4"](tmp_path / "a.mp4", degrees))
    image = next(frames(info)).image
    assert image.shape == (info.video.height, info.video.width, 3)
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous
    corners = [image[6, 6], image[6, -6], image[-6, 6], image[-6, -6]]
    red = [int(corner[0]) - int(corner[1]) > 100 for corner in corners]
    assert red == [True, False, False, False]


def test_square_pixels(tmp_path):
    assert next(frames(probe(wide_pixels(tmp_path / "a.mp4")))).image.shape == (120, 320, 3)


def test_large_pictures_are_shrunk_and_small_ones_kept(probed):
    taken = list(frames(probed("uhd.mp4")))
    assert [frame.image.shape for frame in taken] == [(360, 640, 3)] * 2
    assert_pictures_tell_the_time(taken)
    assert next(frames(probed("uhd.mp4"), max_side=100)).image.shape == (56, 100, 3)
    assert next(frames(probed("talking.mp4"), max_side=4000)).image.shape == (120, 160, 3)


@pytest.fixture(scope="session")
def long_video(tmp_path_factory):
    return probe(write(tmp_path_factory.mktemp("long") / "a.mp4", Picture(steady(12))))


@pytest.mark.parametrize("start", [0.0, 0.3, 4.9, 5.01, 7.77, 9.96, 11.8, 50.0])
def test_a_part_holds_the_frames_of_the_whole(long_video, start):
    whole = [(f.seconds, shown_at(f)) for f in frames(long_video) if start <= f.seconds < start + 1.5]
    part = [(f.seconds, shown_at(f)) for f in frames(long_video, start=start, end=start + 1.5)]
    assert part == whole
    assert bool(part) == (start < 12)


def test_a_late_part_is_sought_not_decoded_up_to(long_video, monkeypatch):
    decoded = []
    decode = frames_module.decode

    def counting(*arguments):
        for frame in decode(*arguments):
            decoded.append(frame.time)
            yield frame

    monkeypatch.setattr(frames_module, "decode", counting)
    assert len(list(frames(long_video, start=11.0))) == 8
    assert min(decoded) > 9.0


def test_a_transport_stream_begins_at_zero(probed):
    assert_pictures_tell_the_time(list(frames(probed("transport_stream.ts"))))


def test_a_leaping_clock_goes_on(tmp_path):
    for path in (joined(tmp_path / "a.ts"), joined(tmp_path / "b.ts", 900.0), leaping_timestamps(tmp_path / "c.mkv")):
        info = probe(path)
        times = [frame.seconds for frame in frames(info)]
        assert np.diff(times).max() < 0.2
        assert times[-1] == pytest.approx(info.duration_seconds, abs=0.2)


def test_a_cut_file_gives_what_there_is(tmp_path):
    whole = index_first(tmp_path / "whole.mp4")
    for tenth in range(1, 10):
        info = probe(cut(whole, tmp_path / "cut.mp4", tenth / 10))
        taken = list(frames(info))
        assert tenth - 1 < taken[-1].seconds < tenth + 1
        assert_pictures_tell_the_time(taken[:-1])


def test_no_picture(probed):
    with pytest.raises(MediaError, match="has no picture"):
        frames(probed("no_video.m4a"))


def test_a_file_that_is_gone(odd, tmp_path):
    path = cut(odd("talking.mp4"), tmp_path / "gone.mp4", 1.0)
    info = probe(path)
    path.unlink()
    with pytest.raises(MediaError, match="no file at"):
        next(frames(info))


@pytest.mark.real_data
def test_facts_of_real_clips(real_data):
    def taken(name: str, count: int = 200) -> list[Frame]:
        return list(islice(frames(probe(real_data / "clips" / name), rate_hz=1000), count))

    assert taken("short_hamilton_clip.mp4", 1)[0].seconds == pytest.approx(0.852, abs=0.001)
    assert len(taken("face_noface.mov")) == 169
    times = [frame.seconds for frame in taken("face_1.mp4")]
    assert (len(times), times[0]) == (135, pytest.approx(0.033, abs=0.001))
    steps = np.diff(times)
    assert steps.min() == pytest.approx(0.033, abs=0.001)
    assert steps.max() == pytest.approx(0.067, abs=0.001)
