"""What is asked of an analysis, and how a later call sees that the same was asked before.

Nothing heavy is imported here, so that a second run over finished files takes no time.
"""

import json
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Self

from mmmie.analysis.analysis import Analysis
from mmmie.analysis.result import Result
from mmmie.analysis.stages import key_of
from mmmie.errors import CheckpointError, EvidenceError, RecipeError, TranscriptError, did_you_mean
from mmmie.evidence.predictions import replacing
from mmmie.settings import MODALITIES, AnalysisSettings

PACKAGED_RUN = Path(__file__).parent.parent / "checkpoint"
RESULT_SUFFIX = ".mmmie"
STAGES_FOLDER = ".stages"
DONE_FILE = "done.json"


@dataclass(frozen=True)
class Input:
    """A media file and the folder in which its result goes."""

    media: Path
    result: Path


@dataclass(frozen=True)
class Request:
    """What is asked for every file of a call."""

    settings: AnalysisSettings
    run: Path
    """Whose checkpoint gives the verdicts."""
    transcript: Path | None = None
    """Of the one file, or a folder in which each file's transcript has its name."""

    @classmethod
    def from_words(
        cls,
        *,
        modalities: str = ",".join(MODALITIES),
        names: str = "",
        language: str | None = None,
        recogniser: str = "tiny.en",
        audio_stream: int | None = None,
        num_speakers: int | None = None,
        model: Path | None = None,
        transcript: Path | None = None,
    ) -> Self:
        """From what a command line says.

        Raises:
            RecipeError: an unknown modality ("did you mean"), or names that are not `S1=Ana,S2=Ben`.
            CheckpointError: the run has no checkpoint.
            TranscriptError: there is no such transcript.
        """
        wanted = [word.strip() for word in modalities.split(",") if word.strip()]
        for word in wanted:
            if word not in MODALITIES:
                raise RecipeError(f"there is no modality '{word}'. {did_you_mean(word, MODALITIES)}")
        if not wanted:
            raise RecipeError("--modalities names none. Known: text, audio, vision.")
        run = model or PACKAGED_RUN
        if not (run / "checkpoint" / "contract.json").is_file():
            raise CheckpointError(f"the run {run} has no checkpoint. Train it with `mmmie train`.")
        if transcript is not None and not transcript.exists():
            beside = [p.name for p in transcript.parent.iterdir()] if transcript.parent.is_dir() else []
            raise TranscriptError(f"there is no transcript {transcript}. {did_you_mean(transcript.name, beside)}")
        settings = AnalysisSettings(
            modalities=tuple(m for m in MODALITIES if m in wanted),
            recogniser=recogniser,
            language=language,
            audio_stream=audio_stream,
            num_speakers=num_speakers,
            names=_names(names),
        )
        return cls(settings, run, transcript)

    def transcript_of(self, media: Path) -> Path | None:
        """The transcript of a file; None: its words are to be recognised."""
        if self.transcript is None or self.transcript.is_file():
            return self.transcript
        of_its_name = sorted(p for p in self.transcript.iterdir() if p.is_file() and p.stem == media.stem)
        return of_its_name[0] if of_its_name else None

    def key(self, media: Path) -> str:
        """Changes when the file, its transcript, the settings, the checkpoint or mmmie does."""
        transcript = self.transcript_of(media)
        checkpoint = (self.run / "checkpoint" / "contract.json").read_text(encoding="utf-8")
        files = [str(media.resolve()), _stamp(media), transcript and [str(transcript.resolve()), _stamp(transcript)]]
        return key_of(files, self.transcript is None, self.settings.model_dump(), checkpoint, version("mmmie"))


def kept_result(item: Input, request: Request) -> Result | None:
    """The complete result of an earlier call that asked the same of the same file."""
    try:
        done = json.loads((item.result / STAGES_FOLDER / DONE_FILE).read_text(encoding="utf-8"))
        if done["key"] != request.key(item.media):
            return None
        result = Analysis.open(item.result).result
    except (OSError, ValueError, KeyError, TypeError, EvidenceError):
        return None
    return result if result.status == "complete" else None


def note_done(item: Input, request: Request) -> None:
    """Remembers what a result was made from."""
    with replacing(item.result / STAGES_FOLDER / DONE_FILE) as temporary:
        temporary.write_text(json.dumps({"key": request.key(item.media)}), encoding="utf-8")


def _names(words: str) -> dict[str, str]:
    names = {}
    for word in filter(None, (w.strip() for w in words.split(","))):
        speaker, equals, name = word.partition("=")
        if not equals or not speaker.strip() or not name.strip():
            raise RecipeError(f"--speakers takes names as in S1=Ana,S2=Ben, not '{word}'")
        names[speaker.strip()] = name.strip()
    return names


def _stamp(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]
