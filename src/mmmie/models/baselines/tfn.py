"""TFN: the outer product of all modalities, each with a 1 appended."""

import torch
from pydantic import Field
from torch import Tensor, nn

from mmmie.models.context import ContextReader
from mmmie.models.systems import Options, Reading, System, Window
from mmmie.settings import ModelSettings


class TFNOptions(Options):
    factor_dim: int = Field(16, ge=1)
    """Width of each modality before the product, which has (factor_dim + 1) ** M entries."""


class TFN(System):
    """Tensor fusion network.

    Source: Zadeh, Chen, Poria, Cambria and Morency 2017, equations 1 and 2. Deviations: one linear layer shrinks each
    vector first, as the released code does by its subnetworks; the head has one hidden layer, not two.

    A missing modality is 0 beside its 1: all products with it vanish, and those of the others stay.
    """

    Options = TFNOptions

    def __init__(self, settings: ModelSettings, modalities: tuple[str, ...], options: TFNOptions) -> None:
        super().__init__()
        self.context = ContextReader(settings, len(modalities))
        self.shrink = nn.ModuleList(nn.Linear(settings.width, options.factor_dim) for _ in modalities)
        self.head = nn.Sequential(
            nn.Dropout(settings.dropout),
            nn.Linear((options.factor_dim + 1) ** len(modalities), settings.width),
            nn.ReLU(),
            nn.Linear(settings.width, 1),
        )

    def forward(self, window: Window) -> Reading:
        vectors_BMD, present_BM = self.context(window.tokens_BMUD, window.mask_BMU)
        factors = [
            with_one(torch.where(present_BM[:, m, None], torch.relu(shrink(vectors_BMD[:, m])), 0.0))
            for m, shrink in enumerate(self.shrink)
        ]
        return Reading(self.head(outer_product(factors)).squeeze(-1))


def with_one(vectors_BD: Tensor) -> Tensor:
    """(B, D + 1): a 1 in front."""
    return nn.functional.pad(vectors_BD, (1, 0), value=1.0)


def outer_product(factors: list[Tensor]) -> Tensor:
    """(B, product of widths) of vectors (B, D_m), the last index running fastest."""
    product = factors[0]
    for factor in factors[1:]:
        product = torch.einsum("bi,bj->bij", product, factor).flatten(1)
    return product
