"""ALMT: text asks audio and vision what it lacks, and reads the answer."""

import torch
from pydantic import Field
from torch import Tensor, nn

from mmmie.errors import RecipeError
from mmmie.models.layers import transformer_layer
from mmmie.models.systems import Options, Reading, System, Window
from mmmie.settings import ModelSettings


class ALMTOptions(Options):
    depth: int = Field(3, ge=1)
    """Of the hyper-modality learning: its queries are the text tokens, and then the output of each of `depth - 1`
    layers over them."""


class ALMT(System):
    """Adaptive language-guided multimodal transformer.

    Learned tokens, the hyper-modality, gather by attention what queries from text find in audio and vision, at several
    depths of the text; text then reads the hyper-modality by cross-attention. It works on the window's places, so that
    it needs no context reader.

    Source: Zhang et al. 2023 (EMNLP), and its released code. Deviations: tokens are the utterances of the window, each
    encoded into one vector, and not the eight into which the source's own encoders press the frames of one utterance;
    place 0 is a learned token, where the source puts its class token; read out are place 0 and the target's.

    Where text is missing its place is hidden, and place 0 asks for it; with neither audio nor vision attention falls on
    a zero. A corpus without text is refused.
    """

    Options = ALMTOptions

    def __init__(self, settings: ModelSettings, modalities: tuple[str, ...], options: ALMTOptions) -> None:
        super().__init__()
        if "text" not in modalities:
            raise RecipeError(
                f"the system 'almt' is guided by text, and the corpus gives {', '.join(modalities) or 'none'}. "
                "Choose another model.system."
            )
        width, places = settings.width, 2 * settings.context + 2
        self.text = modalities.index("text")
        self.others = tuple(m for m in range(len(modalities)) if m != self.text)
        self.first_D = nn.Parameter(torch.randn(width) * 0.1)
        self.hyper_PD = nn.Parameter(torch.randn(places, width) * 0.1)
        self.layers = nn.ModuleList(
            transformer_layer(width, settings.heads, settings.dropout) for _ in range(options.depth - 1)
        )
        self.ask = nn.ModuleList(HyperLayer(settings, len(self.others)) for _ in range(options.depth))
        self.read = nn.ModuleList(CrossLayer(settings) for _ in range(settings.fusion_layers))
        self.head = nn.Sequential(nn.LayerNorm(2 * width), nn.Dropout(settings.dropout), nn.Linear(2 * width, 1))

    def forward(self, window: Window) -> Reading:
        tokens_BMUD, mask_BMU = window.tokens_BMUD, window.mask_BMU
        B, _, U, D = tokens_BMUD.shape
        # P: place 0 and the U of the window.
        text_BPD = torch.cat([self.first_D.expand(B, 1, D), tokens_BMUD[:, self.text]], dim=1)
        hidden_BP = nn.functional.pad(~mask_BMU[:, self.text], (1, 0), value=False)
        sources = [(tokens_BMUD[:, m], ~mask_BMU[:, m]) for m in self.others]
        hyper_BPD = self.hyper_PD.expand(B, -1, -1)
        for depth, ask in enumerate(self.ask):
            if depth:
                text_BPD = self.layers[depth - 1](text_BPD, src_key_padding_mask=hidden_BP)
            hyper_BPD = ask(hyper_BPD, text_BPD, sources)
        for read in self.read:
            text_BPD = read(text_BPD, hyper_BPD, hidden_BP)
        middle = U // 2
        target_BD = torch.where(mask_BMU[:, self.text, middle, None], text_BPD[:, 1 + middle], 0.0)
        return Reading(self.head(torch.cat([text_BPD[:, 0], target_BD], dim=-1)).squeeze(-1))


class HyperLayer(nn.Module):
    """One step of the hyper-modality: it takes up what text's queries find in each other modality."""

    def __init__(self, settings: ModelSettings, num_sources: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(settings.width) if num_sources else None
        self.attend = nn.ModuleList(
            nn.MultiheadAttention(
                settings.width, settings.heads, min(settings.dropout, 0.1), add_zero_attn=True, batch_first=True
            )
            for _ in range(num_sources)
        )

    def forward(self, hyper_BPD: Tensor, text_BPD: Tensor, sources: list[tuple[Tensor, Tensor]]) -> Tensor:
        """The hyper-modality (B, P, D), from text at its depth and by source tokens (B, U, D) and what is hidden."""
        if self.norm is None:
            return hyper_BPD
        query_BPD = self.norm(text_BPD)
        for attend, (tokens_BUD, hidden_BU) in zip(self.attend, sources, strict=True):
            found_BPD, _ = attend(query_BPD, tokens_BUD, tokens_BUD, hidden_BU, need_weights=False)
            hyper_BPD = hyper_BPD + found_BPD
        return hyper_BPD


class CrossLayer(nn.Module):
    """A Transformer layer whose queries are text and whose keys and values are the hyper-modality."""

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__()
        width, dropout = settings.width, min(settings.dropout, 0.1)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.attend = nn.MultiheadAttention(width, settings.heads, dropout, batch_first=True)
        self.feed = nn.Sequential(
            nn.Linear(width, 2 * width),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(2 * width, width),
            nn.Dropout(dropout),
        )

    def forward(self, text_BPD: Tensor, hyper_BPD: Tensor, hidden_BP: Tensor) -> Tensor:
        """Text (B, P, D) that has read the hyper-modality, at the places that are not hidden."""
        query, key, between = self.norms
        keys_BPD = key(hyper_BPD)
        found_BPD, _ = self.attend(query(text_BPD), keys_BPD, keys_BPD, hidden_BP, need_weights=False)
        text_BPD = text_BPD + found_BPD
        return text_BPD + self.feed(between(text_BPD))  # type: ignore[no-any-return]
