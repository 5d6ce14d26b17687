"""How utterances become the token sequences that a text encoder reads: each alone, or consecutive ones together.

Read together, every token attends to the neighbouring utterances inside the encoder itself, at no more passes than
before; each utterance is then the mean over its own tokens.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mmmie.corpus.batching import TokenGroup, groups_of_similar_length
from mmmie.corpus.store import Ints

MAX_TOKEN_GROUPS = 12
"""The passages of a batch are padded within at most this many groups."""
TOKEN_GROUP_COST = 8
"""One more group of passages costs as much as this many tokens: attention alone goes from group to group."""
LENGTH_STEP = 4
"""Passages are padded to multiples of this: kernels are compiled for each new shape, so a few shapes are cheaper."""
TOKENS_AT_ONCE = 1024
"""Padded tokens of one pass where nothing learns: more are no faster, and all layers of more would stay in memory."""


@dataclass(frozen=True)
class Passage:
    """One token sequence: `[CLS] utterance [SEP]`, or `[CLS] utterance [SEP] utterance [SEP] ...`."""

    rows: tuple[int, ...]
    ids: tuple[int, ...]
    owners: tuple[int, ...]
    """For each token the row it belongs to; -1 for special tokens."""

    def keys(self) -> list[bytes]:
        """One key for each row: equal keys mean equal encoder states. A row's states depend on the whole passage."""
        ids = np.array(self.ids, dtype=np.int32).tobytes()
        return [
            hashlib.sha256(ids + position.to_bytes(4, "little")).digest()[:16] for position in range(len(self.rows))
        ]


def read(
    token_ids: Sequence[Sequence[int]], rows: Ints, videos: Ints, passage_tokens: int, cls_id: int, sep_id: int
) -> list[Passage]:
    """The passages of some rows.

    Args:
        token_ids: of every row of the part, without special tokens.
        rows: ascending rows of the part that have text.
        videos: their video codes.
        passage_tokens: 0 reads each row alone. Else stretches of consecutive rows of one video are cut into equal
            passages of at most this many tokens (a longer single utterance stays whole).
        cls_id, sep_id: the encoder's special tokens.
    """
    if passage_tokens == 0:
        return [_passage([int(row)], token_ids, cls_id, sep_id) for row in rows]
    found: list[Passage] = []
    breaks = np.flatnonzero((np.diff(rows) != 1) | (np.diff(videos) != 0)) + 1
    for stretch in np.split(rows, breaks):
        costs = np.array([len(token_ids[row]) + 1 for row in stretch])
        for piece in _equal_pieces(costs, passage_tokens):
            found.append(_passage([int(row) for row in stretch[piece]], token_ids, cls_id, sep_id))
    return found


def _equal_pieces(costs: Ints, passage_tokens: int) -> list[Ints]:
    """Positions cut into the fewest pieces of similar cost that fit, [CLS] included."""
    middles = np.cumsum(costs) - costs / 2
    number = max(1, -(-int(costs.sum() + 1) // passage_tokens))
    while True:
        piece_of = np.minimum((middles * number / costs.sum()).astype(int), number - 1)
        sizes, members = np.bincount(piece_of, costs), np.bincount(piece_of)
        if not ((sizes + 1 > passage_tokens) & (members > 1)).any():
            return [np.flatnonzero(piece_of == piece) for piece in np.flatnonzero(members)]
        number += 1


def _passage(rows: list[int], token_ids: Sequence[Sequence[int]], cls_id: int, sep_id: int) -> Passage:
    ids, owners = [cls_id], [-1]
    for row in rows:
        ids += [*token_ids[row], sep_id]
        owners += [row] * len(token_ids[row]) + [-1]
    return Passage(tuple(rows), tuple(ids), tuple(owners))


def token_groups(passages: Sequence[Passage], pad_id: int, max_tokens: int) -> tuple[TokenGroup, ...]:
    """Passages padded within groups of similar length (`padded_length`); owners are rows of the part."""
    lengths = np.array([padded_length(passage, max_tokens) for passage in passages])
    groups = groups_of_similar_length(lengths, MAX_TOKEN_GROUPS, TOKEN_GROUP_COST)
    return tuple(padded([passages[i] for i in members], pad_id, int(lengths[members[-1]])) for members in groups)


def padded_length(passage: Passage, max_tokens: int) -> int:
    """A passage's tokens, up to the next multiple of `LENGTH_STEP` where the encoder reads as many."""
    tokens = len(passage.ids)
    return max(tokens, min(-(-tokens // LENGTH_STEP) * LENGTH_STEP, max_tokens))


def padded(passages: Sequence[Passage], pad_id: int, longest: int = 0) -> TokenGroup:
    """Passages as one group, padded at the end to the longest of them, or to `longest` tokens where that is more."""
    longest = max(longest, *(len(passage.ids) for passage in passages))
    ids = np.full((len(passages), longest), pad_id, dtype=np.int64)
    owners = np.full((len(passages), longest), -1, dtype=np.int64)
    mask = np.zeros((len(passages), longest), dtype=np.bool_)
    for i, passage in enumerate(passages):
        ids[i, : len(passage.ids)] = passage.ids
        owners[i, : len(passage.ids)] = passage.owners
        mask[i, : len(passage.ids)] = True
    return TokenGroup(torch.from_numpy(ids), torch.from_numpy(mask), torch.from_numpy(owners))


def mean_over_owners(states_GTD: Tensor, owner_GT: Tensor, num_owners: int) -> tuple[Tensor, Tensor]:
    """Sums of token states by owner (num_owners, D) in float32, and token counts (num_owners,); -1 owns nothing."""
    width = states_GTD.shape[-1]
    # What nobody owns goes to one row more, which is cut off: cheaper than picking the owned tokens out.
    owner = torch.where(owner_GT < 0, num_owners, owner_GT).reshape(-1)
    sums = states_GTD.new_zeros(num_owners + 1, width, dtype=torch.float32)
    sums = sums.index_add(0, owner, states_GTD.reshape(-1, width).float())
    counts = sums.new_zeros(num_owners + 1).index_add(0, owner, sums.new_ones(len(owner)))
    return sums[:-1], counts[:-1]
