"""The tables of how each arm fares on damaged test input, and which differences to the reference are resolved."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np
import pyarrow as pa

from mmmie.evidence.robustness import LEVELS, WORD_DROPOUT, Robustness
from mmmie.evidence.statistics import Difference, holm, paired_bootstrap
from mmmie.experiments.files import as_csv, as_markdown, write_all
from mmmie.experiments.robustness_figure import draw_robustness

DRAWS = 2_000
DRAWS_PER_CONTRAST = 200
"""The smallest p, adjusted, is then below 5 % where fewer than four draws in all are on the other side of 0."""
LEVEL = 0.05
TITLES = {
    "only": "MAE with these modalities alone",
    "gaps": "MAE with gaps",
    "noise": "MAE with noise",
    WORD_DROPOUT: "MAE with words left out",
}


@dataclass(frozen=True)
class Damage:
    """One run under every condition."""

    robustness: Robustness
    scores: pa.Table
    """See `evidence.robustness.stored_scores`."""
    half_widths: Mapping[str, float] = field(default_factory=dict)
    """By subset of modalities (`text+audio`): half width of its 90 % interval, fitted on valid."""

    def coverage(self) -> dict[str, float]:
        """By subset of modalities the share of test labels within its interval, read with that subset alone."""
        labels = self.scores.column("label").to_numpy()
        found = {}
        for place, condition in enumerate(self.robustness.conditions):
            subset = "+".join(condition.modalities) if condition.kind == "only" else ""
            if subset in self.half_widths:
                off = np.abs(labels - self.scores.column(3 + place).to_numpy())
                found[subset] = float((off <= self.half_widths[subset]).mean())
        return found


@dataclass(frozen=True)
class DamageContrast:
    """MAE of one arm less that of the reference under one condition."""

    arm: str
    condition: str
    difference: Difference
    p_holm: float
    """Adjusted for all arms and conditions of the panel."""


def write_robustness(
    folder: Path, panels: Mapping[str, Mapping[str, Sequence[Damage]]], reference: str, draws: int = DRAWS
) -> list[Path]:
    """Writes `robustness.md`, `.csv`, `.png` and `robustness_contrasts.csv`; nothing where no run was measured.

    Args:
        folder: of the study.
        panels: by corpus, by arm, its runs.
        reference: the arm that others are compared with.
        draws: of the bootstrap over videos and seeds.
    """
    if not any(runs for arms in panels.values() for runs in arms.values()):
        return []
    lines, records, contrasts = ["# Damaged input", ""], [], []
    for title, arms in panels.items():
        lines += _tables(title, {arm: [run.robustness for run in runs] for arm, runs in arms.items() if runs})
        lines += _coverage(title, arms)
        found = compare_damage(arms, reference, draws)
        lines += [f"## {title}: differences to {reference} that are resolved", "", *_sentences(found, reference), ""]
        contrasts += [
            {"panel": title, "arm": c.arm, "condition": c.condition, **vars(c.difference), "p_holm": c.p_holm}
            for c in found
        ]
        records += [
            {"panel": title, "arm": arm, "run": number, "condition": condition.name, **metrics.to_json()}
            for arm, runs in arms.items()
            for number, run in enumerate(runs)
            for condition, metrics in zip(run.robustness.conditions, run.robustness.metrics, strict=True)
        ]
    lines += [
        "Gaps: share of a modality's frames masked, whole utterances where they are single vectors. Noise: Gaussian, "
        "in deviations of each column over train. Word dropout: each word of a text is left out with this chance. "
        "Area: the mean over the curve from no damage to the largest. Mean over seeds, ± sd. Differences: paired "
        "bootstrap over videos and seeds, p adjusted by Holm for all arms and conditions, intervals are not.",
        "",
    ]
    texts = {
        "robustness.md": "\n".join(lines),
        "robustness.csv": as_csv(records),
        "robustness_contrasts.csv": as_csv(contrasts),
    }
    paths = write_all(folder, texts)
    curves = {
        title: {arm: [run.robustness for run in runs] for arm, runs in arms.items()} for title, arms in panels.items()
    }
    if draw_robustness(curves, reference, folder / "robustness.png"):
        paths.append(folder / "robustness.png")
    return paths


def compare_damage(arms: Mapping[str, Sequence[Damage]], reference: str, draws: int = DRAWS) -> list[DamageContrast]:
    """Every arm against the reference under every condition that both have met.

    A p of d draws is 2 / (1 + d) at least, and Holm multiplies it by the number of contrasts: those that are different
    at first are drawn again, `DRAWS_PER_CONTRAST` times for each contrast. The others cannot be resolved by more.
    """
    if not arms.get(reference):
        return []
    first = _by_condition(arms[reference])
    table = arms[reference][0].scores
    labels, videos = table.column("label").to_numpy(), table.column("video").to_numpy(zero_copy_only=False)
    pairs = {
        (arm, condition): (first[condition], scores_RN)
        for arm, runs in arms.items()
        if arm != reference and runs
        for condition, scores_RN in _by_condition(runs).items()
        if condition in first
    }
    found = {key: paired_bootstrap(labels, *pair, videos, draws)["mae"] for key, pair in pairs.items()}
    enough = DRAWS_PER_CONTRAST * len(pairs)
    for key, difference in found.items():
        if difference.p < LEVEL and enough > draws:
            found[key] = paired_bootstrap(labels, *pairs[key], videos, enough)["mae"]
    adjusted = holm([difference.p for difference in found.values()])
    return [DamageContrast(*key, found[key], p) for key, p in zip(found, adjusted, strict=True)]


def _by_condition(runs: Sequence[Damage]) -> dict[str, np.ndarray[Any, Any]]:
    names = [condition.name for condition in runs[0].robustness.conditions]
    return {
        name: np.stack([run.scores.column(3 + place).to_numpy() for run in runs]) for place, name in enumerate(names)
    }


def _sentences(found: Sequence[DamageContrast], reference: str) -> list[str]:
    resolved = [c for c in found if c.p_holm < LEVEL]
    if not resolved:
        return ["None."]
    return [
        f"- {c.condition}: {c.arm} is {'worse' if c.difference.value > 0 else 'better'} than {reference} by "
        f"{abs(c.difference.value):.3f} [{c.difference.low:+.3f}, {c.difference.high:+.3f}]"
        for c in resolved
    ]


def _tables(title: str, arms: Mapping[str, Sequence[Robustness]]) -> list[str]:
    lines = []
    for kind in ("only", *LEVELS):
        columns = list(dict.fromkeys(c for runs in arms.values() for r in runs for c in _columns(r, kind)))
        if columns:
            rows = [["arm", *columns]]
            rows += [[arm, *_mean_cells([_values(r, kind) for r in runs], columns)] for arm, runs in arms.items()]
            lines += [f"## {title}: {TITLES[kind]}", "", *as_markdown(rows), ""]
    return lines


def _coverage(title: str, arms: Mapping[str, Sequence[Damage]]) -> list[str]:
    covered = {arm: [run.coverage() for run in runs] for arm, runs in arms.items() if runs}
    columns = list(dict.fromkeys(name for runs in covered.values() for run in runs for name in run))
    if not columns:
        return []
    rows = [["arm", *columns], *([arm, *_mean_cells(runs, columns)] for arm, runs in covered.items())]
    return [f"## {title}: coverage of the 90 % intervals of what is left", "", *as_markdown(rows), ""]


def _columns(robustness: Robustness, kind: str) -> list[str]:
    values = _values(robustness, kind)
    return list(values) if len(values) > 1 else []


def _values(robustness: Robustness, kind: str) -> dict[str, float]:
    """MAE by column: no damage, each condition of the kind, and the area of each modality's curve."""
    found = {"as it is": robustness.metrics[0].mae}
    for condition, metrics in zip(robustness.conditions, robustness.metrics, strict=True):
        if condition.kind == kind:
            found[condition.name.removeprefix("only ").replace(f" {kind}", "")] = metrics.mae
    if kind != "only":
        for modality in dict.fromkeys(c.modalities[0] for c in robustness.conditions if c.kind == kind):
            found[f"{modality} area"] = robustness.area(kind, modality)
    return found


def _mean_cells(runs: Sequence[Mapping[str, float]], columns: Sequence[str]) -> list[str]:
    cells = []
    for column in columns:
        values = [run[column] for run in runs if column in run]
        spread = f" ± {stdev(values):.3f}" if len(values) > 1 else ""
        cells.append(f"{fmean(values):.3f}{spread}" if values else "")
    return cells
