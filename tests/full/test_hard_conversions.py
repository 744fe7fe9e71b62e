"""Networks that converters stumble over: right against torch and LiteRT themselves, or one line that says why not."""

from __future__ import annotations

import dataclasses
import importlib
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ecgedge import Artifact, Classification, Context, ConversionError, TensorSpec
from ecgedge.builtin import onnx2tf_exporter
from ecgedge.data.dataset import Dataset
from ecgedge.diverge.origins import origins_between
from ecgedge.diverge.study import study
from ecgedge.passes.optimize import optimize
from ecgedge.plugins import Parts
from tests.conftest import Command

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
for framework in ("onnxruntime", "tensorflow", "onnx2tf", "ai_edge_litert"):
    pytest.importorskip(framework)

from torch import nn  # noqa: E402

from tests.full.graphs import graph, operators  # noqa: E402

CLOSE = 3e-6


class Last(nn.Module):
    """The last step of a recurrent layer, fed by a convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.layer, self.last = nn.Conv1d(1, 24, 5, 2), nn.GRU(24, 24, batch_first=True), nn.Linear(24, 5)

    def forward(self, x: Any) -> Any:
        steps, _ = self.layer(torch.relu(self.first(x)).transpose(1, 2))
        return self.last(steps[:, -1])


class Turned(nn.Module):
    """A layer norm of the channels, between two transposes."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(16)

    def forward(self, x: Any) -> Any:
        return self.norm(x.transpose(1, 2)).transpose(1, 2)


class Mean(nn.Module):
    def forward(self, x: Any) -> Any:
        return x.mean(dim=2)


class Cropped(nn.Module):
    """An autoencoder that gives four samples too many, and cuts them off."""

    def __init__(self) -> None:
        super().__init__()
        self.inside = nn.Sequential(
            nn.Conv1d(1, 8, 9, 8, 6), nn.ReLU(), nn.Upsample(scale_factor=8), nn.Conv1d(8, 1, 7, padding=3)
        )

    def forward(self, x: Any) -> Any:
        return self.inside(x)[:, :, :140]


def around(*layers: nn.Module) -> nn.Module:
    """A classifier with layers of 16 channels and 70 samples inside."""
    return nn.Sequential(nn.Conv1d(1, 16, 5, 2, 2), *layers, Mean(), nn.Linear(16, 5))


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "gelu": lambda: around(nn.GELU(), nn.Conv1d(16, 16, 3, padding=1), nn.GELU("tanh")),
    "layer-norm": lambda: around(Turned(), nn.ReLU(), nn.LayerNorm(70)),
    "layer-norm-of-two-axes": lambda: around(nn.LayerNorm([16, 70])),
    "prelu": lambda: around(nn.PReLU(16), nn.PReLU()),
    "mish": lambda: around(nn.Mish(), nn.Softplus()),
    "padded-pool": lambda: around(nn.MaxPool1d(3, 2, 1), nn.Conv1d(16, 16, 3), nn.MaxPool1d(2, ceil_mode=True)),
    "transposed": lambda: around(nn.ConvTranspose1d(16, 16, 4, 2), nn.GroupNorm(4, 16)),
}


def exported(network: nn.Module, path: Path, free: bool = True) -> Artifact:
    """A network as an ONNX file by torch's exporter, with weights that are not those of a fresh norm."""
    torch.manual_seed(0)
    for parameter in network.parameters():
        if parameter.ndim == 1:
            nn.init.normal_(parameter, 0.3, 0.3)
    axes = {"x": {0: "batch"}, "y": {0: "batch"}} if free else None
    names = {"input_names": ["x"], "output_names": ["y"], "dynamic_axes": axes, "opset_version": 17, "dynamo": False}
    torch.onnx.export(network.eval(), (torch.zeros(1, 1, 140),), str(path), **names)
    shape = (None if free else 1, 1, 140)
    given, returned = TensorSpec("x", shape, "float32", "NCL"), TensorSpec("y", (shape[0], 5), "float32", "NC")
    return Artifact(path, "onnx", "fp32", Classification(tuple("abcde")), given, returned, path.stem, digest="d")


