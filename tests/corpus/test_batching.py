"""Batches: every distinct utterance once, windows that stay inside their video, and shares that lose nothing."""

from dataclasses import dataclass
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mmmie.corpus.batching import (
    GROUP_COST,
    MAX_GROUPS,
    Batch,
    Batcher,
    FrameSource,
    SequenceGroup,
    groups_of_similar_length,
)
from mmmie.corpus.schema import CorpusInfo, FeatureInfo, Utterance
from mmmie.corpus.store import Corpus, Part
from mmmie.corpus.writer import CorpusWriter, Frames
from tiny_corpora import AUDIO_DIM, write_corpus


@dataclass(frozen=True)
class Rows:
    """The part of a Part that batches are made of, without a corpus."""

    video_codes: NDArray[np.int64]
    speaker_codes: NDArray[np.int64]
    labels: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.video_codes)


def rows_of(lengths: list[int], speakers: list[int] | None = None) -> Rows:
    videos = np.repeat(np.arange(len(lengths)), lengths)
    codes = np.array(speakers) if speakers is not None else np.full(len(videos), -1)
    return Rows(videos, codes, np.arange(len(videos), dtype=np.float32) / 10)


def batcher(lengths: list[int], context: int = 2, speakers: list[int] | None = None) -> Batcher:
    return Batcher(rows_of(lengths, speakers), {}, context)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def part(tmp_path_factory: pytest.TempPathFactory) -> Part:
    return write_corpus(tmp_path_factory.mktemp("corpora") / "tiny.corpus").training().train


def test_a_window_worked_by_hand() -> None:
    batch = batcher([3, 4], context=2, speakers=[0, 1, 0, -1, 2, 2, 1]).batch(np.array([0, 4]))
    assert batch.rows_N.tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert batch.window_BU.tolist() == [[-1, -1, 0, 1, 2], [-1, 3, 4, 5, 6]]
    assert batch.role_BU.tolist() == [[0, 1, 2, 3, 4]] * 2
    assert batch.same_speaker_BU.tolist() == [[0, 0, 2, 1, 2], [0, 0, 2, 2, 1]]
    assert batch.video_N.tolist() == [0, 0, 0, 1, 1, 1, 1]
    assert batch.label_B.tolist() == pytest.approx([0.0, 0.4])
    assert batch.target_B.tolist() == [0, 4]


def test_an_unknown_speaker_is_the_same_as_nobody() -> None:
    batch = batcher([3], context=1, speakers=[0, -1, 0]).batch(np.array([1]))
    assert batch.same_speaker_BU.tolist() == [[0, 0, 0]], "not even as itself: the corpus does not know who speaks"


def test_one_target_and_no_context() -> None:
    batch = batcher([1, 2], context=0).batch(np.array([0]))
    assert batch.rows_N.tolist() == [0]
    assert batch.window_BU.tolist() == [[0]]
    assert batch.role_BU.tolist() == [[0]]


def test_neighbours_are_shared_and_not_repeated() -> None:
    batch = batcher([5], context=2).batch(np.arange(5))
    assert batch.rows_N.tolist() == [0, 1, 2, 3, 4]


@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=6),
    context=st.integers(0, 3),
    processes=st.integers(1, 4),
    data=st.data(),
)
@settings(max_examples=80, deadline=None)
def test_every_batch(lengths: list[int], context: int, processes: int, data: st.DataObject) -> None:
    maker = batcher(lengths, context)
    videos = maker.part.video_codes
    targets = np.array(
        data.draw(st.lists(st.integers(0, len(maker) - 1), min_size=1, max_size=len(maker), unique=True))
    )
    batches = [maker.batch(targets, rank=rank, processes=processes) for rank in range(processes)]
    batch = batches[0]
    rows = batch.rows_N.numpy()
    assert (np.diff(rows) > 0).all(), "distinct and ascending"
    offsets = np.arange(-context, context + 1)
    for target, window in zip(targets, batch.window_BU.numpy(), strict=True):
        for offset, place in zip(offsets, window, strict=True):
            wanted = target + offset
            inside = 0 <= wanted < len(videos) and videos[wanted] == videos[target]
            assert (rows[place] if place >= 0 else -1) == (wanted if inside else -1)
    used = batch.window_BU[batch.window_BU >= 0]
    assert set(used.tolist()) == set(range(len(rows))), "nothing is encoded that no window reads"
    for other in batches[1:]:
        assert torch.equal(other.rows_N, batch.rows_N)
        assert torch.equal(other.window_BU, batch.window_BU)
    _check_shares(batch, processes)


