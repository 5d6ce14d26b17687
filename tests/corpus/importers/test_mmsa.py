"""The importer of MMSA pickles: aligned and unaligned, and what is said of a broken one."""

import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmmie.corpus.importers.importing import import_corpus
from mmmie.corpus.importers.settings import parse_import
from mmmie.corpus.store import Corpus
from mmmie.errors import CorpusError


def split(ids: list[str], labels: list[float], steps: int = 4) -> dict[str, Any]:
    """One split as MMSA writes it; the values of row i are i + 1."""
    rows = len(ids)
    audio = np.zeros((rows, steps, 3))
    vision = np.zeros((rows, steps, 2), np.float32)
    for i in range(rows):
        audio[i, :2] = vision[i, :1] = i + 1
    return {
        "raw_text": np.array([f"text of {name}" for name in ids]),
        "audio": audio,
        "vision": vision,
        "id": list(ids),
        "text": np.ones((rows, steps, 768), np.float32),
        "text_bert": np.ones((rows, 3, steps), np.float32),
        "annotations": ["Positive"] * rows,
        "classification_labels": np.full(rows, 99.0),
        "regression_labels": np.array(labels, np.float32),
    }


def content() -> dict[str, Any]:
    return {
        "train": split(["v$_$b$_$10", "-w$_$0", "v$_$b$_$2"], [0.2, -3, 3]),
        "valid": split(["x$_$1"], [1.4]),
        "test": split(["007$_$1"], [0]),
    }


def imported(folder: Path, data: Any, values: dict[str, Any] | None = None, protocol: int = 4) -> Corpus:
    (folder / "data.pkl").write_bytes(pickle.dumps(data, protocol))
    stated = {"format": "mmsa", "name": "x", "file": "data.pkl", **(values or {})}
    return import_corpus(parse_import(stated, "settings"), folder, folder / "out.corpus")


@pytest.mark.parametrize("protocol", range(6))
def test_an_aligned_pickle_becomes_a_corpus(tmp_path: Path, protocol: int) -> None:
    corpus = imported(tmp_path, content(), protocol=protocol)
    everything = corpus.everything()
    assert everything.ids == ["v$_$b/2", "v$_$b/10", "-w/0", "x/1", "007/1"]
    assert [u.label for u in everything] == [3, 0.2, -3, 1.4, 0]
    assert everything.texts[0] == "text of v$_$b$_$2"
    assert everything.features["audio"].lengths.tolist() == [2] * 5
    assert everything.features["vision"].lengths.tolist() == [1] * 5
    assert everything.features["audio"][0][0].tolist() == [[3, 3, 3]] * 2
    assert corpus.splits.tolist() == ["train"] * 3 + ["valid", "test"]


def test_an_unaligned_pickle_is_cut_to_its_lengths(tmp_path: Path) -> None:
    data = content()
    for part in data.values():
        part["audio"][:, 3] = 9
        part["audio_lengths"] = [2] * len(part["id"])
        part["vision_lengths"] = np.full(len(part["id"]), 3)
    corpus = imported(tmp_path, data, {"features": {"audio": {}, "vision": {"zero_frames": "keep"}}})
    features = corpus.everything().features
    assert features["audio"].lengths.tolist() == [2] * 5
    assert features["vision"].lengths.tolist() == [3] * 5


def test_padding_in_front_is_dropped_as_well(tmp_path: Path) -> None:
    data = content()
    data["valid"]["audio"] = data["valid"]["audio"][:, ::-1].copy()
    column = imported(tmp_path, data).everything().features["audio"]
    assert column[3][0].tolist() == [[1, 1, 1]] * 2


