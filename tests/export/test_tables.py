"""CSV, Parquet and their dictionary, read back by csv, pandas and pyarrow."""

import csv
import json

import pandas
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from example_results import HOSTILE, hostile, ordinary, silent, unreadable
from mmmie.analysis.analysis import Analysis
from mmmie.analysis.columns import columns, rows
from mmmie.export import columns as dictionary
from mmmie.export import csv_, parquet

COMPUTED = ("=", "+", "-", "@", "\t", "\r", "\n")


def read_csv(result, tmp_path):
    path = tmp_path / "utterances.csv"
    assert csv_.write(result, path) == ()
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def without_apostrophe(text):
    """As `columns.json` tells the reader to do."""
    return (
        text[1:] if text.startswith("'") and text.lstrip("'").startswith((*COMPUTED, "＝", "＋", "－", "＠")) else text
    )


@pytest.fixture(params=[ordinary, hostile, silent, unreadable], ids=lambda make: make.__name__)
def result(request):
    return request.param()


def test_every_format_has_the_columns_of_the_dictionary(result, tmp_path):
    dictionary.write(result, tmp_path / "columns.json")
    csv_.write(result, tmp_path / "a.csv")
    parquet.write(result, tmp_path / "a.parquet")
    described = json.loads((tmp_path / "columns.json").read_text("utf-8"))["columns"]
    names = [column["name"] for column in described]
    assert next(csv.reader((tmp_path / "a.csv").open(encoding="utf-8", newline=""))) == names
    schema = pq.read_schema(tmp_path / "a.parquet")
    assert schema.names == names
    assert list(Analysis(result).to_frame()) == names
    for column, field in zip(described, schema, strict=True):
        arrow = {"double": "float64"}.get(str(field.type), str(field.type))
        assert (column["dtype"], column["unit"]) == (arrow, field.metadata[b"unit"].decode())
        assert column["meaning"] == field.metadata[b"meaning"].decode()


def test_every_column_is_explained():
    described = columns(ordinary())
    assert all(column.meaning.endswith(".") for column in described)
    assert len({column.name for column in described}) == len(described)
    units = {column.name: column.unit for column in described}
    assert (units["start_seconds"], units["score"], units["voice_pitch_mean"]) == ("s", "score", "Hz")


def test_parquet_gives_back_every_cell(result, tmp_path):
    parquet.write(result, tmp_path / "a.parquet")
    table = pq.read_table(tmp_path / "a.parquet")
    assert table.to_pydict() == rows(result)
    about = json.loads(table.schema.metadata[b"mmmie"])
    assert about == {"schema_version": 1, "media": result.media.name, "sha256": result.media.sha256}


def test_csv_gives_back_every_cell(result, tmp_path):
    read = read_csv(result, tmp_path)
    cells = rows(result)
    assert len(read) == len(result.utterances)
    for column in columns(result):
        for row, cell in zip(read, cells[column.name], strict=True):
            came = row[column.name]
            if cell is None:
                assert came == ""
            elif column.dtype == "string":
                assert without_apostrophe(came) == cell.replace("\0", "\N{REPLACEMENT CHARACTER}")
            else:
                assert {"bool": lambda t: t == "true", "float64": float, "int64": int}[column.dtype](came) == cell


def test_no_text_can_be_computed(tmp_path):
    texts = {column.name for column in columns(hostile()) if column.dtype == "string"}
    for row in read_csv(hostile(), tmp_path):
        assert not any(row[name].startswith(COMPUTED) for name in texts)
    assert read_csv(ordinary(), tmp_path)[0]["score"] == "-1.4"


@settings(max_examples=200)
@given(st.text(alphabet="'=+-@\t\n a＝", max_size=5))
def test_the_apostrophe_can_be_taken_off(text):
    assert without_apostrophe(csv_.as_text(text)) == text


def test_pandas_reads_what_the_frame_holds(tmp_path):
    result = ordinary()
    frame = Analysis(result).to_frame()
    csv_.write(result, tmp_path / "a.csv")
    parquet.write(result, tmp_path / "a.parquet")
    types = frame.dtypes.to_dict()
    pandas.testing.assert_frame_equal(pandas.read_parquet(tmp_path / "a.parquet").astype(types), frame)
    from_csv = pandas.read_csv(tmp_path / "a.csv", dtype=types).astype(types)
    for name in frame.select_dtypes("string"):  # an empty cell is a missing string or an empty one
        from_csv[name], frame[name] = from_csv[name].fillna(""), frame[name].fillna("")
    pandas.testing.assert_frame_equal(from_csv, frame)


def test_pandas_reads_hostile_text(tmp_path):
    csv_.write(hostile(), tmp_path / "a.csv")
    read = pandas.read_csv(tmp_path / "a.csv", keep_default_na=False)
    assert len(read) == len(HOSTILE)
    assert read["text"][HOSTILE.index("NA")] == "NA"
    assert read["id"].tolist() == [u.id for u in hostile().utterances]
