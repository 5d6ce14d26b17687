"""The text of a part at the three depths of training: one representation, whichever way it is computed."""

from pathlib import Path

import numpy as np
import pytest
import torch

from mmmie.corpus.batching import Batcher
from mmmie.corpus.resplit import ResplitSettings, resplit
from mmmie.corpus.store import Corpus, Part
from mmmie.errors import RecipeError
from mmmie.features.text import TextEncoder
from mmmie.features.text_sources import FrozenText, TopText, TrainedText, text_source
from mmmie.models import token_encoder
from mmmie.models.token_encoder import TokenEncoder
from mmmie.models.token_row import ROW_STEP
from mmmie.settings import TextSettings
from tiny_corpora import write_corpus, write_encoder

HALF = 4e-3
"""Relative rounding of stored float16 means and, through two layers, of stored bfloat16 states."""


@pytest.fixture
def part(tmp_path: Path) -> Part:
    return write_corpus(tmp_path / "tiny.corpus").training().train


def means(part: Part, settings: TextSettings, targets: np.ndarray) -> torch.Tensor:
    """What the model reads of the text of some targets, by the source and the encoder of a depth."""
    batch = Batcher(part, {"text": text_source(part, settings, "float32")}, 1).batch(targets)
    inputs = batch.inputs["text"]
    if settings.depth == "frozen":
        (group,) = inputs.groups
        return group.values_GTD[:, 0]
    found = TextEncoder.find(settings)
    top = settings.top_layers if settings.depth == "top" else None
    reader = TokenEncoder(found.load(), found.width, found.num_states, top, use_bfloat16=False).eval()
    with torch.no_grad():
        return reader(inputs, len(batch.rows_N))


@pytest.mark.parametrize("kind", ["bert", "roberta", "mpnet"])
@pytest.mark.parametrize("top_layers", [1, 2, 3])
def test_the_three_depths_agree_before_training(part: Part, tmp_path: Path, kind: str, top_layers: int) -> None:
    folder = str(write_encoder(tmp_path / kind, kind))
    targets = np.array([0, 1, 2, 7, 30, 42, 59])
    frozen = means(part, TextSettings(encoder=folder, depth="frozen"), targets)
    full = means(part, TextSettings(encoder=folder, depth="full"), targets)
    top = means(part, TextSettings(encoder=folder, depth="top", top_layers=top_layers), targets)
    assert frozen.shape == full.shape == top.shape == (frozen.shape[0], 4 * 16)
    scale = float(frozen.abs().max())
    torch.testing.assert_close(full, frozen, rtol=HALF, atol=HALF * scale)
    torch.testing.assert_close(top, full, rtol=2**-6, atol=2**-6 * scale)
    assert float((full - full.mean(0)).abs().max()) > 0.1, "utterances differ"


@pytest.mark.parametrize("kind", ["bert", "roberta", "mpnet"])
def test_passages_agree_frozen_and_trained_and_differ_from_single_reading(
    part: Part, tmp_path: Path, kind: str
) -> None:
    folder = str(write_encoder(tmp_path / kind, kind))
    everything = np.arange(len(part))  # whole videos: a smaller batch reads shorter passages
    frozen = means(part, TextSettings(encoder=folder, passage_tokens=32), everything)
    full = means(part, TextSettings(encoder=folder, depth="full", passage_tokens=32), everything)
    alone = means(part, TextSettings(encoder=folder), everything)
    torch.testing.assert_close(full, frozen, rtol=HALF, atol=HALF * float(frozen.abs().max()))
    assert float((alone - frozen).abs().max()) > 0.1


def test_padding_and_batching_change_nothing(part: Part, encoder: Path) -> None:
    settings = TextSettings(encoder=str(encoder), depth="full")
    many = means(part, settings, np.arange(len(part)))
    one = torch.cat([means(part, settings, np.array([row]))[min(1, row % 5)][None] for row in (5, 12, 19)])
    torch.testing.assert_close(one, many[[5, 12, 19]], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["bert", "mpnet"])
