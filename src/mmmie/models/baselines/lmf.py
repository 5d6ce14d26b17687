"""LMF: the outer product of TFN through a weight of low rank, without ever forming it."""

import torch
from pydantic import Field
from torch import Tensor, nn

from mmmie.models.baselines.tfn import with_one
from mmmie.models.context import ContextReader
from mmmie.models.systems import Options, Reading, System, Window
from mmmie.settings import ModelSettings


class LMFOptions(Options):
    factor_dim: int = Field(16, ge=1)
    """Width of each modality before the product."""
    rank: int = Field(4, ge=1)


class LMF(System):
    """Low-rank multimodal fusion.

    Source: Liu, Shen, Lakshminarasimhan, Liang, Zadeh and Morency 2018, equation 6. Deviations: the components are
    summed with equal weights, which their factors can hold as well; the head is TFN's, so that both differ in the
    product alone.

    A missing modality is 0 beside its 1, as in TFN.
    """

    Options = LMFOptions

    def __init__(self, settings: ModelSettings, modalities: tuple[str, ...], options: LMFOptions) -> None:
        super().__init__()
        self.context = ContextReader(settings, len(modalities))
        self.shrink = nn.ModuleList(nn.Linear(settings.width, options.factor_dim) for _ in modalities)
        width, rank = settings.width, options.rank
        scale = (rank * width) ** (-0.5 / len(modalities))
        self.factors_MRFH = nn.Parameter(
            torch.randn(len(modalities), rank, options.factor_dim + 1, width) * scale / (options.factor_dim + 1) ** 0.5
        )
        self.bias_H = nn.Parameter(torch.zeros(width))
        self.head = nn.Sequential(nn.ReLU(), nn.Dropout(settings.dropout), nn.Linear(width, 1))

    def forward(self, window: Window) -> Reading:
        vectors_BMD, present_BM = self.context(window.tokens_BMUD, window.mask_BMU)
        vectors = [
            with_one(torch.where(present_BM[:, m, None], torch.relu(shrink(vectors_BMD[:, m])), 0.0))
            for m, shrink in enumerate(self.shrink)
        ]
        return Reading(self.head(low_rank_product(vectors, self.factors_MRFH) + self.bias_H).squeeze(-1))


def low_rank_product(vectors: list[Tensor], factors_MRFH: Tensor) -> Tensor:
    """(B, H): what a linear layer whose weight is the sum over R of outer products of factors makes of the outer
    product of the vectors (B, F)."""
    product_RBH = torch.stack([vectors[m] @ factors_MRFH[m] for m in range(len(vectors))]).prod(0)
    return product_RBH.sum(0)
