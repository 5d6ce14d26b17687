import math

import pytest
import torch
from torch.distributions import MultivariateNormal, kl_divergence

from mmmie.errors import EvidenceError
from mmmie.mi import copula_mi
from mmmie.mi.gaussian import (
    gaussian_club,
    gaussian_lautum,
    gaussian_mi,
    gaussian_rho,
    known_noise_club_mi,
    known_noise_mi,
)


@pytest.mark.parametrize("rho", [0.0, 0.3, 0.9, 0.999])
def test_information_and_lautum_are_the_two_divergences(rho):
    joint = MultivariateNormal(torch.zeros(2).double(), torch.tensor([[1.0, rho], [rho, 1.0]], dtype=torch.float64))
    product = MultivariateNormal(torch.zeros(2).double(), torch.eye(2).double())
    assert gaussian_mi(rho, 5) == pytest.approx(5 * float(kl_divergence(joint, product)), abs=1e-9)
    assert gaussian_lautum(rho, 5) == pytest.approx(5 * float(kl_divergence(product, joint)), abs=1e-9)


@pytest.mark.parametrize(
    ("mi_nats", "dim", "club"),
    [
        (0.5, 20, 1.025),
        (1, 20, 2.10),
        (2, 20, 4.43),
        (5, 20, 13.0),
        (10, 20, 34.4),
        (5, 8, 19.9),
        (10, 8, 89.5),
    ],
)
def test_club_of_correlated_gaussians(mi_nats, dim, club):
    rho = gaussian_rho(mi_nats, dim)
    assert gaussian_mi(rho, dim) == pytest.approx(mi_nats)
    assert gaussian_club(rho, dim) == pytest.approx(club, rel=0.01)
    assert gaussian_club(rho, dim) == pytest.approx(gaussian_mi(rho, dim) + gaussian_lautum(rho, dim))
    # The same law written as signal plus noise.
    assert known_noise_club_mi(mi_nats, dim) == pytest.approx(gaussian_club(rho, dim))


def test_known_noise_is_the_gaussian_channel():
    rho = gaussian_rho(2.0, 8)
    assert known_noise_mi(rho**2, math.sqrt(1 - rho**2), 8) == pytest.approx(2.0)


@pytest.mark.parametrize("dim", [1, 5, 20])
@pytest.mark.parametrize("mi_nats", [0.0, 0.5, 2.0])
def test_copula_reads_the_truth_whatever_the_marginals(dim, mi_nats, pairs):
    values = []
    for seed in range(10):
        drawn = pairs(mi_nats, dim, 1284, seed)
        values.append(float(copula_mi(drawn.x_ND.exp(), drawn.y_ND**3).value))
    # Without its bias correction the value would be d^2/(2N) too high: .16 at d = 20.
    assert sum(values) / 10 == pytest.approx(mi_nats, abs=0.03 + 0.02 * mi_nats)


def test_copula_refuses_what_it_cannot_invert(pairs):
    drawn = pairs(1.0, 5, 11)
    with pytest.raises(EvidenceError, match="at least 12 rows, but came 11"):
        copula_mi(drawn.x_ND, drawn.y_ND)
    drawn = pairs(1.0, 2, 100)
    with pytest.raises(EvidenceError, match="determine one another"):
        copula_mi(drawn.x_ND, drawn.x_ND)
    with pytest.raises(EvidenceError, match=r"\(100, 2\) and \(99, 2\)"):
        copula_mi(drawn.x_ND, drawn.y_ND[1:])
