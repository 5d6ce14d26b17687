"""`predict` and the contract of a checkpoint: what does not fit is refused, and what fits gives one answer."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmmie.corpus.store import Corpus, TrainingParts
from mmmie.errors import CheckpointError
from mmmie.learning.checkpoint import weights_of
from mmmie.learning.prediction import predict
from mmmie.learning.training import fit
from mmmie.settings import Recipe
from tiny_corpora import write_corpus

Make = Callable[..., Recipe]


@pytest.fixture
def parts(corpus: Corpus) -> TrainingParts:
    return corpus.training()


def test_features_of_another_fingerprint_are_refused(tmp_path: Path, parts: TrainingParts, recipe: Make) -> None:
    run = fit(recipe(training={"epochs": 1}), parts, tmp_path / "run")
    other = write_corpus(tmp_path / "other.corpus", extractor="another")
    with pytest.raises(
        CheckpointError, match=r"trained on audio features of fingerprint \w{16}, and .*other.corpus gives"
    ):
        predict(run, other.training().valid)
    without = write_corpus(tmp_path / "without.corpus", audio=None)
    with pytest.raises(CheckpointError, match=r"trained with audio, and .* holds none"):
        predict(run, without.training().valid)


def test_a_text_encoder_that_has_changed_is_refused(
    tmp_path: Path, parts: TrainingParts, recipe: Make, encoder: Path
) -> None:
    own = shutil.copytree(encoder, tmp_path / "own")
    run = fit(recipe(text={"encoder": str(own)}, training={"epochs": 1}), parts, tmp_path / "run")
    predict(run, parts.valid)
    (own / "tokenizer_config.json").write_text((own / "tokenizer_config.json").read_text() + " ")
    with pytest.raises(CheckpointError, match="trained on text features"):
        predict(run, parts.valid)


@pytest.mark.parametrize(
    ("damage", "message"),
    [("truncated", "sha256"), ("missing", "no checkpoint"), ("other", "sha256")],
)
def test_a_damaged_checkpoint_is_refused(
    tmp_path: Path, parts: TrainingParts, recipe: Make, damage: str, message: str
) -> None:
    run = fit(recipe(training={"epochs": 1}), parts, tmp_path / "run")
    file = run.path / "checkpoint" / "model.safetensors"
    if damage == "missing":
        file.unlink()
    else:
        content = file.read_bytes()
        file.write_bytes(content[:-4] if damage == "truncated" else content[:-4] + b"abcd")
    with pytest.raises(CheckpointError, match=message):
        predict(run, parts.valid)
    with pytest.raises(CheckpointError, match=message):
        fit(recipe(training={"epochs": 1}), parts, tmp_path / "after", start=run)
    assert not (tmp_path / "after").exists()


FULL = {"depth": "full", "passage_tokens": 40}


@pytest.mark.parametrize("sections", [{}, {"text": FULL}, {"text": {**FULL, "lora_rank": 2}}])
def test_predictions_do_not_depend_on_the_batch(
    tmp_path: Path, parts: TrainingParts, recipe: Make, sections: dict[str, Any]
) -> None:
    run = fit(recipe(training={"epochs": 1}, **sections), parts, tmp_path / "run")
    scores = predict(run, parts.valid)
    assert scores.dtype == np.float32
    assert len(scores) == len(parts.valid)
    np.testing.assert_array_equal(scores, predict(run.path, parts.valid))


@pytest.mark.parametrize("text", [FULL, {**FULL, "lora_rank": 2}, {"depth": "top", "top_layers": 1, "lora_rank": 2}])
def test_a_checkpoint_holds_of_the_text_encoder_what_was_trained(
    tmp_path: Path, parts: TrainingParts, recipe: Make, text: dict[str, Any]
) -> None:
    run = fit(recipe(text=text, training={"epochs": 2, "encoder_learning_rate": 1e-2}), parts, tmp_path / "run")
    names = [name for name in weights_of(run) if ".reader.network." in name]
    assert names
    assert not any("embeddings" in name for name in names)
    matrices = [name for name in names if name.endswith("query.weight")]
    factors = [name for name in names if name.endswith(("query.up_OR", "query.down_RI"))]
    assert bool(matrices) != bool(factors)
    np.testing.assert_allclose(
        np.abs(predict(run, parts.valid) - parts.valid.labels).mean(), run.status["best_valid_mae"]
    )


def test_another_rank_to_begin_with_is_refused(tmp_path: Path, parts: TrainingParts, recipe: Make) -> None:
    short = {"epochs": 1}
    whole = fit(recipe(text=FULL, training=short), parts, tmp_path / "whole")
    low = fit(recipe(text={**FULL, "lora_rank": 2}, training=short), parts, tmp_path / "low")
    with pytest.raises(CheckpointError, match=r"whole trained its text encoder with text.lora_rank = 0, and .* has 2"):
        fit(low.recipe, parts, tmp_path / "after", start=whole)
    with pytest.raises(CheckpointError, match=r"lora_rank = 2, and this recipe has 0"):
        fit(whole.recipe, parts, tmp_path / "after", start=low)
    fit(recipe(training=short), parts, tmp_path / "frozen", start=low)
    after = fit(low.recipe, parts, tmp_path / "after", start=low)
    assert after.recipe.text.lora_rank == 2
