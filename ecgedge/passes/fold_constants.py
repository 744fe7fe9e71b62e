"""What depends on constants alone is computed once, here::

    before   v -> ReduceL2 -> Div -> Mul(g) -> Conv        (weight norm, left over by an exporter)
    after    W -> Conv

Also the shape of a value, or a part of it, whose axes are known. Quantized constants stay as they are: they are
small on purpose.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import onnxruntime
from onnx import helper

from ecgedge.passes import constants
from ecgedge.passes.values import add_constant, bodies, constant, is_op, shape_of

STAY = ("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear")
SMALL = 4096  # bytes, that a result may always have; else it is no larger than the largest constant of the graph


def apply(model: ir.Model, batch: int) -> None:
    """Node by node, in order; what one gives is a constant for the next."""
    known = (constant(value) for value in constants(model.graph))
    most = max([SMALL, *(array.nbytes for array in known if array is not None)])
    for node in list(model.graph):
        results = None if any(value.is_graph_output() for value in node.outputs) else computed(node, model, most)
        if results is None:
            continue
        for value, array in results.items():
            value.replace_all_uses_with(add_constant(model.graph, value.name, array))
        model.graph.remove(node, safe=True)


def computed(node: ir.Node, model: ir.Model, most: int) -> dict[ir.Value, np.ndarray] | None:
    """What a node gives; None where that is not constant, or should stay as it is."""
    if is_op(node, "Constant"):
        found = constant(node.outputs[0])
        return None if found is None else {node.outputs[0]: found}
    if is_op(node, "Shape"):
        return known_shape(node)
    given = {value: constant(value) for value in node.inputs if value is not None}
    inputs = {value: array for value, array in given.items() if array is not None}
    if not inputs or len(inputs) < len(given) or not is_op(node, node.op_type):
        return None
    if node.op_type in STAY or node.op_type.startswith("Random") or any(True for _ in bodies(node)):
        return None
    if any(array.dtype in (np.int8, np.uint8) for array in inputs.values()):
        return None  # quantized
    try:
        results = run(node, inputs, model)
    except Exception:  # onnxruntime's own classes: what it cannot compute alone stays
        return None
    if is_op(node, "Cast"):  # weights in half precision
        most = max(array.nbytes for array in inputs.values())
    fits = all(isinstance(found, np.ndarray) and found.nbytes <= max(most, SMALL) for found in results.values())
    return results if fits else None


def known_shape(node: ir.Node) -> dict[ir.Value, np.ndarray] | None:
    """What a Shape gives, of all axes or of some; None where one of them is free, or the value is not known."""
    shape = shape_of(node.inputs[0])
    start, end = node.attributes.get_int("start", 0), node.attributes.get_int("end", len(shape))
    axes = shape[start:end]
    return None if not shape or None in axes else {node.outputs[0]: np.array(axes, dtype=np.int64)}


def run(node: ir.Node, inputs: dict[ir.Value, np.ndarray], model: ir.Model) -> dict[ir.Value, np.ndarray]:
    """What onnxruntime computes for one node."""
    values = [value for value in node.outputs if value.name]
    given = [
        helper.make_tensor_value_info(value.name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for value, array in inputs.items()
    ]
    made = [helper.make_empty_tensor_value_info(value.name) for value in values]
    opsets = [helper.make_opsetid(domain, version) for domain, version in model.opset_imports.items()]
    graph = helper.make_graph([ir.to_proto(node)], "one", given, made)
    single = helper.make_model(graph, opset_imports=opsets, ir_version=model.ir_version)
    session = onnxruntime.InferenceSession(single.SerializeToString(), providers=["CPUExecutionProvider"])
    arrays = session.run([value.name for value in values], {value.name: array for value, array in inputs.items()})
    return dict(zip(values, arrays, strict=True))
