"""Whether an estimate of mutual information tells one story: fewer rows, other critics, coarser and exchanged rows.

N: rows; X, Y: widths of the two sides.
"""

from dataclasses import dataclass
from math import sqrt

import numpy as np
import torch

from mmmie.experiments.dependence_critics import MLP_WIDTH, Floats, Heldout, Ints, cross_fit
from mmmie.experiments.dependence_null import GroupExchange
from mmmie.mi.estimate import standard_error

LEVELS = 4
"""Of a coarsened column: quarters of its rows."""
Z = 2.0
"""Standard errors within which two readings agree."""
ROUNDING = 0.01
"""Nats that nobody minds, where the standard error is next to none."""
FEWEST_GROUPS = 10
"""That half of the groups must still hold, or the check is left out."""


@dataclass(frozen=True)
class Check:
    name: str
    nats: float
    """What the estimate became."""
    tolerance: float
    """Nats; by how much it may be off before it counts."""
    passed: bool
    meaning: str
    """What a failure means."""


def consistency_checks(
    x_NX: Floats, y_NY: Floats, group_N: Ints, heldout: Heldout, folds: int, components: int, seed: int
) -> tuple[Check, ...]:
    """Four checks of the chosen critic's value, each a cross-fit of its own.

    *half*: half of the groups agree with all; else the value rises with N, and is "at least". *width*: an MLP twice as
    wide agrees; else the critics, not the data, decide. *quarters*: x rounded to quarters of its rows shares no more
    with y than x does (the data-processing inequality). *exchanged*: with whole groups of y exchanged, nothing is
    shared. Passing them does not prove a value right.

    Args:
        x_NX: as of `dependence`. y_NY, group_N, folds, components, seed: the same.
        heldout: the cross-fit of the rows as they are.

    Source: Abdelaleem, Martini & Nemenman 2025, arXiv:2506.00330; Song & Ermon 2020 (data processing). Tolerances of
    two standard errors by group are ours.
    """
    rng = np.random.default_rng(seed)

    def reading(x: Floats, y: Floats, groups: Ints, mlp_width: int = MLP_WIDTH) -> tuple[float, float]:
        read = cross_fit(x, y, groups, min(folds, (int(groups.max()) + 1) // 2), components, seed, mlp_width)
        return _mean_and_error(read, groups)

    value, error = _mean_and_error(heldout, group_N)
    checks = []
    num_groups = int(group_N.max()) + 1
    if num_groups >= 2 * FEWEST_GROUPS:
        half_N = np.isin(group_N, rng.permutation(num_groups)[: num_groups // 2])
        _, groups = np.unique(group_N[half_N], return_inverse=True)
        nats, half_error = reading(x_NX[half_N], y_NY[half_N], groups)
        checks.append(_check("half of the groups", nats, abs(nats - value), half_error, "the value still rises with N"))
    nats, wide_error = reading(x_NX, y_NY, group_N, 2 * MLP_WIDTH)
    worst = max(error, wide_error)
    checks.append(_check("MLP twice as wide", nats, abs(nats - value), worst, "the choice of critic decides the value"))
    cuts = np.quantile(x_NX, np.arange(1, LEVELS) / LEVELS, axis=0)
    coarse_NX = (x_NX[:, None, :] > cuts).sum(axis=1).astype(np.float64)
    nats, coarse_error = reading(coarse_NX, y_NY, group_N)
    both = sqrt(error**2 + coarse_error**2)
    checks.append(_check("x in quarters", nats, nats - value, both, "the critics miss what the raw columns say"))
    exchange = GroupExchange(group_N).draw(rng)
    nats, null_error = reading(x_NX, y_NY[exchange], group_N)
    checks.append(_check("groups exchanged", nats, nats, null_error, "nats are found where there are none"))
    return tuple(checks)


def _check(name: str, nats: float, excess: float, standard_error: float, meaning: str) -> Check:
    tolerance = Z * standard_error + ROUNDING
    return Check(name, nats, tolerance, excess <= tolerance, meaning)


def _mean_and_error(heldout: Heldout, group_N: Ints) -> tuple[float, float]:
    terms = torch.as_tensor(heldout.terms_N["chosen"])
    error = standard_error(terms, torch.as_tensor(group_N))
    assert error is not None  # at least two groups
    return float(terms.mean()), error
