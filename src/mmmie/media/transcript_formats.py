"""What is written in a transcript file, format by format, as unchecked cues; `transcripts` checks and mends them.

srt, vtt    numbered or named blocks with `start --> end`; `<v Ana>` is a voice, other markup is removed. Of our own
            exports, a last line that is a verdict, `(+0.71 positive [-0.46, +2.05])`, is left out, and a word joiner
            (U+2060) behind its colon marks `Ana: ` as a speaker, once or often
json        a list, or an object with `segments` (Whisper, WhisperX) or `utterances` (our own result.json), of
            {"start": seconds, "end": seconds, "text": str, "speaker": str?, "words": [word, ...]?} with words of
            {"word": str, "start": seconds?, "end": seconds?, "confidence" | "probability" | "score": 0..1?,
            "aligned": bool?}; other keys are left alone. An object may state its "language", and names for ids as
            "speakers": [{"id": str, "name": str}, ...]
TextGrid    Praat's interval tiers: the only tier, or a tier a speaker; tiers of phones and of sentiment are left
            out, a tier of words (`words`, `Ana words`) gives the times of words
txt         a line an utterance, without times
"""

import html
import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mmmie.errors import TranscriptError, missing_extra
from mmmie.media.words import SpokenWord


@dataclass(frozen=True)
class Cue:
    """One block of a file, as it stands there; `where` names it in notes and errors. A file of lines has no times."""

    where: str
    text: str
    start: float = math.nan
    end: float = math.nan
    speaker: str | None = None
    words: tuple[SpokenWord, ...] = ()


@dataclass(frozen=True)
class Written:
    """All of a file. `language` is what the file says of itself."""

    cues: tuple[Cue, ...]
    language: str | None = None
    notes: tuple[str, ...] = ()


EVERYBODY = "all"
"""The speaker of every utterance of a result.json where nobody told voices apart."""

_CLOCK = r"(-?)(?:(\d{1,4}):)?(\d{1,2}):(\d{1,2})(?:[,.](\d{1,3}))?"
_TIMING = re.compile(rf"\s*{_CLOCK}\s*-->\s*{_CLOCK}(?:\s.*)?$")
_VOICE = re.compile(r"<v(?:\.[^\s>]*)?\s+([^>]+)>")
_VERDICT = re.compile(r"\(?[+-]\d+\.\d\d (?:positive|neutral|negative|abstains) \[[+-]\d+\.\d\d, [+-]\d+\.\d\d\]\)?")
"""As `mmmie.export.plain.verdict` writes it below what is said."""
_SPEAKER = re.compile(r"\s*([^\n]{1,200}?):\u2060(?:\s|$)")
_MARKUP = re.compile(r"</?(?:[biusc]|v|lang|ruby|rt|font)(?:[.\s][^<>]*)?>|<\d[\d:.]*>", re.IGNORECASE)
_OVERRIDE = re.compile(r"\{\\[^{}]*\}")
"""`{\\an8}`, of SubRip only."""


def read_subtitles(text: str, name: str) -> Written:
    """SubRip and WebVTT, which differ in little that matters here; entities become characters after markup is gone.

    Raises: TranscriptError where a line has `-->` but no two times, or where there is no cue at all.
    """
    is_webvtt = text.startswith("WEBVTT")
    cues: list[Cue] = []
    block: tuple[float, float, int] | None = None
    lines: list[str] = []

    def close() -> None:
        nonlocal block
        if block is not None:
            if lines and _VERDICT.fullmatch(lines[-1].strip()):
                lines.pop()
            said = "\n".join(lines)
            said = said if is_webvtt else _OVERRIDE.sub("", said)
            cues.extend(_voices(Cue(f"line {block[2]}", said, block[0], block[1])))
        block = None
        lines.clear()

    for number, line in enumerate(text.splitlines(), start=1):
        timing = _TIMING.match(line)
        if timing:
            if block is not None and lines and lines[-1].strip().isdecimal():
                lines.pop()  # the number of this block, where no empty line parts the two
            close()
            block = _seconds(timing.groups()[:5]), _seconds(timing.groups()[5:]), number
        elif "-->" in line and block is None and not line.lstrip().startswith("NOTE"):
            raise TranscriptError(
                f"{name}, line {number}: expected two times as in '00:01:02,500 --> 00:01:04,000', came "
                f"'{line.strip()[:60]}'. Mend the line."
            )
        elif not line.strip():
            close()
        elif block is not None:
            lines.append(line)
    close()
    if not cues and text.strip().removeprefix("WEBVTT").strip():
        raise TranscriptError(
            f"{name} has no line with two times ('00:01:02,500 --> 00:01:04,000'); is it a subtitle? "
            "Mend it, or, where it is lines without times, name it .txt."
        )
    return Written(tuple(cues))


