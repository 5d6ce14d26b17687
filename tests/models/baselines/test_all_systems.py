"""What every system must hold, MMMIE's own among them."""

from dataclasses import replace

import pytest
import torch

from mmmie.errors import RecipeError
from mmmie.models.systems import SYSTEMS, Window, find_system, make_system, read_options
from mmmie.settings import MODALITIES, ModelSettings

WIDTH = 16


def settings(system: str, context: int = 2, **more: object) -> ModelSettings:
    return ModelSettings(system=system, width=WIDTH, context=context, **more)  # type: ignore[arg-type]


def modalities(system: str, number: int) -> tuple[str, ...]:
    return tuple(name for name in MODALITIES[:number] if name in find_system(system).reads)


def window(rows: int, number: int, context: int = 2, seed: int = 0) -> Window:
    chance = torch.Generator().manual_seed(seed)
    tokens = torch.randn(rows, number, 2 * context + 1, WIDTH, generator=chance)
    mask = torch.rand(rows, number, 2 * context + 1, generator=chance) < 0.7
    mask[:, 0, context] = True
    return Window(tokens, mask)


def made(system: str, number: int, context: int = 2):
    torch.manual_seed(1)
    names = modalities(system, number)
    return make_system(settings(system, context), names).eval(), window(9, len(names), context)


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("context", [0, 2])
@pytest.mark.parametrize("system", SYSTEMS)
def test_scores_each_target_once_whatever_is_there(system: str, number: int, context: int) -> None:
    network, seen = made(system, number, context)
    reading = network(seen)
    assert reading.score_B.shape == (9,)
    assert torch.isfinite(reading.score_B).all()
    assert float(reading.score_B.detach().std()) > 1e-4, "it reads its input"


@pytest.mark.parametrize("system", SYSTEMS)
def test_what_is_masked_has_no_influence(system: str) -> None:
    network, seen = made(system, 3)
    other = torch.where(seen.mask_BMU[..., None], seen.tokens_BMUD, torch.full_like(seen.tokens_BMUD, 7.0))
    torch.testing.assert_close(network(replace(seen, tokens_BMUD=other)).score_B, network(seen).score_B)


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_target_is_scored_by_itself(system: str) -> None:
    network, seen = made(system, 3)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(3))
    moved = Window(seen.tokens_BMUD[order], seen.mask_BMU[order])
    torch.testing.assert_close(network(moved).score_B, network(seen).score_B[order], rtol=1e-4, atol=1e-5)
    one = Window(seen.tokens_BMUD[:1], seen.mask_BMU[:1])
    torch.testing.assert_close(network(one).score_B, network(seen).score_B[:1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("system", [name for name in SYSTEMS if name != "text"])
def test_a_target_with_nothing_is_scored_too(system: str) -> None:
    network, seen = made(system, 3)
    score = network(replace(seen, mask_BMU=torch.zeros_like(seen.mask_BMU))).score_B
    assert torch.isfinite(score).all()
    torch.testing.assert_close(score, score[:1].expand(9))


@pytest.mark.parametrize("system", SYSTEMS)
def test_everything_learns_by_the_task_and_its_own_losses(system: str) -> None:
    network, seen = made(system, 3)
    network.train()
    losses = network.make_losses(50)
    reading = network(seen)
    label = torch.linspace(-1, 1, 9)
    total = (reading.score_B - label).abs().mean()
    extra = [] if losses is None else losses(reading, label, torch.arange(9))
    assert len({loss.name for loss in extra}) == len(extra)
    for loss in extra:
        assert loss.value.shape == ()
        assert torch.isfinite(loss.value)
        total = total + loss.weight * loss.value
    total.backward()
    idle = [name for name, p in network.named_parameters() if p.requires_grad and p.grad is None]
    assert not idle


@pytest.mark.parametrize("system", SYSTEMS)
def test_losses_of_a_batch_with_gaps_are_finite(system: str) -> None:
    network, seen = made(system, 3)
    network.train()
    mask = seen.mask_BMU.clone()
    mask[:4, 1:] = False
    reading = network(replace(seen, mask_BMU=mask))
    losses = network.make_losses(50)
    for loss in [] if losses is None else losses(reading, torch.zeros(9), torch.arange(9)):
        assert torch.isfinite(loss.value), loss.name


def test_a_system_that_is_not_there_is_named_with_the_nearest() -> None:
    with pytest.raises(RecipeError, match=r"no 'selfmm'.*self-mm"):
        find_system("selfmm")


def test_an_option_that_is_not_there_is_named_with_the_nearest() -> None:
    with pytest.raises(RecipeError, match=r"tfn has no option 'factor_dims'.*factor_dim"):
        read_options(settings("tfn", options={"factor_dims": 3}))
    with pytest.raises(RecipeError, match="It has none"):
        read_options(settings("early", options={"x": 3}))
    with pytest.raises(RecipeError, match=r"model.options.factor_dim of tfn.*came: 'wide'"):
        read_options(settings("tfn", options={"factor_dim": "wide"}))
