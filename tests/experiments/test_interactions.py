"""Usable information of subsets of modalities, against what is known in closed form."""

import json

import numpy as np
import pytest

from mmmie.corpus.schema import CorpusInfo, FeatureInfo, Utterance
from mmmie.corpus.store import Corpus
from mmmie.corpus.synthetic import SyntheticSettings, generate
from mmmie.corpus.writer import CorpusWriter, Frames
from mmmie.errors import EvidenceError
from mmmie.experiments import pooled_features
from mmmie.experiments.interaction_figure import draw_interactions
from mmmie.experiments.interactions import interactions, measure, null_labels
from mmmie.experiments.partial_information import gaussian_partial_information
from mmmie.experiments.pooled_features import Pooled, PooledCorpus, pool
from mmmie.experiments.ridge import VideoBlocks, ridge_path
from mmmie.experiments.usable_information import assign_folds, cross_fit, encode, neighbour_rows, shuffled
from mmmie.settings import TextSettings
from tiny_corpora import write_corpus, write_encoder


def made(labels, present=None, per_video=5, **modalities):
    """A pooled corpus of the given arrays."""
    n = len(labels)
    present = present or {}
    return PooledCorpus(
        {
            name: Pooled(np.atleast_2d(np.asarray(x, np.float32).T).T, present.get(name, np.ones(n, bool)))
            for name, x in modalities.items()
        },
        np.asarray(labels, np.float64),
        np.array([f"v{i // per_video:04d}" for i in range(n)]),
        np.arange(n) % per_video,
    )


def by_subset(measured):
    return {s.subset: s for s in measured.subsets}


def added(measured, modality, to):
    return next(i for i in measured.increments if (i.modality, i.to) == (modality, to))


# The closed forms


def test_a_video_left_out_is_as_if_it_had_never_been_there():
    rng = np.random.default_rng(0)
    codes = np.array([3, 0, 0, 7, 3, 3, 7, 7, 7, 0, 1])
    features = rng.standard_normal((11, 4))
    features -= features.mean(axis=0)
    labels = rng.standard_normal((11, 2)) + features[:, :1]
    (fit,) = ridge_path(features, labels, VideoBlocks.of(codes), (0.7,))
    squares = np.zeros(2)
    for video in np.unique(codes):
        kept = codes != video
        design = np.c_[np.ones(kept.sum()), features[kept]]
        solution = np.linalg.solve(design.T @ design + np.diag([0, 0.7, 0.7, 0.7, 0.7]), design.T @ labels[kept])
        squares += ((labels[~kept] - np.c_[np.ones((~kept).sum()), features[~kept]] @ solution) ** 2).sum(axis=0)
    np.testing.assert_allclose(fit.error_P, squares / 11, rtol=1e-10)


def test_more_columns_than_rows_leave_the_same_videos_out():
    rng = np.random.default_rng(1)
    codes, features = np.repeat(np.arange(4), 2), rng.standard_normal((8, 20))
    features -= features.mean(axis=0)
    labels = rng.standard_normal((8, 1))
    (fit,) = ridge_path(features, labels, VideoBlocks.of(codes), (2.0,))
    expected = 0.0
    for video in range(4):
        kept = codes != video
        centre, mean = features[kept].mean(axis=0), labels[kept].mean()
        known = features[kept] - centre
        coefficients = known.T @ np.linalg.solve(known @ known.T + 2.0 * np.eye(6), labels[kept] - mean)
        expected += ((labels[~kept] - mean - (features[~kept] - centre) @ coefficients) ** 2).sum()
    assert fit.error_P[0] == pytest.approx(expected / 8)


def test_gaussian_labels_have_the_information_of_their_correlation():
    rng = np.random.default_rng(2)
    a, b, noise = rng.standard_normal((3, 4000))
    labels = np.sqrt(0.4) * a + np.sqrt(0.2) * b + np.sqrt(0.4) * noise
    found = by_subset(measure(made(labels, audio=a, vision=b), "made", draws=500, shuffles=0))
    for subset, explained in (("audio", 0.4), ("vision", 0.2), ("audio+vision", 0.6)):
        assert found[subset].nats.value == pytest.approx(-0.5 * np.log(1 - explained), abs=0.02)
        assert found[subset].r2.value == pytest.approx(explained, abs=0.02)


