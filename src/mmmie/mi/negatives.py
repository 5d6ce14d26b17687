"""Which pairs of utterances may stand against each other, and that no utterance stands against itself.

Context windows overlap, so a batch gathered from windows holds an utterance several times. That breaks leave-one-out
(12 nats read 4.8) and plants false negatives in InfoNCE: every term wants distinct utterances.

N: utterances; M: distinct ones among them.
"""

from typing import Literal, get_args

import torch
from torch import Tensor

from mmmie.errors import TrainingError, did_you_mean

Negatives = Literal["all", "across_videos", "within_video"]


def first_occurrences(rows_N: Tensor) -> Tensor:
    """Positions of the first occurrence of each utterance, in their order: what a MI term may be given.

    Args:
        rows_N: integer, the utterance of each row.

    Returns:
        positions_M, int64, rising; `rows_N[positions_M]` holds each utterance once.
    """
    _, group_N = torch.unique(rows_N, return_inverse=True)
    num_groups = int(group_N.max()) + 1 if len(rows_N) else 0
    position_N = torch.arange(len(rows_N), device=rows_N.device)
    first = torch.full((num_groups,), len(rows_N), device=rows_N.device)
    return first.scatter_reduce(0, group_N, position_N, "amin").sort().values


def require_distinct(rows_N: Tensor) -> None:
    """Refuses a set of rows in which an utterance appears twice.

    Prefer `first_occurrences` where repeated rows are to be expected, and this where they would be a mistake.

    Args:
        rows_N: integer, the utterance of each row.

    Raises:
        TrainingError: names one repeated utterance, its rows, and how many rows are repeats.
    """
    kept_M = first_occurrences(rows_N)
    repeats = len(rows_N) - len(kept_M)
    if repeats:
        values, counts = torch.unique(rows_N, return_counts=True)
        value = values[counts > 1][0]
        where = (rows_N == value).nonzero().flatten().tolist()
        raise TrainingError(
            f"mutual information wants each utterance once, but {repeats} of {len(rows_N)} rows are repeats: utterance "
            f"{int(value)} is in rows {', '.join(map(str, where))}. Keep the rows of `first_occurrences`."
        )


def negatives_mask(video_N: Tensor, which: Negatives = "all") -> Tensor:
    """Pairs that may serve as negatives; the diagonal, which holds the positives, never does.

    `all` is the plain estimator. In batches from few videos it measures mostly "same video, same speaker".
    `across_videos` draws negatives from independent videos only, which is what the bound assumes. `within_video`
    asks what the pair shares beyond the video (a bound on the information given the video) and has the lowest ceiling.

    Args:
        video_N: integer, the video of each utterance.

    Returns:
        negatives_NN, bool, symmetric; entry (i, j) is True where y_j may stand against x_i. A row without negatives
        carries no information: its utterance is alone in its video, or all are of one video.

    Raises:
        TrainingError: an unknown choice.
    """
    same_NN = video_N[:, None] == video_N[None, :]
    off_diagonal_NN = ~torch.eye(len(video_N), dtype=torch.bool, device=video_N.device)
    if which == "all":
        return off_diagonal_NN
    if which == "across_videos":
        return ~same_NN
    if which == "within_video":
        return same_NN & off_diagonal_NN
    raise TrainingError(f"no choice of negatives '{which}'. {did_you_mean(which, get_args(Negatives))}")


def same_video_share(video_N: Tensor, negatives_NN: Tensor | None = None) -> float:
    """Share of the negatives that are of their positive's own video, in [0, 1]; 0 where there is no negative.

    Log it beside InfoNCE: at a high share the value is about differences within a video, at a low one about videos.

    Args:
        video_N: integer, the video of each utterance.
        negatives_NN: bool, as of `negatives_mask`; None: all pairs off the diagonal.
    """
    mask_NN = negatives_mask(video_N) if negatives_NN is None else negatives_NN
    same_NN = (video_N[:, None] == video_N[None, :]) & mask_NN
    return float(same_NN.sum()) / max(int(mask_NN.sum()), 1)
