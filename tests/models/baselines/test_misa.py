"""Shared and private spaces, by hand."""

import math

import pytest
import torch

from mmmie.models.baselines.misa import MISALosses, MISAOptions, central_moment_discrepancy, overlap
from mmmie.models.systems import Reading


def test_spaces_of_disjoint_patterns_do_not_overlap() -> None:
    # Over four utterances the first follows + + - -, the second + - + -: no column of one goes with any of the other.
    x_ND = torch.tensor([[1.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [-1.0, 0.0]])
    y_ND = torch.tensor([[0.0, 2.0], [0.0, -2.0], [0.0, 2.0], [0.0, -2.0]])
    assert float(overlap(x_ND, y_ND)) == pytest.approx(0.0, abs=1e-7)
    assert float(overlap(x_ND, x_ND.flip(1))) == pytest.approx(1.0), "the same pattern in another column overlaps"


def test_overlap_of_a_half_shared_pattern() -> None:
    # Rows of y are (+-1, +-1) / sqrt 2, the first sign that of x: X'Y = (4 / sqrt 2, 0), its square 8 of 16.
    x_ND = torch.tensor([[1.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [-1.0, 0.0]])
    y_ND = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    assert float(overlap(x_ND, y_ND)) == pytest.approx(0.5)
    assert float(overlap(3 * x_ND + 5, y_ND - 2)) == pytest.approx(0.5), "neither length nor mean matters"


def test_discrepancy_of_equal_samples_is_zero_and_has_a_gradient() -> None:
    x_ND = torch.rand(20, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    distance = central_moment_discrepancy(x_ND, x_ND.detach().flip(0))
    assert float(distance.detach()) == pytest.approx(0.0, abs=1e-6)
    distance.backward()
    assert x_ND.grad is not None
    assert torch.isfinite(x_ND.grad).all()


def test_discrepancy_by_hand() -> None:
    # Means 1/2 and 1/4; central moments of {0, 1}: 1/4, 0, 1/16, 0; of {1/4, 1/4}: none.
    x_ND, y_ND = torch.tensor([[0.0], [1.0]]), torch.tensor([[0.25], [0.25]])
    assert float(central_moment_discrepancy(x_ND, y_ND)) == pytest.approx(1 / 4 + 1 / 4 + 1 / 16)
    # Two dimensions alike: each order's distance grows by sqrt 2.
    doubled = central_moment_discrepancy(x_ND.expand(-1, 2), y_ND.expand(-1, 2))
    assert float(doubled) == pytest.approx(math.sqrt(2) * 9 / 16)


def test_losses_see_only_utterances_that_have_the_modalities() -> None:
    torch.manual_seed(0)
    losses = MISALosses(MISAOptions(), 2, 4)
    kept = {name: torch.rand(6, 2, 4) for name in ("projected_BMD", "shared_BMD", "private_BMD")}
    there_BM = torch.ones(6, 2, dtype=torch.bool)
    there_BM[4:, 1] = False
    there_BM[5, 0] = False
    changed = {name: values.clone() for name, values in kept.items()}
    for values in changed.values():
        values[4:, 1], values[5, 0] = 9.0, 9.0
    label_B, target_B = torch.zeros(6), torch.arange(6)
    before = losses(Reading(label_B, {**kept, "there_BM": there_BM}), label_B, target_B)
    after = losses(Reading(label_B, {**changed, "there_BM": there_BM}), label_B, target_B)
    assert [loss.name for loss in before] == ["similarity", "difference", "reconstruction"]
    assert [loss.weight for loss in before] == [1.0, 0.3, 1.0]
    for one, other in zip(before, after, strict=True):
        torch.testing.assert_close(one.value, other.value)
