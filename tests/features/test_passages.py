"""Passages: which utterances an encoder reads together, and whose each token is."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmmie.features.passages import mean_over_owners, padded, read, token_groups

CLS, SEP, PAD = 101, 102, 0


def passages(lengths: list[int], limit: int, rows: list[int] | None = None, videos: list[int] | None = None):
    """Row i has tokens 1000 i, 1000 i + 1, ..."""
    ids = [[1000 * row + t for t in range(length)] for row, length in enumerate(lengths)]
    chosen = np.arange(len(lengths)) if rows is None else np.array(rows)
    codes = np.zeros(len(chosen), dtype=np.int64) if videos is None else np.array(videos)
    return read(ids, chosen, codes, limit, CLS, SEP)


def test_each_alone() -> None:
    first, second = passages([2, 1], 0)
    assert first.ids == (CLS, 0, 1, SEP)
    assert first.owners == (-1, 0, 0, -1)
    assert first.rows == (0,)
    assert second.ids == (CLS, 1000, SEP)


def test_together() -> None:
    (passage,) = passages([2, 1, 1], 64)
    assert passage.ids == (CLS, 0, 1, SEP, 1000, SEP, 2000, SEP)
    assert passage.owners == (-1, 0, 0, -1, 1, -1, 2, -1)
    assert passage.rows == (0, 1, 2)


def test_passages_end_with_the_video() -> None:
    assert [p.rows for p in passages([1, 1, 1, 1], 64, videos=[0, 0, 1, 1])] == [(0, 1), (2, 3)]


def test_absent_text_between_ends_a_passage() -> None:
    assert [p.rows for p in passages([1, 1, 1, 1], 64, rows=[0, 1, 3])] == [(0, 1), (3,)]


def test_a_long_video_is_cut_into_equal_passages() -> None:
    assert [len(p.ids) for p in passages([9] * 10, 64)] == [51, 51]


def test_a_too_long_utterance_stays_whole_and_alone_if_it_must() -> None:
    found = passages([3, 100, 3], 20)
    assert [p.rows for p in found] == [(0,), (1,), (2,)]
    assert len(found[1].ids) == 102


def test_nothing_but_one_utterance() -> None:
    assert [p.rows for p in passages([5], 8)] == [(0,)]


@given(
    lengths=st.lists(st.integers(1, 60), min_size=1, max_size=40),
    limit=st.integers(8, 100),
    absent=st.sets(st.integers(0, 39)),
    split=st.integers(0, 40),
)
@settings(max_examples=200, deadline=None)
def test_every_row_once_within_the_limit(lengths: list[int], limit: int, absent: set[int], split: int) -> None:
    rows = [row for row in range(len(lengths)) if row not in absent]
    if not rows:
        return
    found = passages(lengths, limit, rows, [int(row >= split) for row in rows])
    assert [row for passage in found for row in passage.rows] == rows
    for passage in found:
        assert len(passage.ids) <= limit or len(passage.rows) == 1, "only an utterance that is too long itself exceeds"
        assert list(passage.rows) == list(range(passage.rows[0], passage.rows[-1] + 1))
        assert passage.rows[-1] < split or passage.rows[0] >= split
        for row in passage.rows:
            assert [i for i, owner in zip(passage.ids, passage.owners, strict=True) if owner == row] == [
                1000 * row + t for t in range(lengths[row])
            ]
        assert sum(owner == -1 for owner in passage.owners) == 1 + len(passage.rows)


def test_keys_depend_on_all_that_is_read_and_on_the_place() -> None:
    (together,) = passages([2, 1], 64)
    alone, _ = passages([2, 1], 0)
    assert len({*together.keys(), *alone.keys()}) == 3
    assert len(set(together.keys())) == 2
    assert together.keys() == passages([2, 1], 64)[0].keys()
    # the rows' numbers say nothing: the same words elsewhere have the same states
    ids = [[7, 8], [7, 8]]
    one, other = read(ids, np.arange(2), np.zeros(2, np.int64), 0, CLS, SEP)
    assert one.keys() == other.keys()


def test_padding() -> None:
    group = padded(passages([2, 1], 0), PAD)
    assert group.inputs_GT.tolist() == [[CLS, 0, 1, SEP], [CLS, 1000, SEP, PAD]]
    assert group.mask_GT.tolist() == [[True] * 4, [True, True, True, False]]
    assert group.owner_GT.tolist() == [[-1, 0, 0, -1], [-1, 1, -1, -1]]


def test_groups_hold_each_passage_once() -> None:
    lengths = [1, 30, 2, 31, 90]
    groups = token_groups(passages(lengths, 0), PAD, 512)
    owners = torch.cat([group.owner_GT.flatten() for group in groups])
    assert [int((owners == row).sum()) for row in range(5)] == lengths
    assert [group.mask_GT.shape for group in groups] == [(2, 4), (2, 36), (1, 92)], "few shapes, little padding"


def test_padding_stays_within_what_the_encoder_reads() -> None:
    groups = token_groups(passages([1, 91], 0), PAD, 94)
    assert [group.mask_GT.shape[1] for group in groups] == [4, 94]


def test_the_mean_over_owners() -> None:
    states = torch.arange(12.0).reshape(1, 6, 2)
    sums, counts = mean_over_owners(states, torch.tensor([[-1, 0, 0, 2, -1, -1]]), 3)
    assert sums.tolist() == [[2 + 4, 3 + 5], [0, 0], [6, 7]]
    assert counts.tolist() == [2, 0, 1]
