"""From the results under OUT to one table, as Markdown and CSV, with the comparison of accuracies and the notes."""

import csv
import json
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from mmmie.corpus.store import Corpus
from mmmie.evidence.calibration import labels_of
from mmmie.evidence.compare import compare
from mmmie.evidence.metrics import METRICS, show
from mmmie.evidence.openings import OPENINGS_FILE
from mmmie.evidence.predictions import Origin, Predictions

SHOWN = ("mae", "corr", "acc2_has_zero", "acc2_non_zero")
GIVEN = {
    "context": "vectors, context",
    "single": "vectors",
    "means": "vectors",
    "own": "tokens",
}
"""What a system reads, in the table: the same vector for each utterance (and its neighbours'), or MMSA's own way."""


@dataclass(frozen=True)
class Row:
    """One system over its seeds; times and memory are medians over seeds."""

    side: str
    system: str
    given: str
    results: Sequence[dict[str, Any]]
    predictions: Sequence[Predictions]
    """One a seed; none where it was only timed."""

    @property
    def title(self) -> str:
        whose = "" if self.side == "mmmie" else "MMSA's "
        return f"{whose}{self.system} ({GIVEN[self.given]})"

    def metric(self, name: str, split: str = "test") -> list[float]:
        return [p.part(split).metrics().value(name) for p in self.predictions]

    def epoch(self, unit: str) -> float:
        """`seconds` or `cpu_seconds` of an epoch: the median over epochs but the first, then over seeds."""
        return statistics.median(
            statistics.median([e[unit] for e in result["epochs"]][1:] or [result["epochs"][0][unit]])
            for result in self.results
        )

    @property
    def num_epochs(self) -> float:
        return statistics.mean(len(result["epochs"]) for result in self.results)

    @property
    def peak_mb(self) -> float:
        return statistics.median(result["peak_mb"] for result in self.results)


def rows_of(out: Path, corpus: Corpus) -> list[Row]:
    """All systems with a result, ours first."""
    rows = []
    for side in ("mmmie", "MMSA"):
        for folder in sorted((out / side).glob("*/*"), key=lambda p: (p.parent.name != "mmmie", p)):
            done = sorted(folder.glob("*/result.json"))
            if not done:
                continue
            results = [json.loads(path.read_text("utf-8")) for path in done]
            found = [_predictions(path.parent, result, corpus) for path, result in zip(done, results, strict=True)]
            system, given = folder.parts[-2:]
            rows.append(Row(side, system, given, results, [p for p in found if p is not None]))
    return rows


def _predictions(folder: Path, result: dict[str, Any], corpus: Corpus) -> Predictions | None:
    if "predictions" in result:
        return Predictions.read(folder / result["predictions"])
    path = folder / "predictions.csv"
    if not path.is_file():
        return None
    with path.open(encoding="utf-8") as file:
        scores = {line["id"]: float(line["score"]) for line in csv.DictReader(file)}
    part = corpus.everything()
    rows = [row for row, id_ in enumerate(part.ids) if id_ in scores]
    assert len(rows) == len(scores), f"{path} names utterances that {corpus.path} does not hold"
    info = corpus.info
    return Predictions(
        Origin(
            f"MMSA {folder.parts[-3]} {folder.parts[-2]}",
            int(folder.name),
            info.name,
            info.fingerprint,
            (info.label_min, info.label_max),
            f"MMSA {result['versions']['MMSA']}",
        ),
        np.array([part.videos[row] for row in rows], dtype=np.str_),
        part.indices[rows],
        corpus.splits[rows],
        labels_of(part)[rows],
        np.array([scores[part.ids[row]] for row in rows]),
    )


