"""One vector an utterance and modality: what a linear family reads of a corpus' train and valid rows."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmmie.corpus.schema import MODALITIES
from mmmie.corpus.store import Bools, Corpus, Floats, Part, RaggedFeatures
from mmmie.errors import EvidenceError
from mmmie.settings import TextSettings

Doubles = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Pooled:
    """One modality of N utterances."""

    values_ND: Floats
    """0 in rows without the modality."""
    present_N: Bools


@dataclass(frozen=True, eq=False)
class PooledCorpus:
    """The labelled rows that learning may see, train before valid."""

    modalities: dict[str, Pooled]
    """Those that at least one row has, text before audio before vision."""
    labels_N: Doubles
    videos_N: NDArray[np.str_]
    order_N: NDArray[np.int64]
    """The utterances' places within their videos."""

    def __len__(self) -> int:
        return len(self.labels_N)


def pool(corpus: Corpus, text: TextSettings | None = None) -> PooledCorpus:
    """Reads the train and valid rows of a corpus; the test split stays closed.

    Text is the means of all hidden layers of the frozen encoder, stored beside the corpus. Audio and vision are the
    mean and, where a row may have several frames, the standard deviation of every column over the frames that are real.

    Raises:
        CorpusError: train or valid is empty.
        FeatureError: the text encoder cannot be found or loaded.
        EvidenceError: fewer than two modalities have a row.
    """
    parts = corpus.training()
    found = {"text": [_text(part, text or TextSettings()) for part in parts]} if _has_text(parts) else {}
    for name in corpus.info.features:
        found[name] = [_frames(part.features[name], corpus.info.features[name].level == "frames") for part in parts]
    joined: dict[str, Pooled] = {
        name: Pooled(
            np.concatenate([p.values_ND for p in found[name]]), np.concatenate([p.present_N for p in found[name]])
        )
        for name in MODALITIES
        if name in found
    }
    held = {name: pooled for name, pooled in joined.items() if pooled.present_N.any()}
    if len(held) < 2:
        raise EvidenceError(
            f"interactions are between modalities, and the train and valid rows of {corpus.path} hold "
            f"{' and '.join(held) or 'none'} only. Take a corpus with at least two of {', '.join(MODALITIES)}."
        )
    return PooledCorpus(
        held,
        np.concatenate([part.labels for part in parts]).astype(np.float64),
        np.array([video for part in parts for video in part.videos], dtype=np.str_),
        np.concatenate([part.indices for part in parts]),
    )


def _has_text(parts: tuple[Part, ...]) -> bool:
    return any(text is not None for part in parts for text in part.texts)


def _text(part: Part, settings: TextSettings) -> Pooled:
    from mmmie.features.text_sources import FrozenText, text_source

    source = text_source(part, settings.model_copy(update={"depth": "frozen"}), "auto")
    assert isinstance(source, FrozenText)
    return Pooled(source.means_ND.float().numpy(), source.present)


def _frames(features: RaggedFeatures, several: bool) -> Pooled:
    values = np.zeros((len(features), features.dim * (2 if several else 1)), dtype=np.float32)
    for row in np.flatnonzero(features.present):
        frames, mask = features[int(row)]
        real = frames[mask].astype(np.float64)
        values[row, : features.dim] = real.mean(axis=0)
        if several:
            values[row, features.dim :] = real.std(axis=0)
    return Pooled(values, features.present)
