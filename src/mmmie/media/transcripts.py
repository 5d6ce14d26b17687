"""Transcripts: what was said when, from a recogniser or from a file that somebody wrote.

    read_transcript(path)   bytes -> text -> cues (transcript_formats) -> checked, mended and noted -> Transcript

Nothing is mended silently: every change is a note with its place and time, and a file that belongs to another video is
refused.
"""

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from mmmie.errors import TranscriptError, did_you_mean
from mmmie.media.languages import language_notes
from mmmie.media.speech import Span
from mmmie.media.transcript_formats import TEXT_FORMATS, Cue, Written, read_textgrid
from mmmie.media.words import SpokenWord, spread_words

SUFFIXES = (*TEXT_FORMATS, ".textgrid")
BEYOND_TOLERANCE_SECONDS = 0.5
"""Subtitles are often held a little beyond the last frame: that much is cut off without a note."""
MAX_SHARE_BEYOND = 0.1
"""A transcript with more of its characters beyond the media's end belongs to other media."""
OVERLAP_TOLERANCE_SECONDS = 0.001
"""Times are written in milliseconds."""
CHARACTERS_PER_SECOND = 15.0
"""Usual speech in alphabetic scripts; the length that is given to a cue whose end is missing."""
MIN_SECONDS = 0.05
"""No segment is left shorter by mending."""
NOTED_PLACES = 3
"""So many places are named in a note; the rest are counted."""

__all__ = ["SUFFIXES", "Segment", "SpokenWord", "Transcript", "lay_over_speech", "read_transcript"]


@dataclass(frozen=True)
class Segment:
    """A stretch of text with its time on the media clock, in seconds; `words` is empty where only the stretch is timed.

    Segments of one speaker, or of nobody known, do not overlap; those of two named speakers may.
    """

    start: float
    end: float
    text: str
    words: tuple[SpokenWord, ...] = ()
    speaker: str | None = None


@dataclass(frozen=True)
class Transcript:
    """Segments in order of their starts, where they came from, and what was dropped, mended or doubted."""

    segments: tuple[Segment, ...]
    source: str
    """"faster-whisper/tiny.en", "talk.srt"."""
    language: str | None = None
    """As the file, the recogniser or the caller says, for instance "en"."""
    notes: tuple[str, ...] = ()


def read_transcript(
    path: str | Path, duration_seconds: float, speech: Sequence[Span] = (), language: str | None = None
) -> Transcript:
    """A transcript from .srt, .vtt, .json, .txt or .TextGrid, checked against its media.

    Markup is removed; voices (`<v Ana>`), tiers and prefixes (`ANA:`) become speakers. A prefix counts when its name
    begins two cues or more, or when several names in capitals do; it holds until the next one. Empty cues are dropped;
    unsorted, negative and overlapping times, times a little beyond the end and ends before starts are mended, each
    with a note.

    Args:
        duration_seconds: of the media.
        speech: where somebody speaks; needed for .txt, whose lines get their times from it.
        language: what the caller expects ("en"); a note says so where the text is not written in its script, or,
            of English or where nothing is expected, hardly has a word of those that English is never without.

    Raises:
        TranscriptError: the file is not there, not of these formats, not UTF-8, broken, without text, or much of it
            lies beyond the end of the media; the text says where and what to do.
        MmmieError: praatio is not installed (.TextGrid only).
    """
    path = Path(path)
    written = _written(path)
    cues = [replace(cue, text=_clean(cue.text)) for cue in written.cues]
    cues, notes = _without_empty(cues)
    if not cues:
        raise TranscriptError(f"{path.name} holds no text. Leave it out, so that speech is recognised instead.")
    cues, speaker_notes = _speakers_from_prefixes(cues)
    if path.suffix.lower() == ".txt":
        if not speech:
            raise TranscriptError(
                f"{path.name} has no times, and there is no speech in the media to lay its lines over. Give a "
                "transcript with times: .srt, .vtt, .json or .TextGrid."
            )
        segments = lay_over_speech([(cue.speaker, cue.text) for cue in cues], speech)
        time_notes = [f"{path.name} has no times: {len(segments)} lines were laid over the speech by their length"]
    else:
        segments, time_notes = _timed(cues, duration_seconds, path.name)
    return Transcript(
        segments,
        path.name,
        written.language or language,
        (
            *written.notes,
            *notes,
            *speaker_notes,
            *time_notes,
            *language_notes([s.text for s in segments], language or written.language),
        ),
    )


