"""MMMIE's fusion: what its two readouts make of the target's tokens."""

import pytest
import torch

from mmmie.errors import RecipeError
from mmmie.models.fusion import EachModality, Fusion, FusionOptions, MeanOfModalities
from mmmie.models.systems import Window, read_options
from mmmie.settings import ModelSettings

NAMES = ("text", "audio")


def test_each_modality_by_hand():
    head = EachModality(2, NAMES, dropout=0.5).eval()
    with torch.no_grad():
        head.query.weight.copy_(torch.eye(2))
        head.query.bias.zero_()
        head.present["text"].weight.copy_(2 * torch.eye(2))
        head.present["audio"].weight.copy_(3 * torch.eye(2))
        head.missing["audio"].copy_(torch.tensor([10.0, 20.0]))
        head.score[2].weight.copy_(torch.tensor([[1.0, 1.0]]))
        head.score[2].bias.zero_()
    query_BD = torch.tensor([[1.0, 1.0], [1.0, 1.0]])
    target_BMD = torch.tensor([[[1.0, 2.0], [5.0, 6.0]], [[1.0, 2.0], [torch.nan, torch.nan]]])
    present_BM = torch.tensor([[True, True], [True, False]])
    read = head(query_BD, target_BMD, present_BM).squeeze(-1)
    expected = torch.tensor([[1 + 2 + 15.0, 1 + 4 + 18.0], [1 + 2 + 10.0, 1 + 4 + 20.0]])
    torch.testing.assert_close(read, torch.nn.functional.gelu(expected).sum(1))


def test_the_mean_is_over_those_present():
    head = MeanOfModalities(torch.nn.Linear(4, 1, bias=False))
    with torch.no_grad():
        head[0].weight.copy_(torch.tensor([[1.0, 0.0, 1.0, 0.0]]))
    query_BD = torch.tensor([[100.0, 0.0]]).expand(3, 2)
    target_BMD = torch.tensor([[[1.0, 0.0], [3.0, 0.0]]]).expand(3, 2, 2)
    present_BM = torch.tensor([[True, True], [True, False], [False, False]])
    assert head(query_BD, target_BMD, present_BM).squeeze(-1).tolist() == [102.0, 101.0, 100.0]


@pytest.mark.parametrize("readout", ["each", "mean"])
def test_a_target_without_any_modality_is_read_from_its_context(readout):
    torch.manual_seed(0)
    fusion = Fusion(ModelSettings(width=8, heads=2), NAMES, FusionOptions(readout=readout)).eval()
    tokens_BMUD = torch.randn(1, 2, 5, 8)
    mask_BMU = torch.ones(1, 2, 5, dtype=torch.bool)
    mask_BMU[:, :, 2] = False
    score = fusion(Window(tokens_BMUD, mask_BMU)).score_B
    tokens_BMUD[:, :, 2] = 100.0
    assert torch.equal(fusion(Window(tokens_BMUD, mask_BMU)).score_B, score), "a masked token has no influence"
    tokens_BMUD[:, :, 1, 0] += 1.0
    assert not torch.allclose(fusion(Window(tokens_BMUD, mask_BMU)).score_B, score)


def test_what_one_corpus_taught_of_text_has_the_same_names_where_there_is_audio_too():
    alone = Fusion(ModelSettings(width=8, heads=2), ("text",), FusionOptions()).state_dict()
    both = Fusion(ModelSettings(width=8, heads=2), NAMES, FusionOptions()).state_dict()
    assert {name: w.shape for name, w in alone.items()}.items() <= {name: w.shape for name, w in both.items()}.items()
    assert both.keys() - alone.keys() == {"head.present.audio.weight", "head.missing.audio"}


def test_readouts_are_two():
    with pytest.raises(RecipeError, match="readout"):
        read_options(ModelSettings(options={"readout": "max"}))
