"""What analyses derived goes, and nothing else; what was interrupted is found again."""

import io
from contextlib import suppress
from pathlib import Path

import pytest

from mmmie.analysis.analysis import Analysis
from mmmie.analysis.request import DONE_FILE, STAGES_FOLDER
from mmmie.analysis.result import Stage
from mmmie.analysis.stages import StageLog, StageStore, failed_result, key_of
from mmmie.cli.main import main
from mmmie.errors import EvidenceError
from mmmie.study import forget
from mmmie.study.batch import write_files
from mmmie.study.forget import Entry, delete, find_derived
from mmmie.study.table import write_study


def analysis(folder: Path, name: str = "talk") -> Path:
    """A media file, and beside it what an analysis of it leaves."""
    media = folder / f"{name}.mp4"
    media.write_bytes(b"the media itself")
    result = folder / f"{name}.mmmie"
    store = StageStore(result / STAGES_FOLDER, StageLog())
    for stage in ("media", "faces"):
        store.make(stage, key_of(stage), lambda place: [(place / f).write_bytes(b"x" * 1000) for f in "ab"])
    (result / STAGES_FOLDER / DONE_FILE).write_text("{}")
    failed = Stage(stage="prediction", status="failed", cause="It broke.", repair="Mend it.")
    write_files(Analysis(failed_result(media, [*store.log.records, failed])).save(result))
    return result


def everything(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def test_all_of_an_analysis_goes_and_the_media_stays(tmp_path: Path) -> None:
    result = analysis(tmp_path)
    files = [path for path in result.rglob("*") if path.is_file()]
    (derived,) = find_derived(result)
    assert derived.num_files == len(files) == 15
    assert derived.num_bytes == sum(path.stat().st_size for path in files)
    assert derived.foreign == ()
    delete([derived])
    assert everything(tmp_path) == {"talk.mp4"}


def test_what_no_analysis_made_stays(tmp_path: Path) -> None:
    result = analysis(tmp_path)
    mine = {"notes.txt", "talk.mp4", f"{STAGES_FOLDER}/mine.txt", "report-old.html", "media-0123456789abcdef"}
    for name in mine:
        (result / name).write_text("mine")
    link = result / STAGES_FOLDER / "faces-0123456789abcdef"
    link.symlink_to(tmp_path)
    (derived,) = find_derived(result)
    assert {path.name for path in derived.foreign} == {Path(name).name for name in mine} | {link.name}
    delete([derived])
    assert everything(result) == mine | {STAGES_FOLDER, f"{STAGES_FOLDER}/{link.name}"}
    assert (tmp_path / "talk.mp4").read_bytes() == b"the media itself"


def test_a_study_goes_with_its_table_but_not_with_tables_of_others(tmp_path: Path) -> None:
    results = [analysis(tmp_path, name) for name in ("a", "b c", "-d")]
    write_study([(path, Analysis.open(path).result) for path in results], tmp_path)
    (tmp_path / "other.mmmie").mkdir()
    (tmp_path / "other.mmmie" / "result.json").write_text('{"score": 3}')
    found = find_derived(tmp_path)
    assert [d.folder.name for d in found] == ["-d.mmmie", "a.mmmie", "b c.mmmie", tmp_path.name]
    delete(found)
    assert everything(tmp_path) == {"a.mp4", "b c.mp4", "-d.mp4", "other.mmmie", "other.mmmie/result.json"}

    analysis(tmp_path, "a")
    (tmp_path / "study.csv").write_text("participant,age\n1,30\n")
    delete(find_derived(tmp_path))
    assert (tmp_path / "study.csv").is_file()


def test_results_can_be_kept(tmp_path: Path) -> None:
    result = analysis(tmp_path)
    shown = {path.name for path in result.iterdir()} - {STAGES_FOLDER}
    delete(find_derived(result, keep_results=True))
    assert {path.name for path in result.iterdir()} == shown
    assert Analysis.open(result).result.media.name == "talk.mp4"


@pytest.mark.parametrize("stop_after", range(13))
def test_what_was_interrupted_is_found_again(tmp_path: Path, stop_after: int) -> None:
    result = analysis(tmp_path)
    gone = []

    def interrupt(entry: Entry) -> None:
        gone.append(entry)
        if len(gone) > stop_after:
            raise KeyboardInterrupt

    with suppress(KeyboardInterrupt):  # after the last entry nothing is left but empty folders
        delete(find_derived(result), interrupt)
    delete(find_derived(tmp_path))
    assert everything(tmp_path) == {"talk.mp4"}


def test_half_a_stage_has_not_the_name_of_a_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed while a stage is being deleted: the next analysis must not take what is left for the whole."""
    result = analysis(tmp_path)

    def killed(path: Path) -> None:
        (path / "a").unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(forget.shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            delete(find_derived(result))
    whole = [path for path in (result / STAGES_FOLDER).iterdir() if not path.name.startswith(".")]
    assert [len(list(path.iterdir())) for path in whole] == [2]
    assert not (result / STAGES_FOLDER / DONE_FILE).exists()
    delete(find_derived(result))
    assert everything(tmp_path) == {"talk.mp4"}


def test_folders_that_hold_no_analysis_are_refused(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text('{"mine": 1}')
    (tmp_path / "utterances.csv").write_text("mine")
    with pytest.raises(EvidenceError, match="holds no analysis"):
        find_derived(tmp_path)
    result = analysis(tmp_path)
    with pytest.raises(EvidenceError, match=r"Did you mean 'talk\.mmmie'"):
        find_derived(tmp_path / "talk.mmie")
    with pytest.raises(EvidenceError, match="no folder"):
        find_derived(result / "result.json")


def test_the_command_lists_and_does_nothing_unasked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = analysis(tmp_path)
    (result / "notes.txt").write_text("mine")
    before = everything(tmp_path)
    assert main(["forget", str(result)]) == 2  # there is no terminal to ask at
    said = capsys.readouterr()
    assert "--yes" in said.err
    assert f"2.0 kB  {result / STAGES_FOLDER}/faces-" in said.out
    assert f"stays  {result / 'notes.txt'}" in said.out
    assert "in 15 files, to be deleted" in said.out
    assert everything(tmp_path) == before
    assert main(["forget", str(result), "--yes"]) == 0
    assert "deleted 15 files" in capsys.readouterr().out
    assert everything(tmp_path) == {"talk.mp4", "talk.mmmie", "talk.mmmie/notes.txt"}
    assert main(["forget", str(result), "--yes"]) == 2


@pytest.mark.parametrize(("answer", "status"), [("y\n", 0), ("n\n", 1), ("", 1)])
def test_the_command_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, status: int) -> None:
    result = analysis(tmp_path)
    terminal = io.StringIO(answer)
    terminal.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr("sys.stdin", terminal)
    assert main(["forget", str(result)]) == status
    assert result.exists() == bool(status)
