"""Every built-in form of every built-in model: right answers, right types, right errors."""

from __future__ import annotations

import json
import shlex
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ecgedge import Artifact, ConversionError, check_parity, load_network
from ecgedge.api.artifact import digest_of
from ecgedge.data.dataset import Dataset
from ecgedge.data.drawing import stratified
from ecgedge.report.remake import convert_command
from ecgedge.run import MatrixRequest
from ecgedge.run.row import Row
from tests.conftest import Command, error_of, rows_of

for framework in ("torch", "onnxruntime", "tensorflow", "onnx2tf", "ai_edge_litert"):
    pytest.importorskip(framework)


def convert(run: Command, *arguments: str | Path) -> str:
    result = run("convert", *arguments, "--dataset", "synthetic")
    assert result.code == 0, result.err
    return result.out


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


@pytest.mark.usefixtures("untimed")
def test_onnx_of_another_opset_and_on_to_tflite(here: Command, tmp_path: Path) -> None:
    import onnx

    convert(here, "tcn", "--to", "onnx", "--opset", "15", "-o", "tcn.onnx")
    graph = onnx.load(tmp_path / "tcn.onnx")
    assert graph.opset_import[0].version == 15
    assert graph.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    told = convert(here, "tcn.onnx", "--to", "tflite", "-o", "tcn.tflite")
    assert "route      tcn -> onnx2tf -> tflite-fp32" in told
    assert " 0 of 500 decisions changed" in told
    told = convert(here, "tcn.onnx", "--to", "saved_model", "-o", "tcn.saved_model")
    assert (tmp_path / "tcn.saved_model" / "saved_model.pb").is_file()


@pytest.mark.parametrize("row_id", ["cnn-ae.onnx.onnx-full-int8.cpu", "cnn-ae.onnx.onnx2tf.tflite-full-int8.tflite"])
def test_a_row_is_made_again_by_the_command_of_its_report(
    here: Command, quick_run: Path, tmp_path: Path, row_id: str
) -> None:
    """The same steps with the same options: the store hands out the very file."""
    [told] = [row for row in rows_of(quick_run / "run") if row["id"] == row_id]
    request = MatrixRequest.from_record(json.loads((quick_run / "run" / "run.json").read_text())["request"])
    result = here(*shlex.split(convert_command(Row.from_record(told), request))[1:], "-o", "again")
    assert result.code == 0, result.err
    assert digest_of(tmp_path / "again") == told["digest"]
    assert f"on {told['runtime']}; all: --verify full" in result.out


def test_all_test_beats_where_that_is_asked_for(here: Command, beats: Dataset, tmp_path: Path) -> None:
    """On fewer, it is said on how many; either way the accuracy is that of the file itself on these beats."""
    import onnxruntime

    told = convert(here, "base-cnn", "--to", "onnx", "-o", "some.onnx")
    assert "verified   on 500 of 4,500 test beats, on cpu; all: --verify full" in told
    index = np.sort(stratified(beats.test.y, 500, 0))
    outputs = onnxruntime.InferenceSession(tmp_path / "some.onnx").run(None, {"input": beats.test.x})[0]
    right = outputs.argmax(axis=1) == beats.test.y
    assert told_accuracy(told) == pytest.approx(right[index].mean(), abs=1e-4)
    told = convert(here, "base-cnn", "--to", "onnx", "-o", "all.onnx", "--verify", "full")
    assert "verified   on all 4,500 test beats, on cpu" in told and " 0 of 4,500 decisions changed" in told
    assert told_accuracy(told) == pytest.approx(right.mean(), abs=1e-4)


def test_a_route_and_a_runtime_are_as_named_or_refused_with_what_there_is(here: Command) -> None:
    def refused(*arguments: str) -> str:
        return error_of(here("convert", "cnn-ae", *arguments, "--dataset", "synthetic"))

    assert "choose from: onnx,onnx2tf" in refused("--to", "tflite", "--exporter", "onnx")
    assert "unknown exporter 'nope'" in refused("--to", "tflite", "--exporter", "nope")
    assert "runtime tflite does not take onnx" in refused("--to", "onnx", "--runtime", "tflite")
    assert "unknown runtime 'nope'" in refused("--to", "onnx", "--runtime", "nope")


def test_nothing_is_overwritten_without_force(here: Command, tmp_path: Path) -> None:
    (tmp_path / "mine.onnx").write_text("mine")
    result = here("convert", "cnn-ae", "--to", "onnx", "-o", "mine.onnx", "--dataset", "synthetic")
    assert "mine.onnx exists" in error_of(result)
    assert (tmp_path / "mine.onnx").read_text() == "mine"
    convert(here, "cnn-ae", "--to", "onnx", "-o", "mine.onnx", "--force")
    assert (tmp_path / "mine.onnx").stat().st_size > 10_000


