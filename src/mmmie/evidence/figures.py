"""Figures of runs, as PNG."""

from collections.abc import Mapping, Sequence
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmmie.errors import EvidenceError
from mmmie.evidence.canvas import canvas, save
from mmmie.evidence.metrics import show
from mmmie.evidence.predictions import Predictions

if TYPE_CHECKING:
    from mmmie.evidence.evaluation import Evaluation
    from mmmie.learning.run import Run

TRAIN, VALID, TRUTH = "#8a8f98", "#1f5fa8", "#c0392b"
"""Grey, blue and red that stay apart in grey print and for colour-blind eyes."""


def draw_training(run: "Run", path: str | Path) -> None:
    """Draws every named term of a run's training over its epochs, on train and on valid.

    Raises:
        EvidenceError: the run has no finished epoch, matplotlib is not installed, or the file cannot be written.
    """
    history = _history(run)
    epochs = [line["epoch"] + 1 for line in history]
    names = list(history[0]["train"])
    columns = min(4, len(names))
    figure, axes = canvas(ceil(len(names) / columns), columns, f"{run.name} seed {run.seed}: terms by epoch")
    for ax, name in zip(axes, names, strict=False):
        ax.set_title("task" if name == "task" else f"{name} (nats)", fontsize=9)
        ax.plot(epochs, [line["train"][name] for line in history], color=TRAIN, label="train")
        measured = [line["valid_information"].get(name, {}) for line in history]
        if name == "task":
            ax.plot(epochs, [line["valid"]["mae"] for line in history], color=VALID, label="valid (MAE)")
        elif all("interval_nats" in m for m in measured):
            lower, upper = zip(*(m["interval_nats"] for m in measured), strict=True)
            ax.fill_between(epochs, lower, upper, color=VALID, alpha=0.6, linewidth=1.5, label="valid [L, U]")
            ax.set_yscale("log", subs=[2, 5])
            for axis_formatter in (ax.yaxis.set_major_formatter, ax.yaxis.set_minor_formatter):
                axis_formatter(lambda nats, _: f"{nats:g}")
            ax.tick_params(which="minor", labelsize=8)
        elif all("nats" in m for m in measured):
            ax.plot(epochs, [m["nats"] for m in measured], color=VALID, label="valid")
        ax.axvline(run.status["best_epoch"] + 1, color="black", linewidth=0.7, linestyle=":", label="kept epoch")
        ax.set_xlabel("epoch", fontsize=8)
        ax.legend(fontsize=7, frameon=False)
    save(figure, path)


def draw_information(run: "Run", path: str | Path, true_nats: Mapping[str, float] | None = None) -> None:
    """Draws what the kept epoch's representations hold on valid: [L, U] of I(X; F), and the bound of each modal pair.

    Args:
        run: finished.
        path: where to write the PNG.
        true_nats: the `true_mi_nats` of a generated corpus: of each pair, which no lower bound on the representations
            may exceed beyond its own error, and of each modality with the label, which is all the task can use of it.

    Raises:
        EvidenceError: the run measured no information, matplotlib is not installed, or the file cannot be written.
    """
    measured = _history(run)[run.status["best_epoch"]]["valid_information"]
    intervals = {n.removeprefix("min "): m["interval_nats"] for n, m in measured.items() if "interval_nats" in _dict(m)}
    pairs = {n.removeprefix("max "): m["nats"] for n, m in measured.items() if "nats" in _dict(m)}
    if not intervals and not pairs:
        raise EvidenceError(
            f"{run.path} measured no mutual information: its encoders have no noise, and no pair a term."
        )
    true_nats = true_nats or {}
    figure, (left, right) = canvas(1, 2, f"{run.name} seed {run.seed}: mutual information on valid, in nats")
    left.set_title("input and representation, I(X; F)", fontsize=9)
    for place, (lower, upper) in enumerate(intervals.values()):
        label = None if place else "measured [L, U]"
        left.plot([place, place], [lower, upper], "_-", color=VALID, markersize=22, label=label)
        left.annotate(
            f"[{lower:.2f}, {upper:.2f}]", (place, upper), (0, 4), textcoords="offset points", ha="center", fontsize=7
        )
    _mark(left, list(intervals), {n: true_nats.get(f"label-{n}") for n in intervals}, "true I(X; label)")
    target = run.recipe.minimise.target_nats
    if target is not None and run.recipe.minimise.estimator != "none" and intervals:
        left.axhline(target, color="black", linewidth=0.8, linestyle="--", label="rate target")
    right.set_title("between modalities, I(F; F')", fontsize=9)
    right.bar(range(len(pairs)), list(pairs.values()), width=0.5, color=VALID, alpha=0.5, label="lower bound")
    _mark(right, list(pairs), {n: true_nats.get(n) for n in pairs}, "true I(X; X')")
    for ax in (left, right):
        low, high = ax.get_ylim()
        ax.set_ylim(min(0.0, low), 1.25 * high)  # room for the legend
        if ax.get_legend_handles_labels()[0]:
            ax.legend(fontsize=7, frameon=False)
    save(figure, path)


