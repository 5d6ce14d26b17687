"""MMMIE: encoders, identity embedding, fusion. The mutual-information terms are objectives, not parts of the network.

    Batch -> ModalityEncoder (text, audio, vision) -> Representation, each distinct utterance once
          -> gathered into windows, identities added -> Fusion -> score

A reconstruction from the abstract of Zheng et al., arXiv:2201.03969; every choice below it is ours.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mmmie.corpus.batching import Batch
from mmmie.models.encoders import ModalityEncoder, Representation
from mmmie.models.experts import Experts
from mmmie.models.fusion import Fusion
from mmmie.models.identity import IdentityEmbedding
from mmmie.settings import ModelSettings


@dataclass(frozen=True)
class Prediction:
    """What a model says of a batch."""

    score_B: Tensor
    representations: Mapping[str, Representation]
    """By modality, of the N distinct utterances."""


class MMMIE(nn.Module):
    """The network from a batch to scores.

    Args:
        settings: widths, context and identities.
        encoders: by modality, in the order text, audio, vision.
        label_centre, label_scale: the train labels' median and mean absolute deviation; the head works in these units.
    """

    label_centre: Tensor
    label_scale: Tensor

    def __init__(
        self,
        settings: ModelSettings,
        encoders: Mapping[str, ModalityEncoder],
        label_centre: float = 0.0,
        label_scale: float = 1.0,
    ) -> None:
        super().__init__()
        self.modalities = tuple(encoders)
        self.width = settings.width
        self.encoders = nn.ModuleDict(encoders)
        self.dropout = nn.Dropout(settings.dropout)
        self.identity = IdentityEmbedding(settings.identity, 2 * settings.context + 1, len(encoders), settings.width)
        self.fusion = Fusion(settings.width, settings.fusion_layers, settings.heads, settings.dropout)
        self.experts = None if settings.experts is None else Experts(settings.experts, self.modalities)
        self.register_buffer("label_centre", torch.tensor(label_centre))
        self.register_buffer("label_scale", torch.tensor(label_scale))

    def encode(self, batch: Batch, rank: int = 0) -> dict[str, Representation]:
        """Every modality of every distinct utterance that process `rank` encodes, once; noise is not drawn yet."""
        mine = batch.shares[rank]
        return {name: self.encoders[name](batch.inputs[name], batch.present[name][mine]) for name in self.modalities}

    def fuse(self, batch: Batch, samples: Mapping[str, Tensor], present: Mapping[str, Tensor]) -> Tensor:
        """(B,) scores from representations (N, D) by modality and what of them may be seen (N,)."""
        place_BU = batch.window_BU.clamp(min=0)
        real_BU = batch.window_BU >= 0
        tokens, masks = [], []
        for m, name in enumerate(self.modalities):
            token_BUD = self.dropout(samples[name][place_BU])
            tokens.append(token_BUD + self.identity(batch.role_BU, batch.same_speaker_BU, m))
            masks.append(real_BU & present[name][place_BU])
        tokens_BMUD, mask_BMU = torch.stack(tokens, dim=1), torch.stack(masks, dim=1)
        if self.experts is None:
            score_B = self.fusion(tokens_BMUD, mask_BMU)
        else:
            score_B = self.experts(self._alone(tokens_BMUD, mask_BMU), mask_BMU[:, :, mask_BMU.shape[2] // 2])
        return score_B * self.label_scale + self.label_centre  # type: ignore[no-any-return]

    def _alone(self, tokens_BMUD: Tensor, mask_BMU: Tensor) -> Tensor:
        """(B, M) the score of each modality with all others hidden."""
        alone = torch.eye(len(self.modalities), dtype=torch.bool, device=mask_BMU.device)
        return torch.stack([self.fusion(tokens_BMUD, mask_BMU & alone[m][:, None]) for m in range(len(alone))], dim=1)

    def forward(
        self, batch: Batch, epsilon_MND: Tensor | None = None, visible: Mapping[str, Tensor] | None = None
    ) -> Prediction:
        """Scores of a batch.

        Args:
            batch: see there.
            epsilon_MND: noise of the stochastic encoders (training, or the sampled reading); None reads the means.
            visible: by modality (N,) bool, where modality dropout or an attribution hides what is present.
        """
        representations = self.encode(batch)
        if epsilon_MND is not None:
            representations = with_noise(representations, epsilon_MND)
        samples = {name: r.sample_ND for name, r in representations.items()}
        present = (
            dict(batch.present) if visible is None else {n: batch.present[n] & visible[n] for n in self.modalities}
        )
        return Prediction(self.fuse(batch, samples, present), representations)


def with_noise(representations: Mapping[str, Representation], epsilon_MND: Tensor) -> dict[str, Representation]:
    """Representations with their noise drawn; `epsilon_MND` is standard normal, modalities in their order."""
    return {name: r.sampled(epsilon_MND[m]) for m, (name, r) in enumerate(representations.items())}
