"""The parts keep ecgedge's contracts, and what is special to ncnn holds."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("ncnn", reason="ncnn is not installed here: tox run -e ncnn")

import torch
from ecgedge_ncnn.contracts import *  # noqa: F403  (classes that pytest collects)
from ecgedge_ncnn.contracts import BF16, FP32
from ecgedge_ncnn.converters import NcnnExporter, program
from ecgedge_ncnn.kinds import KINDS
from ecgedge_ncnn.model_file import BIN_FILE, PARAM_FILE, read_weights
from ecgedge_ncnn.runtime import HALVES, NcnnRuntime
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from ecgedge import Artifact, Context, ConversionError, EcgEdgeError, Graph, copy_to, load_network
from ecgedge.testing import draw, judge_graph, make_artifact

MODELS = ("base-cnn", "vgg", "inception", "tcn", "cnn-ae")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return make_artifact("base-cnn", "ncnn", tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def onnx(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return make_artifact("base-cnn", "onnx", tmp_path_factory.mktemp("onnx"))


def test_the_entry_point_leads_here() -> None:
    [point] = [point for point in metadata.entry_points(group="ecgedge") if point.name == "ncnn"]
    module = point.load()
    found = [*module.ecgedge_exporters(), *module.ecgedge_quantizers(), *module.ecgedge_runtimes()]
    assert [part.name for part in found] == ["ncnn", "ncnn-fp16", "ncnn", "ncnn-bf16"]


def answers(runtime: NcnnRuntime, artifact: Artifact, beats: np.ndarray) -> tuple[np.ndarray, Graph]:
    session = runtime.load(artifact, 1)
    session.bind(beats)
    session.invoke()
    graph = session.graph()
    found = session.fetch()
    session.close()
    assert graph is not None
    return found, graph


def multiplied(graph: Graph) -> list[tuple[str, ...]]:
    """Types of input and weights of each layer that multiplies with weights."""
    return [node.takes[:2] for node in graph.nodes if node.op in ("Convolution", "InnerProduct")]


def flops_of(network: nn.Module, *given: torch.Tensor) -> int:
    """By torch's own counter, which counts a multiply-accumulate as two."""
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network(*given)
    return counter.get_total_flops()


@pytest.mark.parametrize("model", MODELS)
def test_decisions_are_those_of_torch(model: str, tmp_path: Path) -> None:
    """Of float32 and of float16 files; what bfloat16 changes is told by the matrix."""
    beats = draw(200)
    network = load_network(make_artifact(model, "torch", tmp_path)).eval()
    with torch.inference_mode():
        expected = network(torch.from_numpy(beats)).numpy()
    for quantizer, allowed in (("none", 1e-5), ("ncnn-fp16", 0.01)):
        folder = tmp_path / quantizer
        folder.mkdir()
        made = make_artifact(model, "ncnn", folder, quantizer)
        found, graph = answers(FP32, made, beats)
        assert np.abs(found - expected).max() < allowed * np.abs(expected).max()
        if expected.ndim == 2:
            np.testing.assert_array_equal(found.argmax(1), expected.argmax(1))
        verdict = judge_graph(graph, made.precision)
        assert (verdict["status"], verdict["precision_check"]) == ("ok", "checked"), verdict["reason"]
        assert verdict["kinds"] == "told"
        if model in ("base-cnn", "vgg", "tcn"):  # no pass changes how much these multiply
            flops = flops_of(network, torch.from_numpy(beats))
            assert 2 * sum(node.macs or 0 for node in graph.nodes) == flops
        assert graph.placement() == f"{len(graph.nodes)}/{len(graph.nodes)} ncnn"


def test_the_precision_is_the_one_that_was_asked_for(base: Artifact) -> None:
    full, graph = answers(FP32, base, draw(50))
    assert multiplied(graph) == [("float32", "float32")] * 5
    assert {dtype for node in graph.nodes for dtype in node.gives} == {"float32"}
    half, graph = answers(BF16, base, draw(50))
    assert [beats for beats, _ in multiplied(graph)] == ["bfloat16"] * 5
    assert 0 < np.abs(full - half).max() < 0.2
    assert sum(weight.size_bytes for weight in graph.weights or ()) > 0.99 * (base.path / BIN_FILE).stat().st_size


def test_every_option_that_changes_the_precision_is_known() -> None:
    """Those of this ncnn: one more would be left as ncnn sets it."""
    import ncnn

    assert {name for name in dir(ncnn.Option) if "fp16" in name or "bf16" in name} == set(HALVES)


