"""How many nats two arrays share, with an interval that says which side of the truth each end is on.

N: rows; X, Y: widths of the two sides; G: groups; B: bootstrap draws.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import t as student_t

from mmmie.errors import EvidenceError
from mmmie.experiments.dependence_checks import Check, consistency_checks
from mmmie.experiments.dependence_critics import Floats, Heldout, Ints, cross_fit, principal_components
from mmmie.experiments.dependence_null import permutation_p
from mmmie.mi.estimate import Estimate, Side
from mmmie.mi.gaussian import copula_mi
from mmmie.mi.ksg import MAX_DIM, ksg

FOLDS = 5
COMPONENTS = 32
PERMUTATIONS = 1_000
FEWEST_GROUPS, FEWEST_ROWS = 10, 50
FEW_GROUPS = 30
"""Below this an interval over groups is too short as a rule, which is said."""
DRAWS = 5_000
JACKKNIFE_BLOCKS = 20


@dataclass(frozen=True)
class Value:
    """One estimator's reading, in nats."""

    name: str
    nats: float
    low: float
    high: float
    """A 95 % interval of the estimator's own mean: of what it estimates, not of the truth."""
    side: Side


@dataclass(frozen=True)
class Dependence:
    """What is known about I(X; Y), in nats."""

    low: float
    """Of 95 %, never below 0: the lower end of a held-out lower bound, right whatever the critic."""
    high: float | None
    """Of 95 %: the highest upper end among the estimators, right if one of them sees the whole dependence. None where
    the bound is at its ceiling: the arrays share at least `low`, and these rows cannot say how much more."""
    p: float
    """Of independence, by permutation of groups."""
    ceiling: float
    """Log of the rows that a held-out row is told apart from: no lower bound reads above it."""
    resolved: bool
    """Whether the bound is more than one nat below its ceiling."""
    rows: int
    groups: int
    x_dim: int
    y_dim: int
    values: tuple[Value, ...]
    """The chosen critic first."""
    checks: tuple[Check, ...]
    notes: tuple[str, ...]


