"""How long an analysis of many files will still take, by what their stages have taken so far.

    seconds of a stage = its rate x seconds of media
    a file   = media, then the longer of (speech ... utterances) and faces, then voice ... report
    the call = what is at work and what waits, given in order to whichever worker is free first

Rates begin at those of the packaged models and are learned from every stage that ended, and from one that says how far
it is while it goes on; a stage that has not come yet is taken to be as much slower or faster as the others were.
"""

import heapq
import re
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from mmmie.analysis.request import Input, Request
from mmmie.jobs import Event

RATES = {
    "media": 0.005,
    "speech": 0.004,
    "transcript": 0.035,
    "speakers": 0.005,
    "utterances": 0.0,
    "faces": 0.06,
    "voice": 0.006,
    "features": 0.001,
    "prediction": 0.005,
    "report": 0.002,
}
"""Seconds for a second of media, on one thread each; where a call begins."""
HEARING = ("speech", "transcript", "speakers", "utterances")
"""What goes on while faces are looked for."""
AFTERWARDS = ("voice", "features", "prediction", "report")
TRUST_SECONDS = 30.0
"""Of media: for how much experience the rates above stand."""
TRUST_PACE_SECONDS = 1.0
"""Of work: for how much experience it stands that this machine is as fast as they say."""
LASTS, AT = re.compile(r"lasts ([\d.]+) s"), re.compile(r"at ([\d.]+) s")
"""States by which a worker says how long the media is, and how far into it a stage has come."""


class _Experience(NamedTuple):
    """What is known of a stage: seconds of work, of the media they were for, and of the media that took any work."""

    taken: float = 0.0
    media: float = 0.0
    worked: float = 0.0

    def and_also(self, taken: float, media: float) -> "_Experience":
        return _Experience(self.taken + taken, self.media + media, self.worked + (media if taken > 0 else 0.0))

    def until(self, better: "_Experience") -> "_Experience":
        """Added to a better experience; the more there is of that, the less this counts, and nothing in the end."""
        share = max(0.0, 1 - better.media / self.media) if self.media else 0.0
        return _Experience(*(b + share * mine for mine, b in zip(self, better, strict=True)))


@dataclass
class _Stage:
    began: float | None = None
    reached: float = 0.0
    """Seconds of media, at the time `heard`."""
    heard: float = 0.0
    taken: float | None = None
    """Seconds of work, once it ended; None as well where it was kept and so says nothing of its rate."""
    ended: bool = False


@dataclass
class _File:
    num_bytes: int
    kind: str
    duration: float | None = None
    stages: dict[str, _Stage] = field(default_factory=dict)
    heard: float = 0.0
    """When anything was heard of it."""

    def experience(self, stage: str) -> tuple[float, float]:
        """Seconds of work, and the seconds of media that they were for."""
        known = self.stages.get(stage)
        if known is None or self.duration is None:
            return 0.0, 0.0
        if known.taken is not None:
            return known.taken, self.duration
        if known.began is not None and known.reached > 0 and not known.ended:
            return known.heard - known.began, min(known.reached, self.duration)
        return 0.0, 0.0


