"""From rows of a part to batches: every distinct utterance once, and the windows as indices into them.

An utterance costs one pass through its encoders however many windows hold it (five at k = 2), and the
mutual-information terms see it once. Shapes: N distinct utterances, B targets, U = 2k + 1 places of a window, G members
of a group of similar length, T steps, D width.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from mmmie.corpus.schema import MODALITIES
from mmmie.corpus.store import Bools, Ints, Part, RaggedFeatures

MAX_GROUPS = 4
"""Sequences of a batch are padded within at most this many groups of similar length."""
GROUP_COST = 32
"""One more group costs as much as this many steps of one sequence: what padding is weighed against."""

READ_TOGETHER = 128
"""Utterances of a batch where nothing learns, the same in validation and whenever a run is read: passages of text are
cut within a batch, so that with another number an utterance has other neighbours."""


@dataclass(frozen=True)
class SequenceGroup:
    """Sequences of similar length, padded to the longest of them."""

    rows_G: Tensor
    """(G,) int64: which of the batch's N utterances each sequence is."""
    values_GTD: Tensor
    """(G, T, D) float32, 0 where masked."""
    mask_GT: Tensor
    """(G, T) bool, True is real."""


@dataclass(frozen=True)
class TokenGroup:
    """Token sequences of similar length, as a text encoder under training reads them.

    A sequence is one utterance, or a passage of consecutive utterances of one video.
    """

    inputs_GT: Tensor
    """(G, T) int64 token ids, or (G, T, D) stored states of the layer below the trained ones."""
    mask_GT: Tensor
    """(G, T) bool, True is real."""
    owner_GT: Tensor
    """(G, T) int64: which of the batch's N utterances the token belongs to; -1 for special and padding tokens."""

    def pieces(self, most_tokens: int) -> "Iterator[TokenGroup]":
        """The group in parts of at most `most_tokens` padded tokens; a longer sequence is a part of its own."""
        sequences, longest = self.mask_GT.shape
        number = -(-sequences // max(1, most_tokens // longest))
        parts = zip(*(x.chunk(number) for x in (self.inputs_GT, self.mask_GT, self.owner_GT)), strict=True)
        return (TokenGroup(*part) for part in parts)


@dataclass(frozen=True)
class Inputs:
    """One modality of a batch. `frozen_ND` is what does not change while encoders learn."""

    groups: tuple[SequenceGroup, ...] = ()
    tokens: tuple[TokenGroup, ...] = ()
    frozen_ND: Tensor | None = None
    """(N, D) text only: the means of the layers that are not trained."""


class Source(Protocol):
    """What a modality of a part must offer to be batched."""

    @property
    def present(self) -> Bools:
        """(N,) whether the utterance has the modality."""
        ...

    def collate(self, rows: Ints, videos: Ints) -> Inputs:
        """The inputs of `rows` (ascending rows of the part); `videos` are their video codes."""
        ...


@dataclass(frozen=True)
class Batch:
    """What a model reads; built alike from a corpus in training and from a video in analysis."""

    rows_N: Tensor
    """(N,) int64: the distinct utterances, as rows of the part, ascending."""
    video_N: Tensor
    """(N,) int64 video codes, for negatives within and across videos."""
    inputs: Mapping[str, Inputs]
    present: Mapping[str, Tensor]
    """By modality (N,) bool, of all N whoever encodes them."""
    window_BU: Tensor
    """(B, U) int64 into N; -1 where there is no neighbour."""
    role_BU: Tensor
    """(B, U) int64 in 0..U-1: the offset from the target, plus k."""
    same_speaker_BU: Tensor
    """(B, U) int64: 0 unknown, 1 another speaker, 2 the target's speaker."""
    label_B: Tensor
    """(B,) float32."""
    target_B: Tensor
    """(B,) int64: the targets, as rows of the part."""
    shares: tuple[Tensor, ...]
    """One for each process: the positions in N that it encodes. `inputs` holds those of this process."""

    def to(self, device: torch.device) -> "Batch":
        """The same batch on another device."""
        return _moved(self, device)


@dataclass(frozen=True)
class FrameSource:
    """Stored features of a modality as a source."""

    features: RaggedFeatures

    @cached_property
    def present(self) -> Bools:
        return self.features.present

    @cached_property
    def _vectors(self) -> tuple[Tensor, Tensor] | None:
        """All rows at once where each is a single vector."""
        if int(self.features.lengths.max(initial=0)) > 1:
            return None
        values, mask = self.features.gather(np.arange(len(self.features)))
        return torch.from_numpy(values), torch.from_numpy(mask)

    def collate(self, rows: Ints, videos: Ints) -> Inputs:  # noqa: ARG002
        if not len(rows):
            return Inputs()
        if self._vectors is not None:
            values, mask = self._vectors
            index = torch.from_numpy(rows)
            return Inputs(groups=(SequenceGroup(torch.arange(len(rows)), values[index], mask[index]),))
        groups = []
        for members in groups_of_similar_length(self.features.lengths[rows]):
            values_GTD, mask_GT = self.features.gather(rows[members])
            groups.append(
                SequenceGroup(torch.from_numpy(members), torch.from_numpy(values_GTD), torch.from_numpy(mask_GT))
            )
        return Inputs(groups=tuple(groups))


def groups_of_similar_length(lengths: Ints, most: int = MAX_GROUPS, group_cost: int = GROUP_COST) -> list[Ints]:
    """Positions by ascending length, in the groups whose padding to their longest, `group_cost` for each, is least.

    There are at most `most` groups. Found exactly: the best cuts before each position, one group more at a time.
    """
    if not len(lengths):
        return []
    order = np.argsort(lengths, kind="stable")
    ends = np.arange(len(order) + 1)
    sizes = ends - ends[:, None]
    longest = np.r_[0, lengths[order]]
    # [i, j]: the cost of one group from i up to j; an empty one is free, so that fewer groups may do.
    cost = np.where(sizes > 0, group_cost + sizes * longest, np.where(sizes == 0, 0, np.inf))
    least, cuts = cost[0], []
    for _ in range(most - 1):
        so_far = least[:, None] + cost
        cuts.append(so_far.argmin(0))
        least = so_far.min(0)
    end, groups = len(order), []
    for begin in reversed(cuts):
        groups.append(order[begin[end] : end])
        end = begin[end]
    groups.append(order[:end])
    return [group for group in reversed(groups) if len(group)]


class Batcher:
    """Makes batches of one part for one context width.

    Args:
        part: the rows.
        sources: by modality; the batch holds them in the order text, audio, vision.
        context: k, the neighbours on either side.
    """

    def __init__(self, part: Part, sources: Mapping[str, Source], context: int) -> None:
        self.part = part
        self.sources = {name: sources[name] for name in MODALITIES if name in sources}
        self.context = context
        self._windows = _windows(part.video_codes, context)
        self._speakers = part.speaker_codes

    def __len__(self) -> int:
        return len(self.part)

    def batch(
        self, targets: Ints, generator: np.random.Generator | None = None, rank: int = 0, processes: int = 1
    ) -> Batch:
        """The batch of some targets (rows of the part).

        Args:
            targets: distinct rows of the part.
            generator: given, it shuffles the roles of every window: a control.
            rank, processes: with several processes each encodes a share of the utterances; see `Batch.shares`.
        """
        window_rows = self._windows[targets]
        real = window_rows >= 0
        rows = np.unique(window_rows[real])
        window = np.where(real, np.searchsorted(rows, window_rows), -1)
        videos = self.part.video_codes[rows]
        shares = _shares(rows, videos, processes)
        mine = shares[rank]
        role = np.broadcast_to(np.arange(window.shape[1]), window.shape)
        if generator is not None:
            role = generator.permuted(role, axis=1)
        speakers = np.where(real, self._speakers[window_rows], -1)
        own = self._speakers[targets][:, None]
        same = np.where((speakers < 0) | (own < 0), 0, 1 + (speakers == own))
        return Batch(
            rows_N=torch.from_numpy(rows),
            video_N=torch.from_numpy(videos),
            inputs={name: source.collate(rows[mine], videos[mine]) for name, source in self.sources.items()},
            present={name: torch.from_numpy(source.present[rows]) for name, source in self.sources.items()},
            window_BU=torch.from_numpy(window),
            role_BU=torch.from_numpy(role.copy()),
            same_speaker_BU=torch.from_numpy(same),
            label_B=torch.from_numpy(self.part.labels[targets]),
            target_B=torch.from_numpy(targets),
            shares=tuple(torch.from_numpy(share) for share in shares),
        )

    def in_order(self, batch_utterances: int = READ_TOGETHER) -> Iterator[Ints]:
        """Targets in corpus order, whole videos as far as they fit: the cheapest way to see each row once."""
        batch: list[Ints] = []
        size = 0
        for run in _runs(self.part.video_codes, batch_utterances, offset=None):
            if batch and size + len(run) > batch_utterances:
                yield np.concatenate(batch)
                batch, size = [], 0
            batch.append(run)
            size += len(run)
        yield np.concatenate(batch)

    def shuffled(
        self, batch_utterances: int, run_length: int, generator: np.random.Generator, wanted: Bools | None = None
    ) -> list[Ints]:
        """One epoch of targets: runs of consecutive utterances in random order, `batch_utterances` to a batch.

        Each video is cut into runs at a random offset, so that runs differ from epoch to epoch. There are as many
        batches as bring their size nearest to `batch_utterances`, and their sizes differ by one at most: there is no
        small last batch. A run may so be shared out over two batches. `wanted` (N,) leaves out other rows.
        """
        runs = _runs(self.part.video_codes, run_length, offset=generator)
        rows = np.concatenate([runs[i] for i in generator.permutation(len(runs))])
        if wanted is not None:
            rows = rows[wanted[rows]]
        number = max(1, round(len(rows) / batch_utterances))
        return np.array_split(rows, number)


def _windows(videos: Ints, context: int) -> Ints:
    """(N, U) rows of each row's window; -1 outside the video."""
    offsets = np.arange(-context, context + 1)
    rows = np.arange(len(videos))[:, None] + offsets
    inside = (rows >= 0) & (rows < len(videos))
    inside &= videos[np.clip(rows, 0, len(videos) - 1)] == videos[:, None]
    return np.where(inside, rows, -1)


def _shares(rows: Ints, videos: Ints, processes: int) -> list[Ints]:
    """Positions for each process: whole stretches of consecutive rows of one video, in shares of similar size.

    Stretches stay whole, so that passages of text are the same however many processes there are.
    """
    if processes == 1:
        return [np.arange(len(rows))]
    stretch = np.cumsum(np.r_[0, (np.diff(rows) != 1) | (np.diff(videos) != 0)])
    sizes = np.bincount(stretch)
    share_of_stretch = np.minimum((np.cumsum(sizes) - sizes / 2) * processes // len(rows), processes - 1).astype(int)
    return [np.flatnonzero(share_of_stretch[stretch] == rank) for rank in range(processes)]


def _runs(videos: Ints, run_length: int, offset: np.random.Generator | None) -> list[Ints]:
    """Rows cut into runs of at most `run_length` consecutive ones of one video."""
    starts = np.flatnonzero(np.r_[True, videos[1:] != videos[:-1]])
    runs: list[Ints] = []
    for rows in np.split(np.arange(len(videos)), starts[1:]):
        first = int(offset.integers(run_length)) if offset is not None and run_length > 1 else 0
        cuts = np.arange(first or run_length, len(rows), run_length)
        runs += np.split(rows, cuts)
    return runs


def _moved(value: object, device: torch.device) -> "Batch":
    def move(item: object) -> object:
        if isinstance(item, Tensor):
            return item.to(device, non_blocking=True)
        if isinstance(item, Mapping):
            return {key: move(inner) for key, inner in item.items()}
        if isinstance(item, tuple):
            return tuple(move(inner) for inner in item)
        if hasattr(item, "__dataclass_fields__"):
            return type(item)(**{name: move(getattr(item, name)) for name in item.__dataclass_fields__})
        return item

    moved = move(value)
    assert isinstance(moved, Batch)
    return moved
