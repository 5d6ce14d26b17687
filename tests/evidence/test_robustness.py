"""Damage to the test input: what is hidden, what is left, and that everybody meets the same."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from mmmie.corpus.store import Corpus
from mmmie.errors import EvidenceError
from mmmie.evidence import attribution
from mmmie.evidence.metrics import Metrics, measure
from mmmie.evidence.robustness import (
    Condition,
    Damaged,
    Robustness,
    WordDropout,
    conditions_for,
    damaged,
    measure_robustness,
    scores_under,
)
from mmmie.evidence.verify import verify
from mmmie.learning.assembly import sources_of
from mmmie.learning.prediction import predict
from mmmie.learning.run import Run


@pytest.fixture
def run(tiny_run: Run, tmp_path: Path) -> Run:
    shutil.copytree(tiny_run.path, tmp_path / "run")
    return Run.open(tmp_path / "run")


def test_every_proper_subset_and_every_level_once() -> None:
    names = [c.name for c in conditions_for(("text", "audio", "vision"))]
    assert names[:7] == [
        "as it is", "only text", "only audio", "only vision", "only text+audio", "only text+vision",
        "only audio+vision",
    ]  # fmt: skip
    assert len(set(names)) == len(names) == 7 + 3 * 8 + 3
    assert [name for name in names if "word" in name] == [f"text word dropout {level}" for level in (0.1, 0.3, 0.5)]
    tuned = [c.name for c in conditions_for(("text", "audio"), text_is_frozen=False)]
    assert "audio noise 1" in tuned
    assert [name for name in tuned if name.startswith("text ")] == [name for name in names if "word" in name]


def test_no_damage_gives_the_prediction_itself_and_a_subset_what_attribution_reads(
    run: Run, tiny_corpus: Corpus
) -> None:
    part = tiny_corpus.training().valid
    whole, text, pair = scores_under(
        run, part, [Condition("none"), Condition("only", ("text",)), Condition("only", ("text", "audio"))]
    )
    np.testing.assert_array_equal(whole, predict(run, part))
    reading = attribution.read_part(run, part)
    np.testing.assert_allclose(text, reading.alone("text"), atol=1e-5)
    np.testing.assert_allclose(pair, reading.without("vision"), atol=1e-5)


def test_damage_changes_scores_and_is_the_same_twice(run: Run, tiny_corpus: Corpus) -> None:
    part = tiny_corpus.training().valid
    for condition in (Condition("gaps", ("audio",), 0.5), Condition("noise", ("text",), 2.0)):
        whole, once, twice = scores_under(run, part, [Condition("none"), condition, condition])
        np.testing.assert_array_equal(once, twice)
        assert float(np.abs(whole - once).max()) > 1e-4


def test_all_gaps_are_a_missing_modality(run: Run, tiny_corpus: Corpus) -> None:
    part = tiny_corpus.training().valid
    gone, without = scores_under(run, part, [Condition("gaps", ("vision",), 1.0), Condition("only", ("text", "audio"))])
    np.testing.assert_array_equal(gone, without)


def test_gaps_grow_within_each_other_and_leave_a_frame(run: Run, tiny_corpus: Corpus) -> None:
    part = tiny_corpus.training().train
    audio = sources_of(part, run.recipe, ("audio",))["audio"]
    rows = np.flatnonzero(audio.present)
    before: dict[int, np.ndarray] = {}
    for share in (0.0, 0.25, 0.5, 0.75):
        group_masks = {}
        for group in Damaged(audio, gaps=share).collate(rows, rows).groups:
            for place, mask in zip(group.rows_G.tolist(), group.mask_GT.numpy(), strict=True):
                group_masks[place] = mask
        for place, mask in group_masks.items():
            assert mask.any(), "an utterance of several frames keeps one"
            assert not (mask & ~before.get(place, np.ones_like(mask))).any(), "what was masked stays so"
        before = group_masks


def test_noise_is_in_units_of_the_train_deviation(run: Run, tiny_corpus: Corpus) -> None:
    part = tiny_corpus.training().train
    text = sources_of(part, run.recipe, ("text",))["text"]
    rows = np.flatnonzero(text.present)
    unit_D = np.linspace(1, 2, 48, dtype=np.float32)
    clean = text.collate(rows, rows).groups[0].values_GTD.numpy()
    unit_D = np.resize(unit_D, clean.shape[-1])
    noisy = damaged({"text": text}, Condition("noise", ("text",), 3.0), {"text": unit_D})["text"]
    noise = (noisy.collate(rows, rows).groups[0].values_GTD.numpy() - clean) / (3.0 * unit_D)
    assert float(noise.std()) == pytest.approx(1.0, abs=0.1)
    assert abs(float(noise.mean())) < 0.1
    np.testing.assert_array_equal(noisy.present, text.present)


def test_words_fall_at_their_chance_within_each_other_and_the_same_in_every_split(tiny_corpus: Corpus) -> None:
    every = tiny_corpus.everything()
    texts = {c: WordDropout("every", tiny_corpus, every.rows, c).texts for c in (0.0, 0.1, 0.3, 0.5, 1.0)}
    assert [" ".join(t.split()) if t else t for t in every.texts] == texts[0.0]
    assert set(texts[1.0]) == {None, ""}, "a text that loses all its words is missing; an empty one stays as it was"
    counts = {chance: sum(len(t.split()) for t in of if t) for chance, of in texts.items()}
    for chance in (0.1, 0.3, 0.5):
        n = counts[0.0]
        assert counts[chance] / n == pytest.approx(1 - chance, abs=4 * np.sqrt(chance * (1 - chance) / n))
    for more, fewer in zip(texts[0.1], texts[0.3], strict=True):
        left = iter((more or "").split())
        assert all(word in left for word in (fewer or "").split()), "what is left is in order, and was left before"
    assert sum(t is None for t in texts[0.5]) > sum(t is None for t in every.texts)
    valid = tiny_corpus.training().valid
    part = WordDropout("valid", tiny_corpus, valid.rows, 0.5)
    assert part.texts == [texts[0.5][row] for row in valid.rows]
    assert part.ids == valid.ids


def test_texts_without_words_are_read_by_the_encoder_once(run: Run, tiny_corpus: Corpus) -> None:
    part = tiny_corpus.training().valid
    conditions = [Condition("none"), *(Condition("word dropout", ("text",), c) for c in (0.0, 0.5, 1.0))]
    whole, none, half, every = scores_under(run, part, [*conditions])
    np.testing.assert_array_equal(whole, none)
    assert float(np.abs(whole - half).max()) > 1e-4
    blank = [row for row, text in enumerate(part.texts) if text == ""]
    far = [row for row in range(len(part)) if all(abs(row - b) > run.recipe.model.context for b in blank)]
    assert far
    (gone,) = scores_under(run, part, [Condition("only", ("audio", "vision"))])
    np.testing.assert_allclose(every[far], gone[far], atol=1e-6)
    stored = sorted((tiny_corpus.path / "text").rglob("*.safetensors"))
    np.testing.assert_array_equal(scores_under(run, part, [conditions[2]])[0], half)
    assert sorted((tiny_corpus.path / "text").rglob("*.safetensors")) == stored


def test_it_is_kept_with_its_scores_and_read_back(run: Run, tiny_corpus: Corpus) -> None:
    measured = measure_robustness(run)
    assert Robustness.read(run).conditions == measured.conditions
    assert Robustness.read(run).metrics[3].mae == pytest.approx(measured.metrics[3].mae)
    table = pq.read_table(run.path / "robustness.parquet")
    column = table.column(f"3 {measured.conditions[3].name}").to_numpy()
    again = measure(table.column("label").to_numpy(), column)
    assert again.mae == pytest.approx(measured.metrics[3].mae)
    assert "test" in set(tiny_corpus.splits.tolist())


def test_verify_recomputes_it_from_its_scores(run: Run) -> None:
    measure_robustness(run)
    checks = {c.what: c.status for c in verify(run).checks}
    assert checks["sha256 of robustness.parquet"] == checks["damaged: none 0"] == "ok"
    file = run.path / "robustness.json"
    values = json.loads(file.read_text())
    values["metrics"][2]["mae"] += 0.01
    file.write_text(json.dumps(values))
    failed = [c.what for c in verify(run).checks if c.status == "FAILED"]
    assert len(failed) == 1
    assert failed[0].startswith("damaged: only audio")


def test_other_weights_have_no_robustness_yet(run: Run) -> None:
    with pytest.raises(EvidenceError, match="no robustness at"):
        Robustness.read(run)
    measure_robustness(run)
    file = run.path / "robustness.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "checkpoint_sha256": "0"}))
    with pytest.raises(EvidenceError, match="other weights"):
        Robustness.read(run)


def test_other_conditions_are_measured_again(run: Run) -> None:
    measure_robustness(run)
    file = run.path / "robustness.json"
    values = json.loads(file.read_text())
    file.write_text(json.dumps({**values, "conditions": values["conditions"][:-1], "metrics": values["metrics"][:-1]}))
    with pytest.raises(EvidenceError, match="other conditions than are measured now"):
        Robustness.read(run)


def test_the_area_by_hand() -> None:
    def of(mae: float) -> Metrics:
        return measure([0.0, 1.0], [mae, 1.0 + mae])

    found = Robustness(
        (Condition("none"), Condition("noise", ("audio",), 1.0), Condition("noise", ("audio",), 3.0)),
        (of(0.5), of(0.7), of(0.9)),
    )
    assert found.area("noise", "audio") == pytest.approx(((0.5 + 0.7) / 2 * 1 + (0.7 + 0.9) / 2 * 2) / 3)
    assert np.isnan(found.area("noise", "text"))
