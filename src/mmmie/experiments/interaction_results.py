"""What was measured of modalities and their interactions: values with intervals, as tables and as JSON."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from mmmie.evidence.predictions import replacing
from mmmie.evidence.table import table


@dataclass(frozen=True)
class Value:
    """A value with its 95 % percentile interval over videos."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True)
class SubsetInformation:
    """What one subset of modalities tells of the label."""

    subset: str
    nats: Value
    r2: Value
    """Share of the labels' squared deviation from the training folds' mean that out-of-fold predictions explain."""
    null_high: float | None
    """The 95 % quantile of the nats where the labels are shuffled; None without shuffles."""
    p: float | None
    """One-sided: the share of shuffles, the observation counted as one, that tell as much."""


@dataclass(frozen=True)
class Increment:
    """What a modality adds to a subset that lacks it, in nats; null and p under shuffles of what the subset leaves."""

    modality: str
    to: str
    nats: Value
    null_high: float | None
    p: float | None


@dataclass(frozen=True)
class Interaction:
    """Above 0, a subset tells more than its own subsets account for (synergy); below 0, they repeat (redundancy).

    Of two modalities it is I(ab) - I(a) - I(b); of three, what the three pairs leave over.
    """

    subset: str
    nats: Value


@dataclass(frozen=True)
class Partition:
    """Gaussian partial information of two modalities' out-of-fold predictions, in nats. A secondary picture."""

    first: str
    second: str
    redundant: Value
    unique_first: Value
    unique_second: Value
    synergistic: Value


@dataclass(frozen=True)
class Interactions:
    """All of it, for one corpus."""

    corpus: str
    fingerprint: str
    utterances: int
    videos: int
    present: dict[str, float]
    """By modality: the share of utterances that have it."""
    context: int
    folds: int
    draws: int
    shuffles: int
    seed: int
    subsets: tuple[SubsetInformation, ...]
    increments: tuple[Increment, ...]
    shapley: dict[str, Value]
    interactions: tuple[Interaction, ...]
    partitions: tuple[Partition, ...]

    def __str__(self) -> str:
        have = ", ".join(f"{name} {share:.0%}" for name, share in self.present.items())
        return "\n".join(
            [
                f"{self.corpus}: {self.utterances} train and valid utterances of {self.videos} videos ({have}); "
                f"{self.folds} folds by video, context {self.context}",
                "",
                "Usable information about the label: nats of a linear Gaussian family, out of fold, 95 % over videos",
                table(
                    [
                        ["subset", "nats", "R^2", "shuffled, 95 %", "p"],
                        *[[s.subset, str(s.nats), str(s.r2), _shown(s.null_high), _shown(s.p)] for s in self.subsets],
                    ]
                ),
                "",
                "What a modality adds, in nats",
                table(
                    [
                        ["adds", "to", "nats", "shuffled, 95 %", "p"],
                        *[[i.modality, i.to, str(i.nats), _shown(i.null_high), _shown(i.p)] for i in self.increments],
                    ]
                ),
                "",
                "Shapley share of each modality, in nats",
                table([["modality", "nats"], *[[name, str(value)] for name, value in self.shapley.items()]]),
                "",
                "Interaction, in nats: above 0 synergy, below 0 redundancy",
                table([["of", "nats"], *[[i.subset, str(i.nats)] for i in self.interactions]]),
                "",
                "Secondary: Gaussian partial information of out-of-fold predictions (redundant: the smaller), nats",
                table(
                    [
                        ["first, second", "redundant", "only first", "only second", "synergistic"],
                        *[
                            [
                                f"{p.first}, {p.second}",
                                *map(str, (p.redundant, p.unique_first, p.unique_second, p.synergistic)),
                            ]
                            for p in self.partitions
                        ],
                    ]
                ),
            ]
        )

    def write(self, path: str | Path) -> None:
        """Writes all values as JSON, whole or not at all."""
        with replacing(path) as temporary:
            Path(temporary).write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
