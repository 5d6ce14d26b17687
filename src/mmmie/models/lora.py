"""Low-rank adaptation: a pretrained matrix stays as it is, and what is learned beside it has few numbers.

Source: Hu et al., LoRA (2022). A checkpoint holds the learned part alone; on a processor a step takes as long as with
the whole matrices, since thin products are slow there.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmmie.errors import RecipeError


class LowRankLinear(nn.Linear):
    """`x W^T + b`, W as it was, plus `x A^T B^T` of rank R, which begins as 0.

    Args:
        linear: gives W and b; b goes on learning, if it did.
        rank: R.
    """

    def __init__(self, linear: nn.Linear, rank: int) -> None:
        super().__init__(linear.in_features, linear.out_features, linear.bias is not None, device="meta")
        self.weight = linear.weight.requires_grad_(False)
        self.bias = linear.bias
        self.down_RI = nn.Parameter(torch.randn(rank, linear.in_features) / linear.in_features**0.5)
        self.up_OR = nn.Parameter(torch.zeros(linear.out_features, rank))

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input) + F.linear(F.linear(input, self.down_RI), self.up_OR)


def adapt(network: nn.Module, rank: int) -> nn.Module:
    """Puts a low-rank change beside every matrix of a text encoder that learns; returns the encoder.

    Raises:
        RecipeError: it has none that could be found.
    """
    found = [
        (parent, name, child)
        for parent in network.modules()
        for name, child in parent.named_children()
        if isinstance(child, nn.Linear) and child.weight.requires_grad
    ]
    if not found:
        raise RecipeError(f"text.lora_rank finds no linear layer in a {type(network).__name__}. Leave it out.")
    for parent, name, child in found:
        setattr(parent, name, LowRankLinear(child, rank))
    return network
