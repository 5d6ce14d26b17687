"""A corpus made from factors of stated variance, so that every term of the method has something known to find.

    factor                  label    text    audio   vision
    shared z_i              .40      2 words  yes     yes      AR(1) along the video plus an offset of the speaker
    private text            .10      verdict  -       -        independent for each utterance, as all below
    private audio           .10      -        yes     -
    private vision          .10      -        -       yes
    carried c_i             .15 *    -        yes     yes      * in the label of the same speaker's *next* utterance
    nuisance, per modality  -        topic    yes     yes      large, half of it the speaker's own
    noise of the label      .15

All factors have variance 1; the second column is their share of the label's variance, which is 1 before the label is
clipped to [-3, 3]. Speakers take turns irregularly, so no fixed offset finds the utterance that carried a label's part:
only who speaks does. Audio and vision observe their factors with Gaussian noise and spread them over frames; the noise
of the frames sums to zero in every utterance, so the mean frame is a sufficient statistic whatever the length, and the
mutual information between modalities is that of the observed factors, exactly (lengths are independent).
"""

from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from mmmie.corpus.resplit import assign_videos
from mmmie.corpus.schema import SPLITS, CorpusInfo, FeatureInfo, Utterance
from mmmie.corpus.store import Corpus
from mmmie.corpus.writer import CorpusWriter, Frames
from mmmie.errors import CorpusError
from mmmie.settings import Settings

Doubles = NDArray[np.float64]
Random = np.random.Generator

LABEL_SHARES = {"shared": 0.40, "text": 0.10, "audio": 0.10, "vision": 0.10, "carried": 0.15, "noise": 0.15}
"""Share of each factor in the variance of the label, which is 1."""

TASK_FACTORS = 3
"""What audio and vision observe beside nuisance: the shared, their private and the carried factor."""

SENTIMENT_WORDS = (
    ("terrible", "horrible", "awful"),
    ("bad", "poor", "annoying"),
    ("dull", "weak", "disappointing"),
    ("okay", "average", "ordinary"),
    ("nice", "decent", "pleasant"),
    ("good", "great", "enjoyable"),
    ("wonderful", "excellent", "fantastic"),
)
"""Graded from negative to positive; the words of one grade are interchangeable."""

VERDICTS = ("avoid", "skip", "consider", "watch", "recommend")
"""Graded from negative to positive: what the text's private factor chooses."""

TOPICS = (
    ("plot", "ending", "dialogue", "script"),
    ("camera", "lighting", "scenery", "costume"),
    ("music", "soundtrack", "singer", "chorus"),
    ("phone", "battery", "screen", "charger"),
    ("kitchen", "recipe", "sauce", "oven"),
    ("engine", "tyre", "gearbox", "seat"),
    ("novel", "chapter", "author", "cover"),
    ("hotel", "room", "pool", "breakfast"),
)
OPENERS = ("so", "well", "you know", "i think", "to be honest", "anyway", "and then", "basically")

GRADE_WIDTH = 0.7
"""Standard deviation of the grade a writer reaches for around the factor, in units of the factor."""

TOPIC_LOYALTY = 0.7
"""Chance that an utterance is about its speaker's favourite topic."""


class SyntheticSettings(Settings):
    """Sizes and variances of a generated corpus."""

    videos: int = Field(120, ge=3)
    utterances: tuple[int, int] = (8, 24)
    """Fewest and most of a video, drawn uniformly."""
    total_utterances: int | None = None
    """Where given, videos grow or shrink within the range until the corpus has exactly this many."""
    fractions: tuple[float, float, float] = (0.6, 0.2, 0.2)
    """Of utterances in train, valid and test; no video is in two."""
    audio_dim: int = 24
    vision_dim: int = 20
    audio_frames: tuple[int, int] = (10, 60)
    """Shortest and longest sequence; the logarithm of the length is uniform, as real lengths have a long tail."""
    vision_frames: tuple[int, int] = (8, 40)
    shared_correlation: float = Field(0.6, ge=0, lt=1)
    """Of the shared factor between one utterance and the next, the speaker's offset apart."""
    speaker_share: float = Field(0.3, ge=0, lt=1)
    """Share of the speaker's offset in the variance of the shared factor."""
    turn_chance: float = Field(0.7, ge=0, le=1)
    """Chance that the other of the two speakers is next."""
    observation_variance: float = Field(0.25, gt=0)
    """Of the noise with which audio and vision observe a task factor."""
    nuisance_dim: int = Field(6, ge=0)
    nuisance_variance: float = Field(4.0, ge=0)
    """Of each nuisance factor of audio and vision."""
    frame_variance: float = Field(1.0, ge=0)
    """Of the noise of single frames, in every column."""
    absent_share: float = Field(0.0, ge=0, lt=1)
    """Chance that audio, and independently vision, of an utterance is absent."""
    seed: int = Field(0, ge=0)


