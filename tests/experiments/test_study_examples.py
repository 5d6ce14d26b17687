"""Every study that is shipped parses, with the recipe of every arm."""

from pathlib import Path

import pytest

from mmmie.experiments.plan import plan_study
from mmmie.settings import Recipe

STUDIES = sorted((Path(__file__).resolve().parents[2] / "studies").glob("*.toml"))


def test_there_are_studies():
    assert STUDIES


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_a_study_parses(path, tmp_path):
    plan = plan_study(path, tmp_path)
    assert plan.study.name == path.stem
    assert plan.study.question
    assert len(plan.runs()) == len(plan.corpora) * len(plan.study.arms) * len(plan.study.seeds)
    if plan.study.search is None:
        assert len(plan.study.arms) > 1
        return
    cell = plan.cells[plan.corpora[0], plan.study.search.arm or plan.study.first]
    for key, of in plan.study.search.ranges.items():
        for value in of.choices or (of.low, of.high):
            Recipe.load(cell.recipe_path, {**cell.overrides, key: value})
