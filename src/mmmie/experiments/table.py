"""The table of a study as Markdown, CSV and LaTeX, and all of it as `study.json`."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from math import isnan
from pathlib import Path
from typing import Any

from mmmie.evidence.metrics import METRICS, higher_is_better, show
from mmmie.evidence.predictions import replacing
from mmmie.experiments.plan import Plan
from mmmie.experiments.results import ArmResult, Panel, show_p
from mmmie.experiments.status import Row
from mmmie.learning.run import environment

SHOWN = ("mae", "corr", "acc2_has_zero", "acc2_non_zero", "acc7")
NOTES = (
    "Differences are arm less reference; paired bootstrap over videos and seeds; p adjusted by Holm for the number of "
    "arms, intervals are not; detectable: the smallest difference found 4 times in 5. Seconds are of training, beside "
    "other runs; parameters are the numbers in the checkpoint, without a frozen text encoder."
)
ESCAPES = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "→": r"$\rightarrow$",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
}


def write_tables(plan: Plan, panels: Sequence[Panel], rows: Sequence[Row]) -> list[Path]:
    """Writes `table.md`, `table.csv`, `table.tex` and `study.json` into the study's folder, each whole.

    Args:
        plan: of the study.
        panels: of `results.collect`.
        rows: of the runs; see `status`.

    Raises:
        EvidenceError: a file cannot be written.
    """
    texts = {
        "table.md": markdown(plan, panels),
        "table.csv": as_csv(panels),
        "table.tex": latex(plan, panels),
        "study.json": json.dumps(_whole(plan, panels, rows), indent=2, ensure_ascii=False, allow_nan=False) + "\n",
    }
    plan.folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        with replacing(plan.folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8", newline="")
    return [plan.folder / name for name in texts]


def markdown(plan: Plan, panels: Sequence[Panel]) -> str:
    lines = [f"# {plan.study.name}", ""]
    if plan.study.question:
        lines += [plan.study.question, ""]
    for panel in panels:
        header, *body = cells(panel)
        lines += [f"## {panel.title}", "", _head(panel), ""]
        lines += ["| " + " | ".join(map(_piped, row)) + " |" for row in (header, *body)]
        lines.insert(len(lines) - len(body), "|---|" + "---:|" * (len(header) - 1))
        lines += ["", *(f"- {_piped(sentence)}" for sentence in panel.sentences()), ""]
    return "\n".join([*lines, NOTES, ""])


def latex(plan: Plan, panels: Sequence[Panel]) -> str:
    """A booktabs table for each panel; needs `\\usepackage{booktabs}`."""
    lines = [f"% {plan.study.name}: \\usepackage{{booktabs}}"]
    for panel in panels:
        header, *body = cells(panel)
        caption = escape(f"{plan.study.question} {_head(panel)} {' '.join(panel.sentences())}".strip())
        lines += [
            r"\begin{table}",
            rf"\caption{{{caption}}}",
            rf"\begin{{tabular}}{{l{'r' * (len(header) - 1)}}}",
            r"\toprule",
            " & ".join(map(escape, header)) + r" \\",
            r"\midrule",
            *(" & ".join(map(escape, row)) + r" \\" for row in body),
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
        ]
    return "\n".join(lines) + "\n"


def as_csv(panels: Sequence[Panel]) -> str:
    """A row for each arm and panel, numbers in full."""
    text = io.StringIO(newline="")
    rows = [_record(panel, arm) for panel in panels for arm in panel.arms]
    writer = csv.DictWriter(text, list(rows[0]) if rows else ["arm"], lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: "" if value is None else value for key, value in row.items()} for row in rows)
    return text.getvalue()


def cells(panel: Panel) -> list[list[str]]:
    """The header and a row for each arm, as tables show them."""
    metric = panel.metric
    shown = list(dict.fromkeys([metric, *SHOWN]))
    header = ["arm", "seeds", *(METRICS[name] for name in shown)]
    header += [f"difference in {METRICS[metric]}", "95 % interval", "p (Holm)", "detectable", "verdict", "seconds"]
    return [[*header, "parameters"], *(_cells(panel, arm, shown) for arm in panel.arms)]


def escape(text: str) -> str:
    """A text as LaTeX prints it."""
    return "".join(ESCAPES.get(character, character) for character in text)


def _cells(panel: Panel, arm: ArmResult, shown: Sequence[str]) -> list[str]:
    if arm.summary is None:
        return [arm.arm, "0", *["-"] * (len(shown) + 7)]
    row = [arm.arm, str(len(arm.summary.runs))]
    for name in shown:
        sd = "" if name != panel.metric or isnan(arm.summary.sd(name)) else f" ± {show(name, arm.summary.sd(name))}"
        row.append(show(name, arm.summary.mean(name)) + sd)
    metric = panel.metric
    if arm.contrast is None:
        row += ["", "", "", "", "reference" if arm.arm == panel.reference else "-"]
    else:
        d = arm.contrast.difference
        row += [
            show(metric, d.value, sign=True),
            f"[{show(metric, d.low, sign=True)}, {show(metric, d.high, sign=True)}]",
            show_p(arm.contrast.p_holm),
            show(metric, d.detectable),
            arm.contrast.verdict,
        ]
    return [*row, f"{arm.seconds:.0f}", "-" if arm.parameters is None else f"{arm.parameters:,}"]


def _head(panel: Panel) -> str:
    better = "higher" if higher_is_better(panel.metric) else "lower"
    if panel.comparison is None:
        return f"Nothing to compare yet with {panel.reference}; {better} {METRICS[panel.metric]} is better."
    c = panel.comparison
    return (
        f"{c.num_utterances} test utterances of {c.num_videos} videos of {panel.tested_on}; differences to "
        f"{panel.reference}, {better} {METRICS[panel.metric]} is better."
    )


def _piped(text: str) -> str:
    return text.replace("|", "\\|")


def _record(panel: Panel, arm: ArmResult) -> dict[str, Any]:
    summary, contrast = arm.summary, arm.contrast
    record: dict[str, Any] = {
        "trained_on": panel.trained_on,
        "tested_on": panel.tested_on,
        "arm": arm.arm,
        "seeds": len(summary.runs) if summary else 0,
    }
    for name in METRICS:
        record[name] = _number(summary.mean(name)) if summary else None
        record[f"{name}_sd"] = _number(summary.sd(name)) if summary else None
    record["compared_in"] = panel.metric
    for name in ("value", "low", "high", "p", "standard_error", "detectable"):
        key = name if name != "value" else "difference"
        record[key] = _number(getattr(contrast.difference, name)) if contrast else None
    record["p_holm"] = _number(contrast.p_holm) if contrast else None
    record["verdict"] = contrast.verdict if contrast else "reference" if arm.arm == panel.reference else None
    record["seconds"] = _number(arm.seconds)
    record["parameters"] = arm.parameters
    return record


def _whole(plan: Plan, panels: Sequence[Panel], rows: Sequence[Row]) -> dict[str, Any]:
    return {
        "study": plan.study.model_dump(mode="json"),
        "study_file": str(plan.path),
        "environment": environment(),
        "recipes": {f"{c}/{arm}": json.loads(cell.recipe.model_dump_json()) for (c, arm), cell in plan.cells.items()},
        "runs": [{**asdict(row), "path": f"{row.corpus}/{row.arm}/{row.seed}"} for row in rows],
        "panels": [
            {
                "trained_on": panel.trained_on,
                "tested_on": panel.tested_on,
                "reference": panel.reference,
                "answers": panel.sentences(),
                "arms": [_with_runs(panel, arm) for arm in panel.arms],
            }
            for panel in panels
        ],
    }


def _with_runs(panel: Panel, arm: ArmResult) -> Mapping[str, Any]:
    runs = zip(arm.summary.seeds, arm.summary.runs, strict=True) if arm.summary else ()
    return {
        **_record(panel, arm),
        "missing": list(arm.missing),
        "by_seed": {str(seed): metrics.to_json() for seed, metrics in runs},
    }


def _number(value: float) -> float | None:
    return None if isnan(value) else float(value)
