"""The sandwich: a measured interval [L, U] around I(X; F) for an encoder whose noise is known.

With F = m(X) + s eps the density p(f|x) is exact, so nothing is learned and nothing can be gamed. It is about the
sampled F; for the mean alone I(X; m(X)) is unbounded, so measure what the head reads.

N: distinct utterances; D: width of the representation; R: rows of a chunk.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from mmmie.errors import TrainingError
from mmmie.mi.estimate import Estimate, Side, saturated, standard_error

CHUNK_ROWS = 1024
"""Rows of the N x N densities held at a time: 1024 x N x 8 bytes, 134 MB for the train split of MOSEI."""


@dataclass(frozen=True)
class Sandwich:
    """Both sides of I(X; F), utterance by utterance, so that callers can resample by video."""

    lower_N: Tensor
    """Float, nats: log p(f_i|x_i) - log 1/N sum_j p(f_i|x_j)."""
    upper_N: Tensor
    """Float, nats: the same with j != i and 1/(N-1)."""

    @property
    def lower(self) -> Estimate:
        """Nats, a lower bound, never above log N. Over a whole corpus it is the MI of F and the utterance's index."""
        return _mean(self.lower_N, "lower")

    @property
    def upper(self) -> Estimate:
        """Nats, an upper bound; above log N - 1 it is a bound still, but of no use."""
        return _mean(self.upper_N, "upper")


def sandwich(sample_ND: Tensor, mean_ND: Tensor, noise_ND: Tensor, chunk_rows: int = CHUNK_ROWS) -> Sandwich:
    """L <= I(X; F) <= U over N distinct utterances, from the known noise of the encoder.

    The measurement to report. The gap is about (e^(2I) - 1)/N: under .1 for 2 nats at N = 512, 3 nats at N = 2048.
    Above log N - 1, L says "at least" and U is useless: then take `vib_learned_marginal` of a fitted marginal for U.

    Args:
        sample_ND: float, f = mean + noise * eps, one draw per utterance.
        mean_ND: float, m(x).
        noise_ND: float > 0, standard deviation; also of shape (D,).
        chunk_rows: densities are held for this many utterances at a time; it changes memory, not the value.

    Returns:
        Terms in nats, in the samples' dtype; densities are computed in float64, because |f|^2/s^2 - 2 f m/s^2 +
        |m|^2/s^2 cancels where s is small, and that expansion is what keeps memory at N x N instead of N x N x D.

    Raises:
        TrainingError: fewer than two utterances, noise that is not positive, or a row that appears twice (an utterance
            in several windows reads 4.8 nats where 12 are true). Two encodings of one utterance with fresh noise
            differ and cannot be seen here: pick rows by `first_occurrences`.

    Source: Poole et al. 2019, structured bounds with tractable encoders. The sum runs over x for a fixed
    f: over the wrong axis it reads -2.5 nats at a truth of .5.
    """
    n = len(sample_ND)
    _check(sample_ND, mean_ND, noise_ND)
    origin_D = mean_ND.detach().double().mean(0)
    sample_64, mean_64, precision_64 = (
        sample_ND.double() - origin_D,
        mean_ND.double() - origin_D,
        noise_ND.double() ** -2,
    )
    # log p(f_i|x_j) without what is the same for every j and cancels: -D/2 log 2 pi, and |f|^2/s^2 where s is shared.
    offset_N = 0.5 * (precision_64.log() - mean_64.square() * precision_64).sum(1)
    weighted_mean_ND = mean_64 * precision_64
    lower, upper = [], []
    for start in range(0, n, chunk_rows):
        rows = torch.arange(start, min(start + chunk_rows, n), device=sample_ND.device)
        sample_RD = sample_64[rows]
        log_density_RN = sample_RD @ weighted_mean_ND.T + offset_N
        if noise_ND.ndim > 1:
            log_density_RN = log_density_RN - 0.5 * sample_RD.square() @ precision_64.T
        own_R1 = log_density_RN.gather(1, rows[:, None])
        others_R = log_density_RN.scatter(1, rows[:, None], -math.inf).logsumexp(1)
        own_R = own_R1.squeeze(1)
        lower.append(own_R - torch.logaddexp(own_R, others_R) + math.log(n))
        upper.append(own_R - others_R + math.log(n - 1))
    return Sandwich(torch.cat(lower).to(sample_ND.dtype), torch.cat(upper).to(sample_ND.dtype))


def leave_one_out(sample_ND: Tensor, mean_ND: Tensor, noise_ND: Tensor) -> Estimate:
    """U of the sandwich, the default of minimisation: its value is the measurement, and no q has to be learned.

    Prefer `vib_learned_marginal` for batches under 16. At N = 32 it reads high (3.7 for 3.0 nats), so a rate target
    errs towards more compression than was asked.

    Args:
        sample_ND: float, f = mean + noise * eps; the gradient reaches mean and noise, through the sample too.
        mean_ND: float, m(x).
        noise_ND: float > 0, standard deviation; also of shape (D,).

    Returns:
        Nats, an upper bound, only because the noise is known: with a learned q it is below the truth for hundreds of
        steps.

    Raises:
        TrainingError: as `sandwich`.

    Source: Poole et al. 2019, leave-one-out bound, here with the known p(f|x).
    """
    return sandwich(sample_ND, mean_ND, noise_ND).upper


def _mean(terms_N: Tensor, side: Side) -> Estimate:
    value = terms_N.mean()
    n = len(terms_N)
    return Estimate(value, side, n, saturated(value, n), standard_error(terms_N))


def _check(sample_ND: Tensor, mean_ND: Tensor, noise_ND: Tensor) -> None:
    n = len(sample_ND)
    if n < 2:
        raise TrainingError(
            f"the sandwich sets each utterance against the others and needs at least 2, but came {n}. "
            "Leave the term out for this batch, or raise training.batch_utterances."
        )
    if sample_ND.shape != mean_ND.shape:
        raise TrainingError(
            f"sample and mean must be of one shape, but came {tuple(sample_ND.shape)} and {tuple(mean_ND.shape)}. "
            "Give both for the same utterances."
        )
    if bool((noise_ND <= 0).any()):
        row, column = (noise_ND.expand_as(mean_ND) <= 0).nonzero()[0].tolist()
        raise TrainingError(
            f"the noise of an encoder must be above 0, but is {float(noise_ND[row, column]):g} in row {row}, dimension "
            f"{column}: without noise I(X; F) is infinite. Set model.noise = 'learned' or 'fixed'."
        )
    # Means alone may coincide (two utterances of the same words); a draw of continuous noise does not come twice.
    if len(torch.unique(sample_ND[:, 0].detach())) == n:
        return  # the common case; to sort whole rows is a thirtieth of a training step
    draws = torch.cat([sample_ND, mean_ND], 1).detach()
    distinct, member_N, count = torch.unique(draws, dim=0, return_inverse=True, return_counts=True)
    if len(distinct) < n:
        first = (count[member_N] > 1).nonzero()[0]
        rows = (member_N == member_N[first]).nonzero().flatten().tolist()
        raise TrainingError(
            f"the sandwich wants each utterance once, but {n - len(distinct)} of {n} rows are repeats: rows "
            f"{', '.join(map(str, rows[:5]))} are the same. Keep the rows of `first_occurrences`."
        )
