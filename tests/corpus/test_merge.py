"""Merging: rows of every part, missing what their part had not; refusals name the corpora."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mmmie.corpus.merge import merge
from mmmie.corpus.schema import UNLABELLED, CorpusInfo, FeatureInfo, Utterance
from mmmie.corpus.store import Corpus
from mmmie.corpus.writer import CorpusWriter, Frames
from mmmie.errors import CorpusError

AUDIO = FeatureInfo(2, "frames", "mel", "1")
VISION = FeatureInfo(3, "utterance", "mesh", "1")


def corpus(path: Path, info: CorpusInfo, video: str, modality: str | None) -> Corpus:
    with CorpusWriter(path, info) as writer:
        for index in range(3):
            utterance = Utterance(video, index, "train" if video != "v" else "valid", index - 1.0, speaker="S1")
            frames = {}
            if modality is not None:
                rows = index + 1 if info.features[modality].level == "frames" else 1
                frames[modality] = Frames(np.full((rows, info.features[modality].dim), float(index)))
            writer.add(utterance, frames)
    return Corpus.open(path)


def test_rows_keep_their_frames_and_miss_what_their_part_had_not(tmp_path: Path) -> None:
    heard = corpus(tmp_path / "a", CorpusInfo("A", features={"audio": AUDIO}, licence="free"), "u", "audio")
    seen = corpus(tmp_path / "b", CorpusInfo("B", features={"vision": VISION}, licence="research"), "v", "vision")
    both = merge([heard, seen], tmp_path / "c")
    part = both.everything()
    assert part.ids == ["u/0", "u/1", "u/2", "v/0", "v/1", "v/2"]
    assert part.features["audio"].lengths.tolist() == [1, 2, 3, 0, 0, 0]
    assert part.features["vision"].present.tolist() == [False] * 3 + [True] * 3
    assert part.features["audio"][2][0].tolist() == [[2.0, 2.0]] * 3
    assert both.splits.tolist() == ["train"] * 3 + ["valid"] * 3
    assert part.speakers[0] == "A:S1"
    assert part.speakers[3] == "B:S1"
    assert both.info.licence == "A: free; B: research"
    assert [entry["utterances"] for entry in both.info.notes["merged"]] == [3, 3]


def test_refusals(tmp_path: Path) -> None:
    info = CorpusInfo("A", features={"audio": AUDIO})
    first = corpus(tmp_path / "a", info, "u", "audio")
    with pytest.raises(CorpusError, match="at least two"):
        merge([first], tmp_path / "x")
    with pytest.raises(CorpusError, match="the video 'u' is in"):
        merge([first, corpus(tmp_path / "b", info, "u", "audio")], tmp_path / "x")
    other = replace(info, features={"audio": replace(AUDIO, version="2")})
    with pytest.raises(CorpusError, match=r"mel 1, that of .*d by mel 2"):
        merge([first, corpus(tmp_path / "d", other, "w", "audio")], tmp_path / "x")
    with pytest.raises(CorpusError, match=r"labels in \[-3.0, 3.0\]"):
        merge([first, corpus(tmp_path / "e", replace(info, label_min=-5.0), "w", "audio")], tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_a_row_without_label_has_a_split_of_its_own(tmp_path: Path) -> None:
    nan = float("nan")
    with CorpusWriter(tmp_path / "c", CorpusInfo("A")) as writer:
        writer.add(Utterance("u", 0, UNLABELLED, nan, text="well"), {})
    found = Corpus.open(tmp_path / "c")
    assert found.unlabelled().texts == ["well"]
    with pytest.raises(CorpusError, match="no utterances in its train"):
        found.training()
    for split, label in ((UNLABELLED, 1.0), ("train", nan)):
        with pytest.raises(CorpusError, match="label"), CorpusWriter(tmp_path / "d", CorpusInfo("A")) as writer:
            writer.add(Utterance("u", 0, split, label), {})
