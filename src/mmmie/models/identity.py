"""The identity embedding: who a token is to the target, added to it before the fusion network.

The abstract says that it prompts the downstream network to perceive the contextual information; what an identity is, is
our reading: roles and relations, never a lookup of people or videos, since no video of the test split is ever seen in
training. It enters after the mutual-information terms, so that it cannot inflate I(F_m; F_n).
"""

import torch
from torch import Tensor, nn

from mmmie.settings import IdentitySettings


class IdentityEmbedding(nn.Module):
    """Learned vectors for a token's role in the window, its modality, and whether its speaker is the target's.

    Args:
        settings: which of the three are told.
        places: U = 2k + 1 roles.
        modalities: how many there are.
        width: D of the tokens.
    """

    def __init__(self, settings: IdentitySettings, places: int, modalities: int, width: int) -> None:
        super().__init__()
        self.role = _table(places, width) if settings.role else None
        self.modality = _table(modalities, width) if settings.modality else None
        self.same_speaker = _table(3, width) if settings.same_speaker else None

    def forward(self, role_BU: Tensor, same_speaker_BU: Tensor) -> Tensor | float:
        """To be added to the tokens (B, M, U, D), and broadcast to them; 0.0 where every identity is switched off."""
        total: Tensor | float = 0.0
        if self.role is not None:
            total = total + self.role(role_BU)[:, None]
        if self.same_speaker is not None:
            total = total + self.same_speaker(same_speaker_BU)[:, None]
        if self.modality is not None:
            total = total + self.modality.weight[:, None]
        return total


def _table(rows: int, width: int) -> nn.Embedding:
    table = nn.Embedding(rows, width)
    with torch.no_grad():
        table.weight.normal_(0, 0.1)
    return table
