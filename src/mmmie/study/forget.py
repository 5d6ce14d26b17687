"""Deletes what analyses derived from media: kept stages, results, pages, the table of a study; and nothing else.

    find -> Derived, ... -> the user looks at them -> delete

Only what an analysis names so is touched: files of the names that it writes, in a folder that is an analysis. Whatever
else lies there stays, and so does its folder. `result.json` goes last, so that what was interrupted is found again.
"""

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mmmie.analysis.request import DONE_FILE, RESULT_SUFFIX, STAGES_FOLDER
from mmmie.analysis.result import RESULT_FILE
from mmmie.errors import EvidenceError, did_you_mean
from mmmie.export import FORMATS
from mmmie.report.page import REPORT_FILE
from mmmie.study.table import STUDY_FILE

SHOWN_FILES = (REPORT_FILE, *(made.file for made in FORMATS.values()))
"""What stands beside `result.json`."""
STAGE = re.compile(r"[a-z]+-[0-9a-f]{16}")
UNFINISHED = re.compile(rf"\.{STAGE.pattern}\..+|\.({re.escape(DONE_FILE)})\.\d+")
"""What was being written, or deleted, when a call was killed."""
UNFINISHED_FILE = re.compile(rf"\.({'|'.join(map(re.escape, (RESULT_FILE, *SHOWN_FILES)))})\.\d+")


@dataclass(frozen=True)
class Entry:
    """A file, or a folder with all that is in it."""

    path: Path
    num_bytes: int
    num_files: int


@dataclass(frozen=True)
class Derived:
    """What one analysis made, in the order in which it is to be deleted."""

    folder: Path
    entries: tuple[Entry, ...]
    foreign: tuple[Path, ...] = ()
    """What lies there and was not made by an analysis; it stays."""

    @property
    def num_bytes(self) -> int:
        return sum(entry.num_bytes for entry in self.entries)

    @property
    def num_files(self) -> int:
        return sum(entry.num_files for entry in self.entries)


def find_derived(folder: Path, keep_results: bool = False) -> tuple[Derived, ...]:
    """What analyses made in a folder: in itself, where it is one, else in its `.mmmie` folders, and their table.

    Args:
        folder: of one analysis, or of a study.
        keep_results: only the stages, which hold the decoded sound and everything found on the way to the results.

    Raises:
        EvidenceError: there is no such folder, or no analysis in it.
    """
    if not folder.is_dir():
        beside = [p.name for p in folder.parent.iterdir() if p.is_dir()] if folder.parent.is_dir() else []
        raise EvidenceError(f"there is no folder {folder}. {did_you_mean(folder.name, beside)}".rstrip())
    if _is_analysis(folder):
        return (_derived(folder, keep_results),)
    inside = sorted(p for p in folder.glob(f"*{RESULT_SUFFIX}") if p.is_dir() and not p.is_symlink())
    found = [_derived(p, keep_results) for p in inside if _is_analysis(p) or _is_empty(p)]
    if not found:
        raise EvidenceError(
            f"{folder} holds no analysis: neither it nor a folder in it named *{RESULT_SUFFIX} has been written by "
            "`mmmie analyze`. Name the folder that was given to it as --out."
        )
    table = folder / STUDY_FILE
    if not keep_results and _is_table(table):
        found.append(Derived(folder, (_entry(table),)))
    return tuple(found)


def delete(found: Sequence[Derived], progress: Callable[[Entry], None] = lambda _: None) -> None:
    """Deletes it, and the folders that are then empty. What was deleted when it is interrupted is whole or gone.

    Args:
        found: by `find_derived`.
        progress: told of every entry that is gone.

    Raises:
        EvidenceError: something cannot be deleted; what comes before it is gone.
    """
    for derived in found:
        for entry in derived.entries:
            try:
                _delete(entry.path)
            except OSError as error:
                raise EvidenceError(
                    f"could not delete {entry.path}: {error.strerror or error}. See to its permissions, then try again."
                ) from None
            progress(entry)
        for folder in (derived.folder / STAGES_FOLDER, derived.folder):
            if folder.name == STAGES_FOLDER or folder.suffix == RESULT_SUFFIX:
                with suppress(OSError):  # not empty, or not there
                    folder.rmdir()


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        if STAGE.fullmatch(path.name):  # half a stage must not be found under its name
            path = path.rename(path.with_name(f".{path.name}.forgotten"))
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _is_analysis(folder: Path) -> bool:
    return any(_stages(folder)) or _is_result(folder / RESULT_FILE)


def _is_empty(folder: Path) -> bool:
    """Whether an interrupted call left no more than folders."""
    return not any(names for _, _, names in os.walk(folder))


def _is_result(path: Path) -> bool:
    """Whether some version of mmmie wrote it."""
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(value, dict) and {"schema_version", "media", "stages"} <= value.keys()


def _is_table(path: Path) -> bool:
    try:
        with path.open(encoding="utf-8") as stream:
            return stream.readline().startswith("media,result,status,")
    except (OSError, UnicodeDecodeError):
        return False


def _stages(folder: Path) -> Iterator[Path]:
    """Kept and unfinished stages; `done.json`, which says that all of them are there, first."""
    stages = folder / STAGES_FOLDER
    if not stages.is_dir() or stages.is_symlink():
        return
    if (stages / DONE_FILE).is_file():
        yield stages / DONE_FILE
    for path in sorted(stages.iterdir()):
        if UNFINISHED.fullmatch(path.name) or (STAGE.fullmatch(path.name) and path.is_dir() and not path.is_symlink()):
            yield path


def _results(folder: Path) -> Iterator[Path]:
    yield from (path for path in sorted(folder.iterdir()) if UNFINISHED_FILE.fullmatch(path.name))
    yield from (folder / name for name in (*SHOWN_FILES, RESULT_FILE) if (folder / name).is_file())


def _derived(folder: Path, keep_results: bool) -> Derived:
    stages, results = list(_stages(folder)), list(_results(folder))
    made = {*stages, *results, folder / STAGES_FOLDER}
    inside = [*folder.iterdir(), *((folder / STAGES_FOLDER).iterdir() if (folder / STAGES_FOLDER).is_dir() else ())]
    chosen = stages if keep_results else [*stages, *results]
    return Derived(folder, tuple(map(_entry, chosen)), tuple(sorted(p for p in inside if p not in made)))


def _entry(path: Path) -> Entry:
    if not path.is_dir() or path.is_symlink():
        return Entry(path, path.lstat().st_size, 1)
    sizes = [os.lstat(Path(place) / name).st_size for place, _, names in os.walk(path) for name in names]
    return Entry(path, sum(sizes), len(sizes))
