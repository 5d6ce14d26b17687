import torch

from mmmie.models.baselines.late_fusion import LateFusion
from mmmie.models.systems import Options, Reading, Window
from mmmie.settings import ModelSettings


def test_the_score_is_the_weighted_mean_of_what_is_present() -> None:
    torch.manual_seed(0)
    late = LateFusion(ModelSettings(width=8, heads=2, context=0), ("text", "audio"), Options()).eval()
    with torch.no_grad():
        late.weight_M.copy_(torch.tensor([3.0, 1.0]).log())
    mask = torch.tensor([[True, True], [True, False], [False, True], [False, False]])[..., None]
    reading = late(Window(torch.randn(4, 2, 1, 8), mask))
    text, audio = reading.kept["alone_BM"].T
    expected = torch.stack([0.75 * text[0] + 0.25 * audio[0], text[1], audio[2], torch.tensor(0.0)])
    torch.testing.assert_close(reading.score_B, expected)


def test_each_modality_is_trained_where_it_is_present() -> None:
    late = LateFusion(ModelSettings(width=8, heads=2, context=0), ("text", "audio"), Options())
    kept = {
        "alone_BM": torch.tensor([[1.0, 5.0], [2.0, 9.0]]),
        "present_BM": torch.tensor([[True, True], [True, False]]),
    }
    losses = late.make_losses(2)(Reading(torch.zeros(2), kept), torch.tensor([0.0, 1.0]), torch.arange(2))
    assert {loss.name: (float(loss.value), loss.weight) for loss in losses} == {
        "alone text": (1.0, 0.5),
        "alone audio": (5.0, 0.5),
    }
