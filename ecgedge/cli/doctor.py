"""``ecgedge doctor``."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ecgedge.cli.options import dataset_option, told_columns
from ecgedge.errors import EcgEdgeError
from ecgedge.files import escape

if TYPE_CHECKING:
    from ecgedge.plugins import Parts

EXTRAS = {  # which extra of ecgedge brings what a built-in part needs
    "torch": "torch", "safetensors": "torch", "onnx": "onnx", "onnxruntime": "onnx", "ai_edge_litert": "tflite",
    "onnx2tf": "convert", "tensorflow": "convert", "tf_keras": "convert",
}  # fmt: skip


@click.command()
@dataset_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def doctor(dataset: str | None, as_json: bool) -> None:
    """Say what is installed, which parts work here, and what mends those that do not.

    \b
    ecgedge doctor
    """
    from ecgedge.plugins import load

    parts = load(allow_clashes=True)
    found = examine(parts, dataset)
    click.echo(json.dumps(found, indent=1) if as_json else told(found))


def examine(parts: Parts, dataset: str | None) -> dict[str, Any]:
    """Everything that the command says, as data."""
    from ecgedge.measure import machine

    described = machine.describe()
    return {
        "versions": machine.versions(),
        "machine": described,
        "threads": {"cores": os.cpu_count(), "usable": machine.usable_cores()},
        "gpu": described["gpu"],
        "children": children_state(),
        "data": data_state(dataset),
        "parts": part_states(parts),
        "broken_plugins": [{"plugin": str(owner), "reason": reason} for owner, reason in parts.broken],
        "clashes": [error.message for error in parts.clashes],
    }


def children_state() -> dict[str, str]:
    """Whether the processes that open files have the network, as one of them says."""
    from ecgedge.workers import availability, protocol
    from ecgedge.workers.client import Child, ChildError

    means = {"namespace": "a namespace of their own", "filter": "a seccomp filter"}
    with tempfile.TemporaryDirectory() as scratch, Child(Path(scratch) / "log") as child:
        try:
            found = child.ask(protocol.Network(), availability.SECONDS)
        except ChildError as error:
            return {"network": "not known", "by": str(error)}
    return {"network": "none", "by": means[found]} if found in means else {"network": "as ours", "by": found}


def data_state(dataset: str | None) -> dict[str, str]:
    """Which data a command would use. The archive is not asked: that is ``ecgedge data``'s work."""
    from ecgedge.data import finding

    try:
        if dataset or os.environ.get("ECGEDGE_DATA"):
            return {"state": "ready", "what": finding.load(dataset, columns=told_columns())[0].describe()}
        if folder := finding.local_ecg5000():
            return {"state": "ready", "what": finding.load(str(folder))[0].describe()}
    except EcgEdgeError as error:
        return {"state": "wrong", "what": error.message, "mend": error.hint}
    return {
        "state": "absent",
        "what": "no ECG5000 here: it would be downloaded, else synthetic beats are used",
        "mend": "set ECGEDGE_DATA to a folder with ECG5000_TRAIN.txt and ECG5000_TEST.txt",
    }


def part_states(parts: Parts) -> list[dict[str, str]]:
    """Every part with ``ready`` or why not, and the command that mends it."""
    from ecgedge.workers import availability

    reasons = availability.unavailable(parts, must_work=False)
    rows = []
    for kind in ("model", "exporter", "quantizer", "runtime"):
        for name, part in parts.of(kind).items():
            reason = reasons.get((kind, name), "")
            row = {"kind": kind, "name": name, "state": "not usable" if reason else "ready", "reason": reason}
            rows.append(row | {"mend": mend(part, parts.owners[kind, name].distribution) if reason else ""})
    return rows


def mend(part: Any, distribution: str) -> str:
    """The command that brings what a part lacks; empty where no command does."""
    from ecgedge.plugins import elsewhere, environment_of, missing

    if not missing(part):
        return ""
    if elsewhere(part):
        return environment_of(part).mend
    if distribution != "ecgedge":
        return f"pip install --upgrade {distribution}" if "/" not in distribution else ""
    extras = sorted({EXTRAS[need] for need in part.needs if need in EXTRAS})
    return f"pip install 'ecgedge[{','.join(extras)}]'"


def not_usable(parts: Sequence[Mapping[str, str]]) -> list[tuple[str, str, list[str]]]:
    """Why parts cannot be used, what mends it, and their names: those that one command mends are told together."""
    by_remedy: dict[str, list[Mapping[str, str]]] = {}
    for part in parts:
        if part["reason"]:
            by_remedy.setdefault(part["mend"] or part["reason"], []).append(part)
    return [
        ("; ".join(dict.fromkeys(part["reason"] for part in of_it)), of_it[0]["mend"],
         [f"{part['kind']} {part['name']}" for part in of_it])
        for of_it in by_remedy.values()
    ]  # fmt: skip


def told(found: dict[str, Any]) -> str:
    from tabulate import tabulate

    machine, gpu, data, children = found["machine"], found["gpu"], found["data"], found["children"]
    network = {"none": "no network", "as ours": "have the network"}.get(children["network"], "network not known")
    parts = escape.cells([part["kind"], part["name"], part["state"]] for part in found["parts"])
    lines = [
        "versions  " + ", ".join(f"{name} {version}" for name, version in found["versions"].items()),
        f"cpu       {machine['cpu']}; {', '.join(machine['isa']) or 'no flags known'}",
        f"threads   {found['threads']['usable']} of {found['threads']['cores']} cores usable",
        f"gpu       {gpu or 'none found'}",
        f"children  {network} ({children['by']})",
        f"data      {data['state']}: {data['what']}",
        *([f"          {data['mend']}"] if data.get("mend") else []),
    ]
    lines = [*map(escape.line, lines), "", tabulate(parts, ["kind", "name", "state"])]
    for reason, mend, names in not_usable(found["parts"]):
        lines += ["", escape.line(f"{', '.join(names)}: {reason}")]
        lines += [escape.line(f"  {mend}")] if mend else []
    told = [f"plugin {one['plugin']} is left out: {one['reason']}" for one in found["broken_plugins"]]
    return "\n".join([*lines, *(f"\n{escape.line(text)}" for text in (*told, *found["clashes"]))])
