"""What the representations of a finished run hold, measured afresh on valid: bounds, and the factors of a made corpus.

A representation is F = m(X) + s eps, noise included: its mean may hold what the noise drowns. The critics of training
have seen their rows and moved with the representations; here both are fixed, and every value is of rows that the critic
has not seen. Test is not opened.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from mmmie.corpus.store import Corpus, Part
from mmmie.errors import EvidenceError
from mmmie.evidence.predictions import replacing
from mmmie.experiments.dependence_critics import cross_fit
from mmmie.experiments.ridge import VideoBlocks, ridge_path

if TYPE_CHECKING:
    from mmmie.learning.run import Run

INFORMATION_FILE = "information.json"
FEWEST_ROWS, FEWEST_VIDEOS = 50, 10
"""With fewer a critic cannot be fitted, chosen and judged on different videos."""
COMPONENTS = 16
STRENGTHS = tuple(10.0**power for power in range(-1, 6))
TRUTH_FILE = "truth.npz"
"""Beside a generated corpus: its factors, in the corpus's order of rows."""


@dataclass(frozen=True)
class Information:
    """Of one run's representations on valid; all in nats, but the R^2 of factors."""

    intervals: Mapping[str, tuple[float, float]]
    """By modality [L, U] of I(X; F) at the kept epoch; none where the encoder has no noise."""
    pairs: Mapping[str, float]
    """By modal pair InfoNCE of a fresh critic on held-out videos, the representations being fixed: a lower bound,
    below 0 where the critic finds nothing that holds."""
    factors: Mapping[str, Mapping[str, float]]
    """By modality and factor of a generated corpus: the share of its variance that ridge finds, leaving out videos."""

    @classmethod
    def read(cls, run: "Run") -> Self:
        """The stored information of a run's present weights.

        Raises:
            EvidenceError: there is none, it is damaged, or of other weights.
        """
        path = run.path / INFORMATION_FILE
        try:
            values = json.loads(path.read_text("utf-8"))
            if values.pop("checkpoint_sha256") != run.contract.get("sha256"):
                raise EvidenceError(f"{path} is of other weights than the run has now. Measure it again.")
            intervals = {name: (float(low), float(high)) for name, (low, high) in values["intervals"].items()}
            return cls(intervals, values["pairs"], values["factors"])
        except FileNotFoundError:
            raise EvidenceError(f"no information at {path}. A study with `information = true` measures it.") from None
        except (KeyError, TypeError, ValueError) as error:
            raise EvidenceError(f"{path} is damaged: {error!r}. Remove it, and measure it again.") from None


def measure_information(run: "Run", corpus: Corpus | None = None) -> Information:
    """Measures a finished run on the valid part of its corpus, and keeps it in the run folder.

    Raises:
        EvidenceError, CorpusError, CheckpointError: the corpus or the weights are missing or do not fit.
    """
    corpus = corpus or Corpus.open(run.corpus_path)
    valid = corpus.training().valid
    samples, present = represent(run, valid)
    codes = valid.video_codes
    pairs = {}
    for m, n in combinations(samples, 2):
        both = present[m] & present[n]
        if both.sum() >= FEWEST_ROWS and len(np.unique(codes[both])) >= FEWEST_VIDEOS:
            _, groups = np.unique(codes[both], return_inverse=True)
            x_NX, y_NY = (samples[name][both].astype(np.float64) for name in (m, n))
            folds = min(5, len(np.unique(groups)) // 2)
            heldout = cross_fit(x_NX, y_NY, groups, folds, COMPONENTS, 0)
            pairs[f"{m}-{n}"] = float(heldout.terms_N["chosen"].mean())
    kept = run.history[run.status["best_epoch"]]["valid_information"]
    intervals = {
        name.removeprefix("min "): (float(said["interval_nats"][0]), float(said["interval_nats"][1]))
        for name, said in kept.items()
        if isinstance(said, dict) and "interval_nats" in said
    }
    found = Information(intervals, pairs, _factors(corpus, valid, samples, present))
    with replacing(run.path / INFORMATION_FILE) as temporary:
        values = {"checkpoint_sha256": run.contract["sha256"], **asdict(found)}
        temporary.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
    return found


def represent(run: "Run", part: Part) -> tuple[dict[str, NDArray[np.float32]], dict[str, NDArray[np.bool_]]]:
    """By modality the representations (N, D) of a part's rows in their order, their noise drawn from a fixed seed, and
    whether each is there (N,)."""
    import torch

    from mmmie.evidence.attribution import prepare
    from mmmie.learning.validation import READING_SEED

    model, batcher, device = prepare(run, part)
    found: dict[str, list[Any]] = {name: [] for name in model.modalities}
    chance = torch.Generator().manual_seed(READING_SEED)
    with torch.no_grad():
        for targets in batcher.in_order():
            batch = batcher.batch(targets).to(device)
            own = torch.searchsorted(batch.rows_N, batch.target_B)
            for name, representation in model.encode(batch).items():
                epsilon_ND = torch.randn(representation.mean_ND.shape, generator=chance).to(device)
                sample_ND = representation.sampled(epsilon_ND).sample_ND[own]
                found[name].append(sample_ND.float().cpu().numpy())
    present = {str(name): source.present for name, source in batcher.sources.items()}
    return {name: np.concatenate(parts) for name, parts in found.items()}, present


def _factors(
    corpus: Corpus, valid: Part, samples: Mapping[str, NDArray[np.float32]], present: Mapping[str, NDArray[np.bool_]]
) -> dict[str, dict[str, float]]:
    """R^2 of every true factor of a generated corpus from each modality's representations; empty for other corpora."""
    path = corpus.path / TRUTH_FILE
    if not path.is_file():
        return {}
    with np.load(path, allow_pickle=False) as truth:
        factors = {name: truth[name][valid.rows] for name in truth.files}
    found: dict[str, dict[str, float]] = {}
    for modality, sample_ND in samples.items():
        rows = present[modality]
        x = sample_ND[rows].astype(np.float64)
        x -= x.mean(axis=0)
        blocks = VideoBlocks.of(valid.video_codes[rows])
        found[modality] = {}
        for name, values in factors.items():
            y = values[rows].reshape(int(rows.sum()), -1).astype(np.float64)
            known = np.isfinite(y).all(axis=1)
            if not known.all() or name == "topic" or (y.var(axis=0) == 0).any():
                continue
            errors = np.min([fitted.error_P for fitted in ridge_path(x, y, blocks, STRENGTHS)], axis=0)
            found[modality][name] = float(np.mean(1 - errors / y.var(axis=0)))
    return found
