"""Lower bounds on I(X; Y) from the scores of a critic, and the values read beside them.

All take scores_NN with scores[i, j] = f(x_i, y_j): the diagonal holds the pairs that belong together. InfoNCE counts
the diagonal among its candidates; all others keep it out of the negatives. Every value is a bound only in expectation
and only on utterances that the critic has not been trained on; on its training utterances a critic tells tales.

N: distinct utterances.
"""

import math

import torch
from torch import Tensor
from torch.nn.functional import softplus

from mmmie.errors import TrainingError
from mmmie.mi.estimate import Estimate, saturated, standard_error


def infonce(scores_NN: Tensor, negatives_NN: Tensor | None = None) -> Estimate:
    """InfoNCE, the mean of both directions: the default of maximisation, of the smallest variance.

        mean_i log(1 + n_i) + f_ii - log(e^f_ii + sum over the n_i negatives j of e^f_ij),   likewise by columns

    Never above mean log(1 + n_i), which is log N with all negatives: a value within one nat of that ceiling is
    flagged, and says "at least". Prefer JSD with `smile` where N is small and the information large.

    Args:
        scores_NN: float, f(x_i, y_j); best for InfoNCE is log p(y|x) up to any function of the candidates' side.
        negatives_NN: bool, entry (i, j) is True where y_j may stand against x_i, and so x_i against y_j; the diagonal
            is not looked at. None: all. A row without negatives counts as the 0 nats that it shows.

    Returns:
        Nats, a lower bound. With one utterance: 0, without gradient.

    Source: van den Oord et al. 2018, equation 4; Poole et al. 2019, equation 10 (with log N). Averaging the
    directions and the ceiling by row are ours; given the video, `within_video` negatives bound I(X; Y | video).
    """
    n = _square(scores_NN)
    masked_NN, ceiling_N = scores_NN, scores_NN.new_full((n,), math.log(n))
    if negatives_NN is not None:
        candidates_NN = negatives_NN | torch.eye(n, dtype=torch.bool, device=scores_NN.device)
        masked_NN = scores_NN.masked_fill(~candidates_NN, -math.inf)
        ceiling_N = (candidates_NN.sum(1).to(scores_NN).log() + candidates_NN.sum(0).to(scores_NN).log()) / 2
    # Relative to the positive, which is then exactly 0 among its candidates: the sums cannot round to below it.
    own_N = scores_NN.diagonal()
    by_row_N, by_column_N = (masked_NN - own_N[:, None]).logsumexp(1), (masked_NN - own_N).logsumexp(0)
    terms_N = ceiling_N - (by_row_N + by_column_N) / 2
    value = terms_N.mean()
    return Estimate(value, "lower", n, float(value.detach()) > float(ceiling_N.mean()) - 1, standard_error(terms_N))


def nwj(scores_NN: Tensor, negatives_NN: Tensor | None = None) -> Estimate:
    """Nguyen-Wainwright-Jordan: mean_i f_ii - mean_(i != j) e^(f_ij - 1), for evaluation only.

    Its terms are means, so an honest interval is easy; its variance grows like e^I. As a trainer it explodes (NaN at
    N = 32 and 10 nats), so none is offered. The best critic is 1 + log p(y|x)/p(y): for a critic that is the log ratio
    itself, use `jsd_value`; this one would read 1/e = .368 too low.

    Args:
        scores_NN: float, f(x_i, y_j).
        negatives_NN: bool, as in `infonce`; pairs are pooled.

    Returns:
        Nats, a lower bound, unbiased whatever the critic.

    Raises:
        TrainingError: no negatives.

    Source: Nguyen, Wainwright & Jordan 2010; Poole et al. 2019 (I_NWJ). The diagonal is not among the negatives:
    left there, as in a released form, the exact critic at N = 128 reads 1.1 of 3 nats and -82 of 5.
    """
    mask_NN = _negatives(scores_NN, negatives_NN)
    # Each row's share of the pooled mean: rows may differ in their number of negatives.
    weight = len(scores_NN) / int(mask_NN.sum())
    terms_N = scores_NN.diagonal() - (scores_NN - 1).masked_fill(~mask_NN, -math.inf).exp().sum(1) * weight
    value = terms_N.mean()
    return Estimate(value, "lower", len(scores_NN), saturated(value, len(scores_NN)), standard_error(terms_N))


def donsker_varadhan(scores_NN: Tensor, negatives_NN: Tensor | None = None) -> Estimate:
    """Donsker-Varadhan: mean_i f_ii - log mean_(i != j) e^f_ij, the usual reading of a critic trained by JSD.

    Blind to a constant added to the critic, and far less variable than `nwj` and `jsd_value` at large information.

    Args:
        scores_NN: float, f(x_i, y_j); best is the log ratio, up to a constant.
        negatives_NN: bool, as in `infonce`; pairs are pooled.

    Returns:
        Nats; called an estimate, because the logarithm of a mean over few pairs is too small on average, so that the
        value of a batch errs upwards although the same formula with the true mean is a lower bound.

    Raises:
        TrainingError: no negatives.

    Source: Donsker & Varadhan 1983; Poole et al. 2019 (why the batch value is no bound).
    """
    return smile(scores_NN, math.inf, negatives_NN)


