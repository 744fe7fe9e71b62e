"""``ecgedge explain``: on files of each runtime, as a user runs it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import ecgedge as library
from tests.conftest import Command, error_of
from tests.full.graphs import graph, weight

BOARD = Path(__file__).parents[1] / "board" / "cnn-ae-int8.tflite"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two convolutions of one dimension and a matrix product, for beats of 140 samples and any batch."""
    body = (
        "h = Conv<pads=[3, 3]>(x, a) r = Relu(h) c = Conv(r, b) p = GlobalAveragePool(c) f = Flatten(p) y = Gemm(f, g)"
    )
    model = graph(body, shape=("batch", 1, 140), a=weight(8, 1, 7), b=weight(4, 8, 5), g=weight(4, 5))
    file = tmp_path_factory.mktemp("explained") / "small.onnx"
    onnx.save(model, file)
    return file


SMALL_MACS = [140 * 8 * 7, 136 * 4 * 8 * 5, 4 * 5]  # by hand: outputs times products of each


def told(here: Command, *arguments: str | Path) -> dict[str, Any]:
    result = here("explain", *arguments, "--json")
    assert result.code == 0, result.err
    found: dict[str, Any] = json.loads(result.out)
    return found


def test_onnx_operations_with_their_figures(here: Command, small: Path) -> None:
    found = told(here, small, "--batch", "3")
    lines = found["operations"]
    assert [line["macs"] for line in lines if line["macs"]] == [3 * macs for macs in SMALL_MACS]
    assert found["total"]["macs"] == 3 * sum(SMALL_MACS)
    first = lines[0]
    assert first["op"] in ("Conv", "FusedConv") and first["placement"] == "CPU" and first["precision"] == "float32"
    assert first["bytes"] == 4 * (3 * 140 + 8 * 7 + 3 * 8 * 140)
    assert sum(line["share"] for line in lines) == pytest.approx(1)
    assert found["total"]["whole_us"] > 0 and found["total"]["calls"] >= 20 and found["batch"] == 3
    assert found["peaks"]["fp32"]["gmacs"] > 0 and found["peaks"]["int8"]["gmacs"] > 0
    assert "isa" in found["machine"] and found["precision"] == "float32"
    by_name = {finding["name"]: finding for finding in found["findings"]}
    assert "2 float32 Conv of one dimension" in by_name["conv_of_one_dimension"]["text"]
    assert {"slowest", "limit"} <= set(by_name)


def test_the_table_and_another_file_timed_in_turns(here: Command, small: Path) -> None:
    out = here("explain", small, "--against", small).out
    assert "1/6 CPU" not in out and "CPUExecutionProvider; passes: none" in out
    for word in ("operation", "of peak", "sum of operations", "whole call", "times: medians of", "peak:  fp32"):
        assert word in out
    assert "- float32 is " in out and f"x {small.name} [" in out
    assert f"pass conv_to_2d: ecgedge convert {small} --to onnx" in out


def test_a_partition_of_the_delegate_and_its_kernels(here: Command) -> None:
    found = told(here, BOARD)
    assert found["notes"] == [] or all("busy" in note for note in found["notes"])
    piece, *kernels = found["operations"]
    assert (piece["kind"], piece["placement"], piece["precision"]) == ("partition", "XNNPACK", "int8")
    assert {line["kind"] for line in kernels} == {"kernel"}
    convolutions = [line for line in kernels if line["macs"]]
    assert sum(line["macs"] for line in convolutions) == piece["macs"] == found["total"]["macs"]
    # by hand, of the autoencoder's seven convolutions of 7 samples: outputs x channels; the last of them comes before
    # its upsampling, as two of 5 samples (upsample_into_conv)
    sizes = [(140, 32, 1), (70, 16, 32), (35, 8, 16), (18, 8, 8), (36, 16, 8), (72, 32, 16)]
    assert [line["macs"] for line in convolutions] == [*(n * m * c * 7 for n, m, c in sizes), 72 * 2 * 32 * 5]
    assert piece["us"] == pytest.approx(sum(line["us"] for line in kernels))


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        ("RuntimeError('none here')", "none here"),
        ("KeyError('op')", "it failed at 'op'"),
        ("AssertionError()", "it failed without a word"),
        ("type('InvalidArgument', (Exception,), {})('[ONNXRuntimeError] : 2 : INVALID_ARGUMENT : Got no beats')",
         "Got no beats"),
    ],
)  # fmt: skip
def test_a_profiler_that_does_not_work_leaves_the_rest(
    ecgedge: Command, tmp_path: Path, raised: str, said: str
) -> None:
    """A note says what was said, and not in which class."""
    (tmp_path / "plugins").mkdir()
    plugin = f"import ecgedge.builtin.tflite_profile as p\ndef events_of(*a):\n    raise {raised}\n"
    (tmp_path / "plugins" / "breaks.py").write_text(plugin + "p.events_of = events_of\n")
    result = ecgedge("--plugins-dir", tmp_path / "plugins", "explain", BOARD, "--json")
    found = json.loads(result.out)
    assert found["notes"][0] == f"no time of single operations: {said}"
    [line] = found["operations"]
    assert line["kind"] == "partition" and line["us"] == found["total"]["whole_us"]


def test_a_network_in_torch(here: Command) -> None:
    found = told(here, "cnn-ae")
    assert found["runtime"] == "torch" or found["format"] == "torch"
    macs = [line["macs"] for line in found["operations"] if line["op"] == "Conv1d"]
    assert macs[:2] == [140 * 32 * 7, 70 * 16 * 32 * 7]


def test_errors_are_the_users(here: Command, small: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.onnx").write_bytes(b"")
    assert "is empty" in error_of(here("explain", "empty.onnx"))
    assert "nothing.onnx" in error_of(here("explain", "nothing.onnx"))
    assert "takes 1 beat a call, not 4" in error_of(here("explain", BOARD, "--batch", "4"))
    assert "does not take onnx" in error_of(here("explain", small, "--runtime", "tflite"))
    assert "is missing" in error_of(here("explain", small, "--against", "other.onnx"))


def test_a_runtime_that_tells_nothing(ecgedge: Command, tmp_path: Path) -> None:
    plugin = (
        "from ecgedge import Runtime, hookimpl\n"
        "from ecgedge.testing import FakeRuntime\n"
        "from ecgedge.builtin.onnxruntime_runtimes import OnnxRuntime, OnnxSession\n"
        "class Quiet(OnnxSession):\n    def graph(self):\n        return None\n"
        "class QuietRuntime(OnnxRuntime):\n"
        "    def load(self, artifact, threads):\n        return Quiet(artifact, [self.provider], threads)\n"
        "@hookimpl\ndef ecgedge_runtimes():\n    return [QuietRuntime('quiet', 'CPUExecutionProvider')]\n"
    )
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "quiet.py").write_text(plugin.replace("from ecgedge.testing import FakeRuntime\n", ""))
    onnx.save(graph("y = Flatten(x)", shape=(1, 1, 140)), tmp_path / "flat.onnx")
    result = ecgedge("--plugins-dir", tmp_path / "plugins", "explain", "flat.onnx", "--runtime", "quiet")
    assert "runtime quiet tells nothing of its operations" in error_of(result)


def test_a_session_of_a_plugin_needs_no_profile() -> None:
    class Plain(library.Session):
        def bind(self, x: np.ndarray) -> None: ...
        def invoke(self) -> None: ...
        def fetch(self) -> np.ndarray:
            return np.zeros(1)

    assert Plain().profile(10) is None and Plain().graph() is None