Size = Literal["small", "demo", "mosei"]

SIZES: dict[str, dict[str, Any]] = {
    "small": {"videos": 20, "utterances": (4, 8), "audio_frames": (3, 12), "vision_frames": (2, 8)},
    "demo": {},
    "mosei": {
        "videos": 3228,
        "utterances": (1, 13),
        "total_utterances": 22856,
        "fractions": (16326 / 22856, 1871 / 22856, 4659 / 22856),
        "audio_dim": 74,
        "vision_dim": 35,
        "audio_frames": (16, 500),
        "vision_frames": (12, 500),
    },
}
"""Presets. `mosei` has CMU-MOSEI's numbers of videos and utterances, COVAREP's and FACET's widths, and sequences of 140
and 130 frames on average, at most 500, as the field's unaligned files have them."""


class VideoFactors(NamedTuple):
    """The factors of one video's n utterances."""

    speaker: NDArray[np.int64]
    """(n,) 0 or 1."""
    shared: Doubles
    private: dict[str, Doubles]
    carried: Doubles
    carried_into_label: Doubles
    """(n,) the carried factor of the same speaker's previous utterance; unseen where there is none."""
    nuisance: dict[str, Doubles]
    """(n, nuisance_dim), by audio and vision."""
    topic: NDArray[np.int64]
    label: Doubles


def generate(path: str | Path, settings: SyntheticSettings | None = None) -> Corpus:
    """Writes a generated corpus, video by video, and opens it.

    Beside the corpus's own files stands `truth.npz`: the factors, a row per utterance in the corpus's order (float32;
    `shared`, `private_text`, `private_audio`, `private_vision`, `carried`, `carried_into_label`, `nuisance_audio`,
    `nuisance_vision`, `topic`). `notes["true_mi_nats"]` holds what `true_mutual_information` gives.

    Args:
        path: the folder to make.
        settings: sizes, variances, seed; equal settings give equal corpora.

    Raises:
        CorpusError: the folder exists, a dimension is too small for its factors, or the disk is full.
    """
    settings = settings or SyntheticSettings()
    _check(settings)
    sizes = _video_sizes(settings)
    splits = assign_videos(sizes, settings.fractions, np.random.default_rng([settings.seed, 1]))
    projections = {
        name: _orthonormal(dim, TASK_FACTORS + settings.nuisance_dim, np.random.default_rng([settings.seed, 2, dim]))
        for name, dim in (("audio", settings.audio_dim), ("vision", settings.vision_dim))
    }
    # What decides what a column means; lengths and numbers of videos do not.
    meaning = settings.model_dump(
        include={"seed", "observation_variance", "nuisance_dim", "nuisance_variance", "frame_variance"}
    )
    info = CorpusInfo(
        name=f"generated-{settings.seed}",
        features={
            name: FeatureInfo(dim, "frames", "mmmie.corpus.synthetic", "1", meaning)
            for name, dim in (("audio", settings.audio_dim), ("vision", settings.vision_dim))
        },
        source="generated by mmmie",
        licence="CC0-1.0",
        notes={
            "true_mi_nats": true_mutual_information(settings),
            "label_shares": LABEL_SHARES,
            "settings": settings.model_dump(mode="json"),
        },
    )
    truth: list[VideoFactors] = []
    with CorpusWriter(path, info) as writer:
        digits = len(str(settings.videos - 1))
        for v, size in enumerate(sizes):
            rng = np.random.default_rng([settings.seed, 3, v])
            factors = _draw_factors(int(size), settings, rng)
            truth.append(factors)
            _write_video(writer, f"video{v:0{digits}}", SPLITS[splits[v]], factors, projections, settings, rng)
        np.savez(writer.companion("truth.npz"), **_truth_columns(truth))  # type: ignore[arg-type]
    return Corpus.open(path)


def true_mutual_information(settings: SyntheticSettings) -> dict[str, float]:
    """The mutual information, in nats, of one utterance's modalities with each other and with its label.

    Audio and vision are jointly Gaussian with each other and with the label: -log(1 - rho^2) / 2, summed over the
    factors both see. Text is discrete: its values are integrals over the factors on a grid that is fine enough for
    1e-4 nats. The label is the one before clipping, which changes 0.3 % of the labels; context is not counted.
    """
    reliability = 1 / (1 + settings.observation_variance)
    seen_by_both = 2  # the shared and the carried factor
    label_from_frames = reliability * (LABEL_SHARES["shared"] + LABEL_SHARES["audio"])
    text_frames = _text_frames_information(settings.observation_variance)
    return {
        "text-audio": text_frames,
        "text-vision": text_frames,
        "audio-vision": seen_by_both * -0.5 * float(np.log1p(-(reliability**2))),
        "label-text": _label_text_information(),
        "label-audio": -0.5 * float(np.log1p(-label_from_frames)),
        "label-vision": -0.5 * float(np.log1p(-label_from_frames)),
    }


