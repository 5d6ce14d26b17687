"""Early fusion: the vectors of all modalities side by side, and a perceptron on them."""

from typing import Any

from torch import nn

from mmmie.models.context import ContextReader
from mmmie.models.systems import Reading, System, Window
from mmmie.settings import ModelSettings


class EarlyFusion(System):
    """A missing modality is 0 beside an indicator of its absence.

    Source: the field's oldest baseline; see Baltrusaitis, Ahuja and Morency 2019, section 5. Deviation: features are
    concatenated as encoded, not raw.
    """

    def __init__(self, settings: ModelSettings, modalities: tuple[str, ...], options: Any) -> None:  # noqa: ARG002
        super().__init__()
        self.context = ContextReader(settings, len(modalities))
        self.head = nn.Sequential(
            nn.Linear(len(modalities) * (settings.width + 1), settings.width),
            nn.GELU(),
            nn.Dropout(settings.dropout),
            nn.Linear(settings.width, 1),
        )

    def forward(self, window: Window) -> Reading:
        vectors_BMD, present_BM = self.context(window.tokens_BMUD, window.mask_BMU)
        absent_BM = (~present_BM).to(vectors_BMD.dtype)
        joined = nn.functional.pad(vectors_BMD, (0, 1))
        joined[..., -1] = absent_BM
        return Reading(self.head(joined.flatten(1)).squeeze(-1))
