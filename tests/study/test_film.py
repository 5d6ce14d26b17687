"""The drawn film is what it says: any reader of media, of speech and of faces takes it for one."""

from pathlib import Path

import numpy as np
import pytest

from mmmie.media.audio import decode_audio
from mmmie.media.files import probe
from mmmie.media.frames import frames
from mmmie.study import film


def test_it_comes_back_as_it_was_drawn(tmp_path: Path) -> None:
    pytest.importorskip("av")
    info = probe(film.write(tmp_path / "film.avi"))
    assert info.duration_seconds == pytest.approx(film.SECONDS)
    assert info.notes == ()
    assert info.video is not None
    assert (info.video.width, info.video.height) == film.SIZE
    audio = decode_audio(info, tmp_path / "sound")
    sound = np.round(audio.read(0, film.SECONDS) * 32768)
    np.testing.assert_allclose(sound, film.voice(), atol=1)
    drawn = film.pictures()
    seen = list(frames(info, film.FRAMES_HZ))
    assert [f.seconds for f in seen] == pytest.approx([seconds for seconds, _ in drawn])
    for frame, (_, image) in zip(seen, drawn, strict=True):
        np.testing.assert_allclose(frame.image.astype(int), image, atol=3)


def test_the_mouth_moves_and_the_voice_is_silent_at_both_ends() -> None:
    first, second = film.picture(0.0).astype(int), film.picture(0.125).astype(int)
    changed = np.argwhere(np.abs(first - second).max(axis=2) > 20)
    assert len(changed) > 100
    assert changed[:, 0].min() > 140  # below the nose
    sound = np.abs(film.voice().astype(int))
    assert sound[: film.RATE_HZ // 10].max() == sound[-film.RATE_HZ // 10 :].max() == 0
    assert sound.max() > 10_000
