"""Late fusion: each modality scores by itself, and the scores are averaged by learned weights."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mmmie.models.context import ContextReader
from mmmie.models.systems import Loss, Reading, System, SystemLosses, Window
from mmmie.settings import ModelSettings


class LateFusion(System):
    """Scores of single modalities, averaged over those that are present; each is trained on the label too.

    Source: the field's oldest baseline; see Baltrusaitis, Ahuja and Morency 2019, section 5. Deviation: modalities are
    trained together with their weights, not one after the other.
    """

    def __init__(self, settings: ModelSettings, modalities: tuple[str, ...], options: Any) -> None:  # noqa: ARG002
        super().__init__()
        self.modalities = modalities
        self.context = ContextReader(settings, len(modalities))
        self.heads = nn.ModuleList(
            nn.Sequential(
                nn.Linear(settings.width, settings.width),
                nn.GELU(),
                nn.Dropout(settings.dropout),
                nn.Linear(settings.width, 1),
            )
            for _ in modalities
        )
        self.weight_M = nn.Parameter(torch.zeros(len(modalities)))

    def forward(self, window: Window) -> Reading:
        vectors_BMD, present_BM = self.context(window.tokens_BMUD, window.mask_BMU)
        alone_BM = torch.cat([head(vectors_BMD[:, m]) for m, head in enumerate(self.heads)], dim=1)
        share_BM = self.weight_M.exp() * present_BM
        score_B = (alone_BM * share_BM).sum(1) / share_BM.sum(1).clamp(min=1e-6)
        return Reading(score_B, {"alone_BM": alone_BM, "present_BM": present_BM})

    def make_losses(self, num_utterances: int) -> SystemLosses:  # noqa: ARG002
        return _EachAlone(self.modalities)


class _EachAlone(SystemLosses):
    def __init__(self, modalities: tuple[str, ...]) -> None:
        super().__init__()
        self.modalities = modalities

    def forward(self, reading: Reading, label_B: Tensor, target_B: Tensor) -> Sequence[Loss]:  # noqa: ARG002
        off_BM = (reading.kept["alone_BM"] - label_B[:, None]).abs() * reading.kept["present_BM"]
        mean_M = off_BM.sum(0) / reading.kept["present_BM"].sum(0).clamp(min=1)
        return [Loss(f"alone {name}", mean_M[m], 1 / len(mean_M)) for m, name in enumerate(self.modalities)]
