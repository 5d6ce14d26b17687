import math

import pytest
import torch
from torch.distributions import Normal

from mmmie.errors import TrainingError
from mmmie.mi import GaussianConditional, barber_agakov
from mmmie.mi.conditional import LOG_VARIANCE_RANGE, batch_log_marginal, gaussian_log_density


def test_the_density_is_the_normal_one_with_its_log_variance():
    torch.manual_seed(0)
    y_NY, mean_NY, log_variance_NY = torch.randn(3, 6, 4).double().unbind(0)
    expected_N = Normal(mean_NY, (log_variance_NY / 2).exp()).log_prob(y_NY).sum(1)
    assert torch.allclose(gaussian_log_density(y_NY, mean_NY, log_variance_NY), expected_N)


def test_it_starts_at_the_marginal_and_says_nothing():
    torch.manual_seed(0)
    q = GaussianConditional(3, 5)
    x_NX, y_NY = torch.randn(64, 3), 7 + 3 * torch.randn(64, 5)
    q.observe(y_NY)
    assert torch.allclose(q.log_prob(x_NX, y_NY), q.log_marginal(y_NY), atol=1e-4)
    marginal = Normal(y_NY.mean(0), y_NY.std(0)).log_prob(y_NY).sum(1)
    assert torch.allclose(q.log_marginal(y_NY), marginal, atol=1e-4)


def test_loss_reaches_q_alone():
    torch.manual_seed(0)
    q = GaussianConditional(3, 5)
    x_NX, y_NY = torch.randn(8, 3, requires_grad=True), torch.randn(8, 5, requires_grad=True)
    torch.nn.init.normal_(q.heads.weight, std=0.1)
    q.loss(x_NX, y_NY).backward()
    assert x_NX.grad is None
    assert y_NY.grad is None
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in q.parameters())


def test_loss_is_the_negative_log_likelihood_in_units_of_y():
    torch.manual_seed(0)
    q = GaussianConditional(3, 2).eval()
    y_NY = torch.randn(9, 2)
    expected = -Normal(0.0, 1.0).log_prob(y_NY).sum(1).mean()
    assert float(q.loss(torch.randn(9, 3), y_NY).detach()) == pytest.approx(float(expected), rel=1e-5)


def test_statistics_follow_in_training_only_and_survive_a_reload():
    torch.manual_seed(0)
    q = GaussianConditional(3, 5, momentum=0.25)
    x_NX, y_NY = torch.randn(64, 3), 7 + 3 * torch.randn(64, 5)
    q.eval().loss(x_NX, y_NY)
    assert int(q.num_observed) == 0
    q.train().loss(x_NX, y_NY)
    assert torch.allclose(q.running_mean_Y, y_NY.mean(0))
    assert torch.allclose(q.running_variance_Y, y_NY.var(0))
    q.loss(x_NX, 2 * y_NY)
    assert torch.allclose(q.running_mean_Y, 1.25 * y_NY.mean(0))
    restored = GaussianConditional(3, 5)
    restored.load_state_dict(q.state_dict())
    restored.momentum = q.momentum
    assert torch.equal(restored.loss(x_NX, y_NY), q.loss(x_NX, y_NY))


def test_the_log_variance_stays_in_its_range_and_is_wider_than_a_tanh():
    q = GaussianConditional(2, 3)
    for bias, expected in [(-100.0, -8.0), (100.0, 4.0), (-3.0, -3.0)]:
        with torch.no_grad():
            q.heads.bias[3:] = bias
        assert torch.allclose(q(torch.randn(4, 2))[1], torch.tensor(expected))
    assert LOG_VARIANCE_RANGE == (-8.0, 4.0)


def test_a_constant_dimension_stays_finite():
    q = GaussianConditional(2, 3)
    y_NY = torch.ones(8, 3)
    loss = q.loss(torch.randn(8, 2), y_NY)
    assert torch.isfinite(loss)


def test_one_utterance_has_no_spread():
    with pytest.raises(TrainingError, match="at least 2 utterances, but came 1"):
        GaussianConditional(2, 3).loss(torch.randn(1, 2), torch.randn(1, 3))


def test_it_learns_a_known_dependence_and_barber_agakov_turns_positive(pairs):
    """The gate of vCLUB. After 400 steps of 256 fresh pairs in 4 dimensions it reads 1 nat up to a tenth."""
    torch.manual_seed(0)
    q = GaussianConditional(4, 4)
    optimiser = torch.optim.Adam(q.parameters(), 5e-3)
    rho = pairs(1.0, 4, 2).rho
    for _ in range(400):
        x_ND = torch.randn(256, 4)
        y_ND = rho * x_ND + math.sqrt(1 - rho**2) * torch.randn(256, 4)
        optimiser.zero_grad()
        q.loss(x_ND, y_ND).backward()
        optimiser.step()
    held_out = pairs(1.0, 4, 4000, seed=1)
    x_ND, y_ND = held_out.x_ND.float(), held_out.y_ND.float()
    with torch.no_grad():
        estimate = barber_agakov(q.log_prob(x_ND, y_ND), q.log_marginal(y_ND))
        shuffled = barber_agakov(q.log_prob(x_ND.flip(0), y_ND), q.log_marginal(y_ND))
    assert float(estimate.value) == pytest.approx(1.0, abs=0.1)
    assert float(shuffled.value) < 0


def test_the_batch_marginal_cannot_be_outrun() -> None:
    """y that moves away from what q has seen is no information: by the batch's own moments the bound stays near 0."""
    torch.manual_seed(0)
    q = GaussianConditional(4, 4).train()
    x, y = torch.randn(400, 4), torch.randn(400, 4)
    q.observe(y)
    q.momentum = 1.0
    moved = y * 5 + 30
    stale = q.log_marginal(moved)
    q.observe(moved)
    q.requires_grad_(False)
    assert float(barber_agakov(q.log_prob(x, moved), stale).value) > 400, "the slip"
    assert float(barber_agakov(q.log_prob(x, moved), batch_log_marginal(moved)).value) == pytest.approx(0, abs=0.02)
