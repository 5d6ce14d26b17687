"""Attention where gradients are wanted: the same numbers and gradients as the fused kernel, by another way."""

import pytest
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from mmmie.models.layers import attention_by


@pytest.fixture
def query() -> Tensor:
    """(G, H, T, D)"""
    return torch.randn(3, 2, 7, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)


def attended(query: Tensor, mask_GHTT: Tensor) -> Tensor:
    return scaled_dot_product_attention(query, query, query, attn_mask=mask_GHTT)


def test_output_and_gradient_are_those_of_the_fused_kernel(query):
    mask_GHTT = (torch.arange(7) < torch.tensor([7, 5, 2])[:, None])[:, None, None, :].expand(3, 1, 7, 7)
    fused = attended(query, mask_GHTT)
    (expected,) = torch.autograd.grad(fused.square().sum(), query)
    with attention_by(query):
        plain = attended(query, mask_GHTT)
    (found,) = torch.autograd.grad(plain.square().sum(), query)
    assert "ScaledDotProductFlash" in fused.grad_fn.name()
    assert "ScaledDotProductFlash" not in plain.grad_fn.name()
    torch.testing.assert_close(plain, fused)
    torch.testing.assert_close(found, expected)


def test_without_gradients_nothing_is_changed(query):
    with torch.no_grad(), attention_by(query):
        assert torch.backends.cuda.flash_sdp_enabled()
