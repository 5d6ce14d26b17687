"""Systems: fusion networks that read one and the same window, by name; adding one takes a file and a line here.

A system is what stands between the tokens of a window (each modality of the target and its neighbours, encoded and
told their identities) and a score. Encoders, windows, missing modalities, training and checkpoints are the same for
all. Shapes: B targets, M modalities, U = 2k + 1 places of a window, D width.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor, nn

from mmmie.errors import RecipeError, did_you_mean
from mmmie.settings import MODALITIES, ModelSettings

SYSTEMS = {
    "mmmie": "mmmie.models.fusion:Fusion",
    "text": "mmmie.models.baselines.text_only:TextOnly",
    "early": "mmmie.models.baselines.early_fusion:EarlyFusion",
    "late": "mmmie.models.baselines.late_fusion:LateFusion",
    "tfn": "mmmie.models.baselines.tfn:TFN",
    "lmf": "mmmie.models.baselines.lmf:LMF",
    "mult": "mmmie.models.baselines.mult:MulT",
    "misa": "mmmie.models.baselines.misa:MISA",
    "mag": "mmmie.models.baselines.mag:MAG",
    "self-mm": "mmmie.models.baselines.self_mm:SelfMM",
    "mmim": "mmmie.models.baselines.mmim:MMIM",
    "bc-lstm": "mmmie.models.baselines.bc_lstm:BcLSTM",
    "almt": "mmmie.models.baselines.almt:ALMT",
    "ithp": "mmmie.models.baselines.ithp:ITHP",
}
"""`model.system` -> where it lives."""


@dataclass(frozen=True)
class Window:
    """What every system reads."""

    tokens_BMUD: Tensor
    """The target is the middle place. Tokens that are not there hold anything: the mask tells."""
    mask_BMU: Tensor
    """(B, M, U) bool: True where there is a token. Others must have no influence."""


@dataclass(frozen=True)
class Reading:
    """What a system says of a batch."""

    score_B: Tensor
    """In units of the labels' mean absolute deviation around their median."""
    kept: Mapping[str, Tensor] = field(default_factory=dict)
    """What its own losses need of the pass."""


@dataclass(frozen=True)
class Loss:
    """One extra summand of the objective."""

    name: str
    value: Tensor
    """Scalar."""
    weight: float


class Options(BaseModel):
    """What a system lets a recipe choose, under `model.options`. Frozen, and closed to unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class System(nn.Module):
    """A fusion network.

    Args:
        settings: `width`, `heads`, `dropout`, `context`.
        modalities: their names, in the order of M.
        options: its own.
    """

    Options: ClassVar[type[Options]] = Options
    reads: ClassVar[tuple[str, ...]] = MODALITIES
    """Modalities that it makes use of; others are not even encoded."""

    def forward(self, window: Window) -> Reading:
        raise NotImplementedError

    def make_losses(self, num_utterances: int) -> "SystemLosses | None":  # noqa: ARG002
        """What is trained beside the task; None: nothing.

        Args:
            num_utterances: rows of the train part, for losses that remember something of each.
        """
        return None


class SystemLosses(nn.Module):
    """The extra losses of a system. Its parameters are trained, its buffers kept for `--resume`; neither is needed to
    predict."""

    def forward(self, reading: Reading, label_B: Tensor, target_B: Tensor) -> Sequence[Loss]:
        """The extra losses of one batch.

        Args:
            reading: of the batch.
            label_B: (B,) in the units of `Reading.score_B`.
            target_B: (B,) int64 rows of the train part.
        """
        raise NotImplementedError


def find_system(name: str) -> type[System]:
    """The class of a system.

    Raises:
        RecipeError: there is none of this name.
    """
    if name not in SYSTEMS:
        raise RecipeError(f"model.system: there is no '{name}'. {did_you_mean(name, SYSTEMS)}")
    module, _, attribute = SYSTEMS[name].partition(":")
    return getattr(import_module(module), attribute)  # type: ignore[no-any-return]


def read_options(settings: ModelSettings) -> Any:
    """The checked options of a recipe's system.

    Raises:
        RecipeError: no such system, an option that it does not have ("did you mean"), or a value out of its range.
    """
    kind = find_system(settings.system).Options
    try:
        return kind(**settings.options)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            known = kind.model_fields
            hint = did_you_mean(key, known) if known else "It has none."
            raise RecipeError(f"model.options: {settings.system} has no option '{key}'. {hint}") from None
        raise RecipeError(
            f"model.options.{key} of {settings.system}: {first['msg']} (came: {first['input']!r})"
        ) from None


def make_system(settings: ModelSettings, modalities: Sequence[str]) -> System:
    """The fusion network of a recipe with fresh weights.

    Raises:
        RecipeError: as `read_options`, or the system cannot read these modalities.
    """
    kind = find_system(settings.system)
    return kind(settings, tuple(modalities), read_options(settings))
