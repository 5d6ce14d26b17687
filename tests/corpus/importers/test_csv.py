"""The importer of tables: round trips, and a named line for every mistake."""

import csv
import errno
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmmie.corpus.importers.importing import import_corpus
from mmmie.corpus.importers.settings import parse_import
from mmmie.corpus.schema import Word
from mmmie.corpus.store import Corpus
from mmmie.corpus.writer import CorpusWriter
from mmmie.errors import CorpusError

HEADER = "split,video,index,start,end,text,label\n"
ROWS = "train,a,1,0,1,one,0.5\ntrain,a,2,1,2,two,-1\nvalid,b,0,0,1.5,three,3\n"
AUDIO = {"features": {"audio": {"file": "audio.npz"}}}


def table(folder: Path, text: str = HEADER + ROWS) -> Path:
    (folder / "utterances.csv").write_bytes(text.encode())
    return folder


def imported(folder: Path, values: dict[str, Any] | None = None) -> Corpus:
    out = folder / "out.corpus"
    return import_corpus(parse_import({"format": "csv", "name": "x", **(values or {})}, "settings"), folder, out)


def refused(folder: Path, values: dict[str, Any] | None = None) -> str:
    """The error's text, once nothing was left behind."""
    before = sorted(folder.iterdir())
    with pytest.raises(CorpusError) as error:
        imported(folder, values)
    assert sorted(folder.iterdir()) == before
    return str(error.value)


def test_a_table_becomes_a_corpus(tmp_path: Path) -> None:
    corpus = imported(table(tmp_path), {"speakers": "one_per_video", "licence": "none"})
    first, _, third = corpus.everything()
    assert (first.id, first.split, first.start, first.end, first.text, first.label) == (
        "a/1",
        "train",
        0,
        1,
        "one",
        0.5,
    )
    assert (first.speaker, third.speaker) == ("a", "b")
    assert corpus.info.licence == "none"
    assert list(corpus.info.checksums) == ["utterances.csv"]


def test_rows_in_any_order_become_videos_in_order(tmp_path: Path) -> None:
    rows = ROWS.splitlines(keepends=True)
    corpus = imported(table(tmp_path, HEADER + rows[1] + rows[2] + rows[0]))
    assert corpus.everything().ids == ["a/1", "a/2", "b/0"]


