"""Who speaks when: a voice embedding for every 0.8 s of speech, clustered over the recording.

    Audio, speech -> windows of 1.6 s -> embeddings (W, 256) -> voices (K, 256) -> Turn(start, end, "S1"), ...

Embeddings identify persons. They live in this file's local variables only, and are neither returned nor stored.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F

from mmmie.errors import FeatureError, missing_extra
from mmmie.media.audio import Audio
from mmmie.media.mel import RATE_HZ, mel_bands
from mmmie.media.models import find
from mmmie.media.speech import Span
from mmmie.media.words import SpokenWord

WINDOW_SECONDS = 1.6
"""Of one embedding; what the network was trained with."""
HOP_SECONDS = 0.8
SHORTEST_VOICE_SECONDS = 1.0
"""Shorter windows are given to a voice, but found none: their embeddings scatter too much."""
MEL_HOP, MEL_FFT, MEL_BANDS = 160, 400, 40
TARGET_RMS = 10 ** (-30 / 20)
"""Each window is brought to -30 dBFS: the network reads mel power without logarithm, and level must say nothing."""
BATCH_WINDOWS = 32

SAME_VOICE_DISTANCE = 0.34
"""Mean cosine distance up to which two clusters are one voice. Chosen on joined recordings of known persons, half of
whom were kept for the report; calm voices alone would allow a smaller one, shouting ones ask for a larger one."""
SHORTEST_SPEAKER_SHARE = 0.05
"""A cluster with less of the speech, or less than `SHORTEST_SPEAKER_SECONDS`, is an odd moment of another voice."""
SHORTEST_SPEAKER_SECONDS = 3.0
MOST_CLUSTERED = 2000
"""Windows that take part in clustering, evenly spaced over longer recordings, so that memory stays flat."""
CHANGE_COST = 0.1
"""What a change of speaker must gain in cosine similarity."""

Embeddings = NDArray[np.float32]


@dataclass(frozen=True)
class Turn:
    """A stretch of speech of one speaker, in seconds on the media clock; S1 speaks most."""

    start: float
    end: float
    speaker: str


class Window(NamedTuple):
    """A stretch of a speech span that gets an embedding."""

    span: int
    start: float
    end: float


class VoiceNetwork(nn.Module):
    """The GE2E speaker verification network: three LSTM layers, a projection, unit length.

    Source: Wan, Wang, Papir and Moreno (2018), weights of CorentinJ's Resemblyzer (Apache-2.0).
    """

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(MEL_BANDS, 256, 3, batch_first=True)
        self.linear = nn.Linear(256, 256)

    def forward(self, mel_BTD: torch.Tensor) -> torch.Tensor:
        """(B, T, 40) mel power at 100 Hz -> (B, 256) of unit length."""
        _, (hidden, _) = self.lstm(mel_BTD)
        return F.normalize(torch.relu(self.linear(hidden[-1])), dim=1)

    @classmethod
    def load(cls, path: Path) -> "VoiceNetwork":
        """Raises FeatureError: the file is not this network's weights."""
        network = cls()
        try:
            weights = torch.load(path, map_location="cpu", weights_only=True)["model_state"]
            network.load_state_dict({name: weights[name] for name in network.state_dict()})
        except Exception as error:  # torch.load's errors on foreign files are of many kinds
            raise FeatureError(
                f"{path} holds no voice network ({type(error).__name__}). Fetch it again: mmmie models fetch"
            ) from None
        return network.eval().requires_grad_(False)


def find_speakers(
    audio: Audio,
    speech: Sequence[Span],
    words: Sequence[SpokenWord] = (),
    num_speakers: int | None = None,
    weights: Path | None = None,
) -> tuple[Turn, ...]:
    """The turns of the recording's speakers, in order; together they cover `speech` exactly.

    Args:
        audio: 16 kHz mono.
        speech: where somebody speaks, in order and apart.
        words: where they are known, speakers change between words only.
        num_speakers: where it is known, and then the most there will be: a voice that wins no moment against the others
            is not among the turns. None: found, and one is an answer too.
        weights: file of the GE2E network; None: the fetched one.

    Returns:
        Turns named "S1", "S2", ... by total time. Empty where nobody speaks.

    Raises:
        FeatureError: the network's file is missing or broken, with the command that fetches it.
        MmmieError: scikit-learn is not installed.
    """
    speech = [span for span in speech if span.end > span.start]
    if not speech:
        return ()
    if num_speakers == 1:
        return tuple(Turn(span.start, span.end, "S1") for span in speech)
    network = VoiceNetwork.load(weights or find("ge2e"))
    windows = cut_windows(speech)
    embeddings = embed(audio, windows, network)
    seconds = np.array([window.end - window.start for window in windows])
    voices = find_voices(smooth(embeddings, windows), seconds, num_speakers)
    return into_turns(audio, speech, windows, embeddings @ voices.T, words)


