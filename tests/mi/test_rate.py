import math

import pytest
import torch

from mmmie.errors import NonFiniteError, TrainingError
from mmmie.mi import RateController


def test_one_step_by_hand():
    controller = RateController(2.0, weight=0.01)
    assert controller.weight == pytest.approx(0.01)
    assert controller.update(3.0) == pytest.approx(0.01 * math.exp(0.02 * 0.5))
    average = 0.95 * 3 + 0.05 * 5
    assert controller.update(torch.tensor(5.0)) == pytest.approx(0.01 * math.exp(0.02 * (0.5 + (average - 2) / 2)))
    assert float(controller.average) == pytest.approx(average)


def test_steps_are_clipped_both_ways():
    assert RateController(2.0).update(1e6) == pytest.approx(0.01 * math.exp(0.02))
    assert RateController(2.0).update(-1e6) == pytest.approx(0.01 * math.exp(-0.02))


def test_weight_falls_while_the_rate_is_below_its_target():
    controller = RateController(2.0, weight=0.5)
    weights = [controller.update(1.0) for _ in range(200)]
    assert weights == sorted(weights, reverse=True)
    assert weights[-1] == pytest.approx(0.5 * math.exp(-0.02 * 0.5 * 200))


def test_weight_never_exceeds_its_maximum():
    controller = RateController(2.0, weight=0.01, weight_max=0.3)
    for step in range(5000):
        # Falls for ever, so that the leash is never the reason to stop.
        controller.update(1e6 * 0.999**step + 10)
    assert controller.weight == pytest.approx(0.3)


def test_a_bound_that_does_not_react_stops_the_growth():
    """VIB to N(0, I) at d = 128: 64 nats whatever lambda, and a target of 2."""
    controller = RateController(2.0, weight=0.01)
    generator = torch.Generator().manual_seed(0)
    for _ in range(5000):
        controller.update(64 + 0.1 * float(torch.randn((), generator=generator)))
    assert controller.weight == pytest.approx(0.01 * math.e)
    # When it reacts at last, growth goes on.
    for step in range(100):
        controller.update(64 - 0.5 * step)
    assert controller.weight > 0.01 * math.e * 1.5


@pytest.mark.parametrize("task_scale", [0.1, 1.0, 10.0])
def test_it_finds_the_weight_of_a_plant_that_lags_and_is_noisy(task_scale):
    """I falls by .8 nats for each factor e of lambda / task scale, lags, starts far off, and is seen through noise."""
    controller = RateController(2.0, num_utterances=64)
    generator = torch.Generator().manual_seed(0)
    rate, tail = 8.0, []
    for step in range(4000):
        settled = max(0.0, 2.0 - 0.8 * math.log(controller.weight / (0.06 * task_scale)))
        rate += 0.02 * (settled - rate)
        controller.update(rate + 0.4 * float(torch.randn((), generator=generator)))
        if step >= 3000:
            tail.append(rate)
    assert sum(tail) / len(tail) == pytest.approx(2.0, abs=0.05)
    assert controller.weight == pytest.approx(0.06 * task_scale, rel=0.3)


def test_resumed_is_identical_to_uninterrupted():
    generator = torch.Generator().manual_seed(0)
    values = (3 + torch.randn(400, generator=generator)).tolist()
    whole, first = RateController(2.0), RateController(2.0)
    for value in values[:200]:
        whole.update(value)
        first.update(value)
    resumed = RateController(2.0)
    resumed.load_state_dict(first.state_dict())
    assert [whole.update(v) for v in values[200:]] == [resumed.update(v) for v in values[200:]]
    assert not list(whole.parameters())


def test_a_target_that_the_batch_cannot_resolve_is_refused():
    with pytest.raises(TrainingError, match=r"3 nats cannot be seen with 32 .*log 32 - 1 = 2\.47.* at least 55"):
        RateController(3.0, num_utterances=32)
    RateController(3.0, num_utterances=55)
    with pytest.raises(TrainingError, match="cannot be seen with 54"):
        RateController(3.0, num_utterances=54)
    RateController(64.0)


def test_non_finite_values_change_nothing():
    controller = RateController(2.0)
    controller.update(3.0)
    before = {name: value.clone() for name, value in controller.state_dict().items()}
    for value in (math.nan, math.inf):
        with pytest.raises(NonFiniteError, match="driven to 2 nats became"):
            controller.update(value)
    assert all(torch.equal(before[name], value) for name, value in controller.state_dict().items())


@pytest.mark.parametrize(
    "settings", [{"target_nats": 0.0}, {"weight": 0.0}, {"weight": 2.0}, {"rate": 0.0}, {"decay": 1.0}]
)
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(TrainingError, match="a rate needs"):
        RateController(**{"target_nats": 2.0, **settings})
