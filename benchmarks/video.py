"""Time and memory of the road from a video to its result, beside a bare chain of the same libraries in the same run.

    python benchmarks/video.py [--clip FILE ...] [--minutes N ...] [--quick]

The bare chain is what a plain script would do: decode every frame and all sound, find speech, recognise it with word
times, and look for faces, by the same networks, at 8 Hz. Both are measured warm, models loaded, on the clips (without
--clip: one of a minute with a drawn face and a made voice, in which there are no words). The sections that follow
measure the cold start on one minute, and peak memory on the first clip repeated for each of --minutes.

Wall clock depends on what else the machine does; processor seconds and ratios hardly do.
"""

import argparse
import multiprocessing
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recordings import repeated, talking_head

RATE_HZ = 8.0
STAGES = ("media", "speech", "transcript", "speakers", "utterances", "faces", "voice", "features", "prediction")
REPORT = "report"
COUNTERPART = {"media": "sound", "speech": "speech", "transcript": "words", "faces": "faces"}
"""Stage -> the part of the bare chain that does the same."""


@dataclass
class Spent:
    """What parts of a program took, by name; and the most memory its process held."""

    wall: dict[str, float] = field(default_factory=dict)
    processor: dict[str, float] = field(default_factory=dict)
    peak_mb: float = 0.0

    @contextmanager
    def on(self, part: str) -> Iterator[None]:
        began = time.perf_counter(), time.process_time()
        yield
        self.add(part, time.perf_counter() - began[0], time.process_time() - began[1])

    def add(self, part: str, wall: float, processor: float) -> None:
        self.wall[part] = self.wall.get(part, 0.0) + wall
        self.processor[part] = self.processor.get(part, 0.0) + processor


