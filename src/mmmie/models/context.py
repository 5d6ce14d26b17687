"""Context for systems that know one utterance only: each modality reads its own neighbours first.

The published systems of the field score an utterance alone. Here all of them are given the same context in the same
way, so that what is compared is how they fuse modalities. Shapes as in systems.py.
"""

import torch
from torch import Tensor, nn

from mmmie.models.layers import transformer_layer
from mmmie.settings import ModelSettings


class ContextReader(nn.Module):
    """(B, M, U, D) window -> (B, M, D), one vector for each modality of the target.

    A Transformer layer for each modality runs over a learned query and the modality's tokens; read out is the query,
    and the target's own token where it is there. Without context (U = 1) the token itself is handed on.

    Args:
        settings: `width`, `heads`, `dropout`, `context`.
        num_modalities: M.
    """

    def __init__(self, settings: ModelSettings, num_modalities: int) -> None:
        super().__init__()
        width = settings.width
        self.layers = nn.ModuleList(
            transformer_layer(width, settings.heads, settings.dropout)
            for _ in range(num_modalities if settings.context else 0)
        )
        self.query_MD = nn.Parameter(torch.randn(len(self.layers), width) * 0.1)

    def forward(self, tokens_BMUD: Tensor, mask_BMU: Tensor) -> tuple[Tensor, Tensor]:
        """Vectors (B, M, D), exactly 0 where the modality is missing from the whole window, and (B, M) bool."""
        if not len(self.layers):
            present_BM = mask_BMU[:, :, 0]
            return torch.where(present_BM[..., None], tokens_BMUD[:, :, 0], 0.0), present_BM
        present_BM = mask_BMU.any(2)
        vectors = [self._read(m, tokens_BMUD[:, m], mask_BMU[:, m]) for m in range(len(self.layers))]
        return torch.where(present_BM[..., None], torch.stack(vectors, dim=1), 0.0), present_BM

    def _read(self, m: int, tokens_BUD: Tensor, mask_BU: Tensor) -> Tensor:
        query_B1D = self.query_MD[m].expand(len(tokens_BUD), 1, -1)
        hidden = torch.cat([mask_BU.new_zeros(len(mask_BU), 1), ~mask_BU], dim=1)
        read = self.layers[m](torch.cat([query_B1D, tokens_BUD], dim=1), src_key_padding_mask=hidden)
        middle = mask_BU.shape[1] // 2
        target_BD = torch.where(mask_BU[:, middle, None], read[:, 1 + middle], 0.0)
        return read[:, 0] + target_BD  # type: ignore[no-any-return]
