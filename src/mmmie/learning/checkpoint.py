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
from mmmie.settings import Recipe

TEXT_NETWORK = "encoders.text.reader.network."
"""Where a model keeps the text encoder that it trains."""


def save_checkpoint(folder: Path, model: nn.Module, contract: Mapping[str, Any]) -> None:
    """Writes `model.safetensors`, then `contract.json` with the sha256 of it.

    What the text encoder's own files hold and training leaves alone is not written: the contract names them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    weights = folder / "model.safetensors"
    untrained = _pretrained(model)
    _save(weights, {name: tensor for name, tensor in model.state_dict().items() if name not in untrained}, {})
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
    """Copies every tensor that `model` has under the same name and shape; returns the names of those it lacks.

    Pretrained weights that do not learn stay what the text encoder's files say.
    """
    untrained = _pretrained(model)
    own = {name: tensor for name, tensor in model.state_dict().items() if name not in untrained}
    fitting = {name: value for name, value in weights.items() if name in own and own[name].shape == value.shape}
    model.load_state_dict(fitting, strict=False)
    return sorted(set(own) - set(fitting))


def begin_with(model: nn.Module, start: Run, recipe: Recipe, shapes: Mapping[str, Any]) -> None:
    """Takes the weights of another run, but for its labels' scale and what was measured in its audio and vision.

    Raises:
        CheckpointError: its text encoder is another one, or was trained in another way, so that what it learned would
            be lost; its weights are missing or damaged.
    """
    theirs = start.contract["modalities"].get("text")
    if theirs and "text" in shapes:
        if theirs["fingerprint"] != shapes["text"].fingerprint:
            raise CheckpointError(
                f"{start.path} was trained with the text encoder {start.recipe.text.encoder}, of another fingerprint "
                "than this recipe's. Set the same text.encoder and text.max_tokens in both recipes."
            )
        text, own = start.recipe.text, recipe.text
        if "frozen" not in (text.depth, own.depth) and text.lora_rank != own.lora_rank:
            raise CheckpointError(
                f"{start.path} trained its text encoder with text.lora_rank = {text.lora_rank}, and this recipe has "
                f"{own.lora_rank}: what it learned would be lost. Set the same in both recipes."
            )
    weights = weights_of(start)
    kept = {"label_centre", "label_scale"}
    measured = {name for name in weights if ".standardise." in name and ".text." not in name}
    take_weights(model, {name: tensor for name, tensor in weights.items() if name not in kept | measured})


def save_state(
    path: Path,
    modules: Mapping[str, nn.Module],
    optimizers: Mapping[str, torch.optim.Optimizer],
    averages: Mapping[str, Tensor],
    values: Mapping[str, Any],
) -> None:
    """Everything training needs to go on bit for bit, in one file; `values` is JSON, kept in the file's header.

    What `save_checkpoint` leaves out is left out here too.
    """
    tensors: dict[str, Tensor] = {}
    for key, module in modules.items():
        untrained = _pretrained(module)
        tensors |= {f"{key}/{name}": t for name, t in module.state_dict().items() if name not in untrained}
    tensors |= {f"average/{name}": tensor for name, tensor in averages.items()}
    for key, optimizer in optimizers.items():
        for index, state in optimizer.state_dict()["state"].items():
            tensors |= {f"{key}/{index}/{name}": torch.as_tensor(value) for name, value in state.items()}
    _save(path, tensors, {"values": json.dumps(values)})


def load_state(
    path: Path, modules: Mapping[str, nn.Module], optimizers: Mapping[str, torch.optim.Optimizer]
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Puts modules and optimizers back as they were saved; returns the averages and the values.

    Raises:
        CheckpointError: the file is missing or damaged, or of other modules.
    """
    tensors, header = _load(path)
    for key, module in modules.items():
        saved = {name: tensor.shape for name, tensor in _under(tensors, key).items()}
        needed = {name: tensor.shape for name, tensor in module.state_dict().items()}
        if others := {n for n, _ in saved.items() ^ needed.items() if n in saved or n not in _pretrained(module)}:
            raise CheckpointError(f"{path} is not of this training ('{min(others)}'). Delete it, and train again.")
        module.load_state_dict(_under(tensors, key), strict=False)
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


def _pretrained(model: nn.Module) -> set[str]:
    """Names of the text encoder's weights that do not learn."""
    return {name for name, p in model.named_parameters() if name.startswith(TEXT_NETWORK) and not p.requires_grad}


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
