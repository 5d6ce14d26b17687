"""Writes a corpus as MMSA reads features: one pickle for each way in which the text is given.

    means.pkl   one vector an utterance, as our frozen recipes read it: the means of all hidden layers over its tokens,
                standardised on train as our encoders do
    own.pkl     what MMSA's models are made for: the last layer's states of 50 tokens, padded in front, and token ids
                for models that run the encoder themselves

Audio is the corpus' vector, standardised on train. Vision is one zero: MMSA's models cannot do without it.
"""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmmie.corpus.store import Corpus, Part
from mmmie.errors import FeatureError
from mmmie.features.passages import read
from mmmie.features.text import TextEncoder
from mmmie.features.text_sources import FrozenText, text_source
from mmmie.features.text_states import hidden_layers
from mmmie.settings import Recipe

Floats = NDArray[np.float32]
TOKENS = 50
"""As MMSA pads and cuts MOSI."""
PER_BATCH = 64


def write_features(corpus: Corpus, recipe: Recipe, folder: Path) -> dict[str, Path]:
    """Both pickles, by the way in which the text is given; what is there stays.

    The test rows are written beside the others, because MMSA's loader wants them; `compare.py` counts each use of them.
    """
    paths = {name: folder / f"{name}.pkl" for name in ("means", "own")}
    if all(path.is_file() for path in paths.values()):
        return paths
    part = corpus.everything()
    splits = {name: np.flatnonzero(corpus.splits == name) for name in ("train", "valid", "test")}
    missing = [name for name, rows in splits.items() if not len(rows)]
    if missing:
        raise FeatureError(f"{corpus.path} has no {missing[0]} split. Make one by video with `mmmie resplit`.")
    encoder = TextEncoder.find(recipe.text)
    audio = standardised(audio_means(part), splits["train"])
    means = standardised(text_means(part, recipe), splits["train"])
    ids, states = tokens(part, encoder)
    row_numbers = np.stack([np.arange(len(part)), np.ones(len(part)), np.zeros(len(part))], 1)[..., None]
    of_means = {"states": means, "width": means.shape[1], "encoder": ""}
    of_tokens = {"width": states.shape[2], "encoder": str(encoder.folder)}
    for name, text, bert, more in (
        ("means", means[:, None], row_numbers.astype(np.float32), of_means),
        ("own", states, ids, of_tokens),
    ):
        content: dict[str, Any] = {"text": name, **more}
        for split, rows in splits.items():
            content[split] = {
                "id": [part.ids[row] for row in rows],
                "raw_text": [part.texts[row] or "" for row in rows],
                "text": text[rows],
                "text_bert": bert[rows],
                "audio": audio[rows][:, None],
                "vision": np.zeros((len(rows), 1, 1), dtype=np.float32),
                "audio_lengths": [1] * len(rows),
                "vision_lengths": [1] * len(rows),
                "regression_labels": part.labels[rows],
            }
        temporary = paths[name].with_suffix(".part")
        with temporary.open("wb") as file:
            pickle.dump(content, file, protocol=4)
        temporary.rename(paths[name])
    return paths


def standardised(values_ND: Floats, train: NDArray[np.int64]) -> Floats:
    """Minus the mean and over the deviation of the train rows, within ten of them; constant columns are 0."""
    mean, deviation = values_ND[train].mean(0), values_ND[train].std(0)
    flat = deviation <= 1e-6 * np.maximum(1, np.abs(mean))
    return np.where(flat, 0, np.clip((values_ND - mean) / np.where(flat, 1, deviation), -10, 10)).astype(np.float32)


def audio_means(part: Part) -> Floats:
    """(N, D): the mean over the frames that are not masked; 0 where there is no audio."""
    features = part.features["audio"]
    values_NTD, mask_NT = features.gather(np.arange(len(part)))
    return np.asarray(values_NTD.sum(1) / np.maximum(1, mask_NT.sum(1))[:, None], dtype=np.float32)


def text_means(part: Part, recipe: Recipe) -> Floats:
    """(N, layers * width): the very numbers that a frozen recipe of ours reads."""
    source = text_source(part, recipe.text, recipe.training.precision)
    assert isinstance(source, FrozenText), "the recipe's text.depth is frozen"
    return source.means_ND.float().numpy()


def tokens(part: Part, encoder: TextEncoder) -> tuple[Floats, Floats]:
    """Token ids, mask and segments (N, 3, 50), padded behind; the last layer's states (N, 50, width), in front."""
    rows = np.arange(len(part))
    token_ids = [ids[: TOKENS - 2] for ids in encoder.token_ids([text or "" for text in part.texts])]
    cls_id, sep_id = int(encoder.tokenizer.cls_token_id), int(encoder.tokenizer.sep_token_id)
    passages = read(token_ids, rows, part.video_codes, 0, cls_id, sep_id)
    model = encoder.load()
    bert = np.zeros((len(part), 3, TOKENS), dtype=np.float32)
    bert[:, 0] = float(encoder.tokenizer.pad_token_id or 0)
    states = np.zeros((len(part), TOKENS, encoder.width), dtype=np.float32)
    order = sorted(passages, key=lambda passage: len(passage.ids))
    for start in range(0, len(order), PER_BATCH):
        batch = order[start : start + PER_BATCH]
        last_GTD = hidden_layers(model, batch, encoder, "float32")[-1].numpy()
        for passage, state_TD in zip(batch, last_GTD, strict=True):
            row, length = passage.rows[0], len(passage.ids)
            bert[row, 0, :length] = passage.ids
            bert[row, 1, :length] = 1
            states[row, TOKENS - length :] = state_TD[:length]
    return bert, states
