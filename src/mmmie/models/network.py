"""The network: encoders, identity embedding, fusion network. MMMIE's terms of information are objectives beside it.

    Batch -> ModalityEncoder (text, audio, vision) -> Representation, each distinct utterance once
          -> gathered into windows, identities added -> fusion network of the recipe's system -> score

MMMIE is this with its own fusion network, all identities and both terms: a reconstruction from the abstract of Zheng et
al., arXiv:2201.03969; every choice is ours.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from mmmie.corpus.batching import Batch
from mmmie.models.encoders import ModalityEncoder, Representation, RidgeReader
from mmmie.models.experts import Experts
from mmmie.models.identity import IdentityEmbedding
from mmmie.models.layers import Dropout
from mmmie.models.systems import Reading, System, Window, make_system
from mmmie.settings import ModelSettings


@dataclass(frozen=True)
class Prediction:
    """What a model says of a batch."""

    score_B: Tensor
    representations: Mapping[str, Representation]
    """By modality, of the N distinct utterances."""
    kept: Mapping[str, Tensor] = field(default_factory=dict)
    """What the losses of the fusion network need of the pass."""


class Network(nn.Module):
    """The network from a batch to scores.

    Args:
        settings: the system, widths, context and identities.
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
        self.predicted = tuple(name for name, e in encoders.items() if isinstance(e.reader, RidgeReader))
        self.width = settings.width
        self.encoders = nn.ModuleDict(encoders)
        self.dropout = Dropout(settings.dropout)
        self.identity = IdentityEmbedding(settings.identity, 2 * settings.context + 1, len(encoders), settings.width)
        self.fusion: System = make_system(settings, self.modalities)
        self.experts = None if settings.experts is None else Experts(settings.experts, self.modalities)
        self.register_buffer("label_centre", torch.tensor(label_centre))
        self.register_buffer("label_scale", torch.tensor(label_scale))

    def encode(self, batch: Batch, rank: int = 0) -> dict[str, Representation]:
        """Every modality of every distinct utterance that process `rank` encodes, once; noise is not drawn yet."""
        mine = batch.shares[rank]
        return {name: self.encoders[name](batch.inputs[name], batch.present[name][mine]) for name in self.modalities}

    def fuse(self, batch: Batch, samples: Mapping[str, Tensor], present: Mapping[str, Tensor]) -> Tensor:
        """(B,) scores in units of the label, from representations (N, D) by modality and what may be seen (N,)."""
        return self.in_label_units(self.read(batch, samples, present).score_B)

    def in_label_units(self, score_B: Tensor) -> Tensor:
        return score_B * self.label_scale + self.label_centre

    def read(self, batch: Batch, samples: Mapping[str, Tensor], present: Mapping[str, Tensor]) -> Reading:
        """What the fusion network says, in its own units; arguments as of `fuse`."""
        place_BU = batch.window_BU.clamp(min=0)
        tokens_BMUD = torch.stack([self.dropout(samples[name][place_BU]) for name in self.modalities], dim=1)
        mask_BMU = torch.stack([present[name][place_BU] for name in self.modalities], dim=1)
        window = Window(
            tokens_BMUD + self.identity(batch.role_BU, batch.same_speaker_BU),
            mask_BMU & (batch.window_BU >= 0)[:, None],
        )
        if self.experts is None:
            return self.fusion(window)  # type: ignore[no-any-return]
        target = window.mask_BMU.shape[2] // 2
        predicted = {name: samples[name][place_BU[:, target]].mean(1) for name in self.predicted}
        return Reading(self.experts(self._alone(window, predicted), window.mask_BMU[:, :, target]))

    def _alone(self, window: Window, predicted: Mapping[str, Tensor]) -> Tensor:
        """(B, M) the score of each modality with all others hidden; some are `predicted` already."""
        own = torch.eye(len(self.modalities), dtype=torch.bool, device=window.mask_BMU.device)
        scores = []
        for m, name in enumerate(self.modalities):
            if name in predicted:
                scores.append(predicted[name])
            else:
                scores.append(self.fusion(replace(window, mask_BMU=window.mask_BMU & own[m][:, None])).score_B)
        return torch.stack(scores, dim=1)

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
        reading = self.read(batch, samples, present)
        return Prediction(self.in_label_units(reading.score_B), representations, reading.kept)


def with_noise(representations: Mapping[str, Representation], epsilon_MND: Tensor) -> dict[str, Representation]:
    """Representations with their noise drawn; `epsilon_MND` is standard normal, modalities in their order."""
    return {name: r.sampled(epsilon_MND[m]) for m, (name, r) in enumerate(representations.items())}