values = st.one_of(st.floats(-1e6, 1e6, width=32).filter(bool), st.sampled_from([math.nan, math.inf, -math.inf]))
ids = st.one_of(
    st.sampled_from(["-3g5yACwYnA", "0042", "a$_$b", "$_$", "ä", "c,d", "x\ny"]),
    st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1, max_size=6),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_generated_pickles_come_back(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    videos = data.draw(st.lists(ids, min_size=1, max_size=4, unique=True))
    known: dict[tuple[str, int], Any] = {}
    splits: dict[str, Any] = {}
    for n, name in enumerate(("train", "valid", "test")):
        rows = []
        for video in videos[n::3]:
            for index in data.draw(st.lists(st.integers(0, 10**6), min_size=1, max_size=3, unique=True)):
                frames = data.draw(st.lists(st.lists(values, min_size=2, max_size=2), min_size=1, max_size=3))
                text = data.draw(st.text(st.characters(exclude_categories=("Cs",)), max_size=9))
                label = data.draw(st.floats(-3, 3, width=32))
                known[video, index] = (name, frames, text, label)
                rows.append((f"{video}$_${index}", frames, text, label))
        if not rows:
            continue
        rows = data.draw(st.permutations(rows))
        audio = np.zeros((len(rows), 3, 2), np.float32)
        for i, row in enumerate(rows):
            audio[i, : len(row[1])] = row[1]
        splits[name] = {
            "id": [row[0] for row in rows],
            "audio": audio,
            "raw_text": [row[2] for row in rows],
            "regression_labels": np.array([row[3] for row in rows], np.float32),
            "audio_lengths": [len(row[1]) for row in rows],
        }
    folder = tmp_path_factory.mktemp("mmsa")
    corpus = imported(folder, splits, protocol=data.draw(st.integers(0, 5)))
    everything = corpus.everything()
    assert len(everything) == len(known)
    masked = 0
    for n, utterance in enumerate(everything):
        name, frames, text, label = known[utterance.video, utterance.index]
        assert utterance.split == name
        assert np.float32(utterance.label) == np.float32(label)
        assert utterance.text == (text if text.strip() else None)
        stored, mask = everything.features["audio"][n]
        np.testing.assert_array_equal(stored, np.array(frames, np.float32))
        assert mask.tolist() == np.isfinite(frames).all(axis=1).tolist()
        masked += int((~mask).sum())
    assert corpus.info.masked["audio"] == masked


def change(*keys: Any, to: Any = None, drop: bool = False) -> Any:
    def changed(data: dict[str, Any]) -> dict[str, Any]:
        place = data
        for key in keys[:-1]:
            place = place[key]
        if drop:
            del place[keys[-1]]
        else:
            place[keys[-1]] = to
        return data

    return changed


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        (lambda _: [1, 2], "expected a dict of splits, not list"),
        (change("dev", to={}), "unknown split 'dev'"),
        (change("valid", to=[]), "split 'valid': expected a dict"),
        (change("train", "id", drop=True), "no key 'id'"),
        (change("train", "regression_labels", drop=True), "Did you mean 'classification_labels'?"),
        (change("train", "id", 1, to="w"), "split 'train', row 1: id 'w', expected video$_$segment"),
        (change("train", "id", 1, to="w$_$a"), "row 1: the segment of its id is 'a'"),
        (change("train", "id", 2, to="v$_$b$_$10"), "row 2: utterance v$_$b/10 comes twice, first at"),
        (change("valid", "id", 0, to="-w$_$4"), "video '-w' is in split 'valid' here and in 'train'"),
        (change("train", "regression_labels", to=np.array([0, 0, 3.1])), "row 2: label 3.1 is outside [-3, 3]"),
        (change("train", "regression_labels", to=np.array([0, np.nan, 3])), "row 1: the regression label is 'nan'"),
        (change("train", "regression_labels", to=np.zeros(2)), "2 entries in 'regression_labels', but 3 in 'id'"),
        (change("train", "raw_text", to=["a"]), "1 entries in 'raw_text'"),
        (change("train", "audio", to=np.zeros((2, 4, 3))), "'audio': 2 rows, but there are 3 labels"),
        (change("train", "audio", to=[[1], [1, 2]]), "'audio'"),
        (change("valid", "audio", to=np.zeros((1, 4, 5))), "'audio' has 5 columns, expected 3"),
        (change("valid", "audio", drop=True), "no key 'audio'"),
        (change("train", "audio_lengths", to=[1, 5, 1]), "row 1: a length of 5, but sequences have 4 steps"),
        (change("train", "audio_lengths", to=[1, 2]), "expected 3 integers"),
    ],
)
def test_mistakes_are_told_with_their_row(tmp_path: Path, broken: Any, told: str) -> None:
    with pytest.raises(CorpusError) as error:
        imported(tmp_path, broken(content()))
    assert told in str(error.value)
    assert "data.pkl" in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == ["data.pkl"]
