"""Import recipes: which keys there are, and what is said of a wrong one."""

from pathlib import Path

import pytest

from mmmie.analysis.recordings import RecordingsSettings
from mmmie.corpus.importers.settings import load_import, parse_import
from mmmie.errors import RecipeError

RECIPES = Path(__file__).resolve().parents[3] / "recipes" / "data"
CSV = {"format": "csv", "name": "x"}


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.toml")), ids=lambda path: path.stem)
def test_every_recipe_of_the_project_parses(path: Path) -> None:
    settings = load_import(path, more={"recordings": RecordingsSettings})
    assert settings.name
    assert settings.licence
    assert all(feature.extractor != "unknown" for feature in getattr(settings, "features", {}).values())


def test_the_recipes_are_there() -> None:
    assert {path.stem for path in RECIPES.glob("*.toml")} >= {"mosi", "mosei", "mosi31", "mmmo"}


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"name": "x"}, "no format"),
        ({**CSV, "format": "cvs"}, "Did you mean 'csv'"),
        ({**CSV, "tabel": "a.csv"}, "unknown key 'tabel'. Did you mean 'table'"),
        ({**CSV, "columns": {"vidoe": "v"}}, "unknown key 'columns.vidoe'. Did you mean 'video'"),
        ({**CSV, "features": {"audio": {"file": "a", "extracter": "b"}}}, "Did you mean 'extractor'"),
        ({**CSV, "features": {"text": {"file": "a"}}}, "'audio' or 'vision'"),
        ({**CSV, "features": {"audio": {}}}, "features.audio.file"),
        ({**CSV, "features": {"audio": {"file": "a", "sentinels": {"-1": [0]}}}}, "sentinels"),
        ({**CSV, "label": {"min": 3, "max": 1}}, "label.min (3.0) must be below label.max (1.0)"),
        ({**CSV, "split_sizes": {"dev": 3}}, "'train', 'valid' or 'test'"),
        ({"format": "h5", "name": "x", "video": {"fiel": "a"}}, "Did you mean 'file'"),
        ({"format": "mmsa", "name": "x"}, "file"),
    ],
)
def test_wrong_keys_are_told(values: dict[str, object], told: str) -> None:
    with pytest.raises(RecipeError) as error:
        parse_import(values, "r.toml")
    assert told in str(error.value)
    assert str(error.value).startswith("r.toml: ")


def test_overrides_reach_into_sections_and_leave_the_values_alone() -> None:
    values = {**CSV, "label": {"min": -1.0}}
    settings = parse_import(values, "r", {"label.max": 1, "features.audio.file": "a.npz"})
    assert (settings.label.min, settings.label.max) == (-1, 1)
    assert values == {**CSV, "label": {"min": -1.0}}


def test_an_absent_or_broken_recipe_is_told(tmp_path: Path) -> None:
    (tmp_path / "mosi.toml").write_text("format =")
    with pytest.raises(RecipeError, match=r"Did you mean 'mosi\.toml'"):
        load_import(tmp_path / "mossi.toml")
    with pytest.raises(RecipeError, match="is not TOML"):
        load_import(tmp_path / "mosi.toml")
