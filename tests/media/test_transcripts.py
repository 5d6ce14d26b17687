"""Transcript files: what is written in them comes out, and nothing is mended silently."""

import json
from pathlib import Path

import pytest

from mmmie.errors import TranscriptError
from mmmie.media.speech import Span
from mmmie.media.transcripts import Segment, SpokenWord, Transcript, lay_over_speech, read_transcript

SPEECH = (Span(1.0, 3.0), Span(5.0, 7.0))


def _read(tmp_path: Path, name: str, content: str | bytes, duration: float = 100.0, **options: object) -> Transcript:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_transcript(path, duration, **options)  # type: ignore[arg-type]


def _said(transcript: Transcript) -> list[tuple[float, float, str]]:
    return [(round(s.start, 3), round(s.end, 3), s.text) for s in transcript.segments]


SRT = """1
00:00:01,000 --> 00:00:02,500
Hello <i>there</i>,
{\\an8}old friend.

2
00:01:03,250 --> 00:01:04,000 X1:40 X2:600
AT&amp;T pays &lt;nothing&gt;
"""


def test_srt(tmp_path: Path) -> None:
    transcript = _read(tmp_path, "talk.srt", SRT)
    assert _said(transcript) == [(1.0, 2.5, "Hello there, old friend."), (63.25, 64.0, "AT&T pays <nothing>")]
    assert (transcript.source, transcript.notes, transcript.language) == ("talk.srt", (), None)


def test_srt_with_bom_windows_line_ends_and_no_empty_lines(tmp_path: Path) -> None:
    content = "\ufeff1\n00:00:01,0 --> 00:00:02,0\nOne\n2\n00:00:03,0 --> 00:00:04,0\nTwo".replace("\n", "\r\n")
    assert _said(_read(tmp_path, "talk.srt", content)) == [(1.0, 2.0, "One"), (3.0, 4.0, "Two")]


def test_vtt_with_voices_notes_styles_and_short_times(tmp_path: Path) -> None:
    content = """WEBVTT - a talk

NOTE nothing of this
is said

STYLE
::cue(v) { color: red; }

intro
00:01.000 --> 00:02.000 align:start
<v Ana Lima>Hi <c.loud>all</c></v>

01:00:00.500 --> 01:00:04.500
<v Ana Lima>Four</v>
<v.x Ben>Twelve chars</v>

01:00:05.000 --> 01:00:06.000
<00:00:05.500><c>Nobody's</c>
"""
    transcript = _read(tmp_path, "talk.vtt", content, 4000)
    assert _said(transcript) == [
        (1.0, 2.0, "Hi all"),
        (3600.5, 3601.5, "Four"),
        (3601.5, 3604.5, "Twelve chars"),
        (3605.0, 3606.0, "Nobody's"),
    ]
    assert [s.speaker for s in transcript.segments] == ["Ana Lima", "Ana Lima", "Ben", None]


def test_hostile_text_stays_text(tmp_path: Path) -> None:
    content = '1\n00:00:01,000 --> 00:00:02,000\n<script>alert("1")</script> =HYPERLINK("x") 3 < 4 > 2\x07\n'
    said = _read(tmp_path, "talk.srt", content).segments[0].text
    assert said == '<script>alert("1")</script> =HYPERLINK("x") 3 < 4 > 2'


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        ("00:00:01 -> 00:00:02", "no line with two times"),
        ("0:61 --> soon", "line 2: expected two times"),
        ("99999999:00:00,0 --> 99999999:00:01,0", "line 2: expected two times"),
    ],
)
def test_subtitles_with_broken_times_are_refused(tmp_path: Path, line: str, cause: str) -> None:
    with pytest.raises(TranscriptError, match=cause):
        _read(tmp_path, "talk.srt", f"1\n{line}\nHello\n")


def _srt(*cues: tuple[str, str, str]) -> str:
    return "\n".join(f"{i}\n{start} --> {end}\n{text}\n" for i, (start, end, text) in enumerate(cues, 1))


def test_unsorted_cues_are_sorted_and_noted(tmp_path: Path) -> None:
    transcript = _read(tmp_path, "t.srt", _srt(("0:05,0", "0:06,0", "Later"), ("0:01,0", "0:02,0", "Sooner")))
    assert [s.text for s in transcript.segments] == ["Sooner", "Later"]
    assert transcript.notes == ("1 cues out of order were sorted (line 6, 1.00 s)",)


