"""Results of files whose worker was lost, and files of a result that are gone."""

from pathlib import Path

import pytest

from mmmie.analysis.request import Input, Request
from mmmie.jobs import Outcome
from mmmie.settings import AnalysisSettings
from mmmie.study import batch
from mmmie.study.batch import analyze_all, result_files

TRACE = """Traceback (most recent call last):
  File "mmmie/analysis/analyzer.py", line 5, in work
    raise ValueError("so")
ValueError: 1 validation error for Utterance
speaker
  String should match pattern
"""


@pytest.mark.parametrize(
    ("told", "cause", "notes"),
    [
        (TRACE, "an error of mmmie's own: ValueError: 1 validation error for Utterance", (TRACE.strip(),)),
        ("the process died (signal SIGSEGV)", "the process died (signal SIGSEGV)", ()),
        (None, "unknown", ()),
    ],
)
def test_a_lost_file_says_in_a_line_what_happened(
    told: str | None, cause: str, notes: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    item = Input(tmp_path / "talk.mp4", tmp_path / "talk.mmmie")
    monkeypatch.setattr(batch, "run_jobs", lambda *_: [Outcome(item, "failed", 1.0, "faces", told)])
    (analysis,) = analyze_all([item], Request(AnalysisSettings(), tmp_path), 1, 60, lambda event: None)
    (stage,) = analysis.result.stages
    assert (analysis.result.status, stage.stage, stage.cause) == ("failed", "faces", cause)
    assert analysis.result.notes == notes
    assert {*result_files(), "result.json"} == {path.name for path in item.result.iterdir()}