def lay_over_speech(lines: Iterable[tuple[str | None, str]], speech: Sequence[Span]) -> tuple[Segment, ...]:
    """Lines of (speaker, text) laid over the speech in proportion to their characters; no word is `aligned`.

    Args:
        speech: in order, apart from each other, in seconds; not empty. Pauses between its spans get no text.
    """
    lines = [(speaker, text) for speaker, text in lines if text.strip()]
    seconds = sum(span.end - span.start for span in speech)
    characters = sum(len(text) for _, text in lines)
    segments = []
    done = 0
    for speaker, text in lines:
        start = _after_speech(done / characters * seconds, speech, at_end=False)
        done += len(text)
        end = _after_speech(done / characters * seconds, speech, at_end=True)
        segments.append(Segment(start, max(start, end), text, spread_words(text, start, max(start, end)), speaker))
    return tuple(segments)


def _after_speech(seconds: float, speech: Sequence[Span], at_end: bool) -> float:
    """The time on the clock after so many seconds of speech; between two spans, the end of the first or the next."""
    for span in speech[:-1]:
        length = span.end - span.start
        if seconds < length or (at_end and math.isclose(seconds, length, rel_tol=1e-12, abs_tol=1e-9)):
            return min(span.end, span.start + seconds)
        seconds -= length
    return min(speech[-1].end, speech[-1].start + max(0.0, seconds))


def _written(path: Path) -> Written:
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        hint = did_you_mean(suffix, SUFFIXES)
        raise TranscriptError(f"{path.name}: expected a transcript as .srt, .vtt, .json, .txt or .TextGrid. {hint}")
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise TranscriptError(f"{path} cannot be read: {error.strerror or error}.") from None
    if suffix == ".textgrid":  # Praat writes UTF-16 as often as UTF-8
        return read_textgrid(path)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        guess = "UTF-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "WINDOWS-1252"
        raise TranscriptError(
            f"{path.name} is not UTF-8 (line {line}, byte {raw[error.start]:#04x}). Save it as UTF-8, for instance by: "
            f"iconv -f {guess} -t UTF-8 (the encoding is a guess)"
        ) from None
    if "\x00" in text:
        raise TranscriptError(f"{path.name} holds zero bytes: it is not a text file, or not UTF-8. Save it as UTF-8.")
    return TEXT_FORMATS[suffix](text, path.name)


def _clean(text: str) -> str:
    """Without control characters, and with single spaces."""
    return " ".join("".join(c if unicodedata.category(c) not in ("Cc", "Cs") else " " for c in text).split())


def _without_empty(cues: list[Cue]) -> tuple[list[Cue], list[str]]:
    empty = [cue for cue in cues if not cue.text]
    return [cue for cue in cues if cue.text], _note(empty, "without text were left out")


_PREFIX = re.compile(r"(?:[-–—]\s*)?(?:>>\s*)?([^\W\d_][\w.'’ -]{0,29}?)\s?:\s+(?=\S)")


def _speakers_from_prefixes(cues: list[Cue]) -> tuple[list[Cue], list[str]]:
    found = [None if cue.speaker else _PREFIX.match(cue.text) for cue in cues]
    names = Counter(match[1] for match in found if match and _is_name(match[1]))
    capitals = sum(count for name, count in names.items() if name.isupper())
    speakers = {name for name, count in names.items() if count > 1 or (name.isupper() and capitals > 1)}
    if not speakers:
        return cues, []
    named = []
    speaker: str | None = None
    for cue, match in zip(cues, found, strict=True):
        if match and match[1] in speakers:
            speaker = match[1]
            cue = _without_prefix(replace(cue, speaker=speaker), match.end())
        elif cue.speaker is None:
            cue = replace(cue, speaker=speaker)
        named.append(cue)
    return named, [f"speakers were read from prefixes: {', '.join(sorted(speakers))}"]


def _is_name(prefix: str) -> bool:
    parts = prefix.split()
    return len(parts) <= 3 and all(part[0].isupper() or part[0].isdigit() for part in parts)


def _without_prefix(cue: Cue, length: int) -> Cue:
    num_words = len(cue.text[:length].split())
    prefixed = " ".join(word.word for word in cue.words[:num_words]) == cue.text[:length].strip()
    return replace(cue, text=cue.text[length:], words=cue.words[num_words:] if prefixed else cue.words)


