"""The loss of the method: a sum of named terms, each in nats or in units of the label.

    L = task - sum over pairs w I_low(F_m; F_n) + sum over modalities lambda_m I_up(X_m; F_m)

A system to compare with brings its own summands in place of the two sums.

Shapes: N distinct utterances, B targets, D width.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import torch
from torch import Tensor, nn

from mmmie.corpus.batching import Batch
from mmmie.learning.assembly import Shape
from mmmie.mi.conditional import GaussianConditional, batch_log_marginal
from mmmie.mi.critics import CRITICS
from mmmie.mi.diagnostics import mean_share, trace_covariance
from mmmie.mi.estimate import Estimate
from mmmie.mi.lower_bounds import barber_agakov, donsker_varadhan, infonce, jsd_loss
from mmmie.mi.negatives import negatives_mask, same_video_share
from mmmie.mi.rate import RateController
from mmmie.mi.sandwich import leave_one_out, sandwich
from mmmie.mi.upper_bounds import LearnedMarginal, vclub, vib_learned_marginal
from mmmie.models.encoders import Representation
from mmmie.models.network import Prediction
from mmmie.models.systems import Reading, SystemLosses
from mmmie.settings import MaximisationSettings, MinimisationSettings, Recipe

Q_LEARNING_RATE = 2e-3
Q_STEPS = 2
RATIO_EVERY = 8
"""The gradient ratio is measured every so many steps; it is an average over many anyway."""
MOST_MEASURED = 2048
"""Utterances over which the sandwich is measured on valid; its gap is (e^2I - 1) / N."""


@dataclass(frozen=True)
class Term:
    """One summand of the loss."""

    name: str
    """`task`, `max text-audio`, `min vision`, ...; a system's own names."""
    value: Tensor
    """Scalar: nats, or units of the label for the task."""
    weight: float
    """Signed: the loss is the sum of weight * value, unless a term is trained through `loss`."""
    loss: Tensor | None = None
    """What is trained in place of the value, where the two differ (JSD)."""
    saturated: bool = False

    @property
    def contribution(self) -> Tensor:
        return self.weight * self.value if self.loss is None else abs(self.weight) * self.loss


