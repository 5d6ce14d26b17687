"""The audit: each oddity that is planted is found, counted and graded; a clean corpus has no problem."""

import json
from pathlib import Path

import numpy as np
import pytest

from mmmie.corpus.audit import Audit, inspect
from mmmie.corpus.schema import CorpusInfo, FeatureInfo, Utterance
from mmmie.corpus.store import Corpus
from mmmie.corpus.synthetic import SIZES, SyntheticSettings, generate
from mmmie.corpus.writer import CorpusWriter, Frames

LONG = "this very sentence stands in two splits"


def audit_of(path: Path, rows: list[Utterance], audio: list[np.ndarray | None] | None = None, dim: int = 2) -> Audit:
    info = CorpusInfo("toy", features={"audio": FeatureInfo(dim, "frames", "none")} if audio else {})
    with CorpusWriter(path, info) as writer:
        for i, row in enumerate(rows):
            values = audio[i] if audio else None
            writer.add(row, {} if values is None else {"audio": Frames(values)})
    return inspect(Corpus.open(path))


def seen(audit: Audit, topic: str, words: str) -> str:
    """The severity of the one finding on a topic that holds the words."""
    (finding,) = [f for f in audit.findings if f.topic == topic and words in f.seen]
    return finding.severity


def test_a_clean_corpus_has_neither_problem_nor_warning(tmp_path: Path) -> None:
    audit = inspect(generate(tmp_path / "c", SyntheticSettings(**SIZES["small"])))
    assert [f for f in audit.findings if f.severity != "info"] == []
    assert audit.utterances == sum(s.utterances for s in audit.splits.values())
    assert audit.videos == 20
    for split in audit.splits.values():
        assert sum(split.histogram) == split.utterances
    assert audit.modalities["audio"].length_min >= 3
    assert audit.modalities["audio"].length_max <= 12


def test_splits_and_labels_are_counted(tmp_path: Path) -> None:
    labels = [-3.0, -0.4, 0.0, 0.4, 0.6, 3.0]
    rows = [Utterance("a", i, "train", y, speaker="anna") for i, y in enumerate(labels)]
    rows += [Utterance("b", 0, "valid", 0.0, speaker="anna"), Utterance("c", 0, "valid", 1.0)]
    audit = audit_of(tmp_path / "c", rows)
    assert audit.bin_centres == (-3, -2, -1, 0, 1, 2, 3)
    assert audit.splits["train"].histogram == (1, 0, 0, 3, 1, 0, 1)
    assert audit.splits["train"].exact_zeros == 1
    assert (audit.splits["valid"].videos, audit.splits["valid"].speakers) == (2, 1)
    assert seen(audit, "speakers", "1 speaker (anna) in more than one split") == "warning"
    assert seen(audit, "splits", "no utterance is in test") == "info"
    assert seen(audit, "videos", "2 videos have one utterance") == "info"


def test_a_video_in_two_splits_is_a_problem(tmp_path: Path) -> None:
    """The writer refuses it, so the table is changed as a careless hand would."""
    import pyarrow as pa

    generate(tmp_path / "c", SyntheticSettings(**SIZES["small"]))
    corpus = Corpus.open(tmp_path / "c")
    splits = corpus.splits.tolist()
    splits[0] = "valid" if splits[0] != "valid" else "train"
    corpus.table = corpus.table.set_column(2, "split", pa.array(splits))
    audit = inspect(Corpus(corpus.path, corpus.info, corpus.table), leaks=False)
    assert seen(audit, "splits", "1 video (video00) in more than one split") == "problem"
    assert audit.findings[0].severity == "problem", "the gravest first"


def test_text_oddities_are_counted(tmp_path: Path) -> None:
    texts = ["Hi", "hi ", LONG, "", None, "SHOUTING AT YOU", "lost \ufffd sign", "好"]
    rows = [Utterance("a", i, "train", i / 4, text=text) for i, text in enumerate(texts)]
    rows += [Utterance("b", i, "valid", i / 4, text=text) for i, text in enumerate([LONG.upper(), "HI"])]
    audit = audit_of(tmp_path / "c", rows)
    assert seen(audit, "text", "1 utterances have none") == "info"
    assert seen(audit, "text", "1 are empty, first a/3") == "warning"
    assert seen(audit, "text", "2 are all capitals") == "info"
    assert seen(audit, "text", "1 hold U+FFFD, first a/6") == "warning"
    assert seen(audit, "text", "2 are not plain ASCII") == "info"
    assert (
        seen(audit, "duplicates", "2 texts come more than once, in 5 utterances; most often 'hi' (3 times)") == "info"
    )
    assert seen(audit, "duplicates", f"1 texts of 5 words or more are in more than one split, as '{LONG}'") == "warning"
    assert seen(audit, "duplicates", "1 shorter texts") == "info"


