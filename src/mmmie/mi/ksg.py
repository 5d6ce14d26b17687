"""KSG: mutual information by nearest neighbours, for a few dimensions.

N: utterances; X, Y: widths of the two sides.
"""

import numpy as np
import torch
from torch import Tensor

from mmmie.errors import EvidenceError
from mmmie.mi.estimate import Estimate

MAX_DIM = 3
"""At 8 dimensions a side KSG finds half of the truth, at 20 a fifth."""


def ksg(x_NX: Tensor, y_NY: Tensor, k: int = 3) -> Estimate:
    """Kraskov-Stoegbauer-Grassberger, first estimator, max-norm: a check without a model for d <= 3 a side.

    Prefer it to every critic in few dimensions, where it needs no training; it has no gradient. Standardise or rank
    the columns first, since the max-norm compares them.

    Args:
        x_NX: float, X <= 3.
        y_NY: float, Y <= 3.
        k: neighbours, 1 <= k < N; more of them trade bias for variance.

    Returns:
        Nats, an estimate; can be slightly negative near independence. Flattens from about 4 nats on (1284 pairs).

    Raises:
        EvidenceError: more than 3 dimensions a side, sides of unequal length, too few rows for k, values that are not
            finite, or more than k rows that are the same: the estimator is for continuous variables.

    Source: Kraskov, Stoegbauer & Grassberger 2004, equation 8.
    """
    from scipy.spatial import cKDTree
    from scipy.special import digamma

    x, y = _array(x_NX, "x"), _array(y_NY, "y")
    n = len(x)
    for name, side in (("x", x), ("y", y)):
        if side.shape[1] > MAX_DIM:
            raise EvidenceError(
                f"KSG is for at most {MAX_DIM} dimensions a side, but {name} has {side.shape[1]}, where it finds a "
                "fraction of the truth. Reduce the dimensions, or use a critic (InfoNCE on held-out utterances)."
            )
    if len(y) != n or not 1 <= k < n:
        raise EvidenceError(f"KSG needs pairs, and 1 <= k < N of them, but came {n} and {len(y)} rows and k = {k}")
    joint = np.concatenate([x, y], 1)
    radius_N = cKDTree(joint).query(joint, k=[k + 1], p=np.inf)[0][:, 0]
    if not radius_N.all():
        row = int(np.flatnonzero(radius_N == 0)[0])
        raise EvidenceError(
            f"KSG is for continuous variables, but more than {k} rows are the same as row {row}. Keep each utterance "
            "once (`first_occurrences`); a variable with few values needs a plug-in estimate instead."
        )
    # Strictly inside the radius: the largest float below it.
    inside_N = np.nextafter(radius_N, 0)
    # The counts include the point itself, which is the + 1 of the formula.
    counts = [
        tree.query_ball_point(side, inside_N, p=np.inf, return_length=True)
        for side, tree in ((x, cKDTree(x)), (y, cKDTree(y)))
    ]
    value = digamma(k) + digamma(n) - np.mean(digamma(counts[0]) + digamma(counts[1]))
    return Estimate(torch.tensor(float(value)), "estimate", n, saturated=False)


def _array(side: Tensor, name: str) -> "np.ndarray[tuple[int, int], np.dtype[np.float64]]":
    array = side.detach().cpu().double().numpy()
    if array.ndim != 2 or not np.isfinite(array).all():
        raise EvidenceError(f"{name} must be finite and of shape (N, D), but came {array.shape} or holds NaN or Inf")
    return array