class Objective(nn.Module):
    """All that is trained beside the network itself, and the sum that trains both.

    Args:
        recipe: its `maximise` and `minimise`.
        shapes: of the modalities.
        num_steps: of the whole training, for the warm-ups.
        own: what the recipe's system trains beside the task.
        centre, scale: of the labels, in which the system works.
    """

    def __init__(
        self,
        recipe: Recipe,
        shapes: Mapping[str, Shape],
        num_steps: int,
        own: SystemLosses | None = None,
        centre: float = 0.0,
        scale: float = 1.0,
    ) -> None:
        super().__init__()
        self.own, self.centre, self.scale = own, centre, scale
        self.maximise = _Maximisation(recipe.maximise, tuple(shapes), recipe.model.width, num_steps)
        self.minimise = _Minimisation(
            recipe.minimise, shapes, recipe.model.width, num_steps, recipe.training.batch_utterances
        )

    def forward(self, prediction: Prediction, batch: Batch, step: int) -> tuple[Term, ...]:
        """The terms of one batch."""
        task = Term("task", (prediction.score_B - batch.label_B).abs().mean(), 1.0)
        tokens = prediction.representations
        maximised = self.maximise(tokens, batch.video_N, step)
        minimised = self.minimise(tokens, step)
        if self.training and step % RATIO_EVERY == 0 and task.value.requires_grad:
            means = [r.mean_ND for r in tokens.values()]
            task_norm = _gradient_norm(task.value, means)
            self.maximise.balance(task_norm, [t for t in maximised if not t.saturated], means)
            self.minimise.balance(task_norm, minimised, means)
        return (task, *maximised, *minimised, *self._own_terms(prediction, batch))

    def _own_terms(self, prediction: Prediction, batch: Batch) -> list[Term]:
        if self.own is None:
            return []
        score_B, label_B = ((x - self.centre) / self.scale for x in (prediction.score_B, batch.label_B))
        losses = self.own(Reading(score_B, prediction.kept), label_B, batch.target_B)
        return [Term(loss.name, loss.value, loss.weight) for loss in losses]

    @property
    def ratios(self) -> dict[str, float]:
        """Norm of the task's gradient at the representations over that of the terms', per unit of weight."""
        return {"max": float(self.maximise.ratio)} | {
            f"min {name}": float(ratio) for name, ratio in self.minimise.ratios.items()
        }

    def learn_q(self, representations: Mapping[str, Representation]) -> None:
        """The steps of vCLUB's learned q, which has an optimizer of its own."""
        self.minimise.learn_q(representations)

    @property
    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """Those of the learned parts that the main optimizer must not touch."""
        return {} if self.minimise.q_optimizer is None else {"q": self.minimise.q_optimizer}

    def parameters_of_loss(self) -> Iterable[nn.Parameter]:
        """Critics and marginals: what the sum itself trains."""
        yield from self.maximise.critics.parameters()
        yield from self.minimise.marginals.parameters()
        if self.own is not None:
            yield from self.own.parameters()

    @torch.no_grad()
    def measure(self, representations: Mapping[str, Representation], video_N: Tensor) -> dict[str, Any]:
        """What is to be said of held-out representations: bounds, intervals, and the signs of collapse."""
        report: dict[str, Any] = {}
        for term in self.maximise(representations, video_N, step=0):
            report[term.name] = {"nats": float(term.value), "saturated": term.saturated}
        if len(video_N) > 1:
            report["same_video_share"] = same_video_share(video_N)
        for name, representation in representations.items():
            chosen = representation.present_N.nonzero()[:, 0][:MOST_MEASURED]
            mean_ND = representation.mean_ND[chosen]
            if len(chosen) < 2:
                continue
            said: dict[str, Any] = {
                "mean_share": float(mean_share(mean_ND)),
                "trace_covariance": float(trace_covariance(mean_ND)),
                "utterances": len(chosen),
            }
            noise_D = representation.noise_D
            if noise_D is not None:
                interval = sandwich(representation.sample_ND[chosen], mean_ND, noise_D)
                said["interval_nats"] = [float(interval.lower.value), float(interval.upper.value)]
                said["saturated"] = interval.lower.saturated
                said["noise"] = [float(noise_D.min()), float(noise_D.mean()), float(noise_D.max())]
            said |= self.minimise.report(name, representation)
            report[f"min {name}"] = said
        return report


