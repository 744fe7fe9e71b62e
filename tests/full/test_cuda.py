"""What the runtimes of a GPU do, as far as it can be told without one: tests/gpu has the rest."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ecgedge import Artifact, EcgEdgeError, infer, without_tf32
from ecgedge.plugins import Parts
from ecgedge.testing import draw, make_artifact
from tests.conftest import Command

for framework in ("torch", "onnxruntime", "onnx"):
    pytest.importorskip(framework)


@pytest.fixture(scope="module")
def onnx_file(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return make_artifact("base-cnn", "onnx", tmp_path_factory.mktemp("cuda"))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The providers that onnxruntime is asked for; the sessions are those of the CPU."""
    import onnxruntime

    made: list[Any] = []
    real = onnxruntime.InferenceSession

    def session(path: str, options: Any, providers: list[Any]) -> Any:
        made.append(providers)
        return real(path, options, providers=["CPUExecutionProvider"])

    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: None)
    return made


@pytest.mark.parametrize(
    ("runtime", "options", "expected"),
    [
        ("cuda", {}, {"use_tf32": "0"}),
        ("cuda", {"cuda_graph": True}, {"use_tf32": "0", "enable_cuda_graph": "1"}),
        ("cuda-tf32", {}, {"use_tf32": "1"}),
    ],
)
def test_what_the_cuda_provider_is_asked_for(
    parts: Parts, onnx_file: Artifact, asked: list[Any], runtime: str, options: dict, expected: dict
) -> None:
    """Names and values are those of onnxruntime's CUDA provider; a session that fell back is an error."""
    part = parts.runtimes[runtime]
    with pytest.raises(RuntimeError, match="could not use CUDAExecutionProvider"):
        part.load(onnx_file, 1, **options)
    assert asked == [[("CUDAExecutionProvider", expected), "CPUExecutionProvider"]]
    assert set(options) <= set(part.defaults)


def test_tf32_is_a_runtime_of_its_own(parts: Parts) -> None:
    cuda, tf32 = parts.runtimes["cuda"], parts.runtimes["cuda-tf32"]
    assert (cuda.device, cuda.computes, tf32.device, tf32.computes) == ("cuda", None, "cuda", "tf32")
    assert "TensorRT" in cuda.refuses["full-int8"] and "\n" not in cuda.refuses["full-int8"]
    assert set(cuda.refuses) == {"dynamic", "full-int8", "mixed"}
    assert tf32.refuses == dict.fromkeys(["fp16", "dynamic", "full-int8", "mixed"], "")


@pytest.mark.parametrize("captured", [False, True])
def test_buffers_on_a_device(onnx_file: Artifact, captured: bool) -> None:
    """With the CPU's memory in the place of the GPU's: shapes in any order, nothing left of the call before."""
    import onnxruntime

    from ecgedge.builtin.onnxruntime_runtimes import DeviceSession

    plain = onnxruntime.InferenceSession(str(onnx_file.path), providers=["CPUExecutionProvider"])
    session = DeviceSession(onnx_file, ["CPUExecutionProvider"], 1, "cpu", captured)
    assert session.copies == "outside"
    kept = []
    for count in (1, 3, 1, 64, 3):
        x = draw(count) + np.float32(len(kept) * 0.1)
        before = x.copy()
        session.bind(x)
        session.invoke()
        kept.append((session.fetch(), plain.run(None, {onnx_file.input.name: x})[0]))
        np.testing.assert_array_equal(x, before)
    for found, expected in kept:
        np.testing.assert_allclose(found, expected, atol=1e-5)
    assert len(session.known) == (3 if captured else 1), "a captured graph keeps the buffers of each shape"
    x = draw(70)
    expected = plain.run(None, {onnx_file.input.name: x})[0]
    np.testing.assert_allclose(infer(session, x), expected, atol=1e-5)
    graph = session.graph()
    assert graph is not None and len(graph.nodes) > 10