def grade_chances(factor: Doubles, grades: int) -> Doubles:
    """(..., grades) the chance of each grade of word for values of a factor: normal around it, renormalised."""
    levels = np.linspace(-2, 2, grades)
    weights = np.exp(-((levels - factor[..., None]) ** 2) / (2 * GRADE_WIDTH**2))
    chances: Doubles = weights / weights.sum(axis=-1, keepdims=True)
    return chances


def _grid(points: int) -> tuple[Doubles, Doubles]:
    """A grid on [-6, 6] and its weights under N(0, 1); the sum over it converges faster than any power."""
    values = np.linspace(-6, 6, points)
    weights: Doubles = np.exp(-(values**2) / 2)
    return values, weights / weights.sum()


def _two_words(z: Doubles) -> Doubles:
    one = grade_chances(z, len(SENTIMENT_WORDS))
    both: Doubles = np.einsum("zi,zj->ijz", one, one).reshape(-1, len(z))
    return both


def _text_frames_information(observation_variance: float) -> float:
    z, weight = _grid(241)
    x = np.linspace(-9, 9, 721)
    density = np.exp(-((x[None, :] - z[:, None]) ** 2) / (2 * observation_variance))
    return _information((_two_words(z) * weight) @ density)


def _label_text_information() -> float:
    z, weight = _grid(97)
    y = np.linspace(-7, 7, 281)
    rest = 1 - LABEL_SHARES["shared"] - LABEL_SHARES["text"]
    mean = np.sqrt(LABEL_SHARES["shared"]) * z[:, None] + np.sqrt(LABEL_SHARES["text"]) * z[None, :]
    density = np.exp(-((y - mean[..., None]) ** 2) / (2 * rest))
    words = _two_words(z) * weight
    verdicts = grade_chances(z, len(VERDICTS)).T * weight
    joint = np.einsum("vp,spy->svy", verdicts, np.einsum("sz,zpy->spy", words, density, optimize=True), optimize=True)
    return _information(joint.reshape(-1, len(y)))


def _information(joint: Doubles) -> float:
    joint = joint / joint.sum()
    product = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
    seen = joint > 0
    return float((joint[seen] * np.log(joint[seen] / product[seen])).sum())


def _check(settings: SyntheticSettings) -> None:
    needed = TASK_FACTORS + settings.nuisance_dim
    for name, dim in (("audio", settings.audio_dim), ("vision", settings.vision_dim)):
        if dim < needed:
            raise CorpusError(
                f"{name}_dim is {dim}; {TASK_FACTORS} task and {settings.nuisance_dim} nuisance factors "
                f"need at least {needed} columns"
            )
    for name in ("utterances", "audio_frames", "vision_frames"):
        low, high = getattr(settings, name)
        if not 1 <= low <= high:
            raise CorpusError(f"{name} must be two numbers, 1 <= fewest <= most, not ({low}, {high})")
    low, high = settings.utterances
    total = settings.total_utterances
    if total is not None and not settings.videos * low <= total <= settings.videos * high:
        raise CorpusError(f"{settings.videos} videos of {low} to {high} utterances cannot have {total} in total")


def _video_sizes(settings: SyntheticSettings) -> NDArray[np.int64]:
    rng = np.random.default_rng([settings.seed, 0])
    low, high = settings.utterances
    sizes = rng.integers(low, high + 1, settings.videos)
    while settings.total_utterances is not None and sizes.sum() != settings.total_utterances:
        step = 1 if sizes.sum() < settings.total_utterances else -1
        able = np.flatnonzero(sizes < high if step > 0 else sizes > low)
        missing = min(len(able), abs(settings.total_utterances - int(sizes.sum())))
        sizes[rng.choice(able, missing, replace=False)] += step
    return sizes


def _orthonormal(rows: int, columns: int, rng: Random) -> Doubles:
    q, _ = np.linalg.qr(rng.standard_normal((rows, columns)))
    return q


