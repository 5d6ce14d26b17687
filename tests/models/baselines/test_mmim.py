"""The bound as corrected and as published, on Gaussians of known information."""

import math

import pytest
import torch
from torch import Tensor

from mmmie.mi.gaussian import gaussian_rho
from mmmie.models.baselines.mmim import (
    CorrectedBound,
    MMIMLosses,
    MMIMOptions,
    PublishedBound,
    contrast,
    published_likelihood,
)
from mmmie.models.systems import Reading


def gaussians(mi_nats: float, dim: int, rows: int, seed: int) -> tuple[Tensor, Tensor]:
    chance = torch.Generator().manual_seed(seed)
    x, noise = torch.randn(2, rows, dim, generator=chance)
    rho = gaussian_rho(mi_nats, dim)
    return x, rho * x + math.sqrt(1 - rho * rho) * noise


def trained(bound: torch.nn.Module, mi_nats: float, dim: int, steps: int) -> torch.nn.Module:
    optimizer = torch.optim.Adam(bound.parameters(), 3e-3)
    for step in range(steps):
        x, y = gaussians(mi_nats, dim, 256, seed=step + 1)
        loss = -bound(x, y, torch.zeros(256))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return bound.eval()


def test_corrected_bound_is_below_the_truth_and_near_it() -> None:
    torch.manual_seed(0)
    bound = trained(CorrectedBound(4, 4), 1.0, 4, 400)
    with torch.no_grad():
        value = float(bound(*gaussians(1.0, 4, 50_000, seed=0), torch.zeros(50_000)))
    # .03: five standard errors of 50,000 draws.
    assert 0.85 < value < 1.03


def test_corrected_bound_gains_nothing_by_outrunning_what_it_has_seen() -> None:
    torch.manual_seed(0)
    bound = CorrectedBound(4, 4)
    x, y = gaussians(0.0, 4, 500, seed=0)
    bound(x, y, torch.zeros(500))
    # A wide q that knows no x: about right for y ten times as far out as what has been seen.
    bound.q.heads.bias.data[4:] = 4.0
    with torch.no_grad():
        assert float(bound.eval()(x, 10 * y, torch.zeros(500))) < 0


def test_corrected_bound_of_independent_sides_shows_nothing() -> None:
    torch.manual_seed(0)
    bound = trained(CorrectedBound(4, 4), 0.0, 4, 200)
    with torch.no_grad():
        value = float(bound(*gaussians(0.0, 4, 50_000, seed=0), torch.zeros(50_000)))
    assert -0.1 < value < 0.03


def test_published_likelihood_is_best_at_infinite_variance() -> None:
    # 2 nats in 16 dimensions, exact mean: -8 e^(-1/4) / variance = -6.2, -.84, -.11, -.002.
    x, y = gaussians(2.0, 16, 20_000, seed=0)
    rho = gaussian_rho(2.0, 16)
    for log_variance in (0.0, 2.0, 4.0, 8.0):
        value = published_likelihood(rho * x, torch.full_like(y, log_variance), y)
        assert float(value) == pytest.approx(-8 * math.exp(-0.25 - log_variance), rel=0.02)


def test_published_bound_cannot_tell_one_nat_from_none() -> None:
    values = []
    for nats in (0.0, 1.0):
        torch.manual_seed(0)
        bound = trained(PublishedBound(4, 4), nats, 4, 400)
        with torch.no_grad():
            values.append(float(bound(*gaussians(nats, 4, 20_000, seed=0), torch.zeros(20_000))))
    assert all(-0.1 < value <= 0 for value in values), values


def test_published_entropy_is_that_of_the_two_classes() -> None:
    torch.manual_seed(0)
    bound = PublishedBound(2, 4)
    x_NX, y_NY = torch.randn(60, 2), torch.randn(60, 4)
    label_N = torch.cat([torch.ones(30), -torch.ones(20), torch.zeros(10)])
    bare = bound(x_NX, y_NY, torch.zeros(60))
    seen = torch.tanh(y_NY @ bound.projection).squeeze(1)
    # One dimension, so the determinant is a variance; the zeros are in neither class.
    expected = 0.25 * (seen[:30].var(correction=0).log() + seen[30:50].var(correction=0).log())
    torch.testing.assert_close(bound(x_NX, y_NY, label_N) - bare, expected, atol=1e-4, rtol=1e-4)


def test_contrast_by_hand() -> None:
    # Own and predicted agree in direction, others are at right angles: log(e + 2) - 1 whatever the lengths.
    own_NY = torch.diag(torch.tensor([1.0, 5.0, 0.1]))
    assert float(contrast(own_NY, 7 * torch.eye(3))) == pytest.approx(math.log(math.e + 2) - 1)
    assert float(contrast(own_NY, torch.ones(3, 3))) == pytest.approx(math.log(3)), "alike for all: it tells nothing"


@pytest.mark.parametrize("bound", ["corrected", "published"])
def test_losses_see_only_utterances_that_have_the_modalities(bound: str) -> None:
    torch.manual_seed(0)
    losses = MMIMLosses(MMIMOptions(bound=bound, dim=4), ("text", "audio"), 6).eval()  # type: ignore[arg-type]
    there_BM = torch.ones(12, 2, dtype=torch.bool)
    there_BM[9:, 1] = False
    kept = {"joint": torch.randn(12, 6), "text": torch.randn(12, 6), "audio": torch.randn(12, 4), "there_BM": there_BM}
    changed = {**kept, "audio": kept["audio"].clone()}
    changed["audio"][9:] = 9.0
    label_B = torch.tensor([1.0, -1.0] * 6)
    before, after = (losses(Reading(label_B, k), label_B, torch.arange(12)) for k in (kept, changed))
    assert [loss.name for loss in before] == ["contrast text", "contrast audio", "minus bound text-audio"]
    assert [loss.weight for loss in before] == [0.1, 0.1, 0.001 if bound == "corrected" else 0.1]
    for one, other in zip(before, after, strict=True):
        torch.testing.assert_close(one.value, other.value)
