"""TFN against the explicit outer product; LMF of full rank against TFN."""

import torch

from mmmie.models.baselines.lmf import LMF, LMFOptions, low_rank_product
from mmmie.models.baselines.tfn import TFN, TFNOptions, outer_product, with_one
from mmmie.models.systems import Window
from mmmie.settings import ModelSettings

SETTINGS = ModelSettings(width=8, heads=2, context=0, dropout=0.0)


def test_the_product_holds_every_product_of_entries() -> None:
    a, b, c = torch.randn(2, 3), torch.randn(2, 4), torch.randn(2, 2)
    product = outer_product([a, b, c]).reshape(2, 3, 4, 2)
    for i in range(3):
        for j in range(4):
            for k in range(2):
                torch.testing.assert_close(product[:, i, j, k], a[:, i] * b[:, j] * c[:, k])


def test_ones_keep_single_modalities_and_pairs() -> None:
    a, b = torch.tensor([[2.0, 3.0]]), torch.tensor([[5.0]])
    assert outer_product([with_one(a), with_one(b)]).tolist() == [[1, 5, 2, 10, 3, 15]]


def test_tfn_scores_by_the_explicit_product() -> None:
    torch.manual_seed(0)
    tfn = TFN(SETTINGS, ("text", "audio"), TFNOptions(factor_dim=3)).eval()
    tokens = torch.randn(4, 2, 1, 8)
    text, audio = (torch.relu(shrink(tokens[:, m, 0])) for m, shrink in enumerate(tfn.shrink))
    ones = torch.ones(4, 1)
    product = torch.cat([ones, text], 1)[:, :, None] * torch.cat([ones, audio], 1)[:, None]
    score = tfn(Window(tokens, torch.ones(4, 2, 1, dtype=torch.bool))).score_B
    torch.testing.assert_close(score, tfn.head(product.flatten(1)).squeeze(-1))


def test_a_missing_modality_leaves_the_products_of_the_others() -> None:
    torch.manual_seed(0)
    tfn = TFN(SETTINGS, ("text", "audio"), TFNOptions(factor_dim=3)).eval()
    tokens = torch.randn(4, 2, 1, 8)
    mask = torch.tensor([True, False])[None, :, None].expand(4, 2, 1)
    text = torch.cat([torch.ones(4, 1), torch.relu(tfn.shrink[0](tokens[:, 0, 0]))], 1)
    alone = torch.nn.functional.pad(text[:, :, None], (0, 3)).flatten(1)
    torch.testing.assert_close(tfn(Window(tokens, mask)).score_B, tfn.head(alone).squeeze(-1))


def test_full_rank_is_any_linear_layer_on_the_product() -> None:
    """Rank F^2 holds every weight of F x F x F x H: a pair of unit factors for each entry, the rest in the third."""
    torch.manual_seed(0)
    F, H = 3, 5
    weight = torch.randn(F, F, F, H)
    factors = torch.zeros(3, F * F, F, H)
    for i in range(F):
        for j in range(F):
            factors[0, i * F + j, i] = 1
            factors[1, i * F + j, j] = 1
            factors[2, i * F + j] = weight[i, j]
    vectors = [torch.randn(7, F) for _ in range(3)]
    explicit = outer_product(vectors) @ weight.reshape(F**3, H)
    torch.testing.assert_close(low_rank_product(vectors, factors), explicit)


def test_lmf_of_full_rank_equals_tfn() -> None:
    torch.manual_seed(0)
    tfn = TFN(SETTINGS, ("text", "audio"), TFNOptions(factor_dim=2)).eval()
    lmf = LMF(SETTINGS, ("text", "audio"), LMFOptions(factor_dim=2, rank=3)).eval()
    first, last = tfn.head[1], tfn.head[3]
    with torch.no_grad():
        lmf.shrink.load_state_dict(tfn.shrink.state_dict())
        lmf.factors_MRFH.zero_()
        for i in range(3):
            lmf.factors_MRFH[0, i, i] = 1
            lmf.factors_MRFH[1, i] = first.weight.T.reshape(3, 3, 8)[i]
        lmf.bias_H.copy_(first.bias)
        lmf.head[2].load_state_dict(last.state_dict())
    window = Window(torch.randn(4, 2, 1, 8), torch.ones(4, 2, 1, dtype=torch.bool))
    torch.testing.assert_close(lmf(window).score_B, tfn(window).score_B)
