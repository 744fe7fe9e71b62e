"""The parts keep ecgedge's contracts, and what is special to ExecuTorch holds."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from importlib import metadata, resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("executorch", reason="ExecuTorch is not installed here: tox run -e executorch")

import torch
from ecgedge_executorch.contracts import *  # noqa: F403  (classes that pytest collects)
from ecgedge_executorch.contracts import RUNTIME
from ecgedge_executorch.exporter import described, write
from ecgedge_executorch.kinds import KERNELS, NODES
from ecgedge_executorch.planes import in_planes
from ecgedge_executorch.quantizer import ExecuTorchInt8
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from ecgedge import Artifact, Context, EcgEdgeError, Graph, load_network
from ecgedge.testing import draw, judge_graph, make_artifact

LENGTH = 45  # odd after the first pooling, and after the second


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return make_artifact("base-cnn", "executorch", tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return make_artifact("cnn-ae", "torch", tmp_path_factory.mktemp("checkpoint"))


def test_the_entry_point_leads_here() -> None:
    [point] = [point for point in metadata.entry_points(group="ecgedge") if point.name == "executorch"]
    module = point.load()
    found = [*module.ecgedge_exporters(), *module.ecgedge_quantizers(), *module.ecgedge_runtimes()]
    assert [part.name for part in found] == ["executorch", "executorch-full-int8", "executorch"]


def graph_of(artifact: Artifact) -> Graph:
    session = RUNTIME.load(artifact, 1)
    session.bind(draw(1, artifact.input.shape[2] or 0))
    session.invoke()
    graph = session.graph()
    session.close()
    assert graph is not None
    return graph


def multiplied(graph: Graph) -> list[tuple[str, ...]]:
    """Types of input and weights of each layer that multiplies with weights."""
    return [node.takes[:2] for node in graph.nodes if node.op in ("Conv2d", "DepthwiseConv2d", "FullyConnected")]


def test_all_of_a_network_is_handed_to_xnnpack(base: Artifact) -> None:
    graph = graph_of(base)
    assert multiplied(graph) == [("float32", "float32")] * 5
    assert graph.placement() == f"1 partition, all {len(graph.nodes)} ops in XNNPACK"
    assert sum(weight.size_bytes for weight in graph.weights or ()) > 0.9 * base.size_bytes
    verdict = judge_graph(graph, "fp32")
    assert (verdict["status"], verdict["kinds"]) == ("ok", "told")


def test_int8_computes_in_int8(base: Artifact, tmp_path: Path) -> None:
    made = make_artifact("base-cnn", "executorch", tmp_path, "executorch-full-int8")
    graph = graph_of(made)
    assert multiplied(graph) == [("int8", "int8")] * 5
    verdict = judge_graph(graph, "full-int8", parent=graph_of(base))
    assert (verdict["status"], verdict["float_ops"]) == ("ok", []), verdict["reason"]
    assert verdict["precision_check"] == "checked"
    assert made.size_bytes < 0.3 * base.size_bytes
    assert judge_graph(graph_of(base), "full-int8")["status"] == "rejected"


def flops_of(network: nn.Module, *given: torch.Tensor) -> int:
    """By torch's own counter, which counts a multiply-accumulate as two."""
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network(*given)
    return counter.get_total_flops()


def macs_of(graph: Graph) -> int:
    return sum(node.macs or 0 for node in graph.nodes)


