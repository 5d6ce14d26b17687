"""Mutual information of two arrays: known answers, whole groups apart, chance pairings, refusals."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from mmmie.errors import EvidenceError
from mmmie.experiments import dependence_critics
from mmmie.experiments.dependence import critic_values, dependence, jackknife
from mmmie.experiments.dependence_critics import (
    cross_fit,
    deal_groups,
    fit_critics,
    linearised_terms,
    principal_components,
)
from mmmie.experiments.dependence_null import GroupExchange, permutation_p
from mmmie.experiments.dependence_table import dependence_table
from mmmie.mi.gaussian import copula_mi, gaussian_rho
from mmmie.mi.lower_bounds import infonce
from mmmie.mi.negatives import negatives_mask


def gaussians(nats, dim, sizes, seed=0, within=0.5):
    """Pairs of known MI whose rows share a part `within` of their variance with their group, on both sides."""
    rng = np.random.default_rng(seed)
    group_N = np.repeat(np.arange(len(sizes)), sizes)
    rho = gaussian_rho(nats, dim)

    def side():
        shared = rng.normal(size=(len(sizes), dim))[group_N]
        return math.sqrt(within) * shared + math.sqrt(1 - within) * rng.normal(size=(len(group_N), dim))

    x = side()
    return x, rho * x + math.sqrt(1 - rho**2) * side(), group_N


@pytest.fixture(scope="module")
def two_nats():
    """Of 400 rows in 100 groups, and what is found about them."""
    x, y, group_N = gaussians(2.0, 2, np.full(100, 4))
    return (x, y, group_N), dependence(x, y, group_N, permutations=99)


# What is found


def test_known_gaussians_are_between_the_ends(two_nats):
    _, found = two_nats
    assert found.low <= 2.0 <= found.high
    assert found.high - found.low < 0.6
    assert found.low > 1.5
    assert found.p < 0.001
    assert found.resolved
    assert {value.name for value in found.values} == {
        "InfoNCE, chosen critic",
        "InfoNCE, bilinear",
        "InfoNCE, mlp",
        "Gaussian copula",
        "KSG",
    }
    assert [check.name for check in found.checks if not check.passed] == []
    assert found.notes == ()


def test_ends_are_those_of_the_estimators(two_nats):
    _, found = two_nats
    assert found.low == found.values[0].low
    assert found.high == max(value.high for value in found.values)
    for value in found.values:
        assert value.low < value.nats < value.high


def test_equal_seeds_give_equal_results(two_nats):
    (x, y, group_N), found = two_nats
    again = dependence(x, y, group_N, permutations=99, checks=False)
    assert replace(found, checks=()) == again
    assert dependence(x, y, group_N, permutations=99, checks=False, seed=1).values[0] != found.values[0]


def test_the_global_generators_are_left_alone(two_nats):
    (x, y, group_N), _ = two_nats
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    fit_critics(x[:80], y[:80], group_N[:80], 8, 0)
    assert torch.rand(1) == expected


def test_scales_shifts_and_monotone_columns_change_next_to_nothing(two_nats):
    (x, y, group_N), found = two_nats
    moved = dependence(1e6 + 1e3 * x, np.exp(y), group_N, permutations=99, checks=False)
    assert moved.values[0].nats == pytest.approx(found.values[0].nats, abs=0.03)


def test_a_square_is_seen_by_critics_and_neighbours_and_not_by_the_copula():
    x = np.random.default_rng(0).normal(size=300)
    y = x**2 + 0.3 * np.random.default_rng(1).normal(size=300)
    found = dependence(x, y, permutations=99, checks=False)
    by_name = {value.name: value for value in found.values}
    assert by_name["Gaussian copula"].nats < 0.1
    assert by_name["InfoNCE, chosen critic"].low > 0.5
    assert found.low < by_name["KSG"].nats < found.high
    assert found.p < 0.001


def test_independent_pairs_are_called_so():
    x, y, group_N = gaussians(0.0, 3, np.full(60, 5))
    found = dependence(x, y, group_N, permutations=99)
    assert found.low == 0
    assert found.high < 0.15
    assert found.p > 0.05
    assert [check.name for check in found.checks if not check.passed] == []


def test_what_rows_of_a_group_share_is_no_information_between_the_sides():
    """Wide group effects on both sides, independent of one another: a critic that sees the groups reads them off."""
    sizes = np.full(12, 50)
    x, y, group_N = gaussians(0.0, 4, sizes, within=0.98)
    rows_apart = dependence(x, y, None, permutations=99, checks=False)
    groups_apart = dependence(x, y, group_N, permutations=99, checks=False)
    assert rows_apart.low > 0.5
    assert rows_apart.p < 0.001
    assert groups_apart.low == 0
    assert groups_apart.p > 0.05


def test_above_the_ceiling_there_is_no_upper_end():
    x, y, group_N = gaussians(12.0, 3, np.full(100, 2))
    found = dependence(x, y, group_N, permutations=19, checks=False)
    assert not found.resolved
    assert found.high is None
    assert found.ceiling == pytest.approx(math.log(39))
    assert found.ceiling - 1 < found.values[0].nats <= found.ceiling
    assert found.low > 2
    assert "not resolvable above the ceiling" in dependence_table(found)


def test_one_array_against_itself():
    x = np.random.default_rng(0).normal(size=(200, 2))
    found = dependence(x, x, permutations=19, checks=False)
    assert found.high is None
    assert any("no Gaussian-copula value" in note for note in found.notes)


def test_columns_that_repeat_one_another_and_wide_sides_are_reduced():
    rng = np.random.default_rng(0)
    x = np.repeat(rng.normal(size=(300, 3)), 20, axis=1)
    y = np.concatenate([x[:, :1] + rng.normal(size=(300, 1)), rng.normal(size=(300, 39))], axis=1)
    found = dependence(x, y, permutations=19, checks=False)
    assert any("at most 8 principal components" in note for note in found.notes)
    assert found.values[-1].name == "Gaussian copula, components"
    narrow = dependence(np.repeat(x[:, :1], 3, axis=1), y[:, 0], permutations=19, checks=False)
    assert narrow.values[-2].name == "Gaussian copula, components"
    assert narrow.low < 0.5 * math.log(2) < narrow.high


def test_columns_of_few_values_are_read_without_neighbours():
    rng = np.random.default_rng(0)
    x = rng.integers(2, size=300)
    y = np.where(rng.random(300) < 0.9, x, 1 - x)
    found = dependence(x, y, permutations=99, checks=False)
    truth = math.log(2) + 0.9 * math.log(0.9) + 0.1 * math.log(0.1)
    assert found.low < truth < found.high
    assert any(note.startswith("no KSG value") for note in found.notes)
    assert any("rows repeat another row" in note for note in found.notes)


def test_rare_values_that_a_fold_may_lack():
    x = np.zeros(60)
    x[7] = 1
    found = dependence(x, np.random.default_rng(0).normal(size=60), permutations=19)
    assert found.low == 0


def test_ten_groups_suffice_and_are_called_few():
    x, y, group_N = gaussians(0.5, 1, np.full(10, 10))
    found = dependence(x, y, group_N, permutations=19)
    assert "10 groups are few: the interval is likely too short" in found.notes
    assert "half of the groups" not in {check.name for check in found.checks}


# How it is found


@pytest.mark.parametrize("sizes", [(1,) * 30, (1, 2, 3, 4, 5, 6, 7), (40, 1, 1, 1, 1, 1)])
def test_linearised_terms_have_the_mean_of_infonce(sizes):
    torch.manual_seed(0)
    group_N = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    scores_NN = 3 * torch.randn(len(group_N), len(group_N), dtype=torch.float64)
    negatives_NN = negatives_mask(group_N, "across_videos")
    terms_N = linearised_terms(scores_NN, negatives_NN)
    assert float(terms_N.mean()) == pytest.approx(float(infonce(scores_NN, negatives_NN).value), abs=1e-12)


def test_linearised_terms_know_the_spread_of_infonce():
    """Of 200 sets of 100 pairs; plain terms leave out what a row does as a negative."""
    rho = gaussian_rho(2.0, 1)
    rng = np.random.default_rng(0)
    values, errors = [], []
    for _ in range(200):
        x = torch.as_tensor(rng.normal(size=100))
        y = rho * x + math.sqrt(1 - rho**2) * torch.as_tensor(rng.normal(size=100))
        scores_NN = -((y[None, :] - rho * x[:, None]) ** 2) / (2 * (1 - rho**2))
        terms_N = linearised_terms(scores_NN, negatives_mask(torch.arange(100)))
        values.append(float(terms_N.mean()))
        errors.append(float(terms_N.std()) / 10)
    # The standard deviation of 200 values is known to 5 %.
    assert np.mean(errors) == pytest.approx(np.std(values, ddof=1), rel=0.15)


@pytest.mark.parametrize("parts", [2, 3, 5])
def test_groups_are_dealt_whole_and_evenly(parts):
    group_N = np.repeat(np.arange(13), np.random.default_rng(0).integers(1, 9, size=13))
    part_N = deal_groups(group_N, parts, seed=1)
    of_groups = [set(group_N[part_N == part]) for part in range(parts)]
    assert sum(map(len, of_groups)) == 13
    assert set.union(*of_groups) == set(range(13))
    assert {len(groups) for groups in of_groups} <= {13 // parts, 13 // parts + 1}


def test_no_group_is_read_by_critics_that_know_it(monkeypatch):
    x, y, group_N = gaussians(0.5, 1, np.full(12, 6))
    seen = []
    real = fit_critics

    def watching(x_NX, y_NY, groups_N, *rest):
        critics = real(x_NX, y_NY, groups_N, *rest)
        known = {tuple(row) for row in x_NX}

        def watched(critic):
            def scores(x_read, y_read):
                seen.append((known, {tuple(row) for row in x_read}))
                return critic.scores(x_read, y_read)

            return replace(critic, scores=scores)

        return [watched(critic) for critic in critics]

    monkeypatch.setattr(dependence_critics, "fit_critics", watching)
    heldout = cross_fit(x, y, group_N, 5, 8, 0)
    group_of = {tuple(row): group for row, group in zip(x, group_N.tolist(), strict=True)}
    assert len(seen) == 15
    for known, read in seen:
        assert {group_of[row] for row in known}.isdisjoint(group_of[row] for row in read)
    assert set().union(*(read for _, read in seen)) == {tuple(row) for row in x}
    # 12 groups of 6 in 5 folds of 2 or 3 groups: a row stands against those of the other groups only.
    assert heldout.ceiling == pytest.approx((4 * 0 + 3 * 12 * math.log(7) + 2 * 18 * math.log(13)) / 72)


def test_the_bilinear_critic_starts_from_the_gaussian_answer(two_nats):
    (x, y, group_N), _ = two_nats
    train = group_N < 70
    critics = {critic.name: critic for critic in fit_critics(x[train], y[train], group_N[train], 8, 0)}
    scores_NN = critics["bilinear"].scores(x[~train], y[~train])
    rho = gaussian_rho(2.0, 2)
    exact_NN = -((y[~train][None] - rho * x[~train][:, None]) ** 2).sum(2) / (2 * (1 - rho**2))
    mask_NN = negatives_mask(torch.as_tensor(group_N[~train]), "across_videos")
    reached, best = (float(infonce(s, mask_NN).value) for s in (scores_NN, torch.as_tensor(exact_NN)))
    assert best - 0.1 < reached < best + 0.02


def test_principal_components_are_white_where_they_were_learned():
    rng = np.random.default_rng(0)
    rows = np.exp(rng.normal(size=(400, 5)) @ rng.normal(size=(5, 5)))
    components = principal_components(rows, 3)
    np.testing.assert_allclose(np.cov(components(rows), rowvar=False), np.eye(3), atol=1e-9)
    # A row alone is read as among the others, and an outlier stays within what ranks allow.
    np.testing.assert_allclose(components(rows[:1]), components(rows)[:1])
    assert np.isfinite(components(np.full((1, 5), 1e300))).all()


def test_jackknife_takes_off_what_repeated_rows_add():
    """Rows that come four times over look like more evidence: the copula's correction is then too small."""
    x, y, group_N = gaussians(0.0, 6, np.full(50, 4), within=0.999)
    plain = float(copula_mi(torch.as_tensor(x), torch.as_tensor(y)).value)
    value = jackknife("copula", copula_mi, x, y, group_N, 0)
    assert plain > 0.2
    assert abs(value.nats) < 0.6 * plain
    assert value.low < 0 < value.high


