"""Experts: the best linear estimate of independent measurements, and nothing from those that proved nothing."""

import numpy as np
import pytest
import torch

from mmmie.models.experts import Experts
from mmmie.settings import ExpertSettings, Recipe

PROVED = {"text": ExpertSettings(explained=0.5), "audio": ExpertSettings(explained=0.2, slope=0.7)}


def test_alone_an_expert_says_its_calibrated_score_and_an_unproved_one_nothing() -> None:
    experts = Experts(PROVED, ("text", "audio", "vision")).eval()
    scores = torch.tensor([[1.0, 2.0, 3.0]]).repeat(4, 1)
    present = torch.tensor([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 1]], dtype=torch.bool)
    torch.testing.assert_close(experts(scores, present), torch.tensor([1.0, 1.4, 0.0, 1.0]))


def test_joined_scores_are_the_least_squares_estimate_of_independent_measurements() -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(size=200_000)
    r2 = np.array([0.5, 0.2, 0.35])
    noisy = y[:, None] + rng.normal(size=(len(y), 3)) * np.sqrt((1 - r2) / r2)
    means = noisy * r2  # E[y | measurement], which explains r2 of y
    settings = {m: ExpertSettings(explained=r) for m, r in zip(("text", "audio", "vision"), r2, strict=True)}
    experts = Experts(settings, ("text", "audio", "vision")).eval()
    joint = experts(torch.tensor(means), torch.ones(len(y), 3, dtype=torch.bool)).numpy()
    weights, *_ = np.linalg.lstsq(means, y, rcond=None)
    assert np.abs(joint - means @ weights).max() < 0.05  # error of the weights at this many draws
    assert np.mean((joint - y) ** 2) == pytest.approx(1 / (1 + (r2 / (1 - r2)).sum()), rel=0.02)


def test_in_training_each_learns_by_itself() -> None:
    experts = Experts(PROVED, ("text", "audio")).train()
    scores = torch.tensor([[1.0, 3.0]], requires_grad=True)
    torch.testing.assert_close(experts(scores, torch.tensor([[True, True]])), torch.tensor([2.0]))
    experts(scores, torch.tensor([[False, True]])).sum().backward()
    assert scores.grad is not None
    assert scores.grad.tolist() == [[0.0, 1.0]]


def test_a_recipe_is_set_to_read_all_modalities_together() -> None:
    values = {"name": "joined", "corpus": "c", "model": {"experts": {"text": {"explained": 0.5, "slope": 1.0}}}}
    assert Recipe.parse(values, "test").model.experts is not None
    assert Recipe.parse({**values, "model": {"experts": "none"}}, "test").model.experts is None