def test_negative_and_backward_times_are_mended_and_noted(tmp_path: Path) -> None:
    cues = _srt(("-0:01,0", "0:02,0", "Early"), ("0:05,0", "0:04,0", "fifteen letters"), ("-0:03,0", "-0:02,0", "No"))
    transcript = _read(tmp_path, "t.srt", cues)
    assert _said(transcript) == [(0.0, 2.0, "Early"), (5.0, 6.0, "fifteen letters")]
    assert [note.split(" (")[0] for note in transcript.notes] == [
        "1 cues before the begin of the media were left out",
        "1 cues with a negative start now begin at 0",
        "1 cues that end before they begin were given an end by their length",
    ]


def test_empty_cues_are_left_out_and_noted(tmp_path: Path) -> None:
    transcript = _read(tmp_path, "t.srt", _srt(("0:01,0", "0:02,0", "<i> </i>"), ("0:03,0", "0:04,0", "Word")))
    assert _said(transcript) == [(3.0, 4.0, "Word")]
    assert transcript.notes == ("1 cues without text were left out (line 2, 1.00 s)",)


def test_overlaps_of_nobody_or_one_speaker_are_mended_and_noted(tmp_path: Path) -> None:
    cues = _srt(("0:01,0", "0:03,0", "First"), ("0:02,0", "0:04,0", "Second"), ("0:02,0", "0:04,0", "Thirds"))
    transcript = _read(tmp_path, "t.srt", cues)
    assert _said(transcript) == [(1.0, 2.0, "First"), (2.0, 3.0, "Second"), (3.0, 4.0, "Thirds")]
    assert transcript.notes == ("2 overlaps were mended by changing times (line 6, 2.00 s; line 10, 3.00 s)",)


def test_two_speakers_may_overlap_and_it_is_noted(tmp_path: Path) -> None:
    cues = _srt(("0:01,0", "0:03,0", "<v Ana>First"), ("0:02,0", "0:04,0", "<v Ben>Second"))
    transcript = _read(tmp_path, "t.vtt", "WEBVTT\n\n" + cues)
    assert _said(transcript) == [(1.0, 3.0, "First"), (2.0, 4.0, "Second")]
    assert transcript.notes == ("1 overlaps between two speakers were kept",)


def test_a_little_beyond_the_end_is_cut_and_much_is_refused(tmp_path: Path) -> None:
    cues = [(f"0:{i:02},0", f"0:{i + 1:02},0", "some text here") for i in range(10, 30)]
    transcript = _read(tmp_path, "t.srt", _srt(*cues, ("0:30,0", "0:32,0", "Held"), ("0:33,0", "0:34,0", "Gone")), 30.5)
    assert _said(transcript)[-1] == (30.0, 30.5, "Held")
    assert [note.split(" (")[0] for note in transcript.notes] == [
        "1 cues beyond the end of the media at 30.50 s were left out",
        "1 cues that last beyond the end of the media were cut at 30.50 s",
    ]
    with pytest.raises(TranscriptError, match=r"t.srt does not fit its media: 10 of 20 .* after its end at 20.00 s"):
        _read(tmp_path, "t.srt", _srt(*cues), 20.0)


@pytest.mark.parametrize("end", ["0:10,4", "0:10,5"])
def test_subtitles_held_into_the_tail_need_no_note(tmp_path: Path, end: str) -> None:
    transcript = _read(tmp_path, "t.srt", _srt(("0:09,0", end, "Bye")), 10.0)
    assert (_said(transcript), transcript.notes) == ([(9.0, 10.0, "Bye")], ())


def test_prefixes_become_speakers_and_hold(tmp_path: Path) -> None:
    lines = ["ANA: Hello.", "And welcome.", "- DR. LEE: Thanks.", "ANA: One thing: it works."]
    cues = [(f"0:0{i},0", f"0:0{i},9", line) for i, line in enumerate(lines)]
    transcript = _read(tmp_path, "t.srt", _srt(*cues))
    assert [(s.speaker, s.text) for s in transcript.segments] == [
        ("ANA", "Hello."),
        ("ANA", "And welcome."),
        ("DR. LEE", "Thanks."),
        ("ANA", "One thing: it works."),
    ]
    assert transcript.notes == ("speakers were read from prefixes: ANA, DR. LEE",)


@pytest.mark.parametrize(
    "text", ["Warning: it is hot.", "what i say is this: no.", "At 10:30 we met.", "NOTE: once only.", "See: http://x"]
)
def test_what_merely_looks_like_a_prefix_stays_text(tmp_path: Path, text: str) -> None:
    transcript = _read(tmp_path, "t.srt", _srt(("0:01,0", "0:02,0", text), ("0:03,0", "0:04,0", "Other text")))
    assert [(s.speaker, s.text) for s in transcript.segments] == [(None, text), (None, "Other text")]


