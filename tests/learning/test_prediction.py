"""`predict` and the contract of a checkpoint: what does not fit is refused, and what fits gives one answer."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmmie.corpus.store import Corpus, TrainingParts
from mmmie.errors import CheckpointError
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


@pytest.mark.parametrize("sections", [{}, {"text": {"depth": "full", "passage_tokens": 40}}])
def test_predictions_do_not_depend_on_the_batch(
    tmp_path: Path, parts: TrainingParts, recipe: Make, sections: dict[str, Any]
) -> None:
    run = fit(recipe(training={"epochs": 1}, **sections), parts, tmp_path / "run")
    scores = predict(run, parts.valid)
    assert scores.dtype == np.float32
    assert len(scores) == len(parts.valid)
    np.testing.assert_array_equal(scores, predict(run.path, parts.valid))
