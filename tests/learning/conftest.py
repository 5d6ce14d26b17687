from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mmmie.corpus.store import Corpus
from mmmie.settings import Recipe
from tiny_corpora import make_recipe, write_corpus, write_encoder


@pytest.fixture(scope="session")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_encoder(tmp_path_factory.mktemp("encoders") / "bert", layers=2)


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return write_corpus(tmp_path_factory.mktemp("corpora") / "tiny.corpus")


@pytest.fixture
def recipe(corpus: Corpus, encoder: Path) -> Callable[..., Recipe]:
    """A recipe of the tiny corpus; sections are merged into its own."""

    def make(**sections: Any) -> Recipe:
        text = {"encoder": str(encoder), **sections.pop("text", {})}
        return make_recipe(sections.pop("corpus", corpus.path), text=text, **sections)

    return make
