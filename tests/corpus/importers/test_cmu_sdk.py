"""The importer of CMU SDK sequences: words and frames fall into the utterances of the labels."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmmie.corpus.importers.cmu_sdk import files_by_name
from mmmie.corpus.importers.importing import import_corpus
from mmmie.corpus.importers.settings import parse_import
from mmmie.corpus.store import Corpus
from mmmie.errors import CorpusError

h5py = pytest.importorskip("h5py")

SETTINGS = {
    "format": "cmu-sdk",
    "name": "x",
    "labels": "Labels.csd",
    "words": "Words.csd",
    "features": {"audio": {"file": "COVAREP.csd"}},
}


def write_csd(path: Path, videos: dict[str, tuple[Any, Any]], root: str = "root", version: str = '"1.2"') -> None:
    with h5py.File(path, "w") as file:
        group = file.create_group(root)
        group["metadata/computational sequence version"] = np.array([version.encode()])
        data = group.create_group("data")
        for video, (intervals, features) in videos.items():
            data[f"{video}/intervals"] = np.array(intervals, np.float32)
            data[f"{video}/features"] = features


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_csd(
        tmp_path / "Labels.csd",
        {
            "-v": ([[2, 4], [0.5, 2]], [[1.5, 9], [-2.0, 9]]),  # out of order, as the SDK has them
            "w": ([[0, 1]], [[0.5, 9]]),
            "stray": ([[0, 1], [1, 2]], [[0.5, 9], [0, 9]]),
        },
    )
    words = np.array([[b"sp"], [b"good"], [b"film"], [b"sp"], [b"really"]])
    write_csd(tmp_path / "Words.csd", {"-v": ([[0, 0.6], [0.6, 1.2], [1.2, 1.9], [1.9, 2.1], [2.1, 3]], words)})
    frames = [[0.0, 1], [1, -np.inf], [2, 3], [3, 4], [4, 5]]
    times = [[0, 1], [1, 2], [2, 3], [3, 4], [4, 5]]
    write_csd(tmp_path / "COVAREP.csd", {"-v": (times, frames)}, root="COVAREP")
    (tmp_path / "splits.json").write_text(json.dumps({"train": ["-v"], "valid": ["w"], "test": ["not here"]}))
    return tmp_path


def imported(folder: Path, values: dict[str, Any] | None = None) -> Corpus:
    return import_corpus(parse_import(SETTINGS | (values or {}), "settings"), folder, folder / "out.corpus")


def test_sequences_become_a_corpus(folder: Path) -> None:
    corpus = imported(folder)
    first, second, third = corpus.everything()
    assert [u.id for u in (first, second, third)] == ["-v/0", "-v/1", "w/0"]
    assert (first.start, first.end, first.label, first.split) == (0.5, 2, -2, "train")
    assert (first.text, second.text, third.text) == ("good film", "really", None)
    assert [word.word for word in first.words] == ["good", "film"]
    assert first.words[0].start == pytest.approx(0.6)
    audio = corpus.everything().features["audio"]
    assert [audio[n][0][:, 0].tolist() for n in range(3)] == [[0, 1], [2, 3], []]
    assert audio[0][1].tolist() == [True, False]
    assert audio.times(1).tolist() == [2, 3]
    assert audio.present.tolist() == [True, True, False]
    assert corpus.info.masked == {"audio": 1}
    assert corpus.info.features["audio"].extractor == "COVAREP"
    assert corpus.info.features["audio"].version == "1.2"
    assert corpus.info.notes["utterances left out"] == {"video in no split of splits.json": 2}


def test_splits_may_be_a_table_and_a_recipe_says_the_extractor(folder: Path) -> None:
    (folder / "splits.csv").write_text("video,split\nw,train\n-v,dev\n")
    feature = {"audio": {"file": "COVAREP.csd", "extractor": "mine", "version": "3"}}
    corpus = imported(folder, {"splits": "splits.csv", "split_names": {"valid": "dev"}, "features": feature})
    assert dict(zip(corpus.everything().videos, corpus.splits.tolist(), strict=True)) == {"-v": "valid", "w": "train"}
    assert (corpus.info.features["audio"].extractor, corpus.info.features["audio"].version) == ("mine", "3")


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"labels": "Label.csd"}, "Did you mean 'Labels.csd'?"),
        ({"splits": "none.json"}, "the splits are not in the sequences"),
        ({"label_column": 1}, "Labels.csd, video '-v', row 1: label 9 is outside [-3, 3]"),
        ({"label_column": 2}, "label_column = 2 is not there"),
        ({"features": {"audio": {"file": "Words.csd"}}}, "expected numbers"),
        ({"features": {"audio": {"file": "COVAREP.csd", "missing": "error"}}}, "no video 'w'"),
        ({"features": {"audio": {"file": "splits.json"}}}, "Expected an HDF5 file"),
    ],
)
def test_mistakes_are_told(folder: Path, values: dict[str, Any], told: str) -> None:
    with pytest.raises(CorpusError) as error:
        imported(folder, values)
    assert told in str(error.value)
    assert not list(folder.glob("*out.corpus*"))


@pytest.mark.parametrize(
    ("splits", "told"),
    [
        ("{", "is not a JSON object"),
        ("[1]", "is not a JSON object"),
        ('{"dev": ["w"]}', "unknown split 'dev'"),
        ('{"train": ["w"], "valid": ["w"]}', "video 'w' is in the splits 'train' and 'valid'"),
    ],
)
def test_wrong_splits_are_told(folder: Path, splits: str, told: str) -> None:
    (folder / "splits.json").write_text(splits)
    with pytest.raises(CorpusError) as error:
        imported(folder)
    assert told in str(error.value)


@pytest.mark.parametrize(
    ("intervals", "features", "told"),
    [
        ([[0, 1, 2]], [[0]], "intervals of shape (1, 3)"),
        ([[0, 1]], [[0], [1]], "features of shape (2, 1) for 1 intervals"),
        ([[0, np.nan]], [[0]], "row 0: the interval is 'nan'"),
        ([[0, 1]], [[np.nan]], "row 0: the label is 'nan'"),
        ([[2, 1]], [[0]], "ends at 1 s, before it starts at 2 s"),
    ],
)
def test_broken_sequences_are_told(folder: Path, intervals: Any, features: Any, told: str) -> None:
    write_csd(folder / "Labels.csd", {"w": (intervals, features)})
    with pytest.raises(CorpusError) as error:
        imported(folder)
    assert told in str(error.value)
    assert "Labels.csd, video 'w'" in str(error.value)


def test_an_hdf5_file_of_another_kind_is_told(folder: Path) -> None:
    with h5py.File(folder / "Labels.csd", "w") as file:
        file["numbers"] = [1, 2]
    with pytest.raises(CorpusError, match="expected one computational sequence"):
        imported(folder)


def test_files_are_known_by_their_names(folder: Path) -> None:
    assert files_by_name(folder) == {"labels": "Labels.csd", "words": "Words.csd", "audio": "COVAREP.csd"}
    (folder / "All_Labels.csd").write_bytes(b"")
    with pytest.raises(CorpusError, match=r"All_Labels\.csd and Labels\.csd could both be labels"):
        files_by_name(folder)
