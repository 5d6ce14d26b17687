import pytest
import torch

from mmmie.errors import RecipeError
from mmmie.models.baselines.mag import MAG, MAGOptions
from mmmie.settings import ModelSettings

SETTINGS = ModelSettings(width=4, heads=2, context=1)


def test_the_shift_by_hand() -> None:
    """One utterance, one modality: gate relu(W [t; a] + b), times the projected voice, plus the bias."""
    mag = MAG(SETTINGS, ("text", "audio"), MAGOptions(beta=1.0))
    text, audio = torch.tensor([3.0, 0.0, 4.0, 0.0]), torch.tensor([0.1, 0.2, 0.0, 0.0])
    with torch.no_grad():
        mag.gates[0].weight.zero_()
        mag.gates[0].bias.copy_(torch.tensor([1.0, 2.0, -1.0, 1.0]))
        mag.shifts[0].weight.copy_(torch.eye(4))
        mag.bias_D.copy_(torch.tensor([0.0, 0.0, 0.3, 0.0]))
    shift = mag.shift(text[None, None], audio[None, None, None], torch.ones(1, 1, 1, dtype=torch.bool))
    torch.testing.assert_close(shift[0, 0], torch.tensor([0.1, 0.4, 0.3, 0.0]))


def test_the_shift_is_never_longer_than_the_text_allows() -> None:
    torch.manual_seed(0)
    mag = MAG(SETTINGS, ("text", "audio"), MAGOptions(beta=0.5))
    text, audio = torch.randn(6, 3, 4), torch.randn(6, 1, 3, 4) * 100
    shift = mag.shift(text, audio, torch.ones(6, 1, 3, dtype=torch.bool)).detach()
    assert bool((shift.norm(dim=-1) <= 0.5 * text.norm(dim=-1) + 1e-5).all())
    assert float((shift.norm(dim=-1) / text.norm(dim=-1)).max()) == pytest.approx(0.5, abs=1e-4)


def test_a_missing_modality_shifts_nothing() -> None:
    torch.manual_seed(0)
    mag = MAG(SETTINGS, ("text", "audio"), MAGOptions())
    shift = mag.shift(torch.randn(2, 3, 4), torch.randn(2, 1, 3, 4), torch.zeros(2, 1, 3, dtype=torch.bool))
    assert float(shift.detach().abs().max()) == 0


def test_without_text_there_is_nothing_to_shift() -> None:
    with pytest.raises(RecipeError, match=r"'mag' shifts text, and is given audio alone"):
        MAG(SETTINGS, ("audio",), MAGOptions())
