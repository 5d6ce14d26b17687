"""What a study file may say, and what is said of one that is wrong."""

import pytest

from mmmie.errors import RecipeError
from mmmie.experiments.study import Study, flat

ARM = 'recipe = "a.toml"\n[arms.full]\n'


def load(tmp_path, text):
    (tmp_path / "s.toml").write_text(f'name = "s"\n{text}')
    return Study.load(tmp_path / "s.toml")


def test_dotted_keys_and_nested_tables_say_the_same(tmp_path):
    study = load(
        tmp_path,
        'recipe = "a.toml"\n[set]\n"training.epochs" = 3\nmodel.width = 8\n'
        "[arms.one]\n[arms.two.set.training]\nepochs = 5",
    )
    assert study.overrides("one") == {"training.epochs": 3, "model.width": 8}
    assert study.overrides("two") == {"training.epochs": 5, "model.width": 8}
    assert study.first == "one"


def test_an_empty_table_is_a_value_and_lists_stay_whole():
    assert flat({"a": {"b": {}, "c": [1, 2]}, "d.e": 3}) == {"a.b": {}, "a.c": [1, 2], "d.e": 3}


@pytest.mark.parametrize(("seeds", "expected"), [("3", [0, 1, 2]), ("[7, 4]", [7, 4])])
def test_seeds_are_a_number_or_a_list(tmp_path, seeds, expected):
    assert load(tmp_path, f"seeds = {seeds}\n{ARM}").seeds == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"sedes = 3\n{ARM}", "unknown key 'sedes'. Did you mean 'seeds'?"),
        (f"{ARM}sett = 3", "unknown key 'arms.full.sett'. Did you mean 'set'?"),
        (f"{ARM}[search]\ntrails = 3\nranges = {{}}", "unknown key 'search.trails'. Did you mean 'trials'?"),
        (
            f'{ARM}[search.ranges]\n"a.b" = {{lo = 1, high = 2}}',
            "unknown key 'search.ranges.a.b.lo'. Did you mean 'low'?",
        ),
        (f"reference = 'ful'\n{ARM}", "reference: no arm 'ful'. Did you mean 'full'?"),
        (f"{ARM}[search]\narm = 'ful'\nranges = {{}}", "search.arm: no arm 'ful'. Did you mean 'full'?"),
        (f"metric = 'acc2_non_zeros'\n{ARM}", "Did you mean 'acc2_non_zero'?"),
        ("[arms.full]", "arm 'full' has no recipe"),
        ("recipe = 'a.toml'\n[arms]", "arms"),
        (f"seeds = [1, 1]\n{ARM}", "seeds are different numbers"),
        (f"seeds = 0\n{ARM}", "seeds"),
        (f"{ARM}[arms.'a/b']", "arm 'a/b'"),
        (f"{ARM}[set]\n'training.seed' = 3", "set cannot set 'training.seed'"),
        (f"{ARM}[arms.two.set]\nname = 'x'", "arms.two.set cannot set 'name'"),
        (f"{ARM}[set]\ncorpus = 'x'", "corpora = [...]"),
        (f"{ARM}[search.ranges]\na = {{low = 1}}", "a range is"),
        (f"{ARM}[search.ranges]\na = {{low = 1, high = 2, choices = [1]}}", "a range is"),
        (f"{ARM}[search.ranges]\na = {{low = 2, high = 1}}", "must be below"),
        (f"{ARM}[search.ranges]\na = {{low = 0, high = 1, log = true}}", "above 0"),
        ("recipe = [", "is not a study in TOML"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, text, said):
    with pytest.raises(RecipeError) as error:
        load(tmp_path, text)
    assert said in str(error.value)
    assert str(tmp_path / "s.toml") in str(error.value)


def test_a_missing_study_has_a_near_one(tmp_path):
    (tmp_path / "mi-terms.toml").write_text("")
    with pytest.raises(RecipeError, match=r"no study at .*mi-term\.toml\. Did you mean 'mi-terms\.toml'"):
        Study.load(tmp_path / "mi-term.toml")


def test_an_arm_may_be_called_like_a_key(tmp_path):
    with pytest.raises(RecipeError, match=r"unknown key 'arms\.set\.recipes'\. Did you mean 'recipe'"):
        load(tmp_path, 'recipe = "a.toml"\n[arms.set]\nrecipes = "b"')
