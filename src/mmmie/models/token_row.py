"""Groups of token sequences in one row, which a text encoder reads in one pass.

All but attention takes each token by itself. So the groups are laid one after another, and attention alone, which
transformers lets be given from outside, goes from group to group: large products, and hardly any padding, since groups
may then be many and small. Networks that compute their own attention (MPNet) read group after group.
Shapes: G sequences of a group, T tokens of one of them, R tokens of the row, H heads, D width.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mmmie.corpus.batching import TokenGroup

ATTENTION = "within-groups"
HIDDEN = -1e9
"""Added to the score of padding."""
ROW_STEP = 32
"""Rows are filled up to a multiple of this: kernels are compiled for each new length, so a few lengths are cheaper."""


@dataclass(frozen=True)
class TokenRow:
    """Groups one after another, and filling that belongs to none."""

    inputs_R: Tensor
    """(R,) int64 token ids, or (R, D) stored states."""
    position_R: Tensor
    """(R,) int64: the place of a token in its sequence."""
    owner_R: Tensor
    """(R,) int64 as in `TokenGroup`."""
    bias_GT: tuple[Tensor, ...]
    """One for each group, float32: what attention adds to the score of a token, 0 where it is real."""

    @classmethod
    def of(cls, groups: Sequence[TokenGroup]) -> "TokenRow":
        masks = [group.mask_GT for group in groups]
        places = [torch.arange(mask.shape[1], device=mask.device).repeat(len(mask)) for mask in masks]
        owner_R = torch.cat([group.owner_GT.flatten() for group in groups])
        filling = -len(owner_R) % ROW_STEP
        return cls(
            _filled([group.inputs_GT.flatten(0, 1) for group in groups], filling, 0),
            _filled(places, filling, 0),
            _filled([owner_R], filling, -1),
            tuple(torch.where(mask, 0.0, HIDDEN) for mask in masks),
        )


def _filled(parts: Sequence[Tensor], filling: int, value: int) -> Tensor:
    return torch.cat([*parts, parts[0].new_full((filling, *parts[0].shape[1:]), value)])


def first_position(network: nn.Module) -> int | None:
    """The position of a sequence's first token, where the network can read rows; None where it cannot."""
    numbered = getattr(getattr(network, "embeddings", None), "position_embeddings", None)
    if not getattr(network, "_supports_attention_backend", False) or not isinstance(numbered, nn.Embedding):
        return None
    return 0 if numbered.padding_idx is None else numbered.padding_idx + 1


def attend_within_groups(network: nn.Module) -> None:
    """From now on the network reads rows, and must be given `bias_GT` and `position_ids`."""
    from transformers import AttentionInterface

    AttentionInterface.register(ATTENTION, _attention)
    network.set_attn_implementation(ATTENTION)  # type: ignore[operator]


def _attention(
    module: nn.Module,  # noqa: ARG001
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,  # noqa: ARG001
    *,
    bias_GT: Sequence[Tensor],
    scaling: float,
    **_: Any,
) -> tuple[Tensor, None]:
    """Queries, keys and values (1, H, R, D) to (1, R, H, D), computed in float32; filling keeps its own value."""
    heads, width = query.shape[1], query.shape[3]
    given_3RHD = torch.cat([query, key, value]).transpose(1, 2)
    sizes = [bias.numel() for bias in bias_GT]
    *groups, filling_3RHD = torch.split(given_3RHD, [*sizes, given_3RHD.shape[1] - sum(sizes)], dim=1)
    attended = []
    with torch.autocast(query.device.type, enabled=False):
        for bias, group in zip(bias_GT, groups, strict=True):
            by_head = group.reshape(3, *bias.shape, heads, width).transpose(2, 3).float().flatten(1, 2)
            query_NTD, key_NTD, value_NTD = by_head  # N: every head of every sequence
            bias_N1T = bias[:, None].repeat_interleave(heads, 0)
            scores_NTT = torch.baddbmm(bias_N1T, query_NTD, key_NTD.transpose(1, 2), alpha=scaling)
            found_NTD = torch.bmm(scores_NTT.softmax(-1), value_NTD)
            attended.append(found_NTD.view(len(bias), heads, -1, width).transpose(1, 2).flatten(0, 1))
    return torch.cat([*attended, filling_3RHD[2].float()])[None].to(value.dtype), None
