"""Many files: what is there is kept, the others go to workers, and every file ends with a result and its files."""

import re
from collections.abc import Callable, Sequence
from functools import partial

from mmmie.analysis.analysis import Analysis
from mmmie.analysis.request import STAGES_FOLDER, Input, Request, kept_result, note_done
from mmmie.analysis.result import Stage
from mmmie.analysis.stages import Report, failed_result
from mmmie.errors import TranscriptError
from mmmie.jobs import Event, Outcome, Work, run_jobs

_UNFINISHED = re.compile(r"\..+\.\d+")
"""What a call that was killed while it wrote has left behind; the number is that of its process."""
_NAMES_ERROR = re.compile(r"[A-Za-z_][\w.]*: ")


def analyze_all(
    items: Sequence[Input],
    request: Request,
    jobs: int,
    limit_seconds: float,
    on_event: Callable[[Event[Input]], None],
) -> list[Analysis]:
    """An analysis of every file, in their order; one that failed has a result that says where and why.

    Raises:
        TranscriptError: one transcript for several files.
    """
    if request.transcript is not None and request.transcript.is_file() and len(items) > 1:
        raise TranscriptError(
            f"{request.transcript} is one transcript for {len(items)} files. Name a folder that holds a transcript "
            "for each, with the file's name."
        )
    waiting = []
    for item in items:
        kept = kept_result(item, request)
        if kept is None or not all((item.result / name).is_file() for name in result_files()):
            waiting.append(item)
        else:
            on_event(Event(item, "report", kept.status, ended=True))
    if waiting:
        make_work = partial(_make_work, request)
        for outcome in run_jobs(waiting, make_work, min(jobs, len(waiting)), limit_seconds, on_event):
            if outcome.lost_in is not None:
                _write_lost(outcome)
    return [Analysis.open(item.result) for item in items]


def write_files(analysis: Analysis) -> None:
    """Writes what is shown beside `result.json`: every export, and the page."""
    from mmmie.export import export_all
    from mmmie.report.page import REPORT_FILE, write

    assert analysis.folder is not None
    export_all(analysis.result, analysis.folder)
    write(analysis.result, analysis.folder / REPORT_FILE)
    for path in (*analysis.folder.glob(".*"), *analysis.folder.glob(f"{STAGES_FOLDER}/.*")):
        if _UNFINISHED.fullmatch(path.name):
            path.unlink(missing_ok=True)


def result_files() -> tuple[str, ...]:
    """The names of what `write_files` writes."""
    from mmmie.export import FORMATS
    from mmmie.report.page import REPORT_FILE

    return (*(chosen.file for chosen in FORMATS.values()), REPORT_FILE)


def _make_work(request: Request) -> Work[Input]:
    from mmmie.analysis.analyzer import Analyzer

    analyzer = Analyzer(request)

    def work(item: Input, report: Report) -> str:
        analysis = analyzer.read(item, report)
        write_files(analysis)
        note_done(item, request)
        return analysis.result.status

    return work


def _write_lost(outcome: Outcome[Input]) -> None:
    """An error of ours is told by its last line; the note has the rest."""
    told = (outcome.cause or "unknown").strip()
    ours = told.startswith("Traceback")
    repair = "Analyze it again, with a larger --time-limit if it was slow; else report it with the file."
    stage = Stage(
        stage=outcome.lost_in or "start",
        status="failed",
        cause=f"an error of mmmie's own: {_last_error(told)}" if ours else told,
        repair=repair,
        seconds=outcome.seconds,
    )
    notes = (told,) if ours else ()
    write_files(Analysis(failed_result(outcome.item.media, [stage], notes)).save(outcome.item.result))


def _last_error(trace: str) -> str:
    """From the last line that is not indented and names an error: what follows it may be its text's second line."""
    named = [line for line in trace.splitlines() if _NAMES_ERROR.match(line)]
    return (named or trace.splitlines())[-1]