WHISPER = {
    "text": " Hi there.",
    "language": "en",
    "segments": [
        {
            "id": 0,
            "start": 1.0,
            "end": 2.0,
            "text": " Hi there.",
            "words": [
                {"word": " Hi", "start": 1.0, "end": 1.4, "probability": 0.9},
                {"word": " there.", "start": 1.4, "end": 2.0, "probability": 0.8},
            ],
        }
    ],
}
OURS = {
    "utterances": [
        {
            "id": "u0000",
            "start": 1.0,
            "end": 2.0,
            "speaker": "S1",
            "text": "Hi there.",
            "words": [
                {"word": "Hi", "start": 1.0, "end": 1.4, "confidence": 0.9, "aligned": True},
                {"word": "there.", "start": 1.4, "end": 2.0, "confidence": 0.8, "aligned": False},
            ],
            "sentiment": None,
        }
    ]
}


def test_whisper_json(tmp_path: Path) -> None:
    transcript = _read(tmp_path, "t.json", json.dumps(WHISPER))
    words = (SpokenWord("Hi", 1.0, 1.4, 0.9), SpokenWord("there.", 1.4, 2.0, 0.8))
    assert transcript.segments == (Segment(1.0, 2.0, "Hi there.", words),)
    assert transcript.language == "en"


def test_our_own_result_and_a_bare_list(tmp_path: Path) -> None:
    words = (SpokenWord("Hi", 1.0, 1.4, 0.9), SpokenWord("there.", 1.4, 2.0, 0.8, aligned=False))
    for content in (OURS, OURS["utterances"]):
        transcript = _read(tmp_path, "t.json", json.dumps(content))
        assert transcript.segments == (Segment(1.0, 2.0, "Hi there.", words, "S1"),)


def test_word_times_that_make_no_sense_are_not_used_and_noted(tmp_path: Path) -> None:
    words = [{"word": "7", "score": 0.1}, {"word": "pm", "start": 1.2, "end": 1.4}]  # WhisperX leaves figures out
    segments = [{"start": 1.0, "end": 2.0, "text": "7 pm", "words": words}]
    transcript = _read(tmp_path, "t.json", json.dumps(segments))
    assert transcript.segments == (Segment(1.0, 2.0, "7 pm"),)
    assert transcript.notes == ("the word times of 1 cues are missing, out of order or outside of their cue: not used",)


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ('{"results": []}', "expected a list of segments.*an object with 'results'"),
        ('["hi"]', "segment 1: expected an object"),
        ('[{"start": 0, "end": 1}]', "expected 'text' to be a string, came None"),
        ('[{"start": "00:01", "end": 1, "text": "x"}]', "segment 1: 'start': expected a number.*'00:01'"),
        ('[{"start": NaN, "end": 1, "text": "x"}]', "expected a number.*nan"),
        ('[{"start": true, "end": 1, "text": "x"}]', "expected a number.*True"),
        (f'[{{"start": 0, "end": 1{"0" * 400}, "text": "x"}}]', "expected a number"),
        ('[{"start": 0, "end": 1, "text": "x", "words": ["x"]}]', "expected 'words' to be a list of objects"),
        ("[]", "holds no text"),
    ],
)
def test_broken_json_is_refused_with_its_place(tmp_path: Path, content: str, cause: str) -> None:
    with pytest.raises(TranscriptError, match=cause):
        _read(tmp_path, "t.json", content)


def _textgrid(path: Path, **tiers: list[tuple[float, float, str]]) -> None:
    from praatio import textgrid

    grid = textgrid.Textgrid()
    for name, entries in tiers.items():
        grid.addTier(textgrid.IntervalTier(name.replace("_", " "), entries, 0, 10))
    grid.save(str(path), format="long_textgrid", includeBlankSpaces=True)


def test_textgrid_of_one_tier_with_words(tmp_path: Path) -> None:
    pytest.importorskip("praatio")
    path = tmp_path / "t.TextGrid"
    _textgrid(path, said=[(1, 2, 'Say "hi"')], words=[(1, 1.5, "Say"), (1.5, 2, '"hi"')], phones=[(1, 2, "s")])
    words = (SpokenWord("Say", 1.0, 1.5), SpokenWord('"hi"', 1.5, 2.0))
    assert read_transcript(path, 10).segments == (Segment(1.0, 2.0, 'Say "hi"', words),)
    path.write_bytes(path.read_text("utf-8").encode("utf-16"))
    assert read_transcript(path, 10).segments[0].words == words