def test_intervals_are_wider_where_rows_of_a_group_agree():
    x, y, group_N = gaussians(1.0, 2, np.full(40, 10), within=0.9)
    heldout = cross_fit(x, y, group_N, 5, 8, 0)
    by_group, by_row = (critic_values(heldout, groups, 0)[0] for groups in (group_N, np.arange(len(x))))
    assert by_group.high - by_group.low > 1.2 * (by_row.high - by_row.low)


# Chance pairings


@pytest.mark.parametrize("sizes", [(3, 3, 3, 3), (1, 2, 5, 9)])
def test_exchanged_rows_keep_groups_together(sizes):
    group_N = np.random.default_rng(0).permutation(np.repeat(np.arange(len(sizes)), sizes))
    exchange = GroupExchange(group_N)
    rng = np.random.default_rng(1)
    givers = set()
    for _ in range(200):
        source_N = exchange.draw(rng)
        from_group = [np.unique(group_N[source_N[group_N == group]]) for group in range(len(sizes))]
        assert all(len(groups) == 1 for groups in from_group)
        assert sorted(int(groups[0]) for groups in from_group) == list(range(len(sizes)))
        for group, size in enumerate(sizes):
            taken = source_N[group_N == group]
            assert len(set(taken.tolist())) == min(size, sizes[int(from_group[group][0])])
        givers.add(tuple(int(groups[0]) for groups in from_group))
    assert len(givers) == 24


