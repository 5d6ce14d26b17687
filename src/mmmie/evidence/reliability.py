"""What was stated of the test predictions against what happened: coverage, width, abstention, and the mean by bin."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np

from mmmie.errors import EvidenceError
from mmmie.evidence.predictions import Predictions

BINS = 10
KEPT = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3)


@dataclass(frozen=True)
class Bin:
    """Predictions of neighbouring scores: where the two means agree, scores can be read as they are."""

    n: int
    mean_score: float
    mean_label: float
    coverage: float


@dataclass(frozen=True)
class Reliability:
    """Shares in [0, 1]; None where labels have no sign, or where nothing is left to count."""

    stated_coverage: float
    coverage: float
    mean_width: float
    abstained: float
    outside: float
    sign_accuracy: float | None
    """Negative against positive over all labels that are not 0."""
    sign_accuracy_kept: float | None
    """The same where there was no abstention."""
    sign_accuracy_abstained: float | None
    mae_kept: float | None
    risk_coverage: Mapping[str, float | None]
    """By share of the utterances kept, those of the largest |score| first: the accuracy of their signs."""
    bins: tuple[Bin, ...]
    """Of equal numbers of utterances, by score."""
    mean_contributions: Mapping[str, float]
    """By modality the mean size of its contribution, and `context`, by how much hiding it moves the score."""

    def __str__(self) -> str:
        line = (
            f"Intervals stated at {self.stated_coverage:.0%} cover {self.coverage:.1%}, mean width "
            f"{self.mean_width:.2f}; abstained on {self.abstained:.0%}"
        )
        if self.sign_accuracy is None or self.sign_accuracy_kept is None:
            return line + "."
        return line + f", sign right in {self.sign_accuracy_kept:.1%} of the rest (of all: {self.sign_accuracy:.1%})."

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """Raises EvidenceError: a value is missing or unknown."""
        try:
            return cls(**{**values, "bins": tuple(Bin(**bin_) for bin_ in values["bins"])})
        except (TypeError, KeyError) as error:
            raise EvidenceError(f"not a measured reliability: {error!r}. Evaluate the run again.") from None


def measure_reliability(predictions: Predictions, stated_coverage: float) -> Reliability:
    """Measures it on predictions with their worth, which are those of test.

    Raises:
        EvidenceError: there are none, or their worth is not known.
    """
    worth, labels, scores = predictions.worth, predictions.labels, predictions.scores
    if worth is None or not len(predictions):
        raise EvidenceError("these predictions have no intervals. Evaluate the run again.")
    covered = (worth.lower <= labels) & (labels <= worth.upper)
    kept = ~worth.abstain
    low, high = predictions.origin.label_range
    signed = (labels != 0) & (low < 0 < high)
    right = (scores > 0) == (labels > 0)
    by_certainty = np.argsort(-np.abs(scores), kind="stable")
    firsts = {f"{share:g}": by_certainty[: max(1, round(share * len(scores)))] for share in KEPT}
    return Reliability(
        stated_coverage=stated_coverage,
        coverage=float(covered.mean()),
        mean_width=float((worth.upper - worth.lower).mean()),
        abstained=float(worth.abstain.mean()),
        outside=float(worth.outside.mean()),
        sign_accuracy=_mean(right[signed]),
        sign_accuracy_kept=_mean(right[signed & kept]),
        sign_accuracy_abstained=_mean(right[signed & ~kept]),
        mae_kept=_mean(np.abs(labels - scores)[kept]),
        risk_coverage={share: _mean(right[rows][signed[rows]]) for share, rows in firsts.items()},
        bins=tuple(
            Bin(len(rows), float(scores[rows].mean()), float(labels[rows].mean()), float(covered[rows].mean()))
            for rows in np.array_split(np.argsort(scores, kind="stable"), min(BINS, len(scores)))
        ),
        mean_contributions={
            **{name: float(np.abs(values).mean()) for name, values in worth.contributions.items()},
            "context": float(np.abs(scores - worth.without_context).mean()),
        },
    )


def _mean(values: Any) -> float | None:
    return float(values.mean()) if len(values) else None
