import math

import pytest
import torch
from torch.distributions import Normal, kl_divergence
from torch.nn.functional import layer_norm

from mmmie.errors import TrainingError
from mmmie.mi import GaussianConditional, LearnedMarginal, known_noise_club, vclub, vib_learned_marginal
from mmmie.mi.gaussian import gaussian_club, known_noise_club_mi
from mmmie.mi.upper_bounds import vib_standard_normal


class Conditional(torch.nn.Module):
    """q(y|x) = N(rho x, variance)."""

    def __init__(self, rho, variance):
        super().__init__()
        self.rho = torch.nn.Parameter(torch.tensor(float(rho), dtype=torch.float64))
        self.log_variance = torch.nn.Parameter(torch.tensor(math.log(variance), dtype=torch.float64))

    def forward(self, x_NX):
        return self.rho * x_NX, self.log_variance.expand_as(x_NX)


def exact(drawn):
    return Conditional(drawn.rho, 1 - drawn.rho**2)


def pairwise(drawn):
    """The N x N densities of the exact q, at [i, j] = log q(y_j|x_i)."""
    return drawn.log_conditional


@pytest.mark.parametrize(("mi_nats", "dim"), [(0.5, 20), (1.0, 20), (2.0, 20), (5.0, 20), (10.0, 8)])
def test_vclub_with_an_exact_q_is_information_plus_lautum(mi_nats, dim, pairs):
    values = [float(vclub(exact(d), d.x_ND, d.y_ND).value) for d in (pairs(mi_nats, dim, 2000, s) for s in range(10))]
    expected = gaussian_club(pairs(mi_nats, dim, 2).rho, dim)
    assert sum(values) / 10 == pytest.approx(expected, rel=0.03)
    assert expected > 1.99 * mi_nats


def test_vclub_is_the_mean_over_the_off_diagonal(pairs):
    drawn = pairs(2.0, 6, 40)
    density_NN = pairwise(drawn)
    others = density_NN[~torch.eye(40, dtype=torch.bool)]
    ours = float(vclub(exact(drawn), drawn.x_ND, drawn.y_ND).value)
    assert ours == pytest.approx(float(density_NN.diagonal().mean() - others.mean()))
    # The paper's mean over all pairs includes i = j.
    assert float(density_NN.diagonal().mean() - density_NN.mean()) == pytest.approx(ours * 39 / 40)


def test_vclub_with_variances_that_depend_on_the_input(pairs):
    torch.manual_seed(0)
    drawn = pairs(1.0, 3, 12)
    q = GaussianConditional(3, 3).double()
    torch.nn.init.normal_(q.heads.weight, std=0.3)
    mean_ND, log_variance_ND = q(drawn.x_ND)
    density_NN = Normal(mean_ND[:, None], (log_variance_ND / 2).exp()[:, None]).log_prob(drawn.y_ND[None]).sum(-1)
    expected = density_NN.diagonal().mean() - density_NN[~torch.eye(12, dtype=torch.bool)].mean()
    assert float(vclub(q, drawn.x_ND, drawn.y_ND).value) == pytest.approx(float(expected.detach()))


def test_negatives_are_representations_not_means(pairs):
    """The slip in MMIM's CLUB: mu_j in the place of y_j reads d/2 too low with an exact q."""
    drawn = pairs(1.0, 20, 2000)
    mean_ND, variance = drawn.rho * drawn.x_ND, 1 - drawn.rho**2
    slipped_NN = -(torch.cdist(mean_ND, mean_ND) ** 2) / (2 * variance)
    own_N = -(drawn.y_ND - mean_ND).square().sum(1) / (2 * variance)
    slipped = float(own_N.mean() - slipped_NN.mean())
    ours = float(vclub(exact(drawn), drawn.x_ND, drawn.y_ND).value)
    assert ours - slipped == pytest.approx(20 / 2, rel=0.03)
    assert ours == pytest.approx(gaussian_club(drawn.rho, 20), rel=0.1)


