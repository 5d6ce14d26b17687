"""Whether two arrays are dependent at all: critics against the pairings that chance would give.

N: rows of a block; G: its groups; R: rows of a pairing.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import combine_pvalues

from mmmie.experiments.dependence_critics import Floats, Ints, deal_groups, fit_critics

BLOCKS = 4
GROUPS_OF_A_BLOCK = 5
"""At least; five groups have 120 orders."""


def permutation_p(x_NX: Floats, y_NY: Floats, group_N: Ints, components: int, permutations: int, seed: int) -> float:
    """p value of "x and y are independent", by critics that have seen only the blocks before.

    The groups are dealt into blocks. A critic fitted to the first b blocks scores the pairs of block b + 1, and the
    same after its groups' y have been exchanged: given the critic all such pairings are equally likely under
    independence, so the block's p value is right whatever the critic, and independent of those before it. They are
    combined by Fisher's method.

    Permutations within the folds of a cross-fit would not be right: two folds each score what the other was trained
    on, so their sum varies more than such permutations say. With cross-covariances for critics 7.3 % (standard error 1)
    of 600 independent pairs came out "dependent" at 5 %.

    Args:
        x_NX: float64, finite. y_NY: the same of the other side.
        group_N: 0 ... G - 1, G at least 10.
        components: as of `fit_critics`.
        permutations: of each block.
        seed: of blocks, critics and permutations.

    Returns:
        in (0, 1], one-sided.

    Source: Fisher 1932 (combination); Phipson & Smyth 2010 (the observed pairing counts as one). The sequence of
    blocks is ours. Groups of unequal size are exchanged by going round the shorter one, which is exact for equal sizes
    only.
    """
    rng = np.random.default_rng(seed)
    blocks = min(BLOCKS, (int(group_N.max()) + 1) // GROUPS_OF_A_BLOCK)
    block_N = deal_groups(group_N, blocks, seed)
    p_values = []
    for block in range(1, blocks):
        before, inside = block_N < block, block_N == block
        critic = fit_critics(x_NX[before], y_NY[before], group_N[before], components, seed + block)[0]
        scores_NN = critic.scores(x_NX[inside], y_NY[inside]).numpy()
        # Centred both ways, a pairing that uses some rows twice is not rewarded for whom it uses.
        scores_NN = scores_NN - scores_NN.mean(axis=0) - scores_NN.mean(axis=1, keepdims=True) + scores_NN.mean()
        observed = scores_NN.diagonal().mean()
        rows = np.arange(len(scores_NN))
        exchange = GroupExchange(group_N[inside])
        chance = [scores_NN[rows, exchange.draw(rng)].mean() for _ in range(permutations)]
        # Equal but for rounding counts as equal.
        reached = np.sum(np.asarray(chance) >= observed - 1e-9 * abs(observed))
        p_values.append((1 + reached) / (1 + permutations))
    return float(combine_pvalues(p_values, "fisher").pvalue)


class GroupExchange:
    """Draws, for each row, the row whose y it gets when whole groups are exchanged at random.

    Row r of a group gets row r + s of another, s random for each group and the count going round, so that what the rows
    of a group have in common stays together.
    """

    def __init__(self, group_N: Ints) -> None:
        _, self.group_N, self.size_G = np.unique(group_N, return_inverse=True, return_counts=True)
        by_group = np.argsort(self.group_N, kind="stable")
        start_G = np.cumsum(self.size_G) - self.size_G
        self.position_N = np.empty(len(group_N), dtype=np.int64)
        self.position_N[by_group] = np.arange(len(group_N)) - np.repeat(start_G, self.size_G)
        self.by_group, self.start_G = by_group, start_G

    def draw(self, rng: np.random.Generator) -> NDArray[np.int64]:
        giver_G = rng.permutation(len(self.size_G))
        shift_G = rng.integers(self.size_G)
        giver_N = giver_G[self.group_N]
        place_N = (self.position_N + shift_G[giver_N]) % self.size_G[giver_N]
        return np.asarray(self.by_group[self.start_G[giver_N] + place_N])
