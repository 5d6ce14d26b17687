"""Redundant, unique and synergistic information of two predictions about the label, under a Gaussian."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mmmie.errors import EvidenceError

Doubles = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class PartialInformation:
    """The four parts, in nats; arrays of one shape. They sum to the information of both sources together."""

    redundant: Doubles
    unique_first: Doubles
    unique_second: Doubles
    synergistic: Doubles


def gaussian_partial_information(covariance: ArrayLike) -> PartialInformation:
    """Decomposes what two scalar sources tell of a target that is jointly Gaussian with them.

    Redundant is the smaller of the two sources' informations ("minimum mutual information"), from which the rest
    follows; for a scalar Gaussian target every decomposition whose unique parts depend on the pairs (source, target)
    alone agrees with it. One of the unique parts is always 0.

    Args:
        covariance: (..., 3, 3) of first source, second source and target; a source that does not vary tells nothing.

    Raises:
        EvidenceError: the target does not vary, or is a linear function of the sources.

    Source: A. B. Barrett, Exploration of synergistic and redundant information sharing in static and dynamical Gaussian
    systems (2015), eq. 27 and 32.
    """
    covariance = np.asarray(covariance, dtype=np.float64)
    deviations = np.sqrt(np.maximum(np.diagonal(covariance, axis1=-2, axis2=-1), 0))
    if (deviations[..., 2] == 0).any():
        raise EvidenceError("partial information is about a target that varies; it is constant")
    scales = np.where(deviations > 0, deviations, 1.0)
    correlation = covariance / (scales[..., :, None] * scales[..., None, :])
    first, second, between = correlation[..., 0, 2], correlation[..., 1, 2], correlation[..., 0, 1]
    # Equal sources (between = 1) tell nothing together that one does not tell.
    distinct = 1 - between**2
    more = np.divide((second - first * between) ** 2, distinct, out=np.zeros_like(distinct), where=distinct > 1e-12)
    explained = first**2 + more
    if (np.maximum(explained, second**2) >= 1).any():
        raise EvidenceError("the target is a linear function of the sources: their information is infinite")
    alone = [-0.5 * np.log1p(-(r**2)) for r in (first, second)]
    both = np.maximum(-0.5 * np.log1p(-explained), np.maximum(*alone))
    redundant = np.minimum(*alone)
    return PartialInformation(redundant, alone[0] - redundant, alone[1] - redundant, both - np.maximum(*alone))
