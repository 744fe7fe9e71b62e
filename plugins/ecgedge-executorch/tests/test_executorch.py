"""The parts keep ecgedge's contracts, and what is special to ExecuTorch holds."""

from __future__ import annotations

from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("executorch", reason="ExecuTorch is not installed here: tox run -e executorch")

import torch
from ecgedge_executorch.contracts import *  # noqa: F403  (classes that pytest collects)
from ecgedge_executorch.contracts import RUNTIME
from ecgedge_executorch.exporter import described, write
from ecgedge_executorch.planes import in_planes
from ecgedge_executorch.quantizer import ExecuTorchInt8
from torch import nn

from ecgedge import Artifact, Context, EcgEdgeError, Graph
from ecgedge.evaluate.precision_check import judge
from ecgedge.testing import draw, make_artifact

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
    assert judge(graph, "fp32", "cpu").flat["status"] == "ok"


def test_int8_computes_in_int8(base: Artifact, tmp_path: Path) -> None:
    made = make_artifact("base-cnn", "executorch", tmp_path, "executorch-full-int8")
    graph = graph_of(made)
    assert multiplied(graph) == [("int8", "int8")] * 5
    verdict = judge(graph, "full-int8", "cpu", graph_of(base)).flat
    assert (verdict["status"], verdict["float_ops"]) == ("ok", []), verdict["reason"]
    assert verdict["precision_check"] == "checked"
    assert made.size_bytes < 0.3 * base.size_bytes
    assert judge(graph_of(base), "full-int8", "cpu").flat["status"] == "rejected"


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
    assert "cumsum" in str(judge(graph, "full-int8", "cpu").flat["float_ops"])


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
