"""What was measured of a checkpoint's intervals on other recordings: a file beside the checkpoint, `coverage.json`.

Written by hand from a dated measurement; it holds for the weights it names, and for no others.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mmmie.errors import EvidenceError
from mmmie.settings import Modality

if TYPE_CHECKING:
    from mmmie.learning.run import Run

COVERAGE_FILE = "coverage.json"
TOLERANCE = 0.05
"""An interval that held its stated share less this, or less still, does not hold."""
SHOWN_AS: Mapping[Modality, str] = {"text": "words", "audio": "voice", "vision": "face"}


class _Stored(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Row(_Stored):
    """One measurement."""

    modality: Modality | Literal["all"]
    """The one that was read; `all`: whatever each utterance has."""
    read_on: str
    trained_on: str
    new: bool
    """Whether training and calibration had seen no recording of that set."""
    utterances: int | None = Field(None, gt=0)
    coverage: float = Field(ge=0, le=1)


class Coverage(_Stored):
    """All that was measured, and where it is told."""

    checkpoint_sha256: str
    stated: float = Field(gt=0, lt=1)
    source: str
    rows: tuple[Row, ...]

    @classmethod
    def read(cls, run: "Run") -> "Coverage | None":
        """Of a run; None where nothing was measured of its weights.

        Raises:
            EvidenceError: the file is damaged.
        """
        path = Path(run.path) / COVERAGE_FILE
        try:
            found = cls.model_validate(json.loads(path.read_text("utf-8")))
        except FileNotFoundError:
            return None
        except (ValidationError, ValueError, OSError) as error:
            raise EvidenceError(f"{path} is damaged: {error}. Bring it again from where the checkpoint came.") from None
        return found if found.checkpoint_sha256 == run.contract.get("sha256") else None

    def failing(self) -> dict[Modality, Row]:
        """By modality whose intervals do not hold on new sets: the worst measurement."""
        worst: dict[Modality, Row] = {}
        for row in self.rows:
            if row.modality != "all" and row.new and row.coverage <= self.stated - TOLERANCE:
                before = worst.get(row.modality)
                worst[row.modality] = row if before is None or row.coverage < before.coverage else before
        return worst

    def limit(self, modalities: Iterable[Modality]) -> str:
        """How far intervals of these modalities alone held on new sets, in a clause; they are among `failing`."""
        failing = self.failing()
        told = [f"{failing[m].coverage:.0%} ({SHOWN_AS[m]}, {failing[m].read_on})" for m in modalities]
        return f"intervals stated at {self.stated:.0%} covered {' and '.join(told)} on sets that training had not seen"
