"""What a run's predictions are worth: intervals, the certainty of a sign, and whether the input is familiar.

Everything is fitted on valid, which chose the epoch and nothing else, and on the features of train; never on test.
It is stored in the run, as `calibration.json` and the arrays beside it, and travels with the checkpoint.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import inf, isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from mmmie.corpus.store import Bools, Corpus, Part
from mmmie.errors import EvidenceError
from mmmie.evidence import attribution
from mmmie.evidence.attribution import Doubles, Reading
from mmmie.evidence.conformal import Levels, Margins, fit_margins, subsets_of
from mmmie.evidence.familiarity import Familiarity, learn_familiarity
from mmmie.evidence.predictions import Worth, replacing

if TYPE_CHECKING:
    from mmmie.learning.run import Run

CALIBRATION_FILE = "calibration.json"
FAMILIAR_FILE = "calibration.safetensors"
TRAIN_UTTERANCES = 4_000
"""Of train, whole videos spread over it, are enough for the moments of `PROJECTED_DIM` features."""


@dataclass(frozen=True, eq=False)
class Calibration:
    """What makes a reading into intervals, abstentions and unfamiliar inputs."""

    levels: Levels
    label_range: tuple[float, float]
    modalities: tuple[str, ...]
    margins: Mapping[str, Margins]
    """By subset, as `text+audio`; `none` for what the network says having seen nothing."""
    familiar: Mapping[str, Familiarity]
    """By modality; without those that train hardly has."""
    reference: float
    """The score from which contributions count: what the network says having seen nothing."""
    checkpoint_sha256: str
    corpus_fingerprint: str
    valid_sha256: str
    """Over ids and labels of the valid utterances it was fitted on."""

    def margins_of(self, subset: str) -> Margins:
        """Those of a subset, or the widest of all where valid had too few utterances of it."""
        if subset in self.margins:
            return self.margins[subset]
        several = self.margins.values()
        return Margins(
            utterances=0,
            videos=0,
            effective=0.0,
            half_width=max((m.half_width for m in several), default=inf),
            below=max((m.below for m in several), default=inf),
            above=max((m.above for m in several), default=inf),
        )

    def outside_level(self, modality: str) -> float:
        """The p value up to which a modality's features lie outside what training saw.

        1 % where there are videos enough to tell, 5 % where there are few; with fewer than 20 nothing is outside.
        """
        return float(np.clip(2 / (1 + self.familiar[modality].num_videos), 0.01, 0.05))

    def judge(self, reading: Reading, borrow: bool = False) -> Worth:
        """What each prediction of a reading is worth.

        Args:
            reading: of utterances with these modalities, or some of them.
            borrow: where a subset has no margins of its own, take the interval of the part of it that is known best, at
                the score of that part, stretched to hold the joint score: it covers at least what that part's does.

        Raises:
            EvidenceError: the reading is of other modalities.
        """
        if reading.modalities != self.modalities:
            raise EvidenceError(
                f"the calibration is of {'+'.join(self.modalities)}, and what was read of "
                f"{'+'.join(reading.modalities)}. Calibrate the run again."
            )
        subsets = subsets_of(reading.present, self.modalities)
        lower, upper, unsure = self.bounds(reading.scores, subsets)
        for subset in set(subsets.tolist()) - set(self.margins) if borrow else ():
            rows, known = subsets == subset, self._best_part(subset)
            if known is not None:
                visible = sum(1 << self.modalities.index(name) for name in known.split("+"))
                lower[rows], upper[rows], unsure[rows] = self._stretched(
                    reading.subset_scores[visible, rows], reading.scores[rows], known
                )
        typicality, outside = np.ones(len(reading)), np.zeros(len(reading), dtype=np.bool_)
        for name, familiarity in self.familiar.items():
            has = reading.present[:, self.modalities.index(name)]
            p = np.where(has, familiarity.p_values(reading.features[name]), 1.0)
            typicality = np.minimum(typicality, p)
            outside |= p <= self.outside_level(name)
        return Worth(
            lower=lower,
            upper=upper,
            abstain=unsure | outside,
            outside=outside,
            typicality=typicality,
            modalities=subsets,
            without_context=reading.without_context,
            contributions=reading.contributions,
        )

    def _best_part(self, subset: str) -> str | None:
        """The part of a subset with the narrowest margins; None where none of its parts has any."""
        there = set(subset.split("+"))
        parts = [name for name in self.margins if name != "none" and set(name.split("+")) <= there]
        return min(parts, key=lambda name: self.margins[name].half_width, default=None)

    def _stretched(self, part: Doubles, joint: Doubles, known: str) -> tuple[Doubles, Doubles, Bools]:
        """`bounds` of the scores of a part, moved outwards where the joint score lies beyond them."""
        lower, upper, unsure = self.bounds(part, np.full(len(part), known))
        low, high = self.label_range
        inside = np.clip(joint, low, high)
        return np.minimum(lower, inside), np.maximum(upper, inside), unsure | (np.sign(part) != np.sign(joint))

    def bounds(self, scores: Doubles, subsets: Any) -> tuple[Doubles, Doubles, Bools]:
        """Lower and upper ends (N,) of the intervals, clipped to the labels' range, and (N,) where the sign is unsure.

        A sign is unsure where neither is excluded at `Levels.sign`: the label may lie below the neutral band, and it
        may lie above it. Labels that have no sign, being all on one side of 0, are never unsure of it.
        """
        names, codes = np.unique(subsets, return_inverse=True)
        margins = [self.margins_of(str(name)) for name in names]
        half, below, above = (
            np.array([getattr(m, which) for m in margins])[codes] for which in ("half_width", "below", "above")
        )
        low, high = self.label_range
        band = self.levels.neutral * (high - low)
        unsure = (scores - below < -band) & (scores + above > band) & (low < 0 < high)
        return np.clip(scores - half, low, high), np.clip(scores + half, low, high), unsure

    def write(self, folder: str | Path) -> None:
        """Writes `calibration.json` and the arrays beside it. Raises EvidenceError: they cannot be written."""
        from safetensors.numpy import save

        arrays = {f"{name}.{part}": a for name, f in self.familiar.items() for part, a in f.arrays().items()}
        content = save(arrays)
        values = {
            "levels": asdict(self.levels),
            "label_range": list(self.label_range),
            "modalities": list(self.modalities),
            "margins": {name: _without_infinity(asdict(m)) for name, m in self.margins.items()},
            "familiar": list(self.familiar),
            "reference": self.reference,
            "checkpoint_sha256": self.checkpoint_sha256,
            "corpus_fingerprint": self.corpus_fingerprint,
            "valid_sha256": self.valid_sha256,
            "familiar_sha256": hashlib.sha256(content).hexdigest(),
        }
        folder = Path(folder)
        with replacing(folder / FAMILIAR_FILE) as arrays_file, replacing(folder / CALIBRATION_FILE) as description:
            arrays_file.write_bytes(content)
            description.write_text(json.dumps(values, indent=2, allow_nan=False) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, folder: str | Path) -> Self:
        """The stored calibration of a run folder. Raises EvidenceError: there is none, or it is damaged."""
        from safetensors import SafetensorError
        from safetensors.numpy import load

        path = Path(folder) / CALIBRATION_FILE
        if not path.is_file():
            raise EvidenceError(f"no calibration at {path}. Make it with `mmmie evaluate {folder}`.")
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            content = (Path(folder) / FAMILIAR_FILE).read_bytes()
            if hashlib.sha256(content).hexdigest() != values["familiar_sha256"]:
                raise ValueError(f"{FAMILIAR_FILE} is not what was written with it")
            arrays = load(content)
            return cls(
                levels=Levels(**values["levels"]),
                label_range=(float(values["label_range"][0]), float(values["label_range"][1])),
                modalities=tuple(values["modalities"]),
                margins={name: Margins(**_with_infinity(m)) for name, m in values["margins"].items()},
                familiar={
                    name: Familiarity(**{k: arrays[f"{name}.{k}"] for k in Familiarity.__dataclass_fields__})
                    for name in values["familiar"]
                },
                reference=float(values["reference"]),
                checkpoint_sha256=values["checkpoint_sha256"],
                corpus_fingerprint=values["corpus_fingerprint"],
                valid_sha256=values["valid_sha256"],
            )
        except (KeyError, TypeError, IndexError, ValueError, OSError, AttributeError, SafetensorError) as error:
            raise EvidenceError(f"{path} is damaged: {error!r}. Remove it and evaluate the run again.") from None


def calibrate(
    run: "Run", corpus: Corpus | None = None, levels: Levels | None = None, valid: Reading | None = None
) -> Calibration:
    """The calibration of a run: the stored one where it is of these weights and levels, else fitted and stored.

    Args:
        run: finished.
        corpus: the one it was trained on; None: where it was then. Only its train and valid splits are read.
        levels: None: those stored, or the defaults.
        valid: a reading of the corpus' valid split, where the caller has one.

    Raises:
        EvidenceError: the corpus is not the one the run was trained on; a stored calibration is damaged.
        CorpusError, CheckpointError: the corpus or the weights are missing or do not fit.
    """
    if (run.path / CALIBRATION_FILE).exists():
        stored = Calibration.read(run.path)
        if stored.checkpoint_sha256 == run.contract.get("sha256") and levels in (None, stored.levels):
            return stored
    corpus = corpus or Corpus.open(run.corpus_path)
    if corpus.info.fingerprint != run.corpus_fingerprint:
        raise EvidenceError(
            f"{run.path} was trained on a corpus of fingerprint {run.corpus_fingerprint}, and {corpus.path} has "
            f"{corpus.info.fingerprint}. A run is calibrated on the valid split it was trained with."
        )
    parts = corpus.training()
    unseen = sorted({*parts.train.videos, *parts.valid.videos} - set(run.training_videos))
    if unseen:
        raise EvidenceError(
            f"{corpus.path} has other splits than {run.path} was trained with: {unseen[0]} was in neither train nor "
            "valid then, and may have been in test. Give the corpus it was trained on."
        )
    calibration = _fit(
        run, parts.train, parts.valid, valid or attribution.read_part(run, parts.valid), levels or Levels()
    )
    calibration.write(run.path)
    return calibration


def _fit(run: "Run", train: Part, valid: Part, reading: Reading, levels: Levels) -> Calibration:
    some = _spread(train)
    train_features, train_present = attribution.features_of_part(run, some)
    familiar = {}
    for m, name in enumerate(reading.modalities):
        of_train, of_valid = train_present[:, m], reading.present[:, m]
        learned = learn_familiarity(
            train_features[name][of_train],
            _where(some.videos, of_train),
            reading.features[name][of_valid],
            _where(valid.videos, of_valid),
        )
        if learned is not None:
            familiar[name] = learned
    info = valid.corpus.info
    return Calibration(
        levels=levels,
        label_range=(float(info.label_min), float(info.label_max)),
        modalities=reading.modalities,
        margins=fit_margins(reading, labels_of(valid), np.array(valid.videos), levels),
        familiar=familiar,
        reference=reading.reference,
        checkpoint_sha256=str(run.contract["sha256"]),
        corpus_fingerprint=info.fingerprint,
        valid_sha256=checksum_of(valid.ids, labels_of(valid)),
    )


def labels_of(part: Part) -> Doubles:
    """(N,) float64, as they are stored; `Part.labels` are rounded to float32."""
    return np.array([utterance.label for utterance in part], dtype=np.float64)


def checksum_of(ids: list[str], labels: Doubles) -> str:
    """sha256 over the rows a calibration was fitted on."""
    digest = hashlib.sha256("\n".join(ids).encode())
    digest.update(np.ascontiguousarray(labels, dtype="<f8").tobytes())
    return digest.hexdigest()


def _where(values: list[str], rows: Bools) -> list[str]:
    return [value for value, wanted in zip(values, rows, strict=True) if wanted]


def _spread(part: Part) -> Part:
    """Whole videos, evenly spread, of about `TRAIN_UTTERANCES` utterances."""
    step = max(1, round(len(part) / TRAIN_UTTERANCES))
    return Part(part.name, part.corpus, part.rows[part.video_codes % step == 0])


def _with_infinity(values: dict[str, Any]) -> dict[str, Any]:
    return {name: inf if value is None else value for name, value in values.items()}


def _without_infinity(values: dict[str, Any]) -> dict[str, Any]:
    """JSON has no infinity: null stands for it."""
    return {name: value if isfinite(value) else None for name, value in values.items()}
