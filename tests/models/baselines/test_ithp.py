"""Bottlenecks, their compression and their detectors."""

import math

import pytest
import torch

from mmmie.errors import RecipeError
from mmmie.models.baselines.ithp import ITHP, ITHPOptions, gaussian_kl
from mmmie.models.systems import Window
from mmmie.settings import ModelSettings

SETTINGS = ModelSettings(system="ithp", width=8, heads=2, context=1, dropout=0.0)


def made(modalities: tuple[str, ...] = ("text", "audio", "vision")) -> ITHP:
    torch.manual_seed(0)
    return ITHP(SETTINGS, modalities, ITHPOptions(first_dim=6, second_dim=4, scale=0.05))


def window(number: int = 3) -> Window:
    chance = torch.Generator().manual_seed(1)
    return Window(torch.randn(5, number, 3, 8, generator=chance), torch.ones(5, number, 3, dtype=torch.bool))


def test_compression_is_the_divergence_from_the_standard_normal() -> None:
    # N(1, 1): 1/2. N(0, 4): (4 - 1 - log 4) / 2. Their mean over the two dimensions.
    value_B = gaussian_kl(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, math.log(4)]]))
    assert value_B.tolist() == pytest.approx([(0.5 + (3 - math.log(4)) / 2) / 2])


def test_levels_follow_one_another_and_carry_the_weights_of_the_source() -> None:
    network = made().eval()
    reading = network(window())
    assert reading.kept["audio bottleneck"].shape == (5, 6)
    assert reading.kept["vision bottleneck"].shape == (5, 4)
    losses = network.make_losses(5)(reading, torch.zeros(5), torch.arange(5))
    weights = {loss.name: loss.weight for loss in losses}
    assert weights == pytest.approx(
        {"compression audio": 0.05, "detection audio": 0.4, "compression vision": 0.015, "detection vision": 0.48}
    )


def test_the_score_is_read_from_text_alone() -> None:
    network, seen = made().eval(), window()
    tokens = seen.tokens_BMUD.clone()
    tokens[:, 1:] += 3
    torch.testing.assert_close(network(Window(tokens, seen.mask_BMU)).score_B, network(seen).score_B)
    tokens = seen.tokens_BMUD.clone()
    tokens[:, 0] += torch.linspace(-3, 3, 8)
    assert (network(Window(tokens, seen.mask_BMU)).score_B - network(seen).score_B).abs().min() > 1e-4


def test_detected_tokens_are_held_constant_and_hidden_ones_are_not_detected() -> None:
    network, seen = made(("text", "audio")).eval(), window(2)
    tokens = seen.tokens_BMUD.clone().requires_grad_()
    mask = seen.mask_BMU.clone()
    mask[3:, 1, 1] = False
    losses = network.make_losses(5)
    found = losses(network(Window(tokens, mask)), torch.zeros(5), torch.arange(5))
    (detection,) = [loss for loss in found if loss.name == "detection audio"]
    detection.value.backward()
    assert tokens.grad is not None
    assert tokens.grad[:, 1].abs().max() == 0, "no gradient makes audio easier to detect"
    assert tokens.grad[:3, 0].abs().max() > 0
    assert tokens.grad[3:].abs().max() == 0, "nothing is asked where audio is missing"


def test_bottlenecks_are_drawn_in_training_only() -> None:
    network, seen = made(), window()
    assert not torch.equal(network(seen).score_B, network(seen).score_B)
    network.eval()
    assert torch.equal(network(seen).score_B, network(seen).score_B)


def test_a_corpus_without_text_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"'ithp' reads its score from text, and the corpus gives audio, vision"):
        made(("audio", "vision"))