def cut_windows(speech: Sequence[Span]) -> tuple[Window, ...]:
    """Windows of 1.6 s, or the whole of a shorter span, evenly from its start to its end, at most 0.8 s apart."""
    windows = []
    for i, (start, end) in enumerate(speech):
        length = min(WINDOW_SECONDS, end - start)
        steps = int(np.ceil((end - start - length) / HOP_SECONDS - 1e-9))
        begins = np.linspace(start, end - length, steps + 1)
        windows += [Window(i, float(begin), float(begin) + length) for begin in begins]
    return tuple(windows)


@torch.inference_mode()
def embed(audio: Audio, windows: Sequence[Window], network: VoiceNetwork) -> Embeddings:
    """The windows' embeddings, (W, 256) float32 of unit length. Windows of one length share a batch."""
    embeddings = np.zeros((len(windows), 256), np.float32)
    for rows, mel in _batches(audio, windows):
        embeddings[rows] = network(mel).numpy()
    return embeddings


def _batches(audio: Audio, windows: Sequence[Window]) -> Iterator[tuple[list[int], torch.Tensor]]:
    waiting: dict[int, list[tuple[int, torch.Tensor]]] = {}
    for row, window in enumerate(windows):
        mel = mel_power(audio.read(window.start, window.end))
        group = waiting.setdefault(len(mel), [])
        group.append((row, mel))
        if len(group) == BATCH_WINDOWS:
            yield [row for row, _ in group], torch.stack([mel for _, mel in waiting.pop(len(mel))])
    for group in waiting.values():
        yield [row for row, _ in group], torch.stack([mel for _, mel in group])


def mel_power(samples: NDArray[np.float32]) -> torch.Tensor:
    """Mel power at 100 Hz as the network was trained with, (T, 40) float32, after bringing the samples to -30 dBFS."""
    loud = float(np.sqrt(np.mean(samples.astype(np.float64) ** 2))) if len(samples) else 0.0
    signal = torch.from_numpy(samples) * (TARGET_RMS / loud if loud else 0.0)
    signal = F.pad(signal, (0, max(0, MEL_FFT - len(signal))))
    spectrum = torch.stft(
        signal, MEL_FFT, MEL_HOP, window=torch.hann_window(MEL_FFT), pad_mode="constant", return_complex=True
    )
    bands = torch.from_numpy(mel_bands(MEL_BANDS, MEL_FFT).astype(np.float32))
    return (bands @ spectrum.abs().square()).T


def find_voices(embeddings: Embeddings, seconds: NDArray[np.float64], num_speakers: int | None = None) -> Embeddings:
    """The speakers' mean embeddings, (K, 256) of unit length; K is 1 where nothing tells voices apart.

    Args:
        embeddings: (W, 256) of the windows.
        seconds: (W,) their lengths.
        num_speakers: K, where it is known; fewer where there are fewer windows.

    Their number comes from average linkage, whose distance means the same in long and short recordings; who is who
    from Ward's, which errs less once the number is given.
    """
    try:
        from sklearn.cluster import AgglomerativeClustering
    except ImportError:
        raise missing_extra("scikit-learn", "video") from None
    long_enough = np.flatnonzero(seconds >= SHORTEST_VOICE_SECONDS)
    rows = long_enough if len(long_enough) >= (num_speakers or 1) else np.arange(len(embeddings))
    rows = rows[np.linspace(0, len(rows) - 1, min(len(rows), MOST_CLUSTERED)).astype(int)]
    sample = embeddings[rows]
    if len(sample) < 2 or num_speakers == 1:
        return _unit(sample.mean(axis=0, keepdims=True))
    if num_speakers is None:
        tree = AgglomerativeClustering(
            n_clusters=None, metric="cosine", linkage="average", distance_threshold=SAME_VOICE_DISTANCE
        )
        sizes = np.bincount(tree.fit_predict(sample))
        least = max(SHORTEST_SPEAKER_SECONDS / HOP_SECONDS, SHORTEST_SPEAKER_SHARE * len(sample))
        num_speakers = max(1, int((sizes >= least).sum()))
    num_speakers = min(num_speakers, len(sample))
    labels = AgglomerativeClustering(n_clusters=num_speakers, linkage="ward").fit_predict(sample)
    voices = _mean_voices(sample, labels, np.zeros((num_speakers, sample.shape[1]), np.float32))
    for _ in range(3):  # the tree is greedy: let every window choose again
        voices = _mean_voices(sample, (sample @ voices.T).argmax(axis=1), voices)
    return voices


