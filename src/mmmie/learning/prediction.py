"""Scores from a finished run."""

from pathlib import Path

from mmmie.corpus.batching import Batcher
from mmmie.corpus.store import Floats, Part
from mmmie.device import compute_device
from mmmie.errors import CheckpointError
from mmmie.learning.assembly import build, check_contract, sources_of
from mmmie.learning.checkpoint import take_weights, weights_of
from mmmie.learning.run import Run
from mmmie.learning.validation import scores_of
from mmmie.models.network import Network


def load_model(run: Run, part: Part) -> Network:
    """The network of a run's best epoch, if the part's features are those it was trained on.

    Raises:
        CheckpointError: the checkpoint is missing, damaged or incomplete, or does not fit the part.
    """
    weights = weights_of(run)
    model = build(run.recipe, check_contract(run.contract, part, run.recipe))
    missing = take_weights(model, weights)
    if missing:
        raise CheckpointError(
            f"the checkpoint of {run.path} lacks {len(missing)} tensors, '{missing[0]}' first. Train again."
        )
    return model


def predict(run: Run | str | Path, part: Part) -> Floats:
    """Scores of the rows of a part, in their order.

    Args:
        run: a run with a checkpoint, or its folder.
        part: rows of any corpus that has the run's modalities with the same feature fingerprints.

    Returns:
        (N,) float32, in the range of the labels up to what a regression overshoots.

    Raises:
        CheckpointError: as `load_model`.
    """
    run = run if isinstance(run, Run) else Run.open(run)
    model = load_model(run, part)
    device = compute_device()
    sources = sources_of(part, run.recipe, tuple(run.contract["modalities"]))
    return scores_of(model.to(device), Batcher(part, sources, run.recipe.model.context), device)
