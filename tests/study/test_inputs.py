"""What is meant by the names on a command line."""

import os
from pathlib import Path

import pytest

from mmmie.errors import MediaError
from mmmie.study.inputs import find_inputs


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a/one.mp4", "a/deep/two.WAV", "a/notes.md", "b/one.mp4", "b/one.mov", "-x.mp4", 'it\'s "b" ☺.mkv'):
        place = tmp_path / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(b"x")
    return tmp_path


def results(*named: object) -> dict[str, str]:
    return {str(i.media): i.result.name for i in find_inputs([str(n) for n in named], Path("out"))}


def test_folders_patterns_and_lists(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(results(folder / "a").values()) == ["two.mmmie", "one.mmmie"]
    assert results(folder / "b" / "*.mov") == {str(folder / "b/one.mov"): "one.mmmie"}
    (folder / "list.txt").write_text("# all\n\nb/one.mov\na\n", encoding="utf-8-sig")
    assert [Path(p).name for p in results(folder / "list.txt")] == ["one.mov", "two.WAV", "one.mp4"]
    monkeypatch.chdir(folder)
    assert results("-x.mp4", 'it\'s "b" ☺.mkv') == {"-x.mp4": "-x.mmmie", 'it\'s "b" ☺.mkv': 'it\'s "b" ☺.mmmie'}


def test_each_file_comes_once_and_has_a_folder_of_its_own(folder: Path) -> None:
    found = results(folder / "a", folder / "b", folder / "a/one.mp4")
    assert len(found) == len(set(found.values())) == 4
    assert found[str(folder / "b/one.mov")] == "one.mov.mmmie"
    assert found[str(folder / "a/one.mp4")].endswith("~a~one.mp4.mmmie")


def test_what_is_in_a_result_is_not_analyzed(folder: Path) -> None:
    (folder / "a" / "one.mmmie").mkdir()
    (folder / "a" / "one.mmmie" / "quote.mp4").write_bytes(b"x")
    assert len(results(folder / "a")) == 2


def test_refusals_name_what_is_near(folder: Path) -> None:
    with pytest.raises(MediaError, match=r"Did you mean 'one\.mp4'"):
        results(folder / "a/oen.mp4")
    os.mkdir(folder / "empty")
    with pytest.raises(MediaError, match="holds no video"):
        results(folder / "empty")
    with pytest.raises(MediaError, match="no video or recording matches"):
        results(folder / "*.avi")
    (folder / "self.txt").write_text("self.txt\n")
    with pytest.raises(MediaError, match="names itself"):
        results(folder / "self.txt")
    (folder / "latin.txt").write_bytes(b"\xe9.mp4\n")
    with pytest.raises(MediaError, match="UTF-8"):
        results(folder / "latin.txt")
