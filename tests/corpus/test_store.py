"""The corpus on disk: what goes in comes out bit by bit, and what is wrong is refused by name and leaves nothing."""

import json
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmmie.corpus.schema import CorpusInfo, FeatureInfo, Utterance, Word
from mmmie.corpus.store import Corpus
from mmmie.corpus.writer import ROWS_PER_BATCH, CorpusWriter, Frames
from mmmie.errors import CorpusError

INFO = CorpusInfo(
    "toy", features={"audio": FeatureInfo(3, "frames", "none"), "vision": FeatureInfo(2, "utterance", "none")}
)


def utterance(video: str = "a", index: int = 0, split: str = "train", **more: object) -> Utterance:
    return Utterance(video=video, index=index, split=split, **{"label": 0.5, **more})  # type: ignore[arg-type]


def write(path: Path, rows: list[tuple[Utterance, dict[str, Frames | None]]], info: CorpusInfo = INFO) -> Corpus:
    with CorpusWriter(path, info) as writer:
        for row, features in rows:
            writer.add(row, features)
    return Corpus.open(path)


def numbers(frames: int, dim: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((frames, dim)).astype(np.float32)


def test_what_goes_in_comes_out(tmp_path: Path) -> None:
    first = Utterance(
        "-v_1", 0, "train", -2.4, 0.25, 1.5, "anna", 'naïve, "so" 好', (Word("naïve", 0.25, 0.5), Word("好", 1.0, 1.5))
    )
    second = Utterance("-v_1", 7, "train", 3.0, text="")
    third = Utterance("0012", 1, "valid", 0.0)
    audio, times, vision = numbers(5), np.array([0.1, 0.2, 0.3, 0.4, 0.5]), numbers(1, 2, 1)
    corpus = write(
        tmp_path / "c", [(first, {"audio": Frames(audio, times), "vision": Frames(vision)}), (second, {}), (third, {})]
    )
    assert list(corpus.everything()) == [first, second, third]
    assert corpus.everything().ids == ["-v_1/0", "-v_1/7", "0012/1"]
    values, mask = corpus.everything().features["audio"][0]
    assert values.tobytes() == audio.tobytes()
    assert mask.all()
    assert corpus.everything().features["vision"][0][0].tobytes() == vision.tobytes()
    np.testing.assert_array_equal(corpus.everything().features["audio"].times(0), times)
    assert corpus.everything().features["audio"].times(1) is None
    assert corpus.everything().texts == ['naïve, "so" 好', "", None], "absent is not empty"


@settings(max_examples=25, deadline=None)
@given(lengths=st.lists(st.integers(0, 4), min_size=1, max_size=30), seed=st.integers(0, 99))
def test_ragged_rows_survive_any_lengths(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[int], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    rows = [rng.standard_normal((n, 3)).astype(np.float32) for n in lengths]
    corpus = write(
        tmp_path_factory.mktemp("c") / "c",
        [(utterance(index=i), {"audio": Frames(values)}) for i, values in enumerate(rows)],
    )
    audio = corpus.everything().features["audio"]
    assert audio.lengths.tolist() == lengths
    assert audio.present.tolist() == [n > 0 for n in lengths]
    for i, values in enumerate(rows):
        np.testing.assert_array_equal(audio[i][0], values)
    gathered, mask = audio.gather(np.arange(len(rows)))
    assert gathered.shape == (len(rows), max([1, *lengths]), 3)
    assert mask.sum(axis=1).tolist() == lengths
    assert (gathered[~mask] == 0).all()


def test_rows_are_found_across_record_batches(tmp_path: Path) -> None:
    n = 2 * ROWS_PER_BATCH + 3
    corpus = write(
        tmp_path / "c", [(utterance(index=i), {"audio": Frames(np.full((1 + i % 3, 3), i))}) for i in range(n)]
    )
    rows = np.array([n - 1, 0, ROWS_PER_BATCH - 1, ROWS_PER_BATCH])
    audio = corpus.features("audio", rows)
    assert [audio[k][0][0, 0] for k in range(4)] == rows.tolist()
    assert audio.lengths.tolist() == [1 + r % 3 for r in rows]


def test_masked_frames_are_counted_and_keep_their_nan(tmp_path: Path) -> None:
    values = numbers(4)
    values[1, 2], values[3, 0] = np.nan, np.inf
    all_bad = np.full((2, 3), np.nan)
    corpus = write(
        tmp_path / "c", [(utterance(), {"audio": Frames(values)}), (utterance(index=1), {"audio": Frames(all_bad)})]
    )
    audio = corpus.everything().features["audio"]
    assert corpus.info.masked == {"audio": 4, "vision": 0}
    assert audio[0][1].tolist() == [True, False, True, False]
    assert np.isnan(audio[0][0][1, 2])
    assert audio.present.tolist() == [True, False]
    gathered, mask = audio.gather(np.array([0, 1]))
    assert np.isfinite(gathered).all()
    assert mask.sum() == 2


def test_a_value_too_large_for_float32_is_masked(tmp_path: Path) -> None:
    corpus = write(tmp_path / "c", [(utterance(), {"audio": Frames(np.array([[1e300, 0, 0], [1, 2, 3]]))})])
    assert corpus.info.masked["audio"] == 1


def test_fingerprint_follows_content_but_not_splits(tmp_path: Path) -> None:
    def of(name: str, row: Utterance, values: np.ndarray) -> str:
        return write(tmp_path / name, [(row, {"audio": Frames(values)})]).info.fingerprint

    same = of("a", utterance(), numbers(3))
    assert of("b", utterance(split="valid"), numbers(3)) == same
    assert of("c", utterance(label=0.6), numbers(3)) != same
    assert of("d", utterance(), numbers(3, seed=1)) != same


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([utterance(split="dev")], ["a/0", "'dev'"]),
        ([utterance(split="trian")], ["Did you mean 'train'"]),
        ([utterance(label=3.2)], ["a/0", "3.2", "[-3.0, 3.0]"]),
        ([utterance(label=float("nan"))], ["a/0", "nan"]),
        ([utterance(index=1), utterance(index=1)], ["a/1", "follow 1"]),
        ([utterance(), utterance("b"), utterance(index=1)], ["a/1", "two blocks"]),
        ([utterance(), utterance(index=1, split="valid")], ["a/1", "'train' and 'valid'"]),
        ([], ["no utterances"]),
    ],
)
def test_wrong_rows_are_refused_by_name(tmp_path: Path, rows: list[Utterance], words: list[str]) -> None:
    with pytest.raises(CorpusError) as caught:
        write(tmp_path / "c", [(row, {}) for row in rows])
    assert all(word in str(caught.value) for word in words), caught.value
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("features", "words"),
    [
        ({"audio": Frames(numbers(2, 4))}, ["a/0", "(2, 4)", "(frames, 3)"]),
        ({"audio": Frames(np.zeros(3))}, ["a/0", "(3,)"]),
        ({"vision": Frames(numbers(2, 2))}, ["a/0", "2 vectors"]),
        ({"audio": Frames(numbers(2), np.zeros(3))}, ["2 frames but 3 times"]),
        ({"smell": Frames(numbers(2))}, ["'smell'"]),
    ],
)
def test_wrong_arrays_are_refused_by_name(tmp_path: Path, features: dict[str, Frames], words: list[str]) -> None:
    with pytest.raises(CorpusError) as caught:
        write(tmp_path / "c", [(utterance(), features)])
    assert all(word in str(caught.value) for word in words), caught.value
    assert list(tmp_path.iterdir()) == []


