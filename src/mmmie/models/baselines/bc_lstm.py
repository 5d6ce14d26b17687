"""bc-LSTM: recurrent networks run over the utterances of a video, by modality and then over all."""

from typing import Any

import torch
from torch import nn

from mmmie.models.systems import Reading, System, Window
from mmmie.settings import ModelSettings


class BcLSTM(System):
    """Bidirectional contextual LSTM, in its hierarchical form.

    Source: Poria, Cambria, Hazarika, Majumder, Zadeh and Morency 2017, sections 3.2 and 3.3. Deviations: it runs over
    the window, not the whole video; both levels are trained together; the output is a score, not a class.

    Where a modality misses an utterance, and outside the video, a learned stand-in is read.
    """

    def __init__(self, settings: ModelSettings, modalities: tuple[str, ...], options: Any) -> None:  # noqa: ARG002
        super().__init__()
        width, number = settings.width, len(modalities)
        self.missing_MD = nn.Parameter(torch.randn(number, width) * 0.1)
        self.by_modality = nn.ModuleList(
            nn.LSTM(width, width // 2, batch_first=True, bidirectional=True) for _ in modalities
        )
        self.over_all = nn.LSTM(width // 2 * 2 * number, width // 2, batch_first=True, bidirectional=True)
        self.dropout = nn.Dropout(settings.dropout)
        self.head = nn.Sequential(
            nn.Linear(width // 2 * 2, width), nn.ReLU(), nn.Dropout(settings.dropout), nn.Linear(width, 1)
        )

    def forward(self, window: Window) -> Reading:
        tokens_BMUD = torch.where(window.mask_BMU[..., None], window.tokens_BMUD, self.missing_MD[:, None])
        own = [lstm(tokens_BMUD[:, m])[0] for m, lstm in enumerate(self.by_modality)]
        joined, _ = self.over_all(self.dropout(torch.cat(own, dim=-1)))
        return Reading(self.head(self.dropout(joined[:, tokens_BMUD.shape[2] // 2])).squeeze(-1))