def test_nothing_of_the_users_is_lost(here: Command, tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "thesis.txt").write_text("years")
    result = here("convert", "cnn-ae", "--to", "onnx", "-o", "thesis", "--force", "--dataset", "synthetic")
    assert "is a folder that ecgedge did not make" in error_of(result)
    assert (tmp_path / "thesis" / "thesis.txt").read_text() == "years"
    convert(here, "cnn-ae", "--to", "saved_model", "-o", "sm")
    convert(here, "cnn-ae", "--to", "saved_model", "-o", "sm", "--force")
    told = convert(here, "sm", "--to", "tflite", "-o", "from-saved-model.tflite")
    assert "route      cnn-ae -> tflite-fp32" in told


def hand_made(path: Path, weights: np.ndarray, dtype: str = "float", output_rank: int = 2) -> Path:
    """A linear classifier (N, 140) -> (N, C), as another tool might write it."""
    import onnx
    from onnx import TensorProto, helper

    kind = {"float": TensorProto.FLOAT, "double": TensorProto.DOUBLE, "int8": TensorProto.INT8}[dtype]
    nodes = [
        helper.make_node("Cast", ["x"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["f", "w"], ["y2"]),
        helper.make_node("Unsqueeze", ["y2", "axis"], ["y3"]),
    ]
    outputs = {2: ("y2", ["n", weights.shape[1]]), 3: ("y3", ["n", 1, weights.shape[1]])}
    name, shape = outputs[output_rank]
    graph = helper.make_graph(
        nodes,
        "hand",
        [helper.make_tensor_value_info("x", kind, ["n", 140])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)],
        [
            onnx.numpy_helper.from_array(weights.astype(np.float32), "w"),
            onnx.numpy_helper.from_array(np.array([1]), "axis"),
        ],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def told_accuracy(text: str) -> float:
    return float(text.split("accuracy ")[1].split()[0].rstrip(","))


@pytest.mark.usefixtures("untimed")
def test_a_file_from_elsewhere(here: Command, beats: Dataset, tmp_path: Path) -> None:
    means = np.stack([beats.train.x[beats.train.y == c, 0].mean(axis=0) for c in range(5)], axis=1)
    hand_made(tmp_path / "linear.onnx", means)
    assert told_accuracy(here("evaluate", "linear.onnx", "--dataset", "synthetic").out) > 0.7
    told = convert(here, "linear.onnx", "--to", "tflite", "-o", "linear.tflite")
    assert " 0 of 500 decisions changed" in told
    accuracy = told_accuracy(here("evaluate", "linear.onnx", "--dataset", "synthetic").out)
    hand_made(tmp_path / "double.onnx", means, "double")
    hand_made(tmp_path / "rank3.onnx", means, output_rank=3)
    hand_made(tmp_path / "int8.onnx", means, "int8")
    coarse = here("evaluate", "int8.onnx", "--dataset", "synthetic", "--input-scale", "0.05").out
    assert told_accuracy(coarse) == pytest.approx(accuracy, abs=0.01)
    for name in ("double.onnx", "rank3.onnx"):
        assert told_accuracy(here("evaluate", name, "--dataset", "synthetic").out) == accuracy


def test_what_cannot_be_told_is_refused(here: Command, tmp_path: Path) -> None:
    hand_made(tmp_path / "int8.onnx", np.ones((140, 5)), "int8")
    told = error_of(here("evaluate", "int8.onnx", "--dataset", "synthetic"))
    assert "int8 without a scale" in told
    assert "--input-scale" in told
    hand_made(tmp_path / "seven.onnx", np.ones((140, 7)))
    told = error_of(here("evaluate", "seven.onnx", "--dataset", "synthetic"))
    assert "gives 7 values a beat; the data has 5 classes and 140 samples" in told


def test_nan_is_no_answer(here: Command, tmp_path: Path) -> None:
    hand_made(tmp_path / "nan.onnx", np.full((140, 5), np.nan))
    result = here("evaluate", "nan.onnx", "--dataset", "synthetic")
    assert result.code == 1
    assert "4,500 of 4,500 beats are not finite" in result.err
    assert "accuracy" not in result.out
    (tmp_path / "mine.onnx").write_text("mine")
    result = here("convert", "nan.onnx", "--to", "onnx", "-o", "mine.onnx", "--force", "--dataset", "synthetic")
    assert result.code == 1
    assert (tmp_path / "mine.onnx").read_text() == "mine", "a wrong result replaced the user's file"


def test_a_quantized_file_is_not_quantized_again(here: Command, tmp_path: Path) -> None:
    convert(here, "cnn-ae", "--to", "onnx", "--quantize", "full-int8", "-o", "q.onnx")
    result = here("convert", "q.onnx", "--to", "onnx", "--quantize", "dynamic", "--dataset", "synthetic")
    assert "onnx cannot be 'dynamic'" in error_of(result)
    assert "cnn-ae-full-int8.onnx: onnx full-int8" in convert(here, "q.onnx", "--to", "onnx")


def test_a_damaged_record_is_the_users_error(here: Command, tmp_path: Path) -> None:
    import json

    import onnx

    convert(here, "cnn-ae", "--to", "onnx", "-o", "good.onnx")
    [text] = [p.value for p in onnx.load(tmp_path / "good.onnx").metadata_props if p.key == "ecgedge"]
    told = json.loads(text)
    for what, broken in {
        "not-json": "{",
        "list": "[]",
        "task": json.dumps(told | {"task": "anomaly"}),
        "threshold": json.dumps(told | {"task": told["task"] | {"threshold": "x"}}),
        "name": text.replace('"name": "input"', '"name": "inputs"'),
        "layout": text.replace('"NCL"', '"LCN"'),
        "normal": text.replace('"normal": "1"', '"normal": "99"'),
    }.items():
        assert broken != text
        graph = onnx.load(tmp_path / "good.onnx")
        onnx.helper.set_model_props(graph, {"ecgedge": broken})
        onnx.save(graph, tmp_path / f"{what}.onnx")
        result = here("evaluate", f"{what}.onnx", "--dataset", "synthetic")
        line = error_of(result)
        assert f"{what}.onnx: its record " in line, what
        assert what in ("not-json", "list", "name", "layout") or f"task.{what}".replace("task.task", "task") in line


def test_what_cannot_be_made_says_what_can(here: Command) -> None:
    def refused(*arguments: str) -> str:
        return error_of(here("convert", *arguments, "--dataset", "synthetic"))

    assert "choose from: onnx, saved_model, tflite, torch" in refused("tcn", "--to", "coreml")
    assert "tflite cannot be 'onnx-fp16'" in refused("tcn", "--to", "tflite", "--quantize", "onnx-fp16")
    assert "base-cnn, cnn-ae, inception, tcn, vgg" in refused("resnet", "--to", "onnx")


@pytest.mark.parametrize("suffix", ["onnx", "tflite"])
def test_damaged_files_are_the_users_errors(here: Command, tmp_path: Path, suffix: str) -> None:
    convert(here, "cnn-ae", "--to", suffix, "-o", f"good.{suffix}")
    whole = (tmp_path / f"good.{suffix}").read_bytes()
    damaged = {"empty": b"", "text": b"not a model at all\n", "half": whole[: len(whole) // 2], "cut": whole[:64]}
    for name, content in damaged.items():
        (tmp_path / f"{name}.{suffix}").write_bytes(content)
        assert f"{name}.{suffix}" in error_of(here("evaluate", f"{name}.{suffix}", "--dataset", "synthetic"))
    assert "absent" in error_of(here("evaluate", f"absent.{suffix}", "--dataset", "synthetic"))


def test_damaged_checkpoints_are_the_users_errors(here: Command, shipped, tmp_path: Path) -> None:
    from ecgedge import copy_to

    def refused(damage) -> str:
        folder = tmp_path / f"checkpoint{len(list(tmp_path.iterdir()))}"
        copy_to(shipped("cnn-ae").path, folder)
        damage(folder)
        return error_of(here("evaluate", f"./{folder.name}", "--dataset", "synthetic"))

    assert "weights.safetensors is damaged" in refused(lambda f: (f / "weights.safetensors").write_bytes(b""))
    assert "weights.safetensors is damaged" in refused(lambda f: (f / "weights.safetensors").write_bytes(b"x" * 99))
    assert "lacks weights.safetensors" in refused(lambda f: (f / "weights.safetensors").unlink())
    assert "model.json is damaged" in refused(lambda f: (f / "model.json").write_text("{"))
    foreign = (shipped("tcn").path / "weights.safetensors").read_bytes()
    assert "belongs to another network" in refused(lambda f: (f / "weights.safetensors").write_bytes(foreign))
    import json

    good = json.loads((shipped("cnn-ae").path / "model.json").read_text())
    for wrong in (
        {"options": []},
        {"length": "140"},
        {"task": []},
        {"task": good["task"] | {"threshold": None}},
        {"task": good["task"] | {"normal": "9"}},
        {"files": []},
        {"files": ["../weights.safetensors"]},
        {"classes": 4},
    ):
        told = refused(lambda f, wrong=wrong: (f / "model.json").write_text(json.dumps(good | wrong)))
        assert "model.json is damaged" in told, wrong
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
        "from ecgedge.convert.checkpoint import read_checkpoint\n"
        "from ecgedge.data.finding import synthetic\n"
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
