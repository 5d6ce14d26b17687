"""WebVTT and SRT, read back by webvtt-py and pysubs2."""

import html
import re

import pysubs2
import pytest
import webvtt as webvtt_py

from example_results import hostile as hostile_result
from example_results import ordinary, result, silent, unreadable, utterance
from mmmie.export import srt, webvtt
from mmmie.export.plain import WORD_JOINER, one_line


def read_vtt(given, tmp_path):
    path = tmp_path / "a.vtt"
    assert webvtt.write(given, path) == ()
    return webvtt_py.read(str(path), strict=True)


def read_srt(given, tmp_path):
    path = tmp_path / "a.srt"
    assert srt.write(given, path) == ()
    return pysubs2.SSAFile.from_string(path.read_text("utf-8"), format_="srt", keep_html_tags=False)


def test_a_cue_is_an_utterance_with_its_speaker_and_verdict(tmp_path):
    cues = list(read_vtt(ordinary(), tmp_path))
    first = cues[1]
    assert (first.identifier, first.start, first.end) == ("u0001", "00:00:02.000", "00:00:04.000")
    assert first.raw_text == "<v Ben><c.positive>this is number 1</c></v>\n+1.25 positive [+0.55, +2.15]"
    assert cues[2].raw_text.endswith("\n+0.20 abstains [-0.50, +1.10]")
    assert "<c.abstains>" in cues[2].raw_text
    assert cues[3].raw_text == "<v Ana>this is number 3</v>"
    assert not cues[4].raw_text.startswith("<v")


@pytest.mark.parametrize("make", [ordinary, hostile_result], ids=["ordinary", "hostile"])
def test_vtt_gives_back_every_utterance(make, tmp_path):
    given = make()
    cues = list(read_vtt(given, tmp_path))
    assert [cue.identifier for cue in cues] == [u.id for u in given.utterances]
    for cue, u in zip(cues, given.utterances, strict=True):
        assert cue.start_in_seconds == int(u.start)
        without_tags = re.sub(r"</?[cv][^<>]*>", "", cue.lines[0])
        assert not re.search("[<>]", without_tags)
        assert html.unescape(without_tags) == one_line(u.text)
        assert len(cue.lines) <= 2


def test_nothing_said_is_markup_in_vtt(tmp_path):
    webvtt.write(hostile_result(), tmp_path / "a.vtt")
    text = (tmp_path / "a.vtt").read_text("utf-8")
    tags = set(re.findall(r"<[^>]*>", text.split("}\n\n", 1)[1]))
    assert {re.split(r"[ .>]", tag)[0] for tag in tags} == {"<v", "</v", "<c", "</c"}
    assert text.count("-->") == len(hostile_result().utterances)


@pytest.mark.parametrize("make", [ordinary, hostile_result], ids=["ordinary", "hostile"])
def test_srt_gives_back_every_utterance(make, tmp_path):
    given = make()
    names = {speaker.id: one_line(speaker.name) for speaker in given.speakers}
    blocks = read_srt(given, tmp_path)
    assert len(blocks) == len(given.utterances)
    for block, u in zip(blocks, given.utterances, strict=True):
        assert (block.start, block.end) == (round(1000 * u.start), round(1000 * u.end))
        said = block.text.split(r"\N(")[0].replace(WORD_JOINER, "")
        expected = one_line(u.text) if u.speaker is None else f"{names[u.speaker]}: {one_line(u.text)}"
        assert said == expected.strip()


def test_srt_leaves_ordinary_text_alone():
    for text in ("a < b and 5:30 -- yes {so}", "at 12:30, or 10:15:20", "x->y", "less <than"):
        assert srt.as_text(text) == text


@pytest.mark.parametrize("text", ["<b>x</b>", "< font>", "{\\an8}", "--> x", "0:00:01,000 0:00:02,000"])
def test_srt_parts_what_a_player_would_read(text):
    assert WORD_JOINER in srt.as_text(text)
    assert srt.as_text(text).replace(WORD_JOINER, "") == text


@pytest.mark.parametrize("make", [silent, unreadable], ids=["silent", "unreadable"])
def test_without_speech_the_files_are_valid_and_empty(make, tmp_path):
    assert list(read_vtt(make(), tmp_path)) == []
    assert len(read_srt(make(), tmp_path)) == 0


def test_four_hours_keep_their_hours(tmp_path):
    given = result((utterance(0, 14400.5, 14402.0),))
    assert read_vtt(given, tmp_path)[0].start == "04:00:00.500"
    assert read_srt(given, tmp_path)[0].start == 14400500
