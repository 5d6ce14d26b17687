"""Corpora of the real ones' sizes, made in seconds: what the programs beside this file measure on."""

from pathlib import Path

import numpy as np

from mmmie.corpus.schema import CorpusInfo, FeatureInfo, Utterance
from mmmie.corpus.store import Corpus
from mmmie.corpus.synthetic import OPENERS, SENTIMENT_WORDS, TOPICS, VERDICTS
from mmmie.corpus.writer import CorpusWriter, Frames

AUDIO_DIM = 73
WORDS = [word for group in (*SENTIMENT_WORDS, *TOPICS, VERDICTS, OPENERS) for word in group]


def write(path: Path, train: int, valid: int, *, per_video: int, words: float, audio: bool) -> Corpus:
    """A corpus of random words and labels.

    Args:
        path: the folder to make.
        train, valid: utterances of the splits.
        per_video: utterances of a video.
        words: of an utterance, in the median; the logarithm is normal, as in real transcripts.
        audio: whether there is a vector of COVAREP's width for each utterance.
    """
    chance = np.random.default_rng(0)
    features = {"audio": FeatureInfo(AUDIO_DIM, "utterance", "random")} if audio else {}
    with CorpusWriter(path, CorpusInfo(path.stem, features=features)) as writer:
        for split, count in (("train", train), ("valid", valid)):
            for row in range(count):
                length = int(np.clip(words * np.exp(0.6 * chance.standard_normal()), 1, 80))
                text = " ".join(chance.choice(WORDS, length))
                label = float(np.clip(chance.standard_normal(), -3, 3))
                vector = Frames(chance.standard_normal((1, AUDIO_DIM)))
                writer.add(
                    Utterance(f"{split}{row // per_video}", row % per_video, split, label, text=text),
                    {"audio": vector} if audio else {},
                )
    return Corpus.open(path)
