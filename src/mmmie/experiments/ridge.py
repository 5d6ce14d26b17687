"""Ridge regression of several labels at once, judged by every video left out, in closed form."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class VideoBlocks:
    """N rows as V videos of at most L rows, padded."""

    place_VL: Ints
    """Row of each place; N where there is none."""

    @classmethod
    def of(cls, codes_N: Ints) -> Self:
        """From the number of each row's video, which need not be sorted or without gaps."""
        _, codes, sizes = np.unique(codes_N, return_inverse=True, return_counts=True)
        order = np.argsort(codes, kind="stable")
        column = np.arange(len(codes)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        place = np.full((len(sizes), sizes.max()), len(codes), dtype=np.int64)
        place[codes[order], column] = order
        return cls(place)

    def without_own(self, residual_NP: Doubles, loading_ND: Doubles, shrink_D: Doubles) -> Doubles:
        """(N, P) residuals of each video under the fit to all other videos.

        The fit to all rows has the hat matrix H = 1 1'/N + A diag(shrink) A', and residuals r; leaving a video g out
        changes its own to (I - H_gg)^-1 r_g, exactly.

        Source: R. D. Cook, S. Weisberg, Residuals and Influence in Regression (1982), 3.6 (deletion of groups).
        """
        n = len(residual_NP)
        padded = np.concatenate([loading_ND, np.zeros((1, loading_ND.shape[1]))])[self.place_VL]
        real = (self.place_VL < n).astype(np.float64)
        inside = -np.matmul(padded * shrink_D, padded.transpose(0, 2, 1)) - real[:, :, None] * real[:, None] / n
        inside += np.eye(self.place_VL.shape[1])
        held = np.concatenate([residual_NP, np.zeros((1, residual_NP.shape[1]))])[self.place_VL]
        solved = np.linalg.solve(inside, held)
        left_out = np.empty_like(residual_NP)
        left_out[self.place_VL[real > 0]] = solved[real > 0]
        return left_out


@dataclass(frozen=True, eq=False)
class Fitted:
    """One strength's fit to P labels."""

    strength: float
    error_P: Doubles
    """Mean squared residual over the rows, each under the fit without its own video."""
    coefficients_DP: Doubles
    """Of the centred features; `mean_P` is to be added."""
    mean_P: Doubles


def ridge_path(
    features_ND: Doubles, labels_NP: Doubles, videos: VideoBlocks, strengths: tuple[float, ...]
) -> Iterator[Fitted]:
    """Fits of every strength, at the price of one eigendecomposition; the intercept is not penalised.

    Args:
        features_ND: centred, that is of column means 0.
        labels_NP: P labels, fitted each on its own.
        videos: of the rows.
        strengths: what is added to the eigenvalues of the features' Gram matrix.
    """
    mean_P = labels_NP.mean(axis=0)
    centred_NP = labels_NP - mean_P
    values_D, vectors_DD = np.linalg.eigh(features_ND.T @ features_ND)
    loading_ND = features_ND @ vectors_DD
    projected_DP = loading_ND.T @ centred_NP
    for strength in strengths:
        shrink_D = 1 / (np.maximum(values_D, 0) + strength)
        inner_DP = shrink_D[:, None] * projected_DP
        left_out = videos.without_own(centred_NP - loading_ND @ inner_DP, loading_ND, shrink_D)
        yield Fitted(strength, np.mean(left_out**2, axis=0), vectors_DD @ inner_DP, mean_P)
