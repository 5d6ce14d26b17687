"""An interrupted run goes on with what it was begun with, and with nothing else."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mmmie.corpus.resplit import ResplitSettings, resplit
from mmmie.corpus.store import Corpus
from mmmie.errors import CheckpointError
from mmmie.learning import training
from mmmie.learning.run import Run
from mmmie.learning.training import fit
from mmmie.settings import Recipe
from tiny_corpora import write_corpus

Make = Callable[..., Recipe]


@pytest.fixture
def interrupt(monkeypatch: pytest.MonkeyPatch) -> Callable[[Recipe, Corpus, Path], None]:
    """Trains until the first epoch is recorded."""

    def stop(self: Any, *rest: Any) -> None:
        record(self, *rest)
        raise KeyboardInterrupt

    record = training._Training._record

    def run(recipe: Recipe, corpus: Corpus, out: Path) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(training._Training, "_record", stop)
            with pytest.raises(KeyboardInterrupt):
                fit(recipe, corpus.training(), out)

    return run


def test_another_recipe_is_refused(tmp_path: Path, corpus: Corpus, recipe: Make, interrupt: Callable) -> None:
    interrupt(recipe(), corpus, tmp_path / "run")
    with pytest.raises(CheckpointError, match="begun by another version of the recipe"):
        fit(recipe(training={"learning_rate": 0.1}), corpus.training(), tmp_path / "run", resume=True)
    assert Run.open(tmp_path / "run").recipe == recipe(), "and nothing was written"
    assert fit(recipe(), corpus.training(), tmp_path / "run", resume=True).finished


@pytest.mark.parametrize(
    ("change", "other"), [({"seed": 1}, "content of the corpus"), ({"extractor": "another"}, "modalities or features")]
)
def test_another_corpus_in_the_same_place_is_refused(
    tmp_path: Path, recipe: Make, interrupt: Callable, change: dict[str, Any], other: str
) -> None:
    place = tmp_path / "own.corpus"
    wanted = recipe(corpus=place)
    interrupt(wanted, write_corpus(place), tmp_path / "run")
    before = {file: file.read_bytes() for file in (tmp_path / "run").rglob("*") if file.is_file()}
    shutil.rmtree(place)
    with pytest.raises(CheckpointError, match=f"begun with other {other} than .*own.corpus"):
        fit(wanted, write_corpus(place, **change).training(), tmp_path / "run", resume=True)
    assert {file: file.read_bytes() for file in (tmp_path / "run").rglob("*") if file.is_file()} == before


def test_other_splits_in_the_same_place_are_refused(tmp_path: Path, recipe: Make, interrupt: Callable) -> None:
    place = tmp_path / "own.corpus"
    wanted = recipe(corpus=place)
    interrupt(wanted, write_corpus(place), tmp_path / "run")
    resplit(Corpus.open(place), tmp_path / "new.corpus", ResplitSettings(include_test=True))
    shutil.rmtree(place)
    (tmp_path / "new.corpus").rename(place)
    with pytest.raises(CheckpointError, match="begun with other splits"):
        fit(wanted, Corpus.open(place).training(), tmp_path / "run", resume=True)