def draw_predictions(predictions: Predictions, path: str | Path) -> None:
    """Draws the scores of test against their labels.

    Raises:
        EvidenceError: no test rows, matplotlib is not installed, or the file cannot be written.
    """
    test = predictions.part("test")
    metrics = test.metrics()
    low, high = test.origin.label_range
    title = f"{test.origin.run} seed {test.origin.seed} on {test.origin.corpus}, test"
    figure, (ax,) = canvas(1, 1, title)
    ax.plot([low, high], [low, high], color="black", linewidth=0.8, linestyle=":")
    ax.scatter(test.labels, test.scores, s=9, alpha=0.5, color=VALID, linewidth=0)
    ax.set_title(f"n = {metrics.n}, MAE {show('mae', metrics.mae)}, Corr {show('corr', metrics.corr)}", fontsize=9)
    ax.set_xlabel("label", fontsize=8)
    ax.set_ylabel("score", fontsize=8)
    ax.set_xlim(low, high)
    ax.set_ylim(min(low, float(test.scores.min())), max(high, float(test.scores.max())))
    save(figure, path)


def draw_reliability(evaluation: "Evaluation", path: str | Path) -> None:
    """Draws whether test scores can be read as they are: mean label by score, coverage by score, and signs kept.

    Raises:
        EvidenceError: the evaluation has no intervals, matplotlib is not installed, or the file cannot be written.
    """
    measured, origin = evaluation.reliability, evaluation.origin
    if measured is None:
        raise EvidenceError(f"the evaluation at {evaluation.folder} has no intervals. Evaluate the run again.")
    scores = [bin_.mean_score for bin_ in measured.bins]
    title = f"{origin.run} seed {origin.seed} on {origin.corpus}, test: {evaluation.test.n} utterances"
    figure, (means, coverage, signs) = canvas(1, 3, title)
    low, high = origin.label_range
    means.plot([low, high], [low, high], color="black", linewidth=0.8, linestyle=":", label="equal")
    means.plot(scores, [bin_.mean_label for bin_ in measured.bins], "o-", color=VALID, markersize=4, label="tenths")
    _name_axes(means, "reliability", "mean score", "mean label")
    coverage.axhline(measured.stated_coverage, color="black", linewidth=0.8, linestyle=":", label="stated")
    coverage.axhline(measured.coverage, color=TRAIN, linewidth=0.8, label="all")
    coverage.plot(scores, [bin_.coverage for bin_ in measured.bins], "o-", color=VALID, markersize=4, label="tenths")
    coverage.set_ylim(0, 1.05)
    _name_axes(coverage, f"coverage, mean width {measured.mean_width:.2f}", "mean score", "share of labels inside")
    curve = [(float(share), right) for share, right in measured.risk_coverage.items() if right is not None]
    if curve:
        shares, right = zip(*curve, strict=True)
        signs.plot(shares, right, "o-", color=VALID, markersize=4, label="largest |score| first")
        if measured.sign_accuracy_kept is not None:
            kept = 1 - measured.abstained
            signs.plot([kept], [measured.sign_accuracy_kept], "D", color=TRUTH, markersize=6, label="no abstention")
        _name_axes(signs, "signs", "share of utterances kept", "share of signs right")
    save(figure, path)


def _name_axes(ax: Any, title: str, x: str, y: str) -> None:
    ax.set_title(title, fontsize=9)
    ax.set_xlabel(x, fontsize=8)
    ax.set_ylabel(y, fontsize=8)
    ax.legend(fontsize=7, frameon=False)


def _dict(value: Any) -> dict[str, Any]:
    """`valid_information` holds single numbers beside its terms."""
    return value if isinstance(value, dict) else {}


def _history(run: "Run") -> list[dict[str, Any]]:
    history = run.history
    if not history or run.status.get("best_epoch", -1) < 0:
        raise EvidenceError(f"{run.path} has no finished epoch to draw. Train it with `mmmie train`.")
    return history


def _mark(ax: Any, names: Sequence[str], truth: Mapping[str, float | None], label: str) -> None:
    known = [(place, truth[name]) for place, name in enumerate(names) if truth[name] is not None]
    if known:
        places, values = zip(*known, strict=True)
        ax.plot(places, values, "D", color=TRUTH, markersize=6, label=label)
    ax.set_xticks(range(len(names)), names, fontsize=8)
    ax.set_xlim(-0.6, max(0.6, len(names) - 0.4))
