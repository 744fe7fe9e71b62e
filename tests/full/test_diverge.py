"""``ecgedge diverge``: faults planted in files, as a user finds them."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from ecgedge import EcgEdgeError
from ecgedge.builtin.onnxruntime_runtimes import OnnxRuntime
from ecgedge.builtin.tflite_runtime import TfliteRuntime
from tests.conftest import Command, error_of
from tests.full.graphs import graph, norm, weight
from tests.pages import ROOT

BOARD = Path(__file__).parents[1] / "board" / "tcn-int8.tflite"
DATA = ("--dataset", "synthetic", "--beats", "16")
X = np.random.default_rng(0).standard_normal((6, 1, 140)).astype(np.float32)


@pytest.fixture(scope="module")
def planting() -> Any:
    """The benchmark, which plants the faults."""
    spec = importlib.util.spec_from_file_location("planting", ROOT / "benchmarks" / "diverge.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three convolutions of one dimension and a matrix product, for beats of 140 samples and any batch."""
    body = """
        h1 = Conv<pads=[3, 3]>(x, a) r1 = Relu(h1) h2 = Conv<pads=[2, 2]>(r1, b) r2 = Relu(h2)
        h3 = Conv<pads=[2, 2]>(r2, c) r3 = Relu(h3) p = GlobalAveragePool(r3) f = Flatten(p) y = Gemm(f, g)
    """
    weights = {"a": weight(8, 1, 7), "b": weight(6, 8, 5) / 6, "c": weight(7, 6, 5) / 6, "g": weight(7, 5)}
    file = tmp_path_factory.mktemp("diverging") / "small.onnx"
    onnx.save(graph(body, shape=("batch", 1, 140), **weights), file)
    return file


def told(here: Command, *arguments: str | Path) -> dict[str, Any]:
    result = here("diverge", *arguments, *DATA, "--json")
    assert result.code == 0, result.err
    found: dict[str, Any] = json.loads(result.out)
    return found


@pytest.mark.parametrize("fault", ["padding", "relu", "layout", "norm"])
def test_a_fault_planted_in_onnx_is_named(
    here: Command, small: Path, planting: Any, tmp_path: Path, fault: str
) -> None:
    name = planting.planted(small, fault, 1, tmp_path / "wrong.onnx")
    found = told(here, "wrong.onnx", "--against", small)
    assert found["culprit"] == found["ranking"][0] == name
    assert found["parted"] == "wrong.onnx" and found["study"]["matched"] == 1


def test_a_crop_that_a_converter_dropped_is_named_with_the_operation_that_it_is_missing_behind(
    here: Command, planting: Any, tmp_path: Path
) -> None:
    body = "h = Conv<pads=[5, 5]>(x, a) r = Relu(h) c = Conv<pads=[3, 3]>(r, b) y = Slice(c, s, e, d)"
    ends = {name: np.array([value], np.int64) for name, value in (("s", 0), ("e", 140), ("d", 2))}
    weights = {"a": weight(6, 1, 7), "b": weight(1, 6, 7) / 6, **ends}
    onnx.save(graph(body, shape=("batch", 1, 140), **weights), tmp_path / "right.onnx")
    name = planting.planted(tmp_path / "right.onnx", "crop", 1, tmp_path / "longer.onnx")
    found = told(here, "longer.onnx", "--against", "right.onnx", "--task", "anomaly")
    assert found["study"]["dropped"] == [name] and found["culprit"].startswith("Conv")
    assert [each["name"] for each in found["findings"]] == ["dropped"]
    assert "144 values" in found["stages"][1]["allowed"] and found["parted"] == "longer.onnx"


