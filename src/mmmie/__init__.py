"""mmmie: multimodal sentiment analysis by mutual information and identity embedding, honestly evaluated."""

__all__: list[str] = []
