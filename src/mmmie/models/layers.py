"""What encoders and systems share: dropout, the kernel of attention, and the Transformer layer of the house."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel


class Dropout(nn.Dropout):
    """`nn.Dropout`, draw for draw, at 60 % of its time on a processor.

    There `bernoulli_` compares one number after another with the rate, a third of a step with frozen features; here the
    same numbers are drawn first and compared together.
    """

    def forward(self, input: Tensor) -> Tensor:
        if not self.training or self.p in (0, 1) or input.device.type != "cpu":
            return super().forward(input)
        kept = 1 - self.p
        return input * torch.rand_like(input, dtype=torch.float64).lt_(kept).div_(kept).to(input.dtype)


def attention_by(reference: Tensor) -> AbstractContextManager[object]:
    """How a network on this tensor's device computes attention where gradients are wanted.

    On a processor the backward pass of the fused kernel takes eight times its forward pass, a third of a step of
    MiniLM; plain products save a fifth of the step.
    """
    if reference.device.type != "cpu" or not torch.is_grad_enabled():
        return nullcontext()
    return sdpa_kernel(SDPBackend.MATH)


def transformer_layer(width: int, heads: int, dropout: float) -> nn.TransformerEncoderLayer:
    """Pre-norm with GELU, twice as wide within, at most a tenth dropped out: (B, T, width) to the same shape."""
    rate = min(dropout, 0.1)
    layer = nn.TransformerEncoderLayer(width, heads, 2 * width, rate, "gelu", batch_first=True, norm_first=True)
    layer.dropout, layer.dropout1, layer.dropout2 = Dropout(rate), Dropout(rate), Dropout(rate)
    return layer
