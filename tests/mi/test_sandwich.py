import math

import pytest
import torch
from torch.distributions import Normal

from mmmie.errors import TrainingError
from mmmie.mi import GaussianConditional, leave_one_out, sandwich, standard_error, vclub
from mmmie.mi.gaussian import known_noise_mi


def encode(mi_nats, dim, n, seed=0, dtype=torch.float64):
    """F = m + eps with m of the variance that makes I(X; F) the given nats."""
    generator = torch.Generator().manual_seed(seed)
    variance = math.expm1(2 * mi_nats / dim)
    mean_ND = math.sqrt(variance) * torch.randn(n, dim, generator=generator, dtype=dtype)
    sample_ND = mean_ND + torch.randn(n, dim, generator=generator, dtype=dtype)
    return sample_ND, mean_ND, torch.ones(dim, dtype=dtype)


def densities(sample_ND, mean_ND, noise_ND):
    """log p(f_i|x_j) at [i, j], from every difference."""
    return Normal(mean_ND[None], noise_ND.expand_as(mean_ND)[None]).log_prob(sample_ND[:, None]).sum(-1)


def leave_one_out_by_hand(density_NN):
    n = len(density_NN)
    own_N = density_NN.diagonal()
    others_NN = density_NN.masked_fill(torch.eye(n, dtype=torch.bool), -math.inf)
    return float((own_N - others_NN.logsumexp(1) + math.log(n - 1)).mean())


def test_the_densities_are_those_of_every_difference():
    torch.manual_seed(0)
    mean_ND, noise_ND = torch.randn(9, 4).double(), torch.rand(9, 4).double() + 0.1
    sample_ND = mean_ND + noise_ND * torch.randn(9, 4).double()
    density_NN = densities(sample_ND, mean_ND, noise_ND)
    result = sandwich(sample_ND, mean_ND, noise_ND)
    assert float(result.upper.value) == pytest.approx(leave_one_out_by_hand(density_NN), abs=1e-9)
    lower = (density_NN.diagonal() - density_NN.logsumexp(1) + math.log(9)).mean()
    assert float(result.lower.value) == pytest.approx(float(lower), abs=1e-9)


@pytest.mark.parametrize("dim", [8, 20, 64])
@pytest.mark.parametrize("mi_nats", [0.1, 0.5, 1.0, 2.0])
def test_the_truth_lies_between(mi_nats, dim):
    """L in [I - gap - 3 se, I + 3 se], U in [I - 3 se, I + gap + 3 se], with the gap e^(2I)/N of chi-squared."""
    result = sandwich(*encode(mi_nats, dim, 512))
    gap = math.exp(2 * mi_nats) / 512
    lower, upper = result.lower, result.upper
    assert mi_nats - gap - 3 * lower.standard_error <= float(lower.value) <= mi_nats + 3 * lower.standard_error
    assert mi_nats - 3 * upper.standard_error <= float(upper.value) <= mi_nats + gap + 3 * upper.standard_error
    assert upper.standard_error < 0.1
    assert (lower.side, upper.side) == ("lower", "upper")