def _seconds(clock: tuple[str | None, ...]) -> float:
    sign, hours, minutes, seconds, fraction = clock
    whole = int(hours or 0) * 3600 + int(minutes or 0) * 60 + int(seconds or 0)
    return (-1 if sign else 1) * (whole + int((fraction or "0").ljust(3, "0")) / 1000)


def _voices(cue: Cue) -> list[Cue]:
    """The cue without markup; one with several voices becomes one a voice, its time shared by characters."""
    said = cue.text
    speaker = None
    if marked := _SPEAKER.match(said):
        speaker, said = marked[1], said[marked.end() :]
    before, *voiced = _VOICE.split(said)
    pairs = [(speaker, before), *zip(voiced[::2], voiced[1::2], strict=True)]
    parts = [(speaker, _plain(said)) for speaker, said in pairs]
    parts = [(speaker, said) for speaker, said in parts if said]
    if len(parts) < 2:
        speaker, said = parts[0] if parts else (None, "")
        return [replace(cue, speaker=_plain(speaker or "") or None, text=said)]
    shares = [len(said) for _, said in parts]
    cues = []
    start = cue.start
    for i, (speaker, said) in enumerate(parts):
        end = cue.start + (cue.end - cue.start) * sum(shares[: i + 1]) / sum(shares)
        cues.append(replace(cue, speaker=_plain(speaker or "") or None, text=said, start=start, end=end))
        start = end
    return cues


def _plain(marked_up: str) -> str:
    return " ".join(html.unescape(_MARKUP.sub("", marked_up)).replace("\u2060", "").split())


def read_lines(text: str, name: str) -> Written:  # noqa: ARG001 - as the other formats are called
    """A line an utterance; empty lines part nothing."""
    lines = [(number, " ".join(line.split())) for number, line in enumerate(text.splitlines(), start=1)]
    return Written(tuple(Cue(f"line {number}", line) for number, line in lines if line))


def read_json(text: str, name: str) -> Written:
    """The shapes named at the head of this file.

    Raises: TranscriptError, naming the segment, where something is not as it must be.
    """
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise TranscriptError(f"{name} is not JSON: {error}. Mend it, or give another format.") from None
    segments: Any = content
    if isinstance(content, dict):
        key = next((key for key in ("utterances", "segments") if key in content), None)
        segments = content[key] if key else None
    if not isinstance(segments, list):
        raise TranscriptError(
            f"{name}: expected a list of segments, or an object with 'segments' or 'utterances', came "
            f'{_shown(content)}. A segment is {{"start": 1.2, "end": 3.4, "text": "..."}}.'
        )
    language = content.get("language") if isinstance(content, dict) else None
    names = _speaker_names(content.get("speakers")) if isinstance(content, dict) else {}
    cues = tuple(_json_cue(segment, f"{name}, segment {i}", f"segment {i}") for i, segment in enumerate(segments, 1))
    cues = tuple(replace(cue, speaker=names.get(cue.speaker, cue.speaker)) for cue in cues)
    return Written(cues, language if isinstance(language, str) else None)


def _speaker_names(speakers: Any) -> dict[str | None, str | None]:
    """By id how our own result.json calls its speakers; others' files have other things there, or nothing."""
    named = [s for s in speakers if isinstance(s, dict)] if isinstance(speakers, list) else []
    names = {s["id"]: s["name"] for s in named if isinstance(s.get("id"), str) and isinstance(s.get("name"), str)}
    return {i: None if i == EVERYBODY else name.strip() or i for i, name in names.items()}


def _json_cue(segment: Any, origin: str, where: str) -> Cue:
    if not isinstance(segment, dict):
        raise TranscriptError(
            f"{origin}: expected an object with start, end and text, came {_shown(segment)}. Mend the file."
        )
    text, speaker, words = segment.get("text"), segment.get("speaker"), segment.get("words") or []
    if not isinstance(text, str):
        raise TranscriptError(f"{origin}: expected 'text' to be a string, came {_shown(text)}. Mend the file.")
    if not isinstance(words, list) or not all(isinstance(w, dict) and isinstance(w.get("word"), str) for w in words):
        raise TranscriptError(
            f"{origin}: expected 'words' to be a list of objects with 'word', 'start' and 'end'. Mend the file."
        )
    start, end = (_number(segment.get(key), f"{origin}: '{key}'") for key in ("start", "end"))
    return Cue(
        where,
        " ".join(text.split()),
        start,
        end,
        speaker.strip() or None if isinstance(speaker, str) else None,
        tuple(_json_word(word, origin) for word in words if word["word"].strip()),
    )


