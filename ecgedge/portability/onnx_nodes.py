"""Single operations of an ONNX graph: their attributes, and each as a model of its own."""

from __future__ import annotations

import copy
from typing import Any


def attributes(node: Any) -> dict[str, Any]:
    from onnx import helper  # heavy

    return {each.name: helper.get_attribute_value(each) for each in node.attribute}


def single(node: Any, model: Any) -> Any:
    """A model of one operation."""
    from onnx import TensorProto, helper  # heavy

    inputs = [
        helper.make_tensor_value_info(name, TensorProto.UNDEFINED, None) for name in dict.fromkeys(node.input) if name
    ]
    outputs = [helper.make_tensor_value_info(name, TensorProto.UNDEFINED, None) for name in node.output]
    graph = helper.make_graph([copy.deepcopy(node)], "one", inputs, outputs)
    return helper.make_model(graph, opset_imports=list(model.opset_import), ir_version=model.ir_version)
