"""A pretrained text encoder under training."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from mmmie.corpus.batching import Inputs, TokenGroup
from mmmie.errors import RecipeError
from mmmie.features.passages import TOKENS_AT_ONCE, mean_over_owners
from mmmie.models.token_row import TokenRow, read_rows


class TokenEncoder(nn.Module):
    """A pretrained text encoder under training: the mean of every hidden layer over the utterance's own tokens.

    Args:
        network: a Hugging Face encoder; with `top_layers` its embedding layer is replaced, and it reads stored states.
        width: of one hidden layer.
        num_states: hidden layers of the whole encoder, the embedding layer included.
        top_layers: how many layers are trained; None: all.
        use_bfloat16: compute the network in bfloat16.
    """

    def __init__(
        self, network: nn.Module, width: int, num_states: int, top_layers: int | None, use_bfloat16: bool
    ) -> None:
        super().__init__()
        self.first_position = read_rows(network)
        self.network = network if top_layers is None else _upper(network, top_layers)
        self.state_dim = width
        self.frozen_dim = 0 if top_layers is None else (num_states - top_layers) * width
        self.output_dim = num_states * width
        self.top = top_layers is not None
        self.use_bfloat16 = use_bfloat16

    def forward(self, inputs: Inputs, num_rows: int) -> Tensor:
        """(N, num_states * width) float32; 0 where there is no text."""
        reference = next(self.network.parameters())
        trained = reference.new_zeros(num_rows, self.output_dim - self.frozen_dim, dtype=torch.float32)
        counts = reference.new_zeros(num_rows, dtype=torch.float32)
        # One context for all passes: leaving it forgets the weights that it has cast, a tenth of a step to cast again.
        with torch.autocast(reference.device.type, torch.bfloat16, enabled=self.use_bfloat16):
            for groups in self._passes(inputs.tokens, reference):
                states, owner = self._read(groups)
                layers = states[1:] if self.top else states
                sums, tokens = zip(*(mean_over_owners(x, owner, num_rows) for x in layers), strict=True)
                trained = trained + torch.cat(sums, -1)
                counts = counts + tokens[0]
        means = trained / counts.clamp(min=1)[:, None]
        if not self.top:
            return means
        assert inputs.frozen_ND is not None
        return torch.cat([inputs.frozen_ND[:, : self.frozen_dim], means], -1)

    def _read(self, groups: Sequence[TokenGroup]) -> tuple[Sequence[Tensor], Tensor]:
        """Every hidden layer of one pass, and the owners of its tokens."""
        key = "inputs_embeds" if self.top else "input_ids"
        if self.first_position is None:
            (group,) = groups
            given = {key: group.inputs_GT, "attention_mask": group.mask_GT.long()}
            return self.network(**given, output_hidden_states=True).hidden_states, group.owner_GT
        row = TokenRow.of(groups)
        given = {key: row.inputs_R[None], "position_ids": row.position_R[None] + self.first_position}
        return self.network(**given, bias_GHTT=row.bias_G11T, output_hidden_states=True).hidden_states, row.owner_R

    def _passes(self, groups: Sequence[TokenGroup], reference: Tensor) -> Iterator[list[TokenGroup]]:
        """What is read at once: all groups in one row, or one group, or less where that saves memory."""
        learns = torch.is_grad_enabled() or reference.device.type != "cpu"
        pieces = groups if learns else [piece for group in groups for piece in group.pieces(TOKENS_AT_ONCE)]
        found: list[TokenGroup] = []
        for piece in pieces:
            tokens = sum(p.mask_GT.numel() for p in (*found, piece))
            if found and (self.first_position is None or (tokens > TOKENS_AT_ONCE and not learns)):
                yield found
                found = []
            found.append(piece)
        if found:
            yield found


class _StoredStates(nn.Module):
    """Stands where the embedding layer was, and hands on the states that were stored."""

    def forward(self, *, inputs_embeds: Tensor, **_: object) -> Tensor:
        return inputs_embeds


def _upper(network: nn.Module, top_layers: int) -> nn.Module:
    layers = getattr(getattr(network, "encoder", None), "layer", None)
    if layers is None:
        raise RecipeError(
            f"the layers of a {type(network).__name__} are not where BERT and its kin have them, and its top ones "
            "cannot be trained alone. Set text.depth = 'full' or 'frozen'."
        )
    network.encoder.layer = layers[len(layers) - top_layers :]  # type: ignore[union-attr]
    network.embeddings = _StoredStates()
    return network
