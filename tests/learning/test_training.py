"""`fit`: it learns, chooses on valid, keeps the best, and says what is wrong by name."""

import inspect
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from mmmie.corpus.store import Corpus, TrainingParts
from mmmie.errors import CheckpointError, CorpusError, NonFiniteError, RecipeError, TrainingError
from mmmie.learning import training
from mmmie.learning.assembly import build, fit_scalers, modalities_of, shapes_of, sources_of
from mmmie.learning.prediction import predict
from mmmie.learning.progress import Silent
from mmmie.learning.run import Run
from mmmie.learning.training import fit
from mmmie.settings import Recipe
from tiny_corpora import write_corpus

Make = Callable[..., Recipe]


def weights(run: Run) -> dict[str, torch.Tensor]:
    return load_file(run.path / "checkpoint" / "model.safetensors")


def history(run: Run) -> list[dict[str, Any]]:
    """metrics.jsonl apart from seconds."""
    return [{k: v for k, v in line.items() if k != "seconds"} for line in run.history]


def identical(one: Run, other: Run) -> bool:
    ours, theirs = weights(one), weights(other)
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.fixture
def parts(corpus: Corpus) -> TrainingParts:
    return corpus.training()


def test_it_learns(tmp_path: Path, encoder: Path, recipe: Make) -> None:
    """Audio shows z at 2 sd to 1 of noise on two of three columns, so that half of the median's error can go."""
    big = write_corpus(tmp_path / "big.corpus", {"train": 60, "valid": 20}, text=False, holes=False)
    train, valid = big.training()
    wanted = recipe(
        corpus=big.path, training={"epochs": 15, "batch_utterances": 32}, model={"context": 0, "dropout": 0.0}
    )
    run = fit(wanted, TrainingParts(train, valid), tmp_path / "run")
    median = float(np.abs(valid.labels - np.median(train.labels)).mean())
    assert run.status["best_valid_mae"] < 0.6 * median
    scores = predict(run, valid)
    assert float(np.abs(scores - valid.labels).mean()) == pytest.approx(run.status["best_valid_mae"], abs=1e-5)
    none = write_corpus(tmp_path / "none.corpus", {"train": 60, "valid": 20}, text=False, holes=False, labels=False)
    blind = fit(wanted, none.training(), tmp_path / "blind")
    valid = none.training().valid
    median = float(np.abs(valid.labels - np.median(none.training().train.labels)).mean())
    assert blind.status["best_valid_mae"] > 0.9 * median, "where there is nothing to learn, nothing is learned"


def test_a_run_has_what_it_should(tmp_path: Path, parts: TrainingParts, recipe: Make) -> None:
    wanted = recipe()
    run = fit(wanted, parts, tmp_path / "run")
    assert run.finished
    assert run.recipe == wanted
    assert sorted(p.name for p in run.path.iterdir()) == [
        "checkpoint", "environment.json", "metrics.jsonl", "recipe.json", "status.json", "training_videos.json"
    ]  # fmt: skip
    assert run.training_videos == sorted({*parts.train.videos, *parts.valid.videos})
    assert len(run.history) == 3
    for epoch, line in enumerate(run.history):
        assert line["epoch"] == epoch
        terms = {"task", "max text-audio", "max text-vision", "max audio-vision", "min text", "min audio", "min vision"}
        assert set(line["train"]) == set(line["weights"]) == terms
        low, high = line["valid_information"]["min audio"]["interval_nats"]
        assert low <= high
    best = min(run.history, key=lambda line: line["valid"]["mae"])
    assert run.status["best_epoch"] == best["epoch"]
    assert run.status["best_valid_mae"] == best["valid"]["mae"]


@pytest.mark.parametrize(
    "sections",
    [
        {},
        {"text": {"depth": "top", "top_layers": 1}},
        {"text": {"depth": "full", "passage_tokens": 40}},
        {"method": "paper", "minimise": {"target_nats": "none", "weight": 0.01}},
        {"text": {"depth": "full"}, "method": "paper", "minimise": {"target_nats": "none"}},
        {"maximise": {"estimator": "jsd"}, "minimise": {"estimator": "vib"}},
        {"maximise": {"estimator": "barber_agakov"}, "minimise": {"estimator": "none"}},
        {"model": {"identity": {"shuffle_roles": True}}, "maximise": {"shuffle_pairs": True}},
        {"model": {"context": 0, "modalities": ["audio"]}},
        {"training": {"average_decay": 0.0, "modality_dropout": 0.0, "run_length": 3}},
    ],
    ids=lambda s: json.dumps(s)[:60],
)
def test_the_same_seed_is_the_same_run_and_another_is_not(
    tmp_path: Path, parts: TrainingParts, recipe: Make, sections: dict[str, Any]
) -> None:
    sections = {**sections, "training": {**sections.get("training", {}), "epochs": 2}}
    first = fit(recipe(**sections), parts, tmp_path / "a")
    again = fit(recipe(**sections), parts, tmp_path / "b")
    assert identical(first, again)
    assert history(first) == history(again)
    other = fit(recipe(**sections).with_seed(1), parts, tmp_path / "c")
    assert not identical(first, other)
    for run in (first, again):
        assert all(math.isfinite(value) for line in run.history for value in line["train"].values())


