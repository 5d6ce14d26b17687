"""What a frozen encoder makes of a corpus' text, computed once and stored beside the corpus.

    CORPUS/text/<encoder fingerprint>/means-*.safetensors     the mean of every hidden layer over an utterance's tokens
    CORPUS/text/<encoder fingerprint>/layer<n>-*.safetensors  token states of layer n, to train the layers above it

Entries are found by a key of the token sequence that was read, so that resplits, repeated sentences and interrupted
runs reuse what is there. Shards are named by their keys, written whole and renamed, and never changed: several runs may
write at once, and any shard may be deleted. What was computed in float32 has `.float32` behind its kind.
"""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from math import ceil
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from mmmie.device import compute_device
from mmmie.errors import FeatureError
from mmmie.features.passages import TOKENS_AT_ONCE, Passage, mean_over_owners, padded, padded_length
from mmmie.features.text import TextEncoder, use_bfloat16

TOKENS_PER_BATCH = 4096
"""Padded together: in bfloat16 the length to which a passage is padded moves the last bits of its states."""
PASSAGES_PER_SHARD = 4096

Progress = Callable[[int, int], None]
"""Called with passages done and passages in all."""


class StateStore:
    """The stored states of one encoder for one corpus."""

    def __init__(self, folder: Path, encoder: TextEncoder) -> None:
        self.folder = folder
        self.encoder = encoder

    def means(self, passages: Sequence[Passage], precision: str, progress: Progress | None = None) -> Tensor:
        """(rows in all passages, layers * width) float16: the mean of every hidden layer, embeddings first.

        Rows come in the order of the passages. What is not stored yet is computed and stored.
        """
        found = self._complete("means", passages, precision, progress)
        keys = [key for passage in passages for key in passage.keys()]
        tensors = [shard.get_tensor("means") for shard in found.shards]
        width = self.encoder.num_states * self.encoder.width
        means = torch.empty(len(keys), width, dtype=torch.float16)
        places = [found.places[key] for key in keys]
        for number, tensor in enumerate(tensors):
            mine = [i for i, (shard, _) in enumerate(places) if shard == number]
            means[mine] = tensor[[places[i][1] for i in mine]]
        return means

    def token_states(
        self, passages: Sequence[Passage], layer: int, precision: str, progress: Progress | None = None
    ) -> list[Tensor]:
        """For each passage (T, width) bfloat16: the states of hidden layer `layer`, special tokens included."""
        found = self._complete(f"layer{layer}", passages, precision, progress)
        states = [shard.get_tensor("states") for shard in found.shards]
        starts = [shard.get_tensor("starts").tolist() for shard in found.shards]
        result = []
        for passage in passages:
            shard, place = found.places[passage.keys()[0]]
            result.append(states[shard][starts[shard][place] : starts[shard][place + 1]])
        return result

    def _complete(self, kind: str, passages: Sequence[Passage], precision: str, progress: Progress | None) -> "_Found":
        prefix = kind if use_bfloat16(precision, compute_device()) else f"{kind}.float32"
        found = _Found(self.folder, prefix)
        missing: dict[bytes, Passage] = {}
        for passage in passages:
            key = passage.keys()[0]
            if key not in found.places:
                missing[key] = passage
        if not missing:
            return found
        self.folder.mkdir(parents=True, exist_ok=True)
        model = self.encoder.load().to(compute_device())
        todo = sorted(missing.values(), key=lambda passage: len(passage.ids))
        done = 0
        for start in range(0, len(todo), PASSAGES_PER_SHARD):
            part = todo[start : start + PASSAGES_PER_SHARD]
            shard = self._compute(kind, part, model, precision, partial(_report, progress, len(todo)), done)
            name = hashlib.sha256(shard["keys"].numpy().tobytes()).hexdigest()[:16]
            _write(shard, self.folder / f"{prefix}-{name}.safetensors")
            done += len(part)
            found = _Found(self.folder, prefix)
        return found

    def _compute(
        self,
        kind: str,
        passages: Sequence[Passage],
        model: nn.Module,
        precision: str,
        report: Callable[[int], None],
        done: int,
    ) -> dict[str, Tensor]:
        num_rows = sum(len(passage.rows) for passage in passages) if kind == "means" else 0
        means = torch.empty(num_rows, self.encoder.num_states * self.encoder.width, dtype=torch.float16)
        states: list[Tensor] = []
        keys: list[bytes] = []
        with _autocast(model, precision):  # around all slices, so that weights are cast once
            for batch in _token_batches(passages):
                longest = padded_length(batch[-1], self.encoder.max_positions)
                for some in _at_once(batch, longest):
                    layers = hidden_layers(model, some, self.encoder, precision, longest)
                    if kind == "means":
                        rows = _row_means(layers, some)
                        means[len(keys) : len(keys) + len(rows)] = rows
                        keys += [key for passage in some for key in passage.keys()]
                    else:
                        keys += [passage.keys()[0] for passage in some]
                        layer = layers[int(kind.removeprefix("layer"))]
                        states += [layer[i, : len(passage.ids)].to(torch.bfloat16) for i, passage in enumerate(some)]
                done += len(batch)
                report(done)
        shard = {"keys": torch.frombuffer(bytearray(b"".join(keys)), dtype=torch.uint8).reshape(-1, 16)}
        if kind == "means":
            return {**shard, "means": means}
        starts = torch.tensor(np.cumsum([0] + [len(s) for s in states]))
        return {**shard, "states": torch.cat(states), "starts": starts}


