from collections.abc import Callable
from pathlib import Path

import pytest

from mmmie.media.files import MediaInfo, probe
from odd_files import MAKERS


@pytest.fixture(scope="session")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """By file name: a readable oddity of `odd_files.MAKERS`, made once."""
    folder = tmp_path_factory.mktemp("odd")

    def make(name: str) -> Path:
        path = folder / name
        return path if path.exists() else MAKERS[name](path)

    return make


@pytest.fixture(scope="session")
def probed(odd: Callable[[str], Path]) -> Callable[[str], MediaInfo]:
    return lambda name: probe(odd(name))
