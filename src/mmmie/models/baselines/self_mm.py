"""Self-MM: each modality alone learns a label of its own, which training works out as it goes."""

from collections.abc import Sequence

import torch
from pydantic import Field
from torch import Tensor, nn

from mmmie.models.context import ContextReader
from mmmie.models.systems import Loss, Options, Reading, System, SystemLosses, Window
from mmmie.settings import ModelSettings

CENTRE_DECAY = 0.95
"""Of the class centres, which so are means over about the last twenty batches: an epoch of MOSI."""
SMALLEST = 1e-6


class SelfMMOptions(Options):
    weight: float = Field(1.0, ge=0)
    """Weight on each modality's own task."""
    limit: float = Field(2.5, gt=0)
    """Generated labels are clipped here, in mean absolute deviations of the labels; 3 on the scale of MOSI."""


class SelfMM(System):
    """Self-supervised multi-task learning.

    Beside the joint head, a head for each modality learns that modality's own label. It starts at the joint one, and is
    moved by how much nearer the modality's features are to the positive than to the negative class, against the joint
    features; how far the two labels have come apart is the weight of the task.

    Source: Yu, Xu, Yuan and Wu 2021, algorithm 1; distances are not squared and labels clipped, as in the released
    code. Deviations: the class centres are moving averages over batches, not means over stored features of the whole
    train part; positive and negative are above and below the labels' median, which is 0 here; the unimodal heads live
    in the losses, since nothing is predicted by them.

    A missing modality is 0 beside an indicator of its absence; where it is missing its label rests.
    """

    Options = SelfMMOptions

    def __init__(self, settings: ModelSettings, modalities: tuple[str, ...], options: SelfMMOptions) -> None:
        super().__init__()
        self.options, self.width, self.modalities = options, settings.width, modalities
        self.context = ContextReader(settings, len(modalities))
        self.join = nn.Sequential(
            nn.Dropout(settings.dropout), nn.Linear(len(modalities) * (settings.width + 1), settings.width), nn.ReLU()
        )
        self.head = _head(settings.width)

    def forward(self, window: Window) -> Reading:
        vectors_BMD, present_BM = self.context(window.tokens_BMUD, window.mask_BMU)
        absent_BM = (~present_BM).to(vectors_BMD.dtype)
        joint_BD = self.join(torch.cat([vectors_BMD.flatten(1), absent_BM], dim=1))
        kept = {"vectors_BMD": vectors_BMD, "joint_BD": joint_BD, "there_BM": present_BM}
        return Reading(self.head(joint_BD).squeeze(-1), kept)

    def make_losses(self, num_utterances: int) -> "SelfMMLosses":
        return SelfMMLosses(self.options, self.modalities, self.width, num_utterances)