# Values of an independent program (three times 4096 draws, seed sd up to .04); the tolerance is four of those.
@pytest.mark.parametrize(
    ("dim", "mi_nats", "n", "low", "high"),
    [
        (8, 1.0, 32, 0.917, 1.07),
        (8, 2.0, 128, 1.89, 2.08),
        (8, 2.0, 512, 1.98, 2.04),
        (8, 3.0, 512, 2.90, 3.10),
        (8, 3.0, 2048, 2.97, 3.04),
        (64, 2.0, 32, 1.67, 2.24),
        (64, 5.0, 128, 3.77, 5.74),
    ],
)
def test_known_values_of_the_interval(dim, mi_nats, n, low, high):
    results = [sandwich(*encode(mi_nats, dim, n, seed)) for seed in range(12288 // n)]
    assert float(torch.cat([r.lower_N for r in results]).mean()) == pytest.approx(low, abs=0.16)
    assert float(torch.cat([r.upper_N for r in results]).mean()) == pytest.approx(high, abs=0.16)


def test_lower_never_exceeds_log_n_and_both_saturate():
    result = sandwich(*encode(20.0, 8, 128))
    assert float(result.lower.value) <= math.log(128) + 1e-9
    assert result.lower.saturated
    assert result.upper.saturated
    assert not sandwich(*encode(1.0, 8, 128)).upper.saturated


def test_independent_variables_give_zero_on_both_sides():
    generator = torch.Generator().manual_seed(0)
    sample_ND = torch.randn(512, 20, generator=generator, dtype=torch.float64)
    mean_ND = 1e-6 * torch.randn(512, 20, generator=generator, dtype=torch.float64)
    result = sandwich(sample_ND, mean_ND, torch.ones(20))
    assert float(result.lower.value) == pytest.approx(0, abs=0.02)
    assert float(result.upper.value) == pytest.approx(0, abs=0.02)


def test_sum_over_the_representations_instead_of_the_inputs_reads_nonsense():
    """torch-mist's axis slip: at .5 nats in 20 dimensions and N = 128 it reads -2.5."""
    sample_ND, mean_ND, noise_D = encode(0.5, 20, 128)
    # With standardised F, as the slip was met.
    scale = 1 / math.sqrt(1 + math.expm1(2 * 0.5 / 20))
    density_NN = densities(sample_ND * scale, mean_ND * scale, noise_D * scale)
    slipped = leave_one_out_by_hand(density_NN.T)
    assert slipped < -1
    assert float(leave_one_out(sample_ND, mean_ND, noise_D).value) == pytest.approx(0.5, abs=0.15)


def test_broadcast_slip_makes_leave_one_out_equal_club(pairs):
    """The released CLUB: a mask of shape (N, N, 1) leaves every pair's density alone, so its L1Out is its CLUB."""
    drawn = pairs(2.0, 20, 128)
    density_NN = drawn.log_conditional
    mask_NN1 = -20 * torch.eye(128, dtype=torch.float64)[:, :, None]
    negative_NN = (density_NN + mask_NN1).logsumexp(0) - math.log(127)
    slipped = float((density_NN.diagonal() - negative_NN).mean())
    with_diagonal = float(density_NN.diagonal().mean() - density_NN.mean())
    assert slipped == pytest.approx(with_diagonal, abs=1e-6)

    exact_q = ExactConditional(drawn.rho, 20)
    club = float(vclub(exact_q, drawn.x_ND, drawn.y_ND).value)
    noise = math.sqrt(1 - drawn.rho**2)
    ours = float(leave_one_out(drawn.y_ND, drawn.rho * drawn.x_ND, torch.full((20,), noise)).value)
    assert slipped == pytest.approx(club * 127 / 128, rel=1e-6)
    assert ours == pytest.approx(2.0, abs=0.4)
    assert club - ours > 1


def test_the_own_pair_is_left_out_by_minus_infinity_not_by_minus_twenty():
    """A finite mask, as released, caps the value at 20 + log(N - 1) where pairs differ by more than 20 nats."""
    sample_ND, mean_ND, noise_D = encode(40.0, 8, 64)
    density_NN = densities(sample_ND, mean_ND, noise_D)
    masked_NN = density_NN - 20 * torch.eye(64, dtype=torch.float64)
    slipped = float((density_NN.diagonal() - masked_NN.logsumexp(1) + math.log(63)).mean())
    assert slipped <= 20 + math.log(63) + 1e-9
    assert float(leave_one_out(sample_ND, mean_ND, noise_D).value) > 100


def test_noise_that_all_share_gives_what_the_same_noise_of_each_gives():
    """Whose terms in |f|^2/s^2 are not computed, since they cancel."""
    sample_ND, mean_ND, noise_D = encode(1.0, 8, 64)
    noise_D = noise_D * torch.linspace(0.3, 1.5, 8, dtype=torch.float64)
    shared, each = sandwich(sample_ND, mean_ND, noise_D), sandwich(sample_ND, mean_ND, noise_D.expand(64, 8))
    torch.testing.assert_close(shared.upper_N, each.upper_N)
    torch.testing.assert_close(shared.lower_N, each.lower_N)


def test_permuting_the_utterances_changes_nothing():
    sample_ND, mean_ND, noise_D = encode(1.0, 8, 64)
    noise_ND = noise_D * (0.5 + torch.rand(64, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64))
    order = torch.randperm(64, generator=torch.Generator().manual_seed(2))
    straight, permuted = (
        sandwich(sample_ND, mean_ND, noise_ND),
        sandwich(sample_ND[order], mean_ND[order], noise_ND[order]),
    )
    assert torch.allclose(straight.upper_N[order], permuted.upper_N)
    assert torch.allclose(straight.lower_N[order], permuted.lower_N)


def test_shifting_and_scaling_the_representation_changes_nothing():
    sample_ND, mean_ND, noise_D = encode(1.0, 8, 64)
    moved = sandwich(3 * sample_ND + 100, 3 * mean_ND + 100, 3 * noise_D)
    assert torch.allclose(sandwich(sample_ND, mean_ND, noise_D).upper_N, moved.upper_N)


@pytest.mark.parametrize("chunk_rows", [1, 7, 64, 1000])
def test_chunks_change_memory_and_not_the_value(chunk_rows):
    drawn = encode(1.0, 8, 64)
    whole, chunked = sandwich(*drawn), sandwich(*drawn, chunk_rows=chunk_rows)
    assert torch.allclose(whole.lower_N, chunked.lower_N, atol=1e-12)
    assert torch.allclose(whole.upper_N, chunked.upper_N, atol=1e-12)


@pytest.mark.parametrize("noise", [1e-4, 1e-2, 1.0])
def test_float32_is_stable_at_many_nats_and_small_noise(noise):
    """20 nats in 128 dimensions: in float32 the expansion |f|^2/s^2 - 2 f m/s^2 + |m|^2/s^2 would be lost."""
    generator = torch.Generator().manual_seed(0)
    spread = noise * math.sqrt(math.expm1(2 * 20.0 / 128))
    common_D = torch.randn(128, generator=generator, dtype=torch.float64)
    mean_ND = common_D + spread * torch.randn(256, 128, generator=generator, dtype=torch.float64)
    # The reference gets the numbers that float32 holds: their rounding is no error of the estimator.
    mean_ND = mean_ND.float()
    noise_ND = torch.full((256, 128), noise)
    sample_ND = mean_ND + noise_ND * torch.randn(256, 128, generator=generator)
    exact = leave_one_out_by_hand(densities(sample_ND.double(), mean_ND.double(), noise_ND.double()))
    leaves = [t.requires_grad_() for t in (sample_ND, mean_ND, noise_ND)]
    estimate = leave_one_out(*leaves)
    assert estimate.value.dtype == torch.float32
    assert float(estimate.value.detach()) == pytest.approx(exact, rel=1e-5)
    assert exact > 20
    assert all(torch.isfinite(g).all() for g in torch.autograd.grad(estimate.value, leaves))
    in_float32_NN = -0.5 * (
        (sample_ND.square() / noise_ND**2).sum(1)[:, None]
        - 2 * (sample_ND / noise_ND**2) @ mean_ND.T
        + (mean_ND.square() / noise_ND**2).sum(1)
    )
    if noise < 1e-3:
        assert abs(leave_one_out_by_hand(in_float32_NN.detach()) - exact) > 1


def test_gradient_reaches_mean_and_noise_and_is_that_of_the_value():
    torch.manual_seed(0)
    mean_ND = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    noise_D = (torch.rand(3, dtype=torch.float64) + 0.5).requires_grad_()
    draw_ND = torch.randn(5, 3, dtype=torch.float64)

    def value(mean_ND, noise_D):
        return leave_one_out(mean_ND + noise_D * draw_ND, mean_ND, noise_D).value

    assert torch.autograd.gradcheck(value, (mean_ND, noise_D))
    assert all(g.abs().sum() > 0 for g in torch.autograd.grad(value(mean_ND, noise_D), (mean_ND, noise_D)))


def test_more_noise_means_less_information():
    generator = torch.Generator().manual_seed(0)
    mean_ND = torch.randn(256, 4, generator=generator, dtype=torch.float64)
    draw_ND = torch.randn(256, 4, generator=generator, dtype=torch.float64)
    for noise in (1.5, 3.0):
        truth = known_noise_mi(1.0, noise, 4)
        result = sandwich(mean_ND + noise * draw_ND, mean_ND, torch.full((4,), noise))
        assert float(result.upper.value) == pytest.approx(truth, abs=4 * result.upper.standard_error + 0.02)


def test_an_utterance_in_several_windows_is_refused_because_it_would_read_low():
    sample_ND, mean_ND, noise_D = encode(12.0, 8, 512)
    rows_N = torch.arange(512).repeat_interleave(2)
    repeated = densities(sample_ND, mean_ND, noise_D)[rows_N][:, rows_N]
    # A repeat leaves one's own pair among the negatives: U <= log(N - 1), far below 12 nats.
    assert leave_one_out_by_hand(repeated) < 7
    with pytest.raises(TrainingError, match=r"512 of 1024 rows are repeats: rows 0, 1 are the same"):
        sandwich(sample_ND[rows_N], mean_ND[rows_N], noise_D)
    assert leave_one_out_by_hand(densities(sample_ND, mean_ND, noise_D)) > 12


def test_two_utterances_of_the_same_words_are_not_repeats():
    mean_ND = torch.zeros(4, 2)
    sample_ND = torch.randn(4, 2, generator=torch.Generator().manual_seed(0))
    assert float(sandwich(sample_ND, mean_ND, torch.ones(2)).upper.value) == pytest.approx(0, abs=1e-6)


def test_two_utterances_are_the_least():
    sample_ND, mean_ND, noise_D = encode(1.0, 4, 2)
    density_NN = densities(sample_ND, mean_ND, noise_D)
    result = sandwich(sample_ND, mean_ND, noise_D)
    expected = (density_NN[0, 0] - density_NN[0, 1] + density_NN[1, 1] - density_NN[1, 0]) / 2
    assert float(result.upper.value) == pytest.approx(float(expected))
    assert result.upper.saturated or float(result.upper.value) <= math.log(2) - 1
    with pytest.raises(TrainingError, match="needs at least 2, but came 1"):
        sandwich(sample_ND[:1], mean_ND[:1], noise_D)


def test_a_deterministic_encoder_is_refused():
    sample_ND, mean_ND, _ = encode(1.0, 4, 8)
    noise_ND = torch.ones(8, 4)
    noise_ND[3, 2] = 0
    with pytest.raises(TrainingError, match=r"is 0 in row 3, dimension 2.*infinite.*model\.noise"):
        sandwich(sample_ND, mean_ND, noise_ND)


def test_unequal_shapes_are_refused():
    with pytest.raises(TrainingError, match=r"\(8, 4\) and \(7, 4\)"):
        sandwich(torch.randn(8, 4), torch.randn(7, 4), torch.ones(4))


def test_a_non_finite_representation_makes_a_non_finite_value():
    """So that training stops by the term's name; it is not papered over."""
    sample_ND, mean_ND, noise_D = encode(1.0, 4, 8)
    mean_ND[2, 1] = math.nan
    assert math.isnan(float(sandwich(sample_ND, mean_ND, noise_D).upper.value))


def test_terms_can_be_resampled_by_video():
    result = sandwich(*encode(1.0, 8, 300))
    video_N = torch.arange(300) // 10
    assert result.upper_N.shape == (300,)
    assert standard_error(result.upper_N, video_N) == pytest.approx(result.upper.standard_error, rel=0.5)
    assert result.lower.standard_error < result.upper.standard_error


def test_leave_one_out_with_a_poor_learned_q_is_no_bound(pairs):
    """Why the noise has to be known: q that has learned nothing reads 0 nats of 2."""
    drawn = pairs(2.0, 8, 256)
    q = GaussianConditional(8, 8).double()
    mean_ND, log_variance_ND = q(drawn.x_ND)
    value = float(leave_one_out(drawn.y_ND, mean_ND.detach(), (log_variance_ND / 2).exp().detach()).value)
    assert value < 0.1


class ExactConditional(torch.nn.Module):
    """q(y|x) = p(y|x) of correlated Gaussians."""

    def __init__(self, rho, dim):
        super().__init__()
        self.rho, self.dim = rho, dim

    def forward(self, x_NX):
        return self.rho * x_NX, torch.full_like(x_NX, math.log(1 - self.rho**2))
