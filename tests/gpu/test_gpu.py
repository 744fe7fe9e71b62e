"""What holds on a GPU: float32, TF32, where it ran, memory, batches, a CUDA graph, peaks, training."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ecgedge import Artifact, infer
from ecgedge.data.dataset import Dataset
from ecgedge.plugins import Parts
from ecgedge.testing import draw
from tests.conftest import Command, rows_of

LIMIT = 1e-4  # of fp32, times the largest output where that is above 1


def on_cpu(file: Artifact, x: np.ndarray) -> np.ndarray:
    """By plain onnxruntime on the processor."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(file.path), providers=["CPUExecutionProvider"])
    return session.run(None, {file.input.name: x})[0]


def off(found: np.ndarray, expected: np.ndarray) -> float:
    """The largest difference, in units of the limit's scale."""
    return float(np.abs(found - expected).max() / max(1.0, np.abs(expected).max()))


@pytest.mark.parametrize("model", ["base-cnn", "tcn"])
@pytest.mark.parametrize("cuda_graph", [False, True])
def test_float32_is_float32(parts: Parts, onnx_files: dict[str, Artifact], model: str, cuda_graph: bool) -> None:
    """Captured or not, in any order of batches; TF32 is further off."""
    file, beats = onnx_files[model], draw(200)
    session = parts.runtimes["cuda"].load(file, 1, cuda_graph=cuda_graph)
    differences = []
    for count in (1, 64, 7, 1, 64):
        session.bind(beats[:count])
        for _ in range(3):  # replayed
            session.invoke()
        differences.append(off(session.fetch(), on_cpu(file, beats[:count])))
    assert max(differences) < LIMIT
    tf32 = parts.runtimes["cuda-tf32"].load(file, 1)
    assert off(infer(tf32, beats), on_cpu(file, beats)) > 3 * max(differences)


def test_torch_computes_float32_while_its_session_is_open(parts: Parts, onnx_files: dict[str, Artifact]) -> None:
    import torch

    from ecgedge.convert.checkpoint import read_checkpoint

    folder = parts.models["tcn"].pretrained()
    assert folder is not None
    beats = draw(64)
    convolution = torch.nn.Conv1d(64, 64, 9).cuda()
    x = torch.randn(8, 64, 500, device="cuda")
    exact = torch.nn.functional.conv1d(x.double(), convolution.weight.double(), convolution.bias.double())

    def error() -> float:
        with torch.no_grad():
            return float((convolution(x) - exact).abs().max())

    before = error()
    session = parts.runtimes["torch-cuda"].load(read_checkpoint(folder, parts.models), 1)
    assert off(infer(session, beats), on_cpu(onnx_files["tcn"], beats)) < LIMIT
    assert error() < 1e-4
    session.close()
    assert error() == pytest.approx(before, rel=0.5), "as it was"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A quick matrix of one model on all that runs on a GPU, and on the processor."""
    import os
    import subprocess
    import sys

    folder = tmp_path_factory.mktemp("gpu") / "run"
    command = [sys.executable, "-m", "ecgedge", "matrix", "--dataset", "synthetic", "--profile", "quick"]
    command += ["--model", "base-cnn", "--format", "torch", "--format", "onnx", "--out", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ, timeout=400)
    assert done.returncode == 0, done.stdout + done.stderr
    (folder / "out.txt").write_text(done.stdout)
    return folder


def test_rows_of_a_gpu(run: Path) -> None:
    rows = {(row["precision"], row["runtime"]): row for row in rows_of(run)}
    mine = {key: row for key, row in rows.items() if row.get("device") == "cuda" and row["status"] != "skipped"}
    assert set(mine) == {("fp32", "cuda"), ("fp16", "cuda"), ("fp32", "cuda-tf32"), ("fp32", "torch-cuda")}
    for row in mine.values():
        assert row["status"] == "ok", row["reason"]
        assert row["copies"] == "outside"
        assert row["device_memory_kib"] is None or row["device_memory_kib"] > 50_000, "a CUDA context alone takes more"
        sizes = [int(key.split("_")[1]) for key in row if key.startswith("throughput_")]
        assert sizes[:3] == [1, 16, 64] and max(sizes) > 64, "more pay on a GPU"
    for runtime in ("cuda", "torch-cuda"):
        assert mine["fp32", runtime]["max_abs_diff"] < LIMIT * 20  # of logits; the row is ok, which says more
    skipped = rows[None, "cuda"]
    assert (skipped["status"], "TensorRT" in skipped["reason"]) == ("skipped", True)
    assert skipped["reason"].startswith("dynamic, full-int8:") and "\n" not in skipped["reason"]


def test_the_run_holds(run: Path, ecgedge: Command) -> None:
    found = ecgedge("check", run)
    assert found.code == 0, found.out


def test_a_cuda_graph_is_an_option_of_the_runtime(ecgedge: Command, tmp_path: Path) -> None:
    asked = ("--model", "base-cnn", "--runtime", "cuda", "--quantizer", "none", "--batch-sizes", "1,64", "--cuda-graph")
    result = ecgedge("matrix", *asked, "--dataset", "synthetic", "--profile", "quick", "--out", "run")
    assert result.code == 0, result.out + result.err
    [row] = rows_of(tmp_path / "run")
    assert (row["status"], row["runtime_options"]) == ("ok", {"cuda_graph": True})


@pytest.mark.parametrize("runtime", ["cuda", "cuda-tf32"])
def test_explain_holds_a_gpu_against_its_own_peak(
    ecgedge: Command, onnx_files: dict[str, Artifact], runtime: str
) -> None:
    file = onnx_files["base-cnn"].path
    result = ecgedge("explain", file, "--runtime", runtime, "--batch", "1024", "--json")
    assert result.code == 0, result.err
    told = json.loads(result.out)
    peaks = told["peaks"]
    assert peaks["device"] == "cuda" and peaks["fp32"]["gmacs"] < peaks["tf32"]["gmacs"] < 1.2 * peaks["fp16"]["gmacs"]
    assert peaks["fp32"]["gmacs"] > 1000, "a processor has less"
    shares = [line["of_peak"] for line in told["operations"] if line["of_peak"] is not None]
    assert shares and max(shares) < 1.2


def test_training_is_on_the_gpu(beats: Dataset) -> None:
    import torch

    from ecgedge.training.teacher import Teacher

    torch.manual_seed(0)
    here, there = (Teacher(beats.train, beats.classes, 0.0, seed=0, device=name) for name in ("cpu", "cuda"))
    assert {part.device.type for pair in there.rocket.kernels.values() for part in pair} == {"cuda"}
    x = torch.from_numpy(beats.test.x[:200])
    one, other = here.rocket(x), there.rocket(x.cuda()).cpu()
    assert float((one - other).abs().max()) < 0.05, "one sample more or less above zero"
    assert float((one - other).abs().mean()) < 1e-4


def test_a_training_on_the_gpu(ecgedge: Command, tmp_path: Path) -> None:
    result = ecgedge("train", "base-cnn", "--epochs", "15", "--dataset", "synthetic", "--out", "trained")
    assert result.code == 0, result.err
    assert json.loads((tmp_path / "trained" / "metrics.json").read_text())["test"]["accuracy"] > 0.85
