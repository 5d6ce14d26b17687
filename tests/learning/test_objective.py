"""The loss is a sum of named terms: each by hand, each with its weight, each reaching what it should."""

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from mmmie.learning.assembly import Shape
from mmmie.learning.objective import RATIO_EVERY, Objective, Term
from mmmie.mi.conditional import batch_log_marginal
from mmmie.mi.diagnostics import trace_covariance
from mmmie.mi.lower_bounds import barber_agakov, donsker_varadhan, infonce, jsd_loss
from mmmie.mi.negatives import negatives_mask
from mmmie.mi.sandwich import leave_one_out
from mmmie.mi.upper_bounds import vclub, vib_learned_marginal
from mmmie.models.encoders import Representation
from mmmie.models.network import Prediction
from mmmie.settings import Recipe

NAMES = ("text", "audio", "vision")
WIDTH, INPUT = 16, 5
OFF = {"estimator": "none"}


def prediction(n: int = 24, noise: bool = True, shared: float = 0.0, seed: int = 0) -> Prediction:
    """Leaves of a graph: representations of which `shared` is common to the modalities, and scores made of them."""
    chance = torch.Generator().manual_seed(seed)
    common = torch.randn(n, WIDTH, generator=chance)
    found = {}
    for name in NAMES:
        own = torch.randn(n, WIDTH, generator=chance)
        mean = (math.sqrt(shared) * common + math.sqrt(1 - shared) * own).requires_grad_()
        noise_D = torch.full((WIDTH,), 0.5, requires_grad=True) if noise else None
        sample = mean if noise_D is None else mean + noise_D * torch.randn(n, WIDTH, generator=chance)
        present = torch.ones(n, dtype=torch.bool)
        found[name] = Representation(mean, sample, noise_D, present, torch.randn(n, INPUT, generator=chance))
    score = torch.stack([r.sample_ND.mean(1) for r in found.values()]).sum(0)
    return Prediction(score, found)


def batch(n: int = 24, videos: int = 6) -> Any:
    return SimpleNamespace(video_N=torch.arange(n) % videos, label_B=torch.linspace(-2, 2, n))


def objective(make: Callable[..., Recipe], steps: int = 100, **sections: Any) -> Objective:
    torch.manual_seed(3)
    shapes = {name: Shape(INPUT, False, "") for name in NAMES}
    return Objective(make(**sections), shapes, steps)


def by_name(terms: tuple[Term, ...]) -> dict[str, Term]:
    assert len({term.name for term in terms}) == len(terms)
    return {term.name: term for term in terms}


def test_the_task_alone(recipe: Callable[..., Recipe]) -> None:
    made, data = prediction(), batch()
    (task,) = objective(recipe, maximise=OFF, minimise={"estimator": "none"})(made, data, 0)
    assert task.name == "task"
    assert task.value.item() == pytest.approx(np.abs(made.score_B.detach().numpy() - data.label_B.numpy()).mean())
    assert task.weight == 1.0


@pytest.mark.parametrize("estimator", ["infonce", "jsd", "barber_agakov"])
@pytest.mark.parametrize("negatives", ["all", "across_videos", "within_video"])
def test_each_lower_bound_by_hand(recipe: Callable[..., Recipe], estimator: str, negatives: str) -> None:
    fixed = {"estimator": estimator, "negatives": negatives, "gradient_share": "none", "weight": 0.3, "warmup": 0.0}
    whole, made, data = objective(recipe, maximise=fixed, minimise=OFF), prediction(shared=0.5), batch()
    terms = by_name(whole(made, data, 0))
    assert set(terms) == {"task", "max text-audio", "max text-vision", "max audio-vision"}
    for pair in ("text-audio", "text-vision", "audio-vision"):
        x, y = (made.representations[name].sample_ND for name in pair.split("-"))
        critic, term = whole.maximise.critics[pair], terms[f"max {pair}"]
        if estimator == "barber_agakov":
            expected, loss = barber_agakov(critic.log_prob(x, y), batch_log_marginal(y)).value, None
        else:
            mask, scores = negatives_mask(data.video_N, negatives), critic(x, y)
            bound = infonce if estimator == "infonce" else donsker_varadhan
            expected, loss = bound(scores, mask).value, jsd_loss(scores, mask) if estimator == "jsd" else None
        torch.testing.assert_close(term.value, expected)
        assert term.weight == pytest.approx(-0.3)
        contribution = -0.3 * expected if loss is None else 0.3 * loss
        torch.testing.assert_close(term.contribution, contribution)


