"""Results without an analysis: an ordinary one, one whose every text is hostile, one without speech, a long one."""

import json
from typing import Any

from mmmie.analysis.result import (
    Context,
    Counts,
    Measure,
    Media,
    Model,
    Reading,
    Result,
    Sentiment,
    Speaker,
    SpeakerSentiment,
    Stage,
    Utterance,
    VideoStream,
    Word,
)

HOSTILE = (
    "=cmd|'/C calc'!A0",
    "+1+1",
    "-2 is my score",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\n=1",
    "'=quoted",
    "＝1+1",
    "</script><script>alert(1)</script>",
    "<!-- <script>",
    "<img src=x onerror=alert(1)>",
    "]]> &amp; &lt;b&gt;",
    "00:00:01.000 --> 00:00:02.000",
    "00:00:01,000 --> 00:00:02,000",
    "0:00:01,000 0:00:02,000",
    "line\n\n\n00:00:09.000 --> 00:00:10.000\nsecond",
    "STYLE\r\nNOTE",
    "<i>leaning</i> and {\\an8}up",
    'say "hello", then ""',
    "intervals [1]: xmin = 3",
    "item [2]:",
    'class = "IntervalTier"',
    "\0nul \x07bell \x1bescape \ufffe",
    "line\u2028separator\u0085next",
    "NA",
    "null",
    "42",
    "",
    "über 日本語 \N{PILE OF POO}",
    "https://example.org/x?a=1&b=2",
)


def verdict(score: float, **changed: Any) -> Sentiment:
    about = {
        "score": score,
        "interval": (max(-3.0, score - 0.7), min(3.0, score + 0.9)),
        "coverage": 0.9,
        "label": "negative" if score <= -0.5 else "positive" if score >= 0.5 else "neutral",
    }
    return Sentiment(**(about | changed))


def utterance(number: int, start: float, end: float, **changed: Any) -> Utterance:
    about: dict[str, Any] = {
        "id": f"u{number:04d}",
        "start": start,
        "end": end,
        "speaker": "S1",
        "text": f"this is number {number}",
        "text_source": "faster-whisper/tiny.en",
        "words": (Word(word="this", start=start, end=start + 0.1, confidence=0.9), Word(word="is", start=end, end=end)),
        "sentiment": verdict(-1.4),
        "modalities": {
            "text": Reading(status="ok", alone=-1.9, without=-0.3, contribution=-0.9),
            "audio": Reading(status="ok", alone=-0.9, without=-1.5, contribution=-0.4),
            "vision": Reading(status="missing", reason="speaker off camera"),
        },
        "voice": {"pitch_mean": 182.5},
        "flags": ("fast speech",),
    }
    return Utterance(**(about | changed))


def result(utterances: tuple[Utterance, ...], duration: float | None = None, **changed: Any) -> Result:
    """A complete result of these utterances, spoken by Ana (S1) and Ben (S2)."""
    seconds = duration if duration is not None else max((u.end for u in utterances), default=0.0) + 1
    about: dict[str, Any] = {
        "status": "complete",
        "media": Media(
            name="interview.mp4",
            sha256="0" * 64,
            bytes=123,
            format="mp4",
            duration_seconds=seconds,
            video=VideoStream(index=0, codec="h264", width=1280, height=720, start_seconds=0, variable_rate=True),
        ),
        "stages": (Stage(stage="media", status="done", seconds=0.5),),
        "model": Model(name="mmmie-small", card="A model.", licence="CC BY-NC 4.0", weights={"text": 1, "vision": 0}),
        "settings": {"recognise": {"model": "tiny.en"}},
        "seed": 7,
        "versions": {"mmmie": "0.1.0"},
        "language": "en",
        "voice_measures": (Measure(name="pitch_mean", unit="Hz", meaning="Mean of the voiced frames."),),
        "face_measures": (Measure(name="smile", unit="", meaning="Corners of the mouth against its width."),),
        "speakers": speakers(utterances),
        "utterances": utterances,
    }
    return Result(**(about | changed))


def speakers(utterances: tuple[Utterance, ...], **names: str) -> tuple[Speaker, ...]:
    total = sum(u.end - u.start for u in utterances) or 1
    found = []
    for speaker, name, face in (("S1", "Ana", 0.88), ("S2", "Ben", 0.0)):
        spoken = [u for u in utterances if u.speaker == speaker]
        if spoken:
            scores = [u.sentiment.score for u in spoken if u.sentiment]
            mean = sum(scores) / len(scores) if scores else None
            found.append(
                Speaker(
                    id=speaker,
                    name=names.get(speaker, name),
                    speech_share=min(1.0, sum(u.end - u.start for u in spoken) / total),
                    face_share=face,
                    sentiment=None if mean is None else SpeakerSentiment(mean=mean, interval=(mean - 0.5, mean + 0.5)),
                    counts=Counts.of(spoken),
                )
            )
    return tuple(found)


def ordinary() -> Result:
    """Six utterances of two speakers: overlaps, one abstained, one without verdict, one of nobody."""
    return result(
        (
            utterance(0, 0.5, 3.25),
            utterance(
                1, 2.0, 4.0, speaker="S2", sentiment=verdict(1.25), context=Context(used=("u0000",), without=0.9)
            ),
            utterance(2, 3.0, 6.0, sentiment=verdict(0.2, abstain=True, abstain_reason="both signs")),
            utterance(3, 6.5, 7.0, sentiment=None, modalities={"text": Reading(status="missing", reason="not heard")}),
            utterance(4, 7.0, 8.0, speaker=None, sentiment=verdict(0.1), face={"smile": 0.25}, edited=True),
            utterance(
                5, 8.0, 9.0, modalities={"audio": Reading(status="unused", alone=0.3, reason="shown, not counted")}
            ),
        ),
        duration=12.0,
    )


def hostile() -> Result:
    """Every string that a stranger decides is hostile, names of file and speakers included."""
    utterances = tuple(
        utterance(
            n,
            2.0 * n,
            2.0 * n + 1.5,
            text=text,
            words=tuple(Word(word=text, start=2.0 * n + k, end=2.0 * n + k + 0.5) for k in (0, 1)),
            speaker="S1" if n % 2 else "S2",
            flags=(text,),
            modalities={"vision": Reading(status="missing", reason=text or "none")},
        )
        for n, text in enumerate(HOSTILE)
    )
    media = Media(name='--> "</script>\n=1&.mp4', duration_seconds=2.0 * len(HOSTILE), sha256="f" * 64)
    names = {"S1": "<v Eve>\n\n--> & 'item [1]:' \"IntervalTier\"", "S2": "=S2\0"}
    return result(utterances, media=media, speakers=speakers(utterances, **names), notes=HOSTILE)


def silent() -> Result:
    """No speech in ten seconds."""
    return result((), duration=10.0, notes=("no speech found",))


def unreadable() -> Result:
    """A file that could not be opened: nothing is known but its name."""
    failed = Stage(stage="media", status="failed", cause="It is a JPEG image.", repair="Give a video or a recording.")
    return Result(status="failed", media=Media(name="photo.mp4"), stages=(failed,))


def long(count: int = 2500) -> Result:
    """Three hours of two speakers in turn."""
    return result(
        tuple(
            utterance(
                n, 4.32 * n, 4.32 * n + 3.5, speaker="S1" if n % 3 else "S2", sentiment=verdict((n % 61) / 10 - 3)
            )
            for n in range(count)
        )
    )


def as_dict(given: Result) -> dict[str, Any]:
    """The JSON as plain values, to be damaged and read again."""
    values: dict[str, Any] = json.loads(given.to_json())
    return values
