"""MMIM: information between modalities, and between each of them and their fusion, raised."""

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from mmmie.mi.conditional import GaussianConditional, batch_log_marginal
from mmmie.mi.lower_bounds import barber_agakov
from mmmie.models.context import ContextReader
from mmmie.models.systems import Loss, Options, Reading, System, SystemLosses, Window
from mmmie.settings import ModelSettings

BETWEEN = {"corrected": 0.001, "published": 0.1}
"""Default weight of each bound."""


class MMIMOptions(Options):
    bound: Literal["corrected", "published"] = "corrected"
    """Between modalities: Barber-Agakov in nats, or what the released code computes."""
    contrast: float = Field(0.1, ge=0)
    """Alpha: weight on contrastive predictive coding between the fusion and each modality."""
    between: float | None = Field(None, ge=0)
    """Beta: weight on the bound between modalities. None: 0.1 for the published one, as released, and 0.001 a nat for
    the corrected one, which at 0.1 was driven to 31 nats on MOSI, at the cost of the task (valid MAE .91 against .88,
    one seed each)."""
    dim: int = Field(16, ge=4)
    """Width of every modality but the first, as published; the bounds are sums over it."""


class MMIM(System):
    """Multimodal Infomax.

    The first modality (text) is held against each other one by a Barber-Agakov bound, and the joint hidden layer
    against each modality by contrastive predictive coding.

    Source: Han, Chen and Poria 2021, with the default weights of the released code. Deviations: the weight of the
    corrected bound; one optimizer raises a bound by its own network and by the encoders at once (there a first stage
    trains the bound's network alone); modalities other than the first are layer-normalised, since the bounds also grow
    with their scale. Where there is no text, the first modality that there is stands in its place.

    A missing modality is 0 beside an indicator of its absence, and in no bound.
    """

    Options = MMIMOptions

    def __init__(self, settings: ModelSettings, modalities: tuple[str, ...], options: MMIMOptions) -> None:
        super().__init__()
        self.options, self.modalities, self.width = options, modalities, settings.width
        self.context = ContextReader(settings, len(modalities))
        self.shrink = nn.ModuleList(
            nn.Sequential(nn.Linear(settings.width, options.dim), nn.LayerNorm(options.dim, elementwise_affine=False))
            for _ in modalities[1:]
        )
        joint_dim = settings.width + (len(modalities) - 1) * options.dim + len(modalities)
        self.join = nn.Sequential(
            nn.Dropout(settings.dropout),
            nn.Linear(joint_dim, settings.width),
            nn.Tanh(),
            nn.Linear(settings.width, settings.width),
            nn.Tanh(),
        )
        self.head = nn.Linear(settings.width, 1)

    def forward(self, window: Window) -> Reading:
        vectors_BMD, present_BM = self.context(window.tokens_BMUD, window.mask_BMU)
        vectors = [vectors_BMD[:, 0]]
        vectors += [shrink(vectors_BMD[:, m]) for m, shrink in enumerate(self.shrink, start=1)]
        shown = [torch.where(present_BM[:, m, None], x, 0.0) for m, x in enumerate(vectors)]
        joint_BD = self.join(torch.cat([*shown, (~present_BM).to(vectors_BMD.dtype)], dim=1))
        kept = {"joint": joint_BD, "there_BM": present_BM, **dict(zip(self.modalities, shown, strict=True))}
        return Reading(self.head(joint_BD).squeeze(-1), kept)

    def make_losses(self, num_utterances: int) -> "MMIMLosses":  # noqa: ARG002
        return MMIMLosses(self.options, self.modalities, self.width)


