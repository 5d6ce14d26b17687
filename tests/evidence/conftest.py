from pathlib import Path

import pytest

from mmmie.corpus.store import Corpus
from mmmie.learning.run import Run
from tiny_corpora import make_recipe, write_corpus, write_encoder


@pytest.fixture(scope="session")
def tiny_corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return write_corpus(tmp_path_factory.mktemp("corpora") / "tiny.corpus", {"train": 12, "valid": 6, "test": 4})


@pytest.fixture(scope="session")
def tiny_run(tiny_corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that was really trained, for a second; copy it before writing into it."""
    from mmmie.learning.training import fit

    encoder = write_encoder(tmp_path_factory.mktemp("encoders") / "bert", layers=2)
    recipe = make_recipe(tiny_corpus.path, text={"encoder": str(encoder)})
    out: Path = tmp_path_factory.mktemp("runs") / "tiny" / "0"
    return fit(recipe, tiny_corpus.training(), out)
