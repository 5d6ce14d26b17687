"""Many videos beside each other: `study.csv`, a row a video."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from mmmie.analysis.result import Counts, Result
from mmmie.analysis.summary import contribution_shares
from mmmie.evidence.predictions import replacing
from mmmie.export.csv_ import as_text
from mmmie.settings import MODALITIES

STUDY_FILE = "study.csv"


def write_study(results: Sequence[tuple[Path, Result]], folder: Path) -> Path:
    """Writes a row for every result, those that failed included, and returns where the file is.

    Args:
        results: each with the folder it lies in.
        folder: where `study.csv` goes; folders of results are named relative to it where they lie in it.
    """
    table = [_row(_relative(place, folder), result) for place, result in results]
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(table[0]) if table else ["result"], lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(table)
    path = folder / STUDY_FILE
    with replacing(path) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8", newline="")
    return path


def _row(place: str, result: Result) -> dict[str, object]:
    scored = [(u.sentiment, u.end - u.start) for u in result.utterances if u.sentiment is not None]
    spoken = sum(seconds for _, seconds in scored)
    mean = sum(s.score * seconds for s, seconds in scored) / spoken if spoken else None
    counts = Counts.of(result.utterances)
    shares = contribution_shares(result.utterances)
    failed = [stage for stage in result.stages if stage.status == "failed"]
    return {
        "media": as_text(result.media.name),
        "result": as_text(place),
        "status": result.status,
        "duration_seconds": result.media.duration_seconds,
        "language": result.language,
        "speakers": len(result.speakers),
        "utterances": len(result.utterances),
        "mean_score": None if mean is None else round(mean, 4),
        **{name: getattr(counts, name) for name in Counts.model_fields},
        "to_review": sum(u.needs_review for u in result.utterances),
        **{f"{modality}_share": round(shares[modality], 4) if modality in shares else None for modality in MODALITIES},
        "failed_stage": "; ".join(stage.stage for stage in failed),
        "cause": as_text("; ".join(stage.cause or "" for stage in failed)),
        "repair": as_text("; ".join(stage.repair or "" for stage in failed)),
        "notes": as_text("; ".join([*result.media.notes, *result.notes])),
    }


def _relative(place: Path, folder: Path) -> str:
    try:
        return place.relative_to(folder).as_posix()
    except ValueError:
        return place.as_posix()
