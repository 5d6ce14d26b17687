"""A checkpoint that travels: what predicting and explaining need of a run, without its corpus or any names."""

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from mmmie.errors import CheckpointError
from mmmie.evidence.calibration import CALIBRATION_FILE, FAMILIAR_FILE, calibrate
from mmmie.evidence.card import make_card
from mmmie.evidence.coverage import COVERAGE_FILE, Coverage

if TYPE_CHECKING:
    from mmmie.learning.run import Run

CARD_FILE = "card.md"
KEPT = ("recipe.json", "status.json", CALIBRATION_FILE, FAMILIAR_FILE, "checkpoint/model.safetensors")
"""As they are; evaluations and predictions stay behind, which name utterances."""


def pack(run: "Run", out: str | Path) -> Path:
    """Copies a finished run's checkpoint, calibration and card into a folder that `mmmie analyze --model` takes.

    What the card says of the corpus goes into the contract, and its path does not.

    Raises:
        CheckpointError: the run has no checkpoint, or `out` exists or cannot be written.
        EvidenceError, CorpusError: it is not calibrated, and cannot be; its measured coverage is damaged.
    """
    out = Path(out)
    if out.exists():
        raise CheckpointError(f"{out} exists already. Choose another --out, or remove it first.")
    calibrate(run)
    card = make_card(run)
    data = card.values["data"]
    contract = {**run.contract, "corpus": {**data, "path": ""}}
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        (temporary / "checkpoint").mkdir()
        for name in (*KEPT, *((COVERAGE_FILE,) if Coverage.read(run) else ())):
            shutil.copyfile(run.path / name, temporary / name)
        (temporary / "checkpoint" / "contract.json").write_text(json.dumps(contract, indent=2) + "\n", "utf-8")
        (temporary / CARD_FILE).write_text(str(card), "utf-8")
        os.chmod(temporary, 0o755)
        temporary.rename(out)
    except OSError as error:
        raise CheckpointError(f"could not write {out}: {error}") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return out
