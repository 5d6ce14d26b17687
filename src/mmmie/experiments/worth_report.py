"""Tables of what the predictions of each arm are worth, and of how they fare on damaged input."""

import csv
import io
from collections.abc import Mapping, Sequence
from math import isnan
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from mmmie.evidence.predictions import replacing
from mmmie.evidence.robustness import LEVELS, Robustness
from mmmie.experiments.worth import SCORE_BINS, ArmWorth


def write_worth(folder: Path, panels: Mapping[str, Mapping[str, ArmWorth]]) -> list[Path]:
    """Writes `worth.md` and `worth.csv`; nothing where no arm has intervals."""
    if not any(panels.values()):
        return []
    lines = ["# What the predictions are worth", ""]
    records: list[dict[str, Any]] = []
    for title, arms in panels.items():
        names = list(dict.fromkeys(name for worth in arms.values() for name in worth.contributions))
        header = ["arm", "coverage at 90 %", "holds", "width", *(f"bin {b + 1}" for b in range(SCORE_BINS))]
        header += ["abstained", "sign right", "of the kept", *(f"|{name}|" for name in names)]
        body = [[arm, *_worth_cells(worth, names)] for arm, worth in arms.items()]
        lines += [f"## {title}", "", *_markdown([header, *body]), ""]
        records += [{"panel": title, "arm": arm, **_worth_record(worth)} for arm, worth in arms.items()]
    lines += [
        "Coverage: over 20 halvings of the videos of valid and test, mean ± one standard error over videos; `holds`: "
        "90 % lies within it. Bins: by score, from the lowest fifth. Width and what follows: of the intervals fitted "
        "on valid, on test. The last columns are mean sizes of exact Shapley contributions in units of the label, and "
        "of the change when the context is hidden, with 95 % intervals over videos.",
        "",
    ]
    return _write(folder, {"worth.md": "\n".join(lines), "worth.csv": _csv(records)})


def write_robustness(folder: Path, panels: Mapping[str, Mapping[str, Sequence[Robustness]]]) -> list[Path]:
    """Writes `robustness.md` and `robustness.csv`; nothing where no run was measured."""
    if not any(runs for arms in panels.values() for runs in arms.values()):
        return []
    lines = ["# Damaged input", ""]
    records: list[dict[str, Any]] = []
    for title, arms in panels.items():
        for kind in ("only", *LEVELS):
            columns = list(dict.fromkeys(c for runs in arms.values() for r in runs for c in _columns(r, kind)))
            if not columns:
                continue
            body = [
                [arm, *_mean_cells([_values(r, kind) for r in runs], columns)] for arm, runs in arms.items() if runs
            ]
            what = {"only": "MAE with these modalities alone", "gaps": "MAE with gaps", "noise": "MAE with noise"}[kind]
            lines += [f"## {title}: {what}", "", *_markdown([["arm", *columns], *body]), ""]
        records += [
            {"panel": title, "arm": arm, "run": number, "condition": condition.name, **metrics.to_json()}
            for arm, runs in arms.items()
            for number, run in enumerate(runs)
            for condition, metrics in zip(run.conditions, run.metrics, strict=True)
        ]
    lines += [
        "Gaps: share of a modality's frames masked, whole utterances where they are single vectors. Noise: Gaussian, "
        "in deviations of each column over train. Area: the mean over the curve from no damage to the largest. Mean "
        "over seeds, ± sd.",
        "",
    ]
    return _write(folder, {"robustness.md": "\n".join(lines), "robustness.csv": _csv(records)})


def _worth_cells(worth: ArmWorth, names: Sequence[str]) -> list[str]:
    row = [f"{worth.coverage:.3f} ± {worth.coverage_error:.3f}", "yes" if worth.holds else "no", f"{worth.width:.2f}"]
    row += [f"{share:.2f}" for share in worth.bins]
    row += [_share(worth.abstained), _share(worth.sign_accuracy), _share(worth.sign_accuracy_kept)]
    for name in names:
        found = worth.contributions.get(name)
        row.append("" if found is None else f"{found.value:.2f} [{found.low:.2f}, {found.high:.2f}]")
    return row


def _worth_record(worth: ArmWorth) -> dict[str, Any]:
    record: dict[str, Any] = {
        name: getattr(worth, name)
        for name in (
            "coverage", "coverage_sd", "coverage_error", "test_coverage", "width", "abstained", "sign_accuracy",
            "sign_accuracy_kept",
        )
    }  # fmt: skip
    record |= {f"coverage_bin_{b + 1}": share for b, share in enumerate(worth.bins)}
    record |= {f"sign_accuracy_of_{share:g}": value for share, value in worth.risk_coverage.items()}
    for name, found in worth.contributions.items():
        record |= {f"{name}_contribution": found.value, f"{name}_low": found.low, f"{name}_high": found.high}
    return record


def _columns(robustness: Robustness, kind: str) -> list[str]:
    return list(_values(robustness, kind)) if len(_values(robustness, kind)) > 1 else []


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


def _share(value: float) -> str:
    return "" if isnan(value) else f"{100 * value:.1f} %"


def _markdown(rows: Sequence[Sequence[str]]) -> list[str]:
    header, *body = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return [header, "|---|" + "---:|" * (len(rows[0]) - 1), *body]


def _csv(records: Sequence[Mapping[str, Any]]) -> str:
    text = io.StringIO(newline="")
    names = list(dict.fromkeys(name for record in records for name in record))
    writer = csv.DictWriter(text, names, lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows(records)
    return text.getvalue()


def _write(folder: Path, texts: Mapping[str, str]) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        with replacing(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8", newline="")
    return [folder / name for name in texts]
