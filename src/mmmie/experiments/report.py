"""Everything a study shows at its end, from whatever is finished."""

from collections.abc import Sequence
from pathlib import Path

from mmmie.experiments.forest import draw_forest
from mmmie.experiments.plan import Plan
from mmmie.experiments.results import Panel, collect
from mmmie.experiments.status import Row
from mmmie.experiments.table import write_tables


def write_results(plan: Plan, rows: Sequence[Row]) -> tuple[list[Panel], list[Path]]:
    """Compares the arms on every corpus and writes tables and figure.

    Args:
        plan: checked.
        rows: of all runs of the study.

    Raises:
        EvidenceError: predictions do not pair, or a file cannot be written.
    """
    panels = collect(plan)
    return panels, [*write_tables(plan, panels, rows), *draw_forest(plan, panels)]
