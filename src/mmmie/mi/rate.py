"""Dual ascent on lambda: the weight that drives a rate to its target in nats, whatever the scale of the task loss."""

import math

import torch
from torch import Tensor, nn

from mmmie.errors import NonFiniteError, TrainingError

REACTION = 0.01
"""A bound that has fallen by this share of its highest reading counts as reacting."""
LEASH = 1.0
"""Growth of log lambda that is allowed without a reaction: a factor e."""


class RateController(nn.Module):
    """lambda for one minimised bound: log lambda += rate * clip((average - target) / target, -1, 1).

    `average` is an exponential moving average of the bound. lambda stays at or below `weight_max`, and stops growing
    after a factor e without the average falling 1 % below its highest reading since: a bound with a floor above the
    target would wind lambda up until the encoder collapses. A noisy bound reacts now and then and lets it go on slowly.

    Everything that changes is a buffer, in float64: a resumed run goes on exactly.

    Args:
        target_nats: the rate, > 0.
        num_utterances: distinct utterances of a batch, for leave-one-out, which cannot see above log N - 1; None for a
            bound without that ceiling (VIB).
        weight: lambda at the start, per nat, > 0.
        weight_max: > 0, in units of the task loss.
        rate: step of log lambda.
        decay: of the moving average.

    Raises:
        TrainingError: a target that so few utterances cannot resolve, or a setting out of its range.

    Source: Rezende & Viola 2018, algorithm 1 (GECO), with the step clipped and relative to the target; the leash is
    ours.
    """

    average: Tensor
    log_weight: Tensor
    num_updates: Tensor
    highest: Tensor
    leash_end: Tensor

    def __init__(
        self,
        target_nats: float,
        num_utterances: int | None = None,
        *,
        weight: float = 0.01,
        weight_max: float = 1.0,
        rate: float = 0.02,
        decay: float = 0.95,
    ) -> None:
        super().__init__()
        if not (target_nats > 0 and 0 < weight <= weight_max and rate > 0 and 0 <= decay < 1):
            raise TrainingError(
                "a rate needs target_nats > 0, 0 < weight <= weight_max, rate > 0 and 0 <= decay < 1, but came "
                f"target_nats {target_nats:g}, weight {weight:g}, weight_max {weight_max:g}, rate {rate:g}, "
                f"decay {decay:g}"
            )
        if num_utterances is not None and target_nats > math.log(num_utterances) - 1:
            raise TrainingError(
                f"a rate of {target_nats:g} nats cannot be seen with {num_utterances} distinct utterances in a batch, "
                f"whose ceiling is log {num_utterances} - 1 = {math.log(num_utterances) - 1:.2f}. Raise "
                f"training.batch_utterances to at least {math.ceil(math.exp(target_nats + 1))}, or lower "
                "minimise.target_nats."
            )
        self.target_nats, self.weight_max, self.rate, self.decay = target_nats, weight_max, rate, decay
        for name, value in {
            "average": 0.0,
            "log_weight": math.log(weight),
            "highest": -math.inf,
            "leash_end": math.log(weight) + LEASH,
        }.items():
            self.register_buffer(name, torch.tensor(value, dtype=torch.float64))
        self.register_buffer("num_updates", torch.tensor(0))

    @property
    def weight(self) -> float:
        """lambda, per nat, in (0, weight_max]."""
        return math.exp(float(self.log_weight))

    @torch.no_grad()
    def update(self, value: float | Tensor) -> float:
        """Takes the bound's value on one batch, in nats, and returns lambda for the next.

        Raises:
            NonFiniteError: a value that is NaN or infinite; nothing has changed then.
        """
        value = float(value)
        if not math.isfinite(value):
            raise NonFiniteError(f"the bound that is driven to {self.target_nats:g} nats became {value}")
        first = self.num_updates == 0
        average = value if first else self.decay * float(self.average) + (1 - self.decay) * value
        log_weight = float(self.log_weight)
        highest = max(float(self.highest), average)
        if average < highest - REACTION * abs(highest) or average <= self.target_nats:
            highest = average
            self.leash_end.fill_(log_weight + LEASH)
        step = self.rate * min(max((average - self.target_nats) / self.target_nats, -1.0), 1.0)
        if step > 0:
            log_weight = max(log_weight, min(log_weight + step, float(self.leash_end), math.log(self.weight_max)))
        else:
            log_weight += step
        self.average.fill_(average)
        self.highest.fill_(highest)
        self.log_weight.fill_(log_weight)
        self.num_updates += 1
        return self.weight
