"""The whole network: what may not matter does not, and what is switched on does."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from mmmie.corpus.batching import Batch, Batcher, Inputs, SequenceGroup, TokenGroup
from mmmie.corpus.store import Corpus
from mmmie.learning.assembly import build, fit_scalers, modalities_of, shapes_of, sources_of
from mmmie.models.network import Network
from tiny_corpora import make_recipe

TOLERANCE = {"rtol": 1e-4, "atol": 1e-5}
"""Of float32 sums in another order, through three networks."""


@pytest.fixture(params=["frozen", "top", "full"])
def depth(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def assemble(corpus: Corpus, encoder: Path) -> Callable[..., tuple[Network, Batcher]]:
    def make(depth: str = "frozen", seed: int = 0, **sections: Any) -> tuple[Network, Batcher]:
        text = {"encoder": str(encoder), "depth": depth, "top_layers": 1}
        recipe = make_recipe(corpus.path, text=text, **sections)
        part = corpus.training().train
        modalities = modalities_of(recipe, part)
        sources = sources_of(part, recipe, modalities)
        torch.manual_seed(seed)
        model = build(recipe, shapes_of(part, recipe, modalities), 0.1, 0.7)
        fit_scalers(model, sources)
        return model.eval(), Batcher(part, sources, recipe.model.context)

    return make


def scores(model: Network, batch: Batch, **more: Any) -> torch.Tensor:
    with torch.no_grad():
        return model(batch, **more).score_B


TARGETS = np.array([0, 3, 7, 14, 31, 52])


def test_scores_are_those_of_each_target_alone(assemble: Callable, depth: str) -> None:
    model, batcher = assemble(depth)
    together = scores(model, batcher.batch(TARGETS))
    alone = torch.cat([scores(model, batcher.batch(TARGETS[i : i + 1])) for i in range(len(TARGETS))])
    torch.testing.assert_close(alone, together, **TOLERANCE)
    assert together.std() > 1e-3, "targets differ"


def test_permuting_the_batch_permutes_the_scores(assemble: Callable, depth: str) -> None:
    model, batcher = assemble(depth)
    order = np.array([4, 0, 5, 2, 1, 3])
    permuted = scores(model, batcher.batch(TARGETS[order]))
    torch.testing.assert_close(permuted, scores(model, batcher.batch(TARGETS))[order], **TOLERANCE)


def _padded(batch: Batch) -> Batch:
    """Every sequence with three more steps of padding, full of numbers."""

    def more(group: Any) -> Any:
        names = ("inputs_GT", "owner_GT") if isinstance(group, TokenGroup) else ("values_GTD",)
        mask = group.mask_GT
        longer = {"mask_GT": torch.cat([mask, mask.new_zeros(len(mask), 3)], 1)}
        for name in names:
            values = getattr(group, name)
            fill = values.new_full((values.shape[0], 3, *values.shape[2:]), -1 if name == "owner_GT" else 1)
            longer[name] = torch.cat([values, fill], 1)
        return replace(group, **longer)

    inputs = {
        name: replace(i, groups=tuple(map(more, i.groups)), tokens=tuple(map(more, i.tokens)))
        for name, i in batch.inputs.items()
    }
    return replace(batch, inputs=inputs)


def test_padding_changes_nothing(assemble: Callable, depth: str) -> None:
    model, batcher = assemble(depth)
    batch = batcher.batch(TARGETS)
    torch.testing.assert_close(scores(model, _padded(batch)), scores(model, batch), **TOLERANCE)


def _with_values(batch: Batch, name: str, changed: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> Batch:
    """`changed(values_GTD, hidden_GT)` in place of the frames; hidden are masked frames and those of absent rows."""
    groups = tuple(
        replace(g, values_GTD=changed(g.values_GTD, ~g.mask_GT | ~batch.present[name][g.rows_G][:, None]))
        for g in batch.inputs[name].groups
    )
    return replace(batch, inputs={**batch.inputs, name: replace(batch.inputs[name], groups=groups)})


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", ["text", "audio", "vision"])
def test_what_is_absent_or_masked_has_no_influence(assemble: Callable, name: str, training: bool) -> None:
    model, batcher = assemble(model={"dropout": 0.0})
    model.train(training)
    batch = batcher.batch(np.arange(60))
    other = _with_values(batch, name, lambda values, hidden: torch.where(hidden[..., None], 77.0, values))
    assert not torch.equal(
        torch.cat([g.values_GTD.flatten() for g in other.inputs[name].groups]),
        torch.cat([g.values_GTD.flatten() for g in batch.inputs[name].groups]),
    )
    assert torch.equal(model(other).score_B, model(batch).score_B), "to the bit"
    seen = _with_values(batch, name, lambda values, hidden: torch.where(hidden[..., None], values, -values))
    assert not torch.allclose(model(seen).score_B, model(batch).score_B)


@pytest.mark.parametrize("name", ["text", "audio", "vision"])
def test_a_modality_that_is_not_visible_has_no_influence(assemble: Callable, name: str, depth: str) -> None:
    model, batcher = assemble(depth)
    batch = batcher.batch(TARGETS)
    visible = {m: torch.full_like(batch.rows_N, m != name, dtype=torch.bool) for m in model.modalities}
    before = scores(model, batch, visible=visible)
    with torch.no_grad():
        for parameter in model.encoders[name].parameters():
            parameter.add_(0.3)
    assert torch.equal(scores(model, batch, visible=visible), before)
    assert not torch.equal(scores(model, batch), before)


def test_absent_neighbours_have_no_influence(assemble: Callable) -> None:
    model, batcher = assemble(model={"context": 2})
    batch = batcher.batch(np.array([0, 4]))
    assert (batch.window_BU < 0).any()
    gaps = batch.window_BU < 0
    other = replace(
        batch,
        role_BU=torch.where(gaps, 1, batch.role_BU),
        same_speaker_BU=torch.where(gaps, 2, batch.same_speaker_BU),
    )
    assert torch.equal(scores(model, other), scores(model, batch))


def test_neighbours_have_influence_and_others_none(assemble: Callable) -> None:
    model, batcher = assemble(model={"context": 1, "modalities": ["audio"]})
    batch = batcher.batch(np.arange(5))
    before = scores(model, batch)
    place = 2
    groups = tuple(
        replace(g, values_GTD=torch.where((g.rows_G == place)[:, None, None], -g.values_GTD, g.values_GTD))
        for g in batch.inputs["audio"].groups
    )
    assert batch.present["audio"].tolist()[1] is True
    after = scores(model, replace(batch, inputs={"audio": Inputs(groups=groups)}))
    here = bool(batch.present["audio"][place])
    changed = ~torch.isclose(before, after, rtol=1e-4, atol=1e-5)
    assert changed.tolist() == ([False, True, True, True, False] if here else [False] * 5)
    assert here or not changed.any()


def test_all_modalities_missing_at_the_target_and_everywhere(assemble: Callable) -> None:
    model, batcher = assemble()
    batch = batcher.batch(TARGETS)
    target = batch.window_BU[0, 1]
    visible = {m: torch.arange(len(batch.rows_N)) != target for m in model.modalities}
    assert torch.isfinite(scores(model, batch, visible=visible)).all()
    nothing = {m: torch.zeros(len(batch.rows_N), dtype=torch.bool) for m in model.modalities}
    blind = scores(model, batch, visible=nothing)
    assert torch.isfinite(blind).all()
    assert torch.allclose(blind, blind[0].expand_as(blind)), "who sees nothing says the same of everyone"


def test_one_frame_and_constant_columns(assemble: Callable) -> None:
    model, batcher = assemble(model={"modalities": ["audio"]})
    one = batcher.batch(TARGETS)
    cut = tuple(SequenceGroup(g.rows_G, g.values_GTD[:, :1], g.mask_GT[:, :1]) for g in one.inputs["audio"].groups)
    assert torch.isfinite(scores(model, replace(one, inputs={"audio": Inputs(groups=cut)}))).all()
    reader = model.encoders["audio"].reader
    assert reader.standardise.scale_D.tolist()[-1] == 0.0, "the constant column is silent"
    assert min(reader.standardise.scale_D.tolist()[:-1]) > 0
    shifted = _with_values(one, "audio", lambda v, h: v + torch.tensor([0, 0, 0, 55.0]))
    assert torch.equal(scores(model, shifted), scores(model, one))


def test_gradients_reach_everything_that_learns(assemble: Callable, depth: str) -> None:
    model, batcher = assemble(depth, model={"dropout": 0.0, "context": 1})
    batch = batcher.batch(np.arange(30))
    epsilon = torch.randn(3, len(batch.rows_N), 16, generator=torch.Generator().manual_seed(0))
    (model(batch, epsilon).score_B - batch.label_B).square().mean().backward()
    silent = [n for n, p in model.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())]
    # A pooler is never read, one vector is not pooled, and a softmax does not see what is added to all of its scores.
    expected = ("pooler", "attention.bias", "key.bias", "vision.reader.attention", "text.reader.attention")
    assert [name for name in silent if not any(part in name for part in expected)] == []


def test_a_representation_is_encoded_once_for_all_its_windows(assemble: Callable) -> None:
    model, batcher = assemble()
    batch = batcher.batch(np.arange(5))
    with torch.no_grad():
        prediction = model(batch)
    assert {len(r.mean_ND) for r in prediction.representations.values()} == {5}


@pytest.mark.parametrize("identity", ["role", "modality", "same_speaker"])
def test_each_identity_is_a_switch(assemble: Callable, identity: str) -> None:
    off = {"role": False, "modality": False, "same_speaker": False}
    for is_on in (True, False):
        model, batcher = assemble(model={"identity": {**off, identity: is_on}, "context": 1})
        batch = batcher.batch(TARGETS)
        before = scores(model, batch)
        assert (getattr(model.identity, identity) is not None) == is_on
        roles = scores(model, replace(batch, role_BU=batch.role_BU.flip(1)))
        speakers = scores(model, replace(batch, same_speaker_BU=2 - batch.same_speaker_BU))
        assert torch.equal(roles, before) == (not (is_on and identity == "role"))
        assert torch.equal(speakers, before) == (not (is_on and identity == "same_speaker"))
        if is_on:
            with torch.no_grad():
                getattr(model.identity, identity).weight.mul_(-3)
            assert not torch.allclose(scores(model, batch), before)
        else:
            assert list(model.identity.parameters()) == []


def test_without_identities_the_order_of_neighbours_says_nothing(assemble: Callable) -> None:
    off = {"role": False, "modality": False, "same_speaker": False}
    for identity, blind in ((off, True), ({"same_speaker": False}, False)):
        model, batcher = assemble(model={"identity": identity, "context": 1})
        batch = batcher.batch(np.array([1, 7, 33]))
        swapped = replace(batch, window_BU=batch.window_BU[:, [2, 1, 0]])
        same = torch.allclose(scores(model, swapped), scores(model, batch), rtol=1e-5, atol=1e-6)
        assert same == blind


def test_identities_enter_after_the_representations(assemble: Callable) -> None:
    model, batcher = assemble()
    batch = batcher.batch(TARGETS)
    with torch.no_grad():
        before = model(batch).representations
        for parameter in model.identity.parameters():
            parameter.add_(1.0)
        after = model(replace(batch, role_BU=batch.role_BU.flip(1))).representations
    for name in before:
        assert torch.equal(before[name].sample_ND, after[name].sample_ND)
    grads = torch.autograd.grad(
        sum(r.mean_ND.sum() for r in model(batch).representations.values()),
        list(model.identity.parameters()),
        allow_unused=True,
    )
    assert grads
    assert all(gradient is None for gradient in grads)


def test_save_and_load_give_the_same_scores(assemble: Callable, depth: str, tmp_path: Path) -> None:
    model, batcher = assemble(depth, seed=1)
    batch = batcher.batch(TARGETS)
    save_file({n: t.contiguous() for n, t in model.state_dict().items()}, tmp_path / "m.safetensors")
    other, _ = assemble(depth, seed=2)
    assert not torch.equal(scores(other, batch), scores(model, batch))
    other.load_state_dict(load_file(tmp_path / "m.safetensors"))
    assert torch.equal(scores(other, batch), scores(model, batch))


def test_scores_are_in_units_of_the_label(assemble: Callable) -> None:
    model, batcher = assemble()
    batch = batcher.batch(TARGETS)
    plain = scores(model, batch)
    with torch.no_grad():
        model.label_centre.add_(1.0)
        model.label_scale.mul_(2.0)
    torch.testing.assert_close(scores(model, batch), 2 * (plain - 0.1) + 1.1, rtol=1e-5, atol=1e-6)
