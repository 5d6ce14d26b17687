import torch

from mmmie.models.baselines.mult import CrossmodalLayer, MulT
from mmmie.models.systems import Options, Window
from mmmie.settings import ModelSettings


def test_a_masked_source_place_has_no_influence() -> None:
    torch.manual_seed(0)
    layer = CrossmodalLayer(8, 2).eval()
    target, source = torch.randn(3, 2, 8), torch.randn(3, 5, 8)
    mask = torch.tensor([True, True, False, True, False]).expand(3, 5)
    other = source.clone()
    other[:, [2, 4]] = torch.randn(3, 2, 8) * 10
    torch.testing.assert_close(layer(target, other, mask), layer(target, source, mask))
    assert not torch.allclose(layer(target, other, torch.ones_like(mask)), layer(target, source, mask))


def test_a_source_with_nothing_answers_nothing() -> None:
    torch.manual_seed(0)
    layer = CrossmodalLayer(8, 2).eval()
    with torch.no_grad():
        layer.attention.out_proj.bias.zero_()
    target = torch.randn(3, 2, 8)
    answered = layer(target, torch.randn(3, 5, 8), torch.zeros(3, 5, dtype=torch.bool))
    torch.testing.assert_close(answered, target + layer.feed_forward(layer.norm_out(target)))


def test_the_order_of_source_places_tells_nothing_but_their_roles() -> None:
    torch.manual_seed(0)
    layer = CrossmodalLayer(8, 2).eval()
    target, source, mask = torch.randn(3, 2, 8), torch.randn(3, 5, 8), torch.ones(3, 5, dtype=torch.bool)
    torch.testing.assert_close(layer(target, source.flip(1), mask), layer(target, source, mask))


def test_each_modality_asks_every_other() -> None:
    mult = MulT(ModelSettings(width=8, heads=2, context=1), ("text", "audio", "vision"), Options())
    assert mult.pairs == [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)]


def test_the_neighbours_of_another_modality_reach_the_score() -> None:
    torch.manual_seed(0)
    mult = MulT(ModelSettings(width=8, heads=2, context=1), ("text", "audio"), Options()).eval()
    tokens, mask = torch.randn(2, 2, 3, 8), torch.ones(2, 2, 3, dtype=torch.bool)
    moved = tokens.clone()
    moved[:, 1, 0] = torch.randn(2, 8)
    assert not torch.allclose(mult(Window(moved, mask)).score_B, mult(Window(tokens, mask)).score_B)
