"""Every built-in form of every built-in model: right answers, right types, right errors."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ecgedge import Artifact, ConversionError, check_parity, load_network
from ecgedge.dataset import Dataset
from ecgedge.plugins import Parts
from tests.conftest import Command, error_of
from tests.full.conftest import MODELS

for framework in ("torch", "onnxruntime", "tensorflow", "onnx2tf", "ai_edge_litert"):
    pytest.importorskip(framework)


def convert(ecgedge: Command, *arguments: str | Path) -> str:
    result = ecgedge("convert", *arguments, "--dataset", "synthetic")
    assert result.code == 0, result.err
    return result.out


@pytest.mark.parametrize("name", MODELS)
def test_tflite_full_int8_is_int8_at_both_ends(
    ecgedge: Command, inspect, parts: Parts, tmp_path: Path, name: str
) -> None:
    told = convert(ecgedge, name, "--to", "tflite", "--quantize", "full-int8", "-o", "m.tflite")
    assert "decisions changed" in told
    artifact = inspect(tmp_path / "m.tflite")
    assert (artifact.input.dtype, artifact.output.dtype) == ("int8", "int8")
    assert (artifact.name, artifact.precision) == (name, "full-int8")
    session = parts.runtimes["tflite"].load(artifact, 1)
    assert session.placement() == {"delegate_partitions": 1}


@pytest.mark.parametrize(("to", "precision"), [("onnx", "full-int8"), ("onnx", "fp16"), ("tflite", "dynamic")])
def test_the_file_alone_is_understood(
    ecgedge: Command, inspect, shipped, tmp_path: Path, to: str, precision: str
) -> None:
    convert(ecgedge, "cnn-ae", "--to", to, "--quantize", precision, "-o", f"alone.{to}")
    artifact: Artifact = inspect(tmp_path / f"alone.{to}")
    assert artifact.task == shipped("cnn-ae").task
    assert (artifact.precision, artifact.input.dtype) == (precision, "float32")
    evaluated = ecgedge("evaluate", f"alone.{to}", "--dataset", "synthetic")
    assert "AUROC 0." in evaluated.out
    assert f"at the threshold {artifact.task.threshold:.6g}" in evaluated.out


def test_onnx_of_another_opset_and_on_to_tflite(ecgedge: Command, tmp_path: Path) -> None:
    import onnx

    convert(ecgedge, "tcn", "--to", "onnx", "--opset", "15", "-o", "tcn.onnx")
    graph = onnx.load(tmp_path / "tcn.onnx")
    assert graph.opset_import[0].version == 15
    assert graph.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    told = convert(ecgedge, "tcn.onnx", "--to", "tflite", "-o", "tcn.tflite")
    assert "route      tcn -> onnx2tf -> tflite-fp32" in told
    assert " 0 of 4,500 decisions changed" in told
    told = convert(ecgedge, "tcn.onnx", "--to", "saved_model", "-o", "tcn.saved_model")
    assert (tmp_path / "tcn.saved_model" / "saved_model.pb").is_file()


def test_nothing_is_overwritten_without_force(ecgedge: Command, tmp_path: Path) -> None:
    (tmp_path / "mine.onnx").write_text("mine")
    result = ecgedge("convert", "cnn-ae", "--to", "onnx", "-o", "mine.onnx", "--dataset", "synthetic")
    assert "mine.onnx exists" in error_of(result)
    assert (tmp_path / "mine.onnx").read_text() == "mine"
    convert(ecgedge, "cnn-ae", "--to", "onnx", "-o", "mine.onnx", "--force")
    assert (tmp_path / "mine.onnx").stat().st_size > 10_000


def test_what_cannot_be_made_says_what_can(ecgedge: Command) -> None:
    def refused(*arguments: str) -> str:
        return error_of(ecgedge("convert", *arguments, "--dataset", "synthetic"))

    assert "choose from: onnx, saved_model, tflite, torch" in refused("tcn", "--to", "coreml")
    assert "tflite cannot be 'onnx-fp16'" in refused("tcn", "--to", "tflite", "--quantize", "onnx-fp16")
    assert "base-cnn, cnn-ae, inception, tcn, vgg" in refused("resnet", "--to", "onnx")


@pytest.mark.parametrize("suffix", ["onnx", "tflite"])
def test_damaged_files_are_the_users_errors(ecgedge: Command, tmp_path: Path, suffix: str) -> None:
    convert(ecgedge, "cnn-ae", "--to", suffix, "-o", f"good.{suffix}")
    whole = (tmp_path / f"good.{suffix}").read_bytes()
    damaged = {"empty": b"", "text": b"not a model at all\n", "half": whole[: len(whole) // 2], "cut": whole[:64]}
    for name, content in damaged.items():
        (tmp_path / f"{name}.{suffix}").write_bytes(content)
        assert f"{name}.{suffix}" in error_of(ecgedge("evaluate", f"{name}.{suffix}", "--dataset", "synthetic"))
    assert "absent" in error_of(ecgedge("evaluate", f"absent.{suffix}", "--dataset", "synthetic"))


def test_damaged_checkpoints_are_the_users_errors(ecgedge: Command, shipped, tmp_path: Path) -> None:
    from ecgedge import copy_to

    def refused(damage) -> str:
        folder = tmp_path / f"checkpoint{len(list(tmp_path.iterdir()))}"
        copy_to(shipped("cnn-ae").path, folder)
        damage(folder)
        return error_of(ecgedge("evaluate", f"./{folder.name}", "--dataset", "synthetic"))

    assert "weights.safetensors is damaged" in refused(lambda f: (f / "weights.safetensors").write_bytes(b""))
    assert "weights.safetensors is damaged" in refused(lambda f: (f / "weights.safetensors").write_bytes(b"x" * 99))
    assert "lacks weights.safetensors" in refused(lambda f: (f / "weights.safetensors").unlink())
    assert "model.json is damaged" in refused(lambda f: (f / "model.json").write_text("{"))
    foreign = (shipped("tcn").path / "weights.safetensors").read_bytes()
    assert "belongs to another network" in refused(lambda f: (f / "weights.safetensors").write_bytes(foreign))
    record = (shipped("cnn-ae").path / "model.json").read_text().replace('"cnn-ae"', '"lstm"')
    assert "'lstm', which no installed plugin provides" in refused(lambda f: (f / "model.json").write_text(record))


def test_conversion_needs_no_network(tmp_path: Path) -> None:
    """onnx2tf is known to download sample data: with every connection refused, nothing changes."""
    probe = tmp_path / "probe.py"
    probe.write_text(
        "import socket\n"
        "def refuse(*_):\n    raise OSError('the network was touched')\n"
        "socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse\n"
        "from ecgedge import Context, plugins\n"
        "from ecgedge.checkpoint import read_checkpoint\n"
        "from ecgedge.synthetic import synthetic\n"
        "from pathlib import Path\n"
        "parts = plugins.load()\n"
        "artifact = read_checkpoint(parts.models['cnn-ae'].pretrained(), parts.models)\n"
        "context = Context(synthetic().train.x[:64])\n"
        f"root = Path({str(tmp_path)!r})\n"
        "artifact = parts.exporters['onnx'].convert(artifact, root / 'm.onnx', context)\n"
        "artifact = parts.exporters['onnx2tf'].convert(artifact, root / 'm.saved_model', context)\n"
        "artifact = parts.quantizers['tflite-fp32'].quantize(artifact, root / 'm.tflite', context)\n"
        "print('MADE', artifact.path.stat().st_size)\n"
    )
    done = subprocess.run([sys.executable, probe], capture_output=True, text=True, timeout=300)
    assert "MADE" in done.stdout, done.stderr[-2000:]
    assert hasattr(socket, "socket")


def test_a_silently_wrong_conversion_is_caught(shipped, beats: Dataset) -> None:
    network = load_network(shipped("cnn-ae"))
    import torch

    with torch.inference_mode():
        right = network(torch.from_numpy(beats.train.x[:8])).numpy()
    assert check_parity(right, right + 1e-6, "step") == pytest.approx(1e-6, rel=0.2)
    with pytest.raises(ConversionError, match="144 values a beat instead of 140"):
        check_parity(right, np.pad(right, ((0, 0), (0, 0), (0, 4))), "the crop was dropped")
    with pytest.raises(ConversionError, match="outputs differ by"):
        check_parity(right, right[:, :, ::-1], "step")
    with pytest.raises(ConversionError, match="not finite"):
        check_parity(right, right * np.nan, "step")