@pytest.mark.parametrize("estimator", ["leave_one_out", "vib", "vclub", "trace_covariance"])
def test_each_upper_bound_by_hand(recipe: Callable[..., Recipe], estimator: str) -> None:
    fixed = {"estimator": estimator, "target_nats": "none", "weight": 0.2, "gradient_share": "none"}
    whole, made = objective(recipe, maximise=OFF, minimise=fixed), prediction()
    for gate in whole.minimise.open_gates.values():
        gate.data.fill_(1.0)
    terms = by_name(whole(made, batch(), 0))
    assert set(terms) == {"task", "min text", "min audio", "min vision"}
    for name in NAMES:
        r = made.representations[name]
        expected = {
            "leave_one_out": lambda r=r: leave_one_out(r.sample_ND, r.mean_ND, r.noise_D).value,
            "vib": lambda r=r, n=name: vib_learned_marginal(r.mean_ND, r.noise_D, whole.minimise.marginals[n]).value,
            "vclub": lambda r=r, n=name: vclub(whole.minimise.q[n], r.input_NX, r.sample_ND).value,
            "trace_covariance": lambda r=r: trace_covariance(r.mean_ND),
        }[estimator]()
        torch.testing.assert_close(terms[f"min {name}"].value, expected)
        torch.testing.assert_close(terms[f"min {name}"].contribution, 0.2 * expected)


def test_an_unknown_contribution_would_show() -> None:
    value, loss = torch.tensor(2.0), torch.tensor(5.0)
    assert float(Term("a", value, -0.5).contribution) == -1.0
    assert float(Term("b", value, -0.5, loss).contribution) == 2.5, "a loss is always minimised"
    assert float(Term("c", value, 0.5).contribution) == 1.0


def gradients(contribution: Tensor, made: Prediction, module: Objective) -> float:
    leaves = [r.mean_ND for r in made.representations.values()] + [p for p in module.parameters() if p.requires_grad]
    found = torch.autograd.grad(contribution, leaves, allow_unused=True, retain_graph=True)
    return sum(float(g.abs().sum()) for g in found if g is not None)


@pytest.mark.parametrize("estimator", ["infonce", "jsd", "barber_agakov"])
def test_weight_zero_is_no_gradient_maximised(recipe: Callable[..., Recipe], estimator: str) -> None:
    for weight, zero in ((0.0, True), (0.1, False)):
        fixed = {"estimator": estimator, "gradient_share": "none", "weight": weight}
        whole, made = objective(recipe, maximise=fixed, minimise=OFF), prediction(shared=0.5)
        for term in whole(made, batch(), 50)[1:]:
            assert (gradients(term.contribution, made, whole) == 0) == zero, term.name


@pytest.mark.parametrize("estimator", ["leave_one_out", "vib", "vclub", "trace_covariance"])
def test_weight_zero_is_no_gradient_minimised(recipe: Callable[..., Recipe], estimator: str) -> None:
    for weight, zero in ((0.0, True), (0.1, False)):
        fixed = {"estimator": estimator, "target_nats": "none", "weight": weight, "gradient_share": "none"}
        whole, made, data = objective(recipe, maximise=OFF, minimise=fixed), prediction(), batch()
        for gate in whole.minimise.open_gates.values():
            gate.data.fill_(1.0)
        for _ in range(20):  # a fresh q says the same of every input, and has no gradient
            whole.learn_q(made.representations)
        for term in whole(made, data, 50)[1:]:
            assert (gradients(term.contribution, made, whole) == 0) == zero, term.name


@pytest.mark.parametrize("section", ["maximise", "minimise"])
def test_a_scale_of_zero_is_no_term_and_others_scale(recipe: Callable[..., Recipe], section: str) -> None:
    if section == "maximise":
        fixed = {"gradient_share": "none", "weight": 0.1, "warmup": 0.0}
        scale, gone, halved, kept = {"text-audio": 0, "text-vision": 0.5}, "text-audio", "text-vision", "audio-vision"
    else:
        fixed = {"target_nats": "none", "weight": 0.1, "gradient_share": "none"}
        scale, gone, halved, kept = {"text": 0, "audio": 0.5}, "text", "audio", "vision"
    other = {"minimise" if section == "maximise" else "maximise": OFF}
    sections = {section: {**fixed, "scale": scale}, **other}
    verb = section[:3]
    whole = objective(recipe, **sections)
    terms = by_name(whole(prediction(), batch(), 50))
    assert f"{verb} {gone}" not in terms
    assert abs(terms[f"{verb} {halved}"].weight) == pytest.approx(0.05)
    assert abs(terms[f"{verb} {kept}"].weight) == pytest.approx(0.1)


