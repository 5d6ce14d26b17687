"""Groups of token sequences in one row, which a text encoder reads in one pass.

All but attention takes each token by itself. So the groups are laid one after another, and attention alone goes from
group to group: large products, and hardly any padding, since groups may then be many and small. transformers lets
attention be given from outside; MPNet computes its own, with a bias by distance, and gets ours in its place. Other
networks read group after group.
Shapes: G sequences of a group, T tokens of one of them, R tokens of the row, H heads, D width.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
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
    bias_G11T: tuple[Tensor, ...]
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
            tuple(torch.where(mask, 0.0, HIDDEN)[:, None, None] for mask in masks),
        )


def _filled(parts: Sequence[Tensor], filling: int, value: int) -> Tensor:
    return torch.cat([*parts, parts[0].new_full((filling, *parts[0].shape[1:]), value)])


def read_rows(network: nn.Module) -> int | None:
    """Prepares a network, in place, to read rows: from now on it must be given `bias_GHTT` and `position_ids`.

    Returns:
        The position of a sequence's first token; None where the network cannot read rows, and is left as it is.
    """
    places = getattr(getattr(network, "embeddings", None), "position_embeddings", None)
    if not isinstance(places, nn.Embedding):
        return None
    if getattr(network, "_supports_attention_backend", False):
        from transformers import AttentionInterface

        AttentionInterface.register(ATTENTION, _attention)
        network.set_attn_implementation(ATTENTION)  # type: ignore[operator]
    elif type(network).__name__ == "MPNetModel":
        for layer in network.encoder.layer:  # type: ignore[union-attr]
            layer.attention.attn = _MPNetAttention(layer.attention.attn)
        network.forward = partial(_mpnet, network)
    else:
        return None
    return 0 if places.padding_idx is None else places.padding_idx + 1


def _attention(
    module: nn.Module,  # noqa: ARG001
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,  # noqa: ARG001
    *,
    bias_GHTT: Sequence[Tensor],
    scaling: float,
    **_: Any,
) -> tuple[Tensor, None]:
    """As transformers wants it: queries, keys and values (1, H, R, D) to (1, R, H, D)."""
    return _attend(query, key, value, bias_GHTT, scaling), None


def _attend(query: Tensor, key: Tensor, value: Tensor, bias_GHTT: Sequence[Tensor], scaling: float) -> Tensor:
    """Within each group, (1, H, R, D) to (1, R, H, D), computed in float32; filling keeps its own value.

    Args:
        query, key, value: of the whole row.
        bias_GHTT: one for each group; heads and queries may be 1, which stands for all.
        scaling: of the products of queries and keys.
    """
    heads, width = query.shape[1], query.shape[3]
    given_3RHD = torch.cat([query, key, value]).transpose(1, 2)
    sizes = [len(bias) * bias.shape[-1] for bias in bias_GHTT]
    *groups, filling_3RHD = torch.split(given_3RHD, [*sizes, given_3RHD.shape[1] - sum(sizes)], dim=1)
    attended = []
    with torch.autocast(query.device.type, enabled=False):
        for bias, group in zip(bias_GHTT, groups, strict=True):
            size, length = len(bias), bias.shape[-1]
            by_head = group.reshape(3, size, length, heads, width).transpose(2, 3).float().flatten(1, 2)
            query_NTD, key_NTD, value_NTD = by_head  # N: every head of every sequence
            bias_NTT = bias.expand(-1, heads, -1, -1).flatten(0, 1)
            scores_NTT = torch.baddbmm(bias_NTT, query_NTD, key_NTD.transpose(1, 2), alpha=scaling)
            found_NTD = torch.bmm(scores_NTT.softmax(-1), value_NTD)
            attended.append(found_NTD.view(size, heads, length, width).transpose(1, 2).flatten(0, 1))
    return torch.cat([*attended, filling_3RHD[2].float()])[None].to(value.dtype)


class _MPNetAttention(nn.Module):
    """Stands where MPNet's attention was, with its weights under their names; the biases come as `attention_mask`."""

    def __init__(self, own: Any) -> None:
        super().__init__()
        self.q, self.k, self.v, self.o = own.q, own.k, own.v, own.o
        self.heads, self.width = own.num_attention_heads, own.attention_head_size

    def forward(
        self, hidden_states: Tensor, attention_mask: Sequence[Tensor], *_: object, **__: object
    ) -> tuple[Tensor]:
        query, key, value = (
            linear(hidden_states).unflatten(-1, (self.heads, self.width)).transpose(1, 2)
            for linear in (self.q, self.k, self.v)
        )
        attended_1RHD = _attend(query, key, value, attention_mask, self.width**-0.5)
        return (self.o(attended_1RHD.flatten(2)),)


def _mpnet(network: Any, bias_GHTT: Sequence[Tensor], output_hidden_states: bool = True, **given: Tensor) -> Any:
    """In place of its own `forward`, which would compute the bias by distance for the row as one sequence."""
    from transformers.modeling_outputs import BaseModelOutput

    states_1RD = network.embeddings(**given)
    longest = max(bias.shape[-1] for bias in bias_GHTT)
    distance_1HTT = network.encoder.compute_position_bias(states_1RD.new_empty(1, longest))
    biases = []
    for bias_G1TT in bias_GHTT:
        length = bias_G1TT.shape[-1]
        biases.append(bias_G1TT + distance_1HTT[:, :, :length, :length])
    found = [states_1RD]
    for layer in network.encoder.layer:
        found.append(layer(found[-1], biases)[0])
    return BaseModelOutput(last_hidden_state=found[-1], hidden_states=tuple(found) if output_hidden_states else None)
