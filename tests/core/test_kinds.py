"""What operations do, as their runtime tells it: names that nobody knows need no table."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ecgedge.api.graph import Node
from tests.conftest import Command, rows_of

ENGINE = """
from ecgedge import Graph, Node, Weight, hookimpl
from ecgedge.testing import FakeRuntime


class Engine(FakeRuntime):
    device = "npu"

    def load(self, artifact, threads):
        session = super().load(artifact, threads)
        dtype = "int8" if artifact.precision == "full-int8" else "float32"
        kinds = {kinds!r}

        def node(name, op, kind, takes, gives, macs=None, device="npu"):
            known = dict(kind=kind, macs=macs) if kinds else dict()
            return Node(name, op, "engine", device, takes, gives, **known)

        session.graph = lambda: Graph(
            (
                node("in", "Blip", "quantizes", ("float32",), (dtype,)),
                node("zap", "Zap", "multiplies", (dtype, dtype), (dtype,), macs=700),
                node("host", "Zap2", "multiplies", (dtype, dtype), (dtype,), macs=7, device="cpu"),
                node("out", "Blop", "moves", (dtype,), ("float32",)),
            ),
            (Weight("w", dtype, 700 if dtype == "int8" else 2800, dtype),),
        )
        return session


@hookimpl
def ecgedge_runtimes():
    return [Engine("engine")]
"""


def rows(ecgedge: Command, fakes: Path, folder: Path, kinds: bool) -> dict[str, dict]:
    (fakes / "engine.py").write_text(ENGINE.format(kinds=kinds))
    asked = ("matrix", "--dataset", "synthetic", "--model", "fake", "--profile", "quick", "--runtime", "engine")
    ecgedge("--plugins-dir", fakes, *asked, "--format", "fake", "--out", "run")
    return {row["precision"]: row for row in rows_of(folder / "run")}


def test_invented_names_get_full_rows(ecgedge: Command, fakes: Path, tmp_path: Path) -> None:
    """The check reads the kinds where the run kept them; without them it says so in one line."""
    found = rows(ecgedge, fakes, tmp_path, kinds=True)
    assert {precision: row["status"] for precision, row in found.items()} == {"fp32": "ok", "full-int8": "ok"}
    row = found["full-int8"]
    assert (row["kinds"], row["precision_check"]) == ("told", "checked")
    assert row["computes"] == {"int8": 2, "quantizes": 1, "moves": 1} and not row["float_ops"]
    held = ecgedge("--plugins-dir", fakes, "check", "run")
    assert held.code == 0, held.out
    forget_kinds(tmp_path / "run")
    [reason] = json.loads(ecgedge("--plugins-dir", fakes, "check", "run", "--json").out)["reasons"]
    assert reason == (
        "cells/fake.fake-exporter.none.engine.graph.json and 1 more: an older ecgedge wrote it, without what each "
        "operation was taken for, so that nothing can be said of the claim: measure it anew"
    )


def forget_kinds(run: Path) -> None:
    """Make a run what an ecgedge left that did not keep what operations were taken for, nor digests of what it kept."""
    for file in (run / "cells").glob("*.graph.json"):
        graph = json.loads(file.read_text())
        for node in graph["nodes"]:
            assert node.pop("told") == (["kind", "macs"] if node["kind"] == "multiplies" else ["kind"])
            del node["data"], node["dynamic"]
        file.write_text(json.dumps(graph))
    records = [json.loads(line) for line in (run / "journal.jsonl").open()]
    lines = [{key: value for key, value in record.items() if key != "files"} for record in records]
    (run / "journal.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_without_kinds_they_are_looked_up_by_name_and_not_found(ecgedge: Command, fakes: Path, tmp_path: Path) -> None:
    row = rows(ecgedge, fakes, tmp_path, kinds=False)["full-int8"]
    assert row["status"] == "rejected" and "out (Blop) computes in float" in row["reason"]
    assert "kinds" not in row


def test_a_device_that_multiplied_little_is_told_by_what_the_runtime_counts(
    ecgedge: Command, fakes: Path, tmp_path: Path
) -> None:
    text = ENGINE.format(kinds=True).replace("macs=7, ", "macs=70_000, ")
    (fakes / "engine.py").write_text(text)
    asked = ("matrix", "--dataset", "synthetic", "--model", "fake", "--profile", "quick", "--runtime", "engine")
    ecgedge("--plugins-dir", fakes, *asked, "--format", "fake", "--quantizer", "none", "--out", "run")
    [row] = rows_of(tmp_path / "run")
    assert row["reason"] == "npu: 99% of its multiply-accumulates ran on the CPU: host (Zap2)"
    told = json.loads(ecgedge("--plugins-dir", fakes, "explain", "fake", "--runtime", "engine", "--json").out)
    assert [(line["op"], line["macs"]) for line in told["operations"]] == [
        ("Blip", 0), ("Zap", 700), ("Zap2", 70_000), ("Blop", 0),
    ]  # fmt: skip


def test_a_kind_that_there_is_not_is_refused() -> None:
    with pytest.raises(ValueError, match="is of the kind 'multiply', not of multiplies, computes, moves"):
        Node("zap", "Zap", "engine", "npu", ("int8",), ("int8",), kind="multiply")