def _draw_factors(n: int, settings: SyntheticSettings, rng: Random) -> VideoFactors:
    speaker = np.cumsum(rng.random(n) < settings.turn_chance) % 2
    rho = settings.shared_correlation
    walk = rng.standard_normal(n)
    for i in range(1, n):
        walk[i] = rho * walk[i - 1] + np.sqrt(1 - rho**2) * walk[i]
    offset = rng.standard_normal(2)[speaker]
    shared = np.sqrt(1 - settings.speaker_share) * walk + np.sqrt(settings.speaker_share) * offset
    private = {name: rng.standard_normal(n) for name in ("text", "audio", "vision")}
    carried = rng.standard_normal(n)
    into_label = np.empty(n)
    last = rng.standard_normal(2)
    for i, who in enumerate(speaker):
        into_label[i], last[who] = last[who], carried[i]
    q, sd = settings.nuisance_dim, np.sqrt(settings.nuisance_variance / 2)
    nuisance = {
        name: sd * (rng.standard_normal((2, q))[speaker] + rng.standard_normal((n, q))) for name in ("audio", "vision")
    }
    favourite = rng.integers(len(TOPICS), size=2)[speaker]
    topic = np.where(rng.random(n) < TOPIC_LOYALTY, favourite, rng.integers(len(TOPICS), size=n))
    parts = {"shared": shared, **private, "carried": into_label, "noise": rng.standard_normal(n)}
    label = sum((np.sqrt(LABEL_SHARES[name]) * part for name, part in parts.items()), np.zeros(n))
    return VideoFactors(speaker, shared, private, carried, into_label, nuisance, topic, label)


def _write_video(
    writer: CorpusWriter,
    video: str,
    split: str,
    factors: VideoFactors,
    projections: dict[str, Doubles],
    settings: SyntheticSettings,
    rng: Random,
) -> None:
    end = 0.0
    for i in range(len(factors.label)):
        start, end = end, end + float(rng.uniform(2, 10))
        utterance = Utterance(
            video=video,
            index=i,
            split=split,
            label=float(np.clip(factors.label[i], -3, 3)),
            start=round(start, 3),
            end=round(end, 3),
            speaker=f"{video}-{'ab'[factors.speaker[i]]}",
            text=_sentence(factors, i, rng),
        )
        features = {name: _frames(name, factors, i, projections[name], settings, rng) for name in projections}
        writer.add(utterance, {name: f for name, f in features.items() if rng.random() >= settings.absent_share})


def _frames(
    name: str, factors: VideoFactors, i: int, projection: Doubles, settings: SyntheticSettings, rng: Random
) -> Frames:
    task = np.array([factors.shared[i], factors.private[name][i], factors.carried[i]])
    observed = task + np.sqrt(settings.observation_variance) * rng.standard_normal(TASK_FACTORS)
    mean = projection @ np.concatenate([observed, factors.nuisance[name][i]])
    low, high = settings.audio_frames if name == "audio" else settings.vision_frames
    length = int(np.exp(rng.uniform(np.log(low), np.log(high + 1))))
    noise = np.sqrt(settings.frame_variance, dtype=np.float32) * rng.standard_normal(
        (min(length, high), len(mean)), dtype=np.float32
    )
    return Frames(noise - noise.mean(axis=0) + mean.astype(np.float32))


def _sentence(factors: VideoFactors, i: int, rng: Random) -> str:
    def graded(factor: float, grades: int) -> int:
        return int(rng.choice(grades, p=grade_chances(np.array(factor), grades)))

    def any_of(words: tuple[str, ...]) -> str:
        return words[rng.integers(len(words))]

    first, second = (any_of(SENTIMENT_WORDS[graded(factors.shared[i], len(SENTIMENT_WORDS))]) for _ in range(2))
    verdict = VERDICTS[graded(factors.private["text"][i], len(VERDICTS))]
    topic = TOPICS[factors.topic[i]]
    more = "".join(f" and the {any_of(topic)}" for _ in range(rng.integers(3)))
    return f"{any_of(OPENERS)} the {any_of(topic)}{more} was {first} and {second}, i would {verdict} it"


def _truth_columns(videos: list[VideoFactors]) -> dict[str, NDArray[Any]]:
    def column(pick: Any) -> NDArray[np.float32]:
        return np.concatenate([pick(f) for f in videos]).astype(np.float32)

    return {
        "shared": column(lambda f: f.shared),
        **{f"private_{m}": column(lambda f, m=m: f.private[m]) for m in ("text", "audio", "vision")},
        "carried": column(lambda f: f.carried),
        "carried_into_label": column(lambda f: f.carried_into_label),
        **{f"nuisance_{m}": column(lambda f, m=m: f.nuisance[m]) for m in ("audio", "vision")},
        "topic": np.concatenate([f.topic for f in videos]),
    }
