"""One file from end to end: `Analyzer` holds the checkpoint and goes through the stages.

    media -+-> speech -> transcript -> speakers -> utterances -> voice -+-> features -> prediction -> report
           +-> faces ---------------------------------------------------+

Faces are looked for while the words are recognised: decoding and the networks of both leave the interpreter alone.
"""

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

from mmmie.analysis import result as r
from mmmie.analysis.analysis import Analysis
from mmmie.analysis.assembling import Found, Measures, assemble
from mmmie.analysis.hearing import Heard, Opened, hear, open_file
from mmmie.analysis.listening import VoiceFound, read_voice
from mmmie.analysis.predicting import CORPUS_FOLDER, Verdicts, predict_corpus, write_corpus
from mmmie.analysis.request import PACKAGED_RUN, RESULT_SUFFIX, STAGES_FOLDER, Input, Request
from mmmie.analysis.seeing import FaceFound, Looked, face_info, look, speakers_faces
from mmmie.analysis.stages import Report, StageFailed, StageLog, StageStore, failed_result, key_of
from mmmie.errors import CheckpointError
from mmmie.evidence.card import make_card
from mmmie.evidence.coverage import Coverage
from mmmie.features.voice import packaged_info
from mmmie.learning.run import Run
from mmmie.settings import AnalysisSettings, Modality

VERSIONS = ("mmmie", "torch", "transformers", "faster-whisper", "av", "silero-vad", "ai-edge-litert")
"""Of the libraries that decide what comes out."""
KERNEL_CACHES = ("LRU_CACHE_CAPACITY", "ONEDNN_PRIMITIVE_CACHE_CAPACITY")
"""Kernels are compiled for each shape and kept; torch and oneDNN read here how many, when they compile the first."""
KERNELS_KEPT = "16"
"""By themselves they keep 1024 each, 4 MB a shape: the memory of an hour of text. With so few nothing takes longer."""


class Analyzer:
    """Turns videos into results.

        analysis = Analyzer.load("runs/mosei/0").analyze("talk.mp4")

    Args:
        request: the checkpoint, and how to read.
    """

    def __init__(self, request: Request) -> None:
        self.request = request
        for cache in KERNEL_CACHES:
            os.environ.setdefault(cache, KERNELS_KEPT)

    @classmethod
    def load(cls, run: str | Path | None = None, settings: AnalysisSettings | None = None) -> Self:
        """With the checkpoint of a run; None: the packaged one.

        Raises:
            CheckpointError: there is none.
        """
        run = Path(run) if run is not None else PACKAGED_RUN
        if not (run / "checkpoint" / "contract.json").is_file():
            raise CheckpointError(f"the run {run} has no checkpoint. Train it with `mmmie train`.")
        return cls(Request(settings or AnalysisSettings(), run))

    def analyze(
        self, media: str | Path, out: str | Path | None = None, transcript: str | Path | None = None
    ) -> Analysis:
        """Analyzes a file into a folder, and gives what the folder then holds.

        Args:
            media: a video or recording.
            out: the folder of the result; None: `talk.mmmie` in the working directory.
            transcript: its words, in place of recognition.
        """
        media = Path(media)
        item = Input(media, Path(out) if out is not None else Path(f"{media.stem}{RESULT_SUFFIX}"))
        request = replace(self.request, transcript=Path(transcript) if transcript is not None else None)
        return _FileAnalysis(request, self.run, item).result().save(item.result)

    def read(self, item: Input, report: Report) -> Analysis:
        """The same for a file and a folder that are known, telling of every stage."""
        return _FileAnalysis(self.request, self.run, item, report).result().save(item.result)

    @cached_property
    def run(self) -> Run:
        return Run.open(self.request.run)


