"""Where somebody speaks: silero's voice activity network over the whole recording, block by block.

    Audio -> probability of speech, a number for every 32 ms -> Span(start, end), ...

The network's file comes with the `silero-vad` package and is run by onnxruntime directly: importing that package would
import torch and set torch's number of threads for everybody. The network's state is carried from block to block, so
cutting the recording into blocks changes nothing and three hours take the memory of one block.
"""

from collections.abc import Iterable, Iterator
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mmmie.errors import missing_extra
from mmmie.media.audio import Audio

RATE_HZ = 16000
FRAME_SAMPLES = 512
"""The network judges 32 ms at a time ..."""
CONTEXT_SAMPLES = 64
"""... and sees the last 4 ms of the frame before."""
BLOCK_FRAMES = 1024
"""33 s of sound in one call: the call's cost no longer shows, and the block takes 2 MB."""

SPEECH_PROBABILITY = 0.5
"""Speech begins with the first frame at or above this ..."""
SILENCE_PROBABILITY = 0.35
"""... and ends where the probability falls below this; the gap between the two keeps quiet syllables inside."""
MIN_SPEECH_SECONDS = 0.25
"""Shorter sounds are clicks, coughs, or too little for a word."""
MIN_PAUSE_SECONDS = 0.3
"""Shorter pauses lie within a phrase (stops, breath) and are merged into the speech around them."""
PADDING_SECONDS = 0.1
"""Added at both sides, where there is room: the network reacts late to soft onsets and early to soft endings."""


class Span(NamedTuple):
    """A stretch of time on the media clock, in seconds."""

    start: float
    end: float


def find_speech(audio: Audio) -> tuple[Span, ...]:
    """The stretches in which somebody speaks, in order, apart from each other and within the recording.

    Their ends are sample indices divided by 16000, never rounded. Silence gives an empty tuple.

    Raises: MmmieError when onnxruntime or silero-vad is not installed.
    Source: Silero VAD 6 (snakers4/silero-vad); thresholds of its own segmentation, the padding wider.
    """
    padding = round(PADDING_SECONDS * RATE_HZ)
    stretches = list(_stretches(speech_probabilities(audio)))
    spans = []
    for i, (start, end) in enumerate(stretches):
        room_before = (start - stretches[i - 1][1]) // 2 if i else start
        room_after = (stretches[i + 1][0] - end) // 2 if i + 1 < len(stretches) else audio.num_samples - end
        first = start - min(padding, room_before)
        last = min(audio.num_samples, end + min(padding, room_after))
        spans.append(Span(first / RATE_HZ, last / RATE_HZ))
    return tuple(spans)


def speech_probabilities(audio: Audio) -> Iterator[float]:
    """How likely each 32 ms of `audio` hold speech, in [0, 1]; the last frame is filled with silence.

    Raises: MmmieError when onnxruntime or silero-vad is not installed.
    """
    network = _network()
    hidden = cell = np.zeros((1, 1, 128), np.float32)
    context = np.zeros(CONTEXT_SAMPLES, np.float32)
    for block in _blocks(audio):
        before = np.concatenate((context[None], block[:-1, -CONTEXT_SAMPLES:]))
        context = block[-1, -CONTEXT_SAMPLES:]
        inputs = {"input": np.concatenate((before, block), axis=1), "h": hidden, "c": cell}
        probabilities, hidden, cell = network.run(["speech_probs", "hn", "cn"], inputs)
        yield from probabilities.ravel().tolist()


def _blocks(audio: Audio) -> Iterator[NDArray[np.float32]]:
    block_samples = BLOCK_FRAMES * FRAME_SAMPLES
    for first in range(0, audio.num_samples, block_samples):
        samples = audio.read(first / RATE_HZ, min(first + block_samples, audio.num_samples) / RATE_HZ)
        num_frames = -(-len(samples) // FRAME_SAMPLES)
        padded = np.zeros(num_frames * FRAME_SAMPLES, np.float32)
        padded[: len(samples)] = samples
        yield padded.reshape(num_frames, FRAME_SAMPLES)


def _stretches(probabilities: Iterable[float]) -> Iterator[tuple[int, int]]:
    """(first, last + 1) in samples of every stretch that is long enough, short pauses merged."""
    min_pause = MIN_PAUSE_SECONDS * RATE_HZ
    start: int | None = None
    pause: int | None = None
    sample = 0
    for probability in probabilities:
        if probability >= SPEECH_PROBABILITY:
            start = sample if start is None else start
            pause = None
        elif start is not None and pause is None and probability < SILENCE_PROBABILITY:
            pause = sample
        sample += FRAME_SAMPLES
        if start is not None and pause is not None and sample - pause >= min_pause:
            if pause - start >= MIN_SPEECH_SECONDS * RATE_HZ:
                yield start, pause
            start = pause = None
    end = sample if pause is None else pause
    if start is not None and end - start >= MIN_SPEECH_SECONDS * RATE_HZ:
        yield start, end


@lru_cache(maxsize=1)
def _network() -> Any:
    try:
        import onnxruntime
    except ImportError:
        raise missing_extra("onnxruntime", "video") from None
    package = find_spec("silero_vad")
    if package is None or package.origin is None:
        raise missing_extra("silero-vad", "video")
    options = onnxruntime.SessionOptions()
    options.inter_op_num_threads = options.intra_op_num_threads = 1
    options.log_severity_level = 3
    path = Path(package.origin).parent / "data" / "silero_vad_16k_sequence.onnx"
    return onnxruntime.InferenceSession(str(path), sess_options=options, providers=["CPUExecutionProvider"])