def test_the_generated_corpus_tells_what_its_factors_say(tmp_path):
    corpus = generate(tmp_path / "g.corpus", SyntheticSettings(videos=200, audio_frames=(3, 6), vision_frames=(2, 4)))
    pooled = pool_frames(corpus)
    found = measure(pooled, "g", draws=500, shuffles=0)
    alone = corpus.info.notes["true_mi_nats"]
    # Twice seen, the shared factor has reliability 1 / (1 + 0.25 / 2); each private one 1 / (1 + 0.25).
    together = -0.5 * np.log(1 - 0.40 / 1.125 - 2 * 0.10 / 1.25)
    truth = {"audio": alone["label-audio"], "vision": alone["label-vision"], "audio+vision": together}
    for subset, nats in truth.items():
        measured = by_subset(found)[subset].nats
        assert measured.value == pytest.approx(nats, abs=0.04)
        assert measured.low < nats < measured.high + 0.03  # finite data cost some 0.02 nats
    overlap = together - alone["label-audio"] - alone["label-vision"]
    assert found.interactions[0].nats.value == pytest.approx(overlap, abs=0.04)
    assert found.interactions[0].nats.high < 0


def test_neighbours_carry_what_the_generated_label_has_from_them(tmp_path):
    corpus = generate(tmp_path / "g.corpus", SyntheticSettings(videos=120, audio_frames=(3, 6), vision_frames=(2, 4)))
    pooled = pool_frames(corpus)
    alone, beside = (by_subset(measure(pooled, "g", context=k, draws=200, shuffles=0)) for k in (0, 2))
    assert beside["audio+vision"].nats.value > alone["audio+vision"].nats.value + 0.01


def pool_frames(corpus):
    """Without text, which would take an encoder."""
    corpus.table = corpus.table.set_column(
        corpus.table.schema.get_field_index("text"), "text", [[None] * len(corpus)]
    ).cast(corpus.table.schema)
    return pool(corpus)


# What subsets share, add and hide


def test_a_private_factor_is_what_its_modality_adds_and_a_copy_adds_nothing():
    rng = np.random.default_rng(3)
    a, b, noise = rng.standard_normal((3, 1500))
    copy = a + 1e-3 * rng.standard_normal(1500)
    found = measure(made(a + b + noise, text=a, audio=copy, vision=b), "made", draws=500, shuffles=19)
    nothing = added(found, "audio", "text")
    assert abs(nothing.nats.value) < 0.002
    assert nothing.p > 0.05
    assert added(found, "audio", "vision").nats.low > 0.15
    private = added(found, "vision", "text+audio")
    assert private.nats.value == pytest.approx(0.5 * np.log(2), abs=0.05)
    assert private.p == pytest.approx(1 / 20)
    assert private.nats.low > 5 * private.null_high
    redundancy = {i.subset: i.nats for i in found.interactions}
    assert redundancy["text+audio"].value == pytest.approx(-by_subset(found)["text"].nats.value, abs=0.01)
    assert redundancy["text+audio"].high < 0
    assert redundancy["text+vision"].low > 0  # b is noise to who does not see it
    parts = {(p.first, p.second): p for p in found.partitions}
    assert parts["text", "audio"].redundant.value == pytest.approx(by_subset(found)["text"].nats.value, abs=0.02)
    assert parts["text", "audio"].synergistic.value < 0.005


def test_shapley_shares_sum_to_what_all_tell_and_equal_modalities_share_equally():
    rng = np.random.default_rng(4)
    a, b, noise = rng.standard_normal((3, 1000))
    found = measure(made(a + 0.5 * b + noise, text=a, audio=a, vision=b), "made", draws=300, shuffles=0)
    total = by_subset(found)["text+audio+vision"].nats.value
    assert sum(v.value for v in found.shapley.values()) == pytest.approx(total)
    assert found.shapley["text"].value == pytest.approx(found.shapley["audio"].value, abs=0.005)
    assert all(v.low <= v.value <= v.high for v in found.shapley.values())


def test_an_exclusive_or_is_invisible_to_a_linear_family():
    rng = np.random.default_rng(5)
    a, b = rng.choice([-1.0, 1.0], (2, 1000))
    found = measure(made(a * b + 0.1 * rng.standard_normal(1000), audio=a, vision=b), "made", draws=300, shuffles=0)
    assert all(s.nats.value < 0.005 for s in found.subsets)


def test_shuffled_labels_tell_nothing_and_true_ones_tell_more():
    rng = np.random.default_rng(6)
    a, b, noise = rng.standard_normal((3, 400))
    true = measure(made(a + noise, audio=a, vision=b), "made", draws=300, shuffles=39)
    permuted = measure(made(rng.permutation(a + noise), audio=a, vision=b), "made", draws=300, shuffles=39)
    assert by_subset(true)["audio"].p == pytest.approx(1 / 40)
    assert by_subset(true)["audio"].nats.low > by_subset(true)["audio"].null_high
    assert added(true, "vision", "audio").p > 0.05
    for subset in permuted.subsets:
        assert subset.nats.value < 0.02
        assert subset.p > 0.05


