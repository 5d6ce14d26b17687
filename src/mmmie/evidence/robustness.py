"""How a run's scores fare when part of the test input is missing, has gaps, lacks words, or is noisy.

What is taken away is masked, as everything missing is. Noise is Gaussian, in units of each column's deviation over
train. A text without some of its words is read by the encoder again. Every choice is drawn from a fixed seed and the
row (words: the utterance's id), so that all runs on one corpus meet the same damage.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from hashlib import sha256
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mmmie.corpus.store import Bools, Corpus, Floats, Ints, Part
from mmmie.errors import EvidenceError
from mmmie.evidence.evaluation import open_test
from mmmie.evidence.metrics import Metrics, measure
from mmmie.evidence.predictions import replacing

if TYPE_CHECKING:
    from mmmie.corpus.batching import Inputs, SequenceGroup, Source
    from mmmie.learning.run import Run

ROBUSTNESS_FILE = "robustness.json"
SCORES_FILE = "robustness.parquet"
WORD_DROPOUT = "word dropout"
LEVELS = {"gaps": (0.25, 0.5, 0.75, 1.0), "noise": (0.5, 1.0, 2.0, 4.0), WORD_DROPOUT: (0.1, 0.3, 0.5)}
"""Share of frames that is masked; deviations of noise; chance of a word to be left out."""
SEED = 20220111
ONE = np.ones(1, dtype=np.bool_)


@dataclass(frozen=True)
class Condition:
    """One kind of damage to the test input."""

    kind: str
    """`none`, `only` (these modalities are left), `gaps` (a share of a modality's frames is masked, the whole utterance
    where it is a single vector), `noise`, `word dropout`."""
    modalities: tuple[str, ...] = ()
    level: float = 0.0

    @property
    def name(self) -> str:
        if self.kind == "none":
            return "as it is"
        named = "+".join(self.modalities)
        if self.kind == "only":
            return f"only {named}"
        return f"{named} {self.kind} {self.level:g}"


@dataclass(frozen=True)
class Robustness:
    """What one run scores under every condition, the first being none."""

    conditions: tuple[Condition, ...]
    metrics: tuple[Metrics, ...]

    def curve(self, kind: str, modality: str) -> list[tuple[float, Metrics]]:
        """Level and metrics of one kind of damage to one modality, from level 0 on."""
        found = [(0.0, self.metrics[0])]
        for condition, metrics in zip(self.conditions, self.metrics, strict=True):
            if condition.kind == kind and condition.modalities == (modality,):
                found.append((condition.level, metrics))
        return found

    def area(self, kind: str, modality: str, metric: str = "mae") -> float:
        """Mean of a metric along a curve: its area over the width of its levels; NaN where there is none."""
        curve = self.curve(kind, modality)
        if len(curve) < 2:
            return float("nan")
        levels, values = np.array([level for level, _ in curve]), np.array([m.value(metric) for _, m in curve])
        return float(np.trapezoid(values, levels) / np.ptp(levels))

    @classmethod
    def read(cls, run: "Run") -> Self:
        """The stored robustness of a run's present weights.

        Raises:
            EvidenceError: there is none, it is damaged, of other weights, or of other conditions than are measured now.
        """
        path = run.path / ROBUSTNESS_FILE
        try:
            values = json.loads(path.read_text("utf-8"))
            if values["checkpoint_sha256"] != run.contract.get("sha256"):
                raise EvidenceError(f"{path} is of other weights than the run has now. Measure it again.")
            conditions = tuple(Condition(**{**c, "modalities": tuple(c["modalities"])}) for c in values["conditions"])
            if conditions != _conditions_of(run):
                raise EvidenceError(f"{path} has other conditions than are measured now. Measure it again.")
            return cls(conditions, tuple(Metrics.from_json(m) for m in values["metrics"]))
        except FileNotFoundError:
            raise EvidenceError(f"no robustness at {path}. A study with `robustness = true` measures it.") from None
        except (KeyError, TypeError, ValueError) as error:
            raise EvidenceError(f"{path} is damaged: {error!r}. Remove it, and measure it again.") from None


def stored_scores(run: "Run") -> pa.Table:
    """The rows of `robustness.parquet`: video, index, label, and a column of scores for each condition, in order."""
    return pq.read_table(run.path / SCORES_FILE)


def recompute(run: "Run") -> tuple[dict[str, Any], list[dict[str, float | None]], str]:
    """What robustness.json says, the metrics of the scores that lie beside it, and the sha256 of those."""
    described = json.loads((run.path / ROBUSTNESS_FILE).read_text("utf-8"))
    table = stored_scores(run)
    labels, (low, high) = table.column("label").to_numpy(), described["label_range"]
    again = [measure(labels, table.column(name).to_numpy(), (low, high)).to_json() for name in table.column_names[3:]]
    return described, again, sha256((run.path / SCORES_FILE).read_bytes()).hexdigest()


def conditions_for(modalities: Sequence[str], text_is_frozen: bool = True) -> tuple[Condition, ...]:
    """As it is, every proper subset of the modalities, gaps and noise in each one, word dropout in text.

    Args:
        modalities: of the run.
        text_is_frozen: False: text is read as tokens, which know neither gaps nor noise of this kind.
    """
    found = [Condition("none")]
    for size in range(1, len(modalities)):
        found += [Condition("only", subset) for subset in combinations(modalities, size)]
    for name in modalities:
        kinds = ["gaps", "noise"] if name != "text" or text_is_frozen else []
        kinds += [WORD_DROPOUT] if name == "text" else []
        found += [Condition(kind, (name,), level) for kind in kinds for level in LEVELS[kind]]
    return tuple(found)


def _conditions_of(run: "Run") -> tuple[Condition, ...]:
    return conditions_for(tuple(run.contract["modalities"]), run.recipe.text.depth == "frozen")


def measure_robustness(run: "Run", corpus: Corpus | None = None) -> Robustness:
    """Scores the test split under every condition, and keeps metrics and scores in the run folder.

    Args:
        run: finished.
        corpus: that the run was trained on, where it has moved.

    Raises:
        EvidenceError, CorpusError, CheckpointError: as `evaluate`.
    """
    corpus = corpus or Corpus.open(run.corpus_path)
    test = open_test(run, corpus)
    conditions = _conditions_of(run)
    scores_CN = scores_under(run, test, conditions)
    labels = np.asarray(test.labels, dtype=np.float64)
    label_range = (float(corpus.info.label_min), float(corpus.info.label_max))
    found = Robustness(conditions, tuple(measure(labels, scores, label_range) for scores in scores_CN))
    table = pa.table(
        {"video": test.videos, "index": test.indices, "label": labels}
        | {f"{number} {c.name}": scores for number, (c, scores) in enumerate(zip(conditions, scores_CN, strict=True))}
    )
    with replacing(run.path / SCORES_FILE) as parquet, replacing(run.path / ROBUSTNESS_FILE) as description:
        pq.write_table(table, parquet)
        values = {
            "checkpoint_sha256": run.contract["sha256"],
            "corpus_fingerprint": corpus.info.fingerprint,
            "label_range": list(label_range),
            "scores_sha256": sha256(Path(parquet).read_bytes()).hexdigest(),
            "conditions": [asdict(condition) for condition in conditions],
            "metrics": [metrics.to_json() for metrics in found.metrics],
        }
        description.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
    return found


def scores_under(run: "Run", part: Part, conditions: Sequence[Condition]) -> list[Floats]:
    """(N,) scores of the rows of a part under each condition; the network and its inputs are loaded once."""

    from mmmie.corpus.batching import Batcher
    from mmmie.device import compute_device
    from mmmie.learning.assembly import sources_of
    from mmmie.learning.prediction import load_model
    from mmmie.learning.validation import scores_of
    from mmmie.models.encoders import SequenceEncoder

    model = load_model(run, part)
    device = compute_device()
    model = model.to(device).eval()
    sources = sources_of(part, run.recipe, model.modalities)
    scales: dict[str, Floats] = {}
    for name, encoder in model.encoders.items():
        if isinstance(encoder.reader, SequenceEncoder):
            scale_D = np.asarray(encoder.reader.standardise.get_buffer("scale_D").cpu())
            scales[name] = np.divide(1, scale_D, out=np.zeros_like(scale_D), where=scale_D > 0)

    def under(condition: Condition) -> "Mapping[str, Source]":
        if condition.kind != WORD_DROPOUT:
            return damaged(sources, condition, scales)
        fewer_words = WordDropout(part.name, part.corpus, part.rows, condition.level)
        return {**sources, **sources_of(fewer_words, run.recipe, condition.modalities)}

    return [
        scores_of(model, Batcher(part, under(condition), run.recipe.model.context), device) for condition in conditions
    ]


@dataclass(frozen=True)
class WordDropout(Part):
    """A part whose texts lack words; what a frozen encoder makes of them is stored beside the corpus, as of any text.

    A word that is left out at one chance is left out at every higher one. A text that loses all its words is missing.
    """

    chance: float = 0.0

    @cached_property
    def texts(self) -> list[str | None]:
        return [self._fewer(text, id_) for text, id_ in zip(super().texts, self.ids, strict=True)]

    def _fewer(self, text: str | None, id_: str) -> str | None:
        words = (text or "").split()
        if not words:
            return text
        seed = int.from_bytes(sha256(id_.encode()).digest()[:8], "big")
        kept = np.random.default_rng([SEED, seed]).random(len(words)) >= self.chance
        return " ".join(word for word, stays in zip(words, kept, strict=True) if stays) or None


def damaged(
    sources: "Mapping[str, Source]", condition: Condition, deviations: Mapping[str, Floats]
) -> "dict[str, Source]":
    """The sources of a part as a condition leaves them.

    Args:
        sources: by modality.
        condition: what is done.
        deviations: by modality (D,) over train: the unit of noise.
    """
    if condition.kind == "none":
        return dict(sources)
    if condition.kind == "only":
        return {n: s if n in condition.modalities else Damaged(s, gaps=1.0) for n, s in sources.items()}
    found = dict(sources)
    for name in condition.modalities:
        if condition.kind == "gaps":
            found[name] = Damaged(sources[name], gaps=condition.level)
        else:
            found[name] = Damaged(sources[name], noise_D=condition.level * deviations[name])
    return found


@dataclass(frozen=True)
class Damaged:
    """A source with gaps or noise in it."""

    source: "Source"
    gaps: float = 0.0
    """The chance of a frame to be masked; an utterance that loses all its frames is missing."""
    noise_D: Floats | None = None

    @cached_property
    def present(self) -> Bools:
        present = self.source.present
        if self.gaps >= 1:
            return np.zeros_like(present)
        if not self.gaps or not self._single_vectors:
            return present
        return present & np.array([self._kept(row, ONE)[0] for row in range(len(present))], dtype=np.bool_)

    @cached_property
    def _single_vectors(self) -> bool:
        from mmmie.corpus.batching import FrameSource

        return not isinstance(self.source, FrameSource) or int(self.source.features.lengths.max(initial=0)) <= 1

    def collate(self, rows: Ints, videos: Ints) -> "Inputs":
        inputs = self.source.collate(rows, videos)
        return replace(inputs, groups=tuple(self._damage(group, rows) for group in inputs.groups))

    def _damage(self, group: "SequenceGroup", rows: Ints) -> "SequenceGroup":
        import torch

        values_GTD, mask_GT = group.values_GTD.clone(), group.mask_GT.clone()
        for place, row in enumerate(rows[group.rows_G.numpy()]):
            frames = int(mask_GT.shape[1])
            if self.gaps:
                mask_GT[place] = torch.from_numpy(self._kept(int(row), mask_GT[place].numpy()))
            if self.noise_D is not None:
                noise_TD = np.random.default_rng([SEED, int(row)]).standard_normal((frames, len(self.noise_D)))
                values_GTD[place] += torch.from_numpy((noise_TD * self.noise_D).astype(np.float32))
        return replace(group, values_GTD=values_GTD, mask_GT=mask_GT)

    def _kept(self, row: int, mask_T: Bools) -> Bools:
        """What is left of one utterance's frames: of a sequence one at least, unless none shall be."""
        chances_T = np.where(mask_T, np.random.default_rng([SEED, row]).random(len(mask_T)), -1.0)
        kept_T = chances_T >= self.gaps
        if not self._single_vectors and self.gaps < 1:
            kept_T[np.argmax(chances_T)] = True
        return np.asarray(kept_T & mask_T)
