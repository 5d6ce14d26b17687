"""MAG: the words are shifted by what voice and face do at the same time."""

import torch
from pydantic import Field
from torch import Tensor, nn

from mmmie.errors import RecipeError
from mmmie.models.context import ContextReader
from mmmie.models.systems import Options, Reading, System, Window
from mmmie.settings import ModelSettings


class MAGOptions(Options):
    beta: float = Field(1.0, gt=0)
    """The shift is at most this many times as long as the text vector."""


class MAG(System):
    """Multimodal adaptation gate.

    Source: Rahman, Hasan, Lee, Zadeh, Mao, Morency and Hoque 2020, equations 3 to 6. Deviations: the gate stands on the
    utterances of the window and before the context is read, where the paper's stands on words and between two layers
    of BERT; beta is 1.

    An utterance without voice or face is not shifted by it. One without text is not there: nothing can be shifted.
    """

    Options = MAGOptions

    def __init__(self, settings: ModelSettings, modalities: tuple[str, ...], options: MAGOptions) -> None:
        if modalities[:1] != ("text",):
            raise RecipeError(
                f"the system 'mag' shifts text, and is given {', '.join(modalities) or 'nothing'} alone. Add text to "
                "model.modalities, or choose another system."
            )
        super().__init__()
        width, others = settings.width, len(modalities) - 1
        self.beta = options.beta
        self.gates = nn.ModuleList(nn.Linear(2 * width, width) for _ in range(others))
        self.shifts = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in range(others))
        self.bias_D = nn.Parameter(torch.zeros(width)) if others else None
        self.after = nn.Sequential(nn.LayerNorm(width), nn.Dropout(settings.dropout))
        self.context = ContextReader(settings, 1)
        self.head = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Dropout(settings.dropout), nn.Linear(width, 1))

    def forward(self, window: Window) -> Reading:
        text_BUD, mask_BU = window.tokens_BMUD[:, 0], window.mask_BMU[:, 0]
        others_BMUD = torch.where(window.mask_BMU[:, 1:, :, None], window.tokens_BMUD[:, 1:], 0.0)
        shifted_BUD = self.after(text_BUD + self.shift(text_BUD, others_BMUD, window.mask_BMU[:, 1:]))
        vectors_BMD, _ = self.context(shifted_BUD[:, None], mask_BU[:, None])
        return Reading(self.head(vectors_BMD[:, 0]).squeeze(-1))

    def shift(self, text_BUD: Tensor, others_BMUD: Tensor, mask_BMU: Tensor) -> Tensor:
        """(B, U, D) the displacement of the text, no longer than beta times the text vector itself."""
        shift = torch.zeros_like(text_BUD)
        for m, (gate, own) in enumerate(zip(self.gates, self.shifts, strict=True)):
            opened = torch.relu(gate(torch.cat([text_BUD, others_BMUD[:, m]], dim=-1)))
            shift = shift + torch.where(mask_BMU[:, m, :, None], opened * own(others_BMUD[:, m]), 0.0)
        if self.bias_D is not None:
            shift = torch.where(mask_BMU.any(1)[..., None], shift + self.bias_D, 0.0)
        length = shift.square().sum(-1, keepdim=True).clamp(min=1e-12).sqrt()
        return shift * (self.beta * text_BUD.norm(dim=-1, keepdim=True) / length).clamp(max=1.0)  # type: ignore[no-any-return]
