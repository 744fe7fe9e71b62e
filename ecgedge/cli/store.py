"""``ecgedge store``."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ecgedge.cli import common
from ecgedge.cli.options import FiniteRange
from ecgedge.errors import EcgEdgeError, counted
from ecgedge.files import escape

if TYPE_CHECKING:
    from ecgedge.api.artifact import Artifact
    from ecgedge.convert.upkeep import Entry

SHORT = 12  # digits of a key that tell it from others
UNUSED_DAYS = 30


@click.group()
def store() -> None:
    """Look after the converted artifacts that are kept in ECGEDGE_CACHE and used again.

    \b
    ecgedge store ls
    ecgedge store verify
    ecgedge store prune --dry-run
    """


@store.command("ls")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def list_entries(as_json: bool) -> None:
    """List the artifacts, the one used last at the end.

    \b
    ecgedge store ls
    """
    from ecgedge.convert.store import open_store
    from ecgedge.convert.upkeep import entries

    kept = open_store()
    found = entries(kept, whole=False)
    total = sum(entry.size_bytes for entry in found)
    if as_json:
        rows = [row_of(entry) for entry in found]
        click.echo(json.dumps({"folder": str(kept.root), "artifacts": rows, "size_bytes": total}, indent=1))
        return
    if found:
        click.echo(table(found) + "\n")
    common.say(f"{counted(len(found), 'artifact')}, {total:,} bytes in {kept.root}")


@store.command()
@click.pass_context
def verify(ctx: click.Context) -> None:
    """Check every artifact against its digest, and name those that are damaged; exit code 1 if any is.

    \b
    ecgedge store verify
    """
    from ecgedge.convert.store import open_store
    from ecgedge.convert.upkeep import entries

    found = entries(open_store(), whole=True)
    damaged = [entry for entry in found if entry.damage]
    for entry in damaged:
        common.say(f"{entry.key[:SHORT]}  {entry.damage}")
    if damaged:
        click.echo(
            f"{len(damaged)} of {counted(len(found), 'artifact')} damaged; ecgedge store prune removes such", err=True
        )
        ctx.exit(1)
    click.echo(f"{counted(len(found), 'artifact')}, all sound")


@store.command()
@click.option("--older-than", "days", type=FiniteRange(min=0), default=UNUSED_DAYS, show_default=True,
              metavar="DAYS", help="Remove what was not used for so long.")  # fmt: skip
@click.option("--all", "everything", is_flag=True, help="Remove every artifact.")
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
def prune(days: float, everything: bool, dry_run: bool) -> None:
    """Remove artifacts that are damaged or unused for long, what dead runs left, and certificates unused for long.

    What is removed is made again when it is needed.

    \b
    ecgedge store prune --older-than 7
    """
    from ecgedge.convert.store import open_store
    from ecgedge.convert.upkeep import prune as removals
    from ecgedge.portability.kept import prune as certificates

    kept, sizes = open_store(), []
    try:
        for gone in removals(kept, None if everything else days, dry_run):
            what = f"{words(gone.artifact)}, " if gone.artifact else ""
            common.say(f"{gone.name[:SHORT]}  {what}{gone.reason}, {gone.size_bytes:,} bytes")
            sizes.append(gone.size_bytes)
        for name, size in certificates(None if everything else days, dry_run):
            common.say(f"{name[:SHORT]}  a certificate of ecgedge portability, not used for long, {size:,} bytes")
            sizes.append(size)
    except OSError as error:
        raise EcgEdgeError(f"the artifact store {kept.root} cannot be written: {error.strerror}") from error
    click.echo(f"{'would remove' if dry_run else 'removed'} {len(sizes)}, {sum(sizes):,} bytes")


def row_of(entry: Entry) -> dict[str, Any]:
    """One entry, for programs."""
    row = {"key": entry.key, "size_bytes": entry.size_bytes, "used": when(entry.used), "damage": entry.damage or None}
    if entry.artifact is None:
        return row
    art = entry.artifact
    return row | {"name": art.name, "format": art.format, "precision": art.precision, "maker": dict(art.maker)}


def table(found: list[Entry]) -> str:
    from tabulate import tabulate

    rows = []
    for entry in found:
        art = entry.artifact
        told = [art.name, art.format, art.precision] if art else ["-", "-", "-"]
        by = maker(art) if art else f"damaged: {entry.damage}"
        rows.append([entry.key[:SHORT], *told, f"{entry.size_bytes:,}", by, when(entry.used)])
    return tabulate(
        escape.cells(rows),
        ["key", "name", "format", "precision", "bytes", "maker", "last used"],
        disable_numparse=True,
        colalign=("left", "left", "left", "left", "right", "left", "left"),
    )


def maker(artifact: Artifact) -> str:
    """The part that made it, and the distribution and version that the part is of, or its file."""
    made = artifact.maker
    return f"{made.get('part', '?')}, {Path(made.get('distribution', '?')).name} {made.get('version', '')}".rstrip()


def words(artifact: Artifact) -> str:
    return f"{artifact.name} {artifact.format} {artifact.precision}"


def when(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).isoformat(" ", "seconds")
