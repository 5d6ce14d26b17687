"""The stages that listen: media, speech, transcript, speakers, utterances. Each is kept under what it depends on."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

from mmmie.analysis.stages import StageFailed, StageStore, key_of, load_value, save_value
from mmmie.errors import FeatureError, MmmieError
from mmmie.media.audio import Audio, decode_audio
from mmmie.media.files import MediaInfo, probe
from mmmie.media.models import find
from mmmie.media.recognise import find_model, recognise
from mmmie.media.speakers import Turn, find_speakers
from mmmie.media.speech import Span, find_speech
from mmmie.media.transcripts import Transcript, read_transcript
from mmmie.media.utterances import Spoken, into_utterances
from mmmie.settings import AnalysisSettings

SOUND_FILE = "sound.s16"


@dataclass(frozen=True)
class Opened:
    """A media file: what is in it, and its sound where it has some that is wanted."""

    key: str
    info: MediaInfo
    audio: Audio | None


@dataclass(frozen=True)
class Heard:
    """What was said; `key` stands for all of it."""

    key: str
    speech: tuple[Span, ...]
    transcript: Transcript
    """Without its segments: the utterances hold their words."""
    turns: tuple[Turn, ...]
    utterances: tuple[Spoken, ...]


def open_file(store: StageStore, media: Path, settings: AnalysisSettings, sound: bool) -> Opened:
    """The stage `media`. Raises StageFailed: nothing in the file can be read."""
    status = media.stat()
    key = key_of("media 1", str(media.resolve()), status.st_size, status.st_mtime_ns, settings.audio_stream, sound)

    def write(folder: Path) -> None:
        info = probe(media, settings.audio_stream)
        save_value(folder / "info.json", MediaInfo, info)
        if info.audio is not None and sound:
            audio = decode_audio(info, folder / SOUND_FILE)
            save_value(folder / "sound.json", Audio, replace(audio, path=Path(SOUND_FILE)))

    place = store.make("media", key, write)
    info = replace(load_value(place / "info.json", MediaInfo), path=media)  # it may be called from another folder now
    audio = None
    if (place / "sound.json").is_file():
        audio = replace(load_value(place / "sound.json", Audio), path=place / SOUND_FILE)
    return Opened(key_of(info.sha256, settings.audio_stream), info, audio)


def hear(store: StageStore, opened: Opened, transcript: Path | None, settings: AnalysisSettings) -> Heard | None:
    """The stages from `speech` to `utterances`; None where nothing is said. Raises StageFailed: the words are lacking.

    Without sound only a transcript with times can say anything; where voices cannot be told apart, there is one.
    """
    if opened.audio is None and transcript is None:
        store.log.skip("speech", "there is no sound, and no transcript was given")
        return None
    speech: tuple[Span, ...] = ()
    if opened.audio is not None:
        speech = _speech(store, opened)
    transcript_key, words = _transcript(store, opened, speech, transcript, settings)
    turns: tuple[Turn, ...] = ()
    if opened.audio is not None and speech and words.segments and settings.speakers:
        turns = _speakers(store, opened, speech, settings.num_speakers)
        told_apart, asked = len({turn.speaker for turn in turns}), settings.num_speakers
        if turns and asked is not None and told_apart < asked:
            note = f"{asked} speakers were said to be there; voices told apart: {told_apart}"
            words = replace(words, notes=(*words.notes, note))
    key = key_of("utterances 1", transcript_key, [[t.start, t.end, t.speaker] for t in turns])
    place = store.make(
        "utterances", key, lambda folder: _save(folder, tuple[Spoken, ...], into_utterances(words, turns))
    )
    utterances = load_value(place / "value.json", tuple[Spoken, ...])
    return Heard(key, speech, replace(words, segments=()), turns, utterances)


def _speech(store: StageStore, opened: Opened) -> tuple[Span, ...]:
    audio = opened.audio
    assert audio is not None
    place = store.make(
        "speech", key_of("speech 1", opened.key), lambda folder: _save(folder, tuple[Span, ...], find_speech(audio))
    )
    return tuple(load_value(place / "value.json", tuple[Span, ...]))


def _transcript(
    store: StageStore, opened: Opened, speech: tuple[Span, ...], given: Path | None, settings: AnalysisSettings
) -> tuple[str, Transcript]:
    if given is not None:
        content = hashlib.sha256(given.read_bytes()).hexdigest()
        key = key_of("given 1", opened.key, given.name, content, settings.language)

        def write(folder: Path) -> None:
            found = read_transcript(given, opened.info.duration_seconds, speech, settings.language)
            _save(folder, Transcript, found)

    else:
        audio = opened.audio
        assert audio is not None
        key = key_of("recognised 1", opened.key, _identity(settings.recogniser), settings.language)

        def write(folder: Path) -> None:
            found = recognise(audio, speech, settings.recogniser, settings.language, heard, settings.threads)
            _save(folder, Transcript, found)

        def heard(start: float, seconds: float, _states: object) -> None:
            store.log.report("transcript", f"at {start + seconds:.0f} s")

    place = store.make("transcript", key, write)
    return key, load_value(place / "value.json", Transcript)


def _speakers(
    store: StageStore, opened: Opened, speech: tuple[Span, ...], num_speakers: int | None
) -> tuple[Turn, ...]:
    audio = opened.audio
    assert audio is not None
    try:
        if num_speakers != 1:  # one voice needs no network
            find("ge2e")
    except FeatureError as error:
        store.log.skip("speakers", f"voices are not told apart: {error}")
        return ()
    try:
        place = store.make(
            "speakers",
            key_of("speakers 2", opened.key, num_speakers),
            lambda folder: _save(folder, tuple[Turn, ...], find_speakers(audio, speech, num_speakers=num_speakers)),
        )
    except StageFailed:
        return ()
    return tuple(load_value(place / "value.json", tuple[Turn, ...]))


def _identity(recogniser: str) -> list[object]:
    """A model by its name and size, so that another file under the same name counts as another."""
    try:
        folder, name = find_model(recogniser)
    except MmmieError:
        return [recogniser]  # the stage itself says what is wrong with it
    return [name, (folder / "model.bin").stat().st_size]


def _save(folder: Path, kind: object, value: object) -> None:
    save_value(folder / "value.json", kind, value)