def _json_word(word: dict[str, Any], origin: str) -> SpokenWord:
    """WhisperX leaves out the times of words that it cannot align, figures for instance."""
    start, end = (
        math.nan if word.get(key) is None else _number(word[key], f"{origin}: '{key}' of '{word['word']}'")
        for key in ("start", "end")
    )
    confidence = next((word[key] for key in ("confidence", "probability", "score") if word.get(key) is not None), None)
    if confidence is not None:
        confidence = min(1.0, max(0.0, _number(confidence, f"{origin}: confidence of '{word['word']}'")))
    timed = math.isfinite(start) and math.isfinite(end)
    return SpokenWord(word["word"].strip(), start, end, confidence, timed and word.get("aligned") is not False)


def _number(value: Any, what: str) -> float:
    try:
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            return float(value)
    except OverflowError:
        pass
    raise TranscriptError(f"{what}: expected a number of seconds (or a share), came {_shown(value)}. Mend the file.")


def _shown(value: Any) -> str:
    text = repr(value) if not isinstance(value, dict) else f"an object with {', '.join(map(repr, list(value)[:5]))}"
    return text if len(text) <= 60 else text[:57] + "..."


def read_textgrid(path: Path) -> Written:
    """Praat's TextGrid, long or short.

    Raises: TranscriptError when it cannot be read; MmmieError when praatio is not installed.
    """
    try:
        from praatio import textgrid
        from praatio.data_classes.interval_tier import IntervalTier
    except ImportError:
        raise missing_extra("praatio", "video") from None
    try:
        grid = textgrid.openTextgrid(str(path), False, reportingMode="silence", duplicateNamesMode="rename")
    except Exception as error:  # its parser trips over broken files in many ways
        cause = f"{type(error).__name__}: {error}".split("\n")[0][:120]
        raise TranscriptError(
            f"{path.name} is not a TextGrid that can be read ({cause}). Open it in Praat and save it as a text file."
        ) from None
    tiers = {tier.name: tier.entries for tier in grid.tiers if isinstance(tier, IntervalTier)}
    spoken = {name: entries for name, entries in tiers.items() if not _is_aside(name)}
    words = {_owner(name): entries for name, entries in tiers.items() if _is_words(name)}
    if not spoken and words:
        spoken, words = {name: entries for name, entries in tiers.items() if _is_words(name)}, {}
    if not spoken:
        raise TranscriptError(
            f"{path.name} has no interval tier of utterances or words; its tiers: {', '.join(tiers) or 'none'}. "
            "Add one, or give another format."
        )
    several = len(spoken) > 1
    notes = (f"each tier is a speaker: {', '.join(spoken)}",) if several else ()
    cues = []
    for name, entries in spoken.items():
        timed = words.get(name, () if several else next(iter(words.values()), ()))
        for number, (start, end, label) in enumerate(entries, start=1):
            inside = [w for w in timed if start <= (w[0] + w[1]) / 2 < end]
            if _is_words(name):
                inside = [(start, end, label)]
            own = tuple(SpokenWord(_label(w[2]), w[0], w[1]) for w in inside if _label(w[2]))
            cue = Cue(f"tier {name}, interval {number}", _label(label), start, end, words=own)
            speaker = _owner(name) if _is_words(name) else name
            cues.append(replace(cue, speaker=speaker or None if several else None))
    return Written(tuple(cues), notes=notes)


def _label(label: str) -> str:
    """In one line, without the word joiner that our export puts before some brackets."""
    return " ".join(label.replace("\u2060[", "[").split())


def _is_words(name: str) -> bool:
    return name.lower().split()[-1:] in (["word"], ["words"])


def _owner(name: str) -> str:
    return " ".join(name.split()[:-1])


def _is_aside(name: str) -> bool:
    return _is_words(name) or name.lower().split()[-1:] in (["phone"], ["phones"], ["sentiment"])


TEXT_FORMATS: dict[str, Callable[[str, str], Written]] = {
    ".srt": read_subtitles,
    ".vtt": read_subtitles,
    ".json": read_json,
    ".txt": read_lines,
}