def test_warm_up_rises_in_equal_steps_to_the_whole(recipe: Callable[..., Recipe]) -> None:
    sections = {
        "maximise": {"gradient_share": "none", "weight": 0.1, "warmup": 0.04},
        "minimise": {"target_nats": "none", "weight": 0.2, "warmup": 0.02, "gradient_share": "none"},
    }
    whole = objective(recipe, **sections)
    seen = [by_name(whole(prediction(), batch(), step)) for step in range(6)]
    assert [-t["max text-audio"].weight for t in seen] == pytest.approx([0.025, 0.05, 0.075, 0.1, 0.1, 0.1])
    assert [t["min text"].weight for t in seen] == pytest.approx([0.1, 0.2, 0.2, 0.2, 0.2, 0.2])


def test_only_utterances_that_have_the_modality_are_used(recipe: Callable[..., Recipe]) -> None:
    sections = {
        "maximise": {"gradient_share": "none", "weight": 0.1},
        "minimise": {"target_nats": "none", "weight": 0.1, "gradient_share": "none"},
    }
    made, data = prediction(shared=0.5), batch()
    present = made.representations["audio"].present_N
    present[[1, 5, 6]] = False
    whole = objective(recipe, **sections)
    before = by_name(whole(made, data, 50))
    kept = present.nonzero()[:, 0]
    for name, term in before.items():
        if "audio" not in name:
            continue
        if name.startswith("max"):
            x, y = (made.representations[m].sample_ND[kept] for m in name.removeprefix("max ").split("-"))
            scores = whole.maximise.critics[name.removeprefix("max ")](x, y)
            torch.testing.assert_close(term.value, infonce(scores, negatives_mask(data.video_N[kept])).value)
        gradient = torch.autograd.grad(term.value, made.representations["audio"].mean_ND, retain_graph=True)[0]
        assert not gradient[~present].any()
        assert gradient[present].any(1).all()


@pytest.mark.parametrize("number", [0, 1])
def test_too_few_utterances_leave_a_term_out(recipe: Callable[..., Recipe], number: int) -> None:
    made = prediction()
    made.representations["audio"].present_N[number:] = False
    terms = by_name(objective(recipe)(made, batch(), 0))
    assert set(terms) == {"task", "max text-vision", "min text", "min vision"}


def test_a_batch_of_one_has_its_task_alone(recipe: Callable[..., Recipe]) -> None:
    terms = objective(recipe)(prediction(1), batch(1, 1), 0)
    assert [term.name for term in terms] == ["task"]


def test_a_batch_of_one_video_has_no_negatives_across(recipe: Callable[..., Recipe]) -> None:
    whole = objective(recipe, maximise={"negatives": "across_videos"}, minimise=OFF)
    assert [term.name for term in whole(prediction(), batch(videos=1), 0)] == ["task"]


def test_saturation_switches_the_reward_off(recipe: Callable[..., Recipe]) -> None:
    fixed = {"gradient_share": "none", "weight": 0.1, "warmup": 0.0, "critic": "bilinear"}
    whole, made = objective(recipe, maximise=fixed, minimise=OFF), prediction(shared=1.0, noise=False)
    assert not any(term.saturated for term in whole(made, batch(), 0))
    with torch.no_grad():
        for critic in whole.maximise.critics.values():
            critic.weight_XY.copy_(torch.eye(WIDTH) * 2)
    for term in whole(made, batch(), 0)[1:]:
        assert term.saturated
        assert term.value.item() > math.log(24) - 1
        assert gradients(term.contribution, made, whole) == 0


def norm(value: Tensor, made: Prediction) -> float:
    """Of the gradient at the means of all representations."""
    means = [r.mean_ND for r in made.representations.values()]
    found = torch.autograd.grad(value, means, retain_graph=True, allow_unused=True)
    return math.sqrt(sum(float(g.square().sum()) for g in found if g is not None))


