"""A graph pass of a stranger's plugin: applied where it is asked for, proved, left out where it changes answers."""

from __future__ import annotations

import os
import re
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


class Detour(GraphPass):
    """Multiplies by the identity, many times: the same answers, later."""

    name = "detour"

    def apply(self, model, batch, length):
        import numpy as np
        import onnx_ir as ir

        [flatten] = [node for node in model.graph if node.op_type == "Flatten"]
        if "eye" in model.graph.initializers:
            return
        tensor = ir.tensor(np.eye(140, dtype=np.float32), name="eye")
        eye = ir.val("eye", tensor.dtype, tensor.shape, const_value=tensor)
        model.graph.register_initializer(eye)
        given, readers = flatten.outputs[0], list(flatten.outputs[0].uses())
        nodes = []
        for number in range(100):
            nodes.append(ir.node("MatMul", [given, eye], outputs=[ir.val(f"detour_{number}")]))
            given = nodes[-1].outputs[0]
        model.graph.insert_after(flatten, nodes)
        for reader, place in readers:
            reader.replace_input_with(place, given)


class Wanting(FakeRuntime):
    wants = ("drop_identitys",)


@hookimpl
def ecgedge_passes():
    return [DropIdentities(), Wrong(), Detour()]
'''
WANTING = """

@hookimpl
def ecgedge_runtimes():
    return [Wanting("wanting")]
"""


STEADY = """
from ecgedge.measure.steadiness import kernel

kernel.piece = lambda: 33_000
kernel.waited = kernel.stolen = lambda: None
"""
PICKY = """
from ecgedge import EcgEdgeError, hookimpl
from ecgedge.builtin.onnxruntime_runtimes import OnnxRuntime


class Picky(OnnxRuntime):
    def __init__(self):
        super().__init__("picky", "CPUExecutionProvider")
        self.device = "cpu"

    def load(self, artifact, threads):
        if not artifact.passes:
            raise EcgEdgeError(f"picky cannot run {artifact.path}: too plain")
        return super().load(artifact, threads)


@hookimpl
def ecgedge_runtimes():
    return [Picky()]
"""


TRYING = """
import os
from pathlib import Path

from ecgedge import ConversionError, Exporter, Option, copy_to, hookimpl
from ecgedge.builtin.onnxruntime_runtimes import OnnxRuntime


class Trying(Exporter):
    name, accepts, produces, wants = "trying", ("onnx",), "toy", ("drop_identities",)
    options = (Option("attempts", int, None, "Ways that are tried."),)

    def convert(self, source, out, context):
        with Path(os.environ["TRIED"]).open("a") as file:
            file.write(f"{[*source.passes]}, attempts {context.options.get('attempts')}\\n")
        if not source.passes:
            raise ConversionError("too plain")
        copy_to(source.path, out)
        return source.derive(out, format="toy")


class Toy(OnnxRuntime):
    accepts, suffixes = ("toy",), ()

    def __init__(self):
        super().__init__("toy", "CPUExecutionProvider")
        self.device = "cpu"


@hookimpl
def ecgedge_exporters():
    return [Trying()]


@hookimpl
def ecgedge_runtimes():
    return [Toy()]
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


def test_one_that_makes_a_file_slower_is_told(ecgedge: Command, plugins: Path, file: Path, tmp_path: Path) -> None:
    """A hundred matrix products more, on a machine that is steady whatever runs beside the test."""
    (plugins / "steady.py").write_text(STEADY)
    made = ecgedge("--plugins-dir", plugins, "convert", file, "--to", "onnx", "--passes", "detour",
                   "--dataset", "synthetic", "--out", "made.onnx")  # fmt: skip
    assert made.code == 0, made.err
    told = re.search(r"(?m)^gain +p50 (\S+) -> (\S+) us on cpu, x (\S+) \[.*\]: slower by (\d+)%; (.*)$", made.out)
    assert told, made.out
    before, after, ratio, percent = map(float, told.groups()[:4])
    assert after > 2 * before and ratio > 2 and percent == pytest.approx(100 * (ratio - 1), abs=1)
    assert told[5] == "--no-optimize leaves the passes out"


def test_why_a_gain_was_not_measured_names_no_path_in_the_cache(
    ecgedge: Command, plugins: Path, file: Path, tmp_path: Path
) -> None:
    (plugins / "picky.py").write_text(textwrap.dedent(PICKY))
    made = ecgedge("--plugins-dir", plugins, "convert", file, "--to", "onnx", "--passes", "drop_identities",
                   "--runtime", "picky", "--dataset", "synthetic", "--out", "made.onnx")  # fmt: skip
    assert made.code == 0, made.err
    assert "gain       not measured; without the passes: picky cannot run it: too plain\n" in made.out
    assert os.environ["ECGEDGE_CACHE"] not in made.out + made.err


def test_a_file_that_is_only_compared_with_is_tried_once(
    ecgedge: Command, plugins: Path, file: Path, tmp_path: Path
) -> None:
    """Without the passes nothing comes of it: neither other ways nor another batch are tried for the sake of a line."""
    (plugins / "trying.py").write_text(textwrap.dedent(TRYING))
    made = ecgedge("--plugins-dir", plugins, "convert", file, "--to", "toy", "--dataset", "synthetic",
                   "--out", "made.toy", TRIED=str(tmp_path / "tried"))  # fmt: skip
    assert made.code == 0, made.err
    assert "gain       not measured; without the passes: too plain\n" in made.out
    assert (tmp_path / "tried").read_text().splitlines() == ["['drop_identities'], attempts None", "[], attempts 1"]


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
    assert parts.passes.keys() == {"detour", "drop_identities", "drop_scales"}, "the rest of the plugin stays"


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