def test_shapes_are_told_as_they_ran(base: Artifact) -> None:
    """Also of packed values: multiplications are those of the network."""
    _, graph = answers(FP32, base, draw(3))
    first = graph.nodes[1]
    assert (first.op, first.input_shapes) == ("Convolution", ((3, 1, 1, 140), (64, 1, 1, 7), (64,)))
    assert first.output_shapes == ((3, 64, 1, 140),)
    layers = [140 * 64 * 7, 70 * 128 * 64 * 5, 35 * 256 * 128 * 3, 256 * 128, 128 * 5]
    assert [node.macs for node in graph.nodes if node.macs] == [3 * count for count in layers]


def test_a_file_is_two_files_and_a_record(base: Artifact, tmp_path: Path) -> None:
    assert {file.name for file in base.path.iterdir()} == {PARAM_FILE, BIN_FILE, "ecgedge.json"}
    assert json.loads((base.path / "ecgedge.json").read_text())["precision"] == "fp32"
    half = make_artifact("base-cnn", "ncnn", tmp_path, "ncnn-fp16")
    assert half.size_bytes < 0.51 * base.size_bytes
    assert half.precision == "fp16"


class Everything(nn.Module):
    """A layer of each kind whose weights are read."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Sequential(nn.Conv1d(1, 4, 5), nn.Conv1d(4, 4, 3, groups=4, bias=False))
        self.norm = nn.BatchNorm1d(4)
        self.two = nn.Sequential(nn.Conv2d(4, 6, (1, 3)), nn.ReLU(), nn.Conv2d(6, 6, (2, 3), groups=6, padding=(1, 0)))
        self.up = nn.ConvTranspose1d(4, 3, 3, stride=2)
        self.head = nn.Linear(3, 5, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norm(self.one(x).sigmoid())
        plane = self.two(x.unsqueeze(2)).mean(2)
        return self.head(self.up(plane[:, :4]).mean(-1))


@pytest.fixture
def everything(onnx: Artifact, tmp_path: Path) -> tuple[nn.Module, Artifact]:
    torch.manual_seed(0)
    network = Everything().eval()
    nn.init.uniform_(network.norm.running_mean, 0.5, 1.5)
    return network, exported(network, onnx, tmp_path)


def exported(network: nn.Module, onnx: Artifact, folder: Path, batch: int | None = None) -> Artifact:
    """An ONNX file of a network for beats of 140 samples; ``onnx`` describes it."""
    axes = None if batch else {"input": {0: "n"}, "output": {0: "n"}}
    example = torch.zeros(batch or 2, 1, 140)
    names = {"input_names": ["input"], "output_names": ["output"]}
    torch.onnx.export(
        network, (example,), folder / "net.onnx", dynamo=False, opset_version=17, dynamic_axes=axes, **names
    )
    given, returned = replace(onnx.input, name="input"), replace(onnx.output, name="output")
    given, returned = (replace(each, shape=(batch, *each.shape[1:])) for each in (given, returned))
    return replace(onnx, path=folder / "net.onnx", input=given, output=returned)


def test_all_weights_are_read(everything: tuple[nn.Module, Artifact], tmp_path: Path) -> None:
    """Of convolutions in one and two dimensions, in groups, transposed, of norms and dense layers."""
    network, source = everything
    made = NcnnExporter().convert(source, tmp_path / "made", Context(draw(10)))
    found, graph = answers(FP32, made, draw(4))
    with torch.inference_mode():
        np.testing.assert_allclose(found, network(torch.from_numpy(draw(4))).numpy(), atol=1e-5)
    kinds = {node.op for node in graph.nodes if any(node.constants)}
    weighty = {"Convolution1D", "ConvolutionDepthWise1D", "BatchNorm", "Convolution", "ConvolutionDepthWise"}
    assert kinds == weighty | {"Deconvolution1D", "InnerProduct"}
    told = sum(weight.size_bytes for weight in graph.weights or ())
    tags = sum(node.op != "BatchNorm" for node in graph.nodes if any(node.constants))
    assert told + 4 * tags == (made.path / BIN_FILE).stat().st_size
    products = [node for node in graph.nodes if node.kind == "multiplies"]
    assert products == [node for node in graph.nodes if any(node.constants) and node.op != "BatchNorm"]
    assert 2 * sum(node.macs or 0 for node in products) == flops_of(network, torch.from_numpy(draw(4)))


def test_weights_that_are_not_known_are_not_told(base: Artifact, tmp_path: Path) -> None:
    """Rather than some of them: the row says that its weights were not seen."""
    copy_to(base.path, tmp_path / "more")
    content = (base.path / BIN_FILE).read_bytes()
    for changed in (content + bytes(4), content[:-4], b"\1" + content[1:]):
        (tmp_path / "more" / BIN_FILE).write_bytes(changed)
        assert read_weights(tmp_path / "more") is None
    (tmp_path / "more" / BIN_FILE).write_bytes(content + bytes(4))  # ncnn reads what it needs
    found, graph = answers(FP32, replace(base, path=tmp_path / "more"), draw(3))
    np.testing.assert_array_equal(found, answers(FP32, base, draw(3))[0])
    assert graph.weights is None
    assert judge_graph(graph, "fp32")["precision_check"] == "checked, but its weights are not told"


@pytest.mark.parametrize("batch", [1, 4])
def test_a_fixed_batch_stays(onnx: Artifact, tmp_path: Path, batch: int) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv1d(1, 4, 5), nn.Flatten(), nn.Linear(4 * 136, 5)).eval()
    made = NcnnExporter().convert(exported(network, onnx, tmp_path, batch), tmp_path / "made", Context(draw(10)))
    assert (made.input.batch, FP32.load(made, 1).batch) == (batch, batch)
    with torch.inference_mode():
        expected = network(torch.from_numpy(draw(batch))).numpy()
    np.testing.assert_allclose(answers(FP32, made, draw(batch))[0], expected, atol=1e-5)


def test_what_ncnn_has_not_is_told_by_name(onnx: Artifact, tmp_path: Path) -> None:
    class Sums(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.cumsum(2)[:, 0]

    source = exported(Sums(), onnx, tmp_path)
    with pytest.raises(ConversionError, match=r"ncnn 1\.\S+ has no layer .*CumSum"):
        NcnnExporter().convert(source, tmp_path / "made", Context(draw(10)))


def test_a_network_without_weights_is_one(onnx: Artifact, tmp_path: Path) -> None:
    source = exported(nn.Sequential(nn.ReLU(), nn.Flatten()), onnx, tmp_path)
    made = NcnnExporter().convert(source, tmp_path / "made", Context(draw(10)))
    found, graph = answers(FP32, made, draw(3))
    np.testing.assert_array_equal(found, np.maximum(draw(3), 0)[:, 0])
    assert graph.weights == ()


def test_a_crash_of_pnnx_is_told(onnx: Artifact, tmp_path: Path) -> None:
    """It does not survive an empty file."""
    (tmp_path / "bad.onnx").write_bytes(b"")
    with pytest.raises(ConversionError, match=r"pnnx gave up with exit code -?\d+: .+"):
        NcnnExporter().convert(replace(onnx, path=tmp_path / "bad.onnx"), tmp_path / "made", Context(draw(10)))
    assert not list((tmp_path / "made").iterdir())


def test_other_answers_are_refused(onnx: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ecgedge_ncnn.converters.answers", lambda artifact, beats: np.zeros((len(beats), 5)))
    with pytest.raises(ConversionError, match="onnx -> ncnn: outputs differ"):
        NcnnExporter().convert(onnx, tmp_path / "made", Context(draw(10)))


def test_other_inputs_than_float32_are_refused(onnx: Artifact, tmp_path: Path) -> None:
    source = replace(onnx, input=replace(onnx.input, dtype="int8"))
    with pytest.raises(ConversionError, match="the input is int8, ncnn takes float32"):
        NcnnExporter().convert(source, tmp_path / "made", Context(draw(10)))


def test_pnnx_is_found_without_its_import() -> None:
    """Its import brings torch, which it does not need."""
    code = "import sys; from ecgedge_ncnn.converters import program; program(); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert program().is_file()


def test_without_pnnx_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(EcgEdgeError, match="pnnx is not installed") as caught:
        program()
    assert caught.value.hint == "ecgedge env create pnnx"


@pytest.mark.parametrize(
    ("name", "change", "told"),
    [
        (PARAM_FILE, lambda content: b"", "does not begin with 7767517"),
        (PARAM_FILE, lambda content: b"no model at all", "does not begin with 7767517"),
        (PARAM_FILE, lambda content: bytes(range(256)), "does not begin with 7767517"),
        (PARAM_FILE, lambda content: content[:300], r"line \d+ is no layer"),
        (PARAM_FILE, lambda content: content.replace(b"=64 ", b"=x "), "cannot be read by ncnn"),
        (PARAM_FILE, lambda content: content.replace(b"Pooling ", b"Swimming "), "has no layer Swimming"),
        (PARAM_FILE, lambda content: content[:8] + b"0 0\n", "cannot be read by ncnn"),
        (BIN_FILE, lambda content: b"", "cannot be read by ncnn"),
        (BIN_FILE, lambda content: content[:5000], "cannot be read by ncnn"),
        (BIN_FILE, lambda content: b"no model at all" * 1000, "cannot be read by ncnn"),
        (BIN_FILE, None, "is missing"),
    ],
)
def test_a_damaged_file_is_the_users_error(
    base: Artifact, tmp_path: Path, name: str, change: object, told: str
) -> None:
    copy_to(base.path, tmp_path / "bad")
    file = tmp_path / "bad" / name
    if callable(change):
        file.write_bytes(change(file.read_bytes()))
    else:
        file.unlink()
    with pytest.raises(EcgEdgeError, match=f"{name}.*{told}") as caught:
        FP32.load(replace(base, path=tmp_path / "bad"), 1)
    assert "\n" not in caught.value.message


def test_the_kind_of_each_layer_of_this_ncnn_is_known() -> None:
    """ncnn counts its layers: all numbers up to the last are there, and each has one of our names."""
    import ncnn

    assert {ncnn.layer_to_index(name) for name in KINDS} == {*range(len(KINDS))}
    assert ncnn.create_layer(len(KINDS) - 1) is not None and ncnn.create_layer(len(KINDS)) is None


MOVES: dict[str, tuple[Any, ...]] = {  # the shape of ``in``, and the lines of a file that makes ``out`` of it
    "Concat": ((4, 6), "Split s 1 2 in a b", "Concat c 2 1 a b out 0=1"),
    "CopyTo": ((4, 6), "Split s 1 2 in a b", "CopyTo c 2 1 a b out"),
    "Crop": ((4, 6), "Crop c 1 1 in out 0=1 1=1 2=0 3=4 4=2 5=1"),
    "DeepCopy": ((4, 6), "DeepCopy c 1 1 in out"),
    "Diag": ((6, 6), "Diag c 1 1 in out 0=1"),
    "ExpandDims": ((4, 6), "ExpandDims c 1 1 in out -23303=1,0"),
    "Flatten": ((4, 6), "Flatten c 1 1 in out"),
    "Flip": ((4, 6), "Flip c 1 1 in out -23300=1,0"),
    "Noop": ((4, 6), "Noop c 1 1 in out"),
    "Packing": ((4, 6), "Packing c 1 1 in out 0=1"),
    "Padding": ((4, 6), "Padding c 1 1 in out 0=1 1=0 2=2 3=1 4=2"),
    "Permute": ((4, 6), "Permute c 1 1 in out 0=1"),
    "PixelShuffle": ((4, 2, 3), "PixelShuffle c 1 1 in out 0=2"),
    "Reorg": ((2, 4, 6), "Reorg c 1 1 in out 0=2"),
    "Reshape": ((4, 6), "Reshape c 1 1 in out 0=8 1=3"),
    "ShuffleChannel": ((4, 2, 3), "ShuffleChannel c 1 1 in out 0=2"),
    "Slice": ((4, 6), "Slice c 1 2 in out b -23300=2,-233,-233 1=0"),
    "Split": ((4, 6), "Split s 1 2 in out b"),
    "Squeeze": ((1, 4, 6), "Squeeze c 1 1 in out -23303=1,0"),
    "Tile": ((4, 6), "Tile c 1 1 in out 0=0 1=2"),
    "Unfold": ((2, 4, 6), "Unfold c 1 1 in out 1=2 11=2"),
}
NO_VALUES = {"Cast", "Input", "MemoryData"}  # other types; what is there without a layer


@pytest.mark.parametrize("name", MOVES)
def test_what_moves_values_leaves_them_as_they_are(name: str, tmp_path: Path) -> None:
    """By what ncnn answers: each value is one of those that went in, or the zero of a padding."""
    import ncnn

    shape, *lines = MOVES[name]
    values = {word for line in lines for word in line.split() if word in ("in", "out", "a", "b")}
    text = "\n".join(["7767517", f"{len(lines) + 1} {len(values)}", "Input i 0 1 in", *lines])
    (tmp_path / "net.param").write_text(text + "\n")
    net = ncnn.Net()
    assert net.load_param(str(tmp_path / "net.param")) == 0
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    extractor = net.create_extractor()
    extractor.input("in", ncnn.Mat(x).clone())
    status, made = extractor.extract("out")
    found = np.array(made)
    assert status == 0 and found.size > 1 and KINDS[name] == "moves"
    assert {*found.ravel().tolist()} <= {0.0, *x.ravel().tolist()}


def test_each_layer_that_is_said_to_move_was_seen_to() -> None:
    assert {name for name, kind in KINDS.items() if kind == "moves"} == MOVES.keys() | NO_VALUES


def test_bfloat16_is_declared() -> None:
    assert [each.name for each in BF16.precisions] == [BF16.computes] and not FP32.precisions
