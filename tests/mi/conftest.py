"""Correlated Gaussians, whose mutual information is known in closed form."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from mmmie.mi.gaussian import gaussian_rho


@dataclass(frozen=True)
class Pairs:
    x_ND: Tensor
    y_ND: Tensor
    rho: float

    @property
    def log_ratio(self) -> Tensor:
        """log p(y_j|x_i) / p(y_j): the exact critic."""
        return self.log_conditional - self.log_marginal

    @property
    def log_conditional(self) -> Tensor:
        """log p(y_j|x_i), from every difference, N x N x D."""
        variance = 1 - self.rho**2
        square_NN = (self.y_ND[None] - self.rho * self.x_ND[:, None]).square().sum(-1)
        return -0.5 * (square_NN / variance + self.x_ND.shape[1] * math.log(2 * math.pi * variance))

    @property
    def log_marginal(self) -> Tensor:
        return -0.5 * (self.y_ND.square() + math.log(2 * math.pi)).sum(1)


@pytest.fixture
def pairs() -> Callable[..., Pairs]:
    """pairs(I, dim, N, seed): N draws of y = rho x + sqrt(1 - rho^2) e in float64, with I nats between x and y."""

    def draw(mi_nats: float, dim: int, n: int, seed: int = 0) -> Pairs:
        generator = torch.Generator().manual_seed(seed)
        rho = gaussian_rho(mi_nats, dim)
        x_ND = torch.randn(n, dim, generator=generator, dtype=torch.float64)
        noise_ND = torch.randn(n, dim, generator=generator, dtype=torch.float64)
        return Pairs(x_ND, rho * x_ND + math.sqrt(1 - rho**2) * noise_ND, rho)

    return draw
