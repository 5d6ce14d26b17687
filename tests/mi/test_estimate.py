import math

import pytest
import torch

from mmmie.mi import saturated, standard_error


@pytest.mark.parametrize(("n", "threshold"), [(32, 2.4657), (128, 3.8520), (1284, 6.1577)])
def test_saturation_begins_one_nat_below_log_n(n, threshold):
    assert not saturated(threshold - 0.01, n)
    assert saturated(threshold + 0.01, n)
    assert saturated(torch.tensor(threshold + 0.01, requires_grad=True), n)


def test_so_few_utterances_resolve_nothing():
    assert saturated(0.0, 1)
    assert saturated(0.0, 2)


def test_standard_error_of_independent_terms():
    torch.manual_seed(0)
    terms_N = torch.randn(200)
    assert standard_error(terms_N) == pytest.approx(float(terms_N.std()) / math.sqrt(200), rel=1e-5)
    assert standard_error(terms_N[:1]) is None


def test_standard_error_by_group_sees_dependence():
    torch.manual_seed(0)
    video_N = torch.arange(40).repeat_interleave(10)
    terms_N = torch.randn(40).repeat_interleave(10)
    # Ten copies of one number are one observation.
    expected = float(terms_N[::10].std()) / math.sqrt(40)
    assert standard_error(terms_N, video_N) == pytest.approx(expected, rel=1e-5)
    assert standard_error(terms_N) < 0.5 * expected
    assert standard_error(terms_N, torch.zeros(400)) is None
