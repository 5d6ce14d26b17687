"""From a recipe and what was measured in data to a network, and the contract that says what the network expects."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mmmie.corpus.batching import FrameSource, Source
from mmmie.corpus.schema import MODALITIES
from mmmie.corpus.store import Bools, Floats, Part, RaggedFeatures
from mmmie.device import compute_device
from mmmie.errors import CheckpointError, RecipeError
from mmmie.features.text import TextEncoder, use_bfloat16
from mmmie.features.text_sources import FrozenText, text_source
from mmmie.features.text_states import Progress
from mmmie.models.encoders import (
    FrameReader,
    ModalityEncoder,
    Readout,
    RidgeReader,
    SequenceEncoder,
    Standardise,
)
from mmmie.models.layers import with_fast_dropout
from mmmie.models.lora import adapt
from mmmie.models.network import Network
from mmmie.models.systems import find_system, read_options
from mmmie.models.token_encoder import TokenEncoder
from mmmie.settings import ModelSettings, Recipe, RidgeSettings


@dataclass(frozen=True)
class Shape:
    """What is measured of one modality: how wide it is, and whether it is a sequence."""

    input_dim: int
    sequence: bool
    fingerprint: str
    """Of the features, or of the text encoder."""


def modalities_of(recipe: Recipe, part: Part) -> tuple[str, ...]:
    """The modalities a recipe trains on: those it names, or all that the corpus holds, as far as its system reads them.

    Raises:
        RecipeError: the recipe names one that the corpus does not hold; there is no such system, or no such option.
    """
    read_options(recipe.model)
    reads = find_system(recipe.model.system).reads
    held = set(part.corpus.info.features)
    if any(text is not None for text in part.texts):
        held.add("text")
    wanted = recipe.model.modalities
    if wanted is None:
        return tuple(name for name in MODALITIES if name in held and name in reads)
    for name in wanted:
        if name not in held:
            raise RecipeError(
                f"model.modalities asks for {name}, but {part.corpus.path} holds {', '.join(sorted(held)) or 'none'}"
            )
    return tuple(name for name in MODALITIES if name in wanted and name in reads)


def sources_of(
    part: Part, recipe: Recipe, modalities: tuple[str, ...], progress: Progress | None = None
) -> dict[str, Source]:
    """The modalities of a part, ready to be batched."""
    sources: dict[str, Source] = {}
    for name in modalities:
        if name == "text":
            frozen_too = recipe.minimise.estimator == "vclub"
            sources[name] = text_source(
                part, recipe.text, recipe.training.precision, frozen_too=frozen_too, progress=progress
            )
        else:
            sources[name] = FrameSource(part.features[name])
    return sources


def shapes_of(part: Part, recipe: Recipe, modalities: tuple[str, ...]) -> dict[str, Shape]:
    """The shape of each modality of a corpus."""
    shapes = {}
    for name in modalities:
        if name == "text":
            encoder = TextEncoder.find(recipe.text)
            shapes[name] = Shape(encoder.num_states * encoder.width, False, encoder.fingerprint)
        else:
            info = part.corpus.info.features[name]
            shapes[name] = Shape(info.dim, info.level == "frames", info.fingerprint)
    return shapes


def build(recipe: Recipe, shapes: Mapping[str, Shape], label_centre: float = 0.0, label_scale: float = 1.0) -> Network:
    """The network of a recipe with fresh weights; `fit_scalers` or loaded weights bring its scalers."""
    settings = recipe.model
    encoders = {}
    for name, shape in shapes.items():
        reader: FrameReader | TokenEncoder
        if name == "text" and recipe.text.depth != "frozen":
            text = TextEncoder.find(recipe.text)
            network = with_fast_dropout(text.load())
            if not recipe.text.train_embeddings:
                network.embeddings.requires_grad_(False)
            if recipe.text.lora_rank:
                network = adapt(network, recipe.text.lora_rank)
            reader = TokenEncoder(
                network,
                text.width,
                text.num_states,
                recipe.text.top_layers if recipe.text.depth == "top" else None,
                use_bfloat16(recipe.training.precision, compute_device()),
            )
        else:
            standardise = Standardise(torch.zeros(shape.input_dim), torch.ones(shape.input_dim))
            if name in settings.ridge and settings.experts is not None:
                reader = RidgeReader(standardise, shape.input_dim, settings.width)
            else:
                readout = Readout(shape.input_dim) if name in settings.ridge else None
                reader = SequenceEncoder(
                    standardise, shape.input_dim, settings.width, settings.dropout, shape.sequence, readout
                )
        encoders[name] = ModalityEncoder(
            reader, shape.input_dim, settings.width, settings.dropout, settings.noise, settings.noise_start
        )
    return Network(settings, encoders, label_centre, label_scale)


def fit_scalers(model: Network, sources: Mapping[str, Source]) -> None:
    """Fits the standardisation of every modality that is not a trained text encoder; `sources` are those of train."""
    for name, source in sources.items():
        reader = model.encoders[name].reader
        if not isinstance(reader, FrameReader):
            continue
        if isinstance(source, FrozenText):
            values = source.means_ND[torch.from_numpy(source.present)].float()
            mean, deviation = values.mean(0), values.std(0, unbiased=False)
        else:
            assert isinstance(source, FrameSource)
            mean, deviation = _frame_moments(source.features)
        reader.standardise = Standardise(mean, deviation)


def fit_readouts(model: Network, sources: Mapping[str, Source], labels: Floats, settings: ModelSettings) -> None:
    """Fits the readout of the modalities in `settings.ridge`; their scalers are fitted, `sources` are those of train.

    Args:
        labels: (N,) of train; NaN where it may not be used.

    Source: Hoerl and Kennard (1970), on the means of the standardised frames of each utterance.
    """
    for name, ridge in settings.ridge.items():
        if name not in sources:
            continue
        reader = model.encoders[name].reader
        if not isinstance(reader, FrameReader):
            raise RecipeError("model.ridge names text, whose encoder is trained. Set text.depth = 'frozen'.")
        block_D = _block_weights(name, ridge, reader.input_dim)
        x_ND, rows_N = _utterance_means(reader, sources[name], np.isfinite(labels))
        y_N = torch.from_numpy(labels[rows_N].astype(np.float64))
        centre_D = x_ND.mean(0) * block_D
        x_ND = x_ND * block_D - centre_D
        gram_DD = x_ND.T @ x_ND / len(x_ND) + ridge.penalty * torch.eye(x_ND.shape[1], dtype=torch.float64)
        weight_D = torch.linalg.solve(gram_DD, x_ND.T @ (y_N - y_N.mean()) / len(x_ND))
        deviation = (x_ND @ weight_D).std().clamp(min=1e-9)
        intercept = y_N.mean() - centre_D @ weight_D
        readout = reader.readout
        assert readout is not None
        readout.weight_D = (weight_D * block_D / deviation).float()
        readout.slope = (deviation / model.label_scale).float()
        readout.intercept = ((intercept - model.label_centre) / model.label_scale).float()


def _block_weights(name: str, ridge: RidgeSettings, dim: int) -> Tensor:
    """(D,) float64 by what each standardised column is multiplied."""
    if not ridge.weights:
        return torch.ones(dim, dtype=torch.float64)
    columns = sum(number for number, _ in ridge.weights)
    if columns != dim:
        raise RecipeError(f"model.ridge.{name}.weights tell of {columns} columns, and the features have {dim}")
    return torch.cat([torch.full((number,), weight, dtype=torch.float64) for number, weight in ridge.weights])


def _utterance_means(reader: FrameReader, source: Source, wanted: Bools) -> tuple[Tensor, NDArray[np.intp]]:
    """(N, D) float64 mean standardised frames of wanted utterances that have the modality, and (N,) their rows."""
    rows_N = np.flatnonzero(source.present & wanted)
    if isinstance(source, FrozenText):
        return reader.standardise(source.means_ND[torch.from_numpy(rows_N)].float()).double(), rows_N
    assert isinstance(source, FrameSource)
    frames = (source.features[int(row)] for row in rows_N)
    means = [reader.standardise(torch.from_numpy(values[mask].astype(np.float32))).mean(0) for values, mask in frames]
    return torch.stack(means).double(), rows_N


def _frame_moments(features: RaggedFeatures) -> tuple[Tensor, Tensor]:
    """Mean and deviation of every column over all frames that are not masked, in float64."""
    total = np.zeros(features.dim)
    squares = np.zeros(features.dim)
    count = 0
    for row in range(len(features)):
        values, mask = features[row]
        real = values[mask].astype(np.float64)
        total += real.sum(0)
        squares += np.square(real).sum(0)
        count += len(real)
    mean = total / max(1, count)
    deviation = np.sqrt(np.maximum(squares / max(1, count) - mean**2, 0))
    deviation[deviation < 1e-6 * np.abs(mean)] = 0.0  # a constant column, up to rounding
    return torch.tensor(mean, dtype=torch.float32), torch.tensor(deviation, dtype=torch.float32)


def contract_of(
    recipe: Recipe, part: Part, shapes: Mapping[str, Shape], began_with: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """What a checkpoint expects of whatever it is given, and all corpora that it learned from.

    Args:
        began_with: the contract of the run whose weights it began with.
    """
    info = part.corpus.info
    before = [*began_with.get("began_with", ()), began_with["corpus"]] if began_with else []
    return {
        "modalities": {name: asdict(shape) for name, shape in shapes.items()},
        "text_encoder": recipe.text.encoder if "text" in shapes else None,
        "context": recipe.model.context,
        "label": {"min": info.label_min, "max": info.label_max, "meaning": info.label_meaning},
        "corpus": {
            "name": info.name,
            "path": str(part.corpus.path.resolve()),
            "fingerprint": info.fingerprint,
            "licence": info.licence,
        },
        "began_with": [{key: corpus.get(key, "") for key in ("name", "fingerprint", "licence")} for corpus in before],
    }


def check_contract(contract: Mapping[str, Any], part: Part, recipe: Recipe) -> dict[str, Shape]:
    """The shapes of a checkpoint, if a part fits them.

    Raises:
        CheckpointError: a modality is missing from the corpus, or its features have another fingerprint.
    """
    shapes = {name: Shape(**values) for name, values in contract["modalities"].items()}
    for name, shape in shapes.items():
        if name == "text":
            now = TextEncoder.find(recipe.text).fingerprint
        elif name in part.corpus.info.features:
            now = part.corpus.info.features[name].fingerprint
        else:
            raise CheckpointError(f"the checkpoint was trained with {name}, and {part.corpus.path} holds none")
        if now != shape.fingerprint:
            raise CheckpointError(
                f"the checkpoint was trained on {name} features of fingerprint {shape.fingerprint}, and "
                f"{'the encoder ' + recipe.text.encoder if name == 'text' else str(part.corpus.path)} gives {now}. "
                "Extract the features as they were extracted for training, or train again."
            )
    return shapes