def count_opening(corpus: Path, system: str, given: str, seed: int, folder: Path, version: str) -> None:
    """Counts an opening of the test split by MMSA in the corpus, as `mmmie evaluate` counts ours."""
    line = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "run": f"MMSA {version} {system} {given}",
        "seed": seed,
        "path": str(folder),
        "recipe": sha256(f"MMSA {version} {system} {given}".encode()).hexdigest()[:16],
    }
    with (corpus / OPENINGS_FILE).open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def show_all(rows: Sequence[Row], out: Path, num_train: int) -> str:
    """Writes table.md and table.csv; gives what is printed: the table, the aims, the paired comparison, the notes."""
    header, cells = _cells(rows, num_train)
    with (out / "table.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *cells])
    lines = ["| " + " | ".join(line) + " |" for line in (header, ["---"] * len(header), *cells)]
    text = "\n".join([*lines, "", *_aims(rows), "", *_comparison(rows), "", *_notes(rows)]) + "\n"
    (out / "table.md").write_text(text, encoding="utf-8")
    return text


def _cells(rows: Sequence[Row], num_train: int) -> tuple[list[str], list[list[str]]]:
    header = ["system (reads)", "seeds", "epochs", *(f"{METRICS[name]} (sd)" for name in SHOWN), "valid MAE"]
    header += ["s/epoch", "CPU s/epoch", "CPU s in all", "utterances/CPU s"]
    header += ["ours x, same name", "mmmie x", "mmmie without context x", "peak MB"]
    cells = []
    for row in rows:
        line = [row.title, str(len(row.results)), f"{row.num_epochs:.0f}"]
        line += [_spread(name, row.metric(name)) for name in SHOWN] + [_spread("mae", row.metric("mae", "valid"))]
        cpu = row.epoch("cpu_seconds")
        in_all = f"{cpu * row.num_epochs:.0f}" if row.predictions else ""
        line += [f"{row.epoch('seconds'):.2f}", f"{cpu:.2f}", in_all, f"{num_train / cpu:.0f}"]
        line += [_times(row, _ours(rows, name)) for name in (row.system, "mmmie")]
        line.append(_times(row, _ours(rows, "mmmie", "single")))
        cells.append([*line, f"{row.peak_mb:.0f}"])
    return header, cells


def _spread(name: str, values: Sequence[float]) -> str:
    if not values:
        return "timed only"
    sd = f" ({show(name, statistics.stdev(values))})" if len(values) > 1 else ""
    return show(name, statistics.mean(values)) + sd


def _ours(rows: Iterable[Row], system: str, given: str = "context") -> Row | None:
    return next((r for r in rows if (r.side, r.system, r.given) == ("mmmie", system, given)), None)


def _ratio(row: Row, ours: Row | None) -> float | None:
    return None if ours is None or row.side == "mmmie" else row.epoch("cpu_seconds") / ours.epoch("cpu_seconds")


def _times(row: Row, ours: Row | None) -> str:
    ratio = _ratio(row, ours)
    return "" if ratio is None else f"{ratio:.1f}"


def _aims(rows: Sequence[Row]) -> list[str]:
    scored = [row for row in rows if row.predictions]
    lines = []
    if scored:
        names = []
        for name in SHOWN:
            sign = 1 if name == "mae" else -1
            best = min(scored, key=lambda row: sign * statistics.mean(row.metric(name)))
            names.append(f"{METRICS[name]} {best.title}")
        lines.append("First on accuracy: " + "; ".join(names) + ".")
    reached = []
    for row in rows:
        ratio = _ratio(row, _ours(rows, "mmmie"))
        if ratio is not None:
            reached.append(f"{row.system} ({GIVEN[row.given]}) {ratio:.1f}{'' if ratio >= 5 else ' (no)'}")
    if reached:
        lines.append("mmmie's training throughput over MMSA's, of at least five wanted: " + ", ".join(reached) + ".")
    return lines


def _comparison(rows: Sequence[Row]) -> list[str]:
    systems = {row.title: row.predictions for row in rows if row.predictions}
    if len(systems) < 2:
        return []
    return ["```", str(compare(systems, "mae")), "```"]


def _notes(rows: Sequence[Row]) -> list[str]:
    lines = ["What MMSA's models needed to run on these features:", ""]
    for row in rows:
        if row.side == "MMSA":
            capped = {result["capped"] for result in row.results} - {0}
            notes = [*row.results[0]["notes"], *(f"stopped after {n} epochs" for n in capped)]
            lines.append(f"- {row.system} ({GIVEN[row.given]}): {'; '.join(notes)}.")
    return lines
