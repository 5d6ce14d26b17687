"""predictions.parquet: what is written is read, what cannot be is refused; pairing and pooling."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmmie.errors import EvidenceError
from mmmie.evidence import predictions as module
from mmmie.evidence.predictions import Origin, Predictions, pool, refuse_difference, stack

ORIGIN = Origin("toy", 3, "corpus", "0123456789abcdef", (-3.0, 3.0), "0.1.0")


def _make(videos="aabb", splits=None, seed=3, run="toy", fingerprint=ORIGIN.corpus_fingerprint, scores=None):
    n = len(videos)
    return Predictions(
        replace(ORIGIN, seed=seed, run=run, corpus_fingerprint=fingerprint),
        videos=np.array(list(videos)),
        indices=np.arange(n),
        splits=np.array(splits or ["test"] * n),
        labels=np.linspace(-1, 1, n),
        scores=np.linspace(-0.7, 1.3, n) if scores is None else np.array(scores),
    )


def test_round_trip_is_exact(tmp_path):
    predictions = _make(splits=["valid", "test", "test", "valid"], scores=[0.1, 1 / 3, -1e-17, 5.0])
    predictions.write(tmp_path / "p.parquet")
    found = Predictions.read(tmp_path / "p.parquet")
    assert found.origin == predictions.origin
    assert found.ids == ["a/0", "a/1", "b/2", "b/3"]
    for name in ("videos", "indices", "splits", "labels", "scores"):
        assert np.array_equal(getattr(found, name), getattr(predictions, name))
    assert found.part("test").ids == ["a/1", "b/2"]
    assert [p.name for p in tmp_path.iterdir()] == ["p.parquet"]


def test_columns_are_those_of_the_documented_format(tmp_path):
    _make().write(tmp_path / "p.parquet")
    schema = pq.read_schema(tmp_path / "p.parquet")
    assert [(f.name, str(f.type)) for f in schema] == [
        ("video", "string"),
        ("index", "int64"),
        ("split", "string"),
        ("label", "double"),
        ("score", "double"),
    ]


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "p.parquet"
    _make().write(path)
    before = path.read_bytes()

    def fill_the_disk(_, where):
        where.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.pq, "write_table", fill_the_disk)
    with pytest.raises(EvidenceError, match=r"could not write .*p\.parquet: .*No space left"):
        _make(seed=4).write(path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["p.parquet"]


def _rewrite(path, change):
    table = pq.read_table(path)
    pq.write_table(change(table), path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop_columns(["score"]), "expected video string, index int64, split string, label double, score"),
        (lambda t: t.replace_schema_metadata({}), "not a file of predictions"),
        (lambda t: t.set_column(2, "split", pa.array(["tset"] * 4)), "unknown split 'tset'. Did you mean 'test'"),
        (lambda t: t.set_column(4, "score", pa.array([0.0, np.nan, 0.0, 0.0])), r"row 1: a/1 has label .* score nan"),
        (lambda t: t.set_column(3, "label", pa.array([0.0, 0.0, 4.0, 0.0])), r"row 2: b/2 has label 4\.0"),
        (lambda t: t.set_column(1, "index", pa.array([0, 0, 1, 2])), "row 1: a/0 comes twice"),
        (lambda t: t.set_column(0, "video", pa.array(["a", None, "b", "b"])), "empty cells"),
    ],
)
def test_files_that_cannot_be_are_refused(tmp_path, change, message):
    path = tmp_path / "p.parquet"
    _make().write(path)
    _rewrite(path, change)
    with pytest.raises(EvidenceError, match=message):
        Predictions.read(path)


def test_what_is_no_parquet_is_refused(tmp_path):
    (tmp_path / "p.parquet").write_bytes(b"PAR1 and then nothing")
    with pytest.raises(EvidenceError, match="not a file of predictions"):
        Predictions.read(tmp_path / "p.parquet")
    with pytest.raises(EvidenceError, match="Make them with `mmmie evaluate"):
        Predictions.read(tmp_path / "none.parquet")


def test_pairing_names_the_first_difference():
    refuse_difference(_make(), _make(seed=4, run="other"))
    with pytest.raises(EvidenceError, match="different corpora"):
        refuse_difference(_make(), _make(fingerprint="f" * 16))
    with pytest.raises(EvidenceError, match="row 3 is b/3 in the one and c/3 in the other"):
        refuse_difference(_make(), _make("aabc"))
    with pytest.raises(EvidenceError, match="4 and 3 utterances; the first that only one has is b/3"):
        refuse_difference(_make(), replace(_make(), **_rows(_make(), slice(3))))
    other = _make()
    with pytest.raises(EvidenceError, match=r"b/3 has label 1\.0 and 0\.5"):
        refuse_difference(other, replace(other, labels=np.array([*other.labels[:3], 0.5])))


def _rows(predictions, rows):
    return {n: getattr(predictions, n)[rows] for n in ("videos", "indices", "splits", "labels", "scores")}


def test_stack_is_a_row_for_each():
    assert stack([_make(scores=[0, 1, 2, 3]), _make(scores=[4, 5, 6, 7])]).tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]


def test_pool_joins_the_tests_of_folds_by_seed():
    folds = [
        _make("bbcc", ["test", "test", "valid", "valid"], seed=1, run="fold-0"),
        _make("aabb", ["test", "test", "valid", "valid"], seed=1, run="fold-1", scores=[9, 8, 0, 0]),
        _make("aabb", ["test", "test", "valid", "valid"], seed=0, run="fold-1"),
        _make("bbcc", ["test", "test", "valid", "valid"], seed=0, run="fold-0"),
    ]
    zero, one = pool(folds)
    assert (zero.origin.seed, one.origin.seed) == (0, 1)
    assert one.ids == ["a/0", "a/1", "b/0", "b/1"]
    assert one.scores.tolist() == [9, 8, *folds[0].scores[:2]]
    assert one.metrics().mae == pytest.approx(
        np.abs(np.array([9, 8, *folds[0].scores[:2]]) - np.array([*folds[1].labels[:2], *folds[0].labels[:2]])).mean()
    )
    refuse_difference(zero, one)


def test_pool_refuses_what_is_no_cross_validation():
    with pytest.raises(EvidenceError, match="both test video b"):
        pool([_make("aabb"), _make("bbcc")])
    with pytest.raises(EvidenceError, match="not folds of one corpus"):
        pool([_make("aa"), _make("bb", fingerprint="f" * 16)])
    with pytest.raises(EvidenceError, match=r"seed 4 has no test predictions for 1 videos .* such as b"):
        pool([_make("aa", seed=3), _make("bb", seed=3), _make("aa", seed=4)])
