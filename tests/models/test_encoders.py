"""Encoders of one modality: padding, masks and order have no influence, and the noise is known."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from mmmie.corpus.batching import Inputs, SequenceGroup
from mmmie.models.encoders import NOISE_FLOOR, ModalityEncoder, Noise, SequenceEncoder, Standardise

D, WIDTH = 3, 8
TOLERANCE = {"rtol": 1e-5, "atol": 1e-6}
"""Of float32 sums in another order."""


def standardise() -> Standardise:
    return Standardise(torch.tensor([1.0, -2.0, 5.0]), torch.tensor([2.0, 0.5, 0.0]))


def encoder(recurrent: bool = True) -> SequenceEncoder:
    torch.manual_seed(0)
    return SequenceEncoder(standardise(), D, WIDTH, 0.5, recurrent).eval()


def group(lengths: list[int], longest: int | None = None, seed: int = 0) -> SequenceGroup:
    longest = longest or max(lengths)
    values = torch.randn(len(lengths), 20, D, generator=torch.Generator().manual_seed(seed))[:, :longest]
    mask = torch.arange(longest) < torch.tensor(lengths)[:, None]
    return SequenceGroup(torch.arange(len(lengths)), values * mask[..., None], mask)


def pooled(reader: SequenceEncoder, *groups: SequenceGroup, rows: int) -> tuple[Tensor, Tensor]:
    with torch.no_grad():
        return reader(Inputs(groups=groups), rows)


def test_standardise_by_hand() -> None:
    values = torch.tensor([[3.0, -1.0, 5.0], [1.0, -2.0, 999.0], [1e9, 0.0, 0.0]])
    assert standardise()(values).tolist() == [[1, 2, 0], [0, 0, 0], [10, 4, 0]]


@pytest.mark.parametrize("recurrent", [True, False])
def test_padding_changes_nothing(recurrent: bool) -> None:
    reader, lengths = encoder(recurrent), [4, 1, 6]
    expected = pooled(reader, group(lengths), rows=3)
    for other in (group(lengths, 7), group(lengths, 20)):
        for ours, theirs in zip(pooled(reader, other, rows=3), expected, strict=True):
            torch.testing.assert_close(ours, theirs, **TOLERANCE)


@pytest.mark.parametrize("recurrent", [True, False])
def test_a_batch_of_one_and_other_groups_change_nothing(recurrent: bool) -> None:
    reader, whole = encoder(recurrent), group([4, 1, 6])
    expected = pooled(reader, whole, rows=3)[0]
    for row, length in enumerate([4, 1, 6]):
        one = SequenceGroup(
            torch.tensor([0]), whole.values_GTD[row : row + 1, :length], whole.mask_GT[row : row + 1, :length]
        )
        torch.testing.assert_close(pooled(reader, one, rows=1)[0][0], expected[row], **TOLERANCE)
    short = SequenceGroup(torch.tensor([1]), whole.values_GTD[1:2, :1], whole.mask_GT[1:2, :1])
    rest = torch.tensor([2, 0])
    long = SequenceGroup(rest, whole.values_GTD[rest], whole.mask_GT[rest])
    torch.testing.assert_close(pooled(reader, short, long, rows=3)[0], expected, **TOLERANCE)


@pytest.mark.parametrize("recurrent", [True, False])
def test_masked_frames_have_no_influence(recurrent: bool) -> None:
    reader, plain = encoder(recurrent), group([5, 5])
    mask = plain.mask_GT.clone()
    mask[0, [0, 2]] = False
    mask[1, 4] = False
    changed = plain.values_GTD.clone()
    changed[~mask] = 123.0
    before = pooled(reader, replace(plain, mask_GT=mask), rows=2)
    after = pooled(reader, replace(plain, values_GTD=changed, mask_GT=mask), rows=2)
    for ours, theirs in zip(after, before, strict=True):
        assert torch.equal(ours, theirs)
    assert not torch.allclose(before[0], pooled(reader, plain, rows=2)[0]), "unmasked they count"


@pytest.mark.parametrize("recurrent", [True, False])
def test_masked_frames_within_are_as_if_they_were_not_there(recurrent: bool) -> None:
    reader, plain = encoder(recurrent), group([5])
    mask = plain.mask_GT.clone()
    mask[0, [1, 3]] = False
    kept = SequenceGroup(plain.rows_G, plain.values_GTD[:, [0, 2, 4]], torch.ones(1, 3, dtype=torch.bool))
    for ours, theirs in zip(
        pooled(reader, replace(plain, mask_GT=mask), rows=1), pooled(reader, kept, rows=1), strict=True
    ):
        torch.testing.assert_close(ours, theirs, **TOLERANCE)


def test_the_order_of_frames_counts_where_it_is_a_sequence() -> None:
    plain = group([5])
    turned = replace(plain, values_GTD=plain.values_GTD.flip(1))
    for recurrent, counts in ((True, True), (False, False)):
        reader = encoder(recurrent)
        same = torch.allclose(pooled(reader, plain, rows=1)[0], pooled(reader, turned, rows=1)[0], atol=1e-6)
        assert same != counts


def test_frame_means_are_those_of_real_standardised_frames() -> None:
    plain = group([2, 3])
    means = pooled(encoder(), plain, rows=2)[1]
    for row, length in enumerate([2, 3]):
        expected = standardise()(plain.values_GTD[row, :length]).mean(0)
        torch.testing.assert_close(means[row], expected, **TOLERANCE)


def test_rows_without_any_frame_are_finite_and_rows_in_no_group_are_zero() -> None:
    reader, empty = encoder(), group([3, 0, 2])
    values, means = pooled(reader, empty, rows=5)
    assert torch.isfinite(values).all()
    assert not means[1].any()
    assert not values[3:].any()


def test_no_groups_at_all() -> None:
    values, means = pooled(encoder(), rows=2)
    assert values.shape == (2, WIDTH)
    assert means.shape == (2, D)


def modality_encoder(noise: str) -> ModalityEncoder:
    return ModalityEncoder(encoder(), WIDTH, WIDTH, 0.5, noise, 0.4).eval()


@pytest.mark.parametrize("noise", ["learned", "fixed"])
def test_the_sample_is_the_mean_and_the_known_noise(noise: str) -> None:
    whole, inputs = modality_encoder(noise), Inputs(groups=(group([3, 2]),))
    present, epsilon = torch.ones(2, dtype=torch.bool), torch.randn(2, WIDTH)
    plain = whole(inputs, present)
    assert torch.equal(plain.sample_ND, plain.mean_ND), "until noise is drawn"
    read = plain.sampled(epsilon)
    assert torch.equal(read.mean_ND, plain.mean_ND)
    torch.testing.assert_close(read.sample_ND, read.mean_ND + read.noise_D * epsilon)
    torch.testing.assert_close(read.noise_D, torch.full((WIDTH,), 0.4))
    learns = [name for name, p in whole.named_parameters() if "noise" in name and p.requires_grad]
    assert bool(learns) == (noise == "learned")


def test_without_noise_the_sample_is_the_mean() -> None:
    read = modality_encoder("none")(Inputs(groups=(group([3]),)), torch.tensor([True])).sampled(torch.randn(1, WIDTH))
    assert read.noise_D is None
    assert torch.equal(read.sample_ND, read.mean_ND)


def test_the_noise_cannot_vanish() -> None:
    noise = Noise(2, 0.4, learned=True)
    with torch.no_grad():
        noise.raw_D.fill_(-1e4)
    assert noise().tolist() == pytest.approx([NOISE_FLOOR] * 2)


def test_the_mean_is_layer_normalised_without_a_scale_of_its_own() -> None:
    read = modality_encoder("learned")(Inputs(groups=(group([3, 2]),)), torch.ones(2, dtype=torch.bool))
    torch.testing.assert_close(read.mean_ND.square().sum(1), torch.full((2,), float(WIDTH)), rtol=1e-3, atol=1e-3)


def test_the_constant_input_carries_no_gradient() -> None:
    read = modality_encoder("learned")(Inputs(groups=(group([3, 2]),)), torch.ones(2, dtype=torch.bool))
    assert read.mean_ND.requires_grad
    assert not read.input_NX.requires_grad
    assert read.input_NX.shape == (2, D)
