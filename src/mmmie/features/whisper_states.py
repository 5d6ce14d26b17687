"""States of Whisper's encoder, layer by layer, out of the file that the recogniser reads.

CTranslate2 gives the last layer only, and the last layer has given up what says how something is spoken in favour of
what is spoken. So the first layers are run here, in torch, on one utterance at a time: this costs less than one
window of the recogniser, is the same whatever recogniser or transcript the words come from, and a state knows nothing
of the other utterances that a window would hold.
"""

import struct
from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F

from mmmie.errors import FeatureError
from mmmie.media.mel import RATE_HZ, mel_bands

STATE_HZ = 50
MEL_HOP, MEL_FFT, MEL_BANDS = 160, 400, 80
PIECE_SECONDS = 2.5
"""Longer utterances are read in equal pieces of about this length: states carry their place in what is read, and pieces
keep that alike for short utterances and long ones."""
LOUDEST = 1.375
"""What the loudest point of the mel spectrum is moved to; recordings of usual level have about this."""
_DTYPES = {0: np.float32, 1: np.int8, 2: np.int16, 3: np.int32, 4: np.float16}


class WhisperEncoder(nn.Module):
    """The first layers of a Whisper encoder.

    Source: Radford et al. (2022): two convolutions, positions, pre-norm transformer layers.
    """

    def __init__(self, weights: dict[str, torch.Tensor], num_layers: int, heads: int) -> None:
        super().__init__()
        self.num_layers, self.heads = num_layers, heads
        self.weights = weights
        self.width = weights["conv1/weight"].shape[0]

    @torch.inference_mode()
    def forward(self, mel_BDT: torch.Tensor) -> torch.Tensor:
        """(B, 80, 2 S) log-mel, at most 30 s -> (B, S, width) states at 50 Hz of the last layer read."""
        w = self.weights
        x = F.gelu(F.conv1d(mel_BDT, w["conv1/weight"], w["conv1/bias"], padding=1))
        x = F.gelu(F.conv1d(x, w["conv2/weight"], w["conv2/bias"], padding=1, stride=2)).transpose(1, 2)
        x = x + w["position_encodings/encodings"][: x.shape[1]]
        for layer in range(self.num_layers):
            at = f"layer_{layer}/"
            y = self._normed(x, at + "self_attention/layer_norm")
            query, key, value = (
                part.view(*part.shape[:2], self.heads, -1).transpose(1, 2)
                for part in self._linear(y, at + "self_attention/linear_0").chunk(3, dim=2)
            )
            y = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
            x = x + self._linear(y, at + "self_attention/linear_1")
            y = self._normed(x, at + "ffn/layer_norm")
            x = x + self._linear(F.gelu(self._linear(y, at + "ffn/linear_0")), at + "ffn/linear_1")
        return x

    def _normed(self, x: torch.Tensor, name: str) -> torch.Tensor:
        return F.layer_norm(x, x.shape[-1:], self.weights[name + "/gamma"], self.weights[name + "/beta"])

    def _linear(self, x: torch.Tensor, name: str) -> torch.Tensor:
        return F.linear(x, self.weights[name + "/weight"], self.weights[name + "/bias"])

    @classmethod
    def load(cls, file: Path, num_layers: int) -> "WhisperEncoder":
        """The encoder in a CTranslate2 `model.bin` of float weights.

        Raises:
            FeatureError: no such file, not a Whisper model of CTranslate2, quantised, or with fewer layers.
        """
        try:
            tensors = {name.removeprefix("encoder/"): tensor for name, tensor in _read(file, "encoder/")}
        except (OSError, struct.error, ValueError, KeyError, UnicodeDecodeError) as error:
            raise FeatureError(f"{file} is not a Whisper model for CTranslate2: {error}") from None
        depth = sum(name.endswith("/ffn/linear_0/weight") for name in tensors)
        if "conv1/weight" not in tensors or depth < num_layers:
            raise FeatureError(f"{file} holds {depth} encoder layers of Whisper, and {num_layers} are read")
        if quantised := [name for name, tensor in tensors.items() if tensor.dtype == np.int8]:
            raise FeatureError(f"{file} is quantised ({quantised[0]}); take the model in float16 or float32")
        heads = int(tensors["num_heads"]) if "num_heads" in tensors else tensors["conv1/weight"].shape[0] // 64
        unread = tuple(f"layer_{layer}/" for layer in range(num_layers, depth))
        weights = {
            name: torch.from_numpy(tensor.astype(np.float32))
            for name, tensor in tensors.items()
            if tensor.ndim and not name.startswith(unread)
        }
        return cls(weights, num_layers, heads)


