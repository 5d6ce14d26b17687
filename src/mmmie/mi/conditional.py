"""A learned Gaussian q(y|x), for vCLUB and Barber-Agakov.

N: utterances; X, Y: widths of the two sides.
"""

import math

import torch
from torch import Tensor, nn

from mmmie.errors import TrainingError

LOG_VARIANCE_RANGE = (-8.0, 4.0)
"""Of y standardised. A tanh, as in the released CLUB, holds it in [-1, 1]: at 10 nats in 8 dimensions its vCLUB then
stops at 20 where the closed form is 89.5, and measures the tanh."""


class GaussianConditional(nn.Module):
    """q(y|x) = N(mean(x), diagonal variance(x)) by a perceptron, on y standardised by running statistics.

    Starts at the marginal (its last layer is zero), so that Barber-Agakov and vCLUB start at about 0 nats rather than
    at what a random network says. Train it by `loss`, two steps for each of the model's, at a learning rate of 2e-3.

    The running statistics follow y in training mode, by `observe`; they are buffers, so a resumed run goes on exactly.
    """

    running_mean_Y: Tensor
    running_variance_Y: Tensor
    num_observed: Tensor

    def __init__(self, x_dim: int, y_dim: int, hidden_dim: int = 128, momentum: float = 0.05) -> None:
        super().__init__()
        self.hidden = nn.Sequential(nn.Linear(x_dim, hidden_dim), nn.ReLU())
        self.heads = nn.Linear(hidden_dim, 2 * y_dim)
        nn.init.zeros_(self.heads.weight)
        nn.init.zeros_(self.heads.bias)
        self.momentum = momentum
        self.register_buffer("running_mean_Y", torch.zeros(y_dim))
        self.register_buffer("running_variance_Y", torch.ones(y_dim))
        self.register_buffer("num_observed", torch.tensor(0))

    def forward(self, x_NX: Tensor) -> tuple[Tensor, Tensor]:
        """mean_NY and log_variance_NY of q(y|x), in y's own units."""
        mean_NY, log_variance_NY = self.heads(self.hidden(x_NX)).chunk(2, dim=1)
        log_variance_NY = log_variance_NY.clamp(*LOG_VARIANCE_RANGE)
        return (
            self.running_mean_Y + mean_NY * self.running_variance_Y.sqrt(),
            log_variance_NY + self.running_variance_Y.log(),
        )

    def log_prob(self, x_NX: Tensor, y_NY: Tensor) -> Tensor:
        """log q(y_i|x_i), float (N,), nats, with the -log(variance)/2 that MMIM's released form lacks."""
        mean_NY, log_variance_NY = self(x_NX)
        return gaussian_log_density(y_NY, mean_NY, log_variance_NY)

    def log_marginal(self, y_NY: Tensor) -> Tensor:
        """log r(y_i), float (N,), nats, of the diagonal Gaussian with the running statistics."""
        return gaussian_log_density(y_NY, self.running_mean_Y, self.running_variance_Y.log())

    def loss(self, x_NX: Tensor, y_NY: Tensor) -> Tensor:
        """Mean negative log-likelihood, nats; its gradient reaches q alone. In training mode it observes y first."""
        x_NX, y_NY = x_NX.detach(), y_NY.detach()
        if self.training:
            self.observe(y_NY)
        return -self.log_prob(x_NX, y_NY).mean()

    @torch.no_grad()
    def observe(self, y_NY: Tensor) -> None:
        """Moves the running statistics towards those of y; the first batch sets them.

        Raises:
            TrainingError: fewer than two utterances have no variance.
        """
        if len(y_NY) < 2:
            raise TrainingError(
                f"the spread of y needs at least 2 utterances, but came {len(y_NY)}. Leave q's step out for this batch."
            )
        step = 1.0 if self.num_observed == 0 else self.momentum
        self.running_mean_Y.lerp_(y_NY.mean(0).to(self.running_mean_Y), step)
        # The floor keeps a constant dimension finite; it is far below the variance of anything a LayerNorm puts out.
        self.running_variance_Y.lerp_(y_NY.var(0).to(self.running_variance_Y), step).clamp_(min=1e-8)
        self.num_observed += 1


def gaussian_log_density(y_NY: Tensor, mean_NY: Tensor, log_variance_NY: Tensor) -> Tensor:
    """log N(y; mean, diagonal variance), float (N,), nats; mean and log-variance may also be of shape (Y,)."""
    square_NY = (y_NY - mean_NY).square() * torch.exp(-log_variance_NY)
    return -0.5 * (square_NY + log_variance_NY + math.log(2 * math.pi)).sum(1)


def batch_log_marginal(y_NY: Tensor) -> Tensor:
    """log r(y_i), float (N,), nats, of the diagonal Gaussian with the batch's own moments.

    To be taken where y learns by the bound: a running marginal lags, and encoders learn to outrun it (on MOSI a
    Barber-Agakov term so read 450 nats).
    """
    return gaussian_log_density(y_NY, y_NY.mean(0), y_NY.var(0).clamp(min=1e-8).log())
