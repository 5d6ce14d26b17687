"""Stored text features: right, computed once, and never trusted when damaged."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from mmmie.errors import FeatureError
from mmmie.features import text_states
from mmmie.features.passages import Passage, read
from mmmie.features.text import TextEncoder
from mmmie.features.text_states import StateStore
from mmmie.settings import TextSettings
from tiny_corpora import FILLERS, GOOD

HALF = 2e-3
"""Relative rounding of what is stored in float16: 2^-11, on sums of cancelling values."""


def sentences(number: int, seed: int = 0) -> list[str]:
    chance = np.random.default_rng(seed)
    return [" ".join(chance.choice([*GOOD, *FILLERS], int(chance.integers(1, 12)))) for _ in range(number)]


def passages_of(encoder: TextEncoder, texts: list[str], limit: int = 0) -> list[Passage]:
    tokenizer, rows = encoder.tokenizer, np.arange(len(texts))
    return read(
        encoder.token_ids(texts),
        rows,
        np.zeros_like(rows),
        limit,
        tokenizer.cls_token_id,
        tokenizer.sep_token_id,
    )


@pytest.fixture
def found(encoder: Path) -> TextEncoder:
    return TextEncoder.find(TextSettings(encoder=str(encoder)))


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How often an encoder was loaded."""
    calls = []
    load = TextEncoder.load
    monkeypatch.setattr(TextEncoder, "load", lambda self: (calls.append(1), load(self))[1])
    return lambda: len(calls)


@pytest.mark.parametrize("limit", [0, 40])
def test_means_are_those_of_the_networks_hidden_states(found: TextEncoder, tmp_path: Path, limit: int) -> None:
    passages = passages_of(found, sentences(30), limit)
    means = StateStore(tmp_path, found).means(passages, "float32")
    network = found.load()
    by_hand = []
    for passage in passages:
        with torch.no_grad():
            output = network(input_ids=torch.tensor([passage.ids]), output_hidden_states=True)
        for row in passage.rows:
            own = torch.tensor(passage.owners) == row
            by_hand.append(torch.cat([layer[0, own].mean(0) for layer in output.hidden_states]))
    expected = torch.stack(by_hand)
    assert means.dtype == torch.float16
    assert means.shape == (30, 4 * 16)
    torch.testing.assert_close(means.float(), expected, rtol=HALF, atol=HALF * float(expected.abs().max()))


def test_layers_above_stored_states_give_the_networks_own(found: TextEncoder, tmp_path: Path) -> None:
    passages = passages_of(found, sentences(5))
    states = StateStore(tmp_path, found).token_states(passages, 1, "float32")
    network = found.load()
    for passage, stored in zip(passages, states, strict=True):
        with torch.no_grad():
            output = network(input_ids=torch.tensor([passage.ids]), output_hidden_states=True)
        assert stored.dtype == torch.bfloat16
        torch.testing.assert_close(stored.float(), output.hidden_states[1][0], rtol=2**-8, atol=1e-6)


def test_what_is_stored_is_not_computed_again(found: TextEncoder, tmp_path: Path, loads: Callable[[], int]) -> None:
    passages = passages_of(found, sentences(20))
    store = StateStore(tmp_path, found)
    first = store.means(passages, "float32")
    assert loads() == 1
    order = np.random.default_rng(1).permutation(20)
    again = StateStore(tmp_path, found).means([passages[i] for i in order], "float32")
    assert loads() == 1, "another split of the same sentences computes nothing"
    assert torch.equal(again, first[order])
    store.token_states(passages, 1, "float32")
    assert loads() == 2, "states of a layer are another kind"
    store.token_states(passages[:3], 1, "float32")
    assert loads() == 2


def test_only_what_is_missing_is_computed(found: TextEncoder, tmp_path: Path) -> None:
    texts = sentences(20)
    store = StateStore(tmp_path, found)
    store.means(passages_of(found, texts[:12]), "float32")
    seen: list[tuple[int, int]] = []
    store.means(passages_of(found, texts), "float32", lambda done, total: seen.append((done, total)))
    new = len({tuple(ids) for ids in found.token_ids(texts)} - {tuple(ids) for ids in found.token_ids(texts[:12])})
    assert seen[-1] == (new, new)


