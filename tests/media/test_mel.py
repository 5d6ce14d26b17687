import numpy as np
import pytest

from mmmie.media.mel import mel_bands


def test_whispers_filters() -> None:
    extractor = pytest.importorskip("faster_whisper.feature_extractor").FeatureExtractor()
    np.testing.assert_allclose(mel_bands(80, 400), extractor.mel_filters, atol=1e-8)


def test_bands_are_shared_and_cannot_be_written() -> None:
    with pytest.raises(ValueError, match="read-only"):
        mel_bands(40, 400)[0, 0] = 1.0
