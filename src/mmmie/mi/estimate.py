"""What every estimator returns: a value in nats, the side of the truth it is on, and whether it is worth believing.

N: distinct utterances.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Side = Literal["lower", "upper", "estimate", "regulariser"]
"""Of the truth, in expectation. `estimate` may fall on either side; `regulariser` is no mutual information at all."""


@dataclass(frozen=True)
class Estimate:
    """A value of mutual information, or of what stands in for it, over one set of utterances."""

    value: Tensor
    """Scalar, nats, with its gradient."""
    side: Side
    n: int
    """How many utterances it was computed over."""
    saturated: bool
    """Above log n - 1: n utterances cannot resolve it, so it says "at least this" at best."""
    standard_error: float | None = None
    """Nats, of the mean over utterances as if they were independent; None where the value is no such mean."""


def saturated(value: float | Tensor, n: int) -> bool:
    """Whether a value in nats is above log n - 1, beyond which n utterances cannot resolve it.

    At n = 32 the exact critic's InfoNCE reads 1.70 where the truth is 2, 2.33 for 3 and 3.09 for 5. With n <= 2 the
    threshold is below zero: so few utterances resolve nothing, and even a value of 0 is flagged.

    Source: McAllester & Stratos 2020, (no distribution-free lower bound above O(log n)); the margin of one
    nat is ours, read off closed-form Gaussians.
    """
    return (float(value.detach()) if isinstance(value, Tensor) else value) > math.log(n) - 1


def standard_error(terms_N: Tensor, group_N: Tensor | None = None) -> float | None:
    """Standard error of the mean of per-utterance terms, in nats; by group where utterances of a group depend.

    Prefer groups (videos) for anything that is reported; without them the error is that of independent utterances and
    too small. Terms that share their negatives depend a little whatever the groups, which is neglected here.

    Args:
        terms_N: float, nats, one term per utterance.
        group_N: integer, the video of each utterance.

    Returns:
        None where there are fewer than two utterances or groups.

    Source: Liang & Zeger 1986 (cluster-robust variance of a mean), with the factor G / (G - 1).
    """
    terms_N = terms_N.detach().double()
    residual_N = terms_N - terms_N.mean()
    if group_N is not None:
        _, member_N = torch.unique(group_N, return_inverse=True)
        num_groups = int(member_N.max()) + 1
        residual_N = residual_N.new_zeros(num_groups).index_add(0, member_N, residual_N)
    count = len(residual_N)
    if count < 2:
        return None
    return math.sqrt(float(residual_N.square().sum()) * count / (count - 1)) / len(terms_N)
