"""What is said of a file: streams, clock, length, and why it cannot be read."""

import errno
import hashlib
import os
from fractions import Fraction
from pathlib import Path

import av
import pytest

from mmmie.errors import MediaError
from mmmie.media.files import probe
from odd_files import (
    AWKWARD_NAMES,
    MAKERS,
    Picture,
    Sound,
    cut,
    empty,
    index_first,
    joined,
    jpeg,
    leaping_timestamps,
    steady,
    subtitles_only,
    wide_pixels,
    write,
)


def refusal(path: Path, audio_stream: int | None = None) -> str:
    with pytest.raises(MediaError) as caught:
        probe(path, audio_stream)
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_an_ordinary_video(odd):
    path = odd("talking.mp4")
    info = probe(path)
    assert info.path == path
    assert info.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert info.bytes == path.stat().st_size
    assert (info.format, info.notes, info.origin_seconds) == ("mp4", (), 0.0)
    assert info.duration_seconds == pytest.approx(3.0, abs=0.03)
    assert info.audio is not None
    assert (info.audio.codec, info.audio.rate_hz, info.audio.channels) == ("aac", 48000, 2)
    assert info.audio.start_seconds == pytest.approx(0.0, abs=0.001)
    assert info.audio.duration_seconds == pytest.approx(3.0, abs=0.03)
    assert info.video is not None
    assert (info.video.codec, info.video.width, info.video.height) == ("h264", 160, 120)
    assert (info.video.start_seconds, info.video.variable_rate, info.video.rotation) == (0.0, False, 0)
    assert info.video.mean_rate_hz == pytest.approx(25.0)


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_size_is_that_of_the_upright_picture(tmp_path, degrees):
    video = probe(MAKERS["rotated.mp4"](tmp_path / "a.mp4", degrees)).video
    assert video.rotation == degrees
    assert (video.width, video.height) == ((120, 160) if degrees % 180 else (160, 120))


def test_pixels_that_are_not_square(tmp_path):
    video = probe(wide_pixels(tmp_path / "a.mp4")).video
    assert (video.width, video.height) == (320, 120)


def test_late_starts(probed):
    assert probed("late_audio.mp4").audio.start_seconds == pytest.approx(4.0, abs=0.025)
    info = probed("late_picture.mp4")
    assert info.video.start_seconds == pytest.approx(0.852, abs=0.001)
    assert info.audio.start_seconds == 0.0


def test_a_transport_stream_begins_at_zero(probed):
    info = probed("transport_stream.ts")
    assert info.origin_seconds == pytest.approx(1.4, abs=0.01)
    assert info.video.start_seconds == pytest.approx(0.0, abs=0.01)
    assert info.audio.start_seconds == pytest.approx(0.5, abs=0.03)
    assert info.duration_seconds == pytest.approx(3.0, abs=0.05)


def test_a_part_of_a_long_recording_begins_at_zero(tmp_path):
    info = probe(write(tmp_path / "a.mkv", Picture(steady(2)), Sound([(0, 2)]), shift=5000.0))
    assert info.duration_seconds == pytest.approx(2.0, abs=0.05)
    assert (info.video.start_seconds, info.notes) == (0.0, ())


def test_variable_rate(probed):
    video = probed("variable_rate.mp4").video
    assert video.variable_rate is True
    assert video.mean_rate_hz == pytest.approx(25.0, rel=0.01)


def test_milliseconds_do_not_make_a_variable_rate(tmp_path):
    video = probe(write(tmp_path / "a.mkv", Picture(steady(2, 30)))).video
    assert video.variable_rate is False
    assert video.mean_rate_hz == pytest.approx(30.0, rel=0.01)


def test_one_sort_of_stream_alone(probed):
    sound = probed("no_video.m4a")
    assert sound.video is None
    assert (sound.format, sound.notes) == ("m4a", ("no picture in it",))
    picture = probed("no_audio.mp4")
    assert picture.audio is None
    assert picture.notes == ("no sound in it",)
    assert picture.duration_seconds == pytest.approx(2.0, abs=0.01)


def test_the_audio_stream_marked_as_default_is_taken_and_said(probed):
    info = probed("several_audio_streams.mkv")
    assert (info.audio.index, info.audio.language, info.audio.channels) == (2, "eng", 2)
    (note,) = info.notes
    assert "3 audio streams: took 2 (aac, stereo, eng), marked as default" in note
    assert "1 (aac, mono, ger)" in note


def test_an_audio_stream_can_be_named(odd):
    info = probe(odd("several_audio_streams.mkv"), audio_stream=1)
    assert (info.audio.index, info.audio.language, info.audio.channels) == (1, "ger", 1)
    assert "took 1 (aac, mono, ger), as asked" in info.notes[0]


def test_an_audio_stream_that_is_not_there(odd):
    text = refusal(odd("several_audio_streams.mkv"), audio_stream=0)
    assert "has no audio stream 0. Its audio streams: 1 (aac, mono, ger); 2 (aac" in text
    assert "has no audio stream 3. Its audio streams: none." in refusal(odd("no_audio.mp4"), audio_stream=3)


def test_cover_art_is_no_picture(probed):
    info = probed("with_cover.mp3")
    assert info.video is None
    assert (info.audio.codec, info.format) == ("mp3float", "mp3")
    assert "no picture in it" in info.notes