class _FileAnalysis:
    """One file going through the stages."""

    def __init__(self, request: Request, run: Run, item: Input, report: Report | None = None) -> None:
        self.request, self.run, self.item = request, run, item
        self.settings = request.settings
        self.log = StageLog() if report is None else StageLog(report)
        self.store = StageStore(item.result / STAGES_FOLDER, self.log)
        self.transcript = request.transcript_of(item.media)

    def result(self) -> Analysis:
        """Goes through all stages; nothing is written but what they keep."""
        return Analysis(self._result())

    def _result(self) -> r.Result:
        wants = self.settings.modalities
        sound = "audio" in wants or ("text" in wants and self.transcript is None)
        try:
            opened = open_file(self.store, self.item.media, self.settings, sound)
        except StageFailed:
            return failed_result(self.item.media, self.log.records)
        self.log.report("media", f"lasts {opened.info.duration_seconds:.1f} s")
        with ThreadPoolExecutor(max_workers=1) as beside:
            looking = beside.submit(look, self.store, opened, self.settings.face_rate_hz) if "vision" in wants else None
            try:
                heard = hear(self.store, opened, self.transcript, self.settings)
            except StageFailed:
                heard = None
            looked = looking.result() if looking is not None else Looked()
        return self._judged(opened, heard, looked)

    def _judged(self, opened: Opened, heard: Heard | None, looked: Looked) -> r.Result:
        voice, face = VoiceFound(), FaceFound()
        verdicts: Verdicts | None = None
        missing: dict[Modality, Sequence[str | None]] = {}
        if heard is not None and heard.utterances:
            _use_threads(self.settings.threads)
            if "audio" in self.settings.modalities:
                voice = read_voice(self.store, opened, heard)
                missing["audio"] = voice.missing
            if "vision" in self.settings.modalities:
                face = speakers_faces(looked, heard)
                missing["vision"] = face.missing
            if "text" in self.settings.modalities:
                missing["text"] = [None if u.text.strip() else "nothing was understood" for u in heard.utterances]
            verdicts = self._verdicts(opened, heard, voice, face)
        found = Found(
            opened=opened,
            heard=heard,
            verdicts=verdicts,
            missing=missing,
            voice=Measures(voice.measures, voice.values),
            face=Measures(face.measures, face.values),
            face_seen=face.seen or [None] * (len(heard.utterances) if heard else 0),
            notes=(*voice.notes, *face.notes),
        )
        coverage = Coverage.read(self.run)
        return assemble(found, self.log.records, self._model(), self.settings, _versions(), self.item.result, coverage)

    def _verdicts(self, opened: Opened, heard: Heard, voice: VoiceFound, face: FaceFound) -> Verdicts | None:
        wants, reads = self.settings.modalities, self.run.contract["modalities"]
        nothing = (None,) * len(heard.utterances)
        key = key_of("features 2", heard.key, voice.key, face.key, wants, sorted(reads))
        name = opened.info.path.stem or opened.info.path.name

        def write(folder: Path) -> None:
            features = {}
            if "audio" in reads:
                features["audio"] = (voice.info or packaged_info(), voice.vectors or nothing)
            if "vision" in reads:
                features["vision"] = (face.info or face_info(), face.vectors or nothing)
            write_corpus(folder / CORPUS_FOLDER, name, heard.utterances, features, "text" in wants)

        try:
            place = self.store.make("features", key, write)
            return predict_corpus(self.store, place / CORPUS_FOLDER, key, self.run)
        except StageFailed:
            return None

    def _model(self) -> r.Model:
        card = make_card(self.run).values
        return r.Model(
            name=self.run.recipe.name,
            fingerprint=card["checkpoint_sha256"],
            card=_summary(card),
            licence=str(card["licence"] or "not stated"),
            weights=_weights(self.run),
        )


def _use_threads(threads: int) -> None:
    """For whichever stage comes first of those that compute: their last digits depend on the number of threads."""
    import torch

    torch.set_num_threads(threads)


def _summary(card: Mapping[str, Any]) -> str:
    """A card in a few sentences."""
    data, sizes = card["data"], card["data"].get("sizes") or {}
    learned = f"Trained on {data.get('name', 'an unnamed corpus')}"
    if "train" in sizes:
        learned += f" ({sizes['train']['utterances']} utterances)"
    read = ", ".join(card["modalities"])
    return f"{learned}, reading {read}. {card['use']} {' '.join(card['limits'])}"


def _weights(run: Run) -> dict[str, float]:
    """What each modality of a checkpoint may weigh: the share of the labels it has proved to explain, or 1."""
    modalities = run.contract["modalities"]
    experts = run.recipe.model.experts
    if experts is None:
        return dict.fromkeys(modalities, 1.0)
    return {name: experts[name].explained if name in experts else 0.0 for name in modalities}


def _versions() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError

    found = {}
    for library in VERSIONS:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            continue
    return found
