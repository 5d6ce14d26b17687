"""What text asks of audio and vision, by hand-made attention."""

import pytest
import torch

from mmmie.errors import RecipeError
from mmmie.models.baselines.almt import ALMT, ALMTOptions, HyperLayer
from mmmie.models.systems import Window
from mmmie.settings import ModelSettings

WIDTH = 4
SETTINGS = ModelSettings(system="almt", width=WIDTH, heads=1, context=1, dropout=0.0)


def passing_layer(num_sources: int) -> HyperLayer:
    """A step whose attention compares, takes and gives vectors as they are."""
    layer = HyperLayer(SETTINGS, num_sources).eval()
    for attend in layer.attend:
        attend.in_proj_weight.data = torch.eye(WIDTH).repeat(3, 1)
        attend.in_proj_bias.data.zero_()
        attend.out_proj.weight.data = torch.eye(WIDTH)
        attend.out_proj.bias.data.zero_()
    return layer


def test_the_hyper_modality_takes_up_what_the_query_finds() -> None:
    layer = passing_layer(2)
    query = torch.tensor([[[1.0, -1.0, 0.0, 0.0]]])
    normed = layer.norm(query)
    audio = torch.tensor([[[4.0, 0.0, 1.0, 0.0], [0.0, 4.0, 0.0, 1.0]]])
    vision = torch.tensor([[[0.0, 0.0, 2.0, 2.0]]])
    hyper = torch.full((1, 1, WIDTH), 0.5)
    audio_mask, vision_mask = torch.zeros(1, 2, dtype=torch.bool), torch.zeros(1, 1, dtype=torch.bool)
    expected = hyper
    for tokens in (audio, vision):
        # Beside the tokens stands a zero, so that nothing can be found too.
        keys = torch.cat([tokens, torch.zeros(1, 1, WIDTH)], dim=1)
        share = (normed @ keys.transpose(1, 2) / WIDTH**0.5).softmax(-1)
        expected = expected + share @ keys
    found = layer(hyper, query, [(audio, audio_mask), (vision, vision_mask)]).detach()
    torch.testing.assert_close(found, expected.detach())
    assert float(found[0, 0, 2]) > float(found[0, 0, 3]), "text that looks along dimension 0 finds the first token"


def test_a_source_that_is_hidden_adds_nothing() -> None:
    layer = passing_layer(1)
    hyper, text = torch.randn(1, 2, WIDTH), torch.randn(1, 2, WIDTH)
    hidden = torch.ones(1, 3, dtype=torch.bool)
    torch.testing.assert_close(layer(hyper, text, [(torch.randn(1, 3, WIDTH), hidden)]), hyper)


def made(modalities: tuple[str, ...] = ("text", "audio", "vision"), depth: int = 3) -> ALMT:
    torch.manual_seed(0)
    return ALMT(SETTINGS, modalities, ALMTOptions(depth=depth)).eval()


def test_each_depth_of_the_text_asks_once() -> None:
    for depth in (1, 3):
        network = made(depth=depth)
        assert (len(network.ask), len(network.layers)) == (depth, depth - 1)


def test_audio_is_heard_where_the_target_has_no_text() -> None:
    network = made()
    tokens = torch.randn(3, 3, 3, WIDTH, generator=torch.Generator().manual_seed(1))
    mask = torch.ones(3, 3, 3, dtype=torch.bool)
    mask[:, 0] = False
    other = tokens.clone()
    other[:, 1, 1] += torch.tensor([3.0, -3.0, 1.0, 0.0])
    assert (network(Window(other, mask)).score_B - network(Window(tokens, mask)).score_B).abs().min() > 1e-5


def test_a_corpus_without_text_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"'almt' is guided by text, and the corpus gives audio"):
        made(("audio",))
