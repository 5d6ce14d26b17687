"""Low-rank adaptation: at first it changes nothing, and then nothing but what it adds."""

import pytest
import torch
from torch import nn

from mmmie.errors import RecipeError
from mmmie.models.lora import LowRankLinear, adapt


def test_it_begins_as_the_matrix_and_learns_a_change_of_its_rank() -> None:
    torch.manual_seed(0)
    whole = nn.Linear(12, 9)
    before = whole.weight.clone()
    low = LowRankLinear(whole, 2)
    x = torch.randn(200, 12)
    assert torch.equal(low(x), whole(x))
    wanted = torch.randn(9, 2) @ torch.randn(2, 12)
    optimizer = torch.optim.Adam([p for p in low.parameters() if p.requires_grad], lr=0.05)
    for _ in range(400):
        optimizer.zero_grad()
        (low(x) - whole(x).detach() - x @ wanted.T).square().mean().backward()
        optimizer.step()
    torch.testing.assert_close(low.up_OR @ low.down_RI, wanted, atol=0.02, rtol=0.02)
    assert torch.equal(low.weight, before)


def test_every_matrix_that_learns_is_adapted_and_no_other() -> None:
    network = nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 4), nn.Sequential(nn.LayerNorm(4), nn.Linear(4, 3)))
    network[1].requires_grad_(False)
    adapt(network, 1)
    assert type(network[1]) is nn.Linear
    assert {name for name, p in network[2].named_parameters() if p.requires_grad} == {
        "0.weight",
        "0.bias",
        "1.bias",
        "1.down_RI",
        "1.up_OR",
    }


def test_an_encoder_without_matrices_is_refused() -> None:
    with pytest.raises(RecipeError, match="finds no linear layer in a LayerNorm"):
        adapt(nn.LayerNorm(4), 2)
