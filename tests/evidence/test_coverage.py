"""What was measured of intervals elsewhere: shown by the card from its file, for the weights it names and no others."""

import json
import shutil
from pathlib import Path

import pytest

from mmmie.analysis.request import PACKAGED_RUN
from mmmie.errors import EvidenceError
from mmmie.evidence.card import LIMITS, make_card
from mmmie.evidence.coverage import COVERAGE_FILE, Coverage
from mmmie.evidence.packing import pack
from mmmie.learning.run import Run


@pytest.fixture
def run(tiny_run, tmp_path):
    return Run.open(shutil.copytree(tiny_run.path, tmp_path / "runs" / "tiny" / "0"))


def measured(run: Run, *rows: tuple[str, str, bool, float], sha: str | None = None) -> Coverage | None:
    keys = ("modality", "read_on", "new", "coverage")
    values = [{**dict(zip(keys, row, strict=True)), "trained_on": "A", "utterances": None} for row in rows]
    stored = {"checkpoint_sha256": sha or run.contract["sha256"], "stated": 0.9, "source": "notes", "rows": values}
    (run.path / COVERAGE_FILE).write_text(json.dumps(stored))
    return Coverage.read(run)


def test_only_new_sets_that_held_clearly_less_make_a_limit(run):
    found = measured(
        run,
        ("text", "B", False, 0.5),
        ("audio", "B", True, 0.86),
        ("vision", "B", True, 0.7),
        ("vision", "C", True, 0.6),
        ("vision", "D", True, 0.92),
        ("all", "E", True, 0.1),
    )
    assert {modality: row.read_on for modality, row in found.failing().items()} == {"vision": "C"}
    assert found.limit(["vision"]) == "intervals stated at 90% covered 60% (face, C) on sets that training had not seen"


def test_the_card_says_what_the_file_says(run):
    assert make_card(run).values["limits"] == list(LIMITS)
    measured(run, ("audio", "B", True, 0.71), ("text", "C", False, 0.88))
    card = make_card(Run.open(run.path))
    assert "| audio | A | B |  | 71% | yes |" in str(card)
    assert "| text | A | C |  | 88% | no |" in str(card)
    assert "Intervals of voice alone do not hold on new kinds of recordings" in card.values["limits"][-1]
    assert "71%" in card.values["limits"][-1]


def test_of_other_weights_nothing_is_said(run):
    assert measured(run, ("audio", "B", True, 0.71), sha="0" * 64) is None
    assert make_card(run).values["coverage"] is None


@pytest.mark.parametrize("content", ["", "[]", '{"rows": []}', '{"checkpoint_sha256": 3}'])
def test_a_damaged_file_is_refused(run, content):
    (run.path / COVERAGE_FILE).write_text(content)
    with pytest.raises(EvidenceError, match=r"coverage\.json is damaged"):
        make_card(run)


def test_it_travels_with_the_checkpoint(run, tmp_path):
    measured(run, ("audio", "B", True, 0.71))
    packed = pack(run, tmp_path / "packed")
    assert Coverage.read(Run.open(packed)) == Coverage.read(run)
    assert "71%" in (packed / "card.md").read_text()


def test_the_shipped_checkpoint_has_been_measured():
    run = Run.open(PACKAGED_RUN)
    assert Coverage.read(run) is not None, "coverage.json is of other weights: measure again, or remove it"
    assert (Path(PACKAGED_RUN) / "card.md").read_text() == str(make_card(run))