ids = st.one_of(
    st.sampled_from(["-3g5yACwYnA", "--", "0042", "7", "a$_$b", "$_$", " ", "ä/ß", 'q"u"o', "c,d", "x\ny", "日本"]),
    st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1, max_size=6),
)
texts = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=20)
values = st.one_of(st.floats(-1e6, 1e6, width=32), st.sampled_from([math.nan, math.inf, -math.inf]))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_generated_tables_come_back(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("csv")
    videos = data.draw(st.lists(ids, min_size=1, max_size=4, unique=True))
    rows, features = [], []
    for video in videos:
        split = data.draw(st.sampled_from(["train", "valid", "test"]))
        for index in data.draw(st.lists(st.integers(-5, 10**6), min_size=1, max_size=4, unique=True)):
            rows.append([split, video, index, data.draw(texts), data.draw(st.floats(-3, 3))])
            features.append(data.draw(st.lists(values, min_size=2, max_size=2)))
    order = data.draw(st.permutations(range(len(rows))))
    with (folder / "utterances.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(
            file, **data.draw(st.sampled_from([{}, {"lineterminator": "\n", "quoting": csv.QUOTE_ALL}]))
        )
        writer.writerows([["split", "video", "index", "text", "label"], *(rows[i] for i in order)])
    np.save(folder / "audio.npy", np.array([features[i] for i in order], dtype=np.float32))
    corpus = imported(folder, {"features": {"audio": {"file": "audio.npy"}}})
    known = {(row[1], row[2]): (row, values) for row, values in zip(rows, features, strict=True)}
    everything = corpus.everything()
    assert len(everything) == len(rows)
    for n, utterance in enumerate(everything):
        (split, _, _, text, label), stored = known.pop((utterance.video, utterance.index))
        assert (utterance.split, utterance.label) == (split, label)
        assert utterance.text == (text if text.strip() else None)
        frames, mask = everything.features["audio"][n]
        np.testing.assert_array_equal(frames[0], np.array(stored, np.float32))
        assert mask[0] == np.isfinite(stored).all()
    assert not known
    assert corpus.info.masked["audio"] == sum(not np.isfinite(stored).all() for stored in features)
    blank = sum(not row[3].strip() for row in rows)
    assert corpus.info.notes.get("utterances of blank text, imported as without text", 0) == blank


@pytest.mark.parametrize(
    ("text", "values", "told"),
    [
        (HEADER.replace("video", "vidoe") + ROWS, {}, "no column 'video'. Did you mean 'vidoe'?"),
        (HEADER.replace("text", "Text") + ROWS, {}, "no column 'text'. Did you mean 'Text'?"),
        (HEADER + ROWS, {"columns": {"speaker": "who"}}, 'columns.speaker = "NAME"'),
        (HEADER.replace("start", "end") + ROWS, {}, "column 'end' comes twice"),
        ("", {}, "is empty"),
        (HEADER, {}, "no utterances"),
        (HEADER + ROWS.replace("0.5", "good"), {}, "line 2: label is 'good', expected a finite number"),
        (HEADER + ROWS.replace("0.5", "nan"), {}, "line 2: label is 'nan'"),
        (HEADER + ROWS.replace("0.5", "1_0"), {}, "line 2: label is '1_0'"),
        (HEADER + ROWS.replace(",3\n", ",3.5\n"), {}, "line 4: label 3.5 is outside [-3, 3]"),
        (HEADER + ROWS, {"label": {"subtract": 3}}, "line 3: label -4 (from -1) is outside"),
        (HEADER + ROWS.replace("valid", "validation"), {}, "line 4: unknown split 'validation'. Did you mean 'valid'?"),
        (HEADER + ROWS.replace("a,2", "a,two"), {}, "line 3: index is 'two', expected a whole number"),
        (HEADER + ROWS.replace("a,2", "a,1"), {}, "line 3: utterance a/1 comes twice, first at"),
        (
            HEADER + ROWS.replace("train,a,2", "valid,a,2"),
            {},
            "line 3: video 'a' is in split 'valid' here and in 'train'",
        ),
        (HEADER + ROWS.replace("a,2,1,2", "a,2,1,x"), {}, "line 3: end is 'x'"),
        (HEADER + ROWS.replace("a,2,1,2", "a,2,1,0.5"), {}, "line 3: utterance a/2 ends at 0.5 s, before"),
        (HEADER + ROWS.replace("train,a,2", "train,,2"), {}, "line 3: column 'video' is empty"),
        (HEADER + ROWS.replace(",two", ""), {}, "line 3: 6 cells, expected 7"),
        (HEADER + 'train,a,1,0,1,"one\nand\nmore",0\ntrain,a,2,0,1,x,bad\n', {}, "line 5: label is 'bad'"),
        (HEADER + 'train,a,1,0,1,"open,0\n', {}, "line 2"),
        (HEADER + ROWS, {"split_sizes": {"train": 3}}, "2 utterances in split 'train', expected 3"),
        (HEADER + ROWS.replace("valid", "test"), {"split_sizes": {"valid": 1}}, "0 utterances in split 'valid'"),
        (HEADER + ROWS, {"table": "utterance.csv"}, "Did you mean 'utterances.csv'?"),
        (HEADER + ROWS, {"require": ["vision"]}, "no utterances"),
    ],
)
def test_mistakes_are_told_with_their_line(tmp_path: Path, text: str, values: dict[str, Any], told: str) -> None:
    assert told in refused(table(tmp_path, text), values)


def test_bytes_that_are_not_utf8_are_told_with_their_line(tmp_path: Path) -> None:
    (tmp_path / "utterances.csv").write_bytes((HEADER + ROWS).encode().replace(b"two", b"tw\xf6"))
    assert "line 3: not UTF-8 (byte 0xf6)" in refused(tmp_path)


def test_a_byte_order_mark_is_skipped(tmp_path: Path) -> None:
    assert len(imported(table(tmp_path, "\ufeff" + HEADER + ROWS))) == 3


def test_an_absent_test_split_is_noted_and_a_present_one_has_its_size(tmp_path: Path) -> None:
    sizes = {"train": 2, "valid": 1, "test": 1}
    corpus = imported(table(tmp_path), {"split_sizes": sizes})
    assert corpus.info.notes["splits not there"] == ["test"]
    full = tmp_path / "full"
    full.mkdir()
    assert len(imported(table(full, HEADER + ROWS + "test,c,1,0,1,four,0\n"), {"split_sizes": sizes})) == 4


def test_oddities_are_noted_and_mended(tmp_path: Path) -> None:
    rows = "train,a,1,-0.4,1,one,0\ntrain,a,2,5,6,  ,0\ntrain,a,3,2,2,x,0\n"
    corpus = imported(table(tmp_path, HEADER + rows))
    first, second, _ = corpus.everything()
    assert first.start == 0
    assert second.text is None
    assert corpus.info.notes == {
        "negative starts set to 0": 1,
        "utterances of blank text, imported as without text": 1,
        "utterances of zero length": 1,
        "jumps back in time": ["a/2 to a/3"],
    }


def test_labels_are_moved_and_scaled(tmp_path: Path) -> None:
    corpus = imported(table(tmp_path), {"label": {"subtract": 1, "multiply": 0.5, "min": -1, "max": 1}})
    assert corpus.everything().labels.tolist() == [-0.25, -1.0, 1.0]


def test_words_belong_to_their_utterance_without_silences(tmp_path: Path) -> None:
    rows = "video,index,word,start,end\na,1,sp,0,0.1\na,1,one,0.1,0.9\nz,9,other,0,1\n"
    (tmp_path / "words.csv").write_text(rows)
    corpus = imported(table(tmp_path), {"words": "words.csv"})
    assert [u.words for u in corpus.everything()] == [(Word("one", 0.1, 0.9),), (), ()]
    assert corpus.info.notes == {"utterances of words.csv that utterances.csv does not know": 1}
    (tmp_path / "words.csv").write_text(rows.replace("0.9", "later"))
    (tmp_path / "two").mkdir()
    for name in ("utterances.csv", "words.csv"):
        (tmp_path / "two" / name).write_bytes((tmp_path / name).read_bytes())
    assert "words.csv, line 3: end is 'later'" in refused(tmp_path / "two", {"words": "words.csv"})


def test_texts_of_a_second_table_take_the_place_of_the_first(tmp_path: Path) -> None:
    (tmp_path / "asr.csv").write_text("video,index,text\nb,0,tree\na,1,won\na,2,to\n")
    corpus = imported(table(tmp_path), {"texts": "asr.csv"})
    assert [u.text for u in corpus.everything()] == ["won", "to", "tree"]
    assert sorted(corpus.info.checksums) == ["asr.csv", "utterances.csv"]
    (tmp_path / "two").mkdir()
    table(tmp_path / "two")
    (tmp_path / "two" / "asr.csv").write_text("video,index,text\nb,0,tree\na,1,won\n")
    said = refused(tmp_path / "two", {"texts": "asr.csv"})
    assert "utterances.csv, line 3" in said
    assert "asr.csv has no row for video a, utterance 2" in said


def test_vectors_are_found_by_key(tmp_path: Path) -> None:
    np.savez(tmp_path / "audio.npz", audio=[[1.0], [2.0], [3.0], [4.0]], video=["b", "a", "a", "z"], index=[0, 2, 1, 1])
    corpus = imported(table(tmp_path), AUDIO)
    assert corpus.everything().features["audio"].gather(np.arange(3))[0].ravel().tolist() == [3, 2, 1]
    assert corpus.info.features["audio"].level == "utterance"
    assert corpus.info.notes == {"rows of audio.npz that utterances.csv does not know": 1}


@pytest.mark.parametrize(
    ("arrays", "more", "told"),
    [
        ({"audio": np.zeros((2, 1))}, {}, "2 rows, but the table has 3"),
        ({"audios": np.zeros((3, 1))}, {}, "no array 'audio'. Did you mean 'audios'?"),
        ({"audio": np.zeros(3)}, {}, "shape (3,)"),
        ({"audio": np.zeros((3, 1), "U1")}, {}, "expected numbers"),
        ({"audio": np.array([[None]] * 3)}, {}, "without Python objects"),
        ({"audio": np.zeros((1, 1)), "video": ["a"], "index": [1]}, {}, "no row for utterance a/2"),
        ({"audio": np.zeros((2, 1)), "video": ["a", "a"], "index": [1, 1]}, {}, "rows 0 and 1 both have the key a/1"),
        ({"audio": np.zeros((3, 1)), "video": ["a", "a"], "index": [1, 2, 0]}, {}, "'video' is of shape (2,)"),
        ({"audio": np.zeros((3, 1))}, {"keys": ["vid", "index"]}, "no array 'vid'"),
        ({"audio": np.zeros((3, 1))}, {"sentinels": {1: [0]}}, "column 1, but the columns are 0 to 0"),
        ({"audio": np.zeros((3, 4, 1)), "n": [1, 2, 9]}, {"lengths": "n"}, "row 2: a length of 9"),
    ],
)
def test_arrays_that_do_not_fit_are_told(
    tmp_path: Path, arrays: dict[str, Any], more: dict[str, Any], told: str
) -> None:
    np.savez(tmp_path / "audio.npz", **arrays)
    message = refused(table(tmp_path), {"features": {"audio": {"file": "audio.npz", **more}}})
    assert told in message
    assert "audio.npz" in message


def test_a_file_that_is_no_npz_is_told(tmp_path: Path) -> None:
    (tmp_path / "audio.npz").write_bytes(b"PK\x03\x04 broken")
    assert "cannot read" in refused(table(tmp_path), AUDIO)


def test_absent_rows_make_the_modality_absent_and_required_ones_are_left_out(tmp_path: Path) -> None:
    np.savez(tmp_path / "audio.npz", audio=[[1.0]], video=["a"], index=[2])
    feature = {"features": {"audio": {"file": "audio.npz", "missing": "absent"}}}
    corpus = imported(table(tmp_path), feature)
    assert corpus.everything().features["audio"].present.tolist() == [False, True, False]
    (tmp_path / "required").mkdir()
    out = tmp_path / "required" / "out.corpus"
    stated = parse_import({"format": "csv", "name": "x", "require": ["audio"], **feature}, "settings")
    corpus = import_corpus(stated, tmp_path, out)
    assert corpus.everything().ids == ["a/2"]
    assert corpus.info.notes["utterances left out"] == {"no audio": 2}


def test_frames_are_ragged_by_key_by_length_or_by_time(tmp_path: Path) -> None:
    table(tmp_path)
    by_key = {"audio": [[1.0], [2.0], [3.0], [4.0]], "video": ["a", "a", "a", "b"], "index": [1, 1, 2, 0]}
    padded = {"audio": [[[1.0], [2.0]], [[3.0], [9.0]], [[4.0], [9.0]]], "n": [2, 1, 1]}
    timed = {
        "audio": [[1.0], [2.0], [3.0], [9.0], [4.0]],
        "video": ["a", "a", "a", "a", "b"],
        "from": [0.0, 0.6, 1.1, 2.0, 0.0],
        "to": [0.4, 1.2, 1.3, 2.2, 0.5],
    }
    for n, (arrays, more) in enumerate(
        [(by_key, {"level": "frames"}), (padded, {"lengths": "n"}), (timed, {"times": ["from", "to"]})]
    ):
        np.savez(tmp_path / "audio.npz", **arrays)
        stated = {"format": "csv", "name": "x", "features": {"audio": {"file": "audio.npz", **more}}}
        corpus = import_corpus(parse_import(stated, "settings"), tmp_path, tmp_path / f"{n}.corpus")
        column = corpus.everything().features["audio"]
        found = [column[i][0].ravel().tolist() for i in range(3)]
        assert found == [[1, 2], [3], [4]], more
        assert corpus.info.features["audio"].level == "frames"
    assert column.times(0).tolist() == [0, 0.6]


def test_sentinels_and_zero_frames_are_masked_and_counted(tmp_path: Path) -> None:
    audio = np.array([[[0, 0], [1, 255], [0, 0], [255, 2], [0, 0]], [[0, 0]] * 5, [[3, 3]] * 5], dtype=np.float32)
    np.savez(tmp_path / "audio.npz", audio=audio)
    rules = {"zero_frames": "absent", "sentinels": {"1": [255]}}
    corpus = imported(table(tmp_path), {"features": {"audio": {"file": "audio.npz", **rules}}})
    column = corpus.everything().features["audio"]
    assert column.lengths.tolist() == [3, 0, 5]
    assert column[0][1].tolist() == [False, False, True]  # a sentinel, a gap, and 255 in a column where it is a value
    assert column.present.tolist() == [True, False, True]
    assert corpus.info.masked == {"audio": 2}


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez(tmp_path / "audio.npz", audio=np.zeros((3, 1)))

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(CorpusWriter, "_flush", full)
    assert "No space left on device" in refused(table(tmp_path), AUDIO)


def test_a_corpus_that_is_there_is_not_overwritten(tmp_path: Path) -> None:
    imported(table(tmp_path))
    assert "exists already" in refused(tmp_path)
