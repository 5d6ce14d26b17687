"""The table of what the predictions of each arm are worth."""

from collections.abc import Mapping, Sequence
from math import isnan
from pathlib import Path
from typing import Any

from mmmie.experiments.files import as_csv, as_markdown, write_all
from mmmie.experiments.worth import SCORE_BINS, ArmWorth, ResplitCoverage


def write_worth(
    folder: Path,
    panels: Mapping[str, Mapping[str, ArmWorth]],
    resplits: Mapping[str, Mapping[str, ResplitCoverage]] | None = None,
) -> list[Path]:
    """Writes `worth.md` and `worth.csv`; nothing where no arm has intervals.

    Args:
        folder: of the study.
        panels: by corpus, by arm.
        resplits: by what corpora of the same utterances are called together, by arm.
    """
    if not any(panels.values()):
        return []
    lines = ["# What the predictions are worth", ""]
    records: list[dict[str, Any]] = []
    for title, several in (resplits or {}).items():
        header = ["arm", "splits", "coverage at 90 %", "sd", "standard error", "holds"]
        lines += [f"## {title}", "", *as_markdown([header, *(_over(arm, found) for arm, found in several.items())]), ""]
        lines += [
            "Of the intervals fitted on valid, on the test part of each split: mean and sd over the splits, standard "
            "error of the mean over the videos, which the splits share.",
            "",
        ]
        records += [
            {
                "panel": title,
                "arm": arm,
                "test_coverage": found.coverage,
                "test_coverage_sd": found.sd,
                "test_coverage_error": found.error,
            }
            for arm, found in several.items()
        ]
    for title, arms in panels.items():
        names = list(dict.fromkeys(name for worth in arms.values() for name in worth.contributions))
        header = ["arm", "coverage at 90 %", "holds", "width", *(f"bin {b + 1}" for b in range(SCORE_BINS))]
        header += ["abstained", "sign right", "of the kept", *(f"|{name}|" for name in names)]
        body = [[arm, *_worth_cells(worth, names)] for arm, worth in arms.items()]
        lines += [f"## {title}", "", *as_markdown([header, *body]), ""]
        records += [{"panel": title, "arm": arm, **_worth_record(worth)} for arm, worth in arms.items()]
    lines += [
        "Coverage: over 20 halvings of the videos of valid and test, mean ± one standard error over videos; `holds`: "
        "90 % lies within it. Bins: by score, from the lowest fifth. Width and what follows: of the intervals fitted "
        "on valid, on test. The last columns are mean sizes of exact Shapley contributions in units of the label, and "
        "of the change when the context is hidden, with 95 % intervals over videos.",
        "",
    ]
    return write_all(folder, {"worth.md": "\n".join(lines), "worth.csv": as_csv(records)})


def _over(arm: str, found: ResplitCoverage) -> list[str]:
    shown = [f"{value:.3f}" for value in (found.coverage, found.sd, found.error)]
    return [arm, str(found.splits), *shown, "yes" if found.holds else "no"]


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


def _share(value: float) -> str:
    return "" if isnan(value) else f"{100 * value:.1f} %"
