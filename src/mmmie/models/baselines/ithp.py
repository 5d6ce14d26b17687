"""ITHP: text squeezed through bottlenecks that keep what tells of the other modalities, one after the other."""

from collections.abc import Sequence

import torch
from pydantic import Field
from torch import Tensor, nn

from mmmie.errors import RecipeError
from mmmie.models.context import ContextReader
from mmmie.models.systems import Loss, Options, Reading, System, SystemLosses, Window
from mmmie.settings import ModelSettings


class ITHPOptions(Options):
    first_dim: int = Field(64, ge=1)
    """Width of the first bottleneck."""
    second_dim: int = Field(32, ge=1)
    """Width of the second."""
    beta: float = Field(8.0, ge=0)
    """Detection of the first detector modality against one unit of compression."""
    gamma: float = Field(32.0, ge=0)
    """The same of the second."""
    second_level: float = Field(0.3, ge=0)
    """Lambda: the second bottleneck's part against the first's."""
    scale: float = Field(0.005, ge=0)
    """Weight on both. 2 / (beta + gamma) = 0.05 in the released code, where what is detected lies in [0, 1] and errors
    are small; with tokens of unit scale it gave a valid MAE of .91 on MOSI, against .87 (one seed each)."""


class ITHP(System):
    """Information-theoretic hierarchical perception.

    Text, the prime modality, is encoded into a Gaussian bottleneck B0 from which audio is detected, and B0 into B1 from
    which vision is; the last bottleneck, widened again, is added to text before the head. Both detectors are there in
    training only: **a score is read from text alone**, as in the source.

    Source: Xiao et al. 2024 (ICLR), L_IB0 and L_IB1, with the weights of the released code but for `scale`; compression
    is a mean over dimensions as there. Deviations: detected are the tokens of the target, held constant, from encoders
    that so stay as they were first drawn (the source detects raw features at every word; an encoder trained to be
    detected would make its tokens constant); they have unit scale, and no sigmoid comes before them; scores are read at
    the bottlenecks' means (the source draws there too).

    Without text in its window a target reads a learned vector in its place; a corpus without text is refused.
    """

    Options = ITHPOptions

    def __init__(self, settings: ModelSettings, modalities: tuple[str, ...], options: ITHPOptions) -> None:
        super().__init__()
        if "text" not in modalities:
            raise RecipeError(
                f"the system 'ithp' reads its score from text, and the corpus gives {', '.join(modalities) or 'none'}. "
                "Choose another model.system."
            )
        width = settings.width
        self.options, self.width = options, width
        self.text = modalities.index("text")
        self.detectors = tuple(name for name in modalities if name != "text")
        self.dims = (options.first_dim, options.second_dim)[: len(self.detectors)]
        self.context = ContextReader(settings, 1)
        self.absent_D = nn.Parameter(torch.randn(width) * 0.1)
        self.squeeze = nn.ModuleList(
            _perceptron(come, width, 2 * dim, settings.dropout)
            for come, dim in zip((width, *self.dims), self.dims, strict=False)
        )
        self.expand = nn.Linear(self.dims[-1], width) if self.dims else None
        self.head = nn.Sequential(
            nn.LayerNorm(width),
            nn.Dropout(settings.dropout),
            nn.Linear(width, width),
            nn.Tanh(),
            nn.Dropout(settings.dropout),
            nn.Linear(width, 1),
        )

    def forward(self, window: Window) -> Reading:
        text = slice(self.text, self.text + 1)
        vector_B1D, present_B1 = self.context(window.tokens_BMUD[:, text], window.mask_BMU[:, text])
        text_BD = torch.where(present_B1, vector_B1D[:, 0], self.absent_D)
        kept = {"there_B": present_B1[:, 0]}
        state, middle = text_BD, window.mask_BMU.shape[2] // 2
        others = [m for m in range(window.mask_BMU.shape[1]) if m != self.text]
        for name, m, squeeze in zip(self.detectors, others, self.squeeze, strict=True):
            mean, log_variance = squeeze(state).chunk(2, dim=1)
            state = mean + torch.randn_like(mean) * torch.exp(log_variance / 2) if self.training else mean
            kept[f"{name} bottleneck"], kept[f"{name} compression_B"] = state, gaussian_kl(mean, log_variance)
            kept[f"{name} token_BD"] = window.tokens_BMUD[:, m, middle].detach()
            kept[f"{name} there_B"] = window.mask_BMU[:, m, middle]
        if self.expand is not None:
            text_BD = text_BD + self.expand(state)
        return Reading(self.head(text_BD).squeeze(-1), kept)

    def make_losses(self, num_utterances: int) -> "ITHPLosses":  # noqa: ARG002
        return ITHPLosses(self.options, self.detectors, self.dims, self.width)


class ITHPLosses(SystemLosses):
    """Compression and detection at each bottleneck, over the utterances that have text."""

    def __init__(self, options: ITHPOptions, detectors: tuple[str, ...], dims: tuple[int, ...], width: int) -> None:
        super().__init__()
        self.options = options
        self.detect = nn.ModuleDict(
            {name: _perceptron(dim, width, width, 0.0) for name, dim in zip(detectors, dims, strict=True)}
        )

    def forward(self, reading: Reading, label_B: Tensor, target_B: Tensor) -> Sequence[Loss]:  # noqa: ARG002
        kept, options, losses = reading.kept, self.options, []
        levels = ((options.scale, options.beta), (options.scale * options.second_level, options.gamma))
        there_B = kept["there_B"]
        for (name, detect), (weight, detection) in zip(self.detect.items(), levels, strict=False):
            if there_B.any():
                losses.append(Loss(f"compression {name}", kept[f"{name} compression_B"][there_B].mean(), weight))
            both_B = there_B & kept[f"{name} there_B"]
            if both_B.any():
                error = detect(kept[f"{name} bottleneck"][both_B]) - kept[f"{name} token_BD"][both_B]
                losses.append(Loss(f"detection {name}", error.square().mean(), weight * detection))
        return losses


def gaussian_kl(mean_BD: Tensor, log_variance_BD: Tensor) -> Tensor:
    """(B,) KL(N(mean, variance) || N(0, I)) over D, nats a dimension."""
    return 0.5 * (mean_BD.square() + log_variance_BD.exp() - 1 - log_variance_BD).mean(1)


def _perceptron(come: int, hidden: int, go: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(nn.Linear(come, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, go))