def test_differences_are_paired():
    rng = np.random.default_rng(7)
    a, b, noise = rng.standard_normal((3, 600))
    noise *= np.repeat(rng.exponential(size=120), 5)  # videos differ in how well anything tells them
    found = measure(made(3 * a + 0.3 * b + noise, audio=a, vision=b), "made", draws=1000, shuffles=0)
    both, step = by_subset(found)["audio+vision"].nats, added(found, "vision", "audio").nats
    assert step.high - step.low < 0.5 * (both.high - both.low)


# What is read


def test_an_absent_modality_is_a_mean_and_says_so():
    values = np.array([[1.0, 2.0], [3.0, 2.0], [99.0, 99.0], [5.0, 2.0]], np.float32)
    pooled = Pooled(values, np.array([True, True, False, True]))
    encoded = encode(pooled, np.ones(4, bool))
    assert encoded.shape == (4, 2)  # the varying column and the absence
    assert encoded[2, 0] == pytest.approx(0)
    assert encoded[2, 1] > 0 > encoded[0, 1]
    values[2] = -7.0
    np.testing.assert_array_equal(encode(Pooled(values, pooled.present_N), np.ones(4, bool)), encoded)


def test_rows_that_are_judged_leave_no_trace_in_the_features_of_others():
    rng = np.random.default_rng(8)
    values = rng.standard_normal((60, 300)).astype(np.float32)
    train = np.arange(60) < 45
    before = encode(Pooled(values, np.ones(60, bool)), train)
    values[50:] += 100
    after = encode(Pooled(values, np.ones(60, bool)), train)
    np.testing.assert_array_equal(before[:50], after[:50])


def test_one_odd_recording_does_not_rule_the_fit():
    rng = np.random.default_rng(9)
    a, noise = rng.standard_normal((2, 300))
    odd = a.copy()
    odd[7] = 1e6
    found = [
        by_subset(measure(made(a + noise, audio=x, vision=noise * 0), "m", draws=100, shuffles=0)) for x in (a, odd)
    ]
    assert found[0]["audio"].nats.value > 0.25
    assert found[1]["audio"].nats.value < 0.1  # the deviation itself is spoilt: it tells little ...
    assert found[1]["audio"].nats.value > -0.1  # ... but misleads nobody


def test_neighbours_are_those_of_the_same_video_in_order():
    videos, order = np.array([0, 1, 0, 1, 0]), np.array([4, 9, 2, 7, 8])
    before, after = neighbour_rows(videos, order, 1)
    assert before.tolist() == [2, 3, -1, -1, 0]
    assert after.tolist() == [4, -1, 0, 1, -1]
    assert neighbour_rows(videos, order, 0) == []


def test_a_fold_has_whole_videos_and_a_shuffle_keeps_runs():
    videos = np.repeat(np.arange(30), np.arange(1, 31))
    fold = assign_folds(videos, 5, 0)
    assert all(len(set(fold[videos == v])) == 1 for v in range(30))
    moved = shuffled(videos.astype(float), videos, np.random.default_rng(0))
    assert sorted(moved) == sorted(videos)
    assert (np.diff(moved) != 0).sum() <= 31
    assert (moved == videos).mean() < 0.3


def test_null_labels_keep_what_a_subset_knows():
    rng = np.random.default_rng(10)
    labels, videos = rng.standard_normal(50), np.arange(50) // 5
    known = np.stack([np.zeros(50), 0.5 * labels])
    null = null_labels(known, labels, videos, 3, rng)
    assert null.shape == (2, 50, 3)
    np.testing.assert_allclose(np.sort(null[0, :, 1]), np.sort(labels))
    np.testing.assert_allclose(np.sort(null[1, :, 2] - known[1]), np.sort(0.5 * labels))
    assert abs(np.corrcoef(null[0, :, 0], labels)[0, 1]) < 0.5


def test_columns_of_labels_do_not_touch_each_other():
    rng = np.random.default_rng(11)
    labels, videos = rng.standard_normal((60, 3)), np.arange(60) // 3
    blocks = [Pooled(rng.standard_normal((60, 4)).astype(np.float32), np.ones(60, bool)) for _ in range(2)]
    together, alone = cross_fit(blocks, labels, videos), cross_fit(blocks, labels[:, 1:2], videos)
    np.testing.assert_allclose(together.predicted_SNP[:, :, 1], alone.predicted_SNP[:, :, 0], atol=1e-10)


