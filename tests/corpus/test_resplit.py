"""New splits: by video, near the fractions, the same for the same seed, and never over a kept-back test split."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmmie.corpus.resplit import ResplitSettings, assign_videos, resplit
from mmmie.corpus.store import Corpus
from mmmie.corpus.synthetic import SIZES, SyntheticSettings, generate
from mmmie.errors import CorpusError


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """Without a test split, as the development data come."""
    settings = SyntheticSettings(**{**SIZES["small"], "videos": 40}, fractions=(0.8, 0.2, 0.0))
    return generate(tmp_path_factory.mktemp("source") / "c", settings)


@given(
    sizes=st.lists(st.integers(1, 60), min_size=3, max_size=80),
    fractions=st.sampled_from([(0.6, 0.2, 0.2), (0.34, 0.33, 0.33), (0.9, 0.05, 0.05), (0.5, 0.0, 0.5)]),
    seed=st.integers(0, 1000),
)
def test_every_group_is_filled_and_within_the_largest_video_of_its_goal(
    sizes: list[int], fractions: tuple[float, float, float], seed: int
) -> None:
    array = np.array(sizes)
    groups = assign_videos(array, fractions, np.random.default_rng(seed))
    got = np.bincount(groups, weights=array, minlength=3)
    for group, fraction in enumerate(fractions):
        assert (got[group] > 0) == (fraction > 0)
        if min(f for f in fractions if f > 0) * array.sum() >= array.max():  # else a single video is too much
            assert abs(got[group] - fraction * array.sum()) <= array.max()


def test_exchanging_brings_sizes_nearer_than_cutting_alone() -> None:
    """MOSI's shape: 62 videos of 9 to 63; cutting at video borders alone misses by up to half a video."""
    rng = np.random.default_rng(0)
    for seed in range(20):
        sizes = rng.integers(9, 64, 62)
        got = np.bincount(assign_videos(sizes, (0.6, 0.2, 0.2), np.random.default_rng(seed)), weights=sizes)
        assert got / sizes.sum() == pytest.approx([0.6, 0.2, 0.2], abs=0.002)


def test_splits_change_and_nothing_else(corpus: Corpus, tmp_path: Path) -> None:
    made = resplit(corpus, tmp_path / "new", ResplitSettings(seed=1))
    videos = np.array(made.everything().videos)
    of = {name: set(videos[made.splits == name]) for name in ("train", "valid", "test")}
    assert sum(map(len, of.values())) == 40
    assert len(set.union(*of.values())) == 40, "no video is in two splits"
    assert [(made.splits == n).mean() for n in of] == pytest.approx([0.6, 0.2, 0.2], abs=0.01)
    assert made.info.fingerprint == corpus.info.fingerprint
    assert made.info.notes["resplit"]["seed"] == 1
    assert made.info.notes["resplit"]["parent_fingerprint"] == corpus.info.fingerprint
    assert made.info.notes["true_mi_nats"] == corpus.info.notes["true_mi_nats"]
    before, after = corpus.table.drop_columns("split"), made.table.drop_columns("split")
    assert before.equals(after)
    assert (tmp_path / "new" / "audio.arrow").samefile(corpus.path / "audio.arrow"), "linked, not copied"
    assert (tmp_path / "new" / "truth.npz").samefile(corpus.path / "truth.npz")


def test_what_encoders_stored_comes_along_and_the_count_of_openings_does_not(tmp_path: Path) -> None:
    source = generate(tmp_path / "source", SyntheticSettings(**SIZES["small"]))
    stored = source.path / "text" / "0123" / "means-4567.safetensors"
    stored.parent.mkdir(parents=True)
    stored.write_bytes(b"whole")
    stored.with_name(".means-89ab.safetensors.7").write_bytes(b"half")
    (source.path / "test_openings.jsonl").write_text("{}\n")
    made = resplit(source, tmp_path / "new", ResplitSettings(include_test=True))
    assert [file.name for file in (made.path / "text").rglob("*") if file.is_file()] == [stored.name]
    assert (made.path / "text" / "0123" / stored.name).samefile(stored)
    assert not (made.path / "test_openings.jsonl").exists(), "the new test split was never opened"


def test_seed_decides(corpus: Corpus, tmp_path: Path) -> None:
    first = resplit(corpus, tmp_path / "a", ResplitSettings(seed=1)).splits
    assert (resplit(corpus, tmp_path / "b", ResplitSettings(seed=1)).splits == first).all()
    assert (resplit(corpus, tmp_path / "c", ResplitSettings(seed=2)).splits != first).any()


def test_folds_cover_every_video_once(corpus: Corpus, tmp_path: Path) -> None:
    tested: list[str] = []
    for fold in range(5):
        made = resplit(corpus, tmp_path / f"{fold}", ResplitSettings(seed=4, fold=fold, folds=5))
        tested += sorted(set(made.test().videos))
        assert (made.splits == "test").mean() == pytest.approx(0.2, abs=0.03)
        assert (made.splits == "valid").mean() == pytest.approx(0.8 * 0.25, abs=0.03)
    assert sorted(tested) == sorted(set(corpus.everything().videos))


def test_a_kept_back_test_split_is_not_mixed_in_by_accident(tmp_path: Path) -> None:
    source = generate(tmp_path / "c", SyntheticSettings(**SIZES["small"]))
    with pytest.raises(CorpusError, match="--include-test"):
        resplit(source, tmp_path / "new")
    assert not (tmp_path / "new").exists()
    assert len(resplit(source, tmp_path / "new", ResplitSettings(include_test=True)).test()) > 0


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"fractions": (0.5, 0.2, 0.2)}, "sum to 1"),
        ({"fractions": (1.2, -0.1, -0.1)}, "positive"),
        ({"fold": 1}, "go together"),
        ({"fold": 5, "folds": 5}, "fold 5 of 5"),
        ({"fold": -1, "folds": 5}, "fold -1"),
        ({"fold": 0, "folds": 1}, "at least 2"),
        ({"fold": 0, "folds": 60}, "40 videos"),
    ],
)
def test_impossible_splits_are_refused(corpus: Corpus, tmp_path: Path, settings: dict[str, object], word: str) -> None:
    with pytest.raises(CorpusError, match=word):
        resplit(corpus, tmp_path / "new", ResplitSettings(**settings))  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_an_existing_folder_is_kept(corpus: Corpus, tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    with pytest.raises(CorpusError, match="exists already"):
        resplit(corpus, tmp_path / "new")


def test_features_are_copied_where_they_cannot_be_linked(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def across_devices(*_: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", across_devices)
    made = resplit(corpus, tmp_path / "new")
    assert (made.path / "audio.arrow").read_bytes() == (corpus.path / "audio.arrow").read_bytes()
    assert not (made.path / "audio.arrow").samefile(corpus.path / "audio.arrow")


def test_a_full_disk_leaves_nothing(corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(CorpusError, match="No space left"):
        resplit(corpus, tmp_path / "new")
    assert list(tmp_path.iterdir()) == []
