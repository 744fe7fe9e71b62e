"""What depends on constants alone is computed once, here::

    before   v -> ReduceL2 -> Div -> Mul(g) -> Conv        (weight norm, left over by an exporter)
    after    W -> Conv

Also the shape of a value whose axes are all known. Quantized constants stay as they are: they are
small on purpose.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ecgedge.passes.values import Values, bodies, is_op, replace_nodes

STAY = ("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear")
SMALL = 4096  # bytes, that a result may always have; else it is no larger than the largest constant of the graph


def apply(model: Any, batch: int) -> None:
    """Node by node, in order; what one gives is a constant for the next."""
    values = Values(model)
    outputs = {value.name for value in model.graph.output}
    most = max([SMALL, *(array.nbytes for array in values.constants.values())])
    kept = []
    for node in model.graph.node:
        results = None if outputs & {*node.output} else computed(node, values, most)
        if results is None:
            kept.append(node)
            continue
        for name, array in results.items():
            values.taken.discard(name)
            values.add_constant(name, array)
    if len(kept) != len(model.graph.node):
        replace_nodes(model.graph, kept)


def computed(node: Any, values: Values, most: int) -> dict[str, np.ndarray] | None:
    """What a node gives, by name; None where that is not constant, or should stay as it is."""
    if is_op(node, "Constant"):
        found = values.constants.get(node.output[0])
        return None if found is None else {node.output[0]: found}
    if is_op(node, "Shape"):
        return known_shape(node, values)
    inputs = {name: values.constants[name] for name in node.input if name in values.constants}
    if not inputs or len(inputs) < len({name for name in node.input if name}) or not is_op(node, node.op_type):
        return None
    if node.op_type in STAY or node.op_type.startswith("Random") or any(True for _ in bodies(node)):
        return None
    if any(array.dtype in (np.int8, np.uint8) for array in inputs.values()):
        return None  # quantized
    try:
        results = run(node, inputs, values.model)
    except Exception:  # onnxruntime's own classes: what it cannot compute alone stays
        return None
    if is_op(node, "Cast"):  # weights in half precision
        most = max(array.nbytes for array in inputs.values())
    fits = all(isinstance(found, np.ndarray) and found.nbytes <= max(most, SMALL) for found in results.values())
    return results if fits else None


def known_shape(node: Any, values: Values) -> dict[str, np.ndarray] | None:
    shape = values.shapes.get(node.input[0], (None,))
    if None in shape or node.attribute:  # a part of the shape only
        return None
    return {node.output[0]: np.array(shape, dtype=np.int64)}


def run(node: Any, inputs: dict[str, np.ndarray], model: Any) -> dict[str, np.ndarray]:
    """What onnxruntime computes for one node."""
    import onnxruntime  # heavy, with the next
    from onnx import helper

    names = [name for name in node.output if name]
    given = [helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
             for name, array in inputs.items()]  # fmt: skip
    graph = helper.make_graph([node], "one", given, [helper.make_empty_tensor_value_info(name) for name in names])
    single = helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
    session = onnxruntime.InferenceSession(single.SerializeToString(), providers=["CPUExecutionProvider"])
    return dict(zip(names, session.run(names, inputs), strict=True))
