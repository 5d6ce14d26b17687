import torch

from mmmie.models.baselines.bc_lstm import BcLSTM
from mmmie.models.systems import Options, Window
from mmmie.settings import ModelSettings


def test_both_sides_of_the_context_reach_the_target() -> None:
    torch.manual_seed(0)
    network = BcLSTM(ModelSettings(width=8, heads=2, context=2), ("text", "audio"), Options()).eval()
    tokens = torch.randn(1, 2, 5, 8, requires_grad=True)
    network(Window(tokens, torch.ones(1, 2, 5, dtype=torch.bool))).score_B.sum().backward()
    assert tokens.grad is not None
    assert bool((tokens.grad.abs().sum(-1) > 0).all()), "every utterance of every modality"


def test_the_order_of_the_context_matters() -> None:
    torch.manual_seed(0)
    network = BcLSTM(ModelSettings(width=8, heads=2, context=2), ("text",), Options()).eval()
    tokens, mask = torch.randn(1, 1, 5, 8), torch.ones(1, 1, 5, dtype=torch.bool)
    swapped = tokens[:, :, [1, 0, 2, 3, 4]]
    assert not torch.allclose(network(Window(swapped, mask)).score_B, network(Window(tokens, mask)).score_B)
