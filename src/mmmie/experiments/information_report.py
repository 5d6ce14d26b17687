"""Table and figures of what the arms' representations hold: the compression curve and the information plane."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log, nan
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from mmmie.evidence.canvas import canvas, save
from mmmie.evidence.figures import TRAIN, VALID
from mmmie.experiments.files import as_csv, as_markdown, write_all
from mmmie.experiments.information import Information
from mmmie.learning.run import Run


@dataclass(frozen=True)
class Measured:
    """One run of an arm."""

    run: Run
    information: Information
    mae: float
    """On test."""


Panels = Mapping[str, Mapping[str, Sequence[Measured]]]


def write_information(folder: Path, panels: Panels) -> list[Path]:
    """Writes `information.md` and `information.csv`, and where encoders have noise `compression.png`; nothing where no
    run was measured.

    Args:
        folder: of the study.
        panels: by title, by arm, the runs that were measured.
    """
    if not any(runs for arms in panels.values() for runs in arms.values()):
        return []
    lines, records = ["# What the representations hold", ""], []
    for title, arms in panels.items():
        measured = {arm: [_values(one) for one in runs] for arm, runs in arms.items() if runs}
        columns = list(dict.fromkeys(name for runs in measured.values() for run in runs for name in run))
        rows = [["arm", *columns], *([arm, *(_cell(runs, c) for c in columns)] for arm, runs in measured.items())]
        lines += [f"## {title}", "", *as_markdown(rows), ""]
        records += [
            {"panel": title, "arm": arm, "seed": one.run.seed, **_values(one)}
            for arm, runs in arms.items()
            for one in runs
        ]
    lines += [
        "I(X; F): measured [L, U] on valid at the kept epoch, in nats. Pairs: InfoNCE of a fresh critic on fixed "
        "representations, noise included, on videos of valid that it has not seen: a lower bound in nats. R²: share of "
        "a true factor's variance that ridge finds in a representation, noise included, leaving out videos. Mean over "
        "seeds, ± sd.",
        "",
    ]
    files = {"information.md": "\n".join(lines), "information.csv": as_csv(records)}
    paths = write_all(folder, files)
    if any(one.information.intervals for arms in panels.values() for runs in arms.values() for one in runs):
        draw_compression(panels, folder / "compression.png")
        paths.append(folder / "compression.png")
    return paths


def draw_compression(panels: Panels, path: Path) -> None:
    """Draws, for each panel and modality, MAE against the measured [L, U] of its arms, and beside it the information
    plane: what each arm's first run held of its input and of the label, epoch by epoch.

    What it holds of the label is -log(1 - Corr^2) / 2 on valid: the information of a Gaussian pair of that correlation.
    """
    drawn = [
        (title, modality, {arm: runs for arm, runs in arms.items() if _has(runs, modality)})
        for title, arms in panels.items()
        for modality in dict.fromkeys(m for runs in arms.values() for one in runs for m in one.information.intervals)
    ]
    figure, axes = canvas(len(drawn), 2, "Compression, and the information plane")
    for (title, modality, arms), left, right in zip(drawn, axes[::2], axes[1::2], strict=True):
        left.set_title(f"{title}: {modality}", fontsize=9)
        for number, (arm, runs) in enumerate(arms.items()):
            low, high = (fmean(one.information.intervals[modality][end] for one in runs) for end in (0, 1))
            mae = fmean(one.mae for one in runs)
            left.plot([low, high], [mae, mae], "_-", color=VALID, markersize=6)
            left.annotate(arm, (high, mae), (3, 0), textcoords="offset points", fontsize=6, va="center")
            points = _plane(runs[0].run, modality)
            shade = 0.25 + 0.75 * number / max(1, len(arms) - 1)
            right.plot(*zip(*points, strict=True), color=TRAIN, alpha=shade, linewidth=0.9)
            right.plot(*points[-1], "o", color=VALID, markersize=3)
            right.annotate(arm, points[-1], (3, 0), textcoords="offset points", fontsize=6, va="center")
        left.set_xlabel("I(X; F) in nats: measured [L, U]", fontsize=8)
        left.set_ylabel("MAE on test", fontsize=8)
        right.set_xlabel("I(X; F) in nats, middle of [L, U]", fontsize=8)
        right.set_ylabel("nats of the label", fontsize=8)
        for ax in (left, right):
            ax.set_xscale("log", base=2)
            ax.xaxis.set_major_formatter(lambda nats, _: f"{nats:g}")
    save(figure, path)


def _plane(run: Run, modality: str) -> list[tuple[float, float]]:
    points = []
    for line in run.history:
        interval = line["valid_information"].get(f"min {modality}", {}).get("interval_nats")
        if interval:
            held = (max(interval[0], 1e-3) * max(interval[1], 1e-3)) ** 0.5
            points.append((held, -log(max(1e-9, 1 - line["valid"]["corr"] ** 2)) / 2))
    return points


def _has(runs: Sequence[Measured], modality: str) -> bool:
    return bool(runs) and all(modality in one.information.intervals for one in runs)


def _values(one: Measured) -> dict[str, float]:
    found = {"MAE": one.mae}
    for modality, (low, high) in one.information.intervals.items():
        found |= {f"I(X; F) {modality} L": low, f"I(X; F) {modality} U": high}
    found |= {f"pair {pair}": nats for pair, nats in one.information.pairs.items()}
    for modality, factors in one.information.factors.items():
        found |= {f"R² {factor} in {modality}": r2 for factor, r2 in factors.items()}
    return found


def _cell(runs: Sequence[Mapping[str, Any]], column: str) -> str:
    values = [float(run.get(column, nan)) for run in runs if column in run]
    if not values:
        return ""
    spread = f" ± {stdev(values):.3f}" if len(values) > 1 else ""
    return f"{fmean(values):.3f}{spread}"
