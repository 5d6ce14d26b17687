import pytest
import torch
from torch import nn

from mmmie.models.layers import Dropout, transformer_layer, with_fast_dropout


@pytest.mark.parametrize("rate", [0.1, 0.3, 0.5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_dropout_drops_its_rate_and_keeps_the_mean(rate: float, dtype: torch.dtype) -> None:
    torch.manual_seed(1)
    leaf = torch.ones(1001, 401, dtype=dtype, requires_grad=True)  # not a multiple of four
    result = Dropout(rate)(leaf)
    result.sum().backward()
    values = result.detach().double()
    assert result.dtype == dtype
    assert float((values == 0).double().mean()) == pytest.approx(rate, abs=0.004), "five deviations"
    assert float(values.mean()) == pytest.approx(1, abs=0.01)
    assert len(values.unique()) == 2
    assert leaf.grad is not None
    assert torch.equal(leaf.grad, result.detach()), "what is dropped learns nothing, what is kept is scaled"


def test_dropout_draws_every_element_by_itself() -> None:
    torch.manual_seed(2)
    kept = (Dropout(0.5)(torch.ones(20_000, 16)) > 0).double()
    correlations = torch.corrcoef(kept.T) - torch.eye(16)
    assert float(correlations.abs().max()) < 0.04, "neighbours share 64 random bits, and no more"
    again = (Dropout(0.5)(torch.ones(20_000, 16)) > 0).double()
    assert float((kept == again).double().mean()) == pytest.approx(0.5, abs=0.01)


def test_dropout_is_a_matter_of_seed_and_of_training() -> None:
    values = torch.randn(5, 9, 16).transpose(0, 1)
    layer = Dropout(0.3)
    found = []
    for _ in range(2):
        torch.manual_seed(3)
        found.append(layer(values))
    assert torch.equal(*found)
    assert layer.eval()(values) is values
    assert torch.equal(Dropout(0.0)(values), values)
    assert not Dropout(1.0)(values).any()


def test_a_network_gets_our_dropout_and_is_the_same_where_nothing_is_dropped() -> None:
    layer = nn.TransformerEncoderLayer(16, 2, 32, 0.2, batch_first=True)
    tokens = torch.randn(3, 5, 16)
    before = layer.eval()(tokens)
    found = with_fast_dropout(layer)
    assert [type(module) for module in found.modules() if isinstance(module, nn.Dropout)] == [Dropout] * 3
    assert {module.p for module in found.modules() if isinstance(module, nn.Dropout)} == {0.2}
    torch.testing.assert_close(found(tokens), before)


def test_the_transformer_layer_is_that_of_torch() -> None:
    tokens, hidden = torch.randn(4, 6, 16), torch.zeros(4, 6, dtype=torch.bool)
    hidden[1, 2:] = True
    found = []
    for make in (
        lambda: transformer_layer(16, 2, 0.3),
        lambda: nn.TransformerEncoderLayer(16, 2, 32, 0.1, "gelu", batch_first=True, norm_first=True),
    ):
        torch.manual_seed(0)
        layer = make()
        assert {part.p for part in layer.modules() if isinstance(part, nn.Dropout)} == {0.1}
        found.append(layer.eval()(tokens, src_key_padding_mask=hidden))
    torch.testing.assert_close(*found)
