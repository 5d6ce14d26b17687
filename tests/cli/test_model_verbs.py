"""`mmmie models` and `mmmie licenses`."""

import json

import pytest

from mmmie.analysis import licences
from mmmie.analysis.licences import Licensed
from mmmie.cli.main import main
from mmmie.media.models import MODELS


@pytest.fixture(autouse=True)
def no_models(tmp_path, monkeypatch):
    monkeypatch.setenv("MMMIE_MODELS", str(tmp_path / "cache"))


def test_list_names_every_file_and_the_repair(capsys):
    assert main(["models"]) == 0
    said = capsys.readouterr()
    lines = said.out.splitlines()
    assert [line.split()[0] for line in lines] == list(MODELS)
    assert all("missing" in line for line in lines)
    assert "mmmie models fetch" in said.err


def test_verify_fails_where_a_file_is_missing_or_another(capsys, tmp_path):
    assert main(["models", "verify", "face-mesh"]) == 1
    assert "face_landmark.tflite is not there" in capsys.readouterr().err
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "face_landmark.tflite").write_bytes(b"other")
    assert main(["models", "verify", "face-mesh"]) == 1
    said = capsys.readouterr()
    assert "WRONG" in said.out
    assert "is not the published file" in said.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["lst"], "models has no action 'lst'. Did you mean 'list'?"),
        (["fetch", "face-mehs"], "no model file is called 'face-mehs'. Did you mean 'face-mesh'?"),
        (["fetch", "ge2e", "--wheels", "."], "no wheel of Resemblyzer 0.1.4 in ."),
    ],
)
def test_mistakes(arguments, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["models", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_licenses_name_libraries_and_networks(capsys):
    assert main(["licenses", "--json"]) == 0
    found = {thing["name"]: thing for thing in json.loads(capsys.readouterr().out)}
    assert found["numpy"]["licence"].startswith("BSD-3-Clause")
    assert found["face-mesh"]["licence"] == "Apache-2.0"
    assert found["expression"]["kind"] == "network"
    assert found["ratings"]["kind"] == "corpus"
    assert found["ratings"]["licence"].startswith("MIT")
    assert "ruff" not in found  # needed to work on the project, not to run it
    assert not [name for name, thing in found.items() if not thing["licence"]]


def test_what_is_non_commercial_is_marked(capsys, monkeypatch):
    things = (Licensed("network", "a", "1", "MIT", False), Licensed("checkpoint", "b", "", "CC BY-NC 4.0", True))
    monkeypatch.setattr(licences, "in_use", lambda: things)
    assert main(["licenses"]) == 0
    out = capsys.readouterr().out
    assert "CC BY-NC 4.0  NON-COMMERCIAL" in out
    assert out.endswith("Not for commercial use: b.\n")


@pytest.mark.parametrize("licence", ["CC BY-NC-SA 4.0", "Research only", "non-commercial use", "for academic use"])
def test_words_that_forbid_commerce(licence):
    assert licences.NON_COMMERCIAL.search(licence)


@pytest.mark.parametrize("licence", ["MIT", "NCSA", "Apache-2.0", "BSD-3-Clause", "GPL"])
def test_words_that_do_not(licence):
    assert not licences.NON_COMMERCIAL.search(licence)


def test_a_licence_is_read_wherever_a_package_states_it():
    assert licences._licence(["MIT"], ["License :: OSI Approved :: BSD License"], []) == "MIT"
    assert (
        licences._licence([], ["License :: OSI Approved", "License :: OSI Approved :: BSD License"], [])
        == "BSD License"
    )
    assert licences._licence([], [], ["Copyright 2001\nRedistribution ..."]) == "Copyright 2001"
    assert licences._licence([], [], ["UNKNOWN"]) == "not stated in its metadata"
