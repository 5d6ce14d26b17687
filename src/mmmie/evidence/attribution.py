"""What a network says when parts of what it could see are masked, and from that what each part contributed.

The players are the modalities, each over the whole window: with audio hidden, the network reads what it would read of a
recording without sound. What is hidden is masked, never zeroed: a zero is a value, and an unusual one. Beside them
stands the context: the same target with its neighbours hidden.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import factorial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mmmie.corpus.store import Bools, Floats, Part
from mmmie.errors import EvidenceError, did_you_mean
from mmmie.evidence.familiarity import project

if TYPE_CHECKING:
    import torch

    from mmmie.corpus.batching import Batch, Batcher
    from mmmie.learning.run import Run
    from mmmie.models.encoders import Representation
    from mmmie.models.network import Network

Doubles = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Reading:
    """N utterances read with every subset of M modalities."""

    modalities: tuple[str, ...]
    present: Bools
    """(N, M) whether the utterance itself has the modality; its neighbours may have what it lacks."""
    subset_scores: Doubles
    """(2^M, N) scores; in row s only the modalities m with bit m of s set are visible. The last row is the prediction,
    the first what the network says having seen nothing: one value for all utterances."""
    without_context: Doubles
    """(N,) the score from the target alone, with all its modalities."""
    features: Mapping[str, Floats]
    """By modality (N, P) float32: what its representation was made from, for `familiarity`."""

    def __len__(self) -> int:
        return int(self.subset_scores.shape[1])

    @property
    def scores(self) -> Doubles:
        """(N,) the predictions."""
        return np.asarray(self.subset_scores[-1])

    @property
    def reference(self) -> float:
        """The score of nothing seen, from which contributions count."""
        return float(self.subset_scores[0, 0])

    def alone(self, modality: str) -> Doubles:
        """(N,) scores with one modality visible, in the whole window."""
        return np.asarray(self.subset_scores[1 << self._place(modality)])

    def without(self, modality: str) -> Doubles:
        """(N,) scores with one modality hidden, in the whole window."""
        return np.asarray(self.subset_scores[len(self.subset_scores) - 1 - (1 << self._place(modality))])

    @cached_property
    def contributions(self) -> dict[str, Doubles]:
        """By modality (N,) its exact Shapley value, in the unit of the labels; see `shapley_values`.

        They sum to `scores - reference`. A modality that the whole window lacks has exactly 0; one that only the
        neighbours have may contribute through them.
        """
        return dict(zip(self.modalities, shapley_values(self.subset_scores), strict=True))

    def _place(self, modality: str) -> int:
        if modality not in self.modalities:
            raise EvidenceError(f"no modality '{modality}' was read. {did_you_mean(modality, self.modalities)}")
        return self.modalities.index(modality)


def shapley_values(subset_values: Doubles) -> Doubles:
    """(M, N) exact Shapley values of M players from the values of all their coalitions.

    What a player adds, averaged over all orders in which the players could join: the only division of
    `value of all - value of none` that treats equal players equally, gives nothing to who adds nothing, and is linear.

    Args:
        subset_values: (2^M, N), row s being the value of the players m with bit m of s set.

    Source: L. S. Shapley, A value for n-person games (1953).
    """
    players = len(subset_values).bit_length() - 1
    assert len(subset_values) == 1 << players
    subsets = np.arange(1 << players)
    sizes = np.array([subset.bit_count() for subset in range(1 << players)])
    values = np.zeros((players, subset_values.shape[1]))
    for player in range(players):
        before = subsets[(subsets >> player) & 1 == 0]
        weights = [factorial(size) * factorial(players - size - 1) / factorial(players) for size in sizes[before]]
        values[player] = weights @ (subset_values[before | (1 << player)] - subset_values[before])
    return values


def read_part(run: "Run", part: Part) -> Reading:
    """Reads the rows of a part, in their order, with every subset of the modalities of a run.

    Raises:
        CheckpointError: as `learning.prediction.load_model`.
    """
    model, batcher, device = prepare(run, part)
    return read(model, batcher, device)


def read(model: "Network", batcher: "Batcher", device: "torch.device") -> Reading:
    """Reads all rows of a batcher: each distinct utterance is encoded once, and fused 2^M + 1 times."""
    import torch

    model.eval()
    scores, alone, features = [], [], []
    with torch.no_grad():
        for targets in batcher.in_order():
            batch = batcher.batch(targets).to(device)
            representations = model.encode(batch)
            encoded = {name: r.mean_ND for name, r in representations.items()}
            scores.append(_fuse_subsets(model, batch, encoded))
            alone.append(model.fuse(_without_neighbours(batch), encoded, batch.present).cpu())
            own = torch.searchsorted(batch.rows_N, batch.target_B)
            features.append({name: _features(r, own) for name, r in representations.items()})
    return Reading(
        modalities=model.modalities,
        present=_present(model, batcher),
        subset_scores=torch.cat(scores, dim=1).double().numpy(),
        without_context=torch.cat(alone).double().numpy(),
        features=_joined(features),
    )


def features_of_part(run: "Run", part: Part) -> tuple[dict[str, Floats], Bools]:
    """What `read_part` gives as `features` and `present`, without the scores."""
    import torch

    model, batcher, device = prepare(run, part)
    features = []
    with torch.no_grad():
        for targets in batcher.in_order():
            batch = batcher.batch(targets).to(device)
            own = torch.searchsorted(batch.rows_N, batch.target_B)
            features.append({name: _features(r, own) for name, r in model.encode(batch).items()})
    return _joined(features), _present(model, batcher)


def prepare(run: "Run", part: Part) -> "tuple[Network, Batcher, torch.device]":
    from mmmie.corpus.batching import Batcher
    from mmmie.device import compute_device
    from mmmie.learning.assembly import sources_of
    from mmmie.learning.prediction import load_model

    model = load_model(run, part)
    device = compute_device()
    sources = sources_of(part, run.recipe, tuple(run.contract["modalities"]))
    return model.to(device).eval(), Batcher(part, sources, run.recipe.model.context), device


def _present(model: "Network", batcher: "Batcher") -> Bools:
    present = {str(name): source.present for name, source in batcher.sources.items()}
    return np.stack([present[name] for name in model.modalities], axis=1)


def _features(representation: "Representation", rows: "torch.Tensor") -> Floats:
    return project(representation.input_NX[rows].float().cpu().numpy())


def _joined(parts: Sequence[Mapping[str, Floats]]) -> dict[str, Floats]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _fuse_subsets(model: "Network", batch: "Batch", encoded: "dict[str, torch.Tensor]") -> "torch.Tensor":
    import torch

    scores = []
    for subset in range(1 << len(model.modalities)):
        visible = {
            name: batch.present[name] if subset >> m & 1 else torch.zeros_like(batch.present[name])
            for m, name in enumerate(model.modalities)
        }
        scores.append(model.fuse(batch, encoded, visible))
    return torch.stack(scores).cpu()


def _without_neighbours(batch: "Batch") -> "Batch":
    window_BU = batch.window_BU.clone()
    target = window_BU.shape[1] // 2
    window_BU[:, :target] = -1
    window_BU[:, target + 1 :] = -1
    return replace(batch, window_BU=window_BU)
