"""What figures are drawn on. The one file that imports matplotlib, and only when a figure is asked for."""

from pathlib import Path
from typing import Any

from mmmie.errors import EvidenceError
from mmmie.evidence.predictions import replacing


def blank(width: float, height: float, title: str) -> Any:
    """An empty figure, in inches.

    Raises:
        EvidenceError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise EvidenceError("figures need matplotlib. Install it with `pip install 'mmmie[figures]'`.") from None
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.suptitle(title, fontsize=10, wrap=True)
    return figure


def canvas(rows: int, columns: int, title: str) -> tuple[Any, list[Any]]:
    """A figure of small axes, row by row."""
    side = 4.6 if columns == 1 else 3.0
    figure = blank(max(5.0, side * columns), 0.4 + 2.6 * rows if columns > 2 or rows > 1 else 4.4, title)
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
        ax.tick_params(labelsize=8)
    return figure, axes


def legend_line(label: str, colour: str, marker: str, filling: str) -> Any:
    """An entry of a legend: a line with a marker."""
    from matplotlib.lines import Line2D

    return Line2D(
        [], [], color=colour, marker=marker, label=label, linewidth=1.6, markeredgewidth=1.5, markerfacecolor=filling
    )


def legend_patch(label: str, colour: str) -> Any:
    """An entry of a legend: a filled box."""
    from matplotlib.patches import Patch

    return Patch(color=colour, label=label)


def save(figure: Any, path: str | Path) -> None:
    """Writes a figure as its suffix says, PNG or SVG; equal figures give equal files.

    Raises:
        EvidenceError: the file cannot be written.
    """
    from matplotlib import rc_context

    path = Path(path)
    for ax in figure.axes:
        if not ax.has_data():
            ax.set_axis_off()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EvidenceError(f"could not make {path.parent}: {error}") from error
    more: dict[str, Any] = {"metadata": {"Date": None}} if path.suffix == ".svg" else {"dpi": 130}
    with rc_context({"svg.hashsalt": path.name, "svg.fonttype": "none"}), replacing(path) as temporary:
        figure.savefig(temporary, format=path.suffix[1:], **more)