def run_litert(path: Path, x: np.ndarray) -> np.ndarray:
    """What LiteRT answers, beat by beat."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path))
    interpreter.allocate_tensors()
    [given], [returned] = interpreter.get_input_details(), interpreter.get_output_details()
    found = []
    for beat in x[:, None]:
        scale, zero = given["quantization"]
        fed = np.clip(np.rint(beat / scale) + zero, -128, 127).astype(np.int8) if scale else beat
        interpreter.set_tensor(given["index"], fed.reshape(given["shape"]))
        interpreter.invoke()
        scale, zero = returned["quantization"]
        answer = interpreter.get_tensor(returned["index"])
        found.append((answer.astype(np.float32) - zero) * scale if scale else answer)
    return np.concatenate(found)


def answers(network: nn.Module, x: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return network(torch.from_numpy(x)).numpy()


def to_tflite(source: Artifact, folder: Path, beats: np.ndarray, parts: Parts, *quantizers: str) -> list[Artifact]:
    """An ONNX file through the passes that onnx2tf wants, with a fixed batch, onnx2tf and quantizers."""
    exporter, context = parts.exporters["onnx2tf"], Context(beats)
    passed = optimize(source, folder / "passed.onnx", ("fix_batch", *exporter.wants), context)
    assert "left_out" not in passed.notes
    saved = exporter.convert(dataclasses.replace(passed, digest="p"), folder / "saved", context)
    saved = dataclasses.replace(saved, digest="s")
    return [parts.quantizers[name].quantize(saved, folder / f"{name}.tflite", context) for name in quantizers]


@pytest.mark.parametrize("name", NETWORKS)
def test_tflite_answers_as_torch_does(name: str, parts: Parts, beats: Dataset, tmp_path: Path) -> None:
    torch.manual_seed(1)
    network = NETWORKS[name]()
    source = exported(network, tmp_path / f"{name}.onnx")
    plain, integer = to_tflite(source, tmp_path, beats.train.x[:60], parts, "tflite-fp32", "tflite-full-int8")
    x = beats.test.x[:40]
    expected = answers(network, x)
    assert np.abs(run_litert(plain.path, x) - expected).max() <= CLOSE * max(1, np.abs(expected).max())
    found = run_litert(integer.path, x)
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.98


def test_onnx2tf_tells_which_tensor_became_which(parts: Parts, beats: Dataset, tmp_path: Path) -> None:
    """Through a pass, onnx2tf and the TFLite converter; what they tell is what the tensors hold."""
    source = exported(around(nn.ReLU(), nn.Conv1d(16, 16, 3)), tmp_path / "net.onnx")
    passed = optimize(source, tmp_path / "passed.onnx", ("fix_batch", "conv_to_2d"), Context(beats.train.x[:20]))
    passed = dataclasses.replace(passed, digest="p", maker={"part": "passes"})
    saved = parts.exporters["onnx2tf"].convert(passed, tmp_path / "saved", Context(beats.train.x[:20]))
    saved = dataclasses.replace(saved, digest="s", maker={"part": "exporter onnx2tf"})
    plain = parts.quantizers["tflite-fp32"].quantize(saved, tmp_path / "net.tflite", Context(beats.train.x[:20]))
    form, x = parts.runtimes["tflite"].taps(plain, 1), beats.test.x[:4]
    assert form
    for right, how, least in ((passed, "onnx2tf", 2), (source, "passes", 1)):
        reference = parts.runtimes["cpu"].taps(right, 1)
        assert reference
        told = origins_between([source, passed, saved, plain], (plain, form.wiring), (right, reference.wiring))
        found, alone = study(form, reference, x, told=told), study(form, reference, x)
        assert found.matched_by[how] >= least and {"passes", "onnx2tf"}.isdisjoint(alone.matched_by)
        assert [(line.tensor, line.reference) for line in found.lines] == [
            (line.tensor, line.reference) for line in alone.lines
        ]


def test_a_crop_that_onnx2tf_drops_is_named(parts: Parts, beats: Dataset, tmp_path: Path) -> None:
    """A silent corruption as it is made: by onnx2tf 1.28 without onnxsim, of what torch's older exporter writes."""
    import onnx2tf

    source = exported(Cropped(), tmp_path / "net.onnx")
    given = {"input_onnx_file_path": str(source.path), "output_folder_path": str(tmp_path / "made")}
    onnx2tf.convert(**given, not_use_onnxsim=True, non_verbose=True, output_signaturedefs=True, batch_size=1)
    form = parts.runtimes["tflite"].inspect(tmp_path / "made" / "net_float32.tflite")
    mine, theirs = parts.runtimes["tflite"].taps(form, 1), parts.runtimes["cpu"].taps(source, 1)
    assert mine and theirs and mine.read(mine.wiring.output, beats.test.x[:4])[0][0].size == 144
    found = study(mine, theirs, beats.test.x[:4])
    assert found.dropped == ("/Slice",) and found.culprit and found.culprit.tensor == mine.wiring.output
    with pytest.raises(ConversionError, match="144 values a beat instead of 140"):  # ecgedge itself does not take it
        parts.exporters["onnx2tf"].convert(
            source, tmp_path / "saved", Context(beats.train.x[:20], options={"attempts": 1})
        )