def test_as_much_is_multiplied_as_torch_counts(base: Artifact, checkpoint: Artifact, tmp_path: Path) -> None:
    """In groups, transposed, with strides, of matrices, in XNNPACK and outside of it."""
    network = load_network(make_artifact("base-cnn", "torch", tmp_path)).eval()
    assert 2 * macs_of(graph_of(base)) == flops_of(network, torch.from_numpy(draw(1)))
    layers = (nn.Conv2d(1, 8, (1, 5), stride=2), nn.Conv2d(8, 8, (1, 3), groups=4), nn.Conv2d(8, 8, 3, padding=1,
              groups=8), nn.ConvTranspose2d(8, 6, (1, 4)))  # fmt: skip
    products = Products(nn.Sequential(*layers)).eval()
    x = torch.randn(1, 1, 140)
    artifact = described(checkpoint, tmp_path / "products.pte", 1, "fp32")
    write(torch.export.export(products, (x,)), artifact)
    graph = graph_of(artifact)
    assert {node.op for node in graph.nodes if node.kind == "multiplies"} == {
        "Conv2d", "DepthwiseConv2d", "ConvTranspose2d", "BatchMatrixMultiply", "FullyConnected"
    }  # fmt: skip
    assert 2 * macs_of(graph) == flops_of(products, x)
    assert all(len(node.input_shapes) == len(node.takes) for node in graph.nodes)


