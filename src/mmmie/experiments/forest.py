"""The forest plot of a study: each arm's difference to the reference with its interval, a panel for each corpus."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmmie.evidence.canvas import blank, legend_line, legend_patch, save
from mmmie.evidence.metrics import METRICS, higher_is_better
from mmmie.experiments.plan import Plan
from mmmie.experiments.results import ArmResult, Panel

STYLES = {
    "better": ("#0072b2", "o", "full"),
    "worse": ("#d55e00", "s", "full"),
    "not resolved": ("#6b7077", "o", "none"),
}
"""Colour, marker and filling by verdict: blue and vermilion of Okabe and Ito, and told apart by shape in grey print."""
BAND = "#d9dce0"
INCHES_PER_ARM = 0.34


def draw_forest(plan: Plan, panels: Sequence[Panel]) -> list[Path]:
    """Draws `forest.png` and `forest.svg`; nothing where no panel has a comparison.

    The band around zero is what a comparison could not have detected; filled markers have a Holm p below 5 %.

    Raises:
        EvidenceError: matplotlib is not installed, or a file cannot be written.
    """
    compared = [panel for panel in panels if panel.comparison is not None]
    if not compared:
        return []
    heights = [0.9 + INCHES_PER_ARM * len(_contrasted(panel)) for panel in compared]
    figure = blank(7.2, 0.7 + sum(heights), plan.study.question or plan.study.name)
    axes = figure.subplots(len(compared), 1, squeeze=False, height_ratios=heights)[:, 0]
    for ax, panel in zip(axes, compared, strict=True):
        _draw(ax, panel)
    _legend(figure, compared)
    paths = [plan.folder / "forest.png", plan.folder / "forest.svg"]
    for path in paths:
        save(figure, path)
    return paths


def _contrasted(panel: Panel) -> list[ArmResult]:
    return [
        arm
        for arm in panel.arms
        if arm.contrast is not None and arm.contrast.difference.low == arm.contrast.difference.low
    ]


def _draw(ax: Any, panel: Panel) -> None:
    arms = _contrasted(panel)
    scale = 1.0 if panel.metric in ("mae", "corr") else 100.0
    for place, arm in enumerate(arms):
        assert arm.contrast is not None
        d = arm.contrast.difference
        colour, marker, filling = STYLES[arm.contrast.verdict.removesuffix(" (one seed)")]
        ax.barh(place, 2 * scale * d.detectable, left=-scale * d.detectable, height=0.8, color=BAND, zorder=0)
        ax.plot([scale * d.low, scale * d.high], [place, place], color=colour, linewidth=1.6, zorder=2)
        ax.plot(
            scale * d.value,
            place,
            marker,
            color=colour,
            markersize=6.5,
            zorder=3,
            markeredgewidth=1.5,
            markerfacecolor=colour if filling == "full" else "white",
        )
    ax.use_sticky_edges = False
    ax.margins(x=0.04)
    ax.axvline(0, color="black", linewidth=0.8, zorder=1)
    names = [arm.arm + (" (one seed)" if arm.contrast and "one seed" in arm.contrast.verdict else "") for arm in arms]
    ax.set_yticks(range(len(arms)), names, fontsize=8.5)
    ax.set_ylim(len(arms) - 0.4, -0.6)
    ax.tick_params(labelsize=8)
    ax.spines[["top", "right", "left"]].set_visible(False)
    unit = "" if scale == 1.0 else " (percent)"
    good = "higher" if higher_is_better(panel.metric) else "lower"
    assert panel.comparison is not None
    ax.set_title(
        f"{panel.title}: {panel.comparison.num_utterances} utterances, {panel.comparison.num_videos} videos",
        fontsize=9,
        loc="left",
    )
    ax.set_xlabel(f"{METRICS[panel.metric]}{unit} less that of {panel.reference}; {good} is better", fontsize=8.5)


def _legend(figure: Any, panels: Sequence[Panel]) -> None:
    verdicts = {a.contrast.verdict.removesuffix(" (one seed)") for p in panels for a in p.arms if a.contrast}
    handles = [
        legend_line(verdict, colour, marker, colour if filling == "full" else "white")
        for verdict, (colour, marker, filling) in STYLES.items()
        if verdict in verdicts
    ]
    handles.append(legend_patch("could not have been detected", BAND))
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=8, frameon=False)