def test_an_encoder_that_reads_no_rows_gives_the_same_group_after_group(
    part: Part, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = TextSettings(encoder=str(write_encoder(tmp_path / kind, kind)), depth="full", passage_tokens=32)
    everything = np.arange(len(part))
    in_rows = means(part, settings, everything)
    monkeypatch.setattr(token_encoder, "read_rows", lambda _: None)
    torch.testing.assert_close(means(part, settings, everything), in_rows, rtol=1e-4, atol=1e-5)


def test_where_nothing_learns_the_encoder_reads_few_tokens_at_once(
    part: Part, encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = TextSettings(encoder=str(encoder), depth="full", passage_tokens=32)
    batch = Batcher(part, {"text": text_source(part, settings, "float32")}, 1).batch(np.arange(len(part)))
    found = TextEncoder.find(settings)
    reader = TokenEncoder(found.load(), found.width, found.num_states, None, use_bfloat16=False).eval()
    shapes: list[torch.Size] = []
    reader.network.register_forward_pre_hook(
        lambda _, __, given: shapes.append(given["input_ids"].shape), with_kwargs=True
    )

    whole = reader(batch.inputs["text"], len(batch.rows_N))
    ((sequences, tokens),) = shapes
    assert sequences == 1, "while it learns all groups are one pass"
    assert tokens > 70

    shapes.clear()
    monkeypatch.setattr(token_encoder, "TOKENS_AT_ONCE", 70)
    with torch.no_grad():
        parts = reader(batch.inputs["text"], len(batch.rows_N))
    assert max(shape.numel() for shape in shapes) <= 70 + ROW_STEP
    assert len(shapes) > 1
    torch.testing.assert_close(parts, whole.detach(), rtol=1e-4, atol=1e-5)


def test_absent_text_is_zero_and_not_present(part: Part, encoder: Path) -> None:
    absent = [row for row, text in enumerate(part.texts) if text is None]
    empty = [row for row, text in enumerate(part.texts) if text == ""]
    assert absent
    assert empty
    for depth in ("frozen", "top", "full"):
        settings = TextSettings(encoder=str(encoder), depth=depth, top_layers=1)
        source = text_source(part, settings, "float32")
        assert not source.present[absent].any()
        assert source.present[empty].all(), "empty is said, and read as one unknown token"
        values = means(part, settings, np.arange(len(part)))
        assert not values[absent].any()
        assert values[empty].any()


def test_a_part_without_any_text(tmp_path: Path, encoder: Path) -> None:
    part = write_corpus(tmp_path / "silent.corpus", text=False).training().train
    for depth in ("frozen", "top", "full"):
        values = means(part, TextSettings(encoder=str(encoder), depth=depth, top_layers=1), np.arange(4))
        assert not values.any()


def test_sources_are_of_the_kind_that_was_asked_for(part: Part, encoder: Path) -> None:
    kinds = {"frozen": FrozenText, "top": TopText, "full": TrainedText}
    for depth, kind in kinds.items():
        settings = TextSettings(encoder=str(encoder), depth=depth, top_layers=1)
        assert isinstance(text_source(part, settings, "float32"), kind)


def test_a_constant_input_is_given_where_it_is_asked_for(part: Part, encoder: Path) -> None:
    settings = TextSettings(encoder=str(encoder), depth="full")
    rows, videos = np.arange(6), part.video_codes[:6]
    assert text_source(part, settings, "float32").collate(rows, videos).frozen_ND is None
    constant = text_source(part, settings, "float32", frozen_too=True).collate(rows, videos).frozen_ND
    frozen = text_source(part, TextSettings(encoder=str(encoder)), "float32").collate(rows, videos)
    assert constant is not None
    assert torch.equal(constant, frozen.groups[0].values_GTD[:, 0])


def test_a_resplit_computes_nothing_that_is_stored_beside_it(
    tmp_path: Path, encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = write_corpus(tmp_path / "tiny.corpus")
    settings = TextSettings(encoder=str(encoder))
    for part in corpus.training():
        text_source(part, settings, "float32")
    text_source(corpus.everything(), settings, "float32")
    out = tmp_path / "other.corpus"
    resplit(corpus, out, ResplitSettings(seed=3, include_test=True))
    monkeypatch.setattr(TextEncoder, "load", lambda self: pytest.fail("the encoder was loaded again"))
    for part in Corpus.open(out).training():
        text_source(part, settings, "float32")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"depth": "top", "top_layers": 4}, "has 3 layers"),
        ({"depth": "top", "top_layers": 1, "passage_tokens": 64}, "passage_tokens = 0"),
        ({"max_tokens": 158}, "at most 158"),
        ({"passage_tokens": 200}, "of 200 tokens .* at most 158"),
    ],
)
def test_the_impossible_is_refused(part: Part, encoder: Path, settings: dict, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        text_source(part, TextSettings(encoder=str(encoder), **settings), "float32")


def test_an_encoder_whose_layers_are_elsewhere_cannot_train_its_top(part: Part, encoder: Path) -> None:
    found = TextEncoder.find(TextSettings(encoder=str(encoder)))
    network = found.load()
    network.encoder.blocks = network.encoder.layer
    del network.encoder.layer
    with pytest.raises(RecipeError, match=r"text\.depth = 'full'"):
        TokenEncoder(network, found.width, found.num_states, 1, use_bfloat16=False)


@pytest.mark.slow
def test_the_packaged_encoder_at_three_depths(part: Part) -> None:
    targets = np.array([0, 7, 30])
    frozen = means(part, TextSettings(), targets)
    full = means(part, TextSettings(depth="full"), targets)
    top = means(part, TextSettings(depth="top", top_layers=3), targets)
    assert frozen.shape[1] == 7 * 384
    torch.testing.assert_close(full, frozen, rtol=HALF, atol=HALF * float(frozen.abs().max()))
    torch.testing.assert_close(top, full, rtol=2**-6, atol=2**-6 * float(full.abs().max()))
