"""A graph pass of a stranger's plugin: applied where it is asked for, proved, left out where it changes answers."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from ecgedge import GraphPass, TensorSpec, tell_artifact
from ecgedge.plugins import load
from ecgedge.testing import PassContract
from ecgedge.testing.running import outcome
from tests.conftest import Command, error_of, rows_of

PLUGIN = '''
from ecgedge import GraphPass, hookimpl
from ecgedge.testing import FakeRuntime


class DropIdentities(GraphPass):
    """Takes out what does nothing."""

    name = "drop_identities"

    def apply(self, model, batch, length):
        for node in list(model.graph):
            if node.op_type == "Identity" and not node.outputs[0].is_graph_output():
                node.outputs[0].replace_all_uses_with(node.inputs[0])
                model.graph.remove(node, safe=True)


class Wrong(DropIdentities):
    """Takes out what does something as well."""

    name = "drop_scales"

    def apply(self, model, batch, length):
        for node in list(model.graph):
            if node.op_type == "Mul":
                node.outputs[0].replace_all_uses_with(node.inputs[0])
                model.graph.remove(node, safe=True)


class Wanting(FakeRuntime):
    wants = ("drop_identitys",)


@hookimpl
def ecgedge_passes():
    return [DropIdentities(), Wrong()]
'''
WANTING = """

@hookimpl
def ecgedge_runtimes():
    return [Wanting("wanting")]
"""


@pytest.fixture
def plugins(tmp_path: Path) -> Path:
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "own.py").write_text(textwrap.dedent(PLUGIN))
    return tmp_path / "plugins"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Of a matrix product, an Identity and a scale."""
    weights = np.random.default_rng(0).standard_normal((140, 5)).astype(np.float32)
    nodes = [
        helper.make_node("Flatten", ["beats"], ["flat"]),
        helper.make_node("Identity", ["flat"], ["same"]),
        helper.make_node("MatMul", ["same", "w"], ["product"]),
        helper.make_node("Mul", ["product", "two"], ["scores"]),
        helper.make_node("Sub", ["scores", "one"], ["out"]),
    ]
    constants = [
        numpy_helper.from_array(value, name)
        for name, value in (("w", weights), ("two", np.float32([2])), ("one", np.float32([1, 2, 3, 4, 5])))
    ]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in (("beats", ("N", 1, 140)), ("out", ("N", 5)))
    ]
    graph = helper.make_graph(nodes, "net", ends[:1], ends[1:], constants)
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "net.onnx"
    )
    return tmp_path / "net.onnx"


def outputs(path: Path, beats: np.ndarray) -> np.ndarray:
    return onnxruntime.InferenceSession(path).run(None, {"beats": beats})[0]


def test_it_is_applied_and_told(ecgedge: Command, plugins: Path, file: Path, tmp_path: Path) -> None:
    made = ecgedge("--plugins-dir", plugins, "convert", file, "--to", "onnx", "--passes", "drop_identities",
                   "--dataset", "synthetic", "--out", "made.onnx")  # fmt: skip
    assert made.code == 0, made.err
    assert "passes     drop_identities" in made.out
    ops = [node.op_type for node in onnx.load(tmp_path / "made.onnx").graph.node]
    assert ops == ["Flatten", "MatMul", "Mul", "Sub"]
    beats = np.random.default_rng(1).standard_normal((4, 1, 140)).astype(np.float32)
    np.testing.assert_allclose(outputs(tmp_path / "made.onnx", beats), outputs(file, beats), rtol=1e-6)


def test_one_that_changes_answers_is_left_out_and_the_others_stay(
    ecgedge: Command, plugins: Path, file: Path, tmp_path: Path
) -> None:
    made = ecgedge("--plugins-dir", plugins, "matrix", "--artifact", file, "--format", "onnx", "--quantizer", "none",
                   "--runtime", "cpu", "--passes", "drop_scales,drop_identities", "--dataset", "synthetic",
                   "--profile", "quick", "--out", "run")  # fmt: skip
    assert made.code == 0, made.err
    [row] = rows_of(tmp_path / "run")
    assert row["status"] == "ok" and row["passes"] == ["drop_identities"]
    assert row["notes"]["left_out"].keys() == {"drop_scales"}
    assert "note: " in made.out and "drop_scales left out: it moves an output" in made.out


def test_a_name_that_no_plugin_has_is_told_with_all_that_there_are(ecgedge: Command, plugins: Path, file: Path) -> None:
    told = error_of(ecgedge("--plugins-dir", plugins, "convert", file, "--to", "onnx", "--passes", "drop_identity",
                            "--dataset", "synthetic", "--out", "made.onnx"))  # fmt: skip
    assert "unknown pass 'drop_identity'" in told and "drop_identities" in told and "fold_norms" in told


def test_a_part_that_wants_one_that_is_not_there_is_left_out(
    ecgedge: Command, plugins: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (plugins / "own.py").write_text(textwrap.dedent(PLUGIN) + WANTING)
    monkeypatch.setenv("ECGEDGE_PLUGINS_DIR", str(plugins))
    parts = load()
    [(_, why)] = parts.broken
    assert "Wanting.wants names an unknown pass 'drop_identitys'" in why and "wanting" not in parts.runtimes
    assert parts.passes.keys() == {"drop_identities", "drop_scales"}, "the rest of the plugin stays"


class Swapped(GraphPass):
    """Wrong on purpose: another order of the inputs of a subtraction, each time anew."""

    name = "swapped"

    def apply(self, model: Any, batch: int, length: int | None) -> None:
        for node in model.graph:
            if node.op_type == "Sub":
                one, other = node.inputs
                node.replace_input_with(0, other)
                node.replace_input_with(1, one)


def test_the_contract_finds_what_a_wrong_pass_does(file: Path) -> None:
    class Right(PassContract):
        part, changes = plugin()["DropIdentities"](), True
        source = lambda self, folder: artifact  # noqa: E731

    class Wrong(Right):
        part = Swapped()

    given = (TensorSpec("beats", (None, 1, 140), "float32", "NCL"), TensorSpec("out", (None, 5), "float32", "NC"))
    artifact = tell_artifact(file, "onnx", *given)
    names = [name for name in dir(Right) if name.startswith("test_") and name in vars(PassContract)]
    assert {name: outcome(Right, name) for name in names} == dict.fromkeys(names, ("passed", ""))
    found = {name: outcome(Wrong, name)[1] for name in names}
    assert "onnxruntime answers otherwise" in found["test_answers_stay"]
    assert "it would never end" in found["test_done_twice_it_changes_nothing_more"]


def plugin() -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(textwrap.dedent(PLUGIN), names)
    return names
