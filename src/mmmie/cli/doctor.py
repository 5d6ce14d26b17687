"""`mmmie doctor`."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from mmmie.study.doctor import Finding


def command(
    json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> int:
    """Check libraries, networks and room, and try each stage on a drawn film of three seconds, without a network.

    Every lack comes with the command that mends it. Exit status: 0 all is well, 1 something is lacking.
    """
    import sys
    from dataclasses import asdict
    from json import dumps

    from mmmie.study.doctor import look_at_libraries, look_at_machine, look_at_models, look_at_stages, repairs

    found: list[Finding] = []

    def trying(stage: str) -> None:
        if sys.stderr.isatty():
            typer.echo(f"trying {stage} ...", err=True)

    for look in (look_at_machine, look_at_libraries, look_at_models, lambda: look_at_stages(trying)):
        part = list(look())
        found += part
        if not json:
            _show(part)
    commands = repairs(found)
    lacking = sum(finding.lacking for finding in found)
    if json:
        well = {"ok": not lacking, "repairs": commands, "findings": [asdict(f) | {"lacking": f.lacking} for f in found]}
        typer.echo(dumps(well, indent=2, ensure_ascii=False))
    elif not lacking:
        typer.echo("All is well.")
    else:
        typer.echo(f"Lacking: {lacking}.{' Mend with:' if commands else ''}")
        for line in commands:
            typer.echo(f"    {line}")
    return int(lacking > 0)


def _show(part: "list[Finding]") -> None:
    """A line each; of the libraries of an extra, those that are as they should be share a line."""
    fine: dict[str, list[str]] = {}
    for finding in part:
        if finding.part == "library" and finding.state == "ok":
            fine.setdefault(finding.extra or "core", []).append(f"{finding.name} {finding.detail}")
            continue
        state = finding.state if finding.needed else f"{finding.state}, not needed"
        seconds = "" if finding.seconds is None else f"  {finding.seconds:.1f} s"
        mend = f"  -> {finding.repair}" if finding.repair else ""
        typer.echo(f"{finding.part:<9}{finding.name:<30}{state}{seconds}  {finding.detail}{mend}")
    for extra, libraries in fine.items():
        typer.echo(f"{'library':<9}{extra:<30}ok  {', '.join(libraries)}")
