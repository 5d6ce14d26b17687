"""`fit`: trains by a recipe on the train split, chooses the epoch on valid, and cannot receive test.

Every random choice of an epoch is drawn from (seed, epoch) and of a step from (seed, step), so that a run that was
killed goes on bit for bit from its last epoch; on a GPU, whose sums have no fixed order, up to rounding.
"""

import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from mmmie.corpus.batching import Batch, Batcher
from mmmie.corpus.store import Bools, Ints, TrainingParts
from mmmie.device import compute_device
from mmmie.errors import NonFiniteError, TrainingError
from mmmie.learning import parallel
from mmmie.learning.assembly import build, contract_of, fit_readouts, fit_scalers, modalities_of, shapes_of, sources_of
from mmmie.learning.checkpoint import begin_with, load_state, parameters_of, save_checkpoint, save_state
from mmmie.learning.objective import Objective, Term
from mmmie.learning.optimizing import learning_rate_factor, make_optimizer
from mmmie.learning.progress import Progress, Silent
from mmmie.learning.run import Run, check_folder, check_resumed, environment, write_json, write_whole
from mmmie.learning.validation import Validation, validate
from mmmie.models.network import Network, Prediction, with_noise
from mmmie.settings import Recipe, TrainingSettings

LABEL_DRAW = 20220112
"""Keeps the draw of the labelled utterances apart from all others of a seed."""


@dataclass
class _Journal:
    """What training remembers between epochs, apart from tensors."""

    epoch: int = 0
    step: int = 0
    best_epoch: int = -1
    best_valid_mae: float = math.inf
    seconds: float = 0.0
    lines: list[dict[str, Any]] = field(default_factory=list)


def fit(
    recipe: Recipe,
    parts: TrainingParts,
    out: str | Path,
    *,
    start: Run | None = None,
    resume: bool = False,
    progress: Progress | None = None,
) -> Run:
    """Trains by a recipe and leaves a finished run.

    Args:
        recipe: its seed included.
        parts: `corpus.training()`: train and valid, and nothing else.
        out: the run's folder.
        start: a finished run whose weights to begin with, where name and shape agree.
        resume: go on from the last finished epoch of an interrupted run; the result is that of an uninterrupted one.
        progress: where to show how it goes.

    Raises:
        TrainingError: the splits share videos, a rate that the batch cannot resolve, or a non-finite value (with term,
            utterances and epoch).
        CheckpointError: `out` holds a run already, or one of another recipe or corpus, or there is nothing to resume;
            the weights to begin with are missing, or not those that were trained.
    """
    return _Training(recipe, parts, Path(out), start, resume, progress or Silent()).run()


class _Step(nn.Module):
    """One forward pass of network and objective, in one module so that DistributedDataParallel can wrap it."""

    def __init__(self, model: Network, objective: Objective, recipe: Recipe, processes: parallel.Processes) -> None:
        super().__init__()
        self.model = model
        self.objective = objective
        self.recipe = recipe
        self.processes = processes

    def forward(self, batch: Batch, step: int) -> tuple[Prediction, tuple[Term, ...], Tensor]:
        settings = self.recipe.training
        chance = torch.Generator().manual_seed(settings.seed * 1_000_003 + step)
        names, rows = self.model.modalities, len(batch.rows_N)
        device = batch.rows_N.device
        epsilon_MND = torch.randn(len(names), rows, self.model.width, generator=chance).to(device)
        visible = _modality_dropout(batch, names, settings.modality_dropout, chance)
        representations = self.model.encode(batch, self.processes.rank)
        if self.processes.count > 1:
            representations = {
                name: parallel.gather(r, batch.shares, batch.present[name]) for name, r in representations.items()
            }
        representations = with_noise(representations, epsilon_MND)
        samples = {name: r.sample_ND for name, r in representations.items()}
        reading = self.model.read(batch, samples, visible)
        prediction = Prediction(self.model.in_label_units(reading.score_B), representations, reading.kept)
        terms = self.objective(prediction, batch, step)
        return prediction, terms, torch.stack([term.contribution for term in terms]).sum()