def together(terms: tuple[Term, ...]) -> Tensor:
    return torch.stack([t.value if t.loss is None else -t.loss for t in terms[1:]]).sum()


@pytest.mark.parametrize("estimator", ["infonce", "jsd"])
def test_what_is_maximised_has_its_share_of_the_gradient(recipe: Callable[..., Recipe], estimator: str) -> None:
    asked = {"estimator": estimator, "gradient_share": 0.25, "warmup": 0.0}
    whole, made = objective(recipe, maximise=asked, minimise=OFF), prediction(shared=0.5)
    whole.train()
    assert whole(made, batch(), 0)[1].weight == 0.0, "nothing was measured before the first step"
    terms = whole(made, batch(), 1)
    contributed = torch.stack([term.contribution for term in terms[1:]]).sum()
    assert norm(contributed, made) / norm(terms[0].value, made) == pytest.approx(0.25, rel=1e-4)


def test_what_is_minimised_is_held_to_its_share_of_the_gradient(recipe: Callable[..., Recipe]) -> None:
    for weight, held in ((100.0, True), (1e-9, False)):
        asked = {"target_nats": "none", "weight": weight, "gradient_share": 0.25}
        whole, made = objective(recipe, maximise=OFF, minimise=asked), prediction()
        whole.train()
        whole(made, batch(), 0)
        task, *terms = whole(made, batch(), 1)
        assert len(terms) == 3
        for term in terms:
            share = norm(term.contribution, made) / norm(task.value, made)
            if held:
                assert share == pytest.approx(0.25, rel=1e-4), term.name
            else:
                assert term.weight == pytest.approx(weight), "a weight below its limit is left as it is"


def test_ratios_are_followed_slowly_and_not_in_evaluation(recipe: Callable[..., Recipe]) -> None:
    whole, made = objective(recipe), prediction(shared=0.5)
    assert set(whole.ratios) == {"max", "min text", "min audio", "min vision"}
    whole.train()
    terms = whole(made, batch(), 0)
    first = whole.ratios
    own = norm(terms[0].value, made) / norm(together(terms[:4]), made)
    assert first["max"] == pytest.approx(own, rel=1e-4)
    assert first["min text"] == pytest.approx(norm(terms[0].value, made) / norm(terms[4].value, made), rel=1e-4)
    with torch.no_grad():
        for critic in whole.maximise.critics.values():
            critic.weight_XY.mul_(10)
    whole(made, batch(), 1)
    assert whole.ratios == first, "not measured at every step"
    terms = whole(made, batch(), RATIO_EVERY)
    now = norm(terms[0].value, made) / norm(together(terms[:4]), made)
    assert whole.ratios["max"] == pytest.approx(0.9 * first["max"] + 0.1 * now, rel=1e-4)
    moved = whole.ratios
    whole.eval()
    whole(prediction(seed=5), batch(), 0)
    assert whole.ratios == moved


def test_the_rate_controller_moves_towards_its_target(recipe: Callable[..., Recipe]) -> None:
    for target, rises in ((0.1, True), (2.0, False)):
        minimise = {"target_nats": target, "weight": 0.01, "rate": 0.05, "gradient_share": "none"}
        whole, made = (
            objective(recipe, maximise=OFF, minimise=minimise, training={"batch_utterances": 24}),
            prediction(),
        )
        with torch.no_grad():  # means closer together than the noise: a rate between the two targets
            for r in made.representations.values():
                r.mean_ND.mul_(0.12)
        made = Prediction(
            made.score_B,
            {
                n: Representation(
                    r.mean_ND, r.mean_ND + 0.5 * torch.randn(24, WIDTH), r.noise_D, r.present_N, r.input_NX
                )
                for n, r in made.representations.items()
            },
        )
        whole.train()
        first = by_name(whole(made, batch(), 0))["min text"]
        assert first.weight == pytest.approx(0.01), "the weight of this step is that before the update"
        assert 0.1 < first.value.item() < 2.0
        second = by_name(whole(made, batch(), 1))["min text"].weight
        assert (second > 0.01) == rises
        whole.eval()
        still = [by_name(whole(made, batch(), 2))["min text"].weight for _ in range(2)]
        assert still[0] == still[1], "evaluation moves nothing"


