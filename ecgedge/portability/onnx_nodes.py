"""An ONNX file as operations that are carried out one by one: their attributes, and each as a model of its own."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class OnnxFile:
    """The operations of a file in order, and what they begin with.

    Attributes:
        model: as onnx reads it.
        constants: arrays by the names of their tensors.
        nodes: without those that are constants.
        input, output: the names of the tensors.

    Raises:
        ValueError: it has another number of inputs than one.
    """

    def __init__(self, path: Path):
        import onnx  # heavy
        from onnx.numpy_helper import to_array

        self.model = onnx.load(path)
        graph = self.model.graph
        self.constants: dict[str, Any] = {each.name: to_array(each) for each in graph.initializer}
        for node in graph.node:
            if node.op_type == "Constant" and node.attribute[0].name == "value":
                self.constants[node.output[0]] = to_array(node.attribute[0].t)
        self.nodes = [node for node in graph.node if node.op_type != "Constant"]
        self.output: str = graph.output[0].name
        [self.input] = [value.name for value in graph.input if value.name not in self.constants]
        self.evaluators: dict[str, Any] = {}

    def by_reference(self, node: Any, feeds: Mapping[str, Any]) -> list[Any]:
        """The outputs of one operation for these inputs by name, by onnx's reference."""
        from onnx.reference import ReferenceEvaluator  # heavy

        key = node.output[0]
        if key not in self.evaluators:
            self.evaluators[key] = ReferenceEvaluator(single(node, self.model))
        found: list[Any] = self.evaluators[key].run(None, dict(feeds))
        return found


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