class MMIMLosses(SystemLosses):
    """Minus the bounds, over the utterances that have the modalities."""

    def __init__(self, options: MMIMOptions, modalities: tuple[str, ...], width: int) -> None:
        super().__init__()
        self.options, self.modalities = options, modalities
        self.between = BETWEEN[options.bound] if options.between is None else options.between
        kind = CorrectedBound if options.bound == "corrected" else PublishedBound
        self.bounds = nn.ModuleDict({name: kind(width, options.dim) for name in modalities[1:]})
        dims = [width] + [options.dim] * (len(modalities) - 1)
        self.predict = nn.ModuleDict({name: nn.Linear(width, dim) for name, dim in zip(modalities, dims, strict=True)})

    def forward(self, reading: Reading, label_B: Tensor, target_B: Tensor) -> Sequence[Loss]:  # noqa: ARG002
        there_BM, first = reading.kept["there_BM"], self.modalities[0]
        losses = []
        for m, name in enumerate(self.modalities):
            own = there_BM[:, m]
            if int(own.sum()) > 1:
                value = contrast(reading.kept[name][own], self.predict[name](reading.kept["joint"][own]))
                losses.append(Loss(f"contrast {name}", value, self.options.contrast))
            both = own & there_BM[:, 0]
            if m > 0 and int(both.sum()) > 1:
                bound = self.bounds[name](reading.kept[first][both], reading.kept[name][both], label_B[both])
                losses.append(Loss(f"minus bound {first}-{name}", -bound, self.between))
        return losses


class CorrectedBound(nn.Module):
    """Barber-Agakov with the log-variance in log q(y|x), and for H(Y) the entropy of the batch's diagonal Gaussian.

    Not of a running one: encoders learn to outrun it, and on MOSI that read 450 nats.
    """

    def __init__(self, x_dim: int, y_dim: int) -> None:
        super().__init__()
        self.q = GaussianConditional(x_dim, y_dim)

    def forward(self, x_NX: Tensor, y_NY: Tensor, label_N: Tensor) -> Tensor:  # noqa: ARG002
        """Scalar, nats."""
        if self.training:
            self.q.observe(y_NY)
        return barber_agakov(self.q.log_prob(x_NX, y_NY), batch_log_marginal(y_NY)).value


class PublishedBound(nn.Module):
    """What the released code raises: no mutual information, and no bound.

    Its log q lacks -log(variance)/2, so that an infinite variance is best, and any x as good as another; its entropy is
    that of a fixed random projection through tanh, the mean of the two classes' log-determinants over 4, without
    constants. Deviations: the covariances are over the batch (64 utterances) where the released code has 32 of this and
    32 of the last; a class without more utterances than dimensions is left out rather than made infinite.
    """

    projection: Tensor

    def __init__(self, x_dim: int, y_dim: int) -> None:
        super().__init__()
        self.mean, self.log_variance = (
            nn.Sequential(nn.Linear(x_dim, y_dim), nn.ReLU(), nn.Linear(y_dim, y_dim)) for _ in range(2)
        )
        self.register_buffer("projection", torch.randn(y_dim, y_dim // 4) / y_dim**0.5)

    def forward(self, x_NX: Tensor, y_NY: Tensor, label_N: Tensor) -> Tensor:
        """Scalar, in no unit."""
        value = published_likelihood(self.mean(x_NX), self.log_variance(x_NX), y_NY)
        seen_NZ = torch.tanh(y_NY @ self.projection)
        for member_N in (label_N > 0, label_N < 0):
            if int(member_N.sum()) > seen_NZ.shape[1]:
                value = value + 0.25 * _log_determinant(seen_NZ[member_N])
        return value


def published_likelihood(mean_NY: Tensor, log_variance_NY: Tensor, y_NY: Tensor) -> Tensor:
    """Mean of -(y - mean)^2 / (2 variance), summed over Y: at most 0, which an infinite variance reaches."""
    return -0.5 * ((y_NY - mean_NY).square() * torch.exp(-log_variance_NY)).sum(1).mean()


def contrast(own_NY: Tensor, predicted_NY: Tensor) -> Tensor:
    """Cross-entropy of telling each utterance's vector, by cosine, from its prediction among all.

    At least log(1 + (N - 1)/e) - 1 with orthogonal others: without a temperature, as published, it shows about one nat.
    """
    scores_NN = nn.functional.normalize(own_NY, dim=1) @ nn.functional.normalize(predicted_NY, dim=1).T
    return nn.functional.cross_entropy(scores_NN, torch.arange(len(own_NY), device=own_NY.device))


def _log_determinant(seen_NZ: Tensor) -> Tensor:
    centred_NZ = seen_NZ - seen_NZ.mean(0)
    covariance_ZZ = centred_NZ.T @ centred_NZ / len(seen_NZ)
    return torch.logdet(covariance_ZZ + 1e-6 * torch.eye(len(covariance_ZZ), device=seen_NZ.device))
