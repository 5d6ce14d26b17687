"""Upper bounds on I(X; F) between input and representation, other than the sandwich, and vCLUB, which is none.

For training prefer `sandwich.leave_one_out`: it is measured and needs no second network. These are its alternatives.

N: distinct utterances; D: width of the representation F; X: width of the input.
"""

import torch
from torch import Tensor, nn
from torch.func import functional_call

from mmmie.errors import TrainingError
from mmmie.mi.conditional import GaussianConditional
from mmmie.mi.estimate import Estimate, saturated, standard_error


def vclub(q: GaussianConditional, x_NX: Tensor, y_ND: Tensor) -> Estimate:
    """vCLUB: mean_i log q(y_i|x_i) - mean_(i != j) log q(y_j|x_i), with a learned q. A regulariser.

    No bound with a learned q: below the truth while q is poor. With a perfect q it is I plus the lautum information,
    never tight (d rho^2 / (1 - rho^2) for Gaussians). On a deterministic encoder, where I(X; F) is infinite, it shrinks
    F to one direction and hides from its own q: read `mean_share` and `trace_covariance` beside it, and use it only
    while the held-out `barber_agakov` of q is above 0. Prefer `sandwich.leave_one_out` with a stochastic encoder.

    Args:
        q: trained elsewhere, by its `loss`; the gradient of this value does not reach it.
        x_NX: float, the inputs, constant with respect to the encoder.
        y_ND: float, the representations, which the gradient reaches.

    Returns:
        Nats in unit only; side `regulariser`.

    Raises:
        TrainingError: fewer than two utterances.

    Source: Cheng et al. 2020, section 3.2. Their mean over all pairs includes i = j and is (N - 1)/N of this one;
    their sampled variant is noisier and leaves fixed points among its negatives.
    """
    frozen = {name: parameter.detach() for name, parameter in q.named_parameters()}
    mean_ND, log_variance_ND = functional_call(q, frozen, (x_NX,))
    terms_N = _contrast(y_ND, mean_ND, log_variance_ND)
    value = terms_N.mean()
    return Estimate(value, "regulariser", len(terms_N), saturated(value, len(terms_N)), standard_error(terms_N))


def known_noise_club(sample_ND: Tensor, mean_ND: Tensor, noise_ND: Tensor) -> Estimate:
    """CLUB with the known conditional p(f|x) = N(mean, noise^2): a true upper bound, and a loose one.

    I + lautum information: 4.1 to 5.2 nats for a truth of 2, so never the reported value; `sandwich` is tighter.

    Args:
        sample_ND: float, f = mean + noise * eps.
        mean_ND: float, m(x).
        noise_ND: float > 0, standard deviation; also of shape (D,).

    Returns:
        Nats, an upper bound; d (e^(2I/d) - 1) in the linear Gaussian case.

    Raises:
        TrainingError: fewer than two utterances.

    Source: Cheng et al. 2020, theorem 3.1.
    """
    terms_N = _contrast(sample_ND, mean_ND, 2 * noise_ND.log())
    value = terms_N.mean()
    return Estimate(value, "upper", len(terms_N), saturated(value, len(terms_N)), standard_error(terms_N))


class LearnedMarginal(nn.Module):
    """r(f) = N(mean, diagonal variance), the same for all utterances, learned with the encoder or fitted to it."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.mean_D = nn.Parameter(torch.zeros(dim))
        self.log_variance_D = nn.Parameter(torch.zeros(dim))

    @classmethod
    @torch.no_grad()
    def fitted(cls, mean_ND: Tensor, noise_ND: Tensor) -> "LearnedMarginal":
        """The diagonal Gaussian nearest to the mixture of all p(f|x_i), by its moments.

        Fit on train and evaluate on valid: where leave-one-out is saturated, the smaller of the two counts.
        """
        marginal = cls(mean_ND.shape[1]).to(mean_ND)
        marginal.mean_D.copy_(mean_ND.mean(0))
        variance_D = mean_ND.var(0, correction=0) + noise_ND.expand_as(mean_ND).square().mean(0)
        marginal.log_variance_D.copy_(variance_D.log())
        return marginal


def vib_learned_marginal(mean_ND: Tensor, noise_ND: Tensor, marginal: LearnedMarginal) -> Estimate:
    """VIB: mean_i KL(p(f|x_i) || r(f)) with a learned r, in closed form.

    Prefer it to leave-one-out for batches of 8 to 16 and for information far above log N: it couples no utterances.
    Loose by up to two once F is concentrated, so it is never the reported value, and under a rate target it asks for
    more compression than it says.

    Args:
        mean_ND: float, m(x).
        noise_ND: float > 0, standard deviation; also of shape (D,).
        marginal: learned by this same value: the gradient reaches it, the mean and the noise.

    Returns:
        Nats, an upper bound whatever r; never below I.

    Source: Alemi et al. 2017, equation 17, with r learned rather than N(0, I).
    """
    return _vib(mean_ND, noise_ND, marginal.mean_D, marginal.log_variance_D)


def vib_standard_normal(mean_ND: Tensor, noise_ND: Tensor) -> Estimate:
    """VIB to N(0, I): the textbook formula, for comparison only and not offered for training.

    Behind a LayerNorm |m|^2 = d for every utterance, so with scalar noise s the value is the constant
    d/2 (s^2 - log s^2): blind to the input, and never below d/2 nats (64 at d = 128) where the truth is 1.3. A rate
    target below that floor winds lambda up until the encoder collapses. Train by `vib_learned_marginal`.

    Args:
        mean_ND: float, m(x).
        noise_ND: float > 0, standard deviation; also of shape (D,).

    Returns:
        Nats, an upper bound.

    Source: Alemi et al. 2017, equation 17.
    """
    zero = mean_ND.new_zeros(())
    return _vib(mean_ND, noise_ND, zero, zero)


def _vib(mean_ND: Tensor, noise_ND: Tensor, marginal_mean: Tensor, marginal_log_variance: Tensor) -> Estimate:
    log_ratio_ND = 2 * noise_ND.expand_as(mean_ND).log() - marginal_log_variance
    square_ND = (mean_ND - marginal_mean).square() * torch.exp(-marginal_log_variance)
    terms_N = 0.5 * (square_ND + log_ratio_ND.exp() - 1 - log_ratio_ND).sum(1)
    # No pair of utterances is compared, so log N is no limit here.
    return Estimate(terms_N.mean(), "upper", len(terms_N), False, standard_error(terms_N))


def _contrast(y_ND: Tensor, mean_ND: Tensor, log_variance_ND: Tensor) -> Tensor:
    n = len(y_ND)
    if n < 2:
        raise TrainingError(
            f"CLUB sets each utterance against the others and needs at least 2, but came {n}. "
            "Leave the term out for this batch, or raise training.batch_utterances."
        )
    # The mean over j of (y_j - mean_i)^2 is the variance of y plus (mean y - mean_i)^2: exact, and N D instead of N^2.
    # The log-variance of q(.|x_i) is the same in both terms and cancels; N/(N-1) takes i = j out of the mean.
    spread_ND = y_ND.var(0, correction=0) + (y_ND.mean(0) - mean_ND).square()
    excess_ND = (spread_ND - (y_ND - mean_ND).square()) * n / (n - 1)
    return 0.5 * (excess_ND * torch.exp(-log_variance_ND)).sum(1)
