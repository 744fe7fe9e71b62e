"""Mixed precision leaves the layer in float that int8 ruins, and no other. By graphs with such a layer."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ecgedge import Artifact, Context, infer, plugins
from ecgedge.api.artifact import digest_of
from ecgedge.api.graph import Graph
from ecgedge.convert.lab import open_lab
from ecgedge.data.dataset import Dataset
from ecgedge.evaluate import arithmetic
from ecgedge.measure import processor
from ecgedge.plan.plan import Cell
from ecgedge.testing import judge_graph, make_artifact
from ecgedge.workers.client import Limits
from tests.conftest import Command
from tests.full.graphs import graph, weight
from tests.full.test_onnx_int8 import artifact_of

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

PARTS = plugins.load()
BODY = """a = Conv<pads=[2,2]>(x, wa, ba) ra = Relu(a) b = Conv<pads=[2,2]>(ra, wb, bb) rb = Relu(b)
    c = Conv<pads=[2,2]>(rb, wc, bc) rc = Relu(c) p = GlobalAveragePool(rc) f = Flatten(p) y = Gemm(f, wd, bd)"""


def constants() -> dict[str, np.ndarray]:
    """A classifier that sees something, with weights drawn at random."""
    made = {"wa": weight(6, 1, 5), "wb": weight(8, 6, 5) / 5, "wc": weight(16, 8, 5) / 6, "wd": weight(16, 5)}
    return made | {f"b{letter}": weight(size) / 10 for letter, size in zip("abcd", (6, 8, 16, 5), strict=True)}


def with_dead_channel() -> dict[str, np.ndarray]:
    """Layer ``b`` has huge weights for a channel that is always 0: they alone set the scale of its int8 weights."""
    made = constants()
    made["wa"][0], made["ba"][0] = 0, -1
    made["wb"][:, 0] = 1000
    return made


def with_loud_channel() -> dict[str, np.ndarray]:
    """A channel is 3,000 times as loud between ``a`` and ``b`` and rounds the others away: both have to be float."""
    made = constants()
    made["wa"][0] *= 3000
    made["wb"][:, 0] /= 3000
    return made


def source_of(folder: Path, made: dict[str, np.ndarray], beats: Dataset) -> Artifact:
    """With biases by which no class is the most likely one on all beats."""
    plain = artifact_of(graph(BODY, (1, 1, 140), **made), folder / "net.onnx")
    centred = made | {"bd": made["bd"] - answers(plain, beats.train.x[::5]).mean(axis=0)}
    return artifact_of(graph(BODY, (1, 1, 140), **centred), folder / "net.onnx")


def answers(artifact: Artifact, beats: np.ndarray) -> np.ndarray:
    session = next(part for part in PARTS.runtimes.values() if artifact.format in part.accepts).load(artifact, 1)
    try:
        return infer(session, beats)
    finally:
        session.close()


def graph_of(artifact: Artifact) -> Graph:
    session = next(part for part in PARTS.runtimes.values() if artifact.format in part.accepts).load(artifact, 1)
    session.bind(np.zeros((1, 1, 140), np.float32))
    session.invoke()
    found = session.graph()
    session.close()
    assert found
    return found


def context_of(source: Artifact, beats: Dataset, **options: Any) -> Context:
    """Labelled by the source itself, with the beats of which it is sure: it is right on all of them."""
    x = beats.train.x
    outputs = answers(source, x)
    best = np.sort(outputs, axis=1)
    sure = best[:, -1] - best[:, -2] > 0.1
    return Context(x[::3], labelled=(x[sure], outputs[sure].argmax(axis=1)), options=options)


def test_onnx_leaves_the_layer_that_int8_ruins(tmp_path: Path, beats: Dataset) -> None:
    source = source_of(tmp_path, with_dead_channel(), beats)
    context = context_of(source, beats)
    made = PARTS.quantizers["onnx-mixed"].quantize(source, tmp_path / "mixed.onnx", context)
    loss = made.notes["loss"]
    assert made.notes["left"] == ["b"]
    assert loss["fp32"] == 1 and loss["full_int8"] < 0.9 and loss["mixed"] >= 0.999
    assert loss["damage"]["b"] > 10 * max(loss["damage"][name] for name in "acy")
    x, y = context.labelled or (None, None)
    assert (answers(made, x).argmax(axis=1) == y).mean() == loss["mixed"]
    assert made.notes["text"].startswith("left in float: b (1 of 4 layers); accuracy")
    kept = {entry.key: entry.value for entry in onnx.load(made.path).metadata_props}
    stored = json.loads(kept["ecgedge"])
    assert stored["notes"] == made.notes

    ran = graph_of(made)
    floats = [node for node in ran.nodes if "float" in arithmetic.computes_in(node) and "Conv" in node.op]
    assert len(floats) == 1 and arithmetic.names_of(floats[0]) & {"b", "rb"}
    assert judge_graph(ran, "mixed", "cpu", notes=made.notes)["status"] == "ok"
    assert "b was left in float and does not" in judged(graph_of(full(source, tmp_path, context)), made.notes)
    assert "without having been left" in judged(ran, made.notes | {"left": ["a"], "float": [["a", "a"]]})
    assert "computes in float" in judged(ran, made.notes | {"left": [], "float": []})
    assert "does not say" in judged(ran, {})


def judged(ran: Graph, notes: Any) -> str:
    verdict = judge_graph(ran, "mixed", "cpu", notes=notes)
    assert verdict["status"] == "rejected"
    return verdict["reason"]


def full(source: Artifact, folder: Path, context: Context) -> Artifact:
    return PARTS.quantizers["onnx-full-int8"].quantize(source, folder / "full.onnx", context)


def test_what_hurts_between_two_layers_leaves_both(tmp_path: Path, beats: Dataset) -> None:
    source = source_of(tmp_path, with_loud_channel(), beats)
    context = context_of(source, beats)
    made = PARTS.quantizers["onnx-mixed"].quantize(source, tmp_path / "mixed.onnx", context)
    assert set(made.notes["left"]) == {"a", "b"} and made.notes["loss"]["mixed"] >= 0.999
    assert made.notes["loss"]["full_int8"] < 0.99
    assert judge_graph(graph_of(made), "mixed", "cpu", notes=made.notes)["status"] == "ok"


def test_where_nothing_is_lost_it_is_full_int8(tmp_path: Path, beats: Dataset) -> None:
    source = source_of(tmp_path, constants(), beats)
    context = context_of(source, beats, max_drop=5.0)
    made = PARTS.quantizers["onnx-mixed"].quantize(source, tmp_path / "mixed.onnx", context)
    assert made.notes["left"] == [] and made.notes["text"].startswith("nothing left in float: the same as full-int8")
    one, other = (onnx.load(artifact.path) for artifact in (made, full(source, tmp_path, context)))
    for model in (one, other):
        del model.metadata_props[:]
        for node in model.graph.node:  # its nodes have names
            node.name = ""
    assert one == other
    assert judge_graph(graph_of(made), "mixed", "cpu", notes=made.notes)["status"] == "ok"


def test_tflite_leaves_the_layer_that_int8_ruins(tmp_path: Path, beats: Dataset) -> None:
    pytest.importorskip("onnx2tf")
    source = source_of(tmp_path, with_dead_channel(), beats)
    context = context_of(source, beats)
    source = replace(source, digest=digest_of(source.path))
    saved = PARTS.exporters["onnx2tf"].convert(source, tmp_path / "saved_model", context)
    made = PARTS.quantizers["tflite-mixed"].quantize(saved, tmp_path / "mixed.tflite", context)
    loss = made.notes["loss"]
    assert len(made.notes["left"]) == 1 and loss["layers"] == 5  # four layers and the ends
    assert loss["full_int8"] < 0.9 and loss["mixed"] >= 0.999
    x, y = context.labelled or (None, None)
    assert (answers(made, x).argmax(axis=1) == y).mean() == loss["mixed"]

    ran = graph_of(made)
    [left] = [node for node in ran.nodes if node.op == "CONV_2D" and "float" in arithmetic.computes_in(node)]
    assert left.makes == made.notes["left"][0]
    assert left is [node for node in ran.nodes if node.op == "CONV_2D"][1]  # b
    assert judge_graph(ran, "mixed", "cpu", notes=made.notes)["status"] == "ok"
    assert ran.partitions == 1


def test_weights_have_seven_bits_without_vnni(
    tmp_path: Path, beats: Dataset, shipped: Callable[[str], Artifact], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The processor decides, unless the user does; what was made for one is not taken for another."""
    pytest.importorskip("torch")
    settings = {"calibration": 100, "seed": 0, "unavailable": {}, "limits": Limits()}

    def made(flags: str, **options: Any) -> Artifact:
        monkeypatch.setattr(processor, "cpu_info", lambda: {"flags": flags})
        source = {"cnn-ae": shipped("cnn-ae")}
        lab = open_lab(PARTS, beats, source, tmp_path, np.arange(5), options=options, **settings)
        try:
            return lab.make(Cell("cnn-ae", ("onnx",), "onnx-full-int8", "onnx", "full-int8", "cpu"))
        finally:
            lab.close()

    def largest(artifact: Artifact) -> int:
        tensors = map(onnx.numpy_helper.to_array, onnx.load(artifact.path).graph.initializer)
        return max(int(abs(array.astype(int)).max()) for array in tensors if array.dtype == np.int8 and array.size > 1)

    with_it, without = made("avx2 avx512_vnni"), made("avx2")
    assert (largest(with_it), largest(without)) == (127, 64)
    assert with_it.notes == {"reduce_range": False, "isa": "avx512_vnni"}
    assert (without.notes["reduce_range"], without.notes["isa"]) == (True, None) and "7 bits" in without.notes["text"]
    assert with_it.maker["options"]["isa"] == "avx512_vnni"
    forced = made("avx2", reduce_range=False)
    assert largest(forced) == 127 and forced.notes == {"reduce_range": False}
    assert len({artifact.path for artifact in (with_it, without, forced)}) == 3
    assert made("avx2").path == without.path


def test_convert_says_what_was_left_and_what_it_costs(here: Command, tmp_path: Path) -> None:
    """The built-in classifier with a channel that is always 0, and huge weights for it."""
    pytest.importorskip("torch")
    model = onnx.load(make_artifact("base-cnn", "onnx", tmp_path).path)
    first, second = [node for node in model.graph.node if node.op_type == "Conv"][:2]
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    for name, index, value in (
        (first.input[1], 3, 0),
        (first.input[2], 3, -1),
        (second.input[1], (slice(None), 3), 1000),
    ):
        array = onnx.numpy_helper.to_array(tensors[name]).copy()
        array[index] = value
        tensors[name].CopyFrom(onnx.numpy_helper.from_array(array, name))
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "theirs.onnx")
    options = ("theirs.onnx", "--to", "onnx", "--quantize", "mixed", "--dataset", "synthetic", "-o", "mixed.onnx")
    result = here("convert", *options)
    lines = dict(line.split(maxsplit=1) for line in result.out.splitlines()[1:])
    assert result.code == 0 and lines["notes"].startswith(f"left in float: {second.name} (1 of 5 layers); accuracy ")
    assert " bytes against full-int8, p50 " in lines["cost"]
