"""What the stages found, put together as a result."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from mmmie.analysis import result as r
from mmmie.analysis.hearing import Heard, Opened
from mmmie.analysis.predicting import ModalityVerdict, Verdict, Verdicts
from mmmie.analysis.stages import STAGES
from mmmie.evidence.coverage import SHOWN_AS, Coverage
from mmmie.media.transcript_formats import EVERYBODY
from mmmie.media.utterances import Spoken
from mmmie.settings import MODALITIES, AnalysisSettings, Modality

_ID = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True)
class Measures:
    """Numbers of a modality for people to look at: what they are, and the values of each utterance by name."""

    named: tuple[r.Measure, ...] = ()
    values: tuple[Mapping[str, float], ...] = ()
    """N of them; empty: there are none."""


@dataclass(frozen=True)
class Found:
    """All that is known of a file when its stages have ended."""

    opened: Opened
    heard: Heard | None
    verdicts: Verdicts | None
    missing: Mapping[Modality, Sequence[str | None]]
    """By modality N reasons why an utterance has it not; None where it has."""
    voice: Measures
    face: Measures
    face_seen: Sequence[bool | None]
    """(N,) whether the speaker's face was seen; None: no face was looked for."""
    notes: tuple[str, ...]


def assemble(
    found: Found,
    stages: Sequence[r.Stage],
    model: r.Model,
    settings: AnalysisSettings,
    versions: Mapping[str, str],
    result_folder: Path,
    coverage: Coverage | None = None,
) -> r.Result:
    """The result of a file that could at least be opened; `coverage` is what was measured of the checkpoint."""
    failed = any(stage.status == "failed" for stage in stages)
    ids = speaker_ids([s.speaker for s in found.heard.utterances]) if found.heard else {}
    utterances = _utterances(found, model, ids)
    status = ("partial" if utterances else "failed") if failed else "complete"
    notes = [*found.notes]
    if found.heard is not None:
        notes += found.heard.transcript.notes
    return r.Result(
        status=status,
        media=_media(found.opened, result_folder),
        stages=tuple(sorted(stages, key=lambda stage: STAGES.index(stage.stage))),
        model=model,
        settings=settings.model_dump(mode="json"),
        versions=dict(versions),
        language=found.heard.transcript.language if found.heard else None,
        notes=tuple(notes),
        limits=limits_of(utterances, coverage),
        voice_measures=found.voice.named,
        face_measures=found.face.named,
        speakers=_speakers(utterances, found.face_seen, _shown_names(ids, settings.names)),
        utterances=utterances,
    )


def limits_of(utterances: Sequence[r.Utterance], coverage: Coverage | None) -> tuple[str, ...]:
    """A sentence where verdicts rest only on modalities whose intervals do not hold on new recordings."""
    failing = coverage.failing() if coverage else {}
    judged = [u for u in utterances if u.sentiment is not None]
    read = [{m for m, reading in u.modalities.items() if reading.status == "ok"} for u in judged]
    resting = [modalities for modalities in read if modalities and modalities <= failing.keys()]
    if not coverage or not resting:
        return ()
    on = [m for m in MODALITIES if any(m in modalities for modalities in resting)]
    named = " or ".join(SHOWN_AS[m] for m in on)
    return (f"{len(resting)} of {len(judged)} verdicts rest on {named} alone: {coverage.limit(on)}.",)


def _media(opened: Opened, result_folder: Path) -> r.Media:
    info = opened.info
    notes = (*info.notes, *(opened.audio.notes if opened.audio else ()))
    return r.Media(
        name=info.path.name,
        path=_from(result_folder, info.path),
        sha256=info.sha256,
        bytes=info.bytes,
        format=info.format,
        duration_seconds=info.duration_seconds,
        audio=None if info.audio is None else r.AudioStream.model_validate(info.audio),
        video=None if info.video is None else r.VideoStream.model_validate(info.video),
        notes=notes,
    )


def _from(folder: Path, path: Path) -> str:
    """The way from a folder to a file, with `/`."""
    return Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()


def speaker_ids(written: Sequence[str | None]) -> dict[str | None, str | None]:
    """An id for every speaker that is written in a transcript or told apart by voice; where there is none, `EVERYBODY`.

    What can be an id is one; another name, as people write them, becomes the first of S1, S2, ... that is free. An
    utterance without a speaker has none where others have one.
    """
    named = [name for name in dict.fromkeys(written) if name is not None]
    ids: dict[str | None, str | None] = {None: None if named else EVERYBODY}
    ids |= {name: name for name in named if _ID.fullmatch(name) and name != EVERYBODY}
    free = (f"S{n}" for n in count(1) if f"S{n}" not in ids)
    return ids | {name: next(free) for name in named if name not in ids}


def _shown_names(ids: Mapping[str | None, str | None], asked: Mapping[str, str]) -> dict[str, str]:
    """By id the name that was asked for it, or for how it was written; else how it was written."""
    shown = {EVERYBODY: asked.get(EVERYBODY, "all speakers")}
    for written, speaker in ids.items():
        if written is not None and speaker is not None:
            shown[speaker] = asked.get(speaker, asked.get(written, written))
    return shown


