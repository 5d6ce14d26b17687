"""MulT: each modality is read through the others by crossmodal attention."""

from typing import Any

import torch
from torch import Tensor, nn

from mmmie.models.layers import transformer_layer
from mmmie.models.systems import Reading, System, Window
from mmmie.settings import ModelSettings


class MulT(System):
    """Multimodal Transformer.

    For each modality as target, a stack of crossmodal layers for every other one: queries from the target's tokens,
    keys and values from the source's. Their results side by side go through a Transformer of their own, and the
    target place of all is read by a head with a residual layer.

    Source: Tsai, Bai, Liang, Kolter, Morency and Salakhutdinov 2019, sections 3.2 and 3.3. Deviations: a sequence is
    the window's utterances, not the frames of one utterance; positions are the identity embedding's roles; the
    convolution over time is left out; layers as `model.fusion_layers`, 4 in the paper.

    Where the target modality misses an utterance a learned stand-in asks; where the source misses all, nothing is
    answered.
    """

    def __init__(self, settings: ModelSettings, modalities: tuple[str, ...], options: Any) -> None:  # noqa: ARG002
        super().__init__()
        width, number = settings.width, len(modalities)
        self.pairs = [(m, n) for m in range(number) for n in range(number) if m != n]
        self.missing_MD = nn.Parameter(torch.randn(number, width) * 0.1)
        self.crossmodal = nn.ModuleList(
            nn.ModuleList(CrossmodalLayer(width, settings.heads) for _ in range(settings.fusion_layers))
            for _ in self.pairs
        )
        own = width * max(1, number - 1)
        self.within = nn.ModuleList(transformer_layer(own, settings.heads, settings.dropout) for _ in modalities)
        self.residual = nn.Sequential(
            nn.Linear(own * number, own * number),
            nn.ReLU(),
            nn.Dropout(settings.dropout),
            nn.Linear(own * number, own * number),
        )
        self.head = nn.Linear(own * number, 1)

    def forward(self, window: Window) -> Reading:
        mask_BMU = window.mask_BMU
        number, middle = mask_BMU.shape[1], mask_BMU.shape[2] // 2
        asking_BMUD = torch.where(mask_BMU[..., None], window.tokens_BMUD, self.missing_MD[:, None])
        read: list[list[Tensor]] = [[] for _ in range(number)]
        for (m, n), layers in zip(self.pairs, self.crossmodal, strict=True):
            found_BUD = asking_BMUD[:, m]
            for layer in layers:  # type: ignore[attr-defined]
                found_BUD = layer(found_BUD, asking_BMUD[:, n], mask_BMU[:, n])
            read[m].append(found_BUD)
        hidden_BU = ~mask_BMU.any(1)
        hidden_BU[:, middle] = False  # something must be left to attend to
        whole = [torch.cat(parts, -1) if parts else asking_BMUD[:, m] for m, parts in enumerate(read)]
        targets = [
            within(sequence, src_key_padding_mask=hidden_BU)[:, middle]
            for within, sequence in zip(self.within, whole, strict=True)
        ]
        joined = torch.cat(targets, dim=-1)
        return Reading(self.head(joined + self.residual(joined)).squeeze(-1))


class CrossmodalLayer(nn.Module):
    """Attention from a target sequence to a source sequence, and a feed-forward layer; pre-norm, residual.

    Args:
        width: D of both.
        heads: of the attention.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        # A key and value of zeros beside the source, so that a source with nothing in it answers nothing.
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True, add_zero_attn=True)
        self.norm_target, self.norm_source, self.norm_out = (nn.LayerNorm(width) for _ in range(3))
        self.feed_forward = nn.Sequential(nn.Linear(width, 2 * width), nn.ReLU(), nn.Linear(2 * width, width))

    def forward(self, target_BUD: Tensor, source_BTD: Tensor, mask_BT: Tensor) -> Tensor:
        """(B, U, D) the target with what it found in the source; masked source places have no influence."""
        source_BTD = self.norm_source(source_BTD)
        found, _ = self.attention(
            self.norm_target(target_BUD), source_BTD, source_BTD, key_padding_mask=~mask_BT, need_weights=False
        )
        target_BUD = target_BUD + found
        return target_BUD + self.feed_forward(self.norm_out(target_BUD))  # type: ignore[no-any-return]