def test_a_batch_norm_that_was_exported_in_training_mode_is_named(here: Command, tmp_path: Path) -> None:
    def written(name: str, mode: str, more: str) -> None:
        body = f"""h = Conv<pads=[3, 3]>(x, a) n{more} = BatchNormalization<{mode}>(h, ns, no, nm, nv)
            r = Relu(n) k = Conv<pads=[2, 2]>(r, b) p = GlobalAveragePool(k) f = Flatten(p) y = Gemm(f, g)"""
        constants = {"a": weight(6, 1, 7), "b": weight(6, 6, 5) / 6, "g": weight(6, 5), **norm(6)}
        onnx.save(graph(body, shape=("batch", 1, 140), **constants), tmp_path / name)

    written("right.onnx", "epsilon=1e-5", "")
    written("wrong.onnx", "training_mode=1", ", mean, variance")
    found = told(here, "wrong.onnx", "--against", "right.onnx")
    assert found["culprit"] and found["culprit"].startswith("BatchNormalization")
    [finding] = found["findings"]
    assert finding["name"] == "norm_in_training" and "network.eval()" in finding["remedy"]


@pytest.mark.parametrize("fault", ["negate"])
def test_a_fault_planted_in_an_int8_tflite_file_is_named(
    here: Command, planting: Any, tmp_path: Path, fault: str
) -> None:
    name = planting.planted(BOARD, fault, 1, tmp_path / "wrong.tflite")
    found = told(here, "wrong.tflite", "--against", BOARD)
    assert found["culprit"] == found["ranking"][0] == name
    assert all(line["local_steps"] is not None for line in found["study"]["lines"])


def test_a_conversion_is_looked_at_stage_by_stage(here: Command, small: Path, tmp_path: Path) -> None:
    result = here("diverge", small, "--to", "onnx", "--quantize", "full-int8", "--fix", "--max-drop", "90", *DATA,
                  "--html", "page.html")  # fmt: skip
    assert result.code == 0, result.err
    page = (tmp_path / "page.html").read_text()
    assert "No operation is at fault" in page and page.count("<svg") >= 2 and "Nothing to mend" in page
    assert "nothing to mend" in result.out
    assert "culprit: none" in result.out and "no stage parts" in result.out
    assert max(map(len, result.out.splitlines())) <= 120
    found = told(here, small, "--to", "onnx", "--quantize", "full-int8")
    assert [stage["precision"] for stage in found["stages"]] == ["fp32", "full-int8"]
    assert found["stages"][1]["name"] == found["form"] == "onnx full-int8"
    assert found["culprit"] is None and found["study"]["matched"] == 1


def test_the_same_tensor_in_pieces_and_as_the_file_runs(small: Path) -> None:
    for runtime, file in ((TfliteRuntime(), BOARD), (OnnxRuntime("cpu", "CPUExecutionProvider"), small)):
        taps = runtime.taps(runtime.inspect(file), 1)
        assert taps
        wiring = taps.wiring
        answers = taps.read(wiring.output, X)[0]
        held = {}
        for tensor in wiring.tensors:
            held[tensor.name], whole = taps.read(tensor.name, X)
            np.testing.assert_allclose(whole, answers, atol=0 if file == BOARD else 1e-5)
        for op in wiring.operations:
            made = taps.between({name: held[name] for name in op.inputs}, op.outputs[0])
            np.testing.assert_allclose(made, held[op.outputs[0]], atol=1e-5)
        taps.close()


@pytest.mark.parametrize(("field", "value"), [("zeroPoint", [2**45]), ("quantizedDimension", 9), ("scale", [0.1] * 3)])
def test_a_file_whose_tensors_are_not_what_they_have_to_be_is_told(
    planting: Any, tmp_path: Path, field: str, value: Any
) -> None:
    file = planting.TfliteFile(BOARD, 1)
    setattr(file.weights.quantization, field, value)
    path, runtime = file.save(tmp_path / "odd.tflite"), TfliteRuntime()
    artifact = replace(runtime.inspect(BOARD), path=path)
    with pytest.raises(EcgEdgeError, match="what it says of its tensors cannot be read"):
        runtime.taps(artifact, 1)


def test_files_that_are_no_two_forms_of_one_model(here: Command, small: Path, tmp_path: Path) -> None:
    assert "no other form" in error_of(here("diverge", small))
    assert "nothing.onnx" in error_of(here("diverge", small, "--against", "nothing.onnx", *DATA))
    other = graph("h = Flatten(x) y = MatMul(h, w)", shape=("batch", 1, 140), w=weight(140, 7))
    onnx.save(other, tmp_path / "seven.onnx")
    assert error_of(here("diverge", small, "--against", "seven.onnx", *DATA))
