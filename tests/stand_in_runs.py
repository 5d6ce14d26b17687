"""Runs without training: real folders and corpora, and a `predict` that makes each run's scores by a rule.

A test file takes these fixtures with `pytest_plugins = ("stand_in_runs",)`.
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mmmie.corpus.schema import CorpusInfo, Utterance
from mmmie.corpus.store import Corpus, Part
from mmmie.corpus.writer import CorpusWriter
from mmmie.evidence import attribution
from mmmie.evidence.attribution import Reading
from mmmie.learning.run import Run
from mmmie.settings import Recipe

SPLITS = {"train": 6, "valid": 3, "test": 8}
PER_VIDEO = 5


def scores_of(run: Run, part: Part) -> np.ndarray:
    """Labels with an error that depends on utterance, recipe and seed only, and whose size is `model.width / 100`."""
    error = []
    for id_ in part.ids:
        digest = hashlib.sha256(f"{id_} {run.name} {run.seed}".encode()).digest()
        error.append(int.from_bytes(digest[:4], "big") / 2**31 - 1)
    return (part.labels + run.recipe.model.width / 100 * np.array(error)).astype(np.float32)


def reading_of(scores: np.ndarray, part: Part) -> Reading:
    """A reading of these scores by one modality, whose features are drawn by id."""
    scores = np.asarray(scores, dtype=np.float64)
    seeds = [int.from_bytes(hashlib.sha256(id_.encode()).digest()[:4], "big") for id_ in part.ids]
    features = np.stack([np.random.default_rng(seed).standard_normal(3) for seed in seeds]).astype(np.float32)
    return Reading(
        modalities=("text",),
        present=np.ones((len(part), 1), dtype=np.bool_),
        subset_scores=np.stack([np.full(len(scores), 0.25), scores]),
        without_context=0.9 * scores,
        features={"text": features},
    )


@pytest.fixture
def predict(monkeypatch) -> Callable[[Callable], None]:
    """Puts a function in the place of what makes scores of a run and a part; `scores_of` is there already."""

    def use(function):
        def read_part(run, part):
            return reading_of(function(run, part), part)

        def features_of_part(run, part):
            reading = reading_of(np.zeros(len(part)), part)
            return reading.features, reading.present

        monkeypatch.setattr(attribution, "read_part", read_part)
        monkeypatch.setattr(attribution, "features_of_part", features_of_part)

    use(scores_of)
    return use


@pytest.fixture
def make_corpus(tmp_path) -> Callable[..., Corpus]:
    def make(name="toy", splits=SPLITS, first=0, prefix="v", label_range=(-3.0, 3.0), rotate=0):
        """Videos in the order of `splits`; `rotate` moves the splits along the videos, as folds do."""
        of_video = [split for split, number in splits.items() for _ in range(number)]
        of_video = of_video[rotate:] + of_video[:rotate]
        low, high = label_range
        info = CorpusInfo(name=name, label_min=low, label_max=high)
        with CorpusWriter(tmp_path / f"{name}.corpus", info) as writer:
            for number, split in enumerate(of_video, start=first):
                for index in range(PER_VIDEO):
                    label = low + (high - low) * ((7 * number + 3 * index) % 13) / 12
                    writer.add(Utterance(f"{prefix}{number:02d}", index, split, label, text="so"), {})
        return Corpus.open(tmp_path / f"{name}.corpus")

    return make


@pytest.fixture
def make_run(tmp_path) -> Callable[..., Run]:
    def make(corpus: Corpus, name="toy", seed=0, width=80, precision="float32"):
        recipe = Recipe.parse(
            {
                "name": name,
                "corpus": str(corpus.path),
                "model": {"width": width, "heads": 1},
                "training": {"seed": seed, "precision": precision},
            },
            "test",
        )
        path = tmp_path / "runs" / name / str(seed)
        (path / "checkpoint").mkdir(parents=True)
        (path / "recipe.json").write_text(recipe.model_dump_json())
        train, valid = corpus.training()
        (path / "training_videos.json").write_text(json.dumps(sorted({*train.videos, *valid.videos})))
        weights = f"weights of {name} {seed}".encode()
        (path / "checkpoint" / "model.safetensors").write_bytes(weights)
        contract = {
            "corpus": {"path": str(corpus.path.resolve()), "fingerprint": corpus.info.fingerprint},
            "sha256": hashlib.sha256(weights).hexdigest(),
        }
        (path / "checkpoint" / "contract.json").write_text(json.dumps(contract))
        run = Run.open(path)
        mae = float(np.abs(scores_of(run, valid).astype(np.float64) - valid.labels).mean())
        log = [{"epoch": e, "train": {}, "valid": {"mae": v}} for e, v in enumerate([mae + 0.1, mae, mae + 0.2])]
        (path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in log))
        status = {"state": "finished", "best_epoch": 1, "best_valid_mae": mae, "epochs": 3}
        (path / "status.json").write_text(json.dumps(status))
        return Run.open(path)

    return make


@pytest.fixture
def rewrite() -> Callable[..., None]:
    """Changes one value of a JSON file, as a hand would; the last argument is the new value or a function of it."""

    def change(file: Path, *keys_and_value):
        *keys, last, value = keys_and_value
        content = json.loads(file.read_text())
        place = content
        for key in keys:
            place = place[key]
        place[last] = value(place[last]) if callable(value) else value
        file.write_text(json.dumps(content))

    return change
