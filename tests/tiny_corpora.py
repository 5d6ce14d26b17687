"""Corpora, text encoders and recipes that are small enough to train in a second; all made, none downloaded."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mmmie.corpus.schema import CorpusInfo, FeatureInfo, Utterance
from mmmie.corpus.store import Corpus
from mmmie.corpus.writer import CorpusWriter, Frames
from mmmie.settings import Recipe

GOOD = ("good", "great", "fine", "lovely")
BAD = ("bad", "poor", "awful", "dull")
FILLERS = ("the", "film", "was", "and", "plot", "i", "thought", "of", "it", "so")
SPECIAL = ("[CLS]", "[PAD]", "[SEP]", "[UNK]", "[MASK]")
"""In this order `[PAD]` is 1, as RoBERTa and MPNet want it."""
AUDIO_DIM, VISION_DIM = 4, 3


def write_corpus(
    path: Path,
    videos: Mapping[str, int] | None = None,
    *,
    per_video: int = 5,
    audio: str | None = "frames",
    vision: str | None = "utterance",
    text: bool = True,
    holes: bool = True,
    extractor: str = "made",
    shift: Mapping[str, float] | None = None,
    labels: bool = True,
    seed: int = 0,
) -> Corpus:
    """A corpus in which every modality shows a factor z that is most of the label.

    Args:
        audio, vision: `frames`, `utterance` or None (the corpus does not hold it).
        holes: some modalities are absent, some frames masked, some texts absent or empty.
        shift: by split, a number added to all of its frames.
        labels: False: labels have nothing to do with what is seen.
    """
    chance = np.random.default_rng(seed)
    features = {
        name: FeatureInfo(dim, level, extractor)
        for name, dim, level in (("audio", AUDIO_DIM, audio), ("vision", VISION_DIM, vision))
        if level is not None
    }
    number = 0
    with CorpusWriter(path, CorpusInfo(path.stem, features=features)) as writer:
        for split, count in (videos or {"train": 12, "valid": 5, "test": 3}).items():
            for video in range(count):
                for index in range(per_video):
                    z = float(chance.standard_normal())
                    label = float(np.clip((z if labels else chance.standard_normal()) + 0.1, -3, 3))
                    frames: dict[str, Frames | None] = {}
                    for name, info in features.items():
                        length = int(chance.integers(1, 7)) if info.level == "frames" else 1
                        loading = np.linspace(1, -1, info.dim)
                        loading[-1] = 0
                        values = z * loading + 0.5 * chance.standard_normal((length, info.dim))
                        values[:, -1] = 7.0  # a constant column
                        values += (shift or {}).get(split, 0.0)
                        if holes and length > 2 and number % 3 == 0:
                            values[1, 0] = np.nan
                        frames[name] = None if holes and number % 7 == (2 if name == "audio" else 4) else Frames(values)
                    said: str | None = None
                    if text:
                        words = [*chance.choice(FILLERS, int(chance.integers(2, 9)))]
                        words[len(words) // 2] = str(chance.choice(GOOD if z > 0 else BAD))
                        said = " ".join(words)
                        if holes and number % 11 in (3, 5):
                            said = None if number % 11 == 3 else ""
                    speaker = (f"s{split}{video}", None, "guest")[(index + video) % 3]
                    writer.add(
                        Utterance(f"{split}{video:02d}", index, split, label, speaker=speaker, text=said), frames
                    )
                    number += 1
    return Corpus.open(path)


def write_encoder(folder: Path, kind: str = "bert", layers: int = 3, width: int = 16, dropout: float = 0.1) -> Path:
    """A random text encoder (bert, roberta or mpnet) with a tokeniser of the words above."""
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = {word: i for i, word in enumerate((*SPECIAL, *GOOD, *BAD, *FILLERS, "ok", "!"))}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    names = {f"{name}_token": f"[{name.upper()}]" for name in ("cls", "pad", "sep", "unk", "mask")}
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names).save_pretrained(str(folder))
    config_class, model_class = {
        "bert": (transformers.BertConfig, transformers.BertModel),
        "roberta": (transformers.RobertaConfig, transformers.RobertaModel),
        "mpnet": (transformers.MPNetConfig, transformers.MPNetModel),
    }[kind]
    config = config_class(
        vocab_size=len(words),
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=2,
        intermediate_size=2 * width,
        max_position_embeddings=160,
        pad_token_id=1,
        bos_token_id=0,
        eos_token_id=2,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
    )
    torch.manual_seed(0)
    model = model_class(config)
    with torch.no_grad():  # as drawn, layers hardly change their input, and a mistake would hide
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1:
                parameter.mul_(10 if "embeddings" in name else 5)
    model.save_pretrained(str(folder))
    return folder


def make_recipe(corpus: Path, **sections: Any) -> Recipe:
    """A small recipe of a corpus; see `recipe_values`."""
    return Recipe.parse(recipe_values(corpus, **sections), "test")


def recipe_values(corpus: Path, **sections: Any) -> dict[str, Any]:
    """What a recipe file would hold; sections are merged into the small recipe's own, other keys replace."""
    values: dict[str, Any] = {
        "name": "tiny",
        "corpus": str(corpus),
        "model": {"width": 16, "heads": 2, "context": 1, "dropout": 0.1},
        "minimise": {"target_nats": 1.0},
        "training": {"epochs": 3, "batch_utterances": 16, "precision": "float32", "average_decay": 0.9},
    }
    for name, section in sections.items():
        values[name] = {**values.get(name, {}), **section} if isinstance(section, dict) else section
    return values