class _Maximisation(nn.Module):
    """A lower bound between each modal pair, over the utterances that have both."""

    ratio: Tensor

    def __init__(self, settings: MaximisationSettings, modalities: tuple[str, ...], width: int, num_steps: int) -> None:
        super().__init__()
        self.settings = settings
        self.warmup_steps = max(1, round(settings.warmup * num_steps))
        self.pairs = [
            (m, n)
            for m, n in combinations(modalities, 2)
            if settings.estimator != "none" and settings.scale.get(f"{m}-{n}", 1.0) > 0
        ]
        make = GaussianConditional if settings.estimator == "barber_agakov" else CRITICS[settings.critic]
        self.critics = nn.ModuleDict({f"{m}-{n}": make(width, width) for m, n in self.pairs})
        self.register_buffer("ratio", torch.tensor(0.0, dtype=torch.float64))

    def weight(self, pair: str, step: int) -> float:
        """Per nat: the fixed one, or the share of the task's gradient; rising over the warm-up."""
        settings = self.settings
        share = settings.gradient_share
        full = (settings.weight or 0.0) if share is None else share * float(self.ratio)
        return full * settings.scale.get(pair, 1.0) * min(1.0, (step + 1) / self.warmup_steps)

    def forward(self, representations: Mapping[str, Representation], video_N: Tensor, step: int) -> list[Term]:
        terms = []
        for m, n in self.pairs:
            both = (representations[m].present_N & representations[n].present_N).nonzero()[:, 0]
            if len(both) < 2:
                continue
            x_ND, y_ND = representations[m].sample_ND[both], representations[n].sample_ND[both]
            if self.settings.shuffle_pairs:
                y_ND = y_ND.roll(len(both) // 2, 0)
            name = f"{m}-{n}"
            estimate, loss = self._bound(name, x_ND, y_ND, video_N[both])
            if estimate is not None:
                weight = 0.0 if estimate.saturated else -self.weight(name, step)
                terms.append(Term(f"max {name}", estimate.value, weight, loss, estimate.saturated))
        return terms

    def _bound(self, pair: str, x_ND: Tensor, y_ND: Tensor, video_N: Tensor) -> tuple[Estimate | None, Tensor | None]:
        critic = self.critics[pair]
        if isinstance(critic, GaussianConditional):
            if self.training:
                critic.observe(y_ND)
            return barber_agakov(critic.log_prob(x_ND, y_ND), batch_log_marginal(y_ND)), None
        kind = self.settings.negatives
        negatives_NN = None if kind == "all" else negatives_mask(video_N, kind)
        if negatives_NN is not None and not negatives_NN.any():
            return None, None
        scores_NN = critic(x_ND, y_ND)
        if self.settings.estimator == "jsd":
            return donsker_varadhan(scores_NN, negatives_NN), jsd_loss(scores_NN, negatives_NN)
        return infonce(scores_NN, negatives_NN), None

    def balance(self, task_norm: float, terms: list[Term], means: list[Tensor]) -> None:
        """Follows how strong the task's gradient is against that of all terms together."""
        if terms and self.settings.gradient_share is not None:
            total = torch.stack([t.value if t.loss is None else -t.loss for t in terms]).sum()
            _follow(self.ratio, task_norm, _gradient_norm(total, means))


class _Minimisation(nn.Module):
    """An upper bound between each modality's input and its representation, over the utterances that have it."""

    def __init__(
        self,
        settings: MinimisationSettings,
        shapes: Mapping[str, Shape],
        width: int,
        num_steps: int,
        batch_utterances: int,
    ) -> None:
        super().__init__()
        self.settings = settings
        self.warmup_steps = max(1, round(settings.warmup * num_steps))
        kind = settings.estimator
        names = [name for name in shapes if kind != "none" and settings.scale.get(name, 1.0) > 0]  # type: ignore[call-overload]
        self.names = names
        self.marginals = nn.ModuleDict({name: LearnedMarginal(width) for name in names if kind == "vib"})
        self.q = nn.ModuleDict(
            {name: GaussianConditional(shapes[name].input_dim, width) for name in names if kind == "vclub"}
        )
        self.open_gates = nn.ParameterDict({name: _scalar(0.0) for name in self.q})
        self.q_optimizer = torch.optim.Adam(self.q.parameters(), Q_LEARNING_RATE) if len(self.q) else None
        self.ratios = nn.ParameterDict({name: _scalar(0.0) for name in names})
        self.controllers = nn.ModuleDict()
        if settings.target_nats is not None:
            visible = batch_utterances if kind == "leave_one_out" else None
            for name in names:
                self.controllers[name] = RateController(
                    settings.target_nats,
                    visible,
                    weight=settings.weight,
                    weight_max=settings.weight_max,
                    rate=settings.rate,
                )

    def forward(self, representations: Mapping[str, Representation], step: int) -> list[Term]:
        terms = []
        for name in self.names:
            representation = representations[name]
            here = representation.present_N.nonzero()[:, 0]
            if len(here) < 2:
                continue
            estimate = self._bound(name, representation, here)
            weight = self._weight(name, estimate, step)
            terms.append(Term(f"min {name}", estimate.value, weight, saturated=estimate.saturated))
        return terms

    def _bound(self, name: str, representation: Representation, here: Tensor) -> Estimate:
        mean_ND = representation.mean_ND[here]
        kind = self.settings.estimator
        if kind == "trace_covariance":
            return Estimate(trace_covariance(mean_ND), "regulariser", len(here), False)
        if kind == "vclub":
            q = self.q[name]
            assert isinstance(q, GaussianConditional)
            return vclub(q, representation.input_NX[here], representation.sample_ND[here])
        assert representation.noise_D is not None
        if kind == "vib":
            marginal = self.marginals[name]
            assert isinstance(marginal, LearnedMarginal)
            return vib_learned_marginal(mean_ND, representation.noise_D, marginal)
        return leave_one_out(representation.sample_ND[here], mean_ND, representation.noise_D)

    def _weight(self, name: str, estimate: Estimate, step: int) -> float:
        weight = self.settings.weight
        if name in self.controllers:
            controller = self.controllers[name]
            assert isinstance(controller, RateController)
            weight = controller.weight
            if self.training and bool(torch.isfinite(estimate.value)):
                controller.update(estimate.value)
        if name in self.q and not float(self.open_gates[name]):
            return 0.0
        if self.settings.gradient_share is not None:
            weight = min(weight, self.settings.gradient_share * float(self.ratios[name]))
        ramp = min(1.0, (step + 1) / self.warmup_steps)
        return weight * self.settings.scale.get(name, 1.0) * ramp  # type: ignore[call-overload, no-any-return]

    def balance(self, task_norm: float, terms: list[Term], means: list[Tensor]) -> None:
        """Follows how strong the task's gradient is against that of each term."""
        if self.settings.gradient_share is not None:
            for term in terms:
                _follow(self.ratios[term.name.removeprefix("min ")], task_norm, _gradient_norm(term.value, means))

    def learn_q(self, representations: Mapping[str, Representation]) -> None:
        if self.q_optimizer is None:
            return
        for _ in range(Q_STEPS):
            losses = []
            for name, q in self.q.items():
                here = representations[name].present_N.nonzero()[:, 0]
                assert isinstance(q, GaussianConditional)
                if len(here) > 1:
                    losses.append(q.loss(representations[name].input_NX[here], representations[name].sample_ND[here]))
            if losses:
                self.q_optimizer.zero_grad()
                torch.stack(losses).sum().backward()  # type: ignore[no-untyped-call]
                self.q_optimizer.step()

    def report(self, name: str, representation: Representation) -> dict[str, Any]:
        """Held-out Barber-Agakov value of q, which opens or shuts the gate of its vCLUB term."""
        if name not in self.q:
            return {}
        q = self.q[name]
        assert isinstance(q, GaussianConditional)
        here = representation.present_N.nonzero()[:, 0]
        x_NX, y_ND = representation.input_NX[here], representation.sample_ND[here]
        value = float(barber_agakov(q.log_prob(x_NX, y_ND), q.log_marginal(y_ND)).value)
        self.open_gates[name].fill_(float(value > 0))
        return {"q_barber_agakov": value, "vclub": float(vclub(q, x_NX, y_ND).value), "gate_open": value > 0}


def _scalar(value: float) -> nn.Parameter:
    """A number that is saved with the module, and not trained."""
    return nn.Parameter(torch.tensor(value, dtype=torch.float64), requires_grad=False)


@torch.no_grad()
def _follow(ratio: Tensor, task_norm: float, own_norm: float) -> None:
    """Moving average of task_norm / own_norm, beginning with its first value."""
    if own_norm > 0:
        now = task_norm / own_norm
        ratio.fill_(now if float(ratio) == 0 else 0.9 * float(ratio) + 0.1 * now)


def _gradient_norm(value: Tensor, samples: list[Tensor]) -> float:
    """Over the samples that learn: what a regression predicts is fixed."""
    learning = [sample for sample in samples if sample.requires_grad]
    if not learning or not value.requires_grad:
        return 0.0
    gradients = torch.autograd.grad(value, learning, retain_graph=True, allow_unused=True)
    return math.sqrt(sum(float(g.square().sum()) for g in gradients if g is not None))
