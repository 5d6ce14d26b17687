"""The importer of HDF5 data sets: one file or several, with ids or without."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmmie.corpus.importers.importing import import_corpus
from mmmie.corpus.importers.settings import parse_import
from mmmie.corpus.store import Corpus
from mmmie.errors import CorpusError

h5py = pytest.importorskip("h5py")

SEVERAL = {
    "labels": {"file": "y_{split}.h5", "array": "d1"},
    "label": {"subtract": 3, "min": -2, "max": 2},
    "features": {"audio": {"file": "audio_{split}.h5", "array": "d1", "zero_frames": "absent"}},
}


def several(folder: Path, **replaced: Any) -> None:
    """A file for each thing and split, as MFN wrote ICT-MMMO."""
    audio = np.zeros((2, 3, 2))
    audio[0, 1:] = audio[1, :1] = 7
    for name, values in {
        "y_train": [1.0, 4.5],
        "audio_train": audio,
        "y_valid": [5.0],
        "audio_valid": audio[:1],
        **replaced,
    }.items():
        with h5py.File(folder / f"{name}.h5", "w") as file:
            file["d1"] = values


def imported(folder: Path, values: dict[str, Any]) -> Corpus:
    return import_corpus(
        parse_import({"format": "h5", "name": "x", **values}, "settings"), folder, folder / "out.corpus"
    )


def refused(folder: Path, values: dict[str, Any]) -> str:
    with pytest.raises(CorpusError) as error:
        imported(folder, values)
    assert not list(folder.glob("*out.corpus*"))
    return str(error.value)


def test_a_file_for_each_split_becomes_videos_of_one_utterance(tmp_path: Path) -> None:
    several(tmp_path)
    corpus = imported(tmp_path, SEVERAL | {"split_sizes": {"train": 2, "valid": 1, "test": 4}})
    everything = corpus.everything()
    assert everything.ids == ["train-0000/0", "train-0001/0", "valid-0000/0"]
    assert everything.labels.tolist() == [-2, 1.5, 2]
    assert everything.texts == [None] * 3
    assert everything.features["audio"].lengths.tolist() == [2, 1, 2]
    assert corpus.info.notes == {"splits not there": ["test"]}
    assert set(corpus.info.checksums) == {"y_train.h5", "audio_train.h5", "y_valid.h5", "audio_valid.h5"}


def test_one_file_with_ids_is_put_in_order(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "all.h5", "w") as file:
        group = file.create_group("train")
        group["label"] = np.array([0.5, -0.2], np.float32)
        group["video"] = ["v", "v"]
        group["index"] = [2, 1]
        group["text"] = ["zwei ä", ""]
        group["audio"] = [[1.0, 2.0], [3.0, 4.0]]
        dev = file.create_group("dev")
        for name, values in {
            "label": [0.0],
            "video": ["-w"],
            "index": [0],
            "text": ["x"],
            "audio": [[5.0, 6.0]],
        }.items():
            dev[name] = values
    things = {name: {} for name in ("video", "index", "text")}
    corpus = imported(
        tmp_path, {"file": "all.h5", "split_names": {"valid": "dev"}, **things, "features": {"audio": {}}}
    )
    everything = corpus.everything()
    assert everything.ids == ["v/1", "v/2", "-w/0"]
    assert everything.texts == [None, "zwei ä", "x"]
    assert [u.label for u in everything] == [-0.2, 0.5, 0]
    assert everything.features["audio"].gather(np.arange(3))[0].tolist() == [[[3, 4]], [[1, 2]], [[5, 6]]]
    assert corpus.info.features["audio"].level == "utterance"


@pytest.mark.parametrize(
    ("replaced", "values", "told"),
    [
        ({"y_train": [1.0, 6.0]}, {}, "y_train.h5, d1, row 1: label 3 (from 6) is outside [-2, 2]"),
        ({"y_train": [1.0, np.nan]}, {}, "row 1: label is 'nan'"),
        ({"y_train": [1.0]}, {}, "audio_train.h5, d1: 2 rows, but there are 1 labels"),
        ({"y_train": np.ones((2, 3))}, {}, "expected a number for each row"),
        ({"audio_valid": np.ones((1, 3, 5))}, {}, "5 columns by frames, but the splits before have 2"),
        ({"audio_train": np.ones(2)}, {}, "expected numbers of shape"),
        (
            {},
            {"features": {"audio": {"file": "audio_{split}.h5", "array": "d2"}}},
            "no data set 'd2'. Known: d1",
        ),
        ({}, {"features": {"audio": {"file": "audoi_{split}.h5", "array": "d1"}}}, "Did you mean 'audio_train.h5'?"),
        ({}, {"labels": {"file": "labels_{split}.h5", "array": "d1"}}, "no labels in"),
        ({}, {"labels": {}}, "name no HDF5 file for 'label'"),
        ({}, {"split_sizes": {"train": 3}}, "2 utterances in split 'train', expected 3"),
        ({}, {"text": {"file": "audio_{split}.h5", "array": "d1"}}, "expected (2,)"),
    ],
)
def test_mistakes_are_told(tmp_path: Path, replaced: dict[str, Any], values: dict[str, Any], told: str) -> None:
    several(tmp_path, **replaced)
    assert told in refused(tmp_path, SEVERAL | values)


def test_a_file_that_is_no_hdf5_is_told(tmp_path: Path) -> None:
    several(tmp_path)
    whole = (tmp_path / "audio_train.h5").read_bytes()
    for broken in (b"", b"not HDF5", whole[: len(whole) // 2]):
        (tmp_path / "audio_train.h5").write_bytes(broken)
        assert "audio_train.h5" in refused(tmp_path, SEVERAL)