class Products(nn.Module):
    def __init__(self, layers: nn.Module) -> None:
        super().__init__()
        self.layers, self.head = layers, nn.Linear(6, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.layers(x.unsqueeze(2)).squeeze(2)
        return self.head((x @ x.transpose(1, 2)).softmax(-1))


def test_what_is_quantized_while_it_runs_is_no_full_int8(checkpoint: Artifact, tmp_path: Path) -> None:
    """XNNPACK calls it Convert, as what is quantized by fixed ranges."""
    from executorch.backends.xnnpack.quantizer import xnnpack_quantizer as xnnpack
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    network, x = nn.Sequential(nn.Linear(140, 40), nn.Linear(40, 140)).eval(), torch.from_numpy(draw(1))
    wanted = xnnpack.get_symmetric_quantization_config(is_per_channel=True, is_dynamic=True)
    watched = prepare_pt2e(torch.export.export(network, (x,)).module(), xnnpack.XNNPACKQuantizer().set_global(wanted))
    watched(x)
    artifact = described(checkpoint, tmp_path / "dynamic.pte", 1, "dynamic")
    write(torch.export.export(convert_pt2e(watched), (x,)), artifact)
    graph = graph_of(artifact)
    assert any(node.dynamic for node in graph.nodes)
    assert judge_graph(graph, "dynamic")["status"] == "ok"
    assert "quantized while it runs (this is dynamic)" in judge_graph(graph, "full-int8")["reason"]


def test_the_kind_of_each_node_of_this_xnnpack_is_known() -> None:
    from executorch.backends.xnnpack import serialization

    schema = resources.files(serialization).joinpath("schema.fbs").read_text()
    [union] = re.findall(r"union XNodeUnion \{(.*?)\}", schema, re.DOTALL)
    assert {*re.findall(r"^\s*XNN(\w+)", union, re.MULTILINE)} == {*NODES}


def test_kernels_are_those_of_torch() -> None:
    """Of aten; or of what PT2E and ExecuTorch's own dialect add to it."""
    from executorch.exir.passes import dim_order_ops_registry  # noqa: F401  (registers operations)
    from torch.ao.quantization.fx import _decomposed  # noqa: F401  (the same)

    spaces = (torch.ops.aten, torch.ops.quantized_decomposed, torch.ops.dim_order_ops)
    unknown = [name for name in KERNELS if not any(hasattr(ops, name + end) for ops in spaces for end in ("", "_copy"))]
    assert not unknown


Call = Callable[[Any, torch.Tensor], Any]
MOVES: dict[str, Call] = {  # of (4, 4, 6) values
    "alias": lambda aten, x: aten.alias(x),
    "as_strided": lambda aten, x: aten.as_strided(x, [2, 3], [6, 2]),
    "cat": lambda aten, x: aten.cat([x, x], 1),
    "clone": lambda aten, x: aten.clone(x),
    "constant_pad_nd": lambda aten, x: aten.constant_pad_nd(x, [1, 2]),
    "detach": lambda aten, x: aten.detach(x),
    "expand": lambda aten, x: aten.expand(x[:, :1], [4, 5, 6]),
    "flip": lambda aten, x: aten.flip(x, [2]),
    "gather": lambda aten, x: aten.gather(x, 1, torch.ones(4, 2, 6, dtype=torch.int64)),
    "index_select": lambda aten, x: aten.index_select(x, 1, torch.tensor([2, 0])),
    "narrow": lambda aten, x: aten.narrow(x, 2, 1, 3),
    "permute": lambda aten, x: aten.permute(x, [2, 0, 1]),
    "pixel_shuffle": lambda aten, x: aten.pixel_shuffle(x, 2),
    "pixel_unshuffle": lambda aten, x: aten.pixel_unshuffle(x, 2),
    "reflection_pad1d": lambda aten, x: aten.reflection_pad1d(x, [1, 2]),
    "repeat": lambda aten, x: aten.repeat(x, [1, 2, 1]),
    "replication_pad1d": lambda aten, x: aten.replication_pad1d(x, [1, 2]),
    "roll": lambda aten, x: aten.roll(x, [2], [2]),
    "select": lambda aten, x: aten.select(x, 1, 2),
    "slice": lambda aten, x: aten.slice(x, 2, 1, 6, 2),
    "split_with_sizes": lambda aten, x: aten.split_with_sizes(x, [1, 3], 1)[1],
    "squeeze": lambda aten, x: aten.squeeze(x[:1]),
    "stack": lambda aten, x: aten.stack([x, x]),
    "t": lambda aten, x: aten.t(x[0]),
    "transpose": lambda aten, x: aten.transpose(x, 1, 2),
    "unbind": lambda aten, x: aten.unbind(x, 1)[0],
    "unfold": lambda aten, x: aten.unfold(x, 2, 3, 1),
    "unsqueeze": lambda aten, x: aten.unsqueeze(x, 1),
    "view": lambda aten, x: aten.view(x, [16, 6]),
}
OTHER_TYPES = {"_clone_dim_order", "_to", "_to_dim_order"}


def test_what_moves_values_leaves_them_as_they_are() -> None:
    """By what torch answers: each value is one of those that went in, or the zero of a padding."""
    assert {name for name, kind in KERNELS.items() if kind == "moves"} == MOVES.keys() | OTHER_TYPES
    x = torch.randn(4, 4, 6)
    for name, call in MOVES.items():
        found = call(torch.ops.aten, x)
        assert {*found.flatten().tolist()} <= {0.0, *x.flatten().tolist()} and found.numel() > 1, name


class Everything(nn.Module):
    """Layers with a counterpart in planes, and some without."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv1d(1, 4, 5, padding="same"), nn.BatchNorm1d(4), nn.ReLU())
        self.branches = nn.ModuleList(nn.Conv1d(4, 3, 3, padding=d, dilation=d, bias=False) for d in (1, 2))
        self.joined = nn.BatchNorm1d(6)
        self.pools = nn.Sequential(nn.MaxPool1d(2, ceil_mode=True), nn.AvgPool1d(3, stride=2, padding=1))
        self.alone = nn.BatchNorm1d(6)
        self.up = nn.Sequential(nn.Upsample(scale_factor=4), nn.Upsample(scale_factor=3))
        self.deconv = nn.ConvTranspose1d(6, 4, 3, stride=2)
        self.head = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        x = self.joined(torch.cat([branch(x) for branch in self.branches], dim=-2))
        x = self.alone(self.pools(x) * 2)
        x = self.deconv(self.up(x))[..., 1:]
        x = x.transpose(1, 2).softmax(-1).transpose(1, 2) + x
        return self.head(x.mean(-1))


def trained(network: nn.Module) -> Any:
    """With batch norms that do something."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d):
            for tensor in (module.weight, module.bias, module.running_mean, module.running_var):
                nn.init.uniform_(tensor, 0.5, 1.5)
    return network.eval()


@pytest.mark.parametrize("batch", [1, 2])
def test_planes_answer_as_the_network_does(batch: int) -> None:
    torch.manual_seed(0)
    network = trained(Everything())
    beats = torch.from_numpy(draw(batch, LENGTH))
    program = in_planes(network, batch, LENGTH)
    with torch.inference_mode():
        torch.testing.assert_close(program.module()(beats), network(beats), rtol=1e-5, atol=1e-5)
    targets = [str(node.target) for node in program.graph.nodes]
    for left in ("conv1d", "max_pool1d", "avg_pool1d", "batch_norm"):
        assert not any(left in target for target in targets), f"{left} is left"


def test_what_xnnpack_does_not_take_is_told(checkpoint: Artifact, tmp_path: Path) -> None:
    """A piece in float between two of XNNPACK's: seen in the placement, and no full int8."""
    network = nn.Sequential(nn.Conv1d(1, 40, 5), Sums(), nn.Conv1d(40, 1, 5, padding=4)).eval()
    artifact = described(checkpoint, tmp_path / "sums.pte", 1, "fp32")
    write(in_planes(network, 1, 140), artifact)
    graph = graph_of(artifact)
    assert [node.op for node in graph.nodes if node.runner == "ExecuTorch"] == ["cumsum"]
    assert graph.placement() == "2 partitions, 1 op outside XNNPACK"
    assert "cumsum" in str(judge_graph(graph, "full-int8")["float_ops"])


class Sums(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.cumsum(2)


def test_an_input_that_the_file_keeps_to_itself_is_given_again(checkpoint: Artifact, tmp_path: Path) -> None:
    """Files of other makers have a place for their input, which a call overwrites."""
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    network = nn.Sequential(*[layer for _ in range(3) for layer in (nn.Conv1d(1, 1, 3, padding=1), Sums())]).eval()
    artifact = described(checkpoint, tmp_path / "theirs.pte", 1, "fp32")
    lowered = to_edge_transform_and_lower(in_planes(network, 1, 140), partitioner=[XnnpackPartitioner()])
    artifact.path.write_bytes(lowered.to_executorch().buffer)
    session = RUNTIME.load(artifact, 1)
    beats = draw(1)
    session.bind(beats)
    for _ in range(3):
        session.invoke()
        with torch.inference_mode():
            expected = network(torch.from_numpy(beats)).numpy()
        np.testing.assert_allclose(session.fetch(), expected, rtol=1e-4, atol=1e-4)
    session.close()
    told = RUNTIME.inspect(artifact.path)
    assert (told.input.shape, told.input.dtype, told.precision) == ((1, 1, 140), "float32", "fp32")


def test_threads_are_those_of_the_process(base: Artifact) -> None:
    beats, found = draw(1), []
    for threads in (1, 2, 1):
        session = RUNTIME.load(base, threads)
        with pytest.raises(RuntimeError, match="close it first"):
            RUNTIME.load(base, threads + 1)
        session.bind(beats)
        session.invoke()
        found.append(session.fetch())
        session.close()
    np.testing.assert_allclose(found[0], found[1], atol=1e-5)
    np.testing.assert_array_equal(found[0], found[2])


@pytest.mark.parametrize("content", [b"", b"no model at all", None])
def test_a_damaged_file_is_the_users_error(base: Artifact, tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "bad.pte").write_bytes(content)
    with pytest.raises(EcgEdgeError, match=r"bad\.pte"):
        RUNTIME.load(replace(base, path=tmp_path / "bad.pte"), 1)
    with pytest.raises(EcgEdgeError, match=r"bad\.pte"):
        RUNTIME.inspect(tmp_path / "bad.pte")


def test_it_is_calibrated_on_the_beats_that_it_is_given(checkpoint: Artifact, tmp_path: Path) -> None:
    """Smaller beats, smaller answers. The last batch is not whole."""
    beats, answers = draw(3), []
    for size in (1, 0.1):
        made = ExecuTorchInt8().quantize(checkpoint, tmp_path / f"{size}.pte", Context(draw(10) * size, batch=3))
        session = RUNTIME.load(made, 1)
        session.bind(beats)
        session.invoke()
        answers.append(session.fetch())
        session.close()
    assert np.ptp(answers[1]) < 0.5 * np.ptp(answers[0])
