"""``ecgedge plugins``."""

from __future__ import annotations

import click

from ecgedge.cli import common


@click.command()
def plugins() -> None:
    """List the parts, who provides them, what they need; and the plugins that were left out.

    \b
    ecgedge plugins
    """
    from tabulate import tabulate

    from ecgedge.plugins import load, missing

    parts = load(allow_clashes=True)
    rows = []
    for kind in ("model", "exporter", "quantizer", "runtime"):
        for name, part in parts.of(kind).items():
            rows.append([kind, name, describe(part), missing(part) or "ready", str(parts.owners[kind, name])])
    click.echo(tabulate(rows, ["kind", "name", "what", "state", "plugin"]))
    for owner, reason in parts.broken:
        common.warn(f"plugin {owner} is left out: {reason}")
    for told in parts.warnings:
        common.warn(told)
    if parts.clashes:
        raise parts.clashes[0]


def describe(part: object) -> str:
    """What a part takes and gives."""
    accepts = ", ".join(getattr(part, "accepts", ()))
    produces = getattr(part, "produces", "") or "the same"
    if hasattr(part, "precision"):
        return f"{accepts} -> {produces}, {part.precision}"
    if hasattr(part, "device"):
        return f"{accepts} on {part.device}"
    return f"{accepts} -> {produces}" if accepts else f"{getattr(part, 'task', '')}, {produces}"
