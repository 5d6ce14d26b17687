"""The field's metrics of scores against labels, each under a name that carries its convention.

    mae, corr            all items; Pearson
    acc7, acc5           label and score clipped to [-3, 3] or [-2, 2], rounded half to even, equal
    acc2_has_zero, f1_…  negative against non-negative: score >= 0 against label >= 0, all items
    acc2_non_zero, f1_…  negative against positive: score > 0 against label > 0, items with label != 0

Every metric is a function of sums over items, so that the same definition serves one evaluation and the thousands of
resampled ones of the bootstrap. Two kinds of "there is none": None where the convention does not fit the range of the
labels, NaN where it fits but these items leave it undefined (a constant score has no correlation).
"""

from dataclasses import asdict, dataclass
from math import isnan, nan
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mmmie.errors import EvidenceError, did_you_mean

Floats = NDArray[np.float64]

METRICS = {
    "mae": "MAE",
    "corr": "Corr",
    "acc7": "Acc-7",
    "acc5": "Acc-5",
    "acc2_has_zero": "Acc-2 has-zero",
    "f1_has_zero": "F1 has-zero",
    "acc2_non_zero": "Acc-2 non-zero",
    "f1_non_zero": "F1 non-zero",
}
"""Name -> title in tables, in the order of tables."""

CONVENTIONS = {
    "mae": "mean absolute error, all items",
    "corr": "Pearson, all items",
    "acc7": "clipped to [-3, 3], rounded half to even",
    "acc5": "clipped to [-2, 2], rounded half to even",
    "acc2_has_zero": "negative / non-negative, all items",
    "f1_has_zero": "the same, weighted by class",
    "acc2_non_zero": "negative / positive, label 0 left out",
    "f1_non_zero": "the same, weighted by class",
}


