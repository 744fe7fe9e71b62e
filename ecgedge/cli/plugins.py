"""``ecgedge plugins``."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ecgedge.cli import common
from ecgedge.errors import EcgEdgeError
from ecgedge.files import escape

if TYPE_CHECKING:
    from ecgedge.api.parts import Part

INSTALLED = "installed"  # of a part whose libraries are there; no more is looked at, so that this is quick
KINDS = ("model", "exporter", "quantizer", "runtime", "pass")


@click.group(invoke_without_command=True)
@click.option("--trace", is_flag=True, help="Say instead what each plugin was asked, and what it gave.")
@click.pass_context
def plugins(ctx: click.Context, trace: bool) -> None:
    """List the parts, who provides them, what they need; and the plugins that were left out.

    \b
    ecgedge plugins
    ecgedge plugins --trace
    ecgedge plugins show onnx
    ecgedge plugins new acme --kind runtime
    ecgedge plugins check acme
    """
    if ctx.invoked_subcommand:
        return
    from tabulate import tabulate

    from ecgedge.plugins import Step, load, missing

    steps: list[Step] = []
    parts = load(allow_clashes=True, trace=steps if trace else None)
    if trace:
        asked = [[str(step.owner), step.asked, f"{step.milliseconds:.1f}", step.gave] for step in steps]
        click.echo(tabulate(escape.cells(asked), ["plugin", "asked", "ms", "gave"], disable_numparse=True,
                            colalign=("left", "left", "right", "left")))  # fmt: skip
    else:
        rows = []
        for kind in KINDS:
            for name, part in parts.of(kind).items():
                rows.append([kind, name, describe(part), missing(part) or INSTALLED, str(parts.owners[kind, name])])
        click.echo(tabulate(escape.cells(rows), ["kind", "name", "what", "state", "plugin"]))
    for owner, reason in parts.broken:
        common.warn(f"plugin {owner} is left out: {reason}")
    for warning in parts.warnings:
        common.warn(warning)
    if parts.clashes:
        raise parts.clashes[0]
    if not trace:
        common.aside(f"{INSTALLED}: what it needs is there; whether it works here, ecgedge doctor says")


@plugins.command()
@click.argument("name", metavar="PART")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def show(name: str, as_json: bool) -> None:
    """Say what a part is, who provides it, what it needs, and its options.

    \b
    ecgedge plugins show onnx
    ecgedge convert tcn --to onnx --option onnx.opset=18
    """
    from ecgedge.errors import unknown
    from ecgedge.plugins import load

    parts = load(allow_clashes=True)
    found = [part for kind in KINDS for part in parts.of(kind).values() if part.name == name]
    if not found:
        raise unknown("part", name, sorted({part.name for kind in KINDS for part in parts.of(kind).values()}))
    records = [record_of(part, str(parts.owners[part.kind, part.name])) for part in found]
    if as_json:
        click.echo(json.dumps(records, indent=1))
        return
    for record in records:
        show_part(record)


def record_of(part: Part, owner: str) -> dict[str, Any]:
    """What there is to know of a part, as JSON has it."""
    from ecgedge.api.parts import Runtime
    from ecgedge.plugins import missing

    return {
        "kind": part.kind,
        "name": part.name,
        "plugin": owner,
        "about": (inspect.getdoc(type(part)) or "").partition("\n\n")[0].replace("\n", " ").replace("``", ""),
        "what": describe(part),
        "state": missing(part) or INSTALLED,
        "needs": list(part.needs),
        "environment": part.environment,
        "precisions": [each.record() for each in part.precisions],
        "figures": [each.record() for each in part.figures] if isinstance(part, Runtime) else [],
        "options": [option.record() | {"values": option.wanted} for option in part.options],
    }


def show_part(record: Mapping[str, Any]) -> None:
    """Print it: lines of what it is, then a line an option."""
    common.say(f"{record['kind']} {record['name']}, of {record['plugin']}: {record['state']}")
    for line in (record["about"], record["what"]):
        if line:
            common.say(f"  {line}")
    if record["needs"]:
        common.say(f"  needs {', '.join(record['needs'])}")
    if record["environment"]:
        common.say(f"  works in the environment {record['environment']}")
    for precision in record["precisions"]:
        common.say(f"  precision {precision['name']}: {precision['help']}")
        common.say(f"      {claims_of(precision)}")
    for figure in record["figures"]:
        unit = f" in {figure['unit']}" if figure["unit"] else ""
        common.say(f"  figure {figure['name']}{unit}, {figure['better']} is better: {figure['help']}")
    for option in record["options"]:
        default = option["default"]
        usual = "the part decides" if default is None else json.dumps(default)
        common.say(f"  --option {record['name']}.{option['name']}=...  {option['help']}")
        common.say(f"      {option['values']}; default: {usual}")
    if not record["options"]:
        common.say("  no options")


def claims_of(precision: Mapping[str, Any]) -> str:
    """What files of a precision claim, and what their answers are held to, in one line."""
    words = {"weights": "weights", "products": "multiplied as", "activations": "between"}
    told = []
    for name, word in words.items():
        types = precision[name] if isinstance(precision[name], list) else [precision[name]] * bool(precision[name])
        told += [f"{word} {', '.join(types)}"] if types else []
    limit = precision["cosine"]
    told.append("outputs as in float32" if limit is None else f"cosine of at least {limit:g}")
    return "; ".join(told) + (f"; held against the {precision['peak']} peak" if precision["peak"] else "")


@plugins.command()
@click.argument("name")
@click.option("--kind", type=click.Choice(["runtime", "exporter", "quantizer", "model"]), required=True,
              help="Let the package bring a part of this kind.")  # fmt: skip
@click.option(
    "--out", type=click.Path(path_type=Path), help="Write the package into this folder. Default: ecgedge-NAME here."
)
def new(name: str, kind: str, out: Path | None) -> None:
    """Write a package with a part that works and the contracts that it keeps, to be changed into yours.

    \b
    ecgedge plugins new acme --kind runtime
    """
    from ecgedge.plugins import load, scaffold

    for owner in {str(one) for one in load(allow_clashes=True).owners.values() if one.plugin == name}:
        raise EcgEdgeError(f"there is a plugin {owner}", "choose another name")
    folder = out or Path(f"ecgedge-{name}")
    scaffold.write(name, kind, folder)
    common.say(f"{folder}: a {kind}, in {folder / scaffold.module_of(name) / 'part.py'}")
    click.echo()
    common.say(f"pip install -e {folder}")
    common.say(f"ecgedge plugins check {name}")


@plugins.command()
@click.argument("name")
@click.pass_context
def check(ctx: click.Context, name: str) -> None:
    """Run the contracts of an installed plugin: those that it brings, and one for each other part of it.

    \b
    ecgedge plugins check acme
    """
    from ecgedge.errors import unknown
    from ecgedge.plugins import load

    parts = load(allow_clashes=True)
    for owner, reason in parts.broken:
        if owner.plugin == name:
            raise EcgEdgeError(f"plugin {owner} is left out: {reason}", "ECGEDGE_STRICT=1 shows its traceback")
    known = {owner.plugin for owner in parts.owners.values()}
    if name not in known:
        raise unknown("plugin", name, sorted(known))
    counts: Counter[str] = Counter()
    for contract, results in groupby(run_contracts(name), key=lambda result: (result["contract"], result["part"])):
        mine: Counter[str] = Counter()
        for result in results:
            mine[result["result"]] += 1
            if result["result"] == "failed":
                common.say(f"FAILED {contract[0]} {result['test']}")
                common.say(f"  {result['why']}")
        common.say(f"{contract[0]}, {contract[1]}: {told(mine)}")
        counts += mine
    common.say(f"{name}: {told(counts) or 'no parts'}")
    ctx.exit(1 if counts["failed"] else 0)


def run_contracts(name: str) -> Iterator[dict[str, str]]:
    """The results of the tests, which run in a process of their own; one that dies fails the test at hand."""
    command = [sys.executable, "-P", "-m", "ecgedge.testing.running", name]
    from ecgedge.workers.client import how_it_ended

    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as log:
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, encoding="utf-8") as process:
            assert process.stdout
            at_hand: dict[str, str] | None = None
            for line in process.stdout:
                result = json.loads(line)
                at_hand = None if result["result"] else result
                if result["result"]:
                    yield result
        if process.returncode:
            log.seek(0)
            last = ([""] + [line.strip() for line in log if line.strip()])[-1]
            died = f"the process died: {how_it_ended(process.returncode)}: {last}"
            yield (at_hand or {"contract": "contracts", "part": name, "test": ""}) | {"result": "failed", "why": died}


def told(counts: Counter[str]) -> str:
    return ", ".join(f"{counts[word]} {word}" for word in ("passed", "failed", "skipped") if counts[word])


def describe(part: Part) -> str:
    """What a part takes and gives."""
    accepts = ", ".join(getattr(part, "accepts", ()))
    produces = getattr(part, "produces", "") or "the same"
    if hasattr(part, "precision"):
        return f"{accepts} -> {produces}, {part.precision}"
    if part.kind == "pass":
        return "onnx -> onnx"
    if hasattr(part, "device"):
        return f"{accepts} on {part.device}"
    return f"{accepts} -> {produces}" if accepts else f"{getattr(part, 'task', '')}, {produces}"
