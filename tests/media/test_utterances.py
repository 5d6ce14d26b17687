"""Utterances: sentences and pauses, 1 to 15 s, one speaker each."""

from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmmie.media.transcripts import Segment, Transcript
from mmmie.media.utterances import LONG_PAUSE_SECONDS, MAX_SECONDS, MIN_SECONDS, Spoken, into_utterances
from mmmie.media.words import SpokenWord, join_words, spread_words


@dataclass(frozen=True)
class Turn:
    start: float
    end: float
    speaker: str


def _words(text: str, start: float = 0.0, each: float = 0.4, confidence: float | None = 0.9) -> tuple[SpokenWord, ...]:
    """Each word as long as the others; `|` is a pause of a second."""
    words = []
    for word in text.split():
        if word == "|":
            start += 1.0
        else:
            words.append(SpokenWord(word, start, start + each, confidence))
            start += each
    return tuple(words)


def _of_words(*words: SpokenWord, speaker: str | None = None) -> Transcript:
    return Transcript((Segment(words[0].start, words[-1].end, join_words(words), words, speaker),), "test")


def _texts(utterances: tuple[Spoken, ...]) -> list[str]:
    return [u.text for u in utterances]


def test_sentences_and_pauses_part() -> None:
    said = "I came here today. It was good fun | and then I went home, late."
    utterances = into_utterances(_of_words(*_words(said)))
    assert _texts(utterances) == ["I came here today.", "It was good fun", "and then I went home, late."]
    assert [u.id for u in utterances] == ["u0000", "u0001", "u0002"]
    assert (utterances[1].start, utterances[1].end) == pytest.approx((1.6, 3.2))
    assert utterances[0].flags == ()


@pytest.mark.parametrize("said", ["Dr. Sims and Mr. J. Smith came home.", "It costs 3.5 e.g. at home here."])
def test_a_point_inside_a_sentence_does_not_part(said: str) -> None:
    assert _texts(into_utterances(_of_words(*_words(said)))) == [said]


def test_a_short_one_joins_the_nearer_neighbour() -> None:
    assert _texts(into_utterances(_of_words(*_words("No. | We do not want it.")))) == ["No. We do not want it."]
    words = (*_words("That is all of it."), *_words("Yes.", 3.0), *_words("But we did want it.", 3.5))
    assert _texts(into_utterances(_of_words(*words))) == ["That is all of it.", "Yes. But we did want it."]


def test_a_short_one_far_from_all_stays_and_is_flagged() -> None:
    words = (*_words("That is all of it."), *_words("Yes.", 10.0))
    assert [(u.text, u.flags) for u in into_utterances(_of_words(*words))] == [
        ("That is all of it.", ()),
        ("Yes.", ("short",)),
    ]


def test_a_long_one_is_parted_at_a_comma_near_the_middle() -> None:
    said = " ".join(["word"] * 22) + " here, " + " ".join(["word"] * 27)
    first, second = into_utterances(_of_words(*_words(said)))
    assert first.text.endswith("here,")
    assert second.end - second.start < MAX_SECONDS


def test_never_across_speakers_however_short() -> None:
    turns = (Turn(0.0, 1.3, "S1"), Turn(1.3, 1.5, "S2"), Turn(1.5, 4.0, "S1"))
    utterances = into_utterances(_of_words(*_words("I like this yes and that too.")), turns)
    assert [(u.speaker, u.text) for u in utterances] == [("S1", "I like this"), ("S2", "yes"), ("S1", "and that too.")]


def test_a_word_outside_of_all_turns_belongs_to_the_nearest() -> None:
    turns = (Turn(0.0, 1.0, "S1"), Turn(3.0, 4.0, "S2"))
    words = (*_words("One two."), *_words("between", 1.2), *_words("Three four.", 3.0))
    assert [u.speaker for u in into_utterances(_of_words(*words), turns)] == ["S1", "S2"]
    assert into_utterances(_of_words(*words), turns)[0].text == "One two. between"


def test_a_segments_own_speaker_counts_more_than_turns() -> None:
    utterances = into_utterances(_of_words(*_words("I like this a lot."), speaker="Ana"), (Turn(0, 9, "S1"),))
    assert [u.speaker for u in utterances] == ["Ana"]


def test_a_sentence_may_run_over_segments() -> None:
    transcript = Transcript((Segment(0, 2, "This begins here"), Segment(2.1, 4, "and ends there.")), "t.srt")
    (utterance,) = into_utterances(transcript)
    assert (utterance.start, utterance.end, utterance.text) == (0, 4, "This begins here and ends there.")
    assert utterance.flags == ("unaligned",)