def _read(file: Path, prefix: str) -> Iterator[tuple[str, NDArray[np.generic]]]:
    """Name and values of the variables under `prefix`; the others are skipped unread."""
    size = file.stat().st_size
    with file.open("rb") as stream:
        version = _number(stream, "I")
        spec, _ = _string(stream), _number(stream, "I")
        if version > 6 or not spec.startswith("WhisperSpec"):
            raise ValueError(f"expected a WhisperSpec of format 6 at most, found '{spec[:40]}' of format {version}")
        for _ in range(_number(stream, "I")):
            name = _string(stream)
            shape = [_number(stream, "I") for _ in range(_number(stream, "B"))]
            dtype, num_bytes = np.dtype(_DTYPES[_number(stream, "B")]), _number(stream, "I")
            if num_bytes > size - stream.tell() or num_bytes != dtype.itemsize * int(np.prod(shape, dtype=np.int64)):
                raise ValueError(f"'{name}' does not fit into the file")
            if name.startswith(prefix):
                yield name, np.frombuffer(stream.read(num_bytes), dtype).reshape(shape)
            else:
                stream.seek(num_bytes, 1)


def _number(stream: BinaryIO, kind: str) -> int:
    return int(struct.unpack("<" + kind, stream.read(struct.calcsize("<" + kind)))[0])


def _string(stream: BinaryIO) -> str:
    return stream.read(_number(stream, "H")).rstrip(b"\0").decode()


def log_mel(audio: NDArray[np.float32]) -> torch.Tensor:
    """Whisper's log-mel spectrum at 100 Hz, an even number of frames, free of level, (80, 2 S) float32.

    Args:
        audio: (n,) float32, 16 kHz, not silent, n >= 640.

    Source: Whisper's front end; its loudest point is moved to one place, so that gain changes nothing.
    """
    signal = torch.from_numpy(audio)
    spectrum = torch.stft(signal, MEL_FFT, MEL_HOP, window=_window(), return_complex=True).abs().square()
    log_power = (_bands() @ spectrum[:, : len(audio) // (2 * MEL_HOP) * 2]).clamp(min=1e-30).log10()
    log_power = torch.maximum(log_power, log_power.max() - 8.0) / 4
    return log_power - log_power.max() + LOUDEST


@lru_cache(maxsize=1)
def _window() -> torch.Tensor:
    return torch.hann_window(MEL_FFT)


@lru_cache(maxsize=1)
def _bands() -> torch.Tensor:
    return torch.from_numpy(mel_bands(MEL_BANDS, MEL_FFT).astype(np.float32))


def utterance_states(audio: NDArray[np.float32], encoder: WhisperEncoder) -> torch.Tensor:
    """States of the whole utterance at 50 Hz, (S, width) float32, read in equal pieces of about 2.5 s."""
    mel = log_mel(audio)
    num_states = mel.shape[1] // 2
    num_pieces = max(1, round(num_states / STATE_HZ / PIECE_SECONDS))
    cuts = np.linspace(0, num_states, num_pieces + 1).astype(int).tolist()
    return torch.cat([encoder(mel[None, :, 2 * a : 2 * b])[0] for a, b in pairwise(cuts)])


assert RATE_HZ == STATE_HZ * 2 * MEL_HOP