def _utterances(found: Found, model: r.Model, ids: Mapping[str | None, str | None]) -> tuple[r.Utterance, ...]:
    if found.heard is None:
        return ()
    end = found.opened.info.duration_seconds
    source = found.heard.transcript.source
    spoken = found.heard.utterances
    verdicts = found.verdicts.rows if found.verdicts else [None] * len(spoken)
    return tuple(
        r.Utterance(
            id=s.id,
            start=s.start,
            end=min(s.end, end),
            speaker=ids[s.speaker],
            text=s.text,
            text_source=source,
            words=_words(s, end),
            sentiment=_sentiment(verdict, found.verdicts),
            modalities={m: _reading(m, n, verdict, found, model) for m in MODALITIES},
            context=_context(n, spoken, verdict, found.verdicts),
            voice=dict(found.voice.values[n]) if found.voice.values else {},
            face=dict(found.face.values[n]) if found.face.values else {},
            flags=s.flags,
        )
        for n, (s, verdict) in enumerate(zip(spoken, verdicts, strict=True))
    )


def _words(spoken: Spoken, end: float) -> tuple[r.Word, ...]:
    return tuple(
        r.Word(word=w.word, start=min(w.start, end), end=min(w.end, end), confidence=w.confidence, aligned=w.aligned)
        for w in spoken.words
    )


def _sentiment(verdict: Verdict | None, verdicts: Verdicts | None) -> r.Sentiment | None:
    if verdict is None or verdicts is None:
        return None
    low, high = verdicts.label_range
    score = min(max(verdict.score, low), high)
    word = "neutral" if abs(score) < verdicts.neutral else "positive" if score > 0 else "negative"
    reason = None
    if verdict.abstain:
        reason = "unlike anything in training" if verdict.outside else "the sign is not certain"
    return r.Sentiment(
        score=score,
        range=verdicts.label_range,
        interval=(min(verdict.lower, score), max(verdict.upper, score)),
        coverage=verdicts.coverage,
        label=word,
        abstain=verdict.abstain,
        abstain_reason=reason,
    )


def _reading(modality: Modality, n: int, verdict: Verdict | None, found: Found, model: r.Model) -> r.Reading:
    reasons = found.missing.get(modality)
    reason = reasons[n] if reasons is not None else "not asked for"
    if reason is not None:
        return r.Reading(status="missing", reason=reason)
    said: ModalityVerdict | None = verdict.modalities.get(modality) if verdict else None
    if not model.weights.get(modality):
        alone = None if said is None else said.alone
        unread = modality not in model.weights
        reason = "the checkpoint does not read it" if unread else "shown, not counted: it has not proved itself"
        return r.Reading(status="unused", alone=alone, reason=reason)
    if said is None:
        return r.Reading(status="missing", reason="there is no verdict")
    return r.Reading(status="ok", alone=said.alone, without=said.without, contribution=said.contribution)


def _context(n: int, spoken: Sequence[Spoken], verdict: Verdict | None, verdicts: Verdicts | None) -> r.Context:
    if verdict is None or verdicts is None:
        return r.Context()
    near = [*spoken[max(0, n - verdicts.context) : n], *spoken[n + 1 : n + 1 + verdicts.context]]
    return r.Context(used=tuple(s.id for s in near), without=verdict.without_context)


def _speakers(
    utterances: Sequence[r.Utterance], face_seen: Sequence[bool | None], names: Mapping[str, str]
) -> tuple[r.Speaker, ...]:
    total = sum(u.end - u.start for u in utterances)
    speakers = []
    for speaker in sorted({u.speaker for u in utterances if u.speaker is not None}):
        own = [(u, seen) for u, seen in zip(utterances, face_seen, strict=True) if u.speaker == speaker]
        seconds = sum(u.end - u.start for u, _ in own)
        seen_seconds = sum(u.end - u.start for u, seen in own if seen)
        looked = any(seen is not None for _, seen in own)
        speakers.append(
            r.Speaker(
                id=speaker,
                name=names[speaker],
                speech_share=seconds / total,
                face_share=seen_seconds / seconds if looked else None,
                sentiment=_mean([u for u, _ in own]),
                counts=r.Counts.of(u for u, _ in own),
            )
        )
    return tuple(sorted(speakers, key=lambda s: -s.speech_share))


def _mean(utterances: Sequence[r.Utterance]) -> r.SpeakerSentiment | None:
    scored = [(u.sentiment, u.end - u.start) for u in utterances if u.sentiment is not None]
    if not scored:
        return None
    seconds = sum(s for _, s in scored)
    mean, low, high = (
        sum(value * s for value, s in zip(values, (s for _, s in scored), strict=True)) / seconds
        for values in (
            [v.score for v, _ in scored],
            [v.interval[0] for v, _ in scored],
            [v.interval[1] for v, _ in scored],
        )
    )
    return r.SpeakerSentiment(mean=mean, interval=(min(low, mean), max(high, mean)))
