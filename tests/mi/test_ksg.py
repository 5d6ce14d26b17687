import math

import pytest
import torch

from mmmie.errors import EvidenceError
from mmmie.mi import ksg


# 1284 pairs, k = 3: values of an independent program; four times its sd of .06 at most, over three seeds.
@pytest.mark.parametrize(
    ("dim", "mi_nats", "expected"),
    [
        (1, 0.0, 0.02),
        (1, 0.5, 0.49),
        (1, 1.0, 0.98),
        (1, 2.0, 2.04),
        (1, 5.0, 4.79),
        (2, 0.0, -0.01),
        (2, 0.5, 0.52),
        (2, 1.0, 1.02),
        (2, 2.0, 1.99),
        (2, 5.0, 4.39),
    ],
)
def test_known_values(dim, mi_nats, expected, pairs):
    values = [float(ksg(d.x_ND, d.y_ND).value) for d in (pairs(mi_nats, dim, 1284, s) for s in range(3))]
    # In nats: a release whose default is bits would read 1.44 for 1.
    assert sum(values) / 3 == pytest.approx(expected, abs=0.12)


def test_it_sees_what_no_correlation_sees(pairs):
    x_NX = pairs(0.0, 1, 2000).x_ND
    y_NY = x_NX.square() + 0.1 * pairs(0.0, 1, 2000, seed=1).x_ND
    assert float(ksg(x_NX, y_NY).value) > 1


def test_sides_of_unequal_width_and_shifts_change_nothing(pairs):
    drawn = pairs(1.0, 1, 1284)
    noise_N1 = pairs(0.0, 1, 1284, seed=5).x_ND
    wide = ksg(drawn.x_ND, torch.cat([drawn.y_ND, noise_N1], 1))
    assert float(wide.value) == pytest.approx(1.0, abs=0.25)
    assert float(ksg(drawn.x_ND + 100, drawn.y_ND - 7).value) == pytest.approx(
        float(ksg(drawn.x_ND, drawn.y_ND).value), abs=1e-3
    )


def test_more_than_three_dimensions_are_refused(pairs):
    drawn = pairs(1.0, 4, 100)
    with pytest.raises(EvidenceError, match="at most 3 dimensions a side, but x has 4"):
        ksg(drawn.x_ND, drawn.y_ND[:, :1])
    with pytest.raises(EvidenceError, match="y has 4"):
        ksg(drawn.x_ND[:, :3], drawn.y_ND)


def test_repeated_rows_are_refused(pairs):
    drawn = pairs(1.0, 1, 50)
    rows_N = torch.cat([torch.arange(50), torch.tensor([7, 7, 7])])
    with pytest.raises(EvidenceError, match=r"more than 3 rows are the same as row 7.*first_occurrences"):
        ksg(drawn.x_ND[rows_N], drawn.y_ND[rows_N])


def test_other_bad_input(pairs):
    drawn = pairs(1.0, 1, 50)
    with pytest.raises(EvidenceError, match="50 and 49 rows"):
        ksg(drawn.x_ND, drawn.y_ND[1:])
    with pytest.raises(EvidenceError, match="k = 50"):
        ksg(drawn.x_ND, drawn.y_ND, k=50)
    broken = drawn.x_ND.clone()
    broken[3] = math.nan
    with pytest.raises(EvidenceError, match="finite"):
        ksg(broken, drawn.y_ND)
