import pytest
import torch

from mmmie.errors import TrainingError
from mmmie.mi import mean_share, trace_covariance


def test_mean_share_is_what_all_utterances_have_in_common():
    assert float(mean_share(torch.ones(5, 3))) == pytest.approx(1)
    assert float(mean_share(torch.tensor([[1.0, 2.0], [-1.0, -2.0]]))) == 0
    assert float(mean_share(torch.tensor([[1.0, 1.0], [1.0, -1.0]]))) == pytest.approx(0.5)
    assert float(mean_share(torch.zeros(5, 3))) == 0
    torch.manual_seed(0)
    collapsed_ND = torch.nn.functional.layer_norm(torch.randn(8) + 0.01 * torch.randn(500, 8), (8,))
    assert float(mean_share(collapsed_ND)) > 0.999


def test_trace_covariance_and_its_gradient():
    torch.manual_seed(0)
    representation_ND = torch.randn(50, 4, requires_grad=True)
    value = trace_covariance(representation_ND)
    assert float(value.detach()) == pytest.approx(float(torch.cov(representation_ND.detach().T).trace()), rel=1e-5)
    (gradient_ND,) = torch.autograd.grad(value, representation_ND)
    # It pulls towards the mean and does not move it.
    assert torch.allclose(gradient_ND.sum(0), torch.zeros(4), atol=1e-5)
    with pytest.raises(TrainingError, match="at least 2 utterances, but came 1"):
        trace_covariance(torch.randn(1, 4))