class TimeLeft:
    """Told of every event of a call, gives the seconds until its end.

    Args:
        items: all files, in the order in which they are taken.
        jobs: how many are at work at once.
        stages: those that a file will go through.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        items: Sequence[Input],
        jobs: int = 1,
        stages: Collection[str] = tuple(RATES),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._jobs, self._clock = jobs, clock
        self._stages = [stage for stage in RATES if stage in stages]
        self._files = {item: _File(_bytes(item), item.media.suffix.lower()) for item in items}
        self._waiting = dict(self._files)
        self._at_work: dict[Input, _File] = {}
        self._learned = {stage: _Experience() for stage in self._stages}
        """In files that have ended."""
        self._loading = dict(self._learned)
        """In the first file of each worker, where a stage loads its networks as well."""
        self._loaded = dict.fromkeys(self._stages, 0)
        self._lengths: dict[str, tuple[float, int]] = {}
        """By suffix the seconds and bytes of the files whose duration is known."""

    def hear(self, event: Event[Input]) -> None:
        """Learns from an event; one about a file that is not of this call is an error of the caller's."""
        file, now = self._files[event.item], self._clock()
        self._waiting.pop(event.item, None)
        if event.ended:
            if self._at_work.pop(event.item, None) is not None:
                self._learn(file, event, now)
            return
        self._at_work[event.item] = file
        stage = file.stages.setdefault(event.stage, _Stage())
        file.heard = stage.heard = now
        if event.state == "begun":
            stage.began = now
        elif lasts := LASTS.fullmatch(event.state):
            file.duration = float(lasts[1])
            seconds, num_bytes = self._lengths.get(file.kind, (0.0, 0))
            self._lengths[file.kind] = seconds + file.duration, num_bytes + file.num_bytes
        elif at := AT.fullmatch(event.state):
            stage.reached = float(at[1])
        else:
            stage.ended = True
            if event.state == "skipped":
                stage.taken = 0.0
            elif event.state != "kept" and stage.began is not None:
                stage.taken = now - stage.began

    def seconds(self) -> float | None:
        """Until the last file ends; None while nothing is known of the length of any."""
        if not self._waiting and not self._at_work:
            return 0.0
        rates = self.rates()
        of_waiting = [self._cost(file, rates) for file in self._waiting.values()]
        of_begun = [self._cost(file, rates) for file in self._at_work.values()]
        if None in of_waiting or None in of_begun:
            return None
        workers = sorted(cost for cost in of_begun if cost is not None)
        workers = [0.0] * (self._jobs - len(workers)) + workers
        for cost in of_waiting:
            heapq.heapreplace(workers, workers[0] + (cost or 0.0))
        return max(workers)

    def seconds_of(self, item: Input) -> float | None:
        """Until this file ends, once it is at work; None where its length is not known."""
        return self._cost(self._files[item], self.rates())

    def share_of(self, item: Input) -> float:
        """How much of a file's time is over, from 0 to 1."""
        file, rates = self._files[item], self.rates()
        left, whole = (self._cost(f, rates) for f in (file, _File(file.num_bytes, file.kind, file.duration)))
        return 0.0 if left is None or not whole else min(1.0, max(0.0, 1 - left / whole))

    def rates(self) -> dict[str, float]:
        """By stage seconds of work for a second of media, as far as is known."""
        known = dict(self._learned)
        for file in self._at_work.values():
            known = {stage: all_before.and_also(*file.experience(stage)) for stage, all_before in known.items()}
        known = {stage: self._loading[stage].until(better) for stage, better in known.items()}
        taken = sum(experience.taken for experience in known.values())
        expected = sum(RATES[stage] * experience.worked for stage, experience in known.items())
        pace = (TRUST_PACE_SECONDS + taken) / (TRUST_PACE_SECONDS + expected)
        return {
            stage: (TRUST_SECONDS * pace * RATES[stage] + experience.taken) / (TRUST_SECONDS + experience.media)
            for stage, experience in known.items()
        }

    def _cost(self, file: _File, rates: Mapping[str, float]) -> float | None:
        duration = file.duration if file.duration is not None else self._likely_duration(file)
        if duration is None:
            return None
        left = {stage: self._left(file, stage, rate * duration) for stage, rate in rates.items()}
        hearing, afterwards = (sum(left.get(stage, 0.0) for stage in group) for group in (HEARING, AFTERWARDS))
        return left.get("media", 0.0) + max(hearing, left.get("faces", 0.0)) + afterwards

    def _left(self, file: _File, stage: str, whole: float) -> float:
        known = file.stages.get(stage)
        if known is None or (known.began is None and not known.ended):
            return whole
        if known.ended or known.began is None:
            return 0.0
        if known.reached > 0 and file.duration:
            return max(0.0, whole * (1 - known.reached / file.duration) - (self._clock() - known.heard))
        working = self._clock() - known.began
        return max(whole - working, working / 10)  # it is not over yet, whatever was expected

    def _likely_duration(self, file: _File) -> float | None:
        """By its bytes, as others of its kind, or else all others, have them."""
        of_kind = self._lengths.get(file.kind, (0.0, 0))
        seconds, num_bytes = of_kind if of_kind[1] else map(sum, zip((0.0, 0), *self._lengths.values(), strict=True))
        return file.num_bytes * seconds / num_bytes if num_bytes else None

    def _learn(self, file: _File, event: Event[Input], now: float) -> None:
        """Keeps what a file that ended has taught; of a complete one also which stages there was no need for."""
        if event.state == "complete":
            file.stages["report"] = _Stage(taken=now - file.heard, ended=True)
            for stage in self._stages:
                file.stages.setdefault(stage, _Stage(taken=0.0, ended=True))
        for stage in self._stages:
            if stage in file.stages and file.stages[stage].ended:
                taken, media = file.experience(stage)
                first = taken > 0 and self._loaded[stage] < self._jobs
                self._loaded[stage] += first
                place = self._loading if first else self._learned
                place[stage] = place[stage].and_also(taken, media)


def stages_of(request: Request) -> tuple[str, ...]:
    """The stages that a file has to go through when this is asked of it."""
    wants, given = request.settings.modalities, request.transcript is not None
    needless = set()
    if "vision" not in wants:
        needless.add("faces")
    if "audio" not in wants:
        needless.add("voice")
    if given:
        needless.add("transcript")
    if "audio" not in wants and (given or "text" not in wants):
        needless |= {"speech", "speakers"}
    return tuple(stage for stage in RATES if stage not in needless)


def _bytes(item: Input) -> int:
    try:
        return item.media.stat().st_size
    except OSError:  # gone since it was named; its analysis says so
        return 0