def _timed(cues: list[Cue], duration: float, name: str) -> tuple[tuple[Segment, ...], list[str]]:
    """The cues as segments in order, between 0 and `duration`, mended and noted."""
    notes: list[str] = []
    beyond = [cue for cue in cues if cue.start >= duration]
    if sum(len(c.text) for c in beyond) > MAX_SHARE_BEYOND * sum(len(c.text) for c in cues):
        raise TranscriptError(
            f"{name} does not fit its media: {len(beyond)} of {len(cues)} cues begin after its end at "
            f"{duration:.2f} s, the last at {max(c.start for c in cues):.2f} s. It is of other media, or "
            "uncut: give the one of this file."
        )
    notes += _note(beyond, f"beyond the end of the media at {duration:.2f} s were left out")
    before = [cue for cue in cues if cue.start < 0 and cue.end <= 0]
    notes += _note(before, "before the begin of the media were left out")
    cues = [cue for cue in cues if cue.start < duration and (cue.start >= 0 or cue.end > 0)]
    if not cues:
        raise TranscriptError(f"{name} does not fit its media: nothing of it lies between 0 and {duration:.2f} s.")
    in_order = sorted(cues, key=lambda cue: cue.start)
    notes += _note([b for a, b in pairwise(cues) if b.start < a.start], "out of order were sorted")
    notes += _note([c for c in in_order if c.start < 0], "with a negative start now begin at 0")
    backward = [c for c in in_order if c.end <= c.start]
    notes += _note(backward, "that end before they begin were given an end by their length")
    late = [c for c in in_order if c.end > duration + BEYOND_TOLERANCE_SECONDS]
    notes += _note(late, f"that last beyond the end of the media were cut at {duration:.2f} s")
    segments = []
    for cue in in_order:
        start = max(0.0, cue.start)
        end = cue.end if cue.end > cue.start else start + max(MIN_SECONDS, len(cue.text) / CHARACTERS_PER_SECOND)
        segments.append(Segment(start, min(end, duration), cue.text, cue.words, cue.speaker))
    segments, overlaps = _apart(segments, [c.where for c in in_order])
    notes += overlaps
    checked = [replace(s, words=_checked_words(s)) for s in segments]
    lost = sum(bool(a.words) and not b.words for a, b in zip(segments, checked, strict=True))
    if lost:
        notes.append(f"the word times of {lost} cues are missing, out of order or outside of their cue: not used")
    return tuple(checked), notes


def _apart(segments: list[Segment], places: list[str]) -> tuple[list[Segment], list[str]]:
    """Without overlaps, save between two named speakers: the earlier segment ends where the later one begins."""
    apart: list[Segment] = []
    mended: list[str] = []
    crosstalk = 0
    latest: dict[str | None, int] = {}
    for segment, place in zip(segments, places, strict=True):
        for speaker, i in sorted(latest.items(), key=lambda item: item[1]):
            earlier = apart[i]
            if earlier.end - segment.start <= OVERLAP_TOLERANCE_SECONDS and earlier.start < segment.start:
                apart[i] = replace(earlier, end=min(earlier.end, segment.start))
            elif speaker != segment.speaker and None not in (speaker, segment.speaker):
                crosstalk += earlier.end > segment.start
            elif earlier.end > segment.start:
                boundary, end = segment.start, max(earlier.end, segment.end)
                if boundary - earlier.start < MIN_SECONDS:  # both begin at once: they share the time by characters
                    share = len(earlier.text) / (len(earlier.text) + len(segment.text))
                    boundary = earlier.start + (end - earlier.start) * share
                    segment = replace(segment, end=end)
                apart[i] = replace(earlier, end=boundary)
                segment = replace(segment, start=boundary)
                mended.append(f"{place}, {segment.start:.2f} s")
        latest[segment.speaker] = len(apart)
        apart.append(segment)
    notes = [f"{len(mended)} overlaps were mended by changing times ({_few(mended)})"] if mended else []
    if crosstalk:
        notes.append(f"{crosstalk} overlaps between two speakers were kept")
    return sorted(apart, key=lambda s: s.start), notes


def _checked_words(segment: Segment) -> tuple[SpokenWord, ...]:
    """The segment's words where all have times, in order and within the segment; else none."""
    last = segment.start - BEYOND_TOLERANCE_SECONDS
    for word in segment.words:
        if not (last <= word.start <= word.end <= segment.end + BEYOND_TOLERANCE_SECONDS):  # refuses NaN too
            return ()
        last = word.start
    return tuple(
        replace(w, start=min(max(w.start, segment.start), segment.end), end=max(min(w.end, segment.end), segment.start))
        for w in segment.words
    )


def _note(cues: Sequence[Cue], what: str) -> list[str]:
    places = [c.where if math.isnan(c.start) else f"{c.where}, {c.start:.2f} s" for c in cues]
    return [f"{len(cues)} cues {what} ({_few(places)})"] if cues else []


def _few(places: Sequence[str]) -> str:
    more = f"; and {len(places) - NOTED_PLACES} more" if len(places) > NOTED_PLACES else ""
    return "; ".join(places[:NOTED_PLACES]) + more