@pytest.mark.parametrize(("options", "tried"), [({}, 2), ({"attempts": 1}, 1)])
def test_as_many_ways_to_set_onnx2tf_are_tried_as_are_asked_for(
    options: dict[str, Any], tried: int, beats: Dataset, parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a graph without groups there are two: as it is, and with onnx2tf's own simplification."""
    settings: list[Any] = []

    def fail(model: Any, source: Artifact, out: Path, asked: Any) -> None:
        settings.append(asked)
        raise ConversionError("not today")

    monkeypatch.setattr(onnx2tf_exporter, "save", fail)
    source = exported(around(nn.ReLU()), tmp_path / "plain.onnx")
    with pytest.raises(ConversionError, match="not today"):
        context = Context(beats.train.x[:8], options=options)
        parts.exporters["onnx2tf"].convert(source, tmp_path / "saved", context)
    assert len(settings) == tried and settings[0] == {}


def test_a_free_batch_and_a_free_length_on_the_way_to_tflite(here: Command, beats: Dataset, tmp_path: Path) -> None:
    torch.manual_seed(1)
    network = Last()
    exported(network, tmp_path / "gru.onnx")
    result = here("convert", "gru.onnx", "--to", "tflite", "-o", "gru.tflite", "--dataset", "synthetic")
    assert result.code == 0, result.err
    assert "fix_batch" in result.out and "gain       p50 " in result.out
    expected = answers(network, beats.test.x[:40])
    assert np.abs(run_litert(tmp_path / "gru.tflite", beats.test.x[:40]) - expected).max() <= CLOSE
    result = here("convert", "gru.onnx", "--to", "onnx", "--quantize", "full-int8", "--dataset", "synthetic")
    assert result.code == 1 and not [*tmp_path.glob("*int8*")]
    assert "the result is not full-int8 and was not kept: full-int8: its weights are " in result.err
    assert "float weights are multiplied by" in result.err

    lengths = around(nn.ReLU())
    source = exported(lengths, tmp_path / "lengths.onnx")
    model = onnx.load(source.path)
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "length"
    onnx.save(model, source.path)
    result = here("convert", "lengths.onnx", "--to", "tflite", "-o", "lengths.tflite", "--dataset", "synthetic")
    assert result.code == 0, result.err
    expected = answers(lengths, beats.test.x[:40])
    assert np.abs(run_litert(tmp_path / "lengths.tflite", beats.test.x[:40]) - expected).max() <= CLOSE


def test_a_refusal_is_one_line_that_names_the_operation(parts: Parts, beats: Dataset, tmp_path: Path) -> None:
    def source_of(model: Any, name: str) -> Artifact:
        onnx.save(model, tmp_path / name)
        specs = TensorSpec("x", (1, 1, 140), "float32", "NCL"), TensorSpec("y", (1, 140), "float32", "NC")
        return Artifact(tmp_path / name, "onnx", "fp32", Classification(tuple("ab")), *specs, "theirs", digest="d")

    for body, opset, told in (
        ("e = Erf(x) y = Flatten(e)", 17, r"TensorFlow's converter has no TFLite operation for Erf"),
        ("p = LpPool<kernel_shape=[3], pads=[1, 1]>(x) y = Flatten(p)", 18, r"onnx2tf cannot convert LpPool"),
    ):
        model = graph(body, (1, 1, 140), opset)
        folder = tmp_path / str(opset)
        folder.mkdir()
        with pytest.raises(ConversionError, match=told) as raised:
            to_tflite(source_of(model, f"{opset}.onnx"), folder, beats.train.x[:20], parts, "tflite-fp32")
        assert len(str(raised.value)) < 200 and "\n" not in str(raised.value)


def test_norms_are_quantized_in_onnx(parts: Parts, beats: Dataset, tmp_path: Path) -> None:
    import onnxruntime

    torch.manual_seed(1)
    network = around(nn.LayerNorm([16, 70]), nn.ReLU(), nn.InstanceNorm1d(16, affine=True))
    source = exported(network, tmp_path / "norms.onnx")
    made = parts.quantizers["onnx-full-int8"].quantize(source, tmp_path / "int8.onnx", Context(beats.train.x[:60]))
    assert operators(onnx.load(made.path)).count("QuantizeLinear") > 5
    x = beats.test.x[:40]
    [found] = onnxruntime.InferenceSession(str(made.path)).run(None, {"x": x})
    assert np.corrcoef(found.ravel(), answers(network, x).ravel())[0, 1] > 0.98


def test_what_a_library_would_take_along_is_hidden_meanwhile() -> None:
    """One that is there already stays, and all can be imported afterwards."""
    sys.modules.pop("colorsys", None)
    with onnx2tf_exporter.without("colorsys", "json"):
        assert "json" in sys.modules and find_spec("json")
        with pytest.raises(ImportError):
            importlib.import_module("colorsys")
    assert importlib.import_module("colorsys").rgb_to_hsv


PLUGIN = """
import onnx
from ecgedge import ConversionError, Quantizer, hookimpl

class Picky(Quantizer):
    name, precision, accepts = "picky", "picky", ("onnx",)
    wants = ("fold_constants", "conv_to_2d", "drop_dead_ends")

    def quantize(self, source, out, context):
        model = onnx.load(source.path)
        if any(len(tensor.dims) == 4 for tensor in model.graph.initializer):
            raise ConversionError("two dimensions are too many")
        return self.finish(model, source, out)

    def finish(self, model, source, out):
        onnx.save(model, out)
        return source.derive(out, precision=self.precision)

class Careless(Picky):
    name = precision = "careless"
    wants = ()

    def finish(self, model, source, out):
        *_, bias = [tensor for tensor in model.graph.initializer if list(tensor.dims) == [5]]
        values = onnx.numpy_helper.to_array(bias).copy()
        values[2] += 3.0
        bias.CopyFrom(onnx.numpy_helper.from_array(values, bias.name))
        return super().finish(model, source, out)

@hookimpl
def ecgedge_quantizers():
    return Picky(), Careless()
"""


def test_a_pass_that_a_converter_cannot_take_is_left_out_and_a_loss_is_said(ecgedge: Command, tmp_path: Path) -> None:
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "picky.py").write_text(PLUGIN)

    def convert(quantizer: str) -> Any:
        what = ("base-cnn", "--to", "onnx", "--quantize", quantizer, "-o", f"{quantizer}.onnx")
        return ecgedge("--plugins-dir", tmp_path / "plugins", "convert", *what, "--dataset", "synthetic")

    result = convert("picky")
    assert result.code == 0, result.err
    assert "Warning: pass conv_to_2d left out: with it, two dimensions are too many" in result.err
    assert ", 0 of 500 decisions changed" in result.out
    assert "passes     none changed it" in result.out
    result = convert("careless")
    assert result.code == 0, result.err
    lines = dict(line.split(maxsplit=1) for line in result.out.splitlines() if " " in line)
    assert lines["loss"].startswith("worse by ") and "points (p" in lines["loss"]
    assert f"Warning: {lines['loss']}" in result.err