def test_a_tanh_log_variance_would_cap_the_value(pairs):
    """Released CLUB: variance in [1/e, e]. At 10 nats in 8 dimensions it reads 20 where the closed form is 89.5."""
    drawn = pairs(10.0, 8, 4000)
    capped = Conditional(drawn.rho, math.exp(-1))
    assert gaussian_club(drawn.rho, 8) == pytest.approx(89.5, abs=0.05)
    assert float(vclub(capped, drawn.x_ND, drawn.y_ND).value) == pytest.approx(20.0, rel=0.03)
    assert float(vclub(exact(drawn), drawn.x_ND, drawn.y_ND).value) == pytest.approx(89.5, rel=0.06)


def test_vclub_with_a_poor_q_is_below_the_truth_and_called_a_regulariser(pairs):
    drawn = pairs(2.0, 8, 512)
    estimate = vclub(GaussianConditional(8, 8).double(), drawn.x_ND, drawn.y_ND)
    assert float(estimate.value.detach()) == pytest.approx(0, abs=1e-9)
    assert estimate.side == "regulariser"


def test_vclub_reaches_the_representation_and_neither_q_nor_the_input():
    torch.manual_seed(0)
    q = GaussianConditional(3, 5)
    torch.nn.init.normal_(q.heads.weight, std=0.3)
    y_ND = torch.randn(8, 5, requires_grad=True)
    vclub(q, torch.randn(8, 3), y_ND).value.backward()
    assert y_ND.grad is not None
    assert y_ND.grad.abs().sum() > 0
    assert all(p.grad is None and p.requires_grad for p in q.parameters())
    assert int(q.num_observed) == 0


def test_gradient_of_vclub_is_that_of_its_value(pairs):
    drawn = pairs(1.0, 3, 5)
    q = exact(drawn)
    assert torch.autograd.gradcheck(lambda y: vclub(q, drawn.x_ND, y).value, drawn.y_ND.requires_grad_())


@pytest.mark.parametrize(("mi_nats", "dim"), [(0.5, 8), (1.0, 8), (2.0, 8), (2.0, 64), (5.0, 64)])
def test_known_noise_club_of_a_linear_gaussian_encoder(mi_nats, dim):
    variance = math.expm1(2 * mi_nats / dim)
    values = []
    for seed in range(10):
        generator = torch.Generator().manual_seed(seed)
        mean_ND = 0.5 * math.sqrt(variance) * torch.randn(2000, dim, generator=generator)
        sample_ND = mean_ND + 0.5 * torch.randn(2000, dim, generator=generator)
        values.append(float(known_noise_club(sample_ND, mean_ND, torch.full((dim,), 0.5)).value))
    assert sum(values) / 10 == pytest.approx(known_noise_club_mi(mi_nats, dim), rel=0.03)


def test_club_needs_two_utterances():
    one = torch.randn(1, 4)
    with pytest.raises(TrainingError, match="needs at least 2, but came 1"):
        vclub(GaussianConditional(4, 4), one, one)
    with pytest.raises(TrainingError, match="needs at least 2, but came 1"):
        known_noise_club(one, one, torch.ones(4))


def test_vib_is_the_kl_divergence_summed_over_dimensions():
    """VarUB as released takes the mean over dimensions: too small by d."""
    torch.manual_seed(0)
    mean_ND, noise_ND = torch.randn(7, 5), torch.rand(7, 5) + 0.1
    marginal = LearnedMarginal(5)
    with torch.no_grad():
        marginal.mean_D.normal_()
        marginal.log_variance_D.normal_()
    r = Normal(marginal.mean_D, (marginal.log_variance_D / 2).exp())
    expected = kl_divergence(Normal(mean_ND, noise_ND), r).sum(1).mean()
    estimate = vib_learned_marginal(mean_ND, noise_ND, marginal)
    assert float(estimate.value.detach()) == pytest.approx(float(expected.detach()), rel=1e-5)
    standard = kl_divergence(Normal(mean_ND, noise_ND), Normal(0.0, 1.0)).sum(1).mean()
    assert float(vib_standard_normal(mean_ND, noise_ND).value) == pytest.approx(float(standard), rel=1e-5)


