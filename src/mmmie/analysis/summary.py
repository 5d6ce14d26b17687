"""The summary of a result in a few lines, as the terminal shows it."""

from collections.abc import Sequence
from pathlib import Path

from mmmie.analysis.result import Media, Result, Speaker, Utterance
from mmmie.settings import MODALITIES, Modality

SHOWN_AS: dict[Modality, str] = {"text": "text", "audio": "voice", "vision": "face"}


def summarise(result: Result, folder: Path | None = None) -> str:
    """Lines `media`, `speech`, `face`, `verdict`, `limit`, `weak`, `notes`, `failed`, `out`; without the empty ones.

    Args:
        result: any, also of a file that failed.
        folder: where the results lie; None: they have not been saved.
    """
    num_notes = len(result.media.notes) + len(result.notes)
    lines = [
        ("media", _media(result.media)),
        ("speech", _speech(result)),
        ("face", ", ".join(_face(s) for s in result.speakers if s.face_share is not None)),
        *(("verdict", line) for line in _verdicts(result)),
        *(("limit", line) for line in result.limits),
        ("weak", _weak(result.utterances)),
        ("notes", f"{num_notes}, in result.json" if num_notes else ""),
        *(("failed", f"{s.stage}: {s.cause} {s.repair}") for s in result.stages if s.status == "failed"),
        ("out", _out(folder) if folder else ""),
    ]
    return "\n".join(f"{_printable(f'{name:<8} {line}')}" for name, line in lines if line)


def clock(seconds: float) -> str:
    """83.2 as `1:23`, and 3725 as `1:02:05`: the whole second in which a time lies."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def contribution_shares(utterances: Sequence[Utterance]) -> dict[Modality, float]:
    """By modality that contributed: its share of all contributions by size, signs apart; empty where all are 0."""
    sizes: dict[Modality, float] = {}
    for modality in MODALITIES:
        readings = [u.modalities[modality] for u in utterances if modality in u.modalities]
        if known := [abs(reading.contribution) for reading in readings if reading.contribution is not None]:
            sizes[modality] = sum(known)
    total = sum(sizes.values())
    return {modality: size / total for modality, size in sizes.items()} if total else {}


def _media(media: Media) -> str:
    parts = [media.name]
    if media.duration_seconds is not None:
        parts.append(clock(media.duration_seconds))
    if media.video:
        rate = "variable rate" if media.video.variable_rate else f"{media.video.mean_rate_hz or 0:.3g} fps"
        parts.append(f"{media.video.width}x{media.video.height} {rate}")
    if media.audio:
        parts.append(f"audio {media.audio.start_seconds:+.3f} s")
    elif media.video:
        parts.append("no audio")
    if media.video:
        parts.append(f"rotation {media.video.rotation}")
    return "  ".join(parts)


def _speech(result: Result) -> str:
    if not result.utterances:
        return "none found" if result.status == "complete" else ""
    text = _count(len(result.utterances), "utterance")
    if result.speakers:
        shares = ", ".join(f"{s.name} {s.speech_share:.0%}" for s in result.speakers).replace("%", " %")
        text += f", {_count(len(result.speakers), 'speaker')} ({shares})"
    return text


def _face(speaker: Speaker) -> str:
    if not speaker.face_share:
        return f"{speaker.name} off camera"
    return f"{speaker.name} linked {round(100 * speaker.face_share)} % of speech"


def _verdicts(result: Result) -> list[str]:
    lines = []
    for speaker in result.speakers:
        if speaker.sentiment is None:
            continue
        verdict = f"{speaker.name} {speaker.sentiment.mean:+.2f}"
        if speaker.sentiment.interval:
            low, high = speaker.sentiment.interval
            verdict += f" [{low:+.2f}, {high:+.2f}]"
        counts = " / ".join(f"{n} {name}" for name, n in speaker.counts.model_dump().items())
        spoken = [u for u in result.utterances if u.speaker == speaker.id]
        shares = [f"{SHOWN_AS[m]} {round(100 * s)} %" for m, s in contribution_shares(spoken).items()]
        lines.append("   ".join([verdict, counts, "  ".join(shares)]).rstrip())
    return lines


def _weak(utterances: Sequence[Utterance]) -> str:
    weak = sum(u.needs_review for u in utterances)
    return f"{_count(weak, 'utterance')} to review" if weak else ""


def _out(folder: Path) -> str:
    names = sorted(p.name for p in folder.iterdir() if p.is_file() and not p.name.startswith("."))
    return f"{folder}/{{{', '.join(names)}}}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _printable(line: str) -> str:
    """Control characters in a name or a cause would steer the terminal."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in line)
