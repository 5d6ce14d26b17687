import math

import pytest
import torch
from torch.distributions import Normal

from mmmie.errors import TrainingError
from mmmie.mi import (
    BilinearCritic,
    barber_agakov,
    donsker_varadhan,
    infonce,
    jsd_loss,
    jsd_value,
    negatives_mask,
    nwj,
    smile,
)


def mean_over_batches(estimator, pairs, mi_nats, dim, n, batches):
    return sum(float(estimator(pairs(mi_nats, dim, n, seed).log_ratio).value) for seed in range(batches)) / batches


# The tolerance of .06 is three standard errors of 100 batches at the worst standard deviation of one batch, .19.
@pytest.mark.parametrize("mi_nats", [0.0, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("estimator", [lambda f: nwj(1 + f), jsd_value, donsker_varadhan])
def test_exact_critic_reads_the_truth_up_to_two_nats(estimator, mi_nats, pairs):
    assert mean_over_batches(estimator, pairs, mi_nats, 20, 128, 100) == pytest.approx(mi_nats, abs=0.06)


@pytest.mark.parametrize("mi_nats", [5.0, 10.0, 20.0])
@pytest.mark.parametrize("estimator", [infonce, nwj, jsd_value, donsker_varadhan, smile])
def test_exact_critic_stays_finite_at_large_information(estimator, mi_nats, pairs):
    # No side is asserted: the standard deviation of one batch is .36 at 5 nats and 2.4 at 10.
    assert torch.isfinite(estimator(pairs(mi_nats, 20, 128).log_ratio.float()).value)


@pytest.mark.parametrize("mi_nats", [0.0, 1.0, 2.0])
def test_nwj_of_the_log_ratio_would_read_one_over_e_too_low(mi_nats, pairs):
    """The slip of two released sources: JSD's critic read by the plain NWJ formula."""
    slipped = mean_over_batches(nwj, pairs, mi_nats, 20, 128, 100)
    assert slipped == pytest.approx(mi_nats - math.exp(-1), abs=0.06)
    assert mean_over_batches(jsd_value, pairs, mi_nats, 20, 128, 100) - slipped == pytest.approx(math.exp(-1), abs=0.1)


def test_independent_variables_with_the_exact_critic_read_zero_exactly(pairs):
    scores_NN = pairs(0.0, 20, 64).log_ratio
    for estimator in (infonce, jsd_value, donsker_varadhan, smile):
        assert float(estimator(scores_NN).value) == pytest.approx(0, abs=1e-12)
    assert float(nwj(scores_NN).value) == pytest.approx(-math.exp(-1), abs=1e-12)


# Values of the exact critic from an independent program (three times 4096 draws); .05 covers its error and ours.
@pytest.mark.parametrize(
    ("n", "expected"),
    [(32, {1: 0.917, 2: 1.70, 3: 2.33, 5: 3.09}), (128, {1: 0.970, 2: 1.89, 3: 2.71, 5: 3.94})],
)
def test_infonce_of_the_exact_critic(n, expected, pairs):
    for mi_nats, value in expected.items():
        assert mean_over_batches(infonce, pairs, mi_nats, 8, n, 12288 // n) == pytest.approx(value, abs=0.05)


@pytest.mark.parametrize("n", [1, 2, 32, 128])
def test_infonce_never_exceeds_log_n(n):
    for scale in (1.0, 1e2, 1e4):
        assert float(infonce(scale * torch.eye(n)).value) <= math.log(n) + 1e-6
    assert float(infonce(1e4 * torch.eye(n)).value) == pytest.approx(math.log(n), abs=1e-5)


def test_infonce_averages_both_directions(pairs):
    scores_NN = pairs(1.0, 4, 16).log_ratio + torch.arange(16.0)[:, None]
    rows = torch.nn.functional.cross_entropy(scores_NN, torch.arange(16))
    columns = torch.nn.functional.cross_entropy(scores_NN.T, torch.arange(16))
    assert float(rows - columns) != pytest.approx(0, abs=0.1)
    assert float(infonce(scores_NN).value) == pytest.approx(float(math.log(16) - (rows + columns) / 2))
    assert float(infonce(scores_NN.T).value) == pytest.approx(float(infonce(scores_NN).value))


def test_saturation_is_flagged_within_one_nat_of_the_ceiling(pairs):
    assert not infonce(pairs(1.0, 8, 128).log_ratio).saturated
    assert infonce(pairs(8.0, 8, 128).log_ratio).saturated
    assert infonce(pairs(3.0, 8, 12).log_ratio).saturated


def test_restricted_negatives_have_the_ceiling_of_each_row():
    video_N = torch.tensor([0, 0, 0, 1, 1, 2])
    scores_NN = 1e4 * torch.eye(6)
    within = infonce(scores_NN, negatives_mask(video_N, "within_video"))
    assert float(within.value) == pytest.approx((3 * math.log(3) + 2 * math.log(2)) / 6)
    assert within.saturated
    across = infonce(scores_NN, negatives_mask(video_N, "across_videos"))
    assert float(across.value) == pytest.approx((3 * math.log(4) + 2 * math.log(5) + math.log(6)) / 6)
    everything = infonce(scores_NN, negatives_mask(video_N, "all"))
    assert float(everything.value) == pytest.approx(float(infonce(scores_NN).value))


def test_forbidden_pairs_have_no_influence_and_no_gradient():
    torch.manual_seed(0)
    allowed_NN = negatives_mask(torch.tensor([0, 0, 1, 1, 2, 2]), "across_videos")
    for estimator in (infonce, nwj, donsker_varadhan, smile, jsd_value, jsd_loss):
        scores_NN = torch.randn(6, 6, requires_grad=True)
        result = estimator(scores_NN, negatives_NN=allowed_NN)
        value = result if isinstance(result, torch.Tensor) else result.value
        (gradient_NN,) = torch.autograd.grad(value, scores_NN)
        allowed_or_positive_NN = allowed_NN | torch.eye(6, dtype=torch.bool)
        assert (gradient_NN[~allowed_or_positive_NN] == 0).all()
        assert (gradient_NN[allowed_or_positive_NN] != 0).all()
        other = estimator(scores_NN.detach().masked_fill(~allowed_or_positive_NN, 1e3), negatives_NN=allowed_NN)
        assert float(other if isinstance(other, torch.Tensor) else other.value) == pytest.approx(float(value.detach()))


def test_rows_with_different_numbers_of_negatives_are_pooled_by_pair():
    torch.manual_seed(0)
    scores_NN = torch.randn(5, 5, dtype=torch.float64)
    mask_NN = negatives_mask(torch.tensor([0, 0, 0, 1, 2]), "across_videos")
    by_hand = scores_NN.diagonal().mean() - (scores_NN[mask_NN] - 1).exp().mean()
    assert float(nwj(scores_NN, mask_NN).value) == pytest.approx(float(by_hand))


def test_the_diagonal_is_not_among_the_negatives(pairs):
    """The slip of a released NWJ: at N = 128 the exact critic reads 1.1 of 3 nats (median) and -82 of 5."""

    def with_diagonal(mi_nats, seed):
        scores_NN = 1 + pairs(mi_nats, 20, 128, seed).log_ratio
        return float(scores_NN.diagonal().mean() - (scores_NN - 1).exp().mean())

    def without(mi_nats, seed):
        return float(nwj(1 + pairs(mi_nats, 20, 128, seed).log_ratio).value)

    seeds = range(60)
    medians = {i: float(torch.tensor([with_diagonal(i, s) for s in seeds]).median()) for i in (3.0, 5.0)}
    # The negatives alone average 1, the 128 positives among 16384 pairs add about e^(2I)/128: 1.9 nats too low at 3.
    assert medians[3.0] == pytest.approx(1.1, abs=0.4)
    assert medians[5.0] < -20
    assert float(torch.tensor([without(3.0, s) for s in seeds]).median()) == pytest.approx(3, abs=0.3)
    for estimator in (nwj, jsd_value, donsker_varadhan, smile, jsd_loss):
        scores_NN = torch.zeros(4, 4).fill_diagonal_(3.0)
        higher_NN = torch.zeros(4, 4).fill_diagonal_(4.0)
        low, high = (r if isinstance(r, torch.Tensor) else r.value for r in map(estimator, (scores_NN, higher_NN)))
        # The positives enter once, linearly (or by softplus), so raising them can only help.
        expected = torch.nn.functional.softplus(torch.tensor([-3.0, -4.0])) if estimator is jsd_loss else None
        assert float(high - low) == pytest.approx(float(expected[1] - expected[0]) if expected is not None else 1.0)


def test_smile_without_clipping_is_donsker_varadhan(pairs):
    for mi_nats in (0.5, 2.0, 10.0):
        scores_NN = pairs(mi_nats, 20, 64).log_ratio
        assert float(smile(scores_NN, math.inf).value) == pytest.approx(
            float(donsker_varadhan(scores_NN).value), abs=1e-5
        )


def test_donsker_varadhan_by_hand():
    torch.manual_seed(0)
    scores_NN = torch.randn(7, 7, dtype=torch.float64)
    others = scores_NN[~torch.eye(7, dtype=torch.bool)]
    by_hand = scores_NN.diagonal().mean() - others.exp().mean().log()
    assert float(donsker_varadhan(scores_NN).value) == pytest.approx(float(by_hand))
    assert float(donsker_varadhan(scores_NN + 7).value) == pytest.approx(float(by_hand))
    # Nothing overflows where e^f would.
    assert float(donsker_varadhan(scores_NN.float() + 1e4).value) == pytest.approx(float(by_hand), abs=2e-3)


def test_smile_clips_the_partition_only():
    scores_NN = torch.full((4, 4), -50.0).fill_diagonal_(30.0)
    assert float(smile(scores_NN, 5.0).value) == pytest.approx(35.0)
    assert smile(scores_NN).side == "estimate"


def test_jsd_loss_is_least_at_the_log_ratio(pairs):
    scores_NN = pairs(1.0, 4, 800).log_ratio
    best = float(jsd_loss(scores_NN))
    for scale, shift in [(0.6, 0.0), (1.5, 0.0), (1.0, 0.4), (1.0, -0.4)]:
        assert float(jsd_loss(scale * scores_NN + shift)) > best
    assert float(jsd_loss(torch.zeros(5, 5))) == pytest.approx(2 * math.log(2))


def test_barber_agakov_with_exact_densities(pairs):
    for mi_nats in (0.5, 2.0, 5.0):
        drawn = pairs(mi_nats, 20, 4000)
        conditional = Normal(drawn.rho * drawn.x_ND, math.sqrt(1 - drawn.rho**2))
        estimate = barber_agakov(conditional.log_prob(drawn.y_ND).sum(1), drawn.log_marginal)
        assert float(estimate.value) == pytest.approx(mi_nats, abs=4 * estimate.standard_error)
        assert estimate.standard_error < 0.2


def test_barber_agakov_without_the_log_variance_has_its_best_at_infinite_variance():
    """The slip of MMIM's release: its likelihood rises to 0 as the variance grows, while the true one falls."""
    torch.manual_seed(0)
    y_ND = torch.randn(2000, 16)
    slipped, ours = [], []
    for log_variance in (0.0, 2.0, 4.0, 8.0):
        slipped.append(float(-(y_ND.square() / (2 * math.exp(log_variance))).sum(1).mean()))
        log_q_N = Normal(0.0, math.exp(log_variance / 2)).log_prob(y_ND).sum(1)
        ours.append(float(barber_agakov(log_q_N, torch.zeros(2000)).value))
    assert slipped == sorted(slipped)
    assert slipped[-1] == pytest.approx(0, abs=0.01)
    assert ours == sorted(ours, reverse=True)


def test_standard_error_matches_the_spread_over_batches(pairs):
    for estimator in (infonce, jsd_value):
        results = [estimator(pairs(0.5, 8, 128, seed).log_ratio) for seed in range(150)]
        spread = float(torch.stack([r.value for r in results]).std())
        stated = sum(r.standard_error for r in results) / len(results)
        # Terms share negatives, which the stated error neglects: a third is what that costs at half a nat.
        assert stated == pytest.approx(spread, rel=0.35)


def test_one_utterance_shows_nothing():
    scores_NN = torch.tensor([[3.0]], requires_grad=True)
    estimate = infonce(scores_NN)
    assert float(estimate.value.detach()) == 0
    assert estimate.saturated
    assert estimate.standard_error is None
    assert float(torch.autograd.grad(estimate.value, scores_NN)[0]) == 0
    for estimator in (nwj, donsker_varadhan, smile, jsd_loss, jsd_value):
        with pytest.raises(TrainingError, match="none of 1 utterances has a negative"):
            estimator(torch.tensor([[3.0]]))


def test_two_utterances_are_computed_and_flagged():
    scores_NN = torch.tensor([[2.0, 0.0], [0.0, 2.0]])
    estimate = infonce(scores_NN)
    assert float(estimate.value) == pytest.approx(math.log(2) + 2 - math.log(math.exp(2) + 1))
    assert estimate.saturated
    assert float(jsd_value(scores_NN).value) == pytest.approx(1 + 2 - 1)
    assert float(donsker_varadhan(scores_NN).value) == pytest.approx(2)


def test_scores_that_are_not_square_are_refused():
    for estimator in (infonce, nwj, donsker_varadhan, smile, jsd_loss, jsd_value):
        with pytest.raises(TrainingError, match=r"shape \(N, N\).*came \(3, 4\)"):
            estimator(torch.zeros(3, 4))
        with pytest.raises(TrainingError, match=r"N >= 1"):
            estimator(torch.zeros(0, 0))


def test_gradient_reaches_both_sides_and_the_critic():
    torch.manual_seed(0)
    critic = BilinearCritic(3, 5)
    x_NX, y_NY = torch.randn(8, 3, requires_grad=True), torch.randn(8, 5, requires_grad=True)
    infonce(critic(x_NX, y_NY)).value.backward()
    assert all(t.grad is not None and t.grad.abs().sum() > 0 for t in (x_NX, y_NY, critic.weight_XY))


def test_gradients_are_those_of_the_values():
    torch.manual_seed(0)
    scores_NN = torch.randn(5, 5, dtype=torch.float64, requires_grad=True)
    mask_NN = negatives_mask(torch.tensor([0, 0, 1, 1, 2]), "across_videos")
    for estimator in (infonce, nwj, donsker_varadhan, jsd_value):
        assert torch.autograd.gradcheck(lambda f, e=estimator: e(f, negatives_NN=mask_NN).value, scores_NN)
    assert torch.autograd.gradcheck(lambda f: jsd_loss(f, mask_NN), scores_NN)
