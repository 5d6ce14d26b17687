from itertools import pairwise, product
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from mmmie.errors import FeatureError
from mmmie.media import speakers
from mmmie.media.audio import Audio
from mmmie.media.models import describe
from mmmie.media.speakers import (
    Turn,
    VoiceNetwork,
    Window,
    best_path,
    cut_windows,
    embed,
    find_speakers,
    find_voices,
    into_turns,
    mel_power,
    smooth,
)
from mmmie.media.speech import Span
from mmmie.media.words import SpokenWord

RATE = 16_000


def stored(folder: Path, samples: NDArray[np.float32]) -> Audio:
    path = folder / "sound.raw"
    (samples * 32767).astype("<i2").tofile(path)
    return Audio(path, len(samples))


def noise(seconds: float, seed: int = 0) -> NDArray[np.float32]:
    return (np.random.default_rng(seed).standard_normal(int(seconds * RATE)) * 0.1).astype(np.float32)


def voices_around(centres: int, each: int, spread: float, seed: int = 0) -> NDArray[np.float32]:
    """Unit vectors scattered about `centres` orthogonal directions."""
    rng = np.random.default_rng(seed)
    directions = np.eye(256)[:centres].repeat(each, axis=0)
    vectors = directions + spread * rng.standard_normal(directions.shape) / 16
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@given(st.lists(st.tuples(st.floats(0.01, 2), st.floats(0.05, 20)), min_size=1, max_size=8))
def test_windows_reach_from_end_to_end_of_each_span(gaps: list[tuple[float, float]]) -> None:
    spans, at = [], 0.0
    for gap, length in gaps:
        spans.append(Span(at + gap, at + gap + length))
        at += gap + length
    windows = cut_windows(spans)
    for i, span in enumerate(spans):
        inside = [w for w in windows if w.span == i]
        assert inside[0].start == span.start
        assert inside[-1].end == pytest.approx(span.end)
        assert all(w.end - w.start == pytest.approx(min(1.6, span.end - span.start)) for w in inside)
        assert all(b.start - a.start <= 0.8 + 1e-6 for a, b in pairwise(inside))


def test_mel_power_has_a_row_every_10_ms_and_no_level() -> None:
    samples = noise(1.6)
    mel = mel_power(samples)
    assert mel.shape == (161, 40)
    torch.testing.assert_close(mel_power(samples * 0.01), mel, rtol=1e-4, atol=1e-9)
    assert torch.count_nonzero(mel_power(np.zeros(800, np.float32))) == 0


