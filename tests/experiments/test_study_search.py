"""A search draws the same trials however often it is interrupted, never opens test, and leaves a recipe."""

import csv
from dataclasses import replace

import pytest

from mmmie.errors import EvidenceError, RecipeError
from mmmie.experiments.recipe_file import write_recipe
from mmmie.experiments.search import finish_search, plan_search
from mmmie.settings import METHODS, Recipe
from studies import STUDY, Place, make_place
from tiny_corpora import make_recipe

SEARCH = (
    STUDY
    + """
[search]
trials = 4
seeds = 2
[search.ranges]
"training.learning_rate" = {low = 1e-4, high = 1e-2, log = true}
"training.epochs" = {low = 1, high = 2}
"model.width" = {choices = [16, 32]}
"""
)


@pytest.fixture
def place(tmp_path, monkeypatch) -> Place:
    monkeypatch.chdir(tmp_path)
    return make_place(tmp_path, videos={"train": 6, "valid": 3, "test": 3})


def test_draws_lie_in_their_ranges_and_depend_on_their_number_alone(place):
    at_once = plan_search(place.plan(SEARCH), 12).trials
    two = replace(place.plan(SEARCH), folder=place.folder / "elsewhere")
    plan_search(two, 5)
    assert [t.settings for t in plan_search(two, 12).trials] == [t.settings for t in at_once]
    rates = [t.settings["training.learning_rate"] for t in at_once]
    assert all(1e-4 <= rate <= 1e-2 for rate in rates)
    assert len(set(rates)) == 12
    assert {t.settings["training.epochs"] for t in at_once} == {1, 2}
    assert {t.settings["model.width"] for t in at_once} == {16, 32}
    assert plan_search(two, 3).trials == at_once[:3]


def test_other_ranges_are_another_search(place):
    plan_search(place.plan(SEARCH))
    with pytest.raises(EvidenceError, match="begun with other ranges"):
        plan_search(place.plan(SEARCH.replace("high = 2", "high = 3")))


def test_a_trial_that_is_no_recipe_is_noted_and_a_key_that_is_none_stops(place):
    text = SEARCH.replace("[16, 32]", "[16, 15]").replace("trials = 4", "trials = 10")
    search = plan_search(place.plan(text))
    wrong = [trial for trial in search.trials if trial.settings["model.width"] == 15]
    assert 0 < len(wrong) < 10
    assert all("multiple of model.heads" in trial.error for trial in wrong)
    assert not {trial.name for trial in wrong} & {job.name for job in search.runs()}
    search.folder.joinpath("journal.log").unlink()
    with pytest.raises(RecipeError, match=r"search\.ranges: .*unknown key 'model\.widht'"):
        plan_search(place.plan(SEARCH.replace("model.width", "model.widht")))


def test_a_study_without_a_search(place):
    with pytest.raises(RecipeError, match=r"has no \[search\]"):
        plan_search(place.plan())


def test_a_search_trains_judges_on_valid_and_goes_on(place):
    study = place.study(SEARCH)
    done = place.run(study, "--trials", "2", verb="search")
    assert done.returncode == 0, done.stderr
    folder = place.folder / "experiments" / "tiny" / "search"
    first = {path: path.stat().st_mtime_ns for path in folder.glob("trial-*/*/metrics.jsonl")}
    assert len(first) == 4
    more = place.run(study, "--trials", "3", verb="search")
    assert more.returncode == 0, more.stderr
    assert {path: path.stat().st_mtime_ns for path in first} == first
    with open(folder / "trials.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert sorted(row["trial"] for row in rows) == ["trial-000", "trial-001", "trial-002"]
    values = [float(row["valid_mae"]) for row in rows]
    assert values == sorted(values)

    best = Recipe.load(folder / "best.toml")
    assert best.name == "tiny-best"
    assert best.training.learning_rate == float(rows[0]["training.learning_rate"])
    assert best.model.width == int(rows[0]["model.width"])
    assert "valid MAE" in (folder / "best.toml").read_text().splitlines()[0]
    assert not (place.folder / "tiny.corpus" / "test_openings.jsonl").exists()
    assert not list(folder.rglob("evaluation.json"))


def test_unfinished_trials_have_no_value_and_no_best(place):
    search = plan_search(place.plan(SEARCH))
    judged = finish_search(search)
    assert [trial.valid_mae for trial in judged] == [None] * 4
    assert not (search.folder / "best.toml").exists()


@pytest.mark.parametrize("method", METHODS)
def test_a_recipe_is_read_back_as_it_was_written(tmp_path, method):
    sections = {} if method == "measured" else {"minimise": {"target_nats": "none"}}
    recipe = make_recipe(
        tmp_path / 'a "b" \\c.corpus',
        method=method,
        model={"modalities": ["text", "audio"], "experts": {"text": {"explained": 0.25}}},
        start_from="before.toml",
        **sections,
    )
    (tmp_path / "far").mkdir()
    write_recipe(recipe, tmp_path / "far" / "r.toml", "two\nlines", tmp_path)
    back = Recipe.load(tmp_path / "far" / "r.toml")
    assert back.start_from == "../before.toml"
    assert back == recipe.model_copy(update={"start_from": "../before.toml"})
    assert (tmp_path / "far" / "r.toml").read_text().startswith("# two\n# lines\n")
