"""HDF5 files, opened for reading; the one place that imports h5py."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmmie.corpus.importers.sources import existing
from mmmie.errors import CorpusError, did_you_mean


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """An h5py.File. Raises CorpusError where there is no such file, or it is not HDF5, or h5py is not installed."""
    try:
        import h5py
    except ImportError:
        raise CorpusError(f"reading {path} needs h5py: pip install 'mmmie[h5]'") from None
    try:
        file = h5py.File(existing(path), "r")
    except OSError as error:
        raise CorpusError(f"cannot read {path}: {error}. Expected an HDF5 file.") from None
    with file:
        yield file


def read_dataset(file: Any, name: str, place: str) -> NDArray[Any]:
    """A whole data set.

    Args:
        file: an h5py file or group.
        name: of the data set, with `/` between the names of groups.
        place: file, as errors name it.

    Raises:
        CorpusError: there is none of this name, or it cannot be read.
    """
    import h5py

    group, _, last = name.rpartition("/")
    try:
        found = file.get(name)
        if not isinstance(found, h5py.Dataset):
            inside = file.get(group) if group else file
            names = list(inside) if isinstance(inside, h5py.Group) else list(file)
            raise CorpusError(f"{place}: no data set '{name}'. {did_you_mean(last, names)}")
        return np.asarray(found[()])
    except (OSError, KeyError, ValueError, RuntimeError, TypeError) as error:
        raise CorpusError(f"{place}: cannot read '{name}': {error}") from None