def test_a_corpus_with_holes_is_read_and_its_test_split_is_not(tmp_path, monkeypatch):
    monkeypatch.setattr(Corpus, "test", lambda self: pytest.fail("the test split was opened"))
    corpus = write_corpus(tmp_path / "c.corpus", {"train": 30, "valid": 8, "test": 30})
    encoder = TextSettings(encoder=str(write_encoder(tmp_path / "encoder")))
    found = interactions(corpus, text=encoder, draws=300, shuffles=9)
    assert (found.utterances, found.videos) == (190, 38)
    assert list(found.present) == ["text", "audio", "vision"]
    assert all(0.8 < share < 1 for share in found.present.values())
    assert [s.subset for s in found.subsets][3:] == ["text+audio", "text+vision", "audio+vision", "text+audio+vision"]
    assert len(found.increments) == 9
    assert by_subset(found)["audio"].nats.low > 0.2
    assert "text+audio+vision" in str(found)
    found.write(tmp_path / "i.json")
    stored = json.loads((tmp_path / "i.json").read_text())
    assert stored["subsets"][0]["nats"]["value"] == found.subsets[0].nats.value
    assert interactions(corpus, text=encoder, draws=300, shuffles=9) == found
    draw_interactions(found, tmp_path / "i.png")
    assert (tmp_path / "i.png").read_bytes().startswith(b"\x89PNG")


def test_frames_are_pooled_without_masked_ones(tmp_path):
    info = CorpusInfo(
        "f", features={"audio": FeatureInfo(1, "frames", "made"), "vision": FeatureInfo(1, "utterance", "m")}
    )
    with CorpusWriter(tmp_path / "f.corpus", info) as writer:
        for split in ("train", "valid"):
            frames = {"audio": Frames(np.array([[1.0], [np.nan], [5.0]])), "vision": Frames(np.array([[2.0]]))}
            writer.add(Utterance(split, 0, split, 1.0), frames)
    pooled = pooled_features.pool(Corpus.open(tmp_path / "f.corpus")).modalities
    assert pooled["audio"].values_ND.tolist() == [[3.0, 2.0]] * 2
    assert pooled["vision"].values_ND.tolist() == [[2.0]] * 2


# Partial information


def test_partial_information_of_hand_made_gaussians():
    independent = gaussian_partial_information([[1, 0, 0.6], [0, 1, 0.3], [0.6, 0.3, 1]])
    assert independent.redundant == pytest.approx(-0.5 * np.log(1 - 0.09))
    assert independent.unique_first == pytest.approx(-0.5 * np.log(1 - 0.36) + 0.5 * np.log(1 - 0.09))
    assert independent.unique_second == 0
    assert independent.synergistic == pytest.approx(-0.5 * np.log(1 - 0.45) + 0.5 * np.log(1 - 0.36))
    copies = gaussian_partial_information([[4, 2, 1], [2, 1, 0.5], [1, 0.5, 1]])
    assert copies.redundant == pytest.approx(-0.5 * np.log(1 - 0.25))
    assert copies.synergistic == pytest.approx(0, abs=1e-9)
    constant = gaussian_partial_information([[1, 0, 0.6], [0, 0, 0], [0.6, 0, 1]])
    assert (constant.redundant, constant.synergistic) == (0, 0)
    assert constant.unique_first == pytest.approx(-0.5 * np.log(1 - 0.36))


def test_partial_information_refuses_what_has_none():
    with pytest.raises(EvidenceError, match="target that varies"):
        gaussian_partial_information(np.diag([1.0, 1.0, 0.0]))
    with pytest.raises(EvidenceError, match="infinite"):
        gaussian_partial_information([[1, 0, 1], [0, 1, 0], [1, 0, 1]])


# What cannot be measured


def test_refusals_name_the_repair(tmp_path):
    alone = write_corpus(tmp_path / "one.corpus", text=False, vision=None)
    with pytest.raises(EvidenceError, match=r"audio only\. Take a corpus with at least two"):
        interactions(alone)
    few = write_corpus(tmp_path / "few.corpus", {"train": 5, "valid": 4, "test": 1}, text=False)
    with pytest.raises(EvidenceError, match="at least 10 videos in train and valid; there are 9"):
        interactions(few)
    assert interactions(few, folds=4, draws=100, shuffles=0).videos == 9
    rng = np.random.default_rng(0)
    with pytest.raises(EvidenceError, match="must be numbers that vary"):
        measure(made(np.ones(50), audio=rng.standard_normal(50), vision=rng.standard_normal(50)), "flat")
    with pytest.raises(EvidenceError, match="at least 2 folds"):
        interactions(few, folds=1)