@pytest.mark.parametrize(("dim", "noise"), [(8, 0.888), (8, 0.5), (128, 1.0)])
def test_vib_to_a_standard_normal_behind_a_layer_norm_is_blind_to_the_mean(dim, noise):
    torch.manual_seed(0)
    expected = dim / 2 * (noise**2 - math.log(noise**2))
    for scale in (1.0, 100.0):
        mean_ND = layer_norm(scale * torch.randn(64, dim, dtype=torch.float64) ** 3, (dim,), eps=1e-12)
        value = float(vib_standard_normal(mean_ND, torch.full((dim,), noise, dtype=torch.float64)).value)
        assert value == pytest.approx(expected, abs=1e-5)
        assert value >= dim / 2 - 1e-9
    constant_ND = mean_ND[:1].expand(64, dim)
    same = float(vib_standard_normal(constant_ND, torch.full((dim,), noise, dtype=torch.float64)).value)
    # An encoder that has collapsed to one point shares nothing with its input, and still reads as much.
    assert same == pytest.approx(expected, abs=1e-5)
    fitted = LearnedMarginal.fitted(constant_ND, torch.full((dim,), noise, dtype=torch.float64))
    learned = vib_learned_marginal(constant_ND, torch.full((dim,), noise, dtype=torch.float64), fitted)
    assert float(learned.value.detach()) == pytest.approx(0, abs=1e-9)


# Closed form with unit noise, d/2 (e^(2I/d) - 1), and the fitted marginal, exact here since the marginal is Gaussian.
@pytest.mark.parametrize(("mi_nats", "dim", "standard"), [(1.0, 8, 1.14), (2.0, 8, 2.60), (5.0, 8, 10.0)])
def test_vib_of_a_linear_gaussian_encoder(mi_nats, dim, standard):
    generator = torch.Generator().manual_seed(0)
    mean_ND = math.sqrt(math.expm1(2 * mi_nats / dim)) * torch.randn(40000, dim, generator=generator)
    noise_D = torch.ones(dim)
    assert float(vib_standard_normal(mean_ND, noise_D).value) == pytest.approx(standard, rel=0.03)
    bound = vib_learned_marginal(mean_ND, noise_D, LearnedMarginal.fitted(mean_ND, noise_D))
    assert float(bound.value.detach()) == pytest.approx(mi_nats, rel=0.01)
    assert bound.side == "upper"


def test_vib_works_for_one_utterance_and_is_never_saturated():
    estimate = vib_learned_marginal(torch.randn(1, 4), torch.full((4,), 1e-3), LearnedMarginal(4))
    assert torch.isfinite(estimate.value)
    assert not estimate.saturated
    assert estimate.standard_error is None


def test_vib_reaches_the_encoder_and_the_marginal():
    torch.manual_seed(0)
    mean_ND = torch.randn(6, 4, requires_grad=True)
    noise_D = (torch.rand(4) + 0.1).requires_grad_()
    marginal = LearnedMarginal(4)
    vib_learned_marginal(mean_ND, noise_D, marginal).value.backward()
    leaves = (mean_ND, noise_D, marginal.mean_D, marginal.log_variance_D)
    assert all(t.grad is not None and t.grad.abs().sum() > 0 for t in leaves)


def test_any_other_marginal_than_the_fitted_one_reads_higher():
    torch.manual_seed(0)
    mean_ND, noise_D = 2 * torch.randn(500, 4) + 1, torch.ones(4)
    fitted = LearnedMarginal.fitted(mean_ND, noise_D)
    best = float(vib_learned_marginal(mean_ND, noise_D, fitted).value.detach())
    for mean_shift, log_variance_shift in [(0.5, 0.0), (0.0, 0.5), (0.0, -0.5)]:
        other = LearnedMarginal.fitted(mean_ND, noise_D)
        with torch.no_grad():
            other.mean_D += mean_shift
            other.log_variance_D += log_variance_shift
        assert float(vib_learned_marginal(mean_ND, noise_D, other).value.detach()) > best
