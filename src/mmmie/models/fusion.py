"""MMMIE's downstream network: a Transformer over the tokens of a window, read out at the target."""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from mmmie.models.layers import transformer_layer
from mmmie.models.systems import Options, Reading, System, Window
from mmmie.settings import ModelSettings


class FusionOptions(Options):
    """What a recipe may choose."""

    readout: Literal["each", "mean"] = "each"
    """How the target is read: each modality by weights of its own, or the mean of those present, whose meaning changes
    where one is missing."""


class Fusion(System):
    """(2k + 1) x M tokens -> one score.

    A learned token stands for the target whatever modalities it has, so that a target all of whose modalities are
    missing is still read from its context. Read out are that token and the target's own.
    """

    Options = FusionOptions

    def __init__(self, settings: ModelSettings, modalities: tuple[str, ...], options: Any) -> None:
        super().__init__()
        width = settings.width
        self.query_D = nn.Parameter(torch.randn(width) * 0.1)
        layer = transformer_layer(width, settings.heads, settings.dropout)
        self.transformer = nn.TransformerEncoder(layer, settings.fusion_layers, enable_nested_tensor=False)
        self.head = (
            EachModality(width, modalities, settings.dropout)
            if options.readout == "each"
            else MeanOfModalities(nn.LayerNorm(2 * width), nn.Dropout(settings.dropout), nn.Linear(2 * width, 1))
        )

    def forward(self, window: Window) -> Reading:
        tokens_BMUD, mask_BMU = window.tokens_BMUD, window.mask_BMU
        B, M, U, D = tokens_BMUD.shape
        query_B1D = self.query_D.expand(B, 1, D)
        tokens = torch.cat([query_B1D, tokens_BMUD.reshape(B, M * U, D)], dim=1)
        hidden = torch.cat([mask_BMU.new_zeros(B, 1), ~mask_BMU.reshape(B, M * U)], dim=1)
        fused = self.transformer(tokens, src_key_padding_mask=hidden)
        target_BMD = fused[:, 1:].reshape(B, M, U, D)[:, :, U // 2]
        return Reading(self.head(fused[:, 0], target_BMD, mask_BMU[:, :, U // 2]).squeeze(-1))


class EachModality(nn.Module):
    """A perceptron whose first layer has weights for the query and for each modality, by name: what one corpus taught
    of text is of use for another that has audio too. A learned vector stands for a modality that is missing."""

    def __init__(self, width: int, modalities: Sequence[str], dropout: float) -> None:
        super().__init__()
        self.query = nn.Linear(width, width)
        self.present = nn.ModuleDict({name: nn.Linear(width, width, bias=False) for name in modalities})
        self.missing = nn.ParameterDict({name: torch.zeros(width) for name in modalities})
        self.score = nn.Sequential(nn.GELU(), nn.Dropout(dropout), nn.Linear(width, 1))

    def forward(self, query_BD: Tensor, target_BMD: Tensor, present_BM: Tensor) -> Tensor:
        """(B, 1) scores."""
        hidden_BD = self.query(query_BD)
        for m, (name, weights) in enumerate(self.present.items()):
            read_BD = torch.where(present_BM[:, m, None], weights(target_BMD[:, m]), self.missing[name])
            hidden_BD = hidden_BD + read_BD
        return self.score(hidden_BD)  # type: ignore[no-any-return]


class MeanOfModalities(nn.Sequential):
    """One linear layer on the query beside the mean of the target's modalities."""

    def forward(self, query_BD: Tensor, target_BMD: Tensor, present_BM: Tensor) -> Tensor:  # type: ignore[override]
        """(B, 1) scores."""
        real_BM1 = present_BM[..., None].to(target_BMD.dtype)
        mean_BD = (target_BMD * real_BM1).sum(1) / real_BM1.sum(1).clamp(min=1)
        return super().forward(torch.cat([query_BD, mean_BD], dim=-1))  # type: ignore[no-any-return, no-untyped-call]