def test_the_gate_of_vclub_opens_where_q_is_better_than_nothing(recipe: Callable[..., Recipe]) -> None:
    minimise = {"estimator": "vclub", "target_nats": "none", "weight": 0.1, "gradient_share": "none"}
    whole = objective(recipe, maximise=OFF, minimise=minimise, model={"noise": "none"})
    made = prediction(200, noise=False)
    known = {
        name: Representation(r.mean_ND, torch.cat([r.input_NX] * 4, 1)[:, :WIDTH], None, r.present_N, r.input_NX)
        for name, r in made.representations.items()
    }
    whole.train()
    assert by_name(whole(Prediction(made.score_B, known), batch(200), 0))["min text"].weight == 0.0, "shut at first"
    for _ in range(100):
        whole.learn_q(known)
    whole.eval()
    held_out = prediction(200, noise=False, seed=9)
    unlike = held_out.representations
    like = {
        n: Representation(r.mean_ND, torch.cat([r.input_NX] * 4, 1)[:, :WIDTH], None, r.present_N, r.input_NX)
        for n, r in unlike.items()
    }
    report = whole.measure(like, torch.arange(200))
    assert report["min text"]["q_barber_agakov"] > 0
    assert report["min text"]["gate_open"]
    assert by_name(whole(Prediction(made.score_B, known), batch(200), 50))["min text"].weight == pytest.approx(0.1)
    report = whole.measure(unlike, torch.arange(200))
    assert report["min text"]["q_barber_agakov"] < 0, "on what q does not know it is worse than the marginal"
    assert by_name(whole(Prediction(made.score_B, known), batch(200), 50))["min text"].weight == 0.0


def test_q_learns_by_its_own_optimizer_alone(recipe: Callable[..., Recipe]) -> None:
    minimise = {"estimator": "vclub", "target_nats": "none", "weight": 0.1}
    whole = objective(recipe, maximise=OFF, minimise=minimise)
    made = prediction()
    theirs = {id(p) for p in whole.parameters_of_loss()}
    assert not theirs & {id(p) for p in whole.minimise.q.parameters()}
    before = {n: p.clone() for n, p in whole.minimise.q.named_parameters()}
    whole.train()
    whole.learn_q(made.representations)
    assert any(not torch.equal(before[n], p) for n, p in whole.minimise.q.named_parameters())
    assert all(r.mean_ND.grad is None for r in made.representations.values()), "and it leaves the encoders alone"


def test_shuffled_pairs_leave_nothing_to_find(recipe: Callable[..., Recipe]) -> None:
    made, data = prediction(200, shared=0.5), batch(200, 50)
    values = {}
    for shuffle in (False, True):
        fixed = {"gradient_share": "none", "weight": 0.1, "shuffle_pairs": shuffle}
        whole = objective(recipe, maximise=fixed, minimise=OFF)
        with torch.no_grad():
            for critic in whole.maximise.critics.values():
                critic.weight_XY.copy_(torch.eye(WIDTH) * 0.5)
        values[shuffle] = whole(made, data, 0)[1].value.item()
    assert values[False] > 0.5
    assert values[True] < 0.0


def test_two_utterances_can_be_shuffled_too(recipe: Callable[..., Recipe]) -> None:
    made, data = prediction(2, shared=0.9), batch(2, 2)
    values = []
    for shuffle in (False, True):
        fixed = {"gradient_share": "none", "weight": 0.1, "shuffle_pairs": shuffle}
        whole = objective(recipe, maximise=fixed, minimise=OFF)
        values.append(whole(made, data, 0)[1].value.item())
    assert values[0] != values[1]


def test_the_report_of_held_out_representations(recipe: Callable[..., Recipe]) -> None:
    whole, made = objective(recipe).eval(), prediction(shared=0.5)
    report = whole.measure(made.representations, batch().video_N)
    bounds = {"max text-audio", "max text-vision", "max audio-vision", "min text", "min audio", "min vision"}
    assert set(report) == bounds | {"same_video_share"}
    low, high = report["min text"]["interval_nats"]
    assert low <= high
    assert low <= math.log(24) + 1e-6
    assert report["min text"]["noise"] == pytest.approx([0.5, 0.5, 0.5])
    assert report["same_video_share"] == pytest.approx(3 / 23)
