"""Critics: scores[i, j] = f(x_i, y_j), high where x_i and y_j belong together.

On 1284 pairs (MOSI) of 20 dimensions an MLP critic is useless after ten epochs: on train it says 4.7 nats for every
truth including 0, held out -12. The bilinear and the cosine critic stay sane, and maximisation uses them by default.
Width matters as much: between MOSI's text and audio at full width (384 x 73) the bilinear critic, too, says 4.2 on
train and -2.7 held out after 30 epochs; at 16 x 16 principal components .3 and .07. Believe held-out values only.

N: utterances; X, Y: widths of the two sides; P: width of a projection.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize


class BilinearCritic(nn.Module):
    """f(x, y) = x' W y.

    The default: no projection to choose, and the best held-out values on small corpora.

    Expects both sides about standardised (behind a LayerNorm, say). W starts small enough for scores of about .1,
    so that the first value is about 0 nats, yet not at 0, so that the first gradient reaches both sides.

    Source: van den Oord et al. 2018, equation 3 (log-bilinear critic).
    """

    def __init__(self, x_dim: int, y_dim: int) -> None:
        super().__init__()
        self.weight_XY = nn.Parameter(torch.randn(x_dim, y_dim) * 0.1 / math.sqrt(x_dim * y_dim))

    def forward(self, x_NX: Tensor, y_NY: Tensor) -> Tensor:
        return x_NX @ self.weight_XY @ y_NY.T


class CosineCritic(nn.Module):
    """f(x, y) = cos(A x, B y) / temperature, with linear A, B and a learned temperature.

    Prefer it to the bilinear critic where the norms of the representations should not matter. Its temperature is the
    point: at a fixed 1, InfoNCE is capped by log N - log(e + (N - 1)/e) + 1, below 2 nats for every N.

    The temperature starts at .1 and stays in [.01, 10], through a sigmoid of its logarithm rather than a hard clamp,
    at whose edge the gradient would die; 10 leaves room to say "independent", which a cosine can say no other way.

    Source: Radford et al. 2021 (learned temperature, its inverse clamped at 100); the upper edge is ours.
    """

    def __init__(self, x_dim: int, y_dim: int, projection_dim: int = 16) -> None:
        super().__init__()
        self.project_x = nn.Linear(x_dim, projection_dim, bias=False)
        self.project_y = nn.Linear(y_dim, projection_dim, bias=False)
        share = (math.log(0.1) - _LOG_COLDEST) / (_LOG_HOTTEST - _LOG_COLDEST)
        self.temperature_logit = nn.Parameter(torch.tensor(math.log(share / (1 - share))))

    @property
    def temperature(self) -> Tensor:
        """Scalar in [.01, 10], with its gradient."""
        return torch.exp(_LOG_COLDEST + (_LOG_HOTTEST - _LOG_COLDEST) * torch.sigmoid(self.temperature_logit))

    def forward(self, x_NX: Tensor, y_NY: Tensor) -> Tensor:
        x_NP = normalize(self.project_x(x_NX), dim=1)
        y_NP = normalize(self.project_y(y_NY), dim=1)
        return x_NP @ y_NP.T / self.temperature


class MLPCritic(nn.Module):
    """f(x, y) = g(x)' h(y) / sqrt(P), with g and h perceptrons of one hidden layer (separable: N passes, not N^2).

    Only for large corpora, where a dependence that no linear critic sees is worth its appetite for overfitting.

    Source: Poole et al. 2019, separable critics; scaled by the projection's width, as attention is.
    """

    def __init__(self, x_dim: int, y_dim: int, hidden_dim: int = 128, projection_dim: int = 32) -> None:
        super().__init__()
        self.embed_x = nn.Sequential(
            nn.Linear(x_dim, hidden_dim), nn.ReLU(), nn.Linear(hidden_dim, projection_dim, bias=False)
        )
        self.embed_y = nn.Sequential(
            nn.Linear(y_dim, hidden_dim), nn.ReLU(), nn.Linear(hidden_dim, projection_dim, bias=False)
        )
        self.scale = 1 / math.sqrt(projection_dim)

    def forward(self, x_NX: Tensor, y_NY: Tensor) -> Tensor:
        x_NP: Tensor = self.embed_x(x_NX)
        y_NP: Tensor = self.embed_y(y_NY)
        return x_NP @ y_NP.T * self.scale


CRITICS: dict[str, type[BilinearCritic] | type[CosineCritic] | type[MLPCritic]] = {
    "bilinear": BilinearCritic,
    "cosine": CosineCritic,
    "mlp": MLPCritic,
}
"""Name in a recipe -> class; each is built from the widths of the two sides."""

_LOG_COLDEST, _LOG_HOTTEST = math.log(0.01), math.log(10.0)