def _mean_voices(sample: Embeddings, labels: NDArray[np.intp], before: Embeddings) -> Embeddings:
    """The mean of each label's embeddings; a voice that no window chose stays as it was."""
    return _unit(np.stack([sample[labels == k].mean(axis=0) if (labels == k).any() else old
                           for k, old in enumerate(before)]))  # fmt: skip


def smooth(embeddings: Embeddings, windows: Sequence[Window]) -> Embeddings:
    """Each window's embedding with a sixth of either neighbour of its span mixed in: single ones scatter."""
    span = np.array([window.span for window in windows])
    follows = (span[1:] == span[:-1])[:, None]
    mixed = 4 * embeddings
    mixed[1:] += np.where(follows, embeddings[:-1], embeddings[1:])
    mixed[:-1] += np.where(follows, embeddings[1:], embeddings[:-1])
    mixed[[0, -1]] += embeddings[[0, -1]]
    return _unit(mixed)


def _unit(vectors: Embeddings) -> Embeddings:
    unit: Embeddings = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    return unit


def into_turns(
    audio: Audio,
    speech: Sequence[Span],
    windows: Sequence[Window],
    similarity_WK: NDArray[np.float32],
    words: Sequence[SpokenWord] = (),
) -> tuple[Turn, ...]:
    """Turns out of the windows' similarity to each voice: the best path, on which every change of speaker costs.

    Inside a span speakers change between words where they are known, else at the quietest moment nearby.
    """
    path = best_path(similarity_WK)
    gaps = np.array([((a.end + b.start) / 2, b.start - a.end) for a, b in pairwise(words)]).reshape(-1, 2)
    pieces = []
    start = windows[0].start
    for w, window in enumerate(windows):
        last = w + 1 == len(windows) or windows[w + 1].span != window.span
        if last:
            pieces.append((start, speech[window.span].end, int(path[w])))
            start = windows[w + 1].start if w + 1 < len(windows) else start
        elif path[w] != path[w + 1]:
            near = (window.start + window.end + windows[w + 1].start + windows[w + 1].end) / 4
            low, high = max(near - HOP_SECONDS, start), min(near + HOP_SECONDS, speech[window.span].end)
            change = _widest_gap(gaps, near, low, high) if words else _quietest(audio, low, high)
            if change is not None:
                pieces.append((start, change, int(path[w])))
                start = change
    return _named(pieces)


def best_path(similarity_WK: NDArray[np.float32]) -> NDArray[np.intp]:
    """The voice of each window: the path of the greatest summed similarity less `CHANGE_COST` a change (Viterbi)."""
    score = similarity_WK[0].astype(np.float64)
    came_from = np.zeros(similarity_WK.shape, np.intp)
    for w in range(1, len(similarity_WK)):
        stay_or_change = np.where(score >= score.max() - CHANGE_COST, np.arange(len(score)), score.argmax())
        came_from[w] = stay_or_change
        score = score[stay_or_change] - CHANGE_COST * (stay_or_change != np.arange(len(score))) + similarity_WK[w]
    path = np.zeros(len(similarity_WK), np.intp)
    path[-1] = score.argmax()
    for w in range(len(path) - 1, 0, -1):
        path[w - 1] = came_from[w, path[w]]
    return path


def _widest_gap(gaps: NDArray[np.float64], near: float, low: float, high: float) -> float | None:
    """The middle of the widest gap between words, a nearer one preferred; None where no word ends."""
    inside = gaps[(gaps[:, 0] > low) & (gaps[:, 0] < high)]
    return float(inside[(inside[:, 1] - np.abs(inside[:, 0] - near) / 4).argmax(), 0]) if len(inside) else None


def _quietest(audio: Audio, low: float, high: float) -> float | None:
    samples = audio.read(low, high)
    frame = RATE_HZ // 20
    if len(samples) < 2 * frame:
        return None
    power = np.convolve(samples.astype(np.float64) ** 2, np.ones(frame), mode="valid")
    return low + (int(power.argmin()) + frame / 2) / RATE_HZ


def _named(pieces: Iterable[tuple[float, float, int]]) -> tuple[Turn, ...]:
    """Names by total time; pieces of one speaker that touch become one turn."""
    pieces = list(pieces)
    total: dict[int, float] = {}
    for start, end, voice in pieces:
        total[voice] = total.get(voice, 0.0) + end - start
    order = sorted(total, key=lambda voice: -total[voice])
    name = {voice: f"S{rank}" for rank, voice in enumerate(order, 1)}
    turns: list[Turn] = []
    for start, end, voice in pieces:
        if turns and turns[-1].speaker == name[voice] and turns[-1].end == start:
            turns[-1] = Turn(turns[-1].start, end, name[voice])
        else:
            turns.append(Turn(start, end, name[voice]))
    return tuple(turns)
