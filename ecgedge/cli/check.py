"""``ecgedge check``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from ecgedge.check import Findings


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.pass_context
def check(ctx: click.Context, run: Path, as_json: bool) -> None:
    """Compute every figure of a run once more, from the outputs and samples in its folder.

    Exits with 1 where something does not hold, and says what.

    \b
    ecgedge check runs/int8
    """
    from ecgedge.check import check_run

    findings = check_run(run)
    click.echo(json.dumps(as_data(findings), indent=1) if as_json else told(findings))
    if findings.reasons:
        ctx.exit(1)


def as_data(findings: Findings) -> dict[str, object]:
    return {
        "holds": not findings.reasons,
        "figures": findings.figures,
        "rows": findings.rows,
        "digests": findings.digests,
        "reasons": findings.reasons,
        "not_checked": findings.unchecked,
        "notes": findings.notes,
    }


def told(findings: Findings) -> str:
    lines = findings.reasons or [
        f"{findings.figures:,} figures of {findings.rows} rows hold, {findings.digests} files' digests hold"
    ]
    return "\n".join([*lines, *(f"not checked: {name}" for name in findings.unchecked), *findings.notes])