def smile(scores_NN: Tensor, tau: float = 5.0, negatives_NN: Tensor | None = None) -> Estimate:
    """SMILE: Donsker-Varadhan with the negatives' scores clipped to [-tau, tau]; for large information at small N.

    The closest reading above log N - 1, at the price of being no bound: with tau = 1 it reads 2.25 of 2 and 5.39 of 5.

    Args:
        scores_NN: float, f(x_i, y_j), the log ratio, as of a critic trained by `jsd_loss`.
        tau: nats, > 0; infinity is `donsker_varadhan`.
        negatives_NN: bool, as in `infonce`; pairs are pooled.

    Returns:
        Nats, an estimate that may exceed the truth.

    Raises:
        TrainingError: no negatives.

    Source: Song & Ermon 2020. Only the partition term is clipped, as there.
    """
    mask_NN = _negatives(scores_NN, negatives_NN)
    partition = scores_NN[mask_NN].clamp(-tau, tau).logsumexp(0) - math.log(int(mask_NN.sum()))
    value = scores_NN.diagonal().mean() - partition
    return Estimate(value, "estimate", len(scores_NN), saturated(value, len(scores_NN)))


def jsd_loss(scores_NN: Tensor, negatives_NN: Tensor | None = None) -> Tensor:
    """The Jensen-Shannon trainer: mean softplus(-f) over positives plus mean softplus(f) over negatives.

    Prefer it to InfoNCE where N is small and the information large: it has no ceiling and does not explode. It is a
    classifier's loss, not a mutual information: read the critic by `donsker_varadhan`, `jsd_value` or `smile`.

    Args:
        scores_NN: float, f(x_i, y_j); the minimum is at the log ratio log p(y|x)/p(y).
        negatives_NN: bool, as in `infonce`; pairs are pooled.

    Returns:
        Scalar to be minimised; 2 log 2 for a critic that says 0 everywhere.

    Raises:
        TrainingError: no negatives.

    Source: Nowozin et al. 2016; Hjelm et al. 2019, equation 4.
    """
    mask_NN = _negatives(scores_NN, negatives_NN)
    return softplus(-scores_NN.diagonal()).mean() + softplus(scores_NN[mask_NN]).mean()


def jsd_value(scores_NN: Tensor, negatives_NN: Tensor | None = None) -> Estimate:
    """1 + mean_i f_ii - mean_(i != j) e^f_ij: the lower bound that a critic trained by `jsd_loss` stands for.

    Its variance grows like e^I; above 2 nats prefer `donsker_varadhan`, called an estimate, for reading a log.

    Args:
        scores_NN: float, f(x_i, y_j), the log ratio.
        negatives_NN: bool, as in `infonce`; pairs are pooled.

    Returns:
        Nats, a lower bound, unbiased whatever the critic.

    Raises:
        TrainingError: no negatives.

    Source: Poole et al. 2019: `nwj` at f + 1. Two well-known sources evaluate `nwj` at f, which is 1/e =
    .368 too low at the best critic (independent variables read -.368).
    """
    return nwj(scores_NN + 1, negatives_NN)


def barber_agakov(log_q_N: Tensor, log_marginal_N: Tensor) -> Estimate:
    """Barber-Agakov as a difference: mean log q(y_i|x_i) - mean log r(y_i), the gain of q over knowing no x.

    MMIM's term, and the gate of `vclub`: a q whose held-out value is below 0 is worse than nothing. Prefer InfoNCE for
    maximising, since this one needs a model of Y.

    Args:
        log_q_N: float, nats, log-density of each y_i given x_i, with its -log(variance)/2 (`GaussianConditional`).
        log_marginal_N: float, nats, log-density of each y_i under a marginal r(y).

    Returns:
        Nats. With r = p(y) a lower bound; with a fitted r it is that bound plus KL(p(y) || r), so it is called an
        estimate.

    Source: Barber & Agakov 2003, with H(Y) replaced by the cross-entropy of r, because H(Y) of learned
    features is unknown. MMIM's released form drops the log-variance from log q; its best variance is infinite.
    """
    terms_N = log_q_N - log_marginal_N
    return Estimate(terms_N.mean(), "estimate", len(terms_N), False, standard_error(terms_N))


def _square(scores_NN: Tensor) -> int:
    if scores_NN.ndim != 2 or scores_NN.shape[0] != scores_NN.shape[1] or not len(scores_NN):
        raise TrainingError(
            f"scores of N utterances against themselves must have shape (N, N) with N >= 1, but came "
            f"{tuple(scores_NN.shape)}. Give the critic the same utterances, in the same order, on both sides."
        )
    return len(scores_NN)


def _negatives(scores_NN: Tensor, negatives_NN: Tensor | None) -> Tensor:
    n = _square(scores_NN)
    mask_NN = ~torch.eye(n, dtype=torch.bool, device=scores_NN.device)
    if negatives_NN is not None:
        mask_NN = mask_NN & negatives_NN
    if not mask_NN.any():
        raise TrainingError(
            f"none of {n} utterances has a negative to stand against. Leave the term out for this batch, raise "
            "training.batch_utterances, or choose other negatives (maximise.negatives)."
        )
    return mask_NN
