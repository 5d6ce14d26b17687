"""What a network says of a part: scores, both readings of the representations, and the measured information."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmmie.corpus.batching import Batch, Batcher
from mmmie.corpus.store import Floats
from mmmie.learning.objective import Objective
from mmmie.models.encoders import Representation
from mmmie.models.network import Network, with_noise
from mmmie.settings import Recipe

READING_SEED = 20220110
"""Of the noise of the sampled reading, so that it is the same at every epoch."""


@dataclass(frozen=True)
class Validation:
    """What an epoch is judged by, and what is only reported."""

    mae: float
    """Of the mean reading, which is what `predict` does."""
    mae_sampled: float
    """With the noise of the stochastic encoders: what the measured information is about."""
    corr: float
    information: dict[str, Any]


@torch.no_grad()
def validate(
    model: Network, objective: Objective, batcher: Batcher, recipe: Recipe, device: torch.device
) -> Validation:
    """Judges the network on a part."""
    model.eval()
    objective.eval()
    chance = torch.Generator().manual_seed(READING_SEED)
    scores, sampled, labels, kept, videos = [], [], [], [], []
    for targets in batcher.in_order():
        batch = batcher.batch(targets).to(device)
        epsilon_MND = torch.randn(len(model.modalities), len(batch.rows_N), model.width, generator=chance).to(device)
        representations = with_noise(model.encode(batch), epsilon_MND)
        scores.append(model.fuse(batch, {n: r.mean_ND for n, r in representations.items()}, batch.present))
        if recipe.model.noise != "none":
            sampled.append(model.fuse(batch, {n: r.sample_ND for n, r in representations.items()}, batch.present))
        labels.append(batch.label_B)
        own = _places_of_targets(batch)
        kept.append({name: _rows(r, own) for name, r in representations.items()})
        videos.append(batch.video_N[own])
    score, label = torch.cat(scores), torch.cat(labels)
    whole = {name: _joined([part[name] for part in kept]) for name in model.modalities}
    information = objective.measure(whole, torch.cat(videos))
    return Validation(
        mae=float((score - label).abs().mean()),
        mae_sampled=float((torch.cat(sampled or scores) - label).abs().mean()),
        corr=_correlation(score, label),
        information=information,
    )


@torch.no_grad()
def scores_of(model: Network, batcher: Batcher, device: torch.device) -> Floats:
    """(N,) float32 scores of a part, from the means of the representations."""
    model.eval()
    found = []
    for targets in batcher.in_order():
        found.append(model(batcher.batch(targets).to(device)).score_B.cpu())
    return torch.cat(found).float().numpy()


def _places_of_targets(batch: Batch) -> Tensor:
    """Positions in N of the batch's own targets: over all batches each utterance comes once."""
    return torch.searchsorted(batch.rows_N, batch.target_B)


def _rows(r: Representation, places: Tensor) -> Representation:
    return Representation(r.mean_ND[places], r.sample_ND[places], r.noise_D, r.present_N[places], r.input_NX[places])


def _joined(parts: list[Representation]) -> Representation:
    return Representation(
        torch.cat([p.mean_ND for p in parts]),
        torch.cat([p.sample_ND for p in parts]),
        parts[0].noise_D,
        torch.cat([p.present_N for p in parts]),
        torch.cat([p.input_NX for p in parts]),
    )


def _correlation(score: Tensor, label: Tensor) -> float:
    if len(score) < 2 or float(score.std()) == 0 or float(label.std()) == 0:
        return 0.0
    return float(np.corrcoef(score.cpu().numpy(), label.cpu().numpy())[0, 1])
