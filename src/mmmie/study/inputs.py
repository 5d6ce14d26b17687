"""What the user wants analyzed: files, folders, patterns and lists become media files, each with a result folder."""

import glob
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from mmmie.analysis.request import RESULT_SUFFIX, Input
from mmmie.errors import MediaError, did_you_mean

MEDIA = frozenset(
    [
        ".mp4",
        ".m4v",
        ".mov",
        ".mkv",
        ".webm",
        ".avi",
        ".mpg",
        ".mpeg",
        ".ts",
        ".mts",
        ".m2ts",
        ".wmv",
        ".flv",
        ".3gp",
        ".ogv",
        ".wav",
        ".mp3",
        ".m4a",
        ".aac",
        ".flac",
        ".ogg",
        ".opus",
        ".wma",
        ".aiff",
        ".aif",
        ".mka",
    ]
)
"""What is taken out of a folder or a pattern; a file that is named is analyzed whatever its suffix."""


def find_inputs(named: Sequence[str], out: Path) -> tuple[Input, ...]:
    """The files that are meant, each once, in the order in which they were named; a folder's in that of their names.

    Args:
        named: files; folders, searched with their subfolders; patterns as in `talks/*.mp4`; lists, `.txt` files of one
            of these a line, relative to where the list stands.
        out: the folder of the results: `interview.mp4` gets `interview.mmmie`, or, where two files would share that,
            `interview.mp4.mmmie`, or, where two folders hold a file of that name, `folder~interview.mp4.mmmie`.

    Raises:
        MediaError: nothing is there, or nothing in a folder or a pattern is media.
    """
    files = list(dict.fromkeys(path for name in named for path in _files(name, Path())))
    stems = Counter(path.stem for path in files)
    names = Counter(path.name for path in files)
    inputs = []
    for path in files:
        stem = path.stem if stems[path.stem] == 1 else path.name
        if stems[path.stem] > 1 and names[path.name] > 1:
            stem = "~".join([*path.resolve().parts[-3:-1], path.name])
        inputs.append(Input(path, out / f"{stem}{RESULT_SUFFIX}"))
    return tuple(inputs)


def _files(name: str, base: Path) -> list[Path]:
    path = base / name
    if path.is_dir():
        found = sorted(p for p in path.rglob("*") if p.is_file() and p.suffix.lower() in MEDIA)
        found = [p for p in found if not any(part.endswith(RESULT_SUFFIX) for part in p.parent.parts)]
        if not found:
            raise MediaError(f"the folder {path} holds no video or recording ({', '.join(sorted(MEDIA))})")
        return found
    if path.suffix.lower() == ".txt" and path.is_file():
        return _listed(path)
    if path.is_file():
        return [path]
    if glob.has_magic(name):
        found = sorted(p for p in map(Path, glob.glob(str(path), recursive=True)) if p.suffix.lower() in MEDIA)
        if not found:
            raise MediaError(f"no video or recording matches {path}")
        return found
    beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
    raise MediaError(f"there is no file {path}. {did_you_mean(path.name, beside) if beside else ''}".rstrip())


def _listed(path: Path) -> list[Path]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise MediaError(f"the list {path} is not text in UTF-8. Save it as UTF-8, one file a line.") from None
    named = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if not named:
        raise MediaError(f"the list {path} names no file. Write one file a line.")
    for name in named:
        if (path.parent / name).resolve() == path.resolve():
            raise MediaError(f"the list {path} names itself")
    return [found for name in named for found in _files(name, path.parent)]