def test_a_graph_wants_an_output_of_known_shape(onnx_file: Artifact) -> None:
    from dataclasses import replace

    from ecgedge.builtin.onnxruntime_runtimes import DeviceSession

    free = replace(onnx_file, output=replace(onnx_file.output, shape=(None, None)))
    with pytest.raises(EcgEdgeError, match="known shape"):
        DeviceSession(free, ["CPUExecutionProvider"], 1, "cpu", captured=True).bind(draw(1))
    session = DeviceSession(free, ["CPUExecutionProvider"], 1, "cpu")
    session.bind(draw(2))
    session.invoke()
    assert session.fetch().shape == (2, 5)


def test_launching_is_not_taken_for_computing(onnx_file: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    from ecgedge.builtin.onnxruntime_runtimes import DeviceSession

    session = DeviceSession(onnx_file, ["CPUExecutionProvider"], 1, "cpu")
    session.bind(draw(1))
    session.invoke()
    monkeypatch.delenv("CUDA_LAUNCH_BLOCKING", raising=False)
    assert session.profile(3) is None
    monkeypatch.setenv("CUDA_LAUNCH_BLOCKING", "1")
    profile = session.profile(3)
    assert profile is not None and len(profile.calls) == 3


def switches() -> list[Any]:
    """What torch says of its float32 products on a GPU: matrices, convolutions, recurrent layers."""
    import torch

    cudnn = torch.backends.cudnn
    places = [cudnn.conv, cudnn.rnn] if hasattr(cudnn, "conv") else [cudnn]
    name = "fp32_precision" if hasattr(cudnn, "conv") else "allow_tf32"
    return [getattr(place, name) for place in (torch.backends.cuda.matmul, *places)]


def test_tf32_is_off_in_torch_for_a_while() -> None:
    """Two that overlap: the last one that ends restores what was there before the first."""
    before = switches()
    first, second = without_tf32(), without_tf32()
    first.__enter__()
    second.__enter__()
    assert set(switches()) <= {"ieee", False}
    first.__exit__(None, None, None)
    assert set(switches()) <= {"ieee", False}
    second.__exit__(None, None, None)
    assert switches() == before
    with pytest.raises(ZeroDivisionError), without_tf32():
        1 / 0  # noqa: B018
    assert switches() == before


def test_a_torch_session_on_a_device_computes_in_float32(shipped: Callable[[str], Artifact], tmp_path: Path) -> None:
    """On torch's device ``meta``, which computes nothing, but is none of the CPU's."""
    from ecgedge import load_network
    from ecgedge.builtin.torch_runtime import TorchSession

    before = switches()
    artifact = shipped("base-cnn")
    network = load_network(artifact)
    on_cpu = TorchSession(network, "cpu", artifact.output)
    assert (switches(), on_cpu.copies) == (before, None)
    session = TorchSession(network, "meta", artifact.output)
    session.bind(draw(2))
    session.invoke()
    assert set(switches()) <= {"ieee", False}
    assert (session.copies, session.y.device.type) == ("outside", "meta")
    session.close()
    assert switches() == before


def test_the_peaks_of_a_gpu_are_measured_there_or_not_at_all() -> None:
    import onnx
    import torch

    from ecgedge.measure.gpu_peaks import measure_gpu_peaks, product_model

    onnx.checker.check_model(onnx.load_from_string(product_model(np.float16)))
    if torch.cuda.is_available():
        pytest.skip("there is a GPU: tests/gpu measures it")
    told = measure_gpu_peaks(None)
    assert not {"fp32", "tf32", "fp16"} & set(told)
    assert "torch sees no GPU, onnxruntime " in told["missing"]["fp32"]


NPU = """
from ecgedge import Runtime, hookimpl
from ecgedge.builtin.onnxruntime_runtimes import OnnxRuntime

@hookimpl
def ecgedge_runtimes():
    made = OnnxRuntime("npu", "CPUExecutionProvider")
    made.device = "npu"
    return [made]
"""


def test_explain_holds_another_device_against_no_peak_of_the_processor(
    ecgedge: Command, onnx_file: Artifact, tmp_path: Path
) -> None:
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "npu.py").write_text(NPU)
    result = ecgedge("--plugins-dir", tmp_path / "plugins", "explain", onnx_file.path, "--runtime", "npu")
    assert result.code == 0, result.err
    assert "no fp32 peak of this device: none was measured, npu computes on npu" in result.out
    assert "of peak" not in result.out and "limit" not in result.out and "avx" not in result.out