def test_an_existing_folder_is_never_overwritten(tmp_path: Path) -> None:
    write(tmp_path / "c", [(utterance(), {})])
    with pytest.raises(CorpusError, match="exists already"):
        write(tmp_path / "c", [(utterance(), {})])
    assert len(Corpus.open(tmp_path / "c")) == 1


def test_an_interrupted_write_leaves_nothing(tmp_path: Path) -> None:
    def interrupted() -> None:
        with CorpusWriter(tmp_path / "c", INFO) as writer:
            writer.add(utterance(), {"audio": Frames(numbers(2))})
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


def test_a_killed_write_leaves_no_corpus(tmp_path: Path) -> None:
    code = f"""
        import time, numpy as np
        from mmmie.corpus.schema import CorpusInfo, FeatureInfo, Utterance
        from mmmie.corpus.writer import CorpusWriter, Frames
        info = CorpusInfo("toy", features={{"audio": FeatureInfo(3, "frames", "x")}})
        with CorpusWriter({str(tmp_path / "c")!r}, info) as w:
            for i in range(600):
                w.add(Utterance("a", i, "train", 0.0), {{"audio": Frames(np.zeros((9, 3)))}})
            print("half", flush=True)
            time.sleep(60)
    """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "half\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "c").exists()
    with pytest.raises(CorpusError, match="no corpus at"):
        Corpus.open(tmp_path / "c")