def test_textgrid_of_two_speakers_and_of_words_only(tmp_path: Path) -> None:
    pytest.importorskip("praatio")
    path = tmp_path / "t.TextGrid"
    _textgrid(
        path, Ana=[(1, 2, "One")], Ben=[(1.5, 3, "Two")], Ben_words=[(1.5, 3, "Two")], Ben_sentiment=[(1, 2, "x")]
    )
    transcript = read_transcript(path, 10)
    assert [(s.speaker, s.text, len(s.words)) for s in transcript.segments] == [("Ana", "One", 0), ("Ben", "Two", 1)]
    assert transcript.notes[0] == "each tier is a speaker: Ana, Ben"
    _textgrid(path, words=[(1, 2, "One"), (2, 3, "two")])
    assert [s.words for s in read_transcript(path, 10).segments] == [
        (SpokenWord("One", 1.0, 2.0),),
        (SpokenWord("two", 2.0, 3.0),),
    ]


def test_textgrid_without_utterances_or_broken(tmp_path: Path) -> None:
    pytest.importorskip("praatio")
    path = tmp_path / "t.TextGrid"
    _textgrid(path, phones=[(1, 2, "s")])
    with pytest.raises(TranscriptError, match=r"no interval tier of utterances or words; its tiers: phones"):
        read_transcript(path, 10)
    path.write_text("not a grid")
    with pytest.raises(TranscriptError, match=r"t.TextGrid is not a TextGrid that can be read"):
        read_transcript(path, 10)


def test_lines_without_times_are_laid_over_speech(tmp_path: Path) -> None:
    transcript = _read(tmp_path, "t.txt", "Four\n\nFours\nA line of 9\n", speech=SPEECH)
    assert _said(transcript) == [(1.0, 1.8, "Four"), (1.8, 2.8, "Fours"), (2.8, 7.0, "A line of 9")]
    assert not any(word.aligned for s in transcript.segments for word in s.words)
    assert transcript.notes == ("t.txt has no times: 3 lines were laid over the speech by their length",)
    with pytest.raises(TranscriptError, match="has no times, and there is no speech"):
        _read(tmp_path, "t.txt", "Hello")


def test_a_line_that_ends_with_the_speech_does_not_reach_over_the_pause() -> None:
    first, second = lay_over_speech([(None, "aaaa"), ("Ana", "bbbb")], SPEECH)
    assert (first.start, first.end, second.start, second.end) == (1.0, 3.0, 5.0, 7.0)
    assert second.speaker == "Ana"


def test_files_that_are_no_transcripts_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(TranscriptError, match=r"expected a transcript as .srt, .vtt.*Did you mean '.srt'"):
        _read(tmp_path, "t.str", "x")
    with pytest.raises(TranscriptError, match=r"nowhere.srt cannot be read: No such file"):
        read_transcript(tmp_path / "nowhere.srt", 1)
    with pytest.raises(TranscriptError, match=r"not UTF-8 \(line 3, byte 0xfc\).*iconv -f WINDOWS-1252"):
        _read(tmp_path, "t.srt", "1\n00:01,0 --> 00:02,0\nf\u00fcr".encode("latin-1"))
    with pytest.raises(TranscriptError, match=r"iconv -f UTF-16"):
        _read(tmp_path, "t.srt", SRT.encode("utf-16"))
    with pytest.raises(TranscriptError, match="holds no text"):
        _read(tmp_path, "t.vtt", "WEBVTT\n\n")


@pytest.mark.parametrize(
    ("text", "language", "doubted"),
    [
        ("Привет, как дела?", "en", True),
        ("Привет, как дела?", "ru", False),
        ("Hello there", "ru", True),
        ("Hello there", "en-US", False),
        ("Hello there", None, False),
        ("你好，今天怎么样", "de", True),
        ("你好，今天怎么样", "zh", False),
        ("今日はいい天気ですね", "ja", False),
        ("Dobar dan", "sr", False),
        ("12 34", "ru", False),
    ],
)
def test_another_script_than_the_languages_is_noted(
    tmp_path: Path, text: str, language: str | None, doubted: bool
) -> None:
    transcript = _read(tmp_path, "t.srt", _srt(("0:01,0", "0:02,0", text)), language=language)
    assert any("letters" in note for note in transcript.notes) == doubted
