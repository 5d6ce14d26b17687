"""The text of a part as a source of batches, at the three depths of training."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mmmie.corpus.batching import Inputs, SequenceGroup, Source, TokenGroup, groups_of_similar_length
from mmmie.corpus.store import Bools, Ints, Part
from mmmie.errors import RecipeError
from mmmie.features.passages import MAX_TOKEN_GROUPS, TOKEN_GROUP_COST, Passage, read, token_groups
from mmmie.features.text import TextEncoder
from mmmie.features.text_states import Progress, StateStore
from mmmie.settings import TextSettings


@dataclass(frozen=True)
class FrozenText:
    """One stored vector an utterance: the means of all hidden layers of an encoder that is not trained."""

    means_ND: Tensor
    """(N, layers * width) float16, 0 where there is no text."""
    present: Bools

    def collate(self, rows: Ints, videos: Ints) -> Inputs:  # noqa: ARG002
        values_NTD = self.means_ND.index_select(0, torch.from_numpy(rows)).float()[:, None]
        mask_NT = torch.from_numpy(self.present[rows])[:, None]
        return Inputs(groups=(SequenceGroup(torch.arange(len(rows)), values_NTD, mask_NT),))


@dataclass(frozen=True)
class TrainedText:
    """Token ids for an encoder that is trained whole."""

    token_ids: list[list[int]]
    present: Bools
    passage_tokens: int
    cls_id: int
    sep_id: int
    pad_id: int
    max_tokens: int
    """The longest sequence that the encoder reads."""
    means_ND: Tensor | None = None
    """(N, layers * width) float16: the untrained encoder's means, for terms that need a constant input."""

    def collate(self, rows: Ints, videos: Ints) -> Inputs:
        real = self.present[rows]
        passages = read(self.token_ids, rows[real], videos[real], self.passage_tokens, self.cls_id, self.sep_id)
        groups = token_groups(passages, self.pad_id, self.max_tokens) if passages else ()
        return Inputs(tokens=tuple(_owned_by(rows, group) for group in groups), frozen_ND=_take(self.means_ND, rows))


@dataclass(frozen=True)
class TopText:
    """Stored token states for an encoder whose top layers are trained."""

    states: dict[int, Tensor]
    """By row (T, width) bfloat16: the layer below the trained ones, special tokens included."""
    present: Bools
    means_ND: Tensor

    def collate(self, rows: Ints, videos: Ints) -> Inputs:  # noqa: ARG002
        members = [(place, self.states[int(row)]) for place, row in enumerate(rows) if self.present[row]]
        lengths = np.array([len(states) for _, states in members], dtype=np.int64)
        groups = []
        for positions in groups_of_similar_length(lengths, MAX_TOKEN_GROUPS, TOKEN_GROUP_COST) if members else []:
            longest = int(lengths[positions].max())
            width = members[0][1].shape[1]
            inputs = torch.zeros(len(positions), longest, width)
            mask = torch.zeros(len(positions), longest, dtype=torch.bool)
            owner = torch.full((len(positions), longest), -1)
            for i, position in enumerate(positions):
                place, states = members[position]
                inputs[i, : len(states)] = states
                mask[i, : len(states)] = True
                owner[i, 1 : len(states) - 1] = place
            groups.append(TokenGroup(inputs, mask, owner))
        return Inputs(tokens=tuple(groups), frozen_ND=_take(self.means_ND, rows))


def text_source(
    part: Part,
    settings: TextSettings,
    precision: str,
    *,
    frozen_too: bool = False,
    progress: Progress | None = None,
) -> Source:
    """The text of a part as a recipe wants it read; what a frozen encoder can tell is stored beside the corpus.

    Args:
        frozen_too: give `frozen_ND` even where the encoder is trained whole.
        progress: called while the encoder computes what is not stored yet.

    Raises:
        FeatureError: the encoder cannot be found or loaded.
        RecipeError: sequences longer than the encoder reads, or top layers to be trained on passages, or more of them
            than there are.
    """
    encoder = TextEncoder.find(settings)
    longest = max(settings.max_tokens + 2, settings.passage_tokens)
    if longest > encoder.max_positions:
        raise RecipeError(
            f"text.max_tokens = {settings.max_tokens} and text.passage_tokens = {settings.passage_tokens} make "
            f"sequences of {longest} tokens with the special ones, but {encoder.name} reads at most "
            f"{encoder.max_positions}"
        )
    present = np.array([text is not None for text in part.texts], dtype=np.bool_)
    token_ids = encoder.token_ids([text or "" for text in part.texts])
    tokenizer = encoder.tokenizer
    rows = np.flatnonzero(present)
    cls_id, sep_id = int(tokenizer.cls_token_id), int(tokenizer.sep_token_id)
    store = StateStore(_folder(part) / encoder.fingerprint, encoder)

    def passages() -> list[Passage]:
        return read(token_ids, rows, part.video_codes[rows], settings.passage_tokens, cls_id, sep_id)

    def means() -> Tensor:
        found = passages()
        all_ND = torch.zeros(len(part), encoder.num_states * encoder.width, dtype=torch.float16)
        if found:
            order = [row for passage in found for row in passage.rows]
            all_ND[order] = store.means(found, precision, progress)
        return all_ND

    if settings.depth == "frozen":
        return FrozenText(means(), present)
    if settings.depth == "full":
        constant = means() if frozen_too else None
        pad_id = int(tokenizer.pad_token_id or 0)
        return TrainedText(
            token_ids, present, settings.passage_tokens, cls_id, sep_id, pad_id, encoder.max_positions, constant
        )
    if settings.passage_tokens:
        raise RecipeError(
            "text.depth = 'top' stores the states of single utterances: set text.passage_tokens = 0, "
            "or text.depth = 'full'"
        )
    layer = encoder.num_states - 1 - settings.top_layers
    if layer < 0:
        raise RecipeError(
            f"text.top_layers = {settings.top_layers}, but {encoder.name} has {encoder.num_states - 1} layers"
        )
    states = store.token_states(passages(), layer, precision, progress)
    return TopText(dict(zip(rows.tolist(), states, strict=True)), present, means())


def _folder(part: Part) -> Path:
    return part.corpus.path / "text"


def _take(means_ND: Tensor | None, rows: Ints) -> Tensor | None:
    return None if means_ND is None else means_ND[rows].float()


def _owned_by(rows: Ints, group: TokenGroup) -> TokenGroup:
    """The same group with owners as positions among `rows`."""
    owner = group.owner_GT.numpy()
    place = np.where(owner >= 0, np.searchsorted(rows, np.maximum(owner, 0)), -1)
    return TokenGroup(group.inputs_GT, group.mask_GT, torch.from_numpy(place))