def test_segments_without_word_times_are_parted_in_proportion_to_characters() -> None:
    transcript = Transcript((Segment(10.0, 20.0, "Aaa bb. Cccc ddd eeeee fff."),), "t.srt")
    first, second = into_utterances(transcript)
    assert (first.start, first.end, second.end) == pytest.approx((10.0, 10.0 + 10.0 * 6 / 22, 20.0))
    assert not any(word.aligned for word in first.words)


def test_crosstalk_is_flagged_and_speakers_are_not_interleaved() -> None:
    ana, ben = _words("I was going to say that"), _words("No you were not, friend.", 0.5)
    segments = tuple(
        Segment(w[0].start, w[-1].end, join_words(w), w, speaker) for w, speaker in ((ana, "Ana"), (ben, "Ben"))
    )
    assert [(u.speaker, u.text, u.flags) for u in into_utterances(Transcript(segments, "t.vtt"))] == [
        ("Ana", "I was going to say that", ("crosstalk",)),
        ("Ben", "No you were not, friend.", ("crosstalk",)),
    ]


def test_flags_of_speech_and_recognition() -> None:
    fast = into_utterances(_of_words(*_words("everybody hastily mumbles something unbelievable", each=0.25)))
    assert fast[0].flags == ("fast speech",)
    unsure = into_utterances(_of_words(*_words("if you are not expecting it", confidence=0.2)))
    assert unsure[0].flags == ("unsure words",)
    long = into_utterances(_of_words(SpokenWord("Aaaaah", 0.0, 20.0, 0.9)))
    assert long[0].flags == ("long",)


def test_scripts_without_spaces() -> None:
    text = "你好，今天怎么样？我很好，谢谢你。"
    transcript = Transcript((Segment(0.0, 5.0, text), Segment(5.0, 6.0, "OK 3 点 iPhone好")), "t.srt")
    assert _texts(into_utterances(transcript)) == ["你好，今天怎么样？", "我很好，谢谢你。", "OK 3 点 iPhone 好"]
    assert join_words(spread_words("ที่นี่ดี", 0, 1)) == "ที่นี่ดี"
    assert [w.word for w in spread_words("你好，我", 0, 1)] == ["你", "好，", "我"]


def test_nothing_said_gives_nothing() -> None:
    assert into_utterances(Transcript((), "faster-whisper/tiny.en")) == ()


def test_words_without_length_still_make_an_utterance_with_one() -> None:
    (utterance,) = into_utterances(_of_words(SpokenWord("Ha.", 3.0, 3.0, 0.9, aligned=False)))
    assert utterance.end > utterance.start


_GAPS = st.tuples(
    st.text("abcdefghij", min_size=1, max_size=9),
    st.sampled_from(["", "", "", ",", ".", "?"]),
    st.floats(0.05, 1.0),
    st.sampled_from([0.0, 0.0, 0.0, 0.2, 0.8, 3.0]),
)


@given(said=st.lists(_GAPS, min_size=1, max_size=120), turn_ends=st.lists(st.floats(0.1, 90), max_size=6))
def test_no_word_is_lost_and_limits_hold(said: list[tuple[str, str, float, float]], turn_ends: list[float]) -> None:
    words, now = [], 0.0
    for letters, mark, seconds, pause in said:
        words.append(SpokenWord(letters + mark, now, now + seconds, 0.9))
        now += seconds + pause
    bounds = [0.0, *sorted(turn_ends), now + 1]
    turns = [Turn(a, b, f"S{i % 2}") for i, (a, b) in enumerate(pairwise(bounds))]
    utterances = into_utterances(_of_words(*words), turns)
    assert [w for u in utterances for w in u.words] == words
    assert all(0 < u.end - u.start <= MAX_SECONDS for u in utterances)
    assert all(u.text == join_words(u.words) for u in utterances)
    assert all(a.end <= b.start + 1e-9 for a, b in pairwise(utterances))
    assert [u.id for u in utterances] == [f"u{i:04d}" for i in range(len(utterances))]
    for a, b in pairwise(utterances):  # a short one is left only where it cannot be joined
        if min(a.end - a.start, b.end - b.start) < MIN_SECONDS and a.speaker == b.speaker:
            assert b.start - a.end >= LONG_PAUSE_SECONDS or b.end - a.start > MAX_SECONDS
    assert into_utterances(_of_words(*words), turns) == utterances
