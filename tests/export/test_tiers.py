"""ELAN and TextGrid, read back by pympi and praatio, and the tiers that both are made of."""

from itertools import pairwise

import pympi
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from praatio import textgrid as praatio_textgrid

from example_results import hostile, long, ordinary, result, silent, speakers, unreadable, utterance
from mmmie.analysis.result import Media, Word
from mmmie.export import elan, textgrid
from mmmie.export.plain import WORD_JOINER, one_line
from mmmie.export.tiers import Span, apart, speaker_tiers

MAKERS = [ordinary, hostile, silent, unreadable]


def read_grid(given_result, tmp_path):
    path = tmp_path / "a.TextGrid"
    notes = textgrid.write(given_result, path)
    return praatio_textgrid.openTextgrid(str(path), includeEmptyIntervals=False, reportingMode="error"), notes


def read_elan(given_result, tmp_path):
    path = tmp_path / "a.eaf"
    notes = elan.write(given_result, path)
    return pympi.Elan.Eaf(str(path)), notes


def said(tier):
    return [(s.span.start, s.span.end, one_line(s.utterance.text)) for s in tier.spoken]


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
def test_textgrid_gives_back_tiers(make, tmp_path):
    grid, _ = read_grid(make(), tmp_path)
    tiers = speaker_tiers(make())
    names = [name for t in tiers for name in (t.name, t.sentiment_name, t.words_name)] or ["utterances"]
    assert [name.replace(WORD_JOINER, "") for name in grid.tierNames] == names
    for tier, read in zip(tiers, grid.tiers[::3], strict=False):
        came = [(round(1000 * e.start), round(1000 * e.end), e.label.replace(WORD_JOINER, "")) for e in read.entries]
        assert came == [entry for entry in said(tier) if entry[2]]


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
def test_elan_gives_back_tiers(make, tmp_path):
    read, _ = read_elan(make(), tmp_path)
    tiers = speaker_tiers(make())
    assert list(read.get_tier_names()) == [n for t in tiers for n in (t.name, t.sentiment_name, t.words_name)]
    for tier in tiers:
        assert read.get_annotation_data_for_tier(tier.name) == said(tier)
        assert len(read.get_ref_annotation_data_for_tier(tier.sentiment_name)) == sum(
            s.utterance.sentiment is not None for s in tier.spoken
        )
        words = [(w.span.start, w.span.end, w.word) for s in tier.spoken for w in s.words]
        assert read.get_annotation_data_for_tier(tier.words_name) == words


def test_overlaps_between_speakers_stay_and_inside_one_are_mended_and_said(tmp_path):
    grid, notes = read_grid(ordinary(), tmp_path)
    assert grid.tierNames[::3] == ("Ana", "Ben", "?")
    times = {name: [(e.start, e.end) for e in grid.getTier(name).entries] for name in grid.tierNames}
    assert times["Ana"][:2] == [(0.5, 3.0), (3.0, 6.0)]  # the first lasted until 3.25
    assert times["Ben"] == [(2.0, 4.0)]
    assert notes == ("Ana: overlaps inside the tier were mended by changing the times of u0000",)
    assert read_elan(ordinary(), tmp_path)[1] == notes


def test_a_verdict_hangs_on_its_utterance_in_elan(tmp_path):
    read, _ = read_elan(ordinary(), tmp_path)
    assert read.get_ref_annotation_data_for_tier("Ben sentiment") == [
        (2000, 4000, "+1.25 positive [+0.55, +2.15]", "this is number 1")
    ]
    assert read.get_parameters_for_tier("Ben sentiment")["PARENT_REF"] == "Ben"
    assert read.get_parameters_for_linguistic_type("words")["CONSTRAINTS"] == "Included_In"


def test_elan_is_linked_to_the_media(tmp_path):
    media = Media(name="a b#1.mp4", duration_seconds=2.0)
    link = read_elan(result((), media=media), tmp_path)[0].get_linked_files()[0]
    assert (link["RELATIVE_MEDIA_URL"], link["MIME_TYPE"]) == ("../a%20b%231.mp4", "video/mp4")


def test_a_praat_tier_is_filled_from_end_to_end(tmp_path):
    path = tmp_path / "a.TextGrid"
    textgrid.write(ordinary(), path)
    for tier in praatio_textgrid.openTextgrid(str(path), includeEmptyIntervals=True).tiers:
        assert (tier.entries[0].start, tier.entries[-1].end) == (0.0, 12.0)
        assert all(a.end == b.start for a, b in pairwise(tier.entries))


def test_quotes_are_doubled_for_praat(tmp_path):
    grid, _ = read_grid(result((utterance(0, 0, 1, text='say "so" ""'),)), tmp_path)
    assert grid.getTier("Ana").entries[0].label == 'say "so" ""'


def test_tiers_of_like_named_speakers_stay_apart(tmp_path):
    spoken = ordinary().utterances
    for other in ("Ana", "Ana words"):
        given_result = result(spoken, speakers=speakers(spoken, S2=other))
        read, _ = read_elan(given_result, tmp_path)
        grid, _ = read_grid(given_result, tmp_path)
        assert list(read.get_tier_names()) == list(grid.tierNames)
        assert len(set(grid.tierNames)) == 9


def test_words_are_cut_to_their_utterance():
    words = (
        Word(word="before", start=0.1, end=0.2),
        Word(word="across", start=0.9, end=1.5),
        Word(word="lost", start=1.2, end=1.3, aligned=False),
        Word(word="short", start=1.6, end=1.6),
        Word(word="late", start=1.9, end=2.5),
        Word(word="after", start=2.0, end=2.5),
    )
    (tier,) = speaker_tiers(result((utterance(0, 1.0, 2.0, words=words),), duration=5.0))
    assert [(w.span, w.word) for w in tier.spoken[0].words] == [
        (Span(1000, 1500), "across"),
        (Span(1600, 1601), "short"),
        (Span(1900, 2000), "late"),
    ]


@settings(max_examples=300)
@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 30)), max_size=12))
def test_spans_set_apart_keep_order_and_length_as_far_as_they_can(drawn):
    wished = [Span(start, start + length) for start, length in sorted(drawn)]
    spans = apart(wished)
    assert all(span.start < span.end for span in spans)
    assert all(a.end <= b.start for a, b in pairwise(spans))
    if all(a.end <= b.start for a, b in pairwise(wished)):
        assert spans == wished
    assert all(span.end <= max(wish.end, span.start + 1) for span, wish in zip(spans, wished, strict=True))


def test_three_hours_are_written_whole(tmp_path):
    grid, _ = read_grid(long(), tmp_path)
    assert sum(len(grid.getTier(name).entries) for name in ("Ana", "Ben")) == 2500