def test_repeated_sentences_are_computed_once(found: TextEncoder, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    texts = ["the film", "so", "the film", "THE FILM"]
    means = StateStore(tmp_path, found).means(
        passages_of(found, texts), "float32", lambda done, total: seen.append((done, total))
    )
    assert seen[-1] == (2, 2)
    assert torch.equal(means[0], means[2])
    assert torch.equal(means[0], means[3])
    assert not torch.equal(means[0], means[1])


def test_an_interrupted_computation_keeps_its_whole_shards(
    found: TextEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_states, "PASSAGES_PER_SHARD", 5)
    passages = passages_of(found, sentences(20))
    store = StateStore(tmp_path / "stopped", found)

    def stop_at(done: int, total: int) -> None:
        if done > 12:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.means(passages, "float32", stop_at)
    assert len(list((tmp_path / "stopped").iterdir())) == 2, "two whole shards, and nothing half-written"
    seen: list[tuple[int, int]] = []
    means = store.means(passages, "float32", lambda done, total: seen.append((done, total)))
    whole = StateStore(tmp_path / "whole", found).means(passages, "float32")
    torch.testing.assert_close(means, whole, rtol=HALF, atol=1e-3)
    distinct = len({p.ids for p in passages})
    assert seen[-1][1] == distinct - 10, "the ten of the whole shards were kept"


@pytest.mark.parametrize("kind", ["means", "states"])
@pytest.mark.parametrize("damage", ["truncated", "empty", "another file"])
def test_a_damaged_shard_is_refused_by_name_and_recomputed_once_deleted(
    found: TextEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str, kind: str
) -> None:
    monkeypatch.setattr(text_states, "PASSAGES_PER_SHARD", 5)
    passages = passages_of(found, sentences(20))
    store = StateStore(tmp_path, found)

    def ask() -> list[torch.Tensor]:
        if kind == "means":
            return list(store.means(passages, "float32"))
        return [states.clone() for states in store.token_states(passages, 1, "float32")]  # else views of the file

    before = ask()
    shard = sorted(tmp_path.glob("*.safetensors"))[0]
    whole = shard.read_bytes()
    shard.write_bytes({"truncated": whole[:-7], "empty": b"", "another file": b"{}" * 50}[damage])
    with pytest.raises(FeatureError, match=rf"{shard.name} is damaged .* Delete it"):
        ask()
    shard.unlink()
    after = ask()
    for ours, theirs in zip(after, before, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=2**-7, atol=1e-2)
    ask()


def test_two_computing_at_once_lose_nothing(found: TextEncoder, tmp_path: Path, loads: Callable[[], int]) -> None:
    """One begins, another of other sentences comes and goes before it writes."""
    mine, theirs = passages_of(found, sentences(6, 1)), passages_of(found, sentences(9, 2))
    other = StateStore(tmp_path, found)
    came = []

    def meanwhile(done: int, total: int) -> None:
        if not came:
            came.append(other.means(theirs, "float32"))

    means = StateStore(tmp_path, found).means(mine, "float32", meanwhile)
    assert len(means) == 6
    before = loads()
    assert torch.equal(other.means(theirs, "float32"), came[0])
    assert loads() == before


def test_a_full_disk_leaves_nothing(found: TextEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(tensors: object, path: str) -> None:
        Path(path).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(text_states, "save_file", full)
    with pytest.raises(FeatureError, match=r"could not store text features.*No space left"):
        StateStore(tmp_path, found).means(passages_of(found, sentences(3)), "float32")
    assert list(tmp_path.iterdir()) == []


def test_bfloat16_changes_little(found: TextEncoder, tmp_path: Path) -> None:
    passages = passages_of(found, sentences(20))
    exact = StateStore(tmp_path / "a", found).means(passages, "float32").float()
    rough = StateStore(tmp_path / "b", found).means(passages, "bfloat16").float()
    difference = (exact - rough).norm() / exact.norm()
    assert 1e-4 < difference < 0.05, "it is bfloat16 indeed, and three layers of it"


def test_the_store_of_another_precision_is_not_taken(
    found: TextEncoder, tmp_path: Path, loads: Callable[[], int]
) -> None:
    passages = passages_of(found, sentences(20))
    store = StateStore(tmp_path, found)
    rough = store.means(passages, "bfloat16")
    exact = store.means(passages, "float32")
    assert loads() == 2
    assert not torch.equal(rough, exact)


def test_no_passages_load_nothing(found: TextEncoder, tmp_path: Path, loads: Callable[[], int]) -> None:
    store = StateStore(tmp_path / "empty", found)
    assert store.token_states([], 1, "float32") == []
    assert loads() == 0
    assert not (tmp_path / "empty").exists()


@pytest.mark.parametrize("limit", [0, 40])
def test_no_more_tokens_at_once_than_said_and_the_same_states(
    found: TextEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    passages = passages_of(found, sentences(60), limit)
    whole = StateStore(tmp_path / "whole", found).means(passages, "float32")
    sizes = []
    read_layers = text_states.hidden_layers

    def watched(*arguments: object) -> list[torch.Tensor]:
        layers = read_layers(*arguments)  # type: ignore[arg-type]
        sizes.append(layers[0].shape[0] * layers[0].shape[1])
        return layers

    monkeypatch.setattr(text_states, "hidden_layers", watched)
    monkeypatch.setattr(text_states, "TOKENS_AT_ONCE", 64)
    sliced = StateStore(tmp_path / "sliced", found).means(passages, "float32")
    assert len(sizes) > 3
    assert max(sizes) <= 64
    torch.testing.assert_close(sliced, whole, rtol=2**-10, atol=1e-4)