class _Training:
    def __init__(
        self,
        recipe: Recipe,
        parts: TrainingParts,
        out: Path,
        start: Run | None,
        resume: bool,
        progress: Progress,
    ) -> None:
        self.recipe, self.parts, self.out, self.progress = recipe, parts, out, progress
        self.processes = parallel.join()
        _check_parts(parts)
        settings = recipe.training
        state = out / "state.safetensors"
        check_folder(out, resume, recipe)
        modalities = modalities_of(recipe, parts.train)
        if not modalities:
            raise TrainingError(f"{parts.train.corpus.path} holds neither text nor features to train on")
        if not self.processes.first:
            self.processes.wait()
        sources = {part.name: sources_of(part, recipe, modalities, progress.features) for part in parts}
        if self.processes.first:
            self.processes.wait()
        torch.manual_seed(settings.seed)
        self.shapes = shapes_of(parts.train, recipe, modalities)
        self.labelled = _labelled(len(parts.train), settings)
        labels = parts.train.labels[self.labelled]
        centre = float(np.median(labels))
        model = build(recipe, self.shapes, centre, max(1e-3, float(np.abs(labels - centre).mean())))
        fit_scalers(model, sources["train"])
        fit_readouts(model, sources["train"], np.where(self.labelled, parts.train.labels, np.nan), recipe.model)
        seen = {video for part in parts for video in part.videos}
        self.videos = sorted(seen | set(start.training_videos if start is not None else ()))
        if start is not None:
            begin_with(model, start, recipe, self.shapes)
        self.device = compute_device()
        self.model = model.to(self.device)
        self.train = Batcher(parts.train, sources["train"], recipe.model.context)
        self.valid = Batcher(parts.valid, sources["valid"], recipe.model.context)
        self.num_steps = len(self._epoch_targets(0)) * settings.epochs
        self.objective = Objective(
            recipe,
            self.shapes,
            self.num_steps,
            model.fusion.make_losses(len(parts.train)),
            float(model.label_centre),
            float(model.label_scale),
        ).to(self.device)
        self.step = _Step(self.model, self.objective, recipe, self.processes)
        self.optimizer = make_optimizer(self.model, self.objective, settings)
        self.learned = {name: p.detach() for name, p in parameters_of(self.model)}
        self.averages = {name: value.clone() for name, value in self.learned.items()}
        self.journal = _Journal()
        self.contract = contract_of(recipe, parts.train, self.shapes, start.contract if start else None)
        if resume and state.is_file():
            check_resumed(Run.open(out), self.contract, self.videos)
            self._load(state)

    def run(self) -> Run:
        settings = self.recipe.training
        if self.processes.first:
            self._write_head()
        step: nn.Module = self.step
        if self.processes.count > 1:
            step = DistributedDataParallel(self.step, find_unused_parameters=True)
        try:
            with self.progress:
                while self.journal.epoch < settings.epochs and not self._out_of_patience():
                    self._epoch(step)
        except KeyboardInterrupt:
            if self.processes.first:
                self._write_status("interrupted")
            raise
        if self.processes.first:
            self._write_status("finished")
            (self.out / "state.safetensors").unlink(missing_ok=True)
        self.processes.wait()
        return Run.open(self.out)

    def _out_of_patience(self) -> bool:
        waited = self.journal.epoch - 1 - self.journal.best_epoch
        return self.journal.best_epoch >= 0 and waited >= self.recipe.training.patience

    def _epoch_targets(self, epoch: int) -> list[Ints]:
        settings = self.recipe.training
        generator = np.random.default_rng([settings.seed, epoch])
        wanted = None if self.labelled.all() else self.labelled
        passes = round(len(self.labelled) / self.labelled.sum())
        return [
            targets
            for _ in range(passes)
            for targets in self.train.shuffled(settings.batch_utterances, settings.run_length, generator, wanted)
        ]

    def _epoch(self, step: nn.Module) -> None:
        journal, settings = self.journal, self.recipe.training
        began = time.monotonic()
        torch.manual_seed(settings.seed * 7_919 + journal.epoch + 1)
        targets = self._epoch_targets(journal.epoch)
        roles = np.random.default_rng([settings.seed, journal.epoch, 1])
        sums: dict[str, float] = {}
        step.train()
        self.progress.epoch(journal.epoch, settings.epochs, len(targets))
        for chosen in targets:
            batch = self.train.batch(
                chosen,
                roles if self.recipe.model.identity.shuffle_roles else None,
                self.processes.rank,
                self.processes.count,
            ).to(self.device)
            terms = self._learn(step, batch)
            for term in terms:
                sums[term.name] = sums.get(term.name, 0.0) + float(term.value.detach()) / len(targets)
            self.progress.step({term.name: float(term.value.detach()) for term in terms})
        validation = self._validate()
        journal.seconds += time.monotonic() - began
        self._record(sums, {term.name: term.weight for term in terms}, validation)

    def _learn(self, step: nn.Module, batch: Batch) -> tuple[Term, ...]:
        settings = self.recipe.training
        factor = learning_rate_factor(self.journal.step, self.num_steps, settings.warmup)
        for group in self.optimizer.param_groups:
            group["lr"] = group["base_lr"] * factor
        prediction: Prediction
        terms: tuple[Term, ...]
        prediction, terms, total = step(batch, self.journal.step)
        if not bool(torch.isfinite(total)):
            raise self._non_finite(terms, prediction, batch)
        self.optimizer.zero_grad()
        if total.requires_grad:  # not where regressions alone were read
            total.backward()
        norm = nn.utils.clip_grad_norm_(
            [p for group in self.optimizer.param_groups for p in group["params"]], settings.gradient_clip
        )
        if not bool(torch.isfinite(norm)):
            raise NonFiniteError(
                f"the gradient became {float(norm)} in {self._when()}, on the utterances "
                f"{_some(self._ids(batch.target_B))}. Lower training.learning_rate, or look at their features."
            )
        self.optimizer.step()
        self.objective.learn_q(prediction.representations)
        self.journal.step += 1
        self._average()
        return terms

    def _average(self) -> None:
        done = self.journal.step
        decay = min(self.recipe.training.average_decay, (1 + done) / (10 + done))
        if self.recipe.training.average_decay == 0:
            decay = 0.0
        torch._foreach_lerp_([self.averages[name] for name in self.learned], list(self.learned.values()), 1 - decay)

    def _validate(self) -> Validation:
        """On the averaged weights, which are what is kept."""
        current = {name: value.clone() for name, value in self.learned.items()}
        self._put(self.averages)
        try:
            validation = validate(self.model, self.objective, self.valid, self.recipe, self.device)
            if validation.mae < self.journal.best_valid_mae and self.processes.first:
                save_checkpoint(self.out / "checkpoint", self.model, self.contract)
        finally:
            self._put(current)
        return validation

    def _put(self, values: Mapping[str, Tensor]) -> None:
        for name, value in self.learned.items():
            value.copy_(values[name])

    def _record(self, train: dict[str, float], weights: dict[str, float], validation: Validation) -> None:
        journal = self.journal
        if not math.isfinite(validation.mae):
            raise NonFiniteError(f"the valid MAE became {validation.mae} in epoch {journal.epoch + 1}")
        if validation.mae < journal.best_valid_mae:
            journal.best_epoch, journal.best_valid_mae = journal.epoch, validation.mae
        line = {
            "epoch": journal.epoch,
            "seconds": round(journal.seconds, 3),
            "train": train,
            "weights": weights,
            "gradient_ratios": self.objective.ratios,
            "valid": {"mae": validation.mae, "mae_sampled": validation.mae_sampled, "corr": validation.corr},
            "valid_information": validation.information,
        }
        journal.lines.append(line)
        journal.epoch += 1
        if self.processes.first:
            write_whole(self.out / "metrics.jsonl", "".join(json.dumps(line) + "\n" for line in journal.lines))
            save_state(
                self.out / "state.safetensors",
                {"model": self.model, "objective": self.objective},
                {"optimizer": self.optimizer, **self.objective.optimizers},
                self.averages,
                {**vars(journal)},
            )
            self._write_status("running")
        self.progress.epoch_done(line, journal.best_epoch)

    def _load(self, state: Path) -> None:
        averages, values = load_state(
            state,
            {"model": self.model, "objective": self.objective},
            {"optimizer": self.optimizer, **self.objective.optimizers},
        )
        self.averages = {name: averages[name].to(self.device) for name in self.averages}
        self.journal = _Journal(**values)

    def _write_head(self) -> None:
        self.out.mkdir(parents=True, exist_ok=True)
        write_json(self.out / "recipe.json", json.loads(self.recipe.model_dump_json()))
        write_json(self.out / "environment.json", environment())
        write_json(self.out / "training_videos.json", self.videos)
        self._write_status("running")

    def _write_status(self, state: str) -> None:
        journal = self.journal
        write_json(
            self.out / "status.json",
            {
                "state": state,
                "epochs": journal.epoch,
                "best_epoch": journal.best_epoch,
                "best_valid_mae": journal.best_valid_mae if journal.best_epoch >= 0 else None,
                "seconds": round(journal.seconds, 1),
            },
        )

    def _when(self) -> str:
        return f"epoch {self.journal.epoch + 1}, step {self.journal.step + 1}"

    def _ids(self, rows: Tensor) -> list[str]:
        return [self.parts.train.ids[row] for row in rows.tolist()]

    def _non_finite(self, terms: tuple[Term, ...], prediction: Prediction, batch: Batch) -> NonFiniteError:
        names = [term.name for term in terms if not bool(torch.isfinite(term.contribution))] or ["the sum"]
        bad = [
            row
            for representation in prediction.representations.values()
            for row in batch.rows_N[~torch.isfinite(representation.sample_ND).all(1)].tolist()
        ]
        bad += batch.target_B[~torch.isfinite(prediction.score_B)].tolist()
        who = sorted(set(bad)) or batch.target_B.tolist()
        return NonFiniteError(
            f"the term '{names[0]}' became non-finite in {self._when()}, on the utterances "
            f"{_some([self.parts.train.ids[row] for row in who])}. Look at their features with `mmmie inspect`, or "
            "lower training.learning_rate."
        )