def test_p_is_small_where_there_is_little_but_something():
    x, y, group_N = gaussians(0.1, 2, np.full(100, 5))
    assert permutation_p(x, y, group_N, 8, 199, 0) < 0.01


# Refusals


ROWS = np.random.default_rng(0).normal(size=(60, 2))


@pytest.mark.parametrize(
    ("first", "groups", "said"),
    [
        (ROWS[:59], None, "came 59 and 60"),
        (ROWS[:0], None, "came \\(0, 2\\)"),
        (ROWS[:, :, None], None, "must be of shape \\(N,\\) or \\(N, D\\), but came \\(60, 2, 1\\)"),
        (ROWS.astype(str), None, "must hold real numbers"),
        (ROWS + 1j, None, "complex128"),
        (np.where(np.arange(120).reshape(60, 2) == 7, np.nan, ROWS), None, "nan in row 3, column 1"),
        (np.where(np.arange(120).reshape(60, 2) == 8, np.inf, ROWS), None, "inf in row 4, column 0"),
        (ROWS * [1, 0], None, "1 constant columns of 2 \\(1\\)"),
        (ROWS, np.arange(59), "59 groups for 60 rows"),
        (ROWS, np.zeros(60), "at least 10 groups are needed, but came 1:"),
        (ROWS, np.arange(60) % 9, "at least 10 groups are needed, but came 9:"),
    ],
)
def test_refusals(first, groups, said):
    with pytest.raises(EvidenceError, match=said):
        dependence(first, ROWS, groups)