@pytest.mark.parametrize("name", AWKWARD_NAMES)
def test_awkward_names(odd, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    Path(name).write_bytes(odd("talking.mp4").read_bytes())
    assert probe(name).duration_seconds == pytest.approx(3.0, abs=0.03)


def test_a_cut_file_says_how_much_it_holds(tmp_path):
    whole = index_first(tmp_path / "whole.mp4")
    for tenth in range(2, 10):
        info = probe(cut(whole, tmp_path / "cut.mp4", tenth / 10))
        assert info.duration_seconds == pytest.approx(tenth, abs=1.0)
        assert f"ends early: holds {info.duration_seconds:.1f} of the 10.0 s it states" in info.notes[0]
    assert probe(whole).notes == ()


@pytest.mark.parametrize("tenth", range(1, 10))
def test_a_cut_file_without_its_index_is_refused(tmp_path, odd, tenth):
    text = refusal(cut(odd("talking.mp4"), tmp_path / "cut.mp4", tenth / 10))
    assert "its index (moov)" in text
    assert "Copy or download it again" in text


def test_joined_streams_last_as_long_as_both(tmp_path):
    for starts in (0.0, 900.0):
        info = probe(joined(tmp_path / "a.ts", starts))
        assert info.duration_seconds == pytest.approx(4.0, abs=0.1)
        assert info.leaps
        assert "timestamps leap" in info.notes[0]
    info = probe(leaping_timestamps(tmp_path / "a.mkv"))
    assert info.duration_seconds == pytest.approx(2.0, abs=0.05)
    assert [note for note in info.notes if "ends early" in note] == []


def test_no_such_file(odd, tmp_path):
    (tmp_path / "interview.mp4").write_bytes(b"x")
    assert refusal(tmp_path / "intervew.mp4").endswith("intervew.mp4. Did you mean 'interview.mp4'?")
    assert refusal(tmp_path / "nowhere" / "a.mp4").endswith("a.mp4.")


def test_no_video_or_recording(tmp_path, odd):
    assert "is empty (0 bytes)" in refusal(empty(tmp_path / "a.mp4"))
    assert "is a folder" in refusal(tmp_path)
    assert "is not a regular file" in refusal(Path(os.devnull))
    assert "is a picture (JPEG), whatever" in refusal(jpeg(tmp_path / "photo.mp4"))
    assert "only: subtitle" in refusal(subtitles_only(tmp_path / "s.mkv"))
    assert "it begins with '1.00:00:00" in refusal(tmp_path / "s.srt")
    text = tmp_path / "notes.mp4"
    text.write_text("dear diary\n" * 100)
    assert "begins with 'dear diary.dear '). If a player opens it, convert it to mp4." in refusal(text)


def test_a_single_picture_in_a_container(tmp_path):
    assert "holds a single picture" in refusal(write(tmp_path / "a.mp4", Picture([0.0])))
    info = probe(write(tmp_path / "b.mp4", Picture([0.0]), Sound([(0, 1)])))
    assert (info.video.mean_rate_hz, info.video.variable_rate) == (None, None)


def test_a_bare_stream_has_no_times(tmp_path):
    text = refusal(write(tmp_path / "a.h264", Picture(steady(1)), container="h264"))
    assert "does not say when its pictures are shown" in text


def test_a_file_that_may_not_be_read(odd, monkeypatch):
    def refuse(*arguments, **options):
        raise av.error.PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(av, "open", refuse)  # root, who may run this, is refused nothing
    assert "may not be read: permission denied" in refusal(odd("talking.mp4"))


def test_streams_that_cannot_be_decoded(tmp_path):
    path = write(tmp_path / "a.mp4", Picture(steady(1), square=Fraction(1)), Sound([(0, 1)]))
    content = path.read_bytes()
    begins = content.index(b"mdat") + 4
    ends = content.index(b"moov") - 4
    path.write_bytes(content[:begins] + bytes(ends - begins) + content[ends:])
    text = refusal(path)
    assert "damaged or protected" in text
    assert "its picture (h264) cannot be decoded" in text


CLIPS = {
    "WolfgangLanger_Pexels.mp4": (19.69, 0.0, 0.0, False, (640, 360)),
    "face_1.mp4": (6.13, 0.0, 0.033, True, (700, 700)),
    "face_2.mp4": (5.02, 0.0, 0.0, False, (844, 844)),
    "face_4.mp4": (6.63, 0.0, 0.0, False, (700, 700)),
    "face_noface.mov": (6.42, 2.43, 0.0, True, (960, 540)),
    "noface_face.mov": (6.38, 0.0, 0.0, True, (960, 540)),
    "short_hamilton_clip.mp4": (10.02, 0.008, 0.852, False, (640, 360)),
    "single_face.mp4": (2.42, 0.0, 0.0, False, (640, 360)),
}


@pytest.mark.real_data
@pytest.mark.parametrize("name", CLIPS)
def test_facts_of_real_clips(real_data, name):
    duration, audio_start, first_frame, variable, size = CLIPS[name]
    info = probe(real_data / "clips" / name)
    assert info.notes == ()
    assert info.duration_seconds == pytest.approx(duration, abs=0.03)
    assert info.audio.start_seconds == pytest.approx(audio_start, abs=0.001)
    assert info.video.start_seconds == pytest.approx(first_frame, abs=0.001)
    assert info.video.variable_rate is variable
    assert (info.video.width, info.video.height) == size
