"""Coverage, contributions and damage as a study shows them, on predictions whose answer is known."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from mmmie.evidence.metrics import measure
from mmmie.evidence.predictions import Origin, Predictions, Worth
from mmmie.evidence.robustness import Condition, Robustness
from mmmie.experiments.robustness_report import DRAWS_PER_CONTRAST, Damage, compare_damage, write_robustness
from mmmie.experiments.worth import SCORE_BINS, coverage_over_resplits, measure_worth
from mmmie.experiments.worth_report import write_worth


def predictions(seed: int = 0, videos: int = 60, each: int = 20, wide_above: float | None = None) -> Predictions:
    """Scores with normal errors of sd 1, three times as large above a score where asked for."""
    rng = np.random.default_rng(seed)
    n = videos * each
    scores = rng.uniform(-2, 2, n)
    sd = np.where(scores > wide_above, 3.0, 1.0) if wide_above is not None else 1.0
    labels = scores + rng.normal(0, 1, n) * sd
    names = np.array([f"v{i // each:03}" for i in range(n)])
    worth = Worth(
        lower=scores - 1.645,
        upper=scores + 1.645,
        abstain=np.abs(scores) < 0.5,
        outside=np.zeros(n, dtype=bool),
        typicality=np.ones(n),
        modalities=np.full(n, "text"),
        without_context=scores - 0.25,
        contributions={"text": scores},
    )
    splits = np.where(np.arange(n) < n // 2, "valid", "test")
    origin = Origin("run", seed, "corpus", "f", (-3.0, 3.0), "0")
    return Predictions(origin, names, np.tile(np.arange(each), videos), splits, labels, scores, worth)


def test_exchangeable_residuals_are_covered_as_stated() -> None:
    worth = measure_worth([predictions(seed) for seed in range(3)])
    assert worth is not None
    assert worth.coverage == pytest.approx(0.9, abs=0.01)
    assert worth.holds
    assert worth.width == pytest.approx(3.29)
    assert worth.contributions["context"].value == pytest.approx(0.25)
    text = worth.contributions["text"]
    assert text.low < text.value < text.high
    assert text.value == pytest.approx(1.0, abs=0.05)
    assert worth.abstained == pytest.approx(0.25, abs=0.03)


def test_coverage_by_score_shows_where_errors_are_larger() -> None:
    worth = measure_worth([predictions(wide_above=1.2)])
    assert worth is not None
    assert len(worth.bins) == SCORE_BINS
    assert worth.bins[-1] < 0.75 < 0.95 < min(worth.bins[:-1])


def test_the_error_is_that_of_videos_not_of_utterances() -> None:
    """With one offset for each video its utterances are covered together, and the error is larger."""
    plain = predictions(0)
    rng = np.random.default_rng(1)
    shifted = plain.scores + np.repeat(rng.normal(0, 1.5, 60), 20) + rng.normal(0, 0.1, 1200)
    together = Predictions(plain.origin, plain.videos, plain.indices, plain.splits, shifted, plain.scores, plain.worth)
    one, other = measure_worth([plain]), measure_worth([together])
    assert one is not None
    assert other is not None
    assert other.coverage_error > 2 * one.coverage_error


def stated(inside: dict[str, tuple[bool, ...]], seed: int = 0) -> Predictions:
    """Test predictions whose intervals hold the label where it is said, by video."""
    names = np.array([video for video, said in inside.items() for _ in said])
    held = np.array([one for said in inside.values() for one in said])
    n = len(names)
    worth = Worth(
        lower=np.where(held, -1.0, 1.0),
        upper=np.full(n, 2.0),
        abstain=np.zeros(n, dtype=bool),
        outside=np.zeros(n, dtype=bool),
        typicality=np.ones(n),
        modalities=np.full(n, "text"),
        without_context=np.zeros(n),
        contributions={"text": np.zeros(n)},
    )
    origin = Origin("run", seed, "corpus", "f", (-3.0, 3.0), "0")
    return Predictions(origin, names, np.arange(n), np.full(n, "test"), np.zeros(n), np.zeros(n), worth)


def test_coverage_over_resplits_by_hand(tmp_path: Path) -> None:
    first = [stated({"a": (True, True), "b": (True, False)}), stated({"a": (True, False), "b": (True, False)}, seed=1)]
    second = [stated({"a": (True, True, True, True), "c": (False, True, True, True)})]
    found = coverage_over_resplits([first, second, []])
    assert found is not None
    assert found.splits == 2
    assert found.coverage == pytest.approx((5 / 8 + 7 / 8) / 2)
    assert found.sd == pytest.approx(np.std([5 / 8, 7 / 8], ddof=1))
    assert found.error == pytest.approx(np.std([(3 / 4 + 1) / 2, 1 / 2, 3 / 4], ddof=1) / np.sqrt(3))
    assert not found.holds
    assert coverage_over_resplits([first]) is None
    worth = measure_worth([predictions()])
    assert worth is not None
    files = write_worth(tmp_path, {"mosi-0": {"full": worth}}, {"2 splits, from mosi-0 on": {"full": found}})
    assert f"| full | 2 | 0.750 | 0.177 | {found.error:.3f} | no |" in files[0].read_text()
    assert files[1].read_text().splitlines()[1].startswith('"2 splits, from mosi-0 on",full,0.75,')


def test_runs_without_intervals_are_worth_nothing_known() -> None:
    plain = predictions()
    bare = Predictions(plain.origin, plain.videos, plain.indices, plain.splits, plain.labels, plain.scores)
    assert measure_worth([bare]) is None


def test_the_tables_say_what_was_measured(tmp_path: Path) -> None:
    worth = measure_worth([predictions()])
    assert worth is not None
    files = write_worth(tmp_path, {"mosi": {"full": worth}})
    assert [f.name for f in files] == ["worth.md", "worth.csv"]
    assert f"| full | {worth.coverage:.3f} ±" in files[0].read_text()
    assert write_worth(tmp_path / "none", {"mosi": {}}) == []
    assert not (tmp_path / "none").exists()


CONDITIONS = (
    Condition("none"), Condition("only", ("text",)), Condition("gaps", ("audio",), 0.5),
    Condition("gaps", ("audio",), 1.0), Condition("word dropout", ("text",), 0.3),
)  # fmt: skip


def damage(errors: tuple[float, ...], seed: int = 0, videos: int = 40) -> Damage:
    """Scores that are off by these mean errors under the conditions (the last by none), over videos of ten."""
    errors = (*errors, *[0.0] * (len(CONDITIONS) - len(errors)))
    rng = np.random.default_rng(seed)
    labels = rng.uniform(-2, 2, videos * 10)
    off = np.random.default_rng(5).choice([-1.0, 1.0], len(labels))
    columns = [labels + error * off for error in errors]
    table = pa.table(
        {"video": [f"v{i // 10:03}" for i in range(len(labels))], "index": np.arange(len(labels)) % 10, "label": labels}
        | {f"{i} {c.name}": scores for i, (c, scores) in enumerate(zip(CONDITIONS, columns, strict=True))}
    )
    return Damage(Robustness(CONDITIONS, tuple(measure(labels, scores) for scores in columns)), table)


def test_damage_is_shown_by_kind_with_its_area(tmp_path: Path) -> None:
    runs = {"full": [damage((0.1, 0.2, 0.3, 0.5))], "weak": [damage((0.1, 0.2, 0.3, 0.9))]}
    files = write_robustness(tmp_path, {"mosi": runs}, "full", draws=200)
    text = files[0].read_text()
    assert "| arm | as it is | text |" in text
    assert "| full | 0.100 | 0.200 |" in text
    assert "| arm | as it is | audio 0.5 | audio 1 | audio area |" in text
    assert "| full | 0.100 | 0.300 | 0.500 | 0.300 |" in text
    assert "## mosi: MAE with words left out\n\n| arm | as it is | text 0.3 | text area |" in text
    assert "noise" not in text.split("Gaps:")[0]
    assert files[1].read_text().count("\n") == 1 + 2 * len(CONDITIONS)
    assert (tmp_path / "robustness.png").read_bytes()[:4] == b"\x89PNG"
    assert "- audio gaps 1: weak is worse than full by 0.400" in text
    assert "audio gaps 0.5: weak" not in text, "equal errors are not told apart"
    assert write_robustness(tmp_path / "none", {"mosi": {"full": []}}, "full") == []


def test_damage_is_compared_condition_by_condition() -> None:
    found = compare_damage(
        {"full": [damage((0.1, 0.2, 0.3, 0.5))], "weak": [damage((0.1, 0.2, 0.4, 0.5))]}, "full", 200
    )
    differences = {c.condition: c.difference.value for c in found}
    assert differences["audio gaps 0.5"] == pytest.approx(0.1)
    assert differences["only text"] == pytest.approx(0.0)
    assert compare_damage({"weak": [damage((0.1, 0.2, 0.4, 0.5))]}, "full") == []


def test_p_is_that_of_the_bootstrap_with_draws_enough_for_holm() -> None:
    """One arm of eleven is clearly worse under one condition: 55 contrasts, which 2,000 draws could not resolve."""
    arms = {"full": [damage((0.1, 0.2, 0.3, 0.5))]} | {
        f"arm{n}": [damage((0.1, 0.2, 0.3, 0.9 if n == 0 else 0.5))] for n in range(11)
    }
    found = {(c.arm, c.condition): c for c in compare_damage(arms, "full", 2_000)}
    worse = found.pop(("arm0", "audio gaps 1"))
    assert worse.difference.p == pytest.approx(2 / (1 + DRAWS_PER_CONTRAST * 55))
    assert worse.p_holm == pytest.approx(55 * worse.difference.p)
    assert 2 / 2_001 * 55 > 0.05 > worse.p_holm
    assert {c.p_holm for c in found.values()} == {1.0}


def test_what_is_left_has_the_coverage_of_its_own_interval(tmp_path: Path) -> None:
    plain = damage((0.1, 0.2, 0.3, 0.5))
    assert Damage(plain.robustness, plain.scores, {"text": 0.25}).coverage() == {"text": 1.0}
    assert Damage(plain.robustness, plain.scores, {"text": 0.15}).coverage() == {"text": 0.0}
    one = Damage(plain.robustness, plain.scores, {"text": 0.25})
    text = write_robustness(tmp_path, {"mosi": {"full": [one]}}, "full")[0].read_text()
    assert "coverage of the 90 % intervals of what is left" in text
    assert "| full | 1.000 |" in text
