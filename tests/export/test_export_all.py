"""All formats at once, Label Studio, and what holds for every one of them."""

import json
import re
from xml.etree import ElementTree

import pytest

from example_results import HOSTILE, hostile, ordinary, silent, unreadable
from mmmie.errors import EvidenceError
from mmmie.export import FORMATS, export_all
from mmmie.export.labelstudio import LABELLING_CONFIG

FILES = {
    "utterances.csv",
    "utterances.parquet",
    "columns.json",
    "utterances.vtt",
    "utterances.srt",
    "utterances.eaf",
    "utterances.TextGrid",
    "labelstudio.json",
}


@pytest.mark.parametrize("make", [ordinary, hostile, silent, unreadable], ids=lambda make: make.__name__)
def test_every_file_is_there_and_the_same_the_next_time(make, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert export_all(make(), tmp_path / "a") == export_all(make(), tmp_path / "b")
    written = {path.name: path.read_bytes() for path in (tmp_path / "a").iterdir()}
    assert written.keys() == FILES
    assert written == {path.name: path.read_bytes() for path in (tmp_path / "b").iterdir()}


def test_notes_name_their_file(tmp_path):
    assert [note.split(": ")[0] for note in export_all(ordinary(), tmp_path)] == [
        "utterances.eaf",
        "utterances.TextGrid",
    ]


def test_some_formats_can_be_chosen(tmp_path):
    export_all(ordinary(), tmp_path, ("vtt", "csv"))
    assert {path.name for path in tmp_path.iterdir()} == {"utterances.vtt", "utterances.csv"}
    with pytest.raises(EvidenceError, match=r"no export format 'vt'\. Did you mean 'vtt'"):
        export_all(ordinary(), tmp_path, ("vt",))


@pytest.mark.parametrize("name", FORMATS)
def test_what_was_there_stays_when_writing_fails(name, tmp_path, monkeypatch):
    path = tmp_path / FORMATS[name].file
    path.write_text("before")
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(EvidenceError, match="disk full"):
        FORMATS[name].write(ordinary(), path)
    assert [p.read_text() for p in tmp_path.iterdir()] == ["before"]


def test_label_studio_gets_a_region_an_utterance(tmp_path):
    export_all(ordinary(), tmp_path, ("labelstudio",))
    (task,) = json.loads((tmp_path / "labelstudio.json").read_text("utf-8"))
    parts = task["predictions"][0]["result"]
    assert {part["id"] for part in parts} == {u.id for u in ordinary().utterances}
    second = {part["from_name"]: part for part in parts if part["id"] == "u0001"}
    assert second["sentiment"]["value"] == {"start": 2.0, "end": 4.0, "channel": 0, "labels": ["positive"]}
    assert second["transcription"]["value"]["text"] == ["this is number 1"]
    assert second["speaker"]["value"]["text"] == ["Ben"]
    assert second["score"]["value"]["number"] == 1.25
    labels = [part["value"]["labels"][0] for part in parts if part["type"] == "labels"]
    assert labels == ["negative", "positive", "undecided", "undecided", "neutral", "negative"]


def test_label_studio_parts_are_those_of_its_config(tmp_path):
    config = ElementTree.fromstring(LABELLING_CONFIG)
    kinds = {e.attrib["name"]: e.tag.lower() for e in config if "toName" in e.attrib}
    labels = {e.attrib["value"] for e in config.iter("Label")}
    export_all(ordinary(), tmp_path, ("labelstudio",))
    (task,) = json.loads((tmp_path / "labelstudio.json").read_text("utf-8"))
    for part in task["predictions"][0]["result"]:
        assert kinds[part["from_name"]] == part["type"]
        assert part["to_name"] == "audio"
        assert set(part["value"].get("labels", ())) <= labels
    assert re.search(r'value="\$audio"', LABELLING_CONFIG)
    assert task["data"]["audio"] == "../interview.mp4"


def test_label_studio_keeps_hostile_text_as_it_is(tmp_path):
    export_all(hostile(), tmp_path, ("labelstudio",))
    (task,) = json.loads((tmp_path / "labelstudio.json").read_text("utf-8"))
    texts = [p["value"]["text"][0] for p in task["predictions"][0]["result"] if p["from_name"] == "transcription"]
    assert texts == list(HOSTILE)
