"""ONNX -> ONNX in int8, but for the layers that cost too much."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ecgedge import Artifact, Context, Quantizer, hookimpl, infer
from ecgedge.builtin.mixed import DROP, MAX_DROP, Step, Trial, in_float, search_mixed
from ecgedge.builtin.onnx_quantizers import OnnxFullInt8, keep, prepare, static
from ecgedge.builtin.onnxruntime_runtimes import OnnxRuntime

LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")


class OnnxMixed(OnnxFullInt8):
    """As ``onnx-full-int8``; the layers that do the most damage stay in float32, until the loss is within ``max_drop``.

    Nodes that are left out of the quantization are not thereby in float: between int8 neighbours onnxruntime
    quantizes a convolution's weights itself when it loads the file. See ``hold_in_float``.
    """

    name = "onnx-mixed"
    precision = "mixed"
    judges = True
    on_request = True
    options = (MAX_DROP, *OnnxFullInt8.options)

    def settle(self, options: Mapping[str, Any]) -> dict[str, Any]:
        return {**DROP, **super().settle(options)}

    def quantize(self, source: Artifact, out: Path, context: Context) -> Artifact:
        import onnx  # heavy

        settled = self.settle(context.options)
        prepared, ranges, scratch = prepare(source, out), out.with_name("ranges.json"), out.with_name("tried.onnx")
        graph = with_names(onnx.load(prepared))
        onnx.save(graph, prepared)
        steps = [Step(node.name, tuple(node.input), tuple(node.output)) for node in graph.graph.node]
        layers = [node.name for node in graph.graph.node if node.op_type in LAYERS]

        def floats(left: tuple[str, ...]) -> list[str]:
            return in_float(steps, layers, left, [source.input.name]) if left else []

        def build(left: tuple[str, ...]) -> Any:
            made = static(prepared, scratch, source, context, settled["reduce_range"], floats(left), ranges)
            hold_in_float(made, left, graph)
            return made

        def outputs(left: tuple[str, ...]) -> np.ndarray:
            onnx.save(build(left), scratch)
            return answers(source, scratch, trial.x)

        trial = Trial(source, context, lambda beats: answers(source, source.path, beats))
        found = search_mixed(layers, outputs, trial, settled["max_drop"])
        nodes = {node.name: node for node in graph.graph.node}
        names = [(name, *nodes[name].output) for name in floats(found.left)]
        notes = {**self.notes(context), **found.notes(names)}
        return keep(build(found.left), source.derive(out, precision=self.precision, notes=notes))


def answers(source: Artifact, path: Path, beats: np.ndarray) -> np.ndarray:
    """Outputs of the source in the form that lies in ``path``."""
    session = OnnxRuntime("cpu", "CPUExecutionProvider").load(source.derive(path), 1)
    try:
        return infer(session, beats)
    finally:
        session.close()


def with_names(model: Any) -> Any:
    """A model in which each node has a name of its own: it can be left out by that only."""
    taken: set[str] = set()
    for node in model.graph.node:
        if not node.name or node.name in taken:
            node.name = node.output[0]
        taken.add(node.name)
    return model


def hold_in_float(model: Any, left: Iterable[str], before: Any) -> None:
    """Give each layer that was left in float a DequantizeLinear of its own, with a scale for each position.

    onnxruntime quantizes the weights of a convolution or Gemm that takes a value dequantized by one scale and whose
    result is quantized (its WeightBiasQuantization). The scales are all the same, so nothing else changes.

    Args:
        before: the model before it was quantized, with inferred shapes.
    """
    import onnx  # heavy
    from onnx import helper, numpy_helper

    values = {value.name: value for value in onnx.shape_inference.infer_shapes(before).graph.value_info}
    values |= {value.name: value for value in before.graph.input}
    original = {node.name: node.input[0] for node in before.graph.node if node.input}
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    makers = {name: node for node in model.graph.node for name in node.output}
    for node in [node for node in model.graph.node if node.name in set(left)]:
        maker, value = makers.get(node.input[0]), values.get(original[node.name])
        if maker is None or maker.op_type != "DequantizeLinear" or value is None:
            continue
        sizes = [axis.dim_value for axis in value.type.tensor_type.shape.dim]
        axis = next((i for i in range(len(sizes) - 1, 0, -1) if sizes[i] > 1), None)
        if axis is None:
            continue
        names = [f"{node.name}_{what}" for what in ("scales", "zero_points")]
        for name, one in zip(names, maker.input[1:], strict=True):
            same = np.full(sizes[axis], numpy_helper.to_array(constants[one]))
            model.graph.initializer.append(numpy_helper.from_array(same, name))
        own = helper.make_node(
            "DequantizeLinear", [maker.input[0], *names], [f"{node.name}_input"], f"{node.name}_dequantize", axis=axis
        )
        model.graph.node.insert(list(model.graph.node).index(node), own)
        node.input[0] = own.output[0]


@hookimpl
def ecgedge_quantizers() -> Iterable[Quantizer]:
    return (OnnxMixed(),)
