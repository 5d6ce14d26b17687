"""Encoders: the inputs of one modality -> one representation for each distinct utterance.

Every encoder gives the mean m(X) and, where the recipe wants a stochastic encoder, its noise s in F = m(X) + s eps. The
conditional p(f | x) is then known exactly, which is what makes I(X; F) measurable. Shapes: N utterances, G members of a
group, T steps, D width.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmmie.corpus.batching import Inputs, SequenceGroup
from mmmie.models.layers import Dropout
from mmmie.models.token_encoder import TokenEncoder

NOISE_FLOOR = 0.02


@dataclass(frozen=True)
class Representation:
    """One modality of a batch, encoded."""

    mean_ND: Tensor
    sample_ND: Tensor
    """mean + noise * eps; the mean itself where there is no noise."""
    noise_D: Tensor | None
    """(D,) standard deviation of the noise, the same for every utterance; None: a deterministic encoder."""
    present_N: Tensor
    """(N,) bool."""
    input_NX: Tensor
    """(N, X) what the representation was made from, constant with respect to everything that learns."""

    def sampled(self, epsilon_ND: Tensor) -> "Representation":
        """The same with its noise drawn: epsilon is standard normal. Without noise nothing changes."""
        if self.noise_D is None:
            return self
        return replace(self, sample_ND=self.mean_ND + self.noise_D * epsilon_ND)


class Standardise(nn.Module):
    """Features minus their train mean over their train deviation; constant columns become 0."""

    mean_D: Tensor
    scale_D: Tensor

    def __init__(self, mean_D: Tensor, deviation_D: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean_D", mean_D)
        self.register_buffer("scale_D", torch.where(deviation_D > 1e-6, 1 / deviation_D.clamp(min=1e-6), 0.0))

    def forward(self, values: Tensor) -> Tensor:
        return (values - self.mean_D).mul_(self.scale_D).clamp_(-10, 10)


class Readout(nn.Module):
    """(..., D) standardised features -> (..., 1) the one combination of them that is read, of unit deviation on train.

    Fitted by ridge regression before training, and fixed: a network learns wide features of few recordings by heart.
    """

    weight_D: Tensor
    slope: Tensor
    intercept: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("weight_D", torch.zeros(dim))
        self.register_buffer("slope", torch.tensor(0.0))
        self.register_buffer("intercept", torch.tensor(0.0))

    def forward(self, values: Tensor) -> Tensor:
        return (values @ self.weight_D)[..., None]

    def predict(self, values: Tensor) -> Tensor:
        """(..., 1) what the regression predicts, in the units of the network's score."""
        number: Tensor = self(values)
        return number * self.slope + self.intercept


class Noise(nn.Module):
    """The learned (or fixed) standard deviation of the representation's noise, one for each dimension."""

    def __init__(self, width: int, start: float, learned: bool) -> None:
        super().__init__()
        above_floor = torch.full((width,), start - NOISE_FLOOR)
        self.raw_D = nn.Parameter(torch.log(torch.expm1(above_floor)), requires_grad=learned)

    def forward(self) -> Tensor:
        return F.softplus(self.raw_D) + NOISE_FLOOR


class FrameReader(nn.Module, ABC):
    """Frames of audio or vision, or one vector an utterance -> one representation for each utterance.

    Args:
        standardise: fitted on train.
        input_dim: D of the frames.
        width: of the result.
        readout: what of the features is read; None: all.
    """

    def __init__(self, standardise: nn.Module, input_dim: int, width: int, readout: Readout | None) -> None:
        super().__init__()
        self.standardise = standardise
        self.readout = readout
        self.input_dim = input_dim
        self.width = width

    def forward(self, inputs: Inputs, num_rows: int) -> tuple[Tensor, Tensor]:
        """Representations (N, width), and the means of the standardised frames (N, D)."""
        if not inputs.groups:
            reference = next(self.standardise.buffers())
            return reference.new_zeros(num_rows, self.width), reference.new_zeros(num_rows, self.input_dim)
        pooled, frame_means = zip(*(self._read(group) for group in inputs.groups), strict=True)
        rows_N = torch.cat([group.rows_G for group in inputs.groups])
        if len(pooled) == 1 and torch.equal(rows_N, torch.arange(num_rows, device=rows_N.device)):
            return pooled[0], frame_means[0]  # vectors, which may be wide: they are in order, and not copied
        order_N = rows_N.argsort()
        return torch.cat(pooled)[order_N], torch.cat(frame_means)[order_N]

    def _read(self, group: SequenceGroup) -> tuple[Tensor, Tensor]:
        values_GTD = self.standardise(group.values_GTD).mul_(group.mask_GT[..., None])
        counts_G1 = group.mask_GT.sum(1, keepdim=True).clamp(min=1)
        means_GD = values_GTD[:, 0] if values_GTD.shape[1] == 1 else values_GTD.sum(1) / counts_G1
        return self._pool(values_GTD, means_GD, group), means_GD

    @abstractmethod
    def _pool(self, values_GTD: Tensor, means_GD: Tensor, group: SequenceGroup) -> Tensor:
        """(G, width) from the standardised frames, 0 where masked, and their means."""


