"""What is known about the mutual information of two arrays, as a short text."""

from mmmie.experiments.dependence import Dependence

SIDES = {"lower": "a lower bound in expectation", "estimate": "on either side of the truth"}


def dependence_table(found: Dependence) -> str:
    """The interval and p, one line an estimator, then checks and notes; all values in nats."""
    width = max(len(value.name) for value in found.values)
    lines = [
        f"{found.rows} rows in {found.groups} groups, {found.x_dim} x {found.y_dim} columns; all values in nats",
        "",
        interval_line(found),
        f"p of independence {found.p:.3g} (permutation of groups)",
        f"ceiling {found.ceiling:.2f} (log of the rows that a held-out row is told apart from)",
        "",
        f"{'estimator':<{width}}   value   95 % interval    side",
    ]
    lines += [
        f"{value.name:<{width}}  {value.nats:6.3f}   [{value.low:.3f}, {value.high:.3f}]".ljust(width + 29)
        + SIDES[value.side]
        for value in found.values
    ]
    if found.checks:
        lines.append("")
    for check in found.checks:
        verdict = "consistent" if check.passed else f"NOT CONSISTENT: {check.meaning}"
        lines.append(f"check, {check.name}: {check.nats:.3f} (tolerance {check.tolerance:.3f}), {verdict}")
    lines += [f"note: {note}" for note in found.notes]
    return "\n".join(lines)


def interval_line(found: Dependence) -> str:
    """The answer in a line, with what each end rests on."""
    if found.high is None:
        return f"I >= {found.low:.3f} (95 %); not resolvable above the ceiling by these rows"
    return (
        f"I in [{found.low:.3f}, {found.high:.3f}] (95 %): the lower end holds whatever the critic, the upper end if "
        "one of the estimators sees the whole dependence"
    )
