"""The leak detector: the contaminated features are caught and named, clean ones are left alone."""

from pathlib import Path

import numpy as np
import pytest
import torch

from mmmie.corpus.leaks import TwoHeaps, examine, find_leaks, utterance_means
from mmmie.corpus.schema import CorpusInfo, FeatureInfo, Utterance
from mmmie.corpus.store import Corpus
from mmmie.corpus.synthetic import SyntheticSettings, generate
from mmmie.corpus.writer import CorpusWriter, Frames

VIDEOS, SEEN = 93, 62
"""Of CMU-MOSI, and of those whose labels the published vision network was trained on."""


def labels_like_mosi(rng: np.random.Generator, videos: int = VIDEOS) -> tuple[np.ndarray, np.ndarray]:
    """Labels and video numbers: 9 to 40 utterances, a quarter of the variance between videos, neighbours alike."""
    video = np.repeat(np.arange(videos), rng.integers(9, 41, videos))
    noise = rng.standard_normal(len(video))
    for i in range(1, len(video)):
        noise[i] = 0.3 * noise[i - 1] + np.sqrt(0.91) * noise[i]
    label = 1.6 * (0.5 * rng.standard_normal(videos)[video] + np.sqrt(0.75) * noise)
    return np.clip(label, -3, 3), video


def features_that_tell(
    rng: np.random.Generator, label: np.ndarray, video: np.ndarray, correlation: np.ndarray, dim: int = 100
) -> np.ndarray:
    """Voices and faces of videos plus noise, and one hidden direction that correlates with the label as stated."""
    n = len(label)
    noise = 0.5 * rng.standard_normal((video.max() + 1, dim))[video] + np.sqrt(0.75) * rng.standard_normal((n, dim))
    direction = rng.standard_normal(dim)
    direction /= np.linalg.norm(direction)
    r = correlation[video]
    signal = r * label / label.std() + np.sqrt(1 - r**2) * (noise @ direction)
    return noise + np.outer(signal - noise @ direction, direction)


def contaminated(seed: int, correlation: float, seen: int = SEEN) -> tuple[TwoHeaps, np.ndarray, float]:
    rng = np.random.default_rng(seed)
    label, video = labels_like_mosi(rng)
    is_seen = rng.permutation(VIDEOS) < seen
    features = features_that_tell(rng, label, video, np.where(is_seen, correlation, 0.08))
    heaps = examine(features, label, video, seed)
    assert heaps is not None
    inside = is_seen[video]
    assert np.corrcoef(heaps.prediction_N[~inside], label[~inside])[0, 1] < 0.3, "unseen videos are not predicted"
    return heaps, is_seen, float(np.corrcoef(heaps.prediction_N[inside], label[inside])[0, 1])