def test_refusals_of_sizes():
    with pytest.raises(EvidenceError, match="at least 50 rows are needed, but came 49"):
        dependence(ROWS[:49], ROWS[:49])
    with pytest.raises(EvidenceError, match="at least 2 folds, but came 1"):
        dependence(ROWS, ROWS, folds=1)
    with pytest.raises(EvidenceError, match="at least 19 permutations, but came 5"):
        dependence(ROWS, ROWS, permutations=5)


# Many draws


@pytest.mark.slow
@pytest.mark.parametrize(("nats", "dim"), [(0.0, 8), (0.5, 8), (2.0, 1), (2.0, 2), (2.0, 8)])
def test_the_interval_covers_in_nine_of_ten_draws(nats, dim):
    """Of about 715 rows in 130 groups of 2 to 9."""
    covered = 0
    for seed in range(50):
        rng = np.random.default_rng(1000 + seed)
        x, y, group_N = gaussians(nats, dim, rng.integers(2, 10, size=130), rng)
        found = dependence(x, y, group_N, permutations=19, checks=False, seed=seed)
        covered += found.low <= nats <= found.high
    assert covered >= 45


@pytest.mark.slow
@pytest.mark.parametrize("sizes", ["equal", "unequal"])
def test_false_alarms_are_as_many_as_said(sizes):
    """60 independent pairs with group effects: at 5 %, 9 or more come by chance 3 times in 1000."""
    alarms = 0
    for seed in range(60):
        rng = np.random.default_rng(5000 + seed)
        counts = np.full(60, 8) if sizes == "equal" else rng.integers(2, 25, size=60)
        x, y, group_N = gaussians(0.0, 3, counts, rng, within=0.6)
        alarms += permutation_p(x, y, group_N, 16, 199, seed) <= 0.05
    assert alarms <= 8
