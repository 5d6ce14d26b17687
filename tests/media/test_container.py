"""The media clock, and what is never opened."""

import socket
import sys

import pytest

from mmmie.errors import MediaError, MmmieError
from mmmie.media.container import Clock, decode, open_media
from mmmie.media.files import probe
from odd_files import playlist


def run(clock: Clock, *times: float | None, length: float = 0.5) -> list[float]:
    return [clock.seconds(t, length) for t in times]


def test_the_origin_is_subtracted():
    assert run(Clock(1.4), 1.4, 1.9) == pytest.approx([0.0, 0.5])


def test_a_pause_is_kept():
    clock = Clock(0.0)
    assert run(clock, 0.0, 0.5, 300.0) == [0.0, 0.5, 300.0]
    assert clock.leaps == 0


@pytest.mark.parametrize("restart", [-100.0, 0.0, 5000.0])
def test_a_leap_is_taken_out_for_good(restart):
    clock = Clock(0.0)
    run(clock, 0.0, 0.5, 1.0, 1.5)
    assert run(clock, restart, restart + 0.5) == pytest.approx([2.0, 2.5])
    assert clock.leaps == 1


def test_a_small_step_back_is_not_a_leap():
    assert run(Clock(0.0), 0.0, 0.5, 0.4) == [0.0, 0.5, 0.4]


def test_missing_times_follow_the_last():
    assert run(Clock(0.0), None, None, 3.0, None) == [0.0, 0.5, 3.0, 3.5]


def test_a_first_time_is_believed_whatever_it_is():
    assert run(Clock(0.0), 700.0) == [700.0]


def test_a_playlist_reaches_no_other_file_and_no_host(odd, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(socket.socket, "connect", lambda *a: asked.append(a))
    for name in ("list.m3u8", "list.mp4"):
        with pytest.raises(MediaError, match=r"not a video or recording.*it begins with '#EXTM3U"):
            probe(playlist(tmp_path / name, odd("talking.mp4")))
    concat = tmp_path / "concat.mp4"
    concat.write_text(f"ffconcat version 1.0\nfile '{odd('talking.mp4')}'\n")
    with pytest.raises(MediaError, match="not a video or recording"):
        probe(concat)
    assert not asked


def test_frames_that_the_decoder_holds_at_the_end_have_times(odd):
    with open_media(odd("talking.mp4")) as container:
        times = [frame.time for frame in decode(container, container.streams.video[0])]
    assert times == pytest.approx([n / 25 for n in range(75)], abs=1e-4)


def test_without_pyav_the_error_says_what_to_install(odd, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MmmieError, match=r"av is not installed. Install it with: pip install 'mmmie\[video\]'"):
        probe(odd("talking.mp4"))
