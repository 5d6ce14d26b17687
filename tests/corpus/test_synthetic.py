"""The generated corpus: its factors have the stated variances, and its stated mutual information is the true one."""

from pathlib import Path

import numpy as np
import pytest

from mmmie.corpus.store import Corpus
from mmmie.corpus.synthetic import (
    LABEL_SHARES,
    SENTIMENT_WORDS,
    SIZES,
    SyntheticSettings,
    generate,
    grade_chances,
    true_mutual_information,
)
from mmmie.errors import CorpusError

MANY = SyntheticSettings(videos=500, utterances=(10, 20), audio_frames=(1, 4), vision_frames=(1, 3), seed=3)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """7,500 utterances: correlations are sure to about .02, mutual information to about .02 nats."""
    return generate(tmp_path_factory.mktemp("many") / "c", MANY)


@pytest.fixture(scope="module")
def truth(many: Corpus) -> dict[str, np.ndarray]:
    with np.load(many.path / "truth.npz", allow_pickle=False) as arrays:
        return dict(arrays)


def means(corpus: Corpus, modality: str) -> np.ndarray:
    features = corpus.everything().features[modality]
    return np.stack([features[row][0].mean(axis=0) for row in range(len(corpus))]).astype(np.float64)


def residual_share(x: np.ndarray, y: np.ndarray) -> float:
    """1 - R^2 of the least-squares prediction of y from x."""
    x, y = x - x.mean(axis=0), y - y.mean()
    return float(((y - x @ np.linalg.lstsq(x, y, rcond=None)[0]) ** 2).mean() / (y**2).mean())


def gaussian_information(x: np.ndarray, y: np.ndarray, rank: int) -> float:
    """Sum of -log(1 - rho^2) / 2 over the leading canonical correlations of two Gaussian vectors."""

    def whitened(a: np.ndarray) -> np.ndarray:
        u, s, _ = np.linalg.svd(a - a.mean(axis=0), full_matrices=False)
        return u[:, s > 1e-6 * s[0]]

    rho = np.linalg.svd(whitened(x).T @ whitened(y), compute_uv=False)[:rank]
    return float(-0.5 * np.log1p(-(rho**2)).sum())


def test_equal_seeds_give_equal_corpora(tmp_path: Path) -> None:
    small = SyntheticSettings(**SIZES["small"])
    first, again = generate(tmp_path / "a", small), generate(tmp_path / "b", small)
    other = generate(tmp_path / "c", SyntheticSettings(**SIZES["small"], seed=1))
    assert first.info.fingerprint == again.info.fingerprint != other.info.fingerprint
    assert (tmp_path / "a" / "truth.npz").read_bytes() == (tmp_path / "b" / "truth.npz").read_bytes()


def test_factors_and_label_have_the_stated_variances(many: Corpus, truth: dict[str, np.ndarray]) -> None:
    for name in ("shared", "private_text", "private_audio", "private_vision", "carried", "carried_into_label"):
        assert truth[name].var() == pytest.approx(1, abs=0.06), name
    assert truth["nuisance_audio"].var(axis=0) == pytest.approx(4, rel=0.12)
    labels = many.everything().labels
    assert labels.var() == pytest.approx(1, abs=0.05)
    assert np.abs(labels).max() <= 3
    for name, share in LABEL_SHARES.items():
        column = {"shared": "shared", "carried": "carried_into_label"}.get(name, f"private_{name}")
        if name != "noise":
            assert np.corrcoef(truth[column], labels)[0, 1] == pytest.approx(share**0.5, abs=0.04), name
    assert abs(np.corrcoef(truth["nuisance_audio"][:, 0], labels)[0, 1]) < 0.04
    assert abs(np.corrcoef(truth["carried"], labels)[0, 1]) < 0.04, "an utterance says nothing of its own carried part"


def test_the_carried_part_is_that_of_the_same_speakers_last_utterance(
    many: Corpus, truth: dict[str, np.ndarray]
) -> None:
    last: dict[str | None, float] = {}
    offsets = set()
    where: dict[str | None, int] = {}
    for row, speaker in enumerate(many.everything().speakers):
        if speaker in last:
            assert truth["carried_into_label"][row] == last[speaker]
            offsets.add(row - where[speaker])
        last[speaker], where[speaker] = truth["carried"][row], row
    assert {1, 2, 3} <= offsets, "no fixed offset finds it"


def test_context_matters(truth: dict[str, np.ndarray], many: Corpus) -> None:
    codes = many.everything().video_codes
    neighbours = codes[1:] == codes[:-1]
    shared = truth["shared"]
    speakers = many.everything().speaker_codes
    same = neighbours & (speakers[1:] == speakers[:-1])
    other = neighbours & (speakers[1:] != speakers[:-1])
    # .7 x .6 of the walk, and .3 more where the speaker's offset is shared
    assert np.corrcoef(shared[1:][other], shared[:-1][other])[0, 1] == pytest.approx(0.42, abs=0.06)
    assert np.corrcoef(shared[1:][same], shared[:-1][same])[0, 1] == pytest.approx(0.72, abs=0.06)