class RidgeReader(FrameReader):
    """What a ridge regression predicts from an utterance, in every dimension of the representation.

    For a modality that is read alone (`model.experts`): the score then goes on in a straight line where a network,
    which has seen how well the regression fits its own train rows, makes it flat.
    """

    def __init__(self, standardise: nn.Module, input_dim: int, width: int) -> None:
        super().__init__(standardise, input_dim, width, Readout(input_dim))

    def _pool(self, values_GTD: Tensor, means_GD: Tensor, group: SequenceGroup) -> Tensor:  # noqa: ARG002
        assert self.readout is not None
        return self.readout.predict(means_GD).expand(-1, self.width)


class SequenceEncoder(FrameReader):
    """An MLP by frame and attention pooling over real frames.

    With sequences a gated recurrent unit runs between the two; with single vectors what is left is the plain MLP.

    Args:
        standardise, input_dim, width, readout: as of `FrameReader`.
        dropout: on the input, unless one number of it is read, and within.
        recurrent: False where each utterance is one vector.
    """

    def __init__(
        self,
        standardise: nn.Module,
        input_dim: int,
        width: int,
        dropout: float,
        recurrent: bool,
        readout: Readout | None = None,
    ) -> None:
        super().__init__(standardise, input_dim, width, readout)
        given, first = (input_dim, dropout) if readout is None else (1, 0.0)
        self.frame = nn.Sequential(Dropout(first), nn.Linear(given, width), nn.GELU(), Dropout(dropout))
        self.recurrent = nn.GRU(width, width // 2, batch_first=True, bidirectional=True) if recurrent else None
        self.attention = nn.Linear(width, 1)

    def _pool(self, values_GTD: Tensor, means_GD: Tensor, group: SequenceGroup) -> Tensor:  # noqa: ARG002
        states_GTD = self.frame(values_GTD if self.readout is None else self.readout(values_GTD))
        if self.recurrent is not None:
            states_GTD = states_GTD + self._run(states_GTD, group.mask_GT)
        if states_GTD.shape[1] == 1:
            return states_GTD[:, 0]  # type: ignore[no-any-return]
        scores_GT = self.attention(states_GTD).squeeze(-1).masked_fill(~group.mask_GT, -1e9)
        return torch.einsum("gt,gtd->gd", scores_GT.softmax(dim=1), states_GTD)

    def _run(self, states_GTD: Tensor, mask_GT: Tensor) -> Tensor:
        """The recurrent pass over real frames alone: they are moved to the front, and the result moved back."""
        assert self.recurrent is not None
        order_GT = torch.argsort((~mask_GT).long(), dim=1, stable=True)
        front_GTD = states_GTD.gather(1, order_GT[..., None].expand_as(states_GTD))
        lengths = mask_GT.sum(1).clamp(min=1).cpu()
        packed = nn.utils.rnn.pack_padded_sequence(front_GTD, lengths, batch_first=True, enforce_sorted=False)
        output_GTD, _ = nn.utils.rnn.pad_packed_sequence(
            self.recurrent(packed)[0], batch_first=True, total_length=states_GTD.shape[1]
        )
        back_GT = torch.argsort(order_GT, dim=1)
        return output_GTD.gather(1, back_GT[..., None].expand_as(output_GTD))


class ModalityEncoder(nn.Module):
    """One modality of the method: reads the inputs, projects to the common width, and adds the known noise.

    Args:
        reader: of frames or vectors, or a TokenEncoder for text that is trained.
        read_dim: what the reader gives.
        width: D of the representation.
        dropout: on what the reader gives.
        noise: learned, fixed or none.
        noise_start: its standard deviation before training.
    """

    def __init__(
        self,
        reader: FrameReader | TokenEncoder,
        read_dim: int,
        width: int,
        dropout: float,
        noise: str = "learned",
        noise_start: float = 0.5,
    ) -> None:
        super().__init__()
        self.reader = reader
        self.project: nn.Module
        if isinstance(reader, TokenEncoder):
            self.project = nn.Sequential(
                nn.LayerNorm(read_dim), Dropout(dropout), nn.Linear(read_dim, width), nn.GELU(), Dropout(dropout)
            )
        else:
            self.project = nn.Identity()
        self.mean: nn.Module
        if isinstance(reader, RidgeReader):
            self.mean = nn.Identity()
        else:
            self.mean = nn.Sequential(nn.Linear(width, width), nn.LayerNorm(width, elementwise_affine=False))
        self.noise = Noise(width, noise_start, noise == "learned") if noise != "none" else None

    def forward(self, inputs: Inputs, present_N: Tensor) -> Representation:
        """The representation, its sample being its mean until noise is drawn."""
        if isinstance(self.reader, TokenEncoder):
            read = self.reader(inputs, len(present_N))
            constant = inputs.frozen_ND if inputs.frozen_ND is not None else read.detach()
        else:
            read, constant = self.reader(inputs, len(present_N))
        mean_ND = self.mean(self.project(read))
        noise_D = self.noise() if self.noise is not None else None
        return Representation(mean_ND, mean_ND, noise_D, present_N, constant)
