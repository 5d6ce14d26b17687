"""From a recipe and what was measured in data to a network, and the contract that says what the network expects."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmmie.corpus.batching import FrameSource, Source
from mmmie.corpus.schema import MODALITIES
from mmmie.corpus.store import Part, RaggedFeatures
from mmmie.errors import CheckpointError, RecipeError
from mmmie.features.text import TextEncoder, use_bfloat16
from mmmie.features.text_sources import FrozenText, text_source
from mmmie.features.text_states import Progress
from mmmie.models.encoders import ModalityEncoder, SequenceEncoder, Standardise, TokenEncoder
from mmmie.models.network import Network
from mmmie.models.systems import find_system, read_options
from mmmie.settings import Recipe


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
        reader: SequenceEncoder | TokenEncoder
        if name == "text" and recipe.text.depth != "frozen":
            text = TextEncoder.find(recipe.text)
            network = text.load()
            if not recipe.text.train_embeddings:
                network.embeddings.requires_grad_(False)
            reader = TokenEncoder(
                network,
                text.width,
                text.num_states,
                recipe.text.top_layers if recipe.text.depth == "top" else None,
                use_bfloat16(recipe.training.precision, torch.device("cuda" if torch.cuda.is_available() else "cpu")),
            )
        else:
            standardise = Standardise(torch.zeros(shape.input_dim), torch.ones(shape.input_dim))
            reader = SequenceEncoder(standardise, shape.input_dim, settings.width, settings.dropout, shape.sequence)
        encoders[name] = ModalityEncoder(
            reader, shape.input_dim, settings.width, settings.dropout, settings.noise, settings.noise_start
        )
    return Network(settings, encoders, label_centre, label_scale)


def fit_scalers(model: Network, sources: Mapping[str, Source]) -> None:
    """Fits the standardisation of every modality that is not a trained text encoder; `sources` are those of train."""
    for name, source in sources.items():
        reader = model.encoders[name].reader
        if not isinstance(reader, SequenceEncoder):
            continue
        if isinstance(source, FrozenText):
            values = source.means_ND[torch.from_numpy(source.present)].float()
            mean, deviation = values.mean(0), values.std(0, unbiased=False)
        else:
            assert isinstance(source, FrameSource)
            mean, deviation = _frame_moments(source.features)
        reader.standardise = Standardise(mean, deviation)


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


def contract_of(recipe: Recipe, part: Part, shapes: Mapping[str, Shape]) -> dict[str, Any]:
    """What a checkpoint expects of whatever it is given."""
    info = part.corpus.info
    return {
        "modalities": {name: asdict(shape) for name, shape in shapes.items()},
        "text_encoder": recipe.text.encoder if "text" in shapes else None,
        "context": recipe.model.context,
        "label": {"min": info.label_min, "max": info.label_max, "meaning": info.label_meaning},
        "corpus": {"name": info.name, "path": str(part.corpus.path.resolve()), "fingerprint": info.fingerprint},
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
