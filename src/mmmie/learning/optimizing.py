"""The optimizer and its learning rates: one for the network, smaller ones down the layers of a trained text encoder."""

import re

import torch
from torch import nn

from mmmie.learning.checkpoint import TEXT_NETWORK, parameters_of
from mmmie.learning.objective import Objective
from mmmie.models.network import Network
from mmmie.settings import TrainingSettings


def make_optimizer(model: Network, objective: Objective, settings: TrainingSettings) -> torch.optim.Optimizer:
    """AdamW over all that learns. Each group's `base_lr` is what the schedule scales.

    The text encoder's layers learn at `encoder_learning_rate * layer_decay ** (layers above)`, its embeddings below
    them all; vectors and biases are not decayed.
    """
    named = dict(parameters_of(model))
    layers = [_layer(name) for name in named if name.startswith(TEXT_NETWORK)]
    top = max((layer for layer in layers if layer is not None), default=0)
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in named.items():
        rate = settings.learning_rate
        if name.startswith(TEXT_NETWORK):
            layer = _layer(name)
            above = top - (layer if layer is not None else -1)
            rate = settings.encoder_learning_rate * settings.layer_decay**above
        decay = settings.weight_decay if parameter.ndim > 1 else 0.0
        groups.setdefault((rate, decay), []).append(parameter)
    beside = [p for p in objective.parameters_of_loss() if p.requires_grad]
    if beside:
        groups.setdefault((settings.learning_rate, settings.weight_decay), []).extend(beside)
    return torch.optim.AdamW(
        [{"params": ps, "lr": lr, "base_lr": lr, "weight_decay": decay} for (lr, decay), ps in groups.items()],
        fused=True,
    )


def learning_rate_factor(step: int, num_steps: int, warmup: float) -> float:
    """Rises linearly over the warm-up, then falls linearly to 0 at the end of the last epoch."""
    warm = warmup * num_steps
    if step < warm:
        return (step + 1) / (warm + 1)
    return max(0.0, (num_steps - step) / max(1.0, num_steps - warm))


def _layer(name: str) -> int | None:
    """The encoder layer that a parameter belongs to; None for embeddings and what stands beside layers."""
    found = re.search(r"\.layers?\.(\d+)\.", name)
    return int(found.group(1)) if found else None
