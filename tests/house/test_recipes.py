"""Every recipe that is shipped parses, and says in its name which file it is."""

from importlib.resources import files
from pathlib import Path

import pytest

from mmmie.analysis.recordings import RecordingsSettings
from mmmie.corpus.importers.settings import load_import
from mmmie.settings import Recipe

RECIPES = Path(__file__).resolve().parents[2] / "recipes"
TO_TRAIN = sorted(path for path in RECIPES.rglob("*.toml") if "data" not in path.relative_to(RECIPES).parts)
TO_IMPORT = sorted((RECIPES / "data").glob("*.toml"))


def test_there_are_recipes():
    assert TO_TRAIN
    assert TO_IMPORT


@pytest.mark.parametrize("path", TO_TRAIN, ids=lambda p: str(p.relative_to(RECIPES)))
def test_a_training_recipe_parses(path):
    recipe = Recipe.load(path)
    assert recipe.name == path.stem  # runs/NAME is found from the recipe, and no two recipes share a folder
    if recipe.start_from.endswith(".toml"):
        assert (path.parent / recipe.start_from).is_file()


@pytest.mark.parametrize("path", TO_IMPORT, ids=lambda p: p.name)
def test_an_import_recipe_parses(path):
    assert load_import(path, more={"recordings": RecordingsSettings}).name


def test_the_recipe_of_the_demo_comes_with_the_package():
    recipe = files("mmmie") / "recipes" / "demo.toml"
    assert recipe.is_file()
    assert Recipe.load(str(recipe)).name == "demo"
