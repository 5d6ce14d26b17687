"""What stands between a file and its result: stages, each stored under a key of its inputs and settings.

A stage's output is a folder `NAME-KEY` that appears whole or not at all. What is there is not done again; what was
made under another key is removed when the stage has been done anew.
"""

import ctypes
import hashlib
import json
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from mmmie.analysis.result import Media, Result, Stage
from mmmie.errors import MediaError, MmmieError

STAGES = ("media", "speech", "transcript", "speakers", "utterances", "faces", "voice", "features", "prediction")
"""As a result lists them; faces are looked for beside the four before them, and may end before or after."""

Report = Callable[[str, str], None]
"""Takes a stage and what became of it: `begun`, `done`, `kept`, `skipped`, `failed`, or how far it is
(`at 61 s` of the media); of the media also its length (`lasts 183.2 s`)."""


def key_of(*parts: Any) -> str:
    """16 hex digits over JSON values: settings, versions, and the keys of the stages that come before."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]


class StageFailed(Exception):  # noqa: N818 - not an error of its own: the record says what went wrong
    """A stage could not be done; its record is in the log."""


def _silent(stage: str, state: str) -> None:
    """Reports nothing."""


@dataclass
class StageLog:
    """What became of each stage so far, in the order in which they ended."""

    report: Report = _silent
    records: list[Stage] = field(default_factory=list)

    def skip(self, stage: str, cause: str) -> None:
        """Notes a stage that there is no need or no way to do, without calling it a failure."""
        self._add(Stage(stage=stage, status="skipped", cause=cause))

    @contextmanager
    def doing(self, stage: str) -> Iterator[None]:
        """Times a stage; an error the user can mend becomes its record and `StageFailed`, any other goes on up."""
        began = time.monotonic()
        self.report(stage, "begun")
        try:
            yield
        except MmmieError as error:
            cause, repair = _cause_and_repair(str(error))
            seconds = time.monotonic() - began
            self._add(Stage(stage=stage, status="failed", cause=cause, repair=repair, seconds=seconds))
            raise StageFailed(stage) from error
        self._add(Stage(stage=stage, status="done", seconds=time.monotonic() - began))

    def keep(self, stage: str) -> None:
        self._add(Stage(stage=stage, status="kept"))

    def _add(self, record: Stage) -> None:
        self.records.append(record)
        self.report(record.stage, record.status)


@dataclass(frozen=True)
class StageStore:
    """The outputs of the stages of one file."""

    folder: Path
    log: StageLog

    def make(self, stage: str, key: str, write: Callable[[Path], None]) -> Path:
        """The folder of a stage's output, made by `write` into an empty folder unless it is there already.

        Raises:
            StageFailed: `write` raised an MmmieError, or the disk is full; the log has the record.
        """
        place = self.folder / f"{stage}-{key}"
        if place.is_dir():
            self.log.keep(stage)
            return place
        with self.log.doing(stage):
            try:
                self._write(place, write)
            except OSError as error:
                raise MediaError(f"could not write {place}: {error}. Make room, or choose another --out.") from error
        give_memory_back()
        for pattern in (f"{stage}-*", f".{stage}-*"):  # of other settings; of a call that was killed
            for old in self.folder.glob(pattern):
                if old != place:
                    shutil.rmtree(old, ignore_errors=True)
        return place

    def _write(self, place: Path, write: Callable[[Path], None]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{place.name}.", dir=self.folder))
        try:
            write(temporary)
            os.chmod(temporary, 0o755)
            temporary.rename(place)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def give_memory_back() -> None:
    """Lets the system have the memory that was freed; without it, what a stage leaves behind grows with the recording.

    The C library of Linux keeps freed pieces that lie between others. Elsewhere this does nothing.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


def failed_result(media: Path, stages: Sequence[Stage], notes: tuple[str, ...] = ()) -> Result:
    """The result of a file of which there is nothing to show."""
    versions = {"mmmie": version("mmmie")}
    media_of = Media(name=media.name)
    return Result(status="failed", media=media_of, stages=tuple(stages), versions=versions, notes=notes)


def save_value(path: Path, kind: Any, value: Any) -> None:
    """Writes a frozen dataclass, or a tuple of them, as JSON."""
    path.write_bytes(TypeAdapter(kind).dump_json(value))


def load_value(path: Path, kind: Any) -> Any:
    """Reads what `save_value` wrote, as a value of `kind`."""
    return TypeAdapter(kind).validate_json(path.read_bytes())


def _cause_and_repair(text: str) -> tuple[str, str]:
    """Errors say what came and then, in their last sentence, what to do."""
    text = text.strip()
    text = text if text.endswith((".", "?", "!", ")")) else f"{text}."
    sentences = re.fullmatch(r"(.*[.?!])\s+(.+)", text, re.DOTALL)
    return (sentences[1], sentences[2]) if sentences else (text, "Look at the file, and analyze it again.")
