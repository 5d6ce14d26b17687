"""Text only: what the words alone give, and what every multimodal system has to beat."""

from typing import Any, ClassVar

from mmmie.errors import RecipeError
from mmmie.models.baselines.early_fusion import EarlyFusion
from mmmie.settings import ModelSettings


class TextOnly(EarlyFusion):
    """Early fusion of one modality; the others are not even encoded."""

    reads: ClassVar[tuple[str, ...]] = ("text",)

    def __init__(self, settings: ModelSettings, modalities: tuple[str, ...], options: Any) -> None:
        if modalities != ("text",):
            raise RecipeError(f"the system 'text' reads text, and the corpus gives {', '.join(modalities) or 'none'}")
        super().__init__(settings, modalities, options)