def test_a_full_disk_is_reported_and_leaves_nothing(tmp_path: Path) -> None:
    """The kernel's own limit on the size of a file stands for the full disk: writes fail half way."""
    code = f"""
        import resource, signal, numpy as np
        from mmmie.corpus.schema import CorpusInfo, FeatureInfo, Utterance
        from mmmie.corpus.writer import CorpusWriter, Frames
        from mmmie.errors import CorpusError
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        info = CorpusInfo("toy", features={{"audio": FeatureInfo(50, "frames", "x")}})
        try:
            with CorpusWriter({str(tmp_path / "c")!r}, info) as w:
                for i in range(2000):
                    w.add(Utterance("a", i, "train", 0.0), {{"audio": Frames(np.zeros((9, 50)))}})
        except CorpusError as error:
            print(error)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False)
    assert "could not write" in done.stdout, done.stderr
    assert "File too large" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_a_corpus_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(CorpusError, match="could not write"):
        write(tmp_path / "file" / "c", [(utterance(), {})])


def test_opening_names_what_is_wrong(tmp_path: Path) -> None:
    corpus = write(
        tmp_path / "mosi.corpus", [(utterance(), {"audio": Frames(numbers(2))}), (utterance("b", split="valid"), {})]
    )
    with pytest.raises(CorpusError, match=r"Did you mean 'mosi\.corpus'"):
        Corpus.open(tmp_path / "mosi.corpsu")
    with pytest.raises(CorpusError, match="no test split"):
        corpus.test()
    description = tmp_path / "mosi.corpus" / "corpus.json"
    values = json.loads(description.read_text())
    description.write_text(json.dumps({**values, "schema_version": 99}))
    with pytest.raises(CorpusError, match="schema version 99"):
        Corpus.open(tmp_path / "mosi.corpus")
    description.write_text(json.dumps({**values, "colour": "red"}))
    with pytest.raises(CorpusError, match="damaged"):
        Corpus.open(tmp_path / "mosi.corpus")
    description.write_text("[1]")
    with pytest.raises(CorpusError, match="not a corpus description"):
        Corpus.open(tmp_path / "mosi.corpus")
    description.write_text(json.dumps(values))
    (tmp_path / "mosi.corpus" / "utterances.arrow").write_bytes(b"ARROW1 nothing")
    with pytest.raises(CorpusError, match=r"cannot read .*utterances\.arrow"):
        Corpus.open(tmp_path / "mosi.corpus")


def test_training_parts_never_hold_test_rows(tmp_path: Path) -> None:
    corpus = write(
        tmp_path / "c",
        [(utterance(v, i, s), {}) for v, s in (("a", "train"), ("b", "valid"), ("c", "test")) for i in range(2)],
    )
    train, valid = corpus.training()
    assert set(train.videos) == {"a"}
    assert set(valid.videos) == {"b"}
    assert set(corpus.test().videos) == {"c"}


def test_opening_does_not_read_the_frames(tmp_path: Path) -> None:
    """40 MB of frames on disk, and opening with one row read adds little to what the process holds."""
    with CorpusWriter(tmp_path / "c", CorpusInfo("big", features={"audio": FeatureInfo(100, "frames", "x")})) as writer:
        for i in range(1000):
            writer.add(utterance(index=i), {"audio": Frames(np.zeros((100, 100), np.float32))})
    code = f"""
        import resource
        from mmmie.corpus.store import Corpus
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        values, _ = Corpus.open({str(tmp_path / "c")!r}).everything().features["audio"][999]
        values.sum()
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 15_000, "kilobytes"
