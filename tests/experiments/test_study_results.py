"""What a study says: never a winner that the data cannot resolve, and the same numbers in every file."""

import csv
import io
import json
import re

import numpy as np
import pytest

from mmmie.evidence.compare import compare
from mmmie.evidence.predictions import Origin, Predictions
from mmmie.evidence.summary import summarise
from mmmie.experiments.forest import draw_forest
from mmmie.experiments.plan import Plan
from mmmie.experiments.results import ArmResult, Panel
from mmmie.experiments.status import Row
from mmmie.experiments.study import Study
from mmmie.experiments.table import as_csv, cells, escape, latex, markdown, write_tables

NAMES = {"full": 0.3, "same_as & it": 0.3, "worse|one": 0.6, "not-run": None}
VIDEOS, PER_VIDEO, SEEDS = 30, 8, 5


def predictions_of(arm: str, error: float, seed: int) -> Predictions:
    chance = np.random.default_rng([len(arm), int(100 * error), seed])
    count = VIDEOS * PER_VIDEO
    labels = np.random.default_rng(0).uniform(-3, 3, count)
    return Predictions(
        Origin(arm, seed, "toy_corpus", "f" * 16, (-3.0, 3.0), "0"),
        videos=np.repeat([f"v{n:02d}" for n in range(VIDEOS)], PER_VIDEO),
        indices=np.tile(np.arange(PER_VIDEO), VIDEOS),
        splits=np.full(count, "test"),
        labels=labels,
        scores=labels + error * chance.standard_normal(count),
    )


def make_panel(metric="mae", seeds=SEEDS, title=("toy_corpus", "toy_corpus")) -> Panel:
    systems = {
        arm: [predictions_of(arm, error, seed) for seed in range(seeds)] for arm, error in NAMES.items() if error
    }
    compared = compare(systems, metric, draws=4_000)
    arms = [
        ArmResult(
            arm=arm,
            summary=summarise(systems[arm]) if arm in systems else None,
            contrast=compared.contrasts.get(arm),
            seconds=12.3 if arm in systems else float("nan"),
            parameters=1234567 if arm in systems else None,
            missing=() if arm in systems else tuple(range(seeds)),
        )
        for arm in NAMES
    ]
    return Panel(*title, metric, "full", tuple(arms), compared)


@pytest.fixture
def plan(tmp_path) -> Plan:
    study = Study.model_validate(
        {"name": "s", "question": "Is 50 % of A_1 & B enough?", "recipe": "r.toml", "arms": {"full": {}}}
    )
    return Plan(tmp_path / "s.toml", study, tmp_path / "out", {}, {})


def test_a_winner_is_named_only_where_it_is_resolved():
    panel = make_panel()
    same, worse, missing = panel.sentences()
    contrast = panel.arms[1].contrast
    assert same.startswith("same_as & it against full: not resolved")
    assert same.endswith(f"differences below {contrast.difference.detectable:.3f} could not have been seen.")
    assert not re.search("better|worse", same)
    assert re.match(r"worse\|one is worse than full by 0\.\d{3} MAE \(95 % interval \[\+.*p <\.001\)\.$", worse)
    assert missing == "Missing runs (arm: seeds): not-run: 0, 1, 2, 3, 4."


def test_one_seed_is_said():
    assert "(one seed)" in make_panel(seeds=1).sentences()[1]


def test_better_follows_the_metric():
    """A correlation that is lower is worse, and a difference in percent is shown as one."""
    assert "worse|one is worse than full by 0.0" in make_panel("corr").sentences()[1]
    assert re.search(r"worse than full by \d+\.\d Acc-7", make_panel("acc7").sentences()[1])


