"""Critics fitted to some rows and read on others: the held-out InfoNCE behind `mmmie mi`.

Whatever changes no mutual information is used to make the critics' task easy: each column becomes normal by its ranks,
each side is whitened, and both are turned into canonical coordinates. All of it is learned from training rows only.

N: rows; X, Y: widths of the two sides; P: principal components; Q = 2 P + 1: their quadratic features.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mmmie.mi.critics import BilinearCritic, MLPCritic
from mmmie.mi.lower_bounds import infonce
from mmmie.mi.negatives import negatives_mask

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

SHRINKAGES = (0.05, 0.25, 0.5, 0.7, 0.85, 0.95, 1.0)
"""Shares of the canonical correlations that the bilinear critic may start from; never 0, so it always ranks pairs."""
MLP_WIDTH = 32
LEARNING_RATES = {"bilinear": 3e-3, "mlp": 1e-2}
STEPS, CHECK_EVERY, PATIENCE, BATCH = 150, 10, 3, 128
"""Adam steps at most; validation every so many; checks without a gain before stopping; rows of a step."""
HELD_BACK = 0.2
"""Share of the training groups that decides when to stop and which critic to take."""


@dataclass(frozen=True)
class FittedCritic:
    name: str
    valid_nats: float
    """Of the groups held back within the training rows: decides which critic to take, and is never reported."""
    scores: Callable[[Floats, Floats], Tensor]
    """(N, X) and (N, Y) raw columns -> scores (N, N), for any rows."""


@dataclass(frozen=True)
class Heldout:
    """What critics say of rows that neither they nor their choice have seen."""

    terms_N: dict[str, Floats]
    """By critic: nats, linearised terms, whose mean is the cross-fitted InfoNCE; `chosen` is the critic of best
    validation, fold by fold."""
    ceiling: float
    """Nats, the mean log(1 + negatives) of a held-out row, above which nothing can be read."""
    heldout_rows: float
    """Mean number of rows of a fold."""


def deal_groups(group_N: Ints, parts: int, seed: int) -> Ints:
    """The part of each row: groups dealt by size, in random order within a round, so that parts are about equal.

    Args:
        group_N: 0 ... G - 1, all present.
        parts: at most G; each gets floor(G / parts) groups or one more.
        seed: of the order.
    """
    rng = np.random.default_rng(seed)
    sizes = np.bincount(group_N)
    order = np.lexsort((rng.random(len(sizes)), -sizes))
    part_G = np.empty(len(sizes), dtype=np.int64)
    for start in range(0, len(order), parts):
        taken = order[start : start + parts]
        part_G[taken] = rng.permutation(parts)[: len(taken)]
    return part_G[group_N]


def fit_critics(
    x_NX: Floats, y_NY: Floats, group_N: Ints, components: int, seed: int, mlp_width: int = MLP_WIDTH
) -> list[FittedCritic]:
    """A bilinear and a small MLP critic, trained by InfoNCE with negatives of other groups, best validation first.

    The bilinear critic acts on 1, x and x^2 of each canonical coordinate, which hold the exact log ratio of any
    Gaussian pair, and starts from it; without squares it cannot say that y is near x rather than merely large where x
    is. The MLP sees what is not quadratic. Each stops at its best value on a fifth of the groups.

    Args:
        x_NX: float64, finite. y_NY: the same of the other side.
        group_N: integer, the group of each row; at least four distinct.
        components: most principal components a side keeps.
        seed: of the held-back groups, the batches and the MLP's start.
        mlp_width: hidden units of the MLP; it projects to half as many.
    """
    rng = np.random.default_rng(seed)
    names = rng.permutation(np.unique(group_N))
    held = np.isin(group_N, names[: max(2, round(HELD_BACK * len(names)))])
    coordinates = _canonical(x_NX[~held], y_NY[~held], components)
    data = _Data(*coordinates.of(x_NX, y_NY), torch.as_tensor(group_N), torch.as_tensor(held), rng)
    x_dim, y_dim = data.x.shape[1], data.y.shape[1]

    quadratic = _Data(_squares(data.x), _squares(data.y), data.group, data.held, rng)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        mlp = MLPCritic(x_dim, y_dim, mlp_width, max(mlp_width // 2, 1))
        bilinear = BilinearCritic(2 * x_dim + 1, 2 * y_dim + 1)
    starts = [_gaussian_start(share * coordinates.correlations, x_dim, y_dim) for share in SHRINKAGES]
    with torch.no_grad():
        bilinear.weight_XY.copy_(max(starts, key=quadratic.valid_value))
    linear_nats = _train(bilinear, quadratic, LEARNING_RATES["bilinear"], keep_start=True)

    mlp_nats = _train(mlp, data, LEARNING_RATES["mlp"], keep_start=False)

    def bilinear_scores(x: Floats, y: Floats) -> Tensor:
        inner_x, inner_y = coordinates.of(x, y)
        with torch.no_grad():
            return bilinear(_squares(inner_x), _squares(inner_y)).double()  # type: ignore[no-any-return]

    def mlp_scores(x: Floats, y: Floats) -> Tensor:
        with torch.no_grad():
            return mlp(*coordinates.of(x, y)).double()  # type: ignore[no-any-return]

    fitted = [FittedCritic("bilinear", linear_nats, bilinear_scores), FittedCritic("mlp", mlp_nats, mlp_scores)]
    return sorted(fitted, key=lambda critic: -critic.valid_nats)


def cross_fit(
    x_NX: Floats,
    y_NY: Floats,
    group_N: Ints,
    folds: int,
    components: int,
    seed: int,
    mlp_width: int = MLP_WIDTH,
) -> Heldout:
    """Each fold of groups read by critics that were fitted to the others.

    Rows of one group are never on both sides, nor are they each other's negatives: the bound wants negatives that are
    independent of the pair.
    """
    fold_N = deal_groups(group_N, folds, seed)
    terms: dict[str, Floats] = {}
    ceiling = 0.0
    for fold in range(folds):
        inside = fold_N == fold
        critics = fit_critics(x_NX[~inside], y_NY[~inside], group_N[~inside], components, seed + fold, mlp_width)
        negatives = negatives_mask(torch.as_tensor(group_N[inside]), "across_videos")
        ceiling += float((negatives.sum(1) + 1).double().log().sum()) / len(x_NX)
        for name, critic in [("chosen", critics[0]), *((critic.name, critic) for critic in critics)]:
            scores = critic.scores(x_NX[inside], y_NY[inside])
            terms.setdefault(name, np.empty(len(x_NX)))[inside] = linearised_terms(scores, negatives).numpy()
    return Heldout(terms, ceiling, len(x_NX) / folds)


def linearised_terms(scores_NN: Tensor, negatives_NN: Tensor) -> Tensor:
    """Terms of InfoNCE in both directions, one a row, that hold also what the row does as a negative of others.

    Prefer them to the plain terms for standard errors and resampling: their mean is the same (`infonce`), and the mean
    of a resample is to first order what InfoNCE would read on the resampled rows, candidates and all.

    Source: the influence function of a U-statistic's Hajek projection (van der Vaart 1998, chapter 11), worked out for
    InfoNCE by us: the derivative in a row's weight of the log mean over candidates is its softmax mass.
    """
    candidates = negatives_NN | torch.eye(len(scores_NN), dtype=torch.bool)
    masked = scores_NN.masked_fill(~candidates, -math.inf)
    by_row, by_column = masked.log_softmax(1), masked.log_softmax(0)
    ceiling_N = (candidates.sum(1).double().log() + candidates.sum(0).double().log()) / 2
    own_N = ceiling_N + (by_row.diagonal() + by_column.diagonal()) / 2
    mass_N = (by_row.exp().sum(0) - 1 + by_column.exp().sum(1) - 1) / 2
    return own_N - mass_N


@dataclass(frozen=True)
class _Canonical:
    """Canonical coordinates learned from training rows: whitened within each side, diagonal between them."""

    to_x: Callable[[Floats], Floats]
    to_y: Callable[[Floats], Floats]
    correlations: Floats

    def of(self, x_NX: Floats, y_NY: Floats) -> tuple[Tensor, Tensor]:
        return torch.as_tensor(self.to_x(x_NX)).float(), torch.as_tensor(self.to_y(y_NY)).float()


@dataclass(frozen=True)
class _Data:
    x: Tensor
    y: Tensor
    group: Tensor
    held: Tensor
    rng: np.random.Generator

    def valid_value(self, weight_XY: Tensor) -> float:
        x, y = self.x[self.held], self.y[self.held]
        return float(infonce(x @ weight_XY @ y.T, self.negatives(self.held)).value)

    def negatives(self, rows: Tensor) -> Tensor:
        return negatives_mask(self.group[rows], "across_videos")

    def batches(self) -> Iterator[Tensor]:
        rows = np.flatnonzero(~self.held.numpy())
        while True:
            yield torch.as_tensor(self.rng.permutation(rows)[:BATCH])


def principal_components(rows_ND: Floats, most: int) -> Callable[[Floats], Floats]:
    """A map of raw columns to whitened principal components of their normal scores, learned from these rows.

    Ranks make it blind to the columns' scales and outliers. Components without variance are dropped.
    """
    sorted_ND = np.sort(rows_ND, axis=0)
    normal = _normal_scores(sorted_ND, rows_ND)
    mean_D = normal.mean(axis=0)
    variance, axes = np.linalg.eigh(np.atleast_2d(np.cov(normal, rowvar=False)))
    kept = np.argsort(-variance)[:most]
    kept = kept[variance[kept] > max(1e-6 * variance.max(), 1e-12)]
    if not len(kept):  # columns that vary elsewhere, but not in these rows: one coordinate that says nothing
        return lambda rows: np.zeros((len(rows), 1))
    projection_DP = axes[:, kept] / np.sqrt(variance[kept])
    return lambda rows: np.asarray((_normal_scores(sorted_ND, rows) - mean_D) @ projection_DP)


def _normal_scores(sorted_ND: Floats, rows: Floats) -> Floats:
    from scipy.special import ndtri

    columns = []
    for known, column in zip(sorted_ND.T, rows.T, strict=True):
        below, up_to = (np.searchsorted(known, column, side) for side in ("left", "right"))
        columns.append(ndtri(((below + up_to) / 2 + 0.5) / (len(known) + 1)))
    return np.stack(columns, axis=1)


def _canonical(x_NX: Floats, y_NY: Floats, components: int) -> _Canonical:
    whiten_x, whiten_y = principal_components(x_NX, components), principal_components(y_NY, components)
    left, correlations, right = np.linalg.svd(whiten_x(x_NX).T @ whiten_y(y_NY) / len(x_NX))
    return _Canonical(
        to_x=lambda rows: whiten_x(rows) @ left,
        to_y=lambda rows: whiten_y(rows) @ right.T,
        correlations=np.clip(correlations, 0, 0.9999),
    )


def _squares(x_NP: Tensor) -> Tensor:
    return torch.cat([x_NP, (x_NP.square() - 1) / math.sqrt(2), torch.ones(len(x_NP), 1)], 1)


def _gaussian_start(correlations: Floats, x_dim: int, y_dim: int) -> Tensor:
    """Weights that give (rho x y - rho^2 (x^2 + y^2) / 2) / (1 - rho^2), summed over pairs: a Gaussian's log ratio."""
    weight_QQ = torch.zeros(2 * x_dim + 1, 2 * y_dim + 1)
    for k, rho in enumerate(correlations.tolist()):
        weight_QQ[k, k] = rho / (1 - rho * rho)
        weight_QQ[x_dim + k, -1] = weight_QQ[-1, y_dim + k] = -rho * rho / (1 - rho * rho) / math.sqrt(2)
    return weight_QQ


def _train(critic: nn.Module, data: _Data, learning_rate: float, keep_start: bool) -> float:
    """Trains in place up to the best validation value, in nats, which is returned."""
    held_negatives = data.negatives(data.held)

    def valid_value() -> float:
        with torch.no_grad():
            return float(infonce(critic(data.x[data.held], data.y[data.held]), held_negatives).value)

    optimiser = torch.optim.Adam(critic.parameters(), lr=learning_rate)
    best, stale = (valid_value() if keep_start else -math.inf), 0
    state: dict[str, Any] = {name: value.clone() for name, value in critic.state_dict().items()}
    for step, rows in zip(range(1, STEPS + 1), data.batches(), strict=False):
        loss = -infonce(critic(data.x[rows], data.y[rows]), data.negatives(rows)).value
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        if step % CHECK_EVERY:
            continue
        value = valid_value()
        if value > best:
            best, stale = value, 0
            state = {name: value.clone() for name, value in critic.state_dict().items()}
        elif (stale := stale + 1) >= PATIENCE:
            break
    critic.load_state_dict(state)
    return best
