import pytest
import torch
from torch import nn

from mmmie.models.layers import Dropout, transformer_layer


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.3, 0.5, 1.0])
def test_dropout_is_that_of_torch_draw_for_draw(rate: float) -> None:
    """Whatever the order in memory, which a Transformer layer turns round; the next draw is the same too."""
    for values in (torch.randn(7, 130), torch.randn(5, 9, 16).transpose(0, 1)):
        found = []
        for layer in (Dropout(rate), nn.Dropout(rate)):
            torch.manual_seed(1)
            leaf = values.clone().requires_grad_()
            result = layer(leaf)
            result.square().sum().backward()
            found.append((result.detach(), leaf.grad, torch.rand(3)))
        for ours, theirs in zip(*found, strict=True):
            torch.testing.assert_close(ours, theirs)
        assert Dropout(rate).eval()(values) is values


def test_the_transformer_layer_is_that_of_torch() -> None:
    tokens, hidden = torch.randn(4, 6, 16), torch.zeros(4, 6, dtype=torch.bool)
    hidden[1, 2:] = True
    found = []
    for make in (
        lambda: transformer_layer(16, 2, 0.3),
        lambda: nn.TransformerEncoderLayer(16, 2, 32, 0.1, "gelu", batch_first=True, norm_first=True),
    ):
        torch.manual_seed(0)
        layer = make()
        found.append((layer(tokens, src_key_padding_mask=hidden), layer.eval()(tokens, src_key_padding_mask=hidden)))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs)