def trained_features(seed: int, videos_seen: int = SEEN) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The hidden layer of a network trained on the labels of some videos, as the published features were made."""
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    label, video = labels_like_mosi(rng)
    raw = rng.standard_normal((len(label), 400)) + 0.5 * rng.standard_normal((VIDEOS, 400))[video]
    is_seen = rng.permutation(VIDEOS) < videos_seen
    hidden = torch.nn.Sequential(torch.nn.Linear(400, 100), torch.nn.ReLU())
    head = torch.nn.Linear(100, 1)
    optimiser = torch.optim.Adam([*hidden.parameters(), *head.parameters()], lr=1e-3)
    x, y, inside = torch.tensor(raw).float(), torch.tensor(label).float(), torch.tensor(is_seen[video])
    for _ in range(15):
        optimiser.zero_grad()
        ((head(hidden(x[inside])).squeeze(1) - y[inside]) ** 2).mean().backward()
        optimiser.step()
    with torch.no_grad():
        return hidden(x).double().numpy(), label, video, is_seen


@pytest.mark.parametrize("seed", range(3))
def test_the_hidden_layer_of_a_network_trained_on_62_of_93_videos_is_caught(seed: int) -> None:
    features, label, video, is_seen = trained_features(seed)
    heaps = examine(features, label, video, seed)
    assert heaps is not None
    assert heaps.alarm
    suspected = heaps.chance_V > 0.5
    assert suspected[is_seen].mean() > 0.9, "of the seen videos"
    assert suspected[~is_seen].mean() < 0.35, "of the clean ones"
    inside = is_seen[video]
    assert 0.55 < np.corrcoef(heaps.prediction_N[inside], label[inside])[0, 1] < 0.85, "the case is the published one"


@pytest.mark.parametrize("seed", range(3))
def test_a_leak_as_strong_as_the_published_one_is_caught(seed: int) -> None:
    heaps, is_seen, correlation = contaminated(seed, 0.78)
    assert 0.6 < correlation < 0.78, "published: 0.69"
    assert heaps.alarm
    suspected = heaps.chance_V > 0.5
    assert suspected[is_seen].mean() > 0.9
    assert suspected[~is_seen].mean() < 0.35


def test_a_leak_of_a_minority_is_caught_where_it_is_strong() -> None:
    caught = [contaminated(seed, 0.9, seen=28)[0].alarm for seed in range(5)]
    assert sum(caught) >= 4


@pytest.mark.parametrize("correlation", [0.0, 0.3, 0.8])
def test_features_equally_good_for_all_videos_raise_no_alarm(correlation: float) -> None:
    for seed in range(15):
        rng = np.random.default_rng(100 + seed)
        label, video = labels_like_mosi(rng)
        features = features_that_tell(rng, label, video, np.full(VIDEOS, correlation))
        heaps = examine(features, label, video, seed)
        assert heaps is not None
        assert not heaps.alarm, (seed, heaps.p_value)


def test_natural_variation_between_videos_raises_no_alarm() -> None:
    for seed in range(15):
        rng = np.random.default_rng(200 + seed)
        label, video = labels_like_mosi(rng)
        features = features_that_tell(rng, label, video, 0.3 + 0.1 * rng.standard_normal(VIDEOS), dim=40)
        heaps = examine(features, label, video, seed)
        assert heaps is not None
        assert not heaps.alarm, (seed, heaps.p_value)


def test_clean_generated_corpora_raise_no_alarm(tmp_path: Path) -> None:
    for seed in range(5):
        settings = SyntheticSettings(videos=60, audio_frames=(1, 3), vision_frames=(1, 3), seed=seed)
        assert find_leaks(generate(tmp_path / str(seed), settings)) == []


def test_too_little_to_tell_is_said_by_none() -> None:
    rng = np.random.default_rng(0)
    one_each = np.arange(200)
    assert examine(rng.standard_normal((200, 5)), rng.standard_normal(200), one_each) is None
    few = np.repeat(np.arange(10), 20)
    assert examine(rng.standard_normal((200, 5)), rng.standard_normal(200), few) is None
    many = np.repeat(np.arange(40), 5)
    assert examine(np.ones((200, 5)), rng.standard_normal(200), many) is None, "features that do not vary"
    assert examine(rng.standard_normal((200, 5)), np.zeros(200), many) is None, "labels that do not vary"


def test_leaks_of_a_corpus_are_named_by_video_and_modality(tmp_path: Path) -> None:
    features, label, video, is_seen = trained_features(7)
    rng = np.random.default_rng(0)
    info = CorpusInfo(
        "leaky", features={"audio": FeatureInfo(4, "frames", "noise"), "vision": FeatureInfo(100, "utterance", "leaky")}
    )
    with CorpusWriter(tmp_path / "c", info) as writer:
        for i, (v, y) in enumerate(zip(video, label, strict=True)):
            frames = rng.standard_normal((3, 4))
            frames[0, 0] = np.nan
            writer.add(
                Utterance(f"v{v:02}", i, "train", float(y)),
                {"audio": Frames(frames), "vision": Frames(features[i : i + 1]) if i % 50 else None},
            )
    corpus = Corpus.open(tmp_path / "c")
    (leak,) = find_leaks(corpus)
    assert leak.modality == "vision"
    truly = {f"v{v:02}" for v in np.flatnonzero(is_seen)}
    assert len(truly & set(leak.videos)) > 0.9 * SEEN
    assert len(set(leak.videos) - truly) < 0.35 * (VIDEOS - SEEN)
    assert leak.correlation_inside > 0.55
    assert leak.correlation_outside < 0.25
    assert list(leak.chances) == sorted(leak.chances, reverse=True)
    assert np.isfinite(utterance_means(corpus.everything().features["audio"], np.arange(len(corpus)))).all()


@pytest.mark.real_data
def test_the_clean_features_of_mosi_raise_no_alarm(real_data: Path) -> None:
    import csv

    with (real_data / "mosi" / "utterances.csv").open(encoding="utf-8", newline="") as file:
        label = {(row["video_id"], int(row["utterance"])): float(row["label"]) for row in csv.DictReader(file)}
    for file_name, array in (("audio.npz", "audio"), ("vision_clean.npz", "vision")):
        with np.load(real_data / "mosi" / file_name, allow_pickle=False) as data:
            names = data["video_id"].tolist()
            labels = np.array([label[key] for key in zip(names, data["utterance"].tolist(), strict=True)])
            video = np.unique(np.array(names), return_inverse=True)[1]
            for seed in range(3):
                heaps = examine(data[array].astype(np.float64), labels, video, seed)
                assert heaps is not None
                assert not heaps.alarm, (array, seed, heaps.p_value)
