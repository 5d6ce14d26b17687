"""Praat TextGrid: for each speaker a tier of utterances, one of verdicts and one of words.

Quotes are doubled, as Praat asks. A reader that searches for `intervals [` or `item [` would find it in what is said
too: there an invisible word joiner (U+2060) comes before the bracket.
Source: the Praat manual, TextGrid file formats.
"""

import re
from pathlib import Path

from mmmie.analysis.result import Result
from mmmie.evidence.predictions import replacing
from mmmie.export.plain import WORD_JOINER, milliseconds, one_line, verdict
from mmmie.export.tiers import Span, speaker_tiers

_READ_AS_STRUCTURE = re.compile(r"(?<=item|vals|ints)( ?)\[")
Interval = tuple[Span, str]


def write(result: Result, path: str | Path) -> tuple[str, ...]:
    """Writes the long text format in UTF-8; a result without speech has one empty tier, as Praat opens no fewer."""
    tiers = speaker_tiers(result)
    named: list[tuple[str, list[Interval]]] = []
    for tier in tiers:
        named.append((tier.name, [(s.span, one_line(s.utterance.text)) for s in tier.spoken]))
        named.append((tier.sentiment_name, [(s.span, verdict(s.utterance)) for s in tier.spoken]))
        named.append((tier.words_name, [(w.span, w.word) for s in tier.spoken for w in s.words]))
    end = max([1, milliseconds(result.media.duration_seconds or 0), *(s.span.end for t in tiers for s in t.spoken)])
    with replacing(path) as temporary:
        temporary.write_text(_grid(named or [("utterances", [])], end), "utf-8", newline="\n")
    return tuple(note for tier in tiers for note in tier.notes)


def _grid(tiers: list[tuple[str, list[Interval]]], end: int) -> str:
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", *_times("", Span(0, end))]
    lines += ["tiers? <exists> ", f"size = {len(tiers)} ", "item []: "]
    for number, (name, intervals) in enumerate(tiers, start=1):
        filled = _without_gaps(intervals, end)
        lines += [f"    item [{number}]:", '        class = "IntervalTier" ', f"        name = {_quoted(name)} "]
        lines += [*_times(" " * 8, Span(0, end)), f"        intervals: size = {len(filled)} "]
        for place, (span, label) in enumerate(filled, start=1):
            lines += [f"        intervals [{place}]:", *_times(" " * 12, span), f"            text = {_quoted(label)} "]
    return "\n".join(lines) + "\n"


def _without_gaps(intervals: list[Interval], end: int) -> list[Interval]:
    """Praat's tiers are filled from end to end: silence is an interval with an empty label."""
    filled: list[Interval] = []
    last = 0
    for span, label in intervals:
        if span.start > last:
            filled.append((Span(last, span.start), ""))
        filled.append((span, label))
        last = span.end
    return [*filled, (Span(last, end), "")] if last < end else filled


def _times(indent: str, span: Span) -> list[str]:
    return [f"{indent}xmin = {span.start / 1000:.3f} ", f"{indent}xmax = {span.end / 1000:.3f} "]


def _quoted(text: str) -> str:
    parted = _READ_AS_STRUCTURE.sub(lambda found: f"{found[1]}{WORD_JOINER}[", text)
    return '"' + parted.replace('"', '""') + '"'
