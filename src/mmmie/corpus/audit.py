"""The audit of a corpus: what is in it, what is odd in it, how grave that is, and what to do."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mmmie.corpus.column_audit import EXTREME_DEVIATIONS, NEAR_CONSTANT_SHARE, ModalityAudit, audit_modality
from mmmie.corpus.leaks import find_leaks
from mmmie.corpus.schema import SPLITS
from mmmie.corpus.store import Corpus, Part

Doubles = NDArray[np.float64]
Severity = Literal["info", "warning", "problem"]

SEVERITIES: tuple[Severity, ...] = ("problem", "warning", "info")
HISTOGRAM_BINS = 7
LONG_TEXT_WORDS = 5
"""A repeated text of fewer words is a greeting; one of more, in two splits, is probably the same recording."""


@dataclass(frozen=True)
class Finding:
    """One observation: how grave, what it is about, what was seen, what to do."""

    severity: Severity
    topic: str
    seen: str
    advice: str


@dataclass(frozen=True)
class SplitAudit:
    utterances: int
    videos: int
    speakers: int
    """0 where the corpus does not know speakers."""
    exact_zeros: int
    histogram: tuple[int, ...]
    """Utterances by nearest bin centre; see `Audit.bin_centres`."""


@dataclass(frozen=True)
class Audit:
    """What `inspect` finds; `str()` of it is the report."""

    name: str
    fingerprint: str
    utterances: int
    videos: int
    bin_centres: tuple[float, ...]
    splits: dict[str, SplitAudit]
    modalities: dict[str, ModalityAudit]
    findings: tuple[Finding, ...]
    """The gravest first."""

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n"

    def __str__(self) -> str:
        lines = [f"{self.name}  {self.fingerprint}  {self.utterances} utterances, {self.videos} videos", ""]
        centres = "".join(f"{centre:>7.4g}" for centre in self.bin_centres)
        lines.append(f"{'split':<8}{'utterances':>11}{'videos':>8}{'speakers':>10}{'zeros':>7}   labels {centres}")
        for name, s in self.splits.items():
            bars = "".join(f"{count:>7}" for count in s.histogram)
            lines.append(
                f"{name:<8}{s.utterances:>11}{s.videos:>8}{s.speakers or '-':>10}{s.exact_zeros:>7}          {bars}"
            )
        if self.modalities:
            heads = ("present", "absent", "frames", "masked", "shortest", "median", "95 %", "longest")
            lines += ["", f"{'modality':<9}{'dim':>5}" + "".join(f"{head:>10}" for head in heads)]
        for name, m in self.modalities.items():
            numbers = (m.present, m.absent, m.frames, m.masked_frames)
            lengths = (m.length_min, m.length_median, m.length_p95, m.length_max)
            lines.append(f"{name:<9}{m.dim:>5}" + "".join(f"{number:>10.10g}" for number in numbers + lengths))
        lines.append("")
        lines += [f"{f.severity:<8} {f.topic}: {f.seen}. {f.advice}" for f in self.findings] or ["nothing odd found"]
        return "\n".join(lines) + "\n"


def inspect(corpus: Corpus, leaks: bool = True) -> Audit:
    """Audits all rows of a corpus, whatever their split.

    Args:
        corpus: it is only read.
        leaks: also run the leak detector.
    """
    part = corpus.everything()
    modalities, findings = {}, [*_splits(part), *_labels(part), *_text(part), *_times(part)]
    for name, features in part.features.items():
        modalities[name] = audit_modality(features)
        findings += _about_modality(name, modalities[name])
    if leaks:
        findings += _leaks(corpus)
    low, high = corpus.info.label_min, corpus.info.label_max
    centres = np.linspace(low, high, HISTOGRAM_BINS)
    return Audit(
        name=corpus.info.name,
        fingerprint=corpus.info.fingerprint,
        utterances=len(part),
        videos=len(set(part.videos)),
        bin_centres=tuple(centres.tolist()),
        splits={name: _split(part, np.flatnonzero(corpus.splits == name), centres) for name in SPLITS},
        modalities=modalities,
        findings=tuple(sorted(findings, key=lambda f: SEVERITIES.index(f.severity))),
    )


def _split(part: Part, rows: NDArray[np.int64], centres: Doubles) -> SplitAudit:
    labels = part.labels[rows].astype(np.float64)
    nearest = np.abs(labels[:, None] - centres[None, :]).argmin(axis=1)
    return SplitAudit(
        utterances=len(rows),
        videos=len(set(part.video_codes[rows].tolist())),
        speakers=len(set(part.speaker_codes[rows].tolist()) - {-1}),
        exact_zeros=int((labels == 0).sum()),
        histogram=tuple(np.bincount(nearest, minlength=len(centres)).tolist()),
    )


def _splits(part: Part) -> Iterator[Finding]:
    splits = part.corpus.splits.tolist()
    for name in SPLITS:
        if name not in splits:
            yield Finding(
                "warning" if name != "test" else "info",
                "splits",
                f"no utterance is in {name}",
                "Make splits by video with `mmmie resplit`.",
            )
    videos = _in_several_splits(part.videos, splits)
    if videos:
        yield Finding(
            "problem",
            "splits",
            f"{_count(videos, 'video')} in more than one split",
            "Context leaks from one split to the other: make new ones with `mmmie resplit`.",
        )
    known = [(speaker, split) for speaker, split in zip(part.speakers, splits, strict=True) if speaker is not None]
    if not known:
        yield Finding("info", "speakers", "no speakers are known", "The same-speaker identity will say nothing.")
    speakers = _in_several_splits([speaker for speaker, _ in known], [split for _, split in known])
    if speakers:
        yield Finding(
            "warning",
            "speakers",
            f"{_count(speakers, 'speaker')} in more than one split",
            "Results hold for these speakers, not for new ones; say so.",
        )
    alone = sum(n == 1 for n in Counter(part.videos).values())
    if alone:
        yield Finding("info", "videos", f"{alone} videos have one utterance", "They have no context.")


def _in_several_splits(names: list[str], splits: list[str]) -> list[str]:
    pairs = Counter(name for name, _ in set(zip(names, splits, strict=True)))
    return sorted(name for name, n in pairs.items() if n > 1)


def _labels(part: Part) -> Iterator[Finding]:
    labels = part.labels
    if labels.std() == 0:
        yield Finding("problem", "labels", f"all are {labels[0]:g}", "There is nothing to learn; check the import.")
        return
    low, high = part.corpus.info.label_min, part.corpus.info.label_max
    if labels.max() - labels.min() < 0.5 * (high - low):
        yield Finding(
            "warning",
            "labels",
            f"they span {labels.min():g} to {labels.max():g} of the stated range {low:g} to {high:g}",
            "State the range they have when importing, if that is all there is.",
        )


def _text(part: Part) -> Iterator[Finding]:
    texts = [(text, row) for row, text in enumerate(part.texts) if text is not None]
    absent = len(part) - len(texts)
    if absent:
        yield Finding("info", "text", f"{absent} utterances have none", "They are read by their other modalities.")
    empty = [row for text, row in texts if not text.strip()]
    if empty:
        yield Finding(
            "warning",
            "text",
            f"{len(empty)} are empty, first {part.ids[empty[0]]}",
            "Say that text is absent, if that is what it means.",
        )
    capitals = sum(text.isupper() and sum(map(str.isalpha, text)) > 3 for text, _ in texts)
    if capitals:
        yield Finding(
            "warning" if capitals > len(texts) / 2 else "info",
            "text",
            f"{capitals} are all capitals",
            "A cased encoder reads capitals badly: lower them.",
        )
    broken = [row for text, row in texts if "\ufffd" in text]
    if broken:
        yield Finding(
            "warning",
            "text",
            f"{len(broken)} hold U+FFFD, first {part.ids[broken[0]]}",
            "Characters were lost before the import: look for a source in the right encoding.",
        )
    foreign = sum(not text.isascii() for text, _ in texts)
    if foreign:
        yield Finding("info", "text", f"{foreign} are not plain ASCII", "See that the encoder knows their script.")
    yield from _duplicates(part, texts)


def _duplicates(part: Part, texts: list[tuple[str, int]]) -> Iterator[Finding]:
    places: dict[str, list[int]] = {}
    for text, row in texts:
        key = " ".join(text.casefold().split())
        if key:
            places.setdefault(key, []).append(row)
    repeated = {key: rows for key, rows in places.items() if len(rows) > 1}
    if not repeated:
        return
    often = max(repeated, key=lambda key: len(repeated[key]))
    yield Finding(
        "info",
        "duplicates",
        f"{len(repeated)} texts come more than once, in {sum(map(len, repeated.values()))} utterances; "
        f"most often '{_short(often)}' ({len(repeated[often])} times)",
        "Greetings repeat; nothing to do.",
    )
    splits = part.corpus.splits
    across = {key: rows for key, rows in repeated.items() if len(set(splits[rows].tolist())) > 1}
    long = {key: rows for key, rows in across.items() if len(key.split()) >= LONG_TEXT_WORDS}
    if long:
        key = max(long, key=len)
        yield Finding(
            "warning",
            "duplicates",
            f"{len(long)} texts of {LONG_TEXT_WORDS} words or more are in more than one split, as "
            f"'{_short(key)}' in {', '.join(part.ids[row] for row in long[key][:3])}",
            "If the recordings are the same, keep them in one split.",
        )
    if len(across) > len(long):
        yield Finding(
            "info",
            "duplicates",
            f"{len(across) - len(long)} shorter texts are in more than one split",
            "Nothing to do.",
        )


def _times(part: Part) -> Iterator[Finding]:
    table = part.corpus.table
    start, end = (table.column(c).to_numpy().astype(np.float64) for c in ("start", "end"))
    known = np.isfinite(start) & np.isfinite(end)
    if not known.any():
        yield Finding("info", "times", "none are known", "Order within a video is by index.")
        return
    if not known.all():
        yield Finding("info", "times", f"{int((~known).sum())} utterances have none", "Order is by index.")

    def first(rows: NDArray[np.bool_]) -> str:
        return f"{int(rows.sum())}, first {part.ids[int(rows.argmax())]}"

    negative, empty, reverse = start < 0, end == start, end < start
    if negative.any():
        yield Finding("warning", "times", f"negative starts: {first(negative)}", "Clamp them at 0.")
    if empty.any():
        yield Finding("warning", "times", f"zero length: {first(empty)}", "They hold no sound; check their features.")
    if reverse.any():
        yield Finding("problem", "times", f"end before start: {first(reverse)}", "Correct the times and import again.")
    codes = part.video_codes
    pairs = known[1:] & known[:-1] & (codes[1:] == codes[:-1])
    back = np.append(False, pairs & (start[1:] < start[:-1]))
    shared = np.minimum(end[:-1], end[1:]) - np.maximum(start[:-1], start[1:])
    overlap = pairs & (shared > 1e-3)
    if back.any():
        yield Finding("info", "times", f"jumps back within a video: {first(back)}", "Order is by index, not by time.")
    if overlap.any():
        yield Finding(
            "info",
            "times",
            f"{int(overlap.sum())} of {int(pairs.sum())} neighbours overlap, median {np.median(shared[overlap]):.2f} s",
            "They share sound and image, inside one split only.",
        )


def _about_modality(name: str, m: ModalityAudit) -> Iterator[Finding]:
    if not m.present:
        yield Finding("problem", name, "no utterance has any", "Check the import, or leave the modality out.")
        return
    if m.absent:
        yield Finding(
            "info",
            name,
            f"absent in {m.absent} of {m.absent + m.present} utterances",
            "They are masked, in training and after.",
        )
    if m.masked_frames:
        share = m.masked_frames / m.frames
        yield Finding(
            "warning" if share > 0.05 else "info",
            name,
            f"{m.masked_frames} frames ({share:.1%}) are masked",
            "They held NaN, infinity or a sentinel; no model sees them.",
        )
    if m.constant_columns:
        yield Finding(
            "warning",
            name,
            f"constant: {_columns(m.constant_columns)}",
            "They say nothing; leave them out when importing.",
        )
    if m.near_constant_columns:
        yield Finding(
            "info",
            name,
            f"{NEAR_CONSTANT_SHARE:.0%} one value: {_columns(m.near_constant_columns)}",
            "Scaling blows up what is left; clip it, or leave them out.",
        )
    if m.extreme_columns:
        yield Finding(
            "warning",
            name,
            f"values beyond {EXTREME_DEVIATIONS:g} standard deviations: {_columns(m.extreme_columns)}",
            "Clip them, or name them as a sentinel when importing.",
        )


def _leaks(corpus: Corpus) -> Iterator[Finding]:
    for leak in find_leaks(corpus):
        yield Finding(
            "problem",
            "leak",
            f"{leak.modality} predicts the labels of {_count(list(leak.videos), 'video')} far better "
            f"(r = {leak.correlation_inside:.2f}) than of the others (r = {leak.correlation_outside:.2f}; "
            f"chance {leak.p_value:.0e})",
            "Probably the extractor was trained on those labels, or the others' features are broken: leave "
            "the modality out, or keep the clean videos only.",
        )


def _count(names: list[str], noun: str) -> str:
    shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
    return f"{len(names)} {noun}{'s' if len(names) != 1 else ''} ({shown})"


def _columns(columns: tuple[int, ...]) -> str:
    return f"{len(columns)} columns ({', '.join(map(str, columns[:8]))}{', ...' if len(columns) > 8 else ''})"


def _short(text: str) -> str:
    return text if len(text) <= 40 else text[:37] + "..."