def _modality_dropout(batch: Batch, names: tuple[str, ...], rate: float, chance: torch.Generator) -> dict[str, Tensor]:
    """By modality (N,) what may be seen: each present modality hidden at `rate`, unless it were the last."""
    present = torch.stack([batch.present[name] for name in names])
    draw = torch.rand(present.shape, generator=chance).to(present.device).masked_fill(~present, -1)
    kept = present & ((draw >= rate) | (draw == draw.max(0).values))
    return dict(zip(names, kept, strict=True))


def _labelled(rows: int, settings: TrainingSettings) -> Bools:
    """(N,) which train utterances' labels may be used; a smaller share is part of a larger one."""
    order = np.random.default_rng([settings.seed, LABEL_DRAW]).permutation(rows)
    labelled = np.zeros(rows, dtype=np.bool_)
    labelled[order[: math.ceil(settings.label_share * rows)]] = True
    return labelled


def _check_parts(parts: TrainingParts) -> None:
    if [part.name for part in parts] != ["train", "valid"]:
        raise TrainingError("fit takes corpus.training(): the train and valid splits, and no other")
    shared = set(parts.train.videos) & set(parts.valid.videos)
    if shared:
        raise TrainingError(f"the video '{min(shared)}' is in train and valid; context would leak between them")


def _some(ids: list[str]) -> str:
    return ", ".join(ids[:5]) + (f" and {len(ids) - 5} others" if len(ids) > 5 else "")
