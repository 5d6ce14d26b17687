"""MMMIE's downstream network: a Transformer over the tokens of a window, read out at the target."""

import torch
from torch import nn

from mmmie.models.systems import Options, Reading, System, Window
from mmmie.settings import ModelSettings


class Fusion(System):
    """(2k + 1) x M tokens -> one score.

    A learned token stands for the target whatever modalities it has, so that a target all of whose modalities are
    missing is still read from its context. Read out are that token and the mean of the target's present tokens.
    """

    def __init__(self, settings: ModelSettings, modalities: tuple[str, ...], options: Options) -> None:  # noqa: ARG002
        super().__init__()
        width, dropout = settings.width, settings.dropout
        self.query_D = nn.Parameter(torch.randn(width) * 0.1)
        layer = nn.TransformerEncoderLayer(
            width, settings.heads, 2 * width, min(dropout, 0.1), "gelu", batch_first=True, norm_first=True
        )
        self.transformer = nn.TransformerEncoder(layer, settings.fusion_layers, enable_nested_tensor=False)
        self.head = nn.Sequential(nn.LayerNorm(2 * width), nn.Dropout(dropout), nn.Linear(2 * width, 1))

    def forward(self, window: Window) -> Reading:
        tokens_BMUD, mask_BMU = window.tokens_BMUD, window.mask_BMU
        B, M, U, D = tokens_BMUD.shape
        query_B1D = self.query_D.expand(B, 1, D)
        tokens = torch.cat([query_B1D, tokens_BMUD.reshape(B, M * U, D)], dim=1)
        hidden = torch.cat([mask_BMU.new_zeros(B, 1), ~mask_BMU.reshape(B, M * U)], dim=1)
        fused = self.transformer(tokens, src_key_padding_mask=hidden)
        middle_BMD = fused[:, 1:].reshape(B, M, U, D)[:, :, U // 2]
        real_BM1 = mask_BMU[:, :, U // 2, None].to(fused.dtype)
        target_BD = (middle_BMD * real_BM1).sum(1) / real_BM1.sum(1).clamp(min=1)
        return Reading(self.head(torch.cat([fused[:, 0], target_BD], dim=-1)).squeeze(-1))
