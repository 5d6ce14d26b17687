"""Scores of modalities that were each read alone, joined by what each has proved on recordings it had not seen.

Of a label y with variance v a score s that explains R^2 of it leaves (1 - R^2) v. Taken as independent measurements
of y, several scores are joined by their precisions beyond what is known without them, k - 1 with k = 1 / (1 - R^2):

    y = sum_m k_m slope_m s_m / (1 + sum_m (k_m - 1))

over the modalities present. A modality alone gives slope_m s_m, one that explains nothing has no part, and no modality
can weigh more than it has earned.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from mmmie.settings import ExpertSettings, Modality


class Experts(nn.Module):
    """(B, M) scores around 0 of modalities read alone -> (B,) joint scores.

    In training each expert learns by itself: the plain mean of those present, so that what it has proved does not scale
    its gradient.

    Args:
        settings: by modality; one that is not named counts nothing.
        modalities: the order of the columns.
    """

    gain_M: Tensor
    excess_M: Tensor
    counted_M: Tensor

    def __init__(self, settings: Mapping[Modality, ExpertSettings], modalities: Sequence[str]) -> None:
        super().__init__()
        proved: dict[str, ExpertSettings] = dict(settings.items())
        chosen = [proved.get(name, ExpertSettings()) for name in modalities]
        precision_M = torch.tensor([1 / (1 - expert.explained) for expert in chosen])
        slope_M = torch.tensor([expert.slope for expert in chosen])
        self.register_buffer("counted_M", torch.tensor([expert.explained > 0 for expert in chosen]), persistent=False)
        self.register_buffer("gain_M", precision_M * slope_M, persistent=False)
        self.register_buffer("excess_M", precision_M - 1, persistent=False)

    def forward(self, alone_BM: Tensor, present_BM: Tensor) -> Tensor:
        """(B,) joint scores; 0, which is the centre of the labels, where nothing that counts is present."""
        if self.training:
            real_BM = present_BM.to(alone_BM.dtype)
            return (alone_BM * real_BM).sum(1) / real_BM.sum(1).clamp(min=1)
        real_BM = (present_BM & self.counted_M).to(alone_BM.dtype)
        return (alone_BM * self.gain_M * real_BM).sum(1) / (1 + (self.excess_M * real_BM).sum(1))
