"""The picture of usable information: what each subset tells, what each modality adds, and how it divides."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmmie.evidence.canvas import canvas, save
from mmmie.evidence.figures import TRAIN, VALID
from mmmie.experiments.interaction_results import Interactions, Value


def draw_interactions(measured: Interactions, path: str | Path) -> None:
    """Draws subsets, increments and Shapley shares with their intervals, and the shuffled null, as PNG.

    Raises:
        EvidenceError: matplotlib is not installed, or the file cannot be written.
    """
    title = f"{measured.corpus}: usable information about the label, in nats ({measured.videos} videos)"
    figure, (subsets, increments, shares) = canvas(1, 3, title)
    _intervals(subsets, "what a subset tells", {s.subset: s.nats for s in measured.subsets})
    _null(subsets, [s.null_high for s in measured.subsets])
    _intervals(increments, "what a modality adds", {f"{i.modality} | {i.to}": i.nats for i in measured.increments})
    _null(increments, [i.null_high for i in measured.increments])
    _intervals(shares, "Shapley share", measured.shapley)
    save(figure, path)


def _intervals(ax: Any, title: str, values: Mapping[str, Value]) -> None:
    places = range(len(values))[::-1]
    ax.set_title(title, fontsize=9)
    ax.axvline(0, color="black", linewidth=0.8, linestyle=":")
    ax.hlines(places, [v.low for v in values.values()], [v.high for v in values.values()], color=VALID)
    ax.plot([v.value for v in values.values()], places, "o", color=VALID, markersize=4)
    ax.set_yticks(list(places), list(values), fontsize=7)
    ax.set_ylim(-0.6, len(values) - 0.4)
    ax.set_xlabel("nats, 95 % over videos", fontsize=8)


def _null(ax: Any, high: list[float | None]) -> None:
    if None in high:
        return
    ax.plot(high, range(len(high))[::-1], "|", color=TRAIN, markersize=9, label="shuffled, 95 %")
    ax.legend(fontsize=7, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.16))