def test_embeddings_are_the_same_in_any_company(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = VoiceNetwork().eval()
    audio = stored(tmp_path, noise(40))
    windows = cut_windows([Span(0, 0.7), Span(1, 39)])
    together = embed(audio, windows, network)
    alone = np.concatenate([embed(audio, [window], network) for window in windows[::7]])
    np.testing.assert_allclose(together[::7], alone, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("centres", [1, 2, 3, 4])
def test_as_many_voices_as_there_are(centres: int) -> None:
    embeddings = voices_around(centres, each=25, spread=0.5)
    voices = find_voices(embeddings, np.full(len(embeddings), 1.6))
    assert len(voices) == centres
    own = (embeddings @ voices.T).argmax(axis=1).reshape(centres, 25)
    assert (own == own[:, :1]).all()
    assert len(set(own[:, 0])) == centres


def test_a_moment_of_another_voice_is_no_speaker() -> None:
    embeddings = np.concatenate([voices_around(1, 60, 0.5), -voices_around(1, 2, 0.5)])
    assert len(find_voices(embeddings, np.full(62, 1.6))) == 1


def test_a_known_number_of_speakers_is_kept() -> None:
    embeddings = voices_around(1, each=20, spread=1.0)
    assert len(find_voices(embeddings, np.full(20, 1.6), num_speakers=3)) == 3


def test_fewer_windows_than_speakers_are_as_many_speakers() -> None:
    embeddings = voices_around(2, each=1, spread=0.1)
    assert len(find_voices(embeddings, np.full(2, 1.6), num_speakers=5)) == 2
    assert len(find_voices(embeddings, np.array([1.6, 0.5]), num_speakers=2)) == 2
    assert len(find_voices(embeddings, np.full(2, 1.6), num_speakers=1)) == 1


def test_short_windows_found_no_voice() -> None:
    embeddings = voices_around(2, each=20, spread=0.5)
    seconds = np.array([1.6] * 20 + [0.5] * 20)
    assert len(find_voices(embeddings, seconds)) == 1


def test_long_recordings_are_clustered_from_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speakers, "MOST_CLUSTERED", 50)
    embeddings = voices_around(3, each=400, spread=0.5)
    assert len(find_voices(embeddings, np.full(1200, 1.6))) == 3


def test_smoothing_stays_within_a_span() -> None:
    embeddings = np.eye(4, 256, dtype=np.float32)
    windows = [Window(0, 0, 1), Window(0, 1, 2), Window(1, 5, 6), Window(1, 6, 7)]
    mixed = smooth(embeddings, windows)
    expected = np.array([[5, 1, 0, 0], [1, 5, 0, 0], [0, 0, 5, 1], [0, 0, 1, 5]]) / np.sqrt(26)
    np.testing.assert_allclose(mixed[:, :4], expected, atol=1e-6)


@given(st.lists(st.lists(st.integers(0, 100), min_size=3, max_size=3), min_size=1, max_size=6))
def test_best_path_is_the_best_of_all(rows: list[list[int]]) -> None:
    similarity = np.array(rows, np.float32) / 100

    def gain(path: tuple[int, ...]) -> float:
        changes = sum(a != b for a, b in pairwise(path))
        return float(similarity[np.arange(len(path)), path].sum()) - speakers.CHANGE_COST * changes

    best = max(gain(path) for path in product(range(3), repeat=len(rows)))
    assert gain(tuple(best_path(similarity))) == pytest.approx(best, abs=1e-5)


def similarity_for(windows: tuple[Window, ...], change: float) -> NDArray[np.float32]:
    """Voice 0 speaks up to `change`, voice 1 after it."""
    first = np.array([(w.start + w.end) / 2 < change for w in windows], np.float32)
    return np.stack([first, 1 - first], axis=1)


def test_speakers_change_at_the_quietest_moment_nearby(tmp_path: Path) -> None:
    samples = noise(10)
    samples[int(6.1 * RATE) : int(6.2 * RATE)] = 0
    spans = [Span(0, 10)]
    windows = cut_windows(spans)
    turns = into_turns(stored(tmp_path, samples), spans, windows, similarity_for(windows, 6.0))
    assert [turn.speaker for turn in turns] == ["S1", "S2"]
    assert turns[0].end == pytest.approx(6.15, abs=0.05)


def test_speakers_change_between_words_where_words_are_known(tmp_path: Path) -> None:
    spans = [Span(0, 10)]
    windows = cut_windows(spans)
    words = [SpokenWord("a", 0, 5.9), SpokenWord("b", 5.95, 6.3), SpokenWord("c", 6.6, 10)]
    turns = into_turns(stored(tmp_path, noise(10)), spans, windows, similarity_for(windows, 6.0), words)
    assert [round(turn.end, 3) for turn in turns] == [6.45, 10]


def test_no_word_ends_so_nobody_changes(tmp_path: Path) -> None:
    spans = [Span(0, 10)]
    windows = cut_windows(spans)
    words = [SpokenWord("a", 0, 0.4), SpokenWord("long", 0.5, 10)]
    turns = into_turns(stored(tmp_path, noise(10)), spans, windows, similarity_for(windows, 6.0), words)
    assert len(turns) == 1


@given(st.integers(0, 10_000))
def test_turns_cover_the_speech_exactly(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    rng = np.random.default_rng(seed)
    ends = np.cumsum(rng.uniform(0.05, 6, 12)).tolist()
    spans = [Span(a, b) for a, b in zip(ends[::2], ends[1::2], strict=True)]
    windows = cut_windows(spans)
    similarity = rng.random((len(windows), 3)).astype(np.float32)
    folder = tmp_path_factory.getbasetemp()
    turns = into_turns(stored(folder, noise(0.2)), spans, windows, similarity)
    assert all(turn.end > turn.start for turn in turns)
    for span in spans:
        inside = [turn for turn in turns if span.start <= turn.start < span.end]
        assert inside[0].start == span.start
        assert inside[-1].end == span.end
        assert all(a.end == b.start for a, b in pairwise(inside))
    total = {name: sum(t.end - t.start for t in turns if t.speaker == name) for name in {t.speaker for t in turns}}
    assert max(total, key=lambda name: total[name]) == "S1"


def test_silence_and_one_speaker_need_no_network(tmp_path: Path) -> None:
    audio = stored(tmp_path, noise(3))
    nowhere = tmp_path / "absent.pt"
    assert find_speakers(audio, [], weights=nowhere) == ()
    spans = [Span(0, 1), Span(2, 3)]
    assert find_speakers(audio, spans, num_speakers=1, weights=nowhere) == (Turn(0, 1, "S1"), Turn(2, 3, "S1"))


@pytest.mark.parametrize("content", [b"no network", b""])
def test_a_file_that_is_no_network_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "ge2e.pt"
    path.write_bytes(content)
    with pytest.raises(FeatureError, match=r"ge2e\.pt holds no voice network.*mmmie models fetch"):
        VoiceNetwork.load(path)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "ge2e.pt"
    torch.save({"model_state": {"linear.weight": torch.zeros(3, 3)}}, path)
    with pytest.raises(FeatureError, match="holds no voice network"):
        VoiceNetwork.load(path)


def test_a_file_that_would_run_code_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ge2e.pt"
    torch.save({"model_state": Path("somewhere")}, path)  # any class beyond tensors needs unpickling
    with pytest.raises(FeatureError, match="holds no voice network"):
        VoiceNetwork.load(path)


def test_nothing_of_a_voice_leaves(tmp_path: Path) -> None:
    torch.manual_seed(0)
    path = tmp_path / "network.pt"
    torch.save({"model_state": VoiceNetwork().state_dict()}, path)
    turns = find_speakers(stored(tmp_path, noise(5)), [Span(0, 5)], weights=path)
    assert turns == (Turn(0, 5, "S1"),)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["network.pt", "sound.raw"]


def joined_voices(folder: Path, groups: list[list[Path]]) -> tuple[Audio, list[Span], NDArray[np.intp]]:
    """Recordings of some persons in turn, twice around; who speaks at every 50 ms."""
    av = pytest.importorskip("av")
    if not describe("ge2e").path.is_file():
        pytest.skip("the voice network is not fetched: mmmie models fetch ge2e")
    pieces, who = [], []
    for speaker, group in [*enumerate(groups), *enumerate(groups)]:
        for file in group:
            with av.open(str(file)) as container:
                samples = np.concatenate([f.to_ndarray().reshape(-1) for f in container.decode(audio=0)]) / 32768
            samples = samples[: len(samples) // 800 * 800]
            pieces.append(samples.astype(np.float32) * 0.9)
            who += [speaker] * (len(samples) // 800)
    sound = np.concatenate(pieces)
    return stored(folder, sound), [Span(0, len(sound) / RATE)], np.array(who)


def share_wrong(turns: tuple[Turn, ...], who: NDArray[np.intp]) -> float:
    """The share of the time that goes to another person, names being exchanged as fits best."""
    names = {name: n for n, name in enumerate(sorted({turn.speaker for turn in turns}))}
    spoken = np.array([names[next(t.speaker for t in turns if t.start <= m / 20 < t.end)] for m in range(len(who))])
    together = np.zeros((who.max() + 1, len(names)))
    np.add.at(together, (who, spoken), 1)
    return 1 - float(together[linear_sum_assignment(-together)].sum()) / len(who)


@pytest.mark.real_data
def test_two_real_voices(tmp_path: Path, real_data: Path) -> None:
    folder = real_data / "expressive" / "audio" / "ravdess"
    groups = [sorted(folder.glob(f"a{actor}_neutral_*"))[:3] for actor in ("01", "02")]
    audio, spans, who = joined_voices(tmp_path, groups)
    turns = find_speakers(audio, spans)
    assert len({turn.speaker for turn in turns}) == 2
    assert share_wrong(turns, who) < 0.1


@pytest.mark.real_data
def test_the_number_of_real_voices_helps_to_tell_them_apart(tmp_path: Path, real_data: Path) -> None:
    """By itself one of the three is missed."""
    folder = real_data / "expressive" / "audio" / "ravdess"
    emotions = ("neutral", "calm", "happiness", "surprise")
    groups = [[sorted(folder.glob(f"a{actor}_{e}*"))[0] for e in emotions] for actor in ("01", "03", "06")]
    audio, spans, who = joined_voices(tmp_path, groups)
    by_itself, told = find_speakers(audio, spans), find_speakers(audio, spans, num_speakers=3)
    assert len({turn.speaker for turn in told}) == 3
    assert share_wrong(told, who) < 0.05 < share_wrong(by_itself, who)