def _check_shares(batch: Batch, processes: int) -> None:
    shares = [share.tolist() for share in batch.shares]
    assert len(shares) == processes
    assert sorted(position for share in shares for position in share) == list(range(len(batch.rows_N)))
    rows, videos = batch.rows_N.numpy(), batch.video_N.numpy()
    owner = {position: rank for rank, share in enumerate(shares) for position in share}
    for left in range(len(rows) - 1):
        if rows[left + 1] == rows[left] + 1 and videos[left + 1] == videos[left]:
            assert owner[left] == owner[left + 1], "a stretch of one video is read by one process"


def test_shares_are_of_similar_size() -> None:
    batch = batcher([3] * 40, context=1).batch(np.arange(120), processes=4)
    assert [len(share) for share in batch.shares] == [30, 30, 30, 30]


@given(lengths=st.lists(st.integers(1, 8), min_size=1, max_size=6), seed=st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_permuting_the_targets_permutes_the_windows(lengths: list[int], seed: int) -> None:
    maker = batcher(lengths, 2, speakers=[i % 3 - 1 for i in range(sum(lengths))])
    order = np.random.default_rng(seed).permutation(len(maker))
    plain, permuted = maker.batch(np.arange(len(maker))), maker.batch(order)
    for name in ("window_BU", "role_BU", "same_speaker_BU", "label_B"):
        assert torch.equal(getattr(permuted, name), getattr(plain, name)[order]), name
    assert torch.equal(permuted.rows_N, plain.rows_N)


def test_shuffled_roles_are_each_role_once_and_differ_between_windows() -> None:
    maker = batcher([40], context=2)
    batch = maker.batch(np.arange(40), np.random.default_rng(0))
    assert torch.equal(batch.role_BU.sort(1).values, torch.arange(5).expand(40, 5))
    assert len({tuple(row) for row in batch.role_BU.tolist()}) > 10
    assert torch.equal(batch.window_BU, maker.batch(np.arange(40)).window_BU), "who is in the window is not shuffled"


@given(lengths=st.lists(st.integers(0, 300), min_size=1, max_size=60), most=st.integers(1, 6))
@settings(max_examples=100, deadline=None)
def test_groups_of_similar_length_hold_each_row_once(lengths: list[int], most: int) -> None:
    groups = groups_of_similar_length(np.array(lengths), most)
    assert 1 <= len(groups) <= most
    assert sorted(np.concatenate(groups).tolist()) == list(range(len(lengths)))
    longest = [max(lengths[i] for i in group) for group in groups]
    assert longest == sorted(longest)


@given(lengths=st.lists(st.integers(0, 60), min_size=1, max_size=7), most=st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_no_other_cuts_cost_less(lengths: list[int], most: int) -> None:
    ordered = sorted(lengths)

    def cost(pieces: list[list[int]]) -> int:
        return sum(GROUP_COST + len(piece) * piece[-1] for piece in pieces)

    places = range(1, len(ordered))
    every = [cuts for number in range(min(most, len(ordered))) for cuts in combinations(places, number)]
    least = min(cost([ordered[a:b] for a, b in pairwise((0, *cuts, len(ordered)))]) for cuts in every)
    found = [[lengths[i] for i in group] for group in groups_of_similar_length(np.array(lengths), most)]
    assert cost(found) == least


def test_groups_save_padding() -> None:
    lengths = np.array([1, 2, 3, 100] * 8)
    padded = sum(len(group) * lengths[group].max() for group in groups_of_similar_length(lengths))
    assert padded < 0.4 * len(lengths) * 100
    assert len(groups_of_similar_length(np.full(32, 7))) == 1, "nothing is gained by splitting equal lengths"


def test_no_rows_are_no_groups() -> None:
    assert groups_of_similar_length(np.array([], dtype=np.int64)) == []


@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=8),
    size=st.integers(1, 20),
    run=st.integers(1, 5),
    seed=st.integers(0, 9),
)
@settings(max_examples=80, deadline=None)
def test_an_epoch_holds_every_target_once(lengths: list[int], size: int, run: int, seed: int) -> None:
    maker = batcher(lengths)
    epoch = maker.shuffled(size, run, np.random.default_rng(seed))
    assert sorted(np.concatenate(epoch).tolist()) == list(range(len(maker)))
    assert max(map(len, epoch)) <= max(1.5 * size, 1)
    if len(maker) >= size:
        assert min(map(len, epoch)) >= size / 2 or len(epoch) == 1, "no crumbs"
    again = maker.shuffled(size, run, np.random.default_rng(seed))
    assert [targets.tolist() for targets in epoch] == [targets.tolist() for targets in again]
    in_order = list(maker.in_order(size))
    assert np.concatenate(in_order).tolist() == list(range(len(maker)))
    assert max(map(len, in_order)) <= size


def test_epochs_differ_and_runs_stay_together() -> None:
    maker = batcher([12] * 6)
    chance = np.random.default_rng(0)
    first, second = (np.concatenate(maker.shuffled(16, 4, chance)) for _ in range(2))
    assert first.tolist() != second.tolist()
    neighbours = np.mean(np.diff(first) == 1)
    assert neighbours > 0.6, "three of four targets follow their neighbour"
    assert np.mean(np.diff(np.concatenate(maker.shuffled(16, 1, chance))) == 1) < 0.2