def test_markdown_is_one_table_a_panel(plan):
    text = markdown(plan, [make_panel(), make_panel(title=("toy", "away"))])
    assert "## toy_corpus" in text
    assert "## toy → away" in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == 2 * (2 + len(NAMES))
    assert {len(re.split(r"(?<!\\)\|", row)) for row in rows} == {2 + len(cells(make_panel())[0])}
    assert r"| worse\|one | 5 |" in text
    assert re.search(r"\| full \| 5 \| 0\.2\d\d ± 0\.0\d\d \|.*\| reference \| 12 \| 1,234,567 \|", text)
    assert "| not-run | 0 | - |" in text


def test_csv_has_the_numbers_in_full():
    panel = make_panel()
    rows = {row["arm"]: row for row in csv.DictReader(io.StringIO(as_csv([panel])))}
    assert float(rows["full"]["mae"]) == panel.arms[0].summary.mean("mae")
    assert float(rows["worse|one"]["difference"]) == panel.arms[2].contrast.difference.value
    assert float(rows["worse|one"]["p_holm"]) == panel.arms[2].contrast.p_holm
    assert rows["full"]["verdict"] == "reference"
    assert rows["not-run"]["mae"] == rows["not-run"]["seconds"] == ""


def test_latex_is_escaped_and_in_booktabs(plan):
    text = latex(plan, [make_panel()])
    assert r"same\_as \& it" in text
    assert r"Is 50 \% of A\_1 \& B enough?" in text
    assert r"$\pm$" in text
    assert r"\textless{}.001" in text
    assert [text.count(rule) for rule in (r"\toprule", r"\midrule", r"\bottomrule")] == [1, 1, 1]
    body = text[text.index(r"\toprule") : text.index(r"\bottomrule")]
    lines = [line for line in body.splitlines() if line.endswith(r"\\")]
    columns = len(re.search(r"\\begin\{tabular\}\{(.*)\}", text).group(1))
    assert {len(re.split(r"(?<!\\)&", line)) for line in lines} == {columns}
    without = re.sub(r"\\[&%#_${}]", "", text[text.index("\\caption") :])
    assert not re.search(r"[%#_]", without)


def test_every_special_character_is_escaped():
    assert escape("a_b%$#{}&~^\\") == (r"a\_b\%\$\#\{\}\&\textasciitilde{}\textasciicircum{}\textbackslash{}")


def test_all_of_it_is_in_json(plan):
    panel = make_panel()
    files = write_tables(plan, [panel], [Row("toy_corpus", "full", 0, "done", 0.5, 0.6, 1.0)])
    assert [file.name for file in files] == ["table.md", "table.csv", "table.tex", "study.json"]
    whole = json.loads(files[-1].read_text())
    assert whole["runs"][0]["path"] == "toy_corpus/full/0"
    assert whole["panels"][0]["answers"] == panel.sentences()
    by_seed = whole["panels"][0]["arms"][0]["by_seed"]
    assert by_seed["3"]["mae"] == panel.arms[0].summary.runs[3].mae
    assert {"versions", "command", "machine"} <= set(whole["environment"])
    assert whole["panels"][0]["arms"][3]["missing"] == [0, 1, 2, 3, 4]


def test_nothing_to_compare_is_said(plan):
    panel = make_panel()
    alone = Panel("toy", "toy", "mae", "full", (panel.arms[0], panel.arms[3]), None)
    assert "Nothing to compare yet" in markdown(plan, [alone])
    assert draw_forest(plan, [alone]) == []


def test_the_forest_shows_every_contrast_and_what_could_not_be_seen(plan):
    plan.folder.mkdir()
    png, svg = draw_forest(plan, [make_panel(), make_panel("acc7", title=("toy", "away"))])
    assert png.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    text = svg.read_text()
    for shown in ("toy → away", "same_as &amp; it", "not resolved", "worse", "could not have been detected"):
        assert shown in text
    assert "better</text>" not in text.replace("is better</text>", "")  # no verdict in the legend that nobody has
    assert "not-run" not in text
    first = svg.read_bytes()
    draw_forest(plan, [make_panel(), make_panel("acc7", title=("toy", "away"))])
    assert svg.read_bytes() == first
