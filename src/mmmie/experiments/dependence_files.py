"""Arrays and groups read from files, and what was found written to one. Nothing is unpickled."""

import json
import os
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mmmie.errors import EvidenceError, did_you_mean
from mmmie.experiments.dependence import Dependence
from mmmie.experiments.dependence_critics import Floats


def read_array(path: Path) -> Floats:
    """One array of a `.npy` file, as it was saved.

    Raises:
        EvidenceError: no such file, another format, a damaged file, or an array of Python objects.
    """
    if path.suffix != ".npy":
        raise EvidenceError(f"{path}: expected a .npy file. Write one by numpy.save('{path.stem}.npy', array).")
    if not path.is_file():
        raise EvidenceError(f"no array at {path}. {_near(path)}".strip())
    try:
        array = np.load(path, allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        if "pickle" in str(error):
            raise EvidenceError(
                f"{path} holds Python objects, which are never opened: they can run code. "
                "Save it as numbers: numpy.save(path, array.astype('float32'))."
            ) from None
        raise EvidenceError(f"{path} cannot be read as .npy: {error}") from None
    if not isinstance(array, np.ndarray):
        raise EvidenceError(f"{path} holds an archive of several arrays. Save one by numpy.save.")
    return array


def read_groups(path: Path) -> NDArray[np.str_]:
    """The group of each row: one a line, in the order of the rows.

    Raises:
        EvidenceError: no such file, one that is not UTF-8 text, or a line without a name.
    """
    if not path.is_file():
        raise EvidenceError(f"no groups at {path}. {_near(path)}".strip())
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise EvidenceError(f"{path} must be UTF-8 text, the group of each row on a line of its own") from None
    groups = [line.strip() for line in lines]
    if "" in groups:
        raise EvidenceError(f"{path}, line {groups.index('') + 1}: a group is missing. Each row needs one.")
    return np.asarray(groups, dtype=np.str_)


def write_dependence(found: Dependence, path: Path) -> None:
    """All of it as JSON; `high` is null where the bound is at its ceiling."""
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_text(json.dumps(asdict(found), indent=2, allow_nan=False) + "\n", "utf-8")
        os.replace(part, path)
    except OSError as error:
        raise EvidenceError(f"cannot write {path}: {error.strerror}. Name a folder that exists.") from None


def _near(path: Path) -> str:
    folder = path.parent
    names = [other.name for other in folder.iterdir() if other.suffix == path.suffix] if folder.is_dir() else []
    return did_you_mean(path.name, names) if names else ""