def in_a_process(work: Callable[..., Spent], *arguments: object) -> Spent:
    """Does the work in a fresh process, so that its memory is its own."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_and_peak, work, *arguments).result()


def _and_peak(work: Callable[..., Spent], *arguments: object) -> Spent:
    spent = work(*arguments)
    lines = Path("/proc/self/status").read_text("utf-8").splitlines()
    spent.peak_mb = next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))
    return spent


def bare_chain(clips: Sequence[Path]) -> Spent:
    """The same libraries and networks, called one after another."""
    import av
    import numpy as np
    import torch
    from faster_whisper import WhisperModel
    from silero_vad import get_speech_timestamps, load_silero_vad

    from mmmie.media.face_detector import FaceDetector
    from mmmie.media.face_mesh import FaceMesh
    from mmmie.media.recognise import PACKAGED_MODEL, find_model

    spent = Spent()
    listener = load_silero_vad(onnx=True)
    whisper = WhisperModel(str(find_model(PACKAGED_MODEL)[0]), device="cpu", compute_type="int8", cpu_threads=2)
    detector, mesh = FaceDetector(), FaceMesh()
    for clip in clips:
        with spent.on("sound"), av.open(str(clip)) as container:
            to_mono, blocks = av.AudioResampler(format="flt", layout="mono", rate=16000), []
            for frame in container.decode(audio=0) if container.streams.audio else ():
                blocks += to_mono.resample(frame)
            samples = np.concatenate([np.zeros(0, np.float32), *(block.to_ndarray()[0] for block in blocks)])
        with spent.on("speech"):
            get_speech_timestamps(torch.from_numpy(samples), listener, sampling_rate=16000)
        with spent.on("words"):
            how: dict[str, Any] = {"beam_size": 1, "word_timestamps": True, "vad_filter": True}
            list(whisper.transcribe(samples, language="en", condition_on_previous_text=False, **how)[0])
        with spent.on("faces"), av.open(str(clip)) as container:
            last = -1
            for frame in container.decode(video=0) if container.streams.video else ():
                image, number = frame.to_ndarray(format="rgb24"), int(frame.time * RATE_HZ)
                if number > last:
                    for found in detector.find(image):
                        mesh.read(image, found.square)
                last = max(last, number)
    return spent


def whole_road(clips: Sequence[Path], folder: Path) -> Spent:
    """From the file to its page, with recognition and with the words given, models loaded by a first clip."""
    spent = Spent()
    _analyze(clips[0], folder / "first")
    for clip in clips:
        with spent.on("with"):
            _analyze(clip, folder / clip.name)
        words = folder / clip.name / "utterances.srt"
        with spent.on("without"):
            _analyze(clip, folder / f"{clip.name}.given", words if "-->" in words.read_text("utf-8") else None)
    return spent


def one_stage(clips: Sequence[Path], folder: Path, stage: str) -> Spent:
    """One stage of analyses that are done, again: once to load its models, once to measure."""
    import shutil

    for spent in (Spent(), Spent()):
        for clip in clips:
            if stage != REPORT:
                for kept in (folder / clip.name / ".stages").glob(f"{stage}-*"):
                    shutil.rmtree(kept)
            _analyze(clip, folder / clip.name, spent=spent, only=stage)
    return spent


def _analyze(clip: Path, out: Path, words: Path | None = None, spent: Spent | None = None, only: str = "") -> None:
    from mmmie.analysis.analyzer import Analyzer
    from mmmie.analysis.request import PACKAGED_RUN, Input, Request
    from mmmie.settings import AnalysisSettings
    from mmmie.study.batch import write_files

    began: dict[str, tuple[float, float]] = {}

    def note(stage: str, state: str) -> None:
        now = time.perf_counter(), time.process_time()
        if state == "begun":
            began[stage] = now
        elif state == "done" and spent is not None and stage == only:
            spent.add(stage, now[0] - began[stage][0], now[1] - began[stage][1])

    done = Analyzer(Request(AnalysisSettings(), PACKAGED_RUN, words)).read(Input(clip, out), note)
    note(REPORT, "begun")
    if not only or only == REPORT:
        write_files(done)
    note(REPORT, "done")


def analyze_once(clip: Path, folder: Path) -> Spent:
    """A whole analysis in a process that has loaded nothing yet."""
    spent = Spent()
    with spent.on("whole"):
        _analyze(clip, folder)
    return spent


def show_stages(clips: Sequence[Path], folder: Path, stages: Iterable[str], seconds: float) -> None:
    """Measures, prints as it goes; `seconds`: what the clips last."""
    results = folder / "results"
    bare = in_a_process(bare_chain, clips)
    road = in_a_process(whole_road, clips, results)
    print(f"{len(clips)} clip(s), {seconds:.1f} s; real-time factors, warm\n")
    print(f"{'':<26}{'wall':>8}{'processor':>11}{'of the bare':>13}{'peak MB':>9}")

    def row(what: str, wall: float, processor: float, against: float | None, peak_mb: float | None) -> None:
        share = f"{processor / against:.2f}" if against else ""
        peak = f"{peak_mb:.0f}" if peak_mb else ""
        print(f"{what:<26}{wall / seconds:>8.4f}{processor / seconds:>11.4f}{share:>13}{peak:>9}", flush=True)

    for part in bare.wall:
        row(f"bare: {part}", bare.wall[part], bare.processor[part], None, None)
    for stage in stages:
        spent = in_a_process(one_stage, clips, results, stage)
        against = bare.processor.get(COUNTERPART.get(stage, ""))
        row(stage, spent.wall.get(stage, 0.0), spent.processor.get(stage, 0.0), against, spent.peak_mb)
    for how, left_out in (("with", ()), ("without", ("words",))):
        wall, processor = (
            sum(value for part, value in values.items() if part not in left_out)
            for values in (bare.wall, bare.processor)
        )
        row(f"bare, {how} recognition", wall, processor, None, bare.peak_mb)
        row(f"road, {how} recognition", road.wall[how], road.processor[how], processor, road.peak_mb)
        print(f"{'':<26}{road.wall[how] / wall:>8.2f} of the bare chain's wall clock")


def show_cold_start(minute: Path, folder: Path) -> None:
    command = [sys.executable, "-m", "mmmie", "analyze", str(minute), "--offline", "--quiet", "--out", str(folder)]
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    ours = time.perf_counter() - began
    began = time.perf_counter()
    in_a_process(bare_chain, [minute])
    bare = time.perf_counter() - began
    print(f"\ncold start, to the result of a minute: {ours:.1f} s, bare chain {bare:.1f} s ({ours / bare:.2f} of it)")


def show_memory(clip: Path, folder: Path, minutes: Sequence[float]) -> None:
    print(f"\n{'minutes':<26}{'wall':>8}{'processor':>11}{'peak MB':>9}")
    for number, length in enumerate(minutes):
        long = repeated(clip, folder / f"long{number}.mp4", 60 * length)
        spent = in_a_process(analyze_once, long, folder / f"long{number}")
        wall, processor = (values["whole"] / (60 * length) for values in (spent.wall, spent.processor))
        print(f"{length:<26g}{wall:>8.4f}{processor:>11.4f}{spent.peak_mb:>9.0f}", flush=True)
        long.unlink()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip", type=Path, nargs="+", help="videos to measure on")
    parser.add_argument("--minutes", type=float, nargs="*", default=[5.0, 30.0], help="lengths; 180 takes a while")
    parser.add_argument("--quick", action="store_true", help="a smoke run on six seconds")
    asked = parser.parse_args()
    from mmmie.media.files import probe

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        made = asked.clip or [talking_head(folder / "talking.mp4", 6 if asked.quick else 60)]
        clips = [clip.resolve() for clip in made]
        minute = repeated(clips[0], folder / "minute.mp4", 6 if asked.quick else 60)
        seconds = sum(probe(clip).duration_seconds for clip in clips)
        show_stages(clips, folder, ("media", REPORT) if asked.quick else (*STAGES, REPORT), seconds)
        show_cold_start(minute, folder)
        show_memory(clips[0], folder, [0.1] if asked.quick else asked.minutes)
    print("\naims: .10 with recognition and .05 without, on 2 cores; below 15 s cold; below 1500 MB, however long")


if __name__ == "__main__":
    main()