def test_early_stopping_keeps_the_best_epoch(
    tmp_path: Path, parts: TrainingParts, recipe: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    maes = iter([0.9, 0.5, 0.7, 0.6, 0.8, 0.1])
    kept: list[dict[str, torch.Tensor]] = []

    def judged(model: Any, *rest: Any) -> Any:
        kept.append({n: t.clone() for n, t in model.state_dict().items()})
        return replace(validate(model, *rest), mae=next(maes))

    validate = training.validate
    monkeypatch.setattr(training, "validate", judged)
    run = fit(recipe(training={"epochs": 6, "patience": 3}), parts, tmp_path / "run")
    assert run.status["best_epoch"] == 1
    assert run.status["best_valid_mae"] == 0.5
    assert run.status["epochs"] == 5, "three epochs without a better one end it"
    assert all(torch.equal(weights(run)[name], kept[1][name]) for name in kept[1])
    assert not all(torch.equal(kept[0][name], kept[1][name]) for name in kept[1])


def test_weight_averaging_by_hand(
    tmp_path: Path, parts: TrainingParts, recipe: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[torch.Tensor] = []
    average = training._Training._average

    def noted(self: Any) -> None:
        seen.append(self.model.fusion.query_D.detach().clone())
        average(self)

    monkeypatch.setattr(training._Training, "_average", noted)
    wanted = recipe(training={"epochs": 1, "average_decay": 0.6})
    run = fit(wanted, parts, tmp_path / "run")
    torch.manual_seed(0)
    expected = build(wanted, shapes_of(parts.train, wanted, modalities_of(wanted, parts.train))).fusion.query_D.detach()
    assert len(seen) == 4
    for step, value in enumerate(seen, 1):
        decay = min(0.6, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * value
    torch.testing.assert_close(weights(run)["fusion.query_D"], expected)
    seen.clear()
    plain = fit(recipe(training={"epochs": 1, "average_decay": 0.0}), parts, tmp_path / "plain")
    assert torch.equal(weights(plain)["fusion.query_D"], seen[-1]), "without averaging the last weights are kept"


def test_scalers_are_fitted_on_train_alone(tmp_path: Path, recipe: Make) -> None:
    scalers = []
    for name, shift in (("a", {}), ("b", {"valid": 50.0, "test": -20.0}), ("c", {"train": 50.0})):
        made = write_corpus(tmp_path / f"{name}.corpus", shift=shift)
        run = fit(recipe(corpus=made.path, training={"epochs": 1}), made.training(), tmp_path / name)
        scalers.append({n: t for n, t in weights(run).items() if "standardise" in n})
    assert len(scalers[0]) == 6
    assert all(torch.equal(scalers[0][name], scalers[1][name]) for name in scalers[0])
    audio = "encoders.audio.reader.standardise.mean_D"
    assert (scalers[2][audio] - scalers[0][audio]).tolist() == pytest.approx([50] * 4, abs=1e-3)


def test_scalers_by_hand(parts: TrainingParts, recipe: Make) -> None:
    wanted = recipe()
    modalities = modalities_of(wanted, parts.train)
    sources = sources_of(parts.train, wanted, modalities)
    model = build(wanted, shapes_of(parts.train, wanted, modalities))
    fit_scalers(model, sources)
    features = parts.train.features["audio"]
    real = np.concatenate([values[mask] for values, mask in (features[row] for row in range(len(features)))])
    scaler = model.encoders["audio"].reader.standardise
    np.testing.assert_allclose(scaler.mean_D.numpy(), real.mean(0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(scaler.scale_D.numpy()[:-1], 1 / real[:, :-1].std(0), rtol=1e-5)
    assert float(scaler.scale_D[-1]) == 0.0
    text = sources["text"]
    said = text.means_ND[torch.from_numpy(text.present)].float()
    scaler = model.encoders["text"].reader.standardise
    torch.testing.assert_close(scaler.mean_D, said.mean(0), rtol=1e-4, atol=1e-5)


def test_fit_cannot_receive_test(tmp_path: Path, corpus: Corpus, recipe: Make) -> None:
    train, valid = corpus.training()
    assert list(inspect.signature(fit).parameters) == ["recipe", "parts", "out", "start", "resume", "progress"]
    for wrong in (
        TrainingParts(train, corpus.test()),
        TrainingParts(corpus.test(), valid),
        TrainingParts(valid, train),
        TrainingParts(corpus.everything(), valid),
    ):
        with pytest.raises(TrainingError, match="train and valid splits, and no other"):
            fit(recipe(), wrong, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_training_never_reads_test(
    tmp_path: Path, corpus: Corpus, recipe: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Corpus, "test", lambda self: pytest.fail("test was opened"))
    monkeypatch.setattr(Corpus, "everything", lambda self: pytest.fail("all rows were opened"))
    fit(recipe(training={"epochs": 1}), corpus.training(), tmp_path / "run")


def test_splits_that_share_a_video_are_refused(tmp_path: Path, corpus: Corpus, recipe: Make) -> None:
    train, valid = corpus.training()
    leaky = replace(valid, rows=np.concatenate([train.rows[:1], valid.rows]))
    with pytest.raises(TrainingError, match=r"video 'train00' is in train and valid"):
        fit(recipe(), TrainingParts(train, leaky), tmp_path / "run")


def test_an_empty_split_is_refused_with_the_repair(tmp_path: Path) -> None:
    only = write_corpus(tmp_path / "only.corpus", {"train": 3})
    with pytest.raises(CorpusError, match=r"no utterances in its valid split.*mmmie resplit"):
        only.training()


def test_a_modality_that_is_not_held_is_refused(tmp_path: Path, recipe: Make) -> None:
    made = write_corpus(tmp_path / "no_vision.corpus", vision=None)
    wanted = recipe(corpus=made.path, model={"modalities": ["text", "vision"]})
    with pytest.raises(RecipeError, match=r"asks for vision, but .* holds audio, text"):
        fit(wanted, made.training(), tmp_path / "run")


def test_a_corpus_with_nothing_to_train_on_is_refused(tmp_path: Path, recipe: Make) -> None:
    made = write_corpus(tmp_path / "empty.corpus", audio=None, vision=None, text=False)
    with pytest.raises(TrainingError, match="neither text nor features"):
        fit(recipe(corpus=made.path), made.training(), tmp_path / "run")


def test_a_folder_that_holds_a_run_is_not_overwritten(tmp_path: Path, parts: TrainingParts, recipe: Make) -> None:
    wanted = recipe(training={"epochs": 1})
    run = fit(wanted, parts, tmp_path / "run")
    before = weights(run)
    with pytest.raises(CheckpointError, match=r"holds a run already.*--resume"):
        fit(wanted, parts, tmp_path / "run")
    with pytest.raises(CheckpointError, match="is finished"):
        fit(wanted, parts, tmp_path / "run", resume=True)
    assert all(torch.equal(weights(run)[name], before[name]) for name in before)


@pytest.mark.parametrize(
    ("poison", "term"),
    [
        ("fusion.head.score.2.weight", "task"),
        ("encoders.audio.mean.0.weight", "task"),
        ("objective.maximise.critics.text-vision.weight_XY", "max text-vision"),
        ("encoders.vision.noise.raw_D", "task"),
    ],
)
def test_a_non_finite_value_names_term_utterances_and_epoch(
    tmp_path: Path, parts: TrainingParts, recipe: Make, monkeypatch: pytest.MonkeyPatch, poison: str, term: str
) -> None:
    learn = training._Training._learn

    def poisoned(self: Any, step: Any, batch: Any) -> Any:
        if self.journal.epoch == 1:
            owner = self.objective if poison.startswith("objective.") else self.model
            with torch.no_grad():
                owner.get_parameter(poison.removeprefix("objective.")).view(-1)[0] = math.nan
        return learn(self, step, batch)

    monkeypatch.setattr(training._Training, "_learn", poisoned)
    with pytest.raises(NonFiniteError, match=rf"'{term}' became non-finite in epoch 2, step 5.*train\d\d/\d"):
        fit(recipe(), parts, tmp_path / "run")
    assert Run.open(tmp_path / "run").status["state"] != "finished"
    monkeypatch.setattr(training._Training, "_learn", learn)
    assert fit(recipe(), parts, tmp_path / "run", resume=True).finished, "the last good epoch is there to go on from"


def test_a_non_finite_utterance_is_the_one_that_is_named(
    tmp_path: Path, parts: TrainingParts, recipe: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    gather = type(parts.train.features["audio"]).gather
    monkeypatch.setattr("mmmie.learning.assembly._frame_moments", lambda features: (torch.zeros(4), torch.ones(4)))
    ids = parts.train.ids

    def spoiled(self: Any, rows: Any) -> Any:
        values, mask = gather(self, rows)
        values[rows == 17] = np.nan
        return values, mask

    monkeypatch.setattr(type(parts.train.features["audio"]), "gather", spoiled)
    with pytest.raises(NonFiniteError, match=rf"on the utterances .*{ids[17]}"):
        fit(recipe(model={"modalities": ["audio"], "context": 0}), parts, tmp_path / "run")


def test_a_non_finite_gradient_stops(
    tmp_path: Path, parts: TrainingParts, recipe: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", lambda *_: torch.tensor(math.inf))
    with pytest.raises(NonFiniteError, match=r"gradient became inf in epoch 1, step 1, .*train\d\d/\d"):
        fit(recipe(), parts, tmp_path / "run")


def test_beginning_with_another_run(tmp_path: Path, parts: TrainingParts, recipe: Make) -> None:
    before = fit(recipe(), parts, tmp_path / "before")
    other = write_corpus(tmp_path / "other.corpus", vision=None, shift={"train": 5.0}, seed=1)
    wanted = recipe(corpus=other.path, training={"learning_rate": 1e-12, "epochs": 1})
    run = fit(wanted, other.training(), tmp_path / "after", start=before)
    ours, theirs = weights(run), weights(before)
    same = {
        name
        for name, value in ours.items()
        if name in theirs and value.shape == theirs[name].shape and torch.allclose(value, theirs[name], atol=1e-6)
    }
    for part in ("encoders.text.reader.frame", "encoders.audio.mean", "fusion.transformer", "identity.role"):
        assert any(name.startswith(part) for name in same), part
    assert "encoders.text.reader.standardise.mean_D" in same, "one encoder, one scale"
    assert "encoders.audio.reader.standardise.mean_D" not in same, "audio features are of this corpus"
    assert "label_centre" not in same
    assert "identity.modality.weight" not in same, "there is one modality fewer"
    assert {*parts.train.videos} <= {*run.training_videos}
    (learned_from,) = run.contract["began_with"]
    assert learned_from["fingerprint"] == before.corpus_fingerprint
    fresh = fit(wanted, other.training(), tmp_path / "fresh")
    assert not torch.allclose(weights(fresh)["fusion.query_D"], theirs["fusion.query_D"], atol=1e-3)


def test_beginning_with_another_text_encoder_is_refused(tmp_path: Path, parts: TrainingParts, recipe: Make) -> None:
    before = fit(recipe(training={"epochs": 1}), parts, tmp_path / "before")
    with pytest.raises(CheckpointError, match=r"another fingerprint.*same text.encoder and text.max_tokens"):
        fit(recipe(text={"max_tokens": 64}), parts, tmp_path / "after", start=before)


def test_dropout_of_modalities_leaves_one(parts: TrainingParts, recipe: Make) -> None:
    wanted = recipe()
    modalities = modalities_of(wanted, parts.train)
    batch = training.Batcher(parts.train, sources_of(parts.train, wanted, modalities), 1).batch(np.arange(60))
    present = torch.stack([batch.present[name] for name in modalities])
    chance = torch.Generator().manual_seed(0)
    for rate in (0.0, 0.4, 0.99):
        visible = training._modality_dropout(batch, modalities, rate, chance)
        seen = torch.stack([visible[name] for name in modalities])
        assert not (seen & ~present).any(), "what is absent stays so"
        assert torch.equal(seen.any(0), present.any(0)), "and at least one is left"
        hidden = float((present & ~seen).float().sum() / present.sum())
        assert hidden == pytest.approx({0.0: 0.0, 0.4: 0.3, 0.99: 0.6}[rate], abs=0.1)


def test_a_corpus_of_one_utterance_a_split(tmp_path: Path, recipe: Make) -> None:
    made = write_corpus(tmp_path / "one.corpus", {"train": 1, "valid": 1}, per_video=1, holes=False)
    run = fit(recipe(corpus=made.path), made.training(), tmp_path / "run")
    assert run.finished
    assert np.isfinite(predict(run, made.training().valid)).all()


def test_with_few_labels_the_other_utterances_are_context_alone(
    tmp_path: Path, parts: TrainingParts, recipe: Make
) -> None:
    seen: dict[float, set[int]] = {}
    for share in (1.0, 0.3, 0.1):
        wanted = recipe(training={"label_share": share, "batch_utterances": 8})
        work = training._Training(wanted, parts, tmp_path / str(share), None, False, Silent())
        batches = [targets.tolist() for targets in work._epoch_targets(0)]
        assert all(len(set(targets)) == len(targets) for targets in batches)
        assert sum(map(len, batches)) == pytest.approx(len(parts.train), rel=0.25), "as many steps as with all"
        seen[share] = {row for targets in batches for row in targets}
        assert len(seen[share]) == math.ceil(share * len(parts.train))
        known = parts.train.labels[sorted(seen[share])]
        assert float(work.model.label_centre) == pytest.approx(float(np.median(known))), "no other label is looked at"
    assert seen[0.1] < seen[0.3] < seen[1.0]
