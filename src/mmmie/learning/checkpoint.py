"""Checkpoints and resumable states: safetensors and JSON, written whole, never unpickled."""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from mmmie.errors import CheckpointError
from mmmie.learning.run import Run, write_json


def save_checkpoint(folder: Path, model: nn.Module, contract: Mapping[str, Any]) -> None:
    """Writes `model.safetensors`, then `contract.json` with the sha256 of it."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = folder / "model.safetensors"
    _save(weights, dict(model.state_dict()), {})
    write_json(folder / "contract.json", {**contract, "sha256": checksum(weights)})


def load_weights(path: Path) -> dict[str, Tensor]:
    """Raises CheckpointError: the file is missing or damaged."""
    return _load(path)[0]


def weights_of(run: Run) -> dict[str, Tensor]:
    """The weights of a run's best epoch.

    Raises:
        CheckpointError: they are missing or damaged, or not those that were trained.
    """
    file = run.path / "checkpoint" / "model.safetensors"
    if not run.contract or not file.is_file():
        raise CheckpointError(f"the run {run.path} has no checkpoint. Train it with `mmmie train`.")
    if checksum(file) != run.contract["sha256"]:
        raise CheckpointError(f"{file} is not what was trained: its sha256 differs from contract.json's.")
    return load_weights(file)


def checksum(path: Path) -> str:
    """sha256 of a file, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def take_weights(model: nn.Module, weights: Mapping[str, Tensor]) -> list[str]:
    """Copies every tensor that `model` has under the same name and shape; returns the names of those it lacks."""
    own = model.state_dict()
    fitting = {name: value for name, value in weights.items() if name in own and own[name].shape == value.shape}
    model.load_state_dict(fitting, strict=False)
    return sorted(set(own) - set(fitting))


def save_state(
    path: Path,
    modules: Mapping[str, nn.Module],
    optimizers: Mapping[str, torch.optim.Optimizer],
    averages: Mapping[str, Tensor],
    values: Mapping[str, Any],
) -> None:
    """Everything training needs to go on bit for bit, in one file; `values` is JSON, kept in the file's header."""
    tensors = {f"{key}/{name}": t for key, module in modules.items() for name, t in module.state_dict().items()}
    tensors |= {f"average/{name}": tensor for name, tensor in averages.items()}
    for key, optimizer in optimizers.items():
        for index, state in optimizer.state_dict()["state"].items():
            tensors |= {f"{key}/{index}/{name}": torch.as_tensor(value) for name, value in state.items()}
    _save(path, tensors, {"values": json.dumps(values)})


def load_state(
    path: Path, modules: Mapping[str, nn.Module], optimizers: Mapping[str, torch.optim.Optimizer]
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Puts modules and optimizers back as they were saved; returns the averages and the values."""
    tensors, header = _load(path)
    for key, module in modules.items():
        module.load_state_dict(_under(tensors, key))
    for key, optimizer in optimizers.items():
        states: dict[int, dict[str, Tensor]] = {}
        for name, tensor in _under(tensors, key).items():
            index, field = name.split("/")
            states.setdefault(int(index), {})[field] = tensor
        optimizer.load_state_dict({**optimizer.state_dict(), "state": states})
    return _under(tensors, "average"), json.loads(header["values"])


def parameters_of(module: nn.Module) -> Iterable[tuple[str, nn.Parameter]]:
    """The parameters that learn, by name."""
    return ((name, p) for name, p in module.named_parameters() if p.requires_grad)


def _under(tensors: Mapping[str, Tensor], key: str) -> dict[str, Tensor]:
    return {name.removeprefix(f"{key}/"): t for name, t in tensors.items() if name.startswith(f"{key}/")}


def _save(path: Path, tensors: dict[str, Tensor], header: dict[str, str]) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        save_file({name: t.detach().contiguous().cpu().clone() for name, t in tensors.items()}, str(temporary), header)
        os.replace(temporary, path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"could not write {path}: {error}") from None
    finally:
        temporary.unlink(missing_ok=True)


def _load(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(str(path), framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})
    except FileNotFoundError:
        raise CheckpointError(f"no checkpoint at {path}") from None
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path} is damaged: {error}. Train again, or go on from another run.") from None
