"""Curves of MAE over the strength of damage, the reference in colour."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean

from mmmie.evidence.canvas import canvas, save
from mmmie.evidence.figures import TRAIN, TRUTH, VALID
from mmmie.evidence.robustness import LEVELS, WORD_DROPOUT, Robustness

STEEPEST = 1
"""Beside the reference so many arms with the best and the worst area are named."""
STRENGTHS = {
    "gaps": "share of frames masked",
    "noise": "noise, in deviations",
    WORD_DROPOUT: "chance of a word to be left out",
}


def draw_robustness(panels: Mapping[str, Mapping[str, Sequence[Robustness]]], reference: str, path: Path) -> bool:
    """Draws MAE over each kind of damage to each modality, axes for each; whether there was anything to draw.

    Args:
        panels: by corpus, by arm, its runs.
        reference: the arm in colour.
        path: of the PNG.
    """
    drawn = [
        (title, modality, kind, arms)
        for title, arms in panels.items()
        for modality, kind in dict.fromkeys(
            (c.modalities[0], c.kind) for runs in arms.values() for r in runs for c in r.conditions if c.kind in LEVELS
        )
    ]
    if not drawn:
        return False
    figure, axes = canvas((len(drawn) + 1) // 2, 2, f"MAE on damaged input; {reference} against the other arms")
    for ax, (title, modality, kind, arms) in zip(axes, drawn, strict=False):
        curves = {arm: _curve(runs, kind, modality) for arm, runs in arms.items() if runs}
        curves = {arm: curve for arm, curve in curves.items() if len(curve) > 1}
        by_area = sorted(curves, key=lambda arm: fmean(value for _, value in curves[arm]))
        named = [reference, *by_area[:STEEPEST], *by_area[-STEEPEST:]]
        for arm, curve in curves.items():
            colour = VALID if arm == reference else TRUTH if arm in named else TRAIN
            ax.plot(
                *zip(*curve, strict=True),
                color=colour,
                linewidth=1.8 if arm in named else 0.7,
                linestyle="-" if arm == reference else "--" if arm in named else ":",
                zorder=3 if arm in named else 1,
            )
            if arm in named:
                ax.annotate(arm, curve[-1], (3, 0), textcoords="offset points", fontsize=7, va="center", color=colour)
        ax.set_title(f"{title}: {modality}", fontsize=9)
        ax.set_xlabel(STRENGTHS[kind], fontsize=8)
        ax.set_ylabel("MAE", fontsize=8)
        ax.margins(x=0.12)
    save(figure, path)
    return True


def _curve(runs: Sequence[Robustness], kind: str, modality: str) -> list[tuple[float, float]]:
    several = [run.curve(kind, modality) for run in runs]
    return [
        (points[0][0], fmean(metrics.mae for _, metrics in points)) for points in zip(*several, strict=True) if points
    ]
