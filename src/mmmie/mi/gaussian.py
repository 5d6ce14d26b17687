"""Gaussian closed forms, which every estimator is tested against, and the Gaussian-copula estimate.

Correlated Gaussians: y = rho x + sqrt(1 - rho^2) e in each of D independent dimensions. Known noise: F = m + s e with m
of variance v in each dimension.

N: utterances; X, Y: widths of the two sides.
"""

import math

import numpy as np
import torch
from torch import Tensor

from mmmie.errors import EvidenceError
from mmmie.mi.estimate import Estimate


def gaussian_mi(rho: float, dim: int) -> float:
    """I(X; Y) = -D/2 log(1 - rho^2) nats.

    Source: Cover & Thomas 2006, example 8.5.1, in D independent dimensions.
    """
    return -0.5 * dim * math.log1p(-rho * rho)


def gaussian_rho(mi_nats: float, dim: int) -> float:
    """The correlation in [0, 1) at which D dimensions share that many nats: sqrt(1 - e^(-2I/D))."""
    return math.sqrt(-math.expm1(-2 * mi_nats / dim))


def gaussian_club(rho: float, dim: int) -> float:
    """What (v)CLUB converges to with the exact conditional: D rho^2 / (1 - rho^2) nats, never below I.

    About 2 I where I is small, 9 I at 10 nats in 8 dimensions. The excess over I is the lautum information.

    Source: Cheng et al. 2020, theorem 3.1, evaluated for Gaussians by us.
    """
    return dim * rho * rho / (1 - rho * rho)


def gaussian_lautum(rho: float, dim: int) -> float:
    """Lautum information KL(p(x)p(y) || p(x, y)) = D (rho^2/(1 - rho^2) + log(1 - rho^2)/2) nats.

    Source: Palomar & Verdu 2008, lautum information of Gaussians.
    """
    return gaussian_club(rho, dim) - gaussian_mi(rho, dim)


def known_noise_mi(signal_variance: float, noise: float, dim: int) -> float:
    """I(X; F) = D/2 log(1 + v/s^2) nats, of F = m + s e with Gaussian m; `noise` is the standard deviation s.

    Source: Cover & Thomas 2006, chapter 9 (Gaussian channel), in D independent dimensions.
    """
    return 0.5 * dim * math.log1p(signal_variance / noise**2)


def known_noise_club_mi(mi_nats: float, dim: int) -> float:
    """What CLUB with the known noise converges to where I(X; F) is `mi_nats`: D (e^(2I/D) - 1) nats."""
    return dim * math.expm1(2 * mi_nats / dim)


def copula_mi(x_NX: Tensor, y_NY: Tensor) -> Estimate:
    """Mutual information of the Gaussian copula: each column is made normal by its ranks, then the closed form.

    Prefer it to a critic for a quick reading of monotone dependence at any width well below N; it is blind to the rest
    (a square, a product), and has no gradient.

    Args:
        x_NX: float, finite.
        y_NY: float, finite, of the same N.

    Returns:
        Nats, an estimate: at large N a lower bound for single columns, and slightly negative near independence.

    Raises:
        EvidenceError: sides of unequal length, values not finite, fewer than X + Y + 2 rows, or columns that determine
            one another.

    Source: Ince et al. 2017, with the bias correction of Gaussian entropies (Misra et al. 2005).
    """
    from scipy.special import digamma, ndtri
    from scipy.stats import rankdata

    sides = [side.detach().cpu().double().numpy() for side in (x_NX, y_NY)]
    if any(side.ndim != 2 or not np.isfinite(side).all() for side in sides) or len(sides[0]) != len(sides[1]):
        raise EvidenceError(
            f"x and y must be finite and of shapes (N, X) and (N, Y), but came {sides[0].shape} and {sides[1].shape}, "
            "or they hold NaN or Inf"
        )
    n, widths = len(sides[0]), [side.shape[1] for side in sides]
    if n < sum(widths) + 2:
        raise EvidenceError(
            f"the covariance of {widths[0]} + {widths[1]} columns needs at least {sum(widths) + 2} rows, but came {n}. "
            "Reduce the dimensions first."
        )
    normal = np.concatenate([ndtri(rankdata(side, axis=0) / (n + 1)) for side in sides], 1)
    covariance = np.atleast_2d(np.cov(normal, rowvar=False))
    log_det = []
    for block in (covariance[: widths[0], : widths[0]], covariance[widths[0] :, widths[0] :], covariance):
        sign, value = np.linalg.slogdet(block)
        if sign <= 0 or np.linalg.cond(block) > 1e12:
            raise EvidenceError(
                "columns of x and y determine one another: their covariance is singular. Drop some of them."
            )
        # E log det of a sample covariance: too small by this much.
        log_det.append(value - sum(digamma((n - i) / 2) - math.log((n - 1) / 2) for i in range(1, len(block) + 1)))
    value = 0.5 * (log_det[0] + log_det[1] - log_det[2])
    return Estimate(torch.tensor(float(value)), "estimate", n, saturated=False)
