"""Python's view of a result: open, look, print, turn into a frame, save."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from mmmie.analysis.columns import columns, rows
from mmmie.analysis.result import RESULT_FILE, Result, Speaker, Utterance
from mmmie.analysis.summary import summarise
from mmmie.errors import EvidenceError, did_you_mean, missing_extra

_PANDAS_DTYPES = {"string": "string", "float64": "float64", "int64": "int64", "bool": "boolean"}


@dataclass(frozen=True)
class Analysis:
    """A result and the folder it lies in (None: not saved yet); printing it gives the terminal's summary."""

    result: Result
    folder: Path | None = None

    @classmethod
    def open(cls, folder: str | Path) -> Self:
        """Reads the `result.json` of an analysis.

        Raises:
            EvidenceError: there is none, or it is not of this schema.
        """
        folder = Path(folder)
        path = folder / RESULT_FILE
        try:
            return cls(Result.from_json(path.read_bytes(), str(path)), folder)
        except (FileNotFoundError, NotADirectoryError):
            beside = [p.parent.name for p in folder.parent.glob(f"*/{RESULT_FILE}")] if folder.name else []
            raise EvidenceError(
                f"no analysis at {folder}: it has no {RESULT_FILE}. {did_you_mean(folder.name, beside)} "
                "An analysis is made by `mmmie analyze`.".replace("  ", " ")
            ) from None
        except OSError as error:
            raise EvidenceError(f"cannot read {path}: {error}.") from None

    @property
    def utterances(self) -> tuple[Utterance, ...]:
        return self.result.utterances

    @property
    def speakers(self) -> tuple[Speaker, ...]:
        return self.result.speakers

    def to_frame(self) -> Any:
        """A pandas DataFrame, an utterance a row, with the columns of `columns.json`.

        Missing numbers are NaN, missing strings and truths NA. Raises MmmieError: pandas is not installed.
        """
        try:
            import pandas
        except ImportError:
            raise missing_extra("pandas", "video") from None
        cells = rows(self.result)
        return pandas.DataFrame(
            {c.name: pandas.Series(cells[c.name], dtype=_PANDAS_DTYPES[c.dtype]) for c in columns(self.result)}
        )

    def save(self, folder: str | Path) -> "Analysis":
        """Writes `result.json` into a folder, made where it is absent, and returns the analysis as it lies there.

        Raises:
            EvidenceError: the folder or the file cannot be written; what was there before is as it was.
        """
        folder = Path(folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise EvidenceError(f"could not make the folder {folder}: {error}.") from None
        self.result.write(folder)
        return Analysis(self.result, folder)

    def __str__(self) -> str:
        return summarise(self.result, self.folder)