class SelfMMLosses(SystemLosses):
    """The unimodal tasks, and the labels they learn: a number for each train utterance and modality.

    S: the modalities, and the joint features behind them. Labels move in training mode only, after their loss is taken.
    """

    label_NM: Tensor
    visits_N: Tensor
    centre_S2D: Tensor
    known_S2: Tensor

    def __init__(self, options: SelfMMOptions, modalities: tuple[str, ...], width: int, num_utterances: int) -> None:
        super().__init__()
        self.options, self.modalities = options, modalities
        self.features = nn.ModuleList(nn.Sequential(nn.Linear(width, width), nn.ReLU()) for _ in modalities)
        self.heads = nn.ModuleList(_head(width) for _ in modalities)
        self.register_buffer("label_NM", torch.zeros(num_utterances, len(modalities)))
        self.register_buffer("visits_N", torch.zeros(num_utterances, dtype=torch.int64))
        self.register_buffer("centre_S2D", torch.zeros(len(modalities) + 1, 2, width))
        self.register_buffer("known_S2", torch.zeros(len(modalities) + 1, 2, dtype=torch.bool))

    def forward(self, reading: Reading, label_B: Tensor, target_B: Tensor) -> Sequence[Loss]:
        there_BM, vectors_BMD = reading.kept["there_BM"], reading.kept["vectors_BMD"]
        features = [feature(vectors_BMD[:, m]) for m, feature in enumerate(self.features)]
        own_BM = torch.where(self.visits_N[target_B, None] == 0, label_B[:, None], self.label_NM[target_B])
        losses = []
        for m, name in enumerate(self.modalities):
            error_B = (self.heads[m](features[m]).squeeze(-1) - own_BM[:, m]).abs()
            weight_B = torch.tanh((own_BM[:, m] - label_B).abs()) * there_BM[:, m]
            mean = (weight_B * error_B).sum() / there_BM[:, m].sum().clamp(min=1)
            losses.append(Loss(f"{name} alone", mean, self.options.weight))
        if self.training:
            features_BSD = torch.stack([*features, reading.kept["joint_BD"]], dim=1).detach()
            self._move(features_BSD, there_BM, own_BM, label_B, target_B)
        return losses

    @torch.no_grad()
    def _move(self, features_BSD: Tensor, there_BM: Tensor, own_BM: Tensor, label_B: Tensor, target_B: Tensor) -> None:
        """One visit of these utterances: their labels by the centres so far, then the centres by them."""
        visit_B1 = self.visits_N[target_B, None] + 1
        nearer_BS = relative_distance(features_BSD, self.centre_S2D)
        fresh_BM = generated_label(label_B[:, None], nearer_BS[:, :-1], nearer_BS[:, -1:], self.options.limit)
        known_S = self.known_S2.all(1)
        moves_BM = there_BM & (visit_B1 > 1) & known_S[:-1] & known_S[-1]
        own_BM = torch.where(moves_BM, ((visit_B1 - 1) * own_BM + 2 * fresh_BM) / (visit_B1 + 1), own_BM)
        self.label_NM[target_B] = own_BM.to(self.label_NM)
        self.visits_N[target_B] += 1
        label_BS = torch.cat([own_BM, label_B[:, None]], dim=1)
        there_BS = nn.functional.pad(there_BM, (0, 1), value=True)
        member_BS2 = torch.stack([label_BS > 0, label_BS < 0], dim=-1) & there_BS[..., None]
        count_S2 = member_BS2.sum(0)
        mean_S2D = torch.einsum("bsc,bsd->scd", member_BS2.to(features_BSD), features_BSD)
        mean_S2D = mean_S2D / count_S2.clamp(min=1)[..., None]
        step_S2 = torch.where(self.known_S2, 1 - CENTRE_DECAY, 1.0) * (count_S2 > 0)
        self.centre_S2D.lerp_(mean_S2D.to(self.centre_S2D), step_S2[..., None].to(self.centre_S2D))
        self.known_S2 |= count_S2 > 0


def relative_distance(features_BSD: Tensor, centre_S2D: Tensor) -> Tensor:
    """(B, S) how much nearer features are to the positive centre than to the negative: (D_n - D_p) / D_p.

    Args:
        features_BSD: of modalities and joint.
        centre_S2D: of the positive and the negative class.
    """
    distance_BS2 = torch.linalg.vector_norm(features_BSD[:, :, None] - centre_S2D, dim=-1)
    positive_BS, negative_BS = distance_BS2.unbind(-1)
    nearer_BS: Tensor = (negative_BS - positive_BS) / (positive_BS + SMALLEST)
    return nearer_BS


def generated_label(label: Tensor, own: Tensor, joint: Tensor, limit: float) -> Tensor:
    """The mean of label * own / joint and label + own - joint, clipped.

    Args:
        label: joint, of the utterances.
        own, joint: relative distances of the modality's and of the joint features.
        limit: largest absolute value.
    """
    joint = torch.where(joint.abs() < SMALLEST, SMALLEST, joint)
    return ((label * own / joint + label + own - joint) / 2).clamp(-limit, limit)


def _head(width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1))
