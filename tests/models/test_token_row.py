"""Groups of tokens in one row: the numbers and gradients of an encoder that reads one sequence after another."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mmmie.corpus.batching import TokenGroup
from mmmie.features.passages import padded
from mmmie.features.passages import read as read_passages
from mmmie.features.text import TextEncoder
from mmmie.models.token_row import ROW_STEP, TokenRow, read_rows
from mmmie.settings import TextSettings
from tiny_corpora import write_encoder

LENGTHS = [[3, 3], [7, 5, 2], [40]]
FIRST_QUERY = {
    "bert": "encoder.layer.0.attention.self.query.weight",
    "roberta": "encoder.layer.0.attention.self.query.weight",
    "mpnet": "encoder.layer.0.attention.attn.q.weight",
}


@pytest.fixture
def groups() -> list[TokenGroup]:
    """Sequences of some lengths without their special tokens; in the second group they are padded."""
    found = []
    for lengths in LENGTHS:
        ids = [[5 + (3 * row + t) % 12 for t in range(length)] for row, length in enumerate(lengths)]
        rows = np.arange(len(lengths))
        found.append(padded(read_passages(ids, rows, rows, 0, 0, 2), 1))
    return found


def network_of(folder: Path, kind: str) -> nn.Module:
    return TextEncoder.find(TextSettings(encoder=str(write_encoder(folder / kind, kind)))).load()


def read_in_row(network: nn.Module, groups: list[TokenGroup]) -> list[Tensor]:
    """The last hidden layer of each group, (G, T, D)."""
    first = read_rows(network)
    assert first is not None
    row = TokenRow.of(groups)
    states_RD = network(
        input_ids=row.inputs_R[None], position_ids=row.position_R[None] + first, bias_GHTT=row.bias_G11T
    ).last_hidden_state[0]
    sizes = [group.mask_GT.numel() for group in groups]
    parts = torch.split(states_RD[: sum(sizes)], sizes)
    return [part.unflatten(0, group.mask_GT.shape) for part, group in zip(parts, groups, strict=True)]


@pytest.mark.parametrize("kind", ["bert", "roberta", "mpnet"])
def test_every_token_and_gradient_is_that_of_its_sequence_alone(
    tmp_path: Path, kind: str, groups: list[TokenGroup]
) -> None:
    alone = network_of(tmp_path, kind)
    expected = []
    for group in groups:
        for ids_T, mask_T in zip(group.inputs_GT, group.mask_GT, strict=True):
            expected.append(alone(input_ids=ids_T[mask_T][None]).last_hidden_state[0])
    together = network_of(tmp_path, kind)
    states = read_in_row(together, groups)
    found = [
        states_TD[mask_T]
        for states_GTD, group in zip(states, groups, strict=True)
        for states_TD, mask_T in zip(states_GTD, group.mask_GT, strict=True)
    ]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    for states_of in (found, expected):
        torch.cat(list(states_of)).square().sum().backward()
    gradients = [
        {name: p.grad for name, p in network.named_parameters() if p.grad is not None} for network in (together, alone)
    ]
    assert FIRST_QUERY[kind] in gradients[0]
    torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-3)


def test_a_row_is_filled_up_and_filling_belongs_to_nobody(groups: list[TokenGroup]) -> None:
    row = TokenRow.of(groups)
    sizes = [group.mask_GT.numel() for group in groups]
    assert len(row.inputs_R) == len(row.position_R) == len(row.owner_R) == -(-sum(sizes) // ROW_STEP) * ROW_STEP
    assert (row.owner_R[sum(sizes) :] == -1).all()
    assert torch.equal(row.inputs_R[: sizes[0]], groups[0].inputs_GT.flatten())
    assert row.position_R[: sizes[0]].tolist() == [0, 1, 2, 3, 4] * 2


def test_stored_states_too_make_a_row() -> None:
    mask_GT = torch.tensor([[True, True], [True, False]])
    states_GTD = torch.arange(12.0).reshape(2, 2, 3)
    row = TokenRow.of([TokenGroup(states_GTD, mask_GT, torch.where(mask_GT, 0, -1))])
    assert row.inputs_R.shape == (ROW_STEP, 3)
    assert torch.equal(row.inputs_R[:4], states_GTD.reshape(4, 3))


def test_where_positions_begin(tmp_path: Path) -> None:
    assert read_rows(network_of(tmp_path, "bert")) == 0
    assert read_rows(network_of(tmp_path, "roberta")) == 2, "numbers positions from behind its padding id"
    assert read_rows(network_of(tmp_path, "mpnet")) == 2
    assert read_rows(nn.Linear(2, 2)) is None, "of another make"
