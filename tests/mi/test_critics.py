import math

import pytest
import torch

from mmmie.mi import CRITICS, CosineCritic, infonce


@pytest.mark.parametrize("name", ["bilinear", "cosine", "mlp"])
def test_scores_are_x_by_row_and_y_by_column(name):
    torch.manual_seed(0)
    critic = CRITICS[name](3, 5)
    x_NX, y_NY = torch.randn(6, 3), torch.randn(6, 5)
    scores_NN = critic(x_NX, y_NY)
    assert scores_NN.shape == (6, 6)
    for i, j in [(0, 0), (1, 4), (5, 2)]:
        one = critic(x_NX[i : i + 1], y_NY[j : j + 1])
        assert float(one.detach()) == pytest.approx(float(scores_NN[i, j].detach()), abs=1e-5)


@pytest.mark.parametrize("name", ["bilinear", "cosine", "mlp"])
@pytest.mark.parametrize("dim", [4, 128])
def test_a_fresh_critic_neither_claims_information_nor_stalls(name, dim):
    torch.manual_seed(0)
    critic = CRITICS[name](dim, dim)
    x_NX, y_NY = torch.randn(128, dim), torch.randn(128, dim)
    scores_NN = critic(x_NX, y_NY)
    assert float(infonce(scores_NN).value.detach()) <= 0.1
    # Cosine starts at temperature .1 and 16 dimensions, scores of sd 10/4; the others start near 0.
    assert float(scores_NN.detach().std()) < (3.5 if name == "cosine" else 0.5)
    infonce(scores_NN).value.backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in critic.parameters())


def test_cosine_at_temperature_one_is_capped_below_two_nats():
    """Unit-norm scores without temperature: at N = 32 at most 1.82 nats, .95 with orthogonal negatives."""
    n = 32
    best = infonce(2 * torch.eye(n) - 1)
    assert float(best.value) == pytest.approx(math.log(n) - math.log(math.e + (n - 1) / math.e) + 1, abs=1e-5)
    assert float(best.value) <= 1.82
    torch.manual_seed(0)
    for _ in range(20):
        scores_NN = torch.nn.functional.normalize(torch.randn(n, 64), dim=1)
        assert float(infonce(scores_NN @ scores_NN.T).value) <= 1.82
    orthogonal = float(infonce(torch.eye(n)).value)
    assert orthogonal == pytest.approx(0.95, abs=0.01)
    # Ours, on the same orthogonal pairs, is free of the cap.
    critic = CosineCritic(n, n, projection_dim=n)
    with torch.no_grad():
        critic.project_x.weight.copy_(torch.eye(n))
        critic.project_y.weight.copy_(torch.eye(n))
    assert float(infonce(critic(torch.eye(n), torch.eye(n))).value.detach()) > 3.4


def test_temperature_starts_at_a_tenth_stays_in_bounds_and_keeps_its_gradient():
    critic = CosineCritic(4, 4)
    assert float(critic.temperature.detach()) == pytest.approx(0.1, rel=1e-5)
    for logit in (-50.0, -8.0, 8.0, 50.0):
        with torch.no_grad():
            critic.temperature_logit.fill_(logit)
        assert 0.01 * (1 - 1e-5) <= float(critic.temperature.detach()) <= 10 * (1 + 1e-5)
    for logit in (-8.0, 8.0):
        with torch.no_grad():
            critic.temperature_logit.fill_(logit)
        assert torch.autograd.grad(critic.temperature, critic.temperature_logit)[0] > 0


def test_cosine_is_blind_to_norms_and_finite_at_zero():
    torch.manual_seed(0)
    critic = CosineCritic(4, 4)
    x_NX, y_NY = torch.randn(5, 4), torch.randn(5, 4)
    assert torch.allclose(critic(x_NX, y_NY), critic(7 * x_NX, 0.1 * y_NY), atol=1e-4)
    assert torch.isfinite(critic(torch.zeros(5, 4), y_NY)).all()