def test_time_oddities_are_counted(tmp_path: Path) -> None:
    times = [(-0.2, 1.0), (0.5, 2.0), (5.0, 5.0), (4.0, 3.0), (6.0, 7.0), (None, None)]
    rows = [Utterance("a", i, "train", i / 4, start=s, end=e) for i, (s, e) in enumerate(times)]
    audit = audit_of(tmp_path / "c", rows)
    assert seen(audit, "times", "negative starts: 1, first a/0") == "warning"
    assert seen(audit, "times", "zero length: 1, first a/2") == "warning"
    assert seen(audit, "times", "end before start: 1, first a/3") == "problem"
    assert seen(audit, "times", "jumps back within a video: 1, first a/3") == "info"
    assert seen(audit, "times", "1 of 4 neighbours overlap, median 0.50 s") == "info"
    assert seen(audit, "times", "1 utterances have none") == "info"


def test_feature_oddities_are_found_by_column(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows, audio = [], []
    for i in range(300):
        values = rng.standard_normal((10, 5)).astype(np.float32) + 1000
        values[:, 1] = 7.0
        values[:, 2] = 0.0
        if i == 5:
            values[0, 2], values[0, 3] = 3.0, -9e4
        if i == 9:
            values[:, 4] = np.nan
        rows.append(Utterance("a", i, "train", i / 100))
        audio.append(None if i == 8 else values)
    audit = audit_of(tmp_path / "c", rows, audio, dim=5)
    modality = audit.modalities["audio"]
    assert (modality.present, modality.absent) == (298, 2), "absent, and wholly masked"
    assert (modality.frames, modality.masked_frames) == (2990, 10)
    assert modality.constant_columns == (1,)
    assert modality.near_constant_columns == (2,)
    assert modality.extreme_columns == (3,)
    assert seen(audit, "audio", "constant: 1 columns (1)") == "warning"
    assert seen(audit, "audio", "10 frames (0.3%) are masked") == "info"
    assert seen(audit, "audio", "standard deviations: 1 columns (3)") == "warning"


def test_a_modality_without_any_frame_is_a_problem(tmp_path: Path) -> None:
    rows = [Utterance("a", i, "train", float(i)) for i in range(2)]
    audit = audit_of(tmp_path / "c", rows, [None, None])
    assert seen(audit, "audio", "no utterance has any") == "problem"


def test_one_label_for_all_is_a_problem(tmp_path: Path) -> None:
    audit = audit_of(tmp_path / "c", [Utterance("a", i, "train", 1.0) for i in range(3)])
    assert seen(audit, "labels", "all are 1") == "problem"


def test_leaks_become_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mmmie.corpus import audit as module
    from mmmie.corpus.leaks import Leak

    names = tuple(f"v{i}" for i in range(7))
    monkeypatch.setattr(module, "find_leaks", lambda _: [Leak("vision", names, (0.9,) * 7, 0.69, 0.08, 1e-9)])
    corpus = generate(tmp_path / "c", SyntheticSettings(**SIZES["small"]))
    assert seen(inspect(corpus), "leak", "7 videos (v0, v1, v2, v3, v4, ...)") == "problem"
    assert not [f for f in inspect(corpus, leaks=False).findings if f.topic == "leak"]


def test_report_and_json_say_the_same(tmp_path: Path) -> None:
    audit = inspect(generate(tmp_path / "c", SyntheticSettings(**SIZES["small"], absent_share=0.2)))
    text, values = str(audit), json.loads(audit.to_json())
    for name, split in values["splits"].items():
        line = next(line for line in text.splitlines() if line.startswith(name))
        assert str(split["utterances"]) in line.split()
    for finding in values["findings"]:
        assert finding["seen"] in text