@dataclass(frozen=True)
class Metrics:
    """The metrics of `n` items; accuracies and F1 in [0, 1], `mae` in the unit of the labels."""

    n: int
    mae: float
    corr: float
    acc7: float | None
    acc5: float | None
    acc2_has_zero: float | None
    f1_has_zero: float | None
    acc2_non_zero: float | None
    f1_non_zero: float | None

    def value(self, name: str) -> float:
        """One metric by name, NaN where there is none."""
        value = getattr(self, check_name(name))
        return nan if value is None else float(value)

    def to_json(self) -> dict[str, float | None]:
        """By name, null where there is none: JSON has no NaN."""
        return {name: None if value is None or isnan(value) else value for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """Raises EvidenceError: a metric is missing, unknown, or not a number."""
        try:
            numbers = {name: None if value is None else float(value) for name, value in values.items()}
            n = int(values["n"])
            always = {name: nan if numbers[name] is None else numbers[name] for name in ("mae", "corr")}
            return cls(**{**numbers, **always, "n": n})  # type: ignore[arg-type]
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            raise EvidenceError(f"not a set of metrics: {error}. Evaluate the run again.") from None


def check_name(name: str) -> str:
    """The name of a metric, unchanged. Raises EvidenceError: unknown, with the nearest known one."""
    if name not in METRICS:
        raise EvidenceError(f"no metric '{name}'. {did_you_mean(name, METRICS)}")
    return name


def higher_is_better(name: str) -> bool:
    return name != "mae"


def fits(name: str, label_range: tuple[float, float]) -> bool:
    """Whether a metric's convention means something on labels of this range.

    Acc-7 and Acc-5 count the steps of [-3, 3]; Acc-2 and F1 need a zero between negative and positive.
    """
    low, high = label_range
    if name in ("acc7", "acc5"):
        return (low, high) == (-3.0, 3.0)
    return name in ("mae", "corr") or low < 0 < high


def undefined_notes(label_range: tuple[float, float]) -> list[str]:
    """Sentences on the metrics that do not fit the range of the labels."""
    low, high = label_range
    notes = []
    if (low, high) != (-3, 3):
        notes.append(f"Acc-7 and Acc-5 are defined for labels in [-3, 3]; these are in [{low:g}, {high:g}].")
    if not low < 0 < high:
        notes.append("Acc-2 and F1 need negative and positive labels around 0.")
    return notes


def show(name: str, value: float | None, sign: bool = False) -> str:
    """A metric as tables show it: MAE and Corr with three decimals, the others in percent, `-` where there is none."""
    if value is None or isnan(value):
        return "-"
    plus = "+" if sign else ""
    return f"{value:{plus}.3f}" if name in ("mae", "corr") else f"{100 * value:{plus}.1f}"


def measure(labels: ArrayLike, scores: ArrayLike, label_range: tuple[float, float] = (-3.0, 3.0)) -> Metrics:
    """All metrics of scores against labels.

    Args:
        labels: (N,), N >= 1, in `label_range`.
        scores: (N,) in the same order and unit.
        label_range: lowest and highest label the corpus allows; see `fits`.

    Raises:
        EvidenceError: no items, shapes that differ, or a label or score that is not finite.
    """
    sums = item_sums(labels, scores)
    values = metrics_of_sums(sums.sum(axis=0))
    return Metrics(n=len(sums), **{name: float(values[name]) if fits(name, label_range) else None for name in METRICS})  # type: ignore[arg-type]  # mae and corr fit every range


def item_sums(labels: ArrayLike, scores: ArrayLike) -> Floats:
    """(N, 17): what each item adds to the sums that `metrics_of_sums` reads.

    Raises:
        EvidenceError: as `measure`.
    """
    y, x = np.asarray(labels, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    if y.ndim != 1 or x.shape != y.shape or not len(y):
        raise EvidenceError(f"metrics need one score for each label; came: labels {y.shape}, scores {x.shape}")
    for name, values in (("label", y), ("score", x)):
        bad = np.flatnonzero(~np.isfinite(values))
        if len(bad):
            raise EvidenceError(
                f"{len(bad)} of {len(values)} {name}s are not finite, the first in row {bad[0]} ({values[bad[0]]}). "
                "No metric leaves items out: find what made them."
            )
    # Pearson does not mind a shift; from the first item, a constant becomes exactly 0 whatever its rounding.
    u, v = x - x[0], y - y[0]
    columns = [np.ones_like(y), np.abs(x - y), u, v, u * u, v * v, u * v]
    columns += [np.round(np.clip(x, -c, c)) == np.round(np.clip(y, -c, c)) for c in (3, 2)]
    everything = np.ones(len(y), dtype=np.bool_)
    for true, said, counted in ((y >= 0, x >= 0, everything), (y > 0, x > 0, y != 0)):
        columns += [counted & true & said, counted & true & ~said, counted & ~true & said, counted & ~true & ~said]
    return np.stack([np.asarray(column, dtype=np.float64) for column in columns], axis=1)


def metrics_of_sums(sums: Floats) -> dict[str, Floats]:
    """Every metric (...) by name out of sums (..., 17) of `item_sums`, NaN where undefined."""
    n, error, u, v, uu, vv, uv, hit7, hit5, *confusion = np.moveaxis(sums, -1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        spread_u, spread_v = n * uu - u * u, n * vv - v * v
        # What is left of a difference of sums after cancellation is noise below 1e-12 of them.
        flat = (spread_u <= 1e-12 * n * uu) | (spread_v <= 1e-12 * n * vv)
        corr = np.clip((n * uv - u * v) / np.sqrt(spread_u * spread_v), -1.0, 1.0)
        values = {"mae": error / n, "corr": np.where(flat, nan, corr), "acc7": hit7 / n, "acc5": hit5 / n}
    for convention, cells in (("has_zero", confusion[:4]), ("non_zero", confusion[4:])):
        values[f"acc2_{convention}"], values[f"f1_{convention}"] = _accuracy_and_f1(*cells)
    return values


def _accuracy_and_f1(true_positive: Floats, missed: Floats, wrong: Floats, true_negative: Floats) -> tuple[Floats, ...]:
    n = true_positive + missed + wrong + true_negative
    f1_sum = np.zeros_like(n)
    for hits, support in ((true_positive, true_positive + missed), (true_negative, true_negative + wrong)):
        f1_sum += support * 2 * hits / np.maximum(2 * hits + missed + wrong, 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return (true_positive + true_negative) / n, f1_sum / n