def test_stated_information_between_audio_and_vision_is_found(many: Corpus) -> None:
    found = gaussian_information(means(many, "audio"), means(many, "vision"), rank=2)
    assert found == pytest.approx(many.info.notes["true_mi_nats"]["audio-vision"], abs=0.05)


@pytest.mark.parametrize("modality", ["audio", "vision"])
def test_stated_information_between_label_and_frames_is_found(many: Corpus, modality: str) -> None:
    labels = many.everything().labels.astype(np.float64)
    found = -0.5 * np.log(residual_share(means(many, modality), labels))
    assert found == pytest.approx(many.info.notes["true_mi_nats"][f"label-{modality}"], abs=0.025)


def test_the_mean_frame_is_sufficient(many: Corpus) -> None:
    """The frames' own noise sums to zero, so the mean frame lies in the space the factors span."""
    singular = np.linalg.svd(means(many, "audio"), compute_uv=False)
    factors = 3 + MANY.nuisance_dim
    assert singular[factors] < 1e-5 * singular[factors - 1]


def test_stated_information_of_text_agrees_with_sampling() -> None:
    """Monte Carlo over the generator's own emission, against the integrals: mean log ratio of 40,000 draws."""
    rng = np.random.default_rng(0)
    truth = true_mutual_information(SyntheticSettings())
    n, grades = 40_000, len(SENTIMENT_WORDS)
    z = rng.standard_normal(n)
    x = z + 0.5 * rng.standard_normal(n)
    chances = grade_chances(z, grades)
    words = [(chances.cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1) for _ in range(2)]
    grid = np.linspace(-6, 6, 301)
    prior = np.exp(-(grid**2) / 2)
    on_grid = grade_chances(grid, grades)
    posterior = prior * on_grid[:, words[0]].T * on_grid[:, words[1]].T
    posterior /= posterior.sum(axis=1, keepdims=True)
    likelihood = np.exp(-((x[:, None] - grid) ** 2) / 0.5)
    ratio = (posterior * likelihood).sum(axis=1) / (prior / prior.sum() * likelihood).sum(axis=1)
    log_ratio = np.log(ratio)
    assert truth["text-audio"] == pytest.approx(log_ratio.mean(), abs=4 * log_ratio.std() / n**0.5)
    assert truth["text-audio"] == truth["text-vision"]


def test_stated_information_of_text_about_the_label_agrees_with_the_text(many: Corpus) -> None:
    """From the written words themselves: the regression on grades gives a lower bound, nearly tight."""
    grade = {word: g for g, words in enumerate(SENTIMENT_WORDS) for word in words}
    verdict = {"avoid": 0, "skip": 1, "consider": 2, "watch": 3, "recommend": 4}
    rows = []
    for text in many.everything().texts:
        assert text is not None
        words = text.replace(",", "").split()
        rows.append([sum(grade[w] for w in words if w in grade), sum(verdict[w] for w in words if w in verdict)])
    labels = many.everything().labels.astype(np.float64)
    found = -0.5 * np.log(residual_share(np.array(rows, dtype=np.float64), labels))
    stated = many.info.notes["true_mi_nats"]["label-text"]
    assert stated - 0.03 < found < stated + 0.02


def test_independent_by_construction_reads_zero() -> None:
    deaf = true_mutual_information(SyntheticSettings(observation_variance=1e6))
    assert deaf["audio-vision"] == pytest.approx(0, abs=1e-6)
    assert deaf["label-audio"] == pytest.approx(0, abs=1e-6)


def test_splits_are_disjoint_by_video_and_near_the_fractions(many: Corpus) -> None:
    splits, videos = many.splits, np.array(many.everything().videos)
    of = {name: set(videos[splits == name]) for name in ("train", "valid", "test")}
    assert not of["train"] & of["valid"]
    assert not (of["train"] | of["valid"]) & of["test"]
    assert [(splits == name).mean() for name in of] == pytest.approx([0.6, 0.2, 0.2], abs=0.001)


def test_absent_modalities_are_absent(tmp_path: Path) -> None:
    corpus = generate(tmp_path / "c", SyntheticSettings(videos=30, absent_share=0.3))
    for features in corpus.everything().features.values():
        assert 0.6 < features.present.mean() < 0.8


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"audio_dim": 8}, "at least 9"),
        ({"utterances": (5, 2)}, "utterances"),
        ({"vision_frames": (0, 2)}, "vision_frames"),
        ({"videos": 10, "utterances": (1, 3), "total_utterances": 31}, "31"),
    ],
)
def test_impossible_settings_are_refused(tmp_path: Path, settings: dict[str, object], word: str) -> None:
    with pytest.raises(CorpusError, match=word):
        generate(tmp_path / "c", SyntheticSettings(**settings))  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_mosei_preset_has_the_sizes_of_cmu_mosei(tmp_path: Path) -> None:
    """Everything but the length of the frames, which is what takes time."""
    short = {**SIZES["mosei"], "audio_frames": (1, 1), "vision_frames": (1, 1), "frame_variance": 0.0}
    corpus = generate(tmp_path / "c", SyntheticSettings(**short))
    assert len(corpus) == 22856
    assert [(corpus.splits == name).sum() for name in ("train", "valid", "test")] == [16326, 1871, 4659]