def test_longer_runs_cost_fewer_passes() -> None:
    maker = batcher([30] * 10)
    costs = [
        sum(len(maker.batch(t).rows_N) for t in maker.shuffled(32, run, np.random.default_rng(0))) for run in (1, 8)
    ]
    assert costs[1] < 0.6 * costs[0]


def test_frames_of_a_batch_are_those_of_the_corpus(part: Part) -> None:
    source = FrameSource(part.features["audio"])
    batch = Batcher(part, {"audio": source}, 1).batch(np.array([0, 7, 14, 2]))
    inputs = batch.inputs["audio"]
    assert len(inputs.groups) <= MAX_GROUPS
    seen = []
    for group in inputs.groups:
        for place, values, mask in zip(group.rows_G.tolist(), group.values_GTD, group.mask_GT, strict=True):
            row = int(batch.rows_N[place])
            frames, real = part.features["audio"][row]
            assert mask[: len(real)].tolist() == real.tolist()
            assert not mask[len(real) :].any()
            np.testing.assert_array_equal(values[mask].numpy(), frames[real])
            assert not values[~mask].any(), "masked and padded frames are 0, and never NaN"
            seen.append(place)
            assert bool(batch.present["audio"][place]) == bool(real.any())
    assert sorted(seen) == list(range(len(batch.rows_N)))
    assert not batch.present["audio"].all(), "the corpus has holes, and this batch one of them"


def test_modalities_come_in_one_order(part: Part) -> None:
    sources = {name: FrameSource(part.features[name]) for name in ("vision", "audio")}
    assert list(Batcher(part, sources, 0).batch(np.array([0])).inputs) == ["audio", "vision"]


def test_a_process_without_utterances_has_no_inputs(part: Part) -> None:
    sources = {name: FrameSource(part.features[name]) for name in ("audio", "vision")}
    maker = Batcher(part, sources, 1)
    batches = [maker.batch(np.array([1]), rank=rank, processes=3) for rank in range(3)]
    sizes = [len(batch.shares[rank]) for rank, batch in enumerate(batches)]
    assert sorted(sizes) == [0, 0, 3]
    for size, batch in zip(sizes, batches, strict=True):
        for inputs in batch.inputs.values():
            assert sum(len(group.rows_G) for group in inputs.groups) == size


def test_each_process_holds_its_own_share(part: Part) -> None:
    maker = Batcher(part, {"audio": FrameSource(part.features["audio"])}, 1)
    targets = np.arange(0, 60, 4)
    whole = _by_row(maker.batch(targets), 0)
    halves = [_by_row(maker.batch(targets, rank=rank, processes=2), rank) for rank in range(2)]
    assert halves[0].keys().isdisjoint(halves[1])
    assert {**halves[0], **halves[1]} == whole


def _by_row(batch: Batch, rank: int) -> dict[int, list[float]]:
    mine = batch.rows_N[batch.shares[rank]].tolist()
    return {
        mine[place]: values[mask].flatten().tolist()
        for group in batch.inputs["audio"].groups
        for place, values, mask in zip(group.rows_G.tolist(), group.values_GTD, group.mask_GT, strict=True)
    }


def test_single_vectors_and_one_frame(tmp_path: Path) -> None:
    info = CorpusInfo("one", features={"audio": FeatureInfo(AUDIO_DIM, "frames", "made")})
    with CorpusWriter(tmp_path / "one.corpus", info) as writer:
        for index in range(3):
            frames = None if index == 1 else Frames(np.full((1, AUDIO_DIM), float(index)))
            writer.add(Utterance("v", index, "train", 0.0), {"audio": frames})
    part = Corpus.open(tmp_path / "one.corpus").everything()
    batch = Batcher(part, {"audio": FrameSource(part.features["audio"])}, 1).batch(np.array([0]))
    (group,) = batch.inputs["audio"].groups
    assert group.values_GTD.shape == (2, 1, AUDIO_DIM)
    assert group.mask_GT.tolist() == [[True], [False]]
    assert batch.present["audio"].tolist() == [True, False]


def test_moving_keeps_everything(part: Part) -> None:
    sources = {name: FrameSource(part.features[name]) for name in ("audio", "vision")}
    batch = Batcher(part, sources, 1).batch(np.arange(4))
    moved = batch.to(torch.device("cpu"))
    assert torch.equal(moved.window_BU, batch.window_BU)
    assert all(isinstance(group, SequenceGroup) for group in moved.inputs["audio"].groups)
    assert torch.equal(moved.inputs["audio"].groups[0].values_GTD, batch.inputs["audio"].groups[0].values_GTD)
    assert [s.tolist() for s in moved.shares] == [s.tolist() for s in batch.shares]
