"""MISA: what modalities share and what each has for itself, in two spaces held apart."""

from collections.abc import Sequence
from itertools import combinations

import torch
from pydantic import Field
from torch import Tensor, nn

from mmmie.models.context import ContextReader
from mmmie.models.systems import Loss, Options, Reading, System, SystemLosses, Window
from mmmie.settings import ModelSettings

MOMENTS = 5
"""K of the central moment discrepancy."""


class MISAOptions(Options):
    similarity: float = Field(1.0, ge=0)
    """Weight on the discrepancy between the shared vectors of two modalities."""
    difference: float = Field(0.3, ge=0)
    """Weight on the overlap of shared and private vectors."""
    reconstruction: float = Field(1.0, ge=0)
    """Weight on what the two together do not tell of the modality."""


class MISA(System):
    """Modality-invariant and -specific representations.

    Each modality is projected into a space that all share, by the same weights, and into one of its own; a Transformer
    layer over these 2 M vectors and a perceptron give the score. Similarity, difference and reconstruction are losses.

    Source: Hazarika, Zimmermann and Poria 2020, with the similarity loss by central moments and the default weights of
    the released code. Deviations: the overlap is divided by the squared number of utterances, so that it lies in [0, 1]
    whatever batch and width (there by the squared width, a quarter of ours at 64 utterances and 128 dimensions), and
    its gradient also flows through the rows' lengths.

    A missing modality is hidden from attention, 0 beside an indicator of its absence before the perceptron, and in no
    loss.
    """

    Options = MISAOptions

    def __init__(self, settings: ModelSettings, modalities: tuple[str, ...], options: MISAOptions) -> None:
        super().__init__()
        width, number = settings.width, len(modalities)
        self.options, self.width, self.number = options, width, number
        self.context = ContextReader(settings, number)
        self.project = nn.ModuleList(
            nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.LayerNorm(width)) for _ in modalities
        )
        self.shared = nn.Sequential(nn.Linear(width, width), nn.Sigmoid())
        self.private = nn.ModuleList(nn.Sequential(nn.Linear(width, width), nn.Sigmoid()) for _ in modalities)
        self.attend = nn.TransformerEncoderLayer(
            width, settings.heads, 2 * width, min(settings.dropout, 0.1), batch_first=True
        )
        self.head = nn.Sequential(
            nn.Linear(2 * number * width + number, 3 * width),
            nn.Dropout(settings.dropout),
            nn.ReLU(),
            nn.Linear(3 * width, 1),
        )

    def forward(self, window: Window) -> Reading:
        vectors_BMD, present_BM = self.context(window.tokens_BMUD, window.mask_BMU)
        projected = [project(vectors_BMD[:, m]) for m, project in enumerate(self.project)]
        private_BMD = torch.stack([own(x) for own, x in zip(self.private, projected, strict=True)], dim=1)
        projected_BMD = torch.stack(projected, dim=1)
        shared_BMD = self.shared(projected_BMD)
        there = present_BM.repeat(1, 2)
        # Attention over nothing would be 0/0: where all is missing, all constants are seen, and dropped below.
        hidden = ~there & there.any(1, keepdim=True)
        read = self.attend(torch.cat([private_BMD, shared_BMD], dim=1), src_key_padding_mask=hidden)
        read = torch.where(there[..., None], read, 0.0)
        absent_BM = (~present_BM).to(read.dtype)
        return Reading(
            self.head(torch.cat([read.flatten(1), absent_BM], dim=1)).squeeze(-1),
            {
                "projected_BMD": projected_BMD,
                "shared_BMD": shared_BMD,
                "private_BMD": private_BMD,
                "there_BM": present_BM,
            },
        )

    def make_losses(self, num_utterances: int) -> "MISALosses":  # noqa: ARG002
        return MISALosses(self.options, self.number, self.width)


class MISALosses(SystemLosses):
    """Similarity, difference and reconstruction, each over the utterances that have the modalities it is about."""

    def __init__(self, options: MISAOptions, number: int, width: int) -> None:
        super().__init__()
        self.options = options
        self.decode = nn.ModuleList(nn.Linear(width, width) for _ in range(number))

    def forward(self, reading: Reading, label_B: Tensor, target_B: Tensor) -> Sequence[Loss]:  # noqa: ARG002
        kept = reading.kept
        there_BM, shared, private = kept["there_BM"], kept["shared_BMD"].unbind(1), kept["private_BMD"].unbind(1)
        similar, apart, rebuilt = [], [], []
        for m, n in combinations(range(len(shared)), 2):
            both = there_BM[:, m] & there_BM[:, n]
            if int(both.sum()) > 1:
                similar.append(central_moment_discrepancy(shared[m][both], shared[n][both]))
                apart.append(overlap(private[m][both], private[n][both]))
        for m, decode in enumerate(self.decode):
            own = there_BM[:, m]
            if int(own.sum()) > 1:
                apart.append(overlap(shared[m][own], private[m][own]))
                truth_ND = kept["projected_BMD"][own, m]
                rebuilt.append((decode(shared[m][own] + private[m][own]) - truth_ND).square().mean())
        losses = []
        if similar:
            losses.append(Loss("similarity", torch.stack(similar).mean(), self.options.similarity))
        if apart:
            losses.append(Loss("difference", torch.stack(apart).sum(), self.options.difference))
            losses.append(Loss("reconstruction", torch.stack(rebuilt).mean(), self.options.reconstruction))
        return losses


def central_moment_discrepancy(x_ND: Tensor, y_ND: Tensor) -> Tensor:
    """Distance of the means plus those of the central moments 2 to 5, of values in [0, 1].

    Source: Zellinger et al. 2017, definition 2, with K = 5 as MISA takes it.
    """
    x_mean_D, y_mean_D = x_ND.mean(0), y_ND.mean(0)
    distance = torch.linalg.vector_norm(x_mean_D - y_mean_D)
    for order in range(2, MOMENTS + 1):
        moments = [(z - mean).pow(order).mean(0) for z, mean in ((x_ND, x_mean_D), (y_ND, y_mean_D))]
        distance = distance + torch.linalg.vector_norm(moments[0] - moments[1])
    return distance  # type: ignore[no-any-return]


def overlap(x_ND: Tensor, y_ND: Tensor) -> Tensor:
    """||X' Y||^2 / N^2, of rows centred over the batch and of unit length: 0 where no column of one goes with any of
    the other, 1 where all rows of each are the same up to sign."""
    x_ND, y_ND = (nn.functional.normalize(z - z.mean(0), dim=1) for z in (x_ND, y_ND))
    shared: Tensor = (x_ND.T @ y_ND).square().sum() / len(x_ND) ** 2
    return shared