@torch.no_grad()
def hidden_layers(
    model: nn.Module, passages: Sequence[Passage], encoder: TextEncoder, precision: str, longest: int = 0
) -> list[Tensor]:
    """Every hidden layer of some passages, (G, T, width) each, embeddings first; without gradients or dropout.

    T is `longest`, or the tokens of the longest passage where that is more.
    """
    group = padded(passages, encoder.tokenizer.pad_token_id or 0, longest)
    device = next(model.parameters()).device
    with _autocast(model, precision):
        output = model.eval()(
            input_ids=group.inputs_GT.to(device),
            attention_mask=group.mask_GT.long().to(device),
            output_hidden_states=True,
        )
    return [layer.cpu() for layer in output.hidden_states]


def _autocast(model: nn.Module, precision: str) -> torch.autocast:
    device = next(model.parameters()).device
    return torch.autocast(device.type, torch.bfloat16, enabled=use_bfloat16(precision, device))


def _row_means(layers: Sequence[Tensor], passages: Sequence[Passage]) -> Tensor:
    """(rows, layers * width): the mean of each layer over each row's own tokens, rows in the order of the passages."""
    position = {row: i for i, row in enumerate(row for passage in passages for row in passage.rows)}
    longest = layers[0].shape[1]
    owners = torch.tensor(
        [[position.get(o, -1) for o in p.owners] + [-1] * (longest - len(p.owners)) for p in passages]
    )
    sums = [mean_over_owners(layer, owners, len(position)) for layer in layers]
    return torch.cat([total / counts[:, None] for total, counts in sums], dim=-1)


def _token_batches(passages: Sequence[Passage]) -> Iterator[list[Passage]]:
    """Passages, which come by ascending length, in batches of at most TOKENS_PER_BATCH padded tokens."""
    batch: list[Passage] = []
    for passage in passages:
        if batch and len(passage.ids) * (len(batch) + 1) > TOKENS_PER_BATCH:
            yield batch
            batch = []
        batch.append(passage)
    if batch:
        yield batch


def _at_once(batch: Sequence[Passage], longest: int) -> Iterator[Sequence[Passage]]:
    """A batch in slices of similar size, of at most TOKENS_AT_ONCE padded tokens where one passage is not more."""
    number = ceil(len(batch) / max(1, TOKENS_AT_ONCE // longest))
    ends = [len(batch) * (i + 1) // number for i in range(number)]
    return (batch[start:end] for start, end in pairwise([0, *ends]))


class _Found:
    """The shards of one kind and precision that are there, and where each key lies: (shard, place)."""

    def __init__(self, folder: Path, prefix: str) -> None:
        self.shards = []
        self.places: dict[bytes, tuple[int, int]] = {}
        for number, path in enumerate(sorted(folder.glob(f"{prefix}-*.safetensors"))):
            try:
                shard = safe_open(str(path), framework="pt")
                keys = shard.get_tensor("keys").numpy().tobytes()
            except (SafetensorError, OSError) as error:
                raise FeatureError(f"{path} is damaged ({error}). Delete it; it is computed again.") from None
            self.shards.append(shard)
            for place in range(len(keys) // 16):
                self.places[keys[16 * place : 16 * place + 16]] = (number, place)


def _report(progress: Progress | None, total: int, done: int) -> None:
    if progress is not None:
        progress(done, total)


def _write(tensors: dict[str, Tensor], path: Path) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        save_file(tensors, str(temporary))
        os.replace(temporary, path)
    except (OSError, SafetensorError) as error:
        raise FeatureError(f"could not store text features at {path}: {error}") from None
    finally:
        temporary.unlink(missing_ok=True)