def dependence(
    x_NX: Floats,
    y_NY: Floats,
    group_N: NDArray[Any] | None = None,
    *,
    folds: int = FOLDS,
    components: int = COMPONENTS,
    permutations: int = PERMUTATIONS,
    checks: bool = True,
    seed: int = 0,
) -> Dependence:
    """Estimates I(X; Y) from paired rows, cross-fitted by group.

    The lower end is the bootstrap's over groups, of InfoNCE on rows that the critics have not seen: in expectation a
    lower bound whatever the critics. No upper bound on I(X; Y) can be had from samples without an assumption, so the
    upper end is that of the estimator that reads most: the critics, the Gaussian copula, and nearest neighbours (KSG)
    where both sides have at most 3 columns. Where the dependence is wide, and of a kind that neither critics nor the
    copula see, the truth is above it.

    Args:
        x_NX: float, finite, no constant column, N at least 50.
        y_NY: the same of the other side.
        group_N: the group (video) of each row, any dtype that sorts, at least 10 distinct. None: each row its own.
        folds: of the cross-fit, at least 2; each has at least two groups.
        components: most principal components a side keeps for the critics, and one for every 50 rows at most (but 8).
        permutations: of each block of groups, at least 19.
        checks: whether to see if half of the rows, other critics, coarsened and exchanged rows tell the same story;
            they take up to twice as long as the estimate.
        seed: of everything that is drawn; equal seeds give equal results.

    Raises:
        EvidenceError: arrays that do not fit, with the row or column and the repair.

    Source: Poole et al. 2019 (InfoNCE as a bound); McAllester & Stratos 2020 (the ceiling); Abdelaleem, Martini &
    Nemenman 2025, arXiv:2506.00330 (checks of consistency). Ends and tests by group are ours.
    """
    x_NX, y_NY, groups = checked_pair(x_NX, y_NY, group_N, folds, permutations)
    num_groups = int(groups.max()) + 1
    notes = _notes(x_NX, y_NY, groups, group_N is None)
    fewer = min(components, max(8, len(x_NX) // 50))
    if max(x_NX.shape[1], y_NY.shape[1]) > fewer:
        notes.append(
            f"the critics read at most {fewer} principal components a side ({x_NX.shape[1]} and {y_NY.shape[1]} "
            "columns came); what is lost with the others lowers their values"
        )
    folds = min(folds, num_groups // 2)
    heldout = cross_fit(x_NX, y_NY, groups, folds, fewer, seed)
    values = critic_values(heldout, groups, seed)
    for reading in (_copula, _ksg):
        value, said = reading(x_NX, y_NY, groups, fewer, seed)
        values += [value] if value else []
        notes += [said] if said else []
    resolved = values[0].nats < heldout.ceiling - 1
    return Dependence(
        low=max(0.0, values[0].low),
        high=max(0.0, *(value.high for value in values)) if resolved else None,
        p=permutation_p(x_NX, y_NY, groups, fewer, permutations, seed),
        ceiling=heldout.ceiling,
        resolved=resolved,
        rows=len(x_NX),
        groups=num_groups,
        x_dim=x_NX.shape[1],
        y_dim=y_NY.shape[1],
        values=tuple(values),
        checks=consistency_checks(x_NX, y_NY, groups, heldout, folds, fewer, seed) if checks else (),
        notes=tuple(notes),
    )


def checked_pair(
    x_NX: Floats, y_NY: Floats, group_N: NDArray[Any] | None, folds: int, permutations: int
) -> tuple[Floats, Floats, Ints]:
    """Both sides as float64 of shape (N, D), and groups as 0 ... G - 1, or an EvidenceError that says what is wrong."""
    x, y = checked_side(x_NX, "the first array"), checked_side(y_NY, "the second array")
    if len(x) != len(y):
        raise EvidenceError(
            f"rows are paired, so both arrays need the same number, but came {len(x)} and {len(y)}. "
            "Save them for the same utterances in the same order."
        )
    if len(x) < FEWEST_ROWS:
        raise EvidenceError(f"at least {FEWEST_ROWS} rows are needed, but came {len(x)}. Nothing honest can be said.")
    if folds < 2:
        raise EvidenceError(f"a cross-fit needs at least 2 folds, but came {folds}")
    if permutations < 19:
        raise EvidenceError(f"a test at 5 % needs at least 19 permutations, but came {permutations}")
    if group_N is None:
        return x, y, np.arange(len(x))
    if len(group_N) != len(x):
        raise EvidenceError(
            f"one group for each row is needed, but came {len(group_N)} groups for {len(x)} rows. "
            "Write the video of each row on a line of its own, in the order of the rows."
        )
    names, codes = np.unique(np.asarray(group_N), return_inverse=True)
    if len(names) < FEWEST_GROUPS:
        raise EvidenceError(
            f"at least {FEWEST_GROUPS} groups are needed, but came {len(names)}: rows of a group depend on one "
            "another, and so few tell nothing about other groups. Add videos, or, only where rows are truly "
            "independent, leave the groups out."
        )
    return x, y, codes.astype(np.int64)


def checked_side(array: Floats, name: str) -> Floats:
    """One side as float64 of shape (N, D); one dimension becomes a column.

    Raises:
        EvidenceError: not numbers, not of one or two dimensions, empty, not finite, or with a constant column.
    """
    if array.dtype.kind not in "fiub":
        raise EvidenceError(f"{name} must hold real numbers, but is of dtype {array.dtype}. Save it as float32.")
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2 or not array.size:
        raise EvidenceError(
            f"{name} must be of shape (N,) or (N, D), but came {array.shape}. Average or flatten the other axes."
        )
    array = array.astype(np.float64)
    if not np.isfinite(array).all():
        row, column = np.argwhere(~np.isfinite(array))[0].tolist()
        raise EvidenceError(
            f"{name} must be finite, but is {array[row, column]} in row {row}, column {column}. "
            "Drop such rows from both arrays."
        )
    constant = np.flatnonzero((array == array[0]).all(axis=0))
    if len(array) > 1 and len(constant):
        shown = ", ".join(map(str, constant[:5].tolist())) + (", ..." if len(constant) > 5 else "")
        raise EvidenceError(
            f"{name} has {len(constant)} constant columns of {array.shape[1]} ({shown}), which tell nothing. Drop them."
        )
    return array


def critic_values(heldout: Heldout, group_N: Ints, seed: int) -> list[Value]:
    """The chosen critic's reading and those of each kind, with intervals by bootstrap over groups."""
    rng = np.random.default_rng(seed)
    num_groups = int(group_N.max()) + 1
    weights_BG = rng.multinomial(num_groups, np.full(num_groups, 1 / num_groups), size=DRAWS).astype(np.float64)
    rows_B = weights_BG @ np.bincount(group_N)
    values = []
    for name, terms_N in heldout.terms_N.items():
        drawn_B = weights_BG @ np.bincount(group_N, terms_N) / rows_B
        low, high = np.percentile(drawn_B, [2.5, 97.5]).tolist()
        label = "InfoNCE, chosen critic" if name == "chosen" else f"InfoNCE, {name}"
        values.append(Value(label, float(terms_N.mean()), low, high, "lower"))
    return values


def jackknife(
    name: str,
    estimate: Callable[[torch.Tensor, torch.Tensor], Estimate],
    x: Floats,
    y: Floats,
    group_N: Ints,
    seed: int,
) -> Value:
    """An estimator that is no mean over rows, freed of its first-order bias, with an interval by leaving groups out.

    A bootstrap would repeat rows, which nearest neighbours and ranks take for dependence.

    Source: Quenouille 1956; Kuensch 1989 (blocks); 95 % by Student's t with as many blocks less one.
    """
    order = np.random.default_rng(seed).permutation(int(group_N.max()) + 1)
    blocks = min(JACKKNIFE_BLOCKS, len(order))
    block_N = (order % blocks)[group_N]
    tensors = torch.as_tensor(x), torch.as_tensor(y)
    whole = float(estimate(*tensors).value)
    left_out = []
    for block in range(blocks):
        kept = torch.as_tensor(block_N != block)
        left_out.append(float(estimate(tensors[0][kept], tensors[1][kept]).value))
    pseudo = blocks * whole - (blocks - 1) * np.asarray(left_out)
    half = float(student_t.ppf(0.975, blocks - 1)) * float(pseudo.std(ddof=1)) / sqrt(blocks)
    value = float(pseudo.mean())
    return Value(name, value, value - half, value + half, "estimate")


def _copula(x: Floats, y: Floats, group_N: Ints, components: int, seed: int) -> tuple[Value | None, str | None]:
    """On the raw columns where the rows suffice, else on principal components."""
    name = "Gaussian copula"
    if x.shape[1] + y.shape[1] <= 2 * components:
        try:
            return jackknife(name, copula_mi, x, y, group_N, seed), None
        except EvidenceError:  # columns that are sums of others, which their principal components are not
            pass
    inner = [principal_components(side, components)(side) for side in (x, y)]
    try:
        return jackknife(f"{name}, components", copula_mi, inner[0], inner[1], group_N, seed), None
    except EvidenceError as error:
        return None, f"no Gaussian-copula value: {error}"


def _ksg(x: Floats, y: Floats, group_N: Ints, components: int, seed: int) -> tuple[Value | None, str | None]:
    if max(x.shape[1], y.shape[1]) > MAX_DIM:
        return None, None
    inner = [principal_components(side, components)(side) for side in (x, y)]
    try:
        return jackknife("KSG", ksg, inner[0], inner[1], group_N, seed), None
    except EvidenceError as error:
        return None, f"no KSG value: {error}"


def _notes(x: Floats, y: Floats, group_N: Ints, ungrouped: bool) -> list[str]:
    notes = []
    if ungrouped:
        notes.append(
            "no groups were given, so each row counts as independent; where rows come from videos the interval is too "
            "short and p too small (--groups)"
        )
    sizes = np.bincount(group_N)
    if len(sizes) < FEW_GROUPS:
        notes.append(f"{len(sizes)} groups are few: the interval is likely too short")
    if sizes.max() > len(group_N) / 2:
        notes.append(f"one group holds {sizes.max()} of {len(group_N)} rows, which the others can hardly check")
    repeats = len(x) - len(np.unique(np.concatenate([x, y], axis=1), axis=0))
    if repeats:
        notes.append(
            f"{repeats} rows repeat another row of both arrays; where their groups differ, critics have seen what they "
            "are asked, and every value is too high"
        )
    return notes
