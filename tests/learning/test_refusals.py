"""Recipes that ask the objective for the impossible are refused before anything is trained."""

from collections.abc import Callable

import pytest

from mmmie.errors import RecipeError, TrainingError
from mmmie.learning.assembly import Shape
from mmmie.learning.objective import Objective
from mmmie.settings import Recipe

SHAPES = {"text": Shape(5, False, ""), "audio": Shape(5, False, "")}


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"model": {"noise": "none"}}, "needs a stochastic encoder"),
        ({"text": {"lora_rank": 4}}, "changes an encoder that is trained"),
        ({"model": {"noise": "none"}, "minimise": {"estimator": "vib"}}, "needs a stochastic encoder"),
        ({"minimise": {"estimator": "vclub", "target_nats": 2.0}}, "not a rate in nats"),
        ({"minimise": {"estimator": "trace_covariance", "target_nats": 2.0}}, "not a rate in nats"),
        ({"maximise": {"weight": 0.1}}, "either maximise.weight or maximise.gradient_share"),
        ({"maximise": {"gradient_share": "none"}}, "either maximise.weight or maximise.gradient_share"),
        ({"maximise": {"scale": {"audio-text": 1.0}}}, "no modal pair 'audio-text'. Known: .*text-audio"),
        ({"minimise": {"scale": {"sound": 1.0}}}, "minimise.scale"),
        ({"maximise": {"estimatr": "infonce"}}, "Did you mean 'estimator'"),
    ],
)
def test_impossible_recipes_are_refused(recipe: Callable[..., Recipe], sections: dict, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        recipe(**sections)


def test_a_rate_that_the_batch_cannot_see_is_refused(recipe: Callable[..., Recipe]) -> None:
    small = {"batch_utterances": 32}
    with pytest.raises(TrainingError, match=r"batch_utterances to at least 55, or lower minimise.target_nats"):
        Objective(recipe(minimise={"target_nats": 3.0}, training=small), SHAPES, 10)
    Objective(recipe(minimise={"target_nats": 3.0, "estimator": "vib"}, training=small), SHAPES, 10)
