"""What stands in a TFLite file that kernels may treat otherwise: operations that some round twice, weights of -128."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

# LiteRT's own kernels and its reference scale the sum to its upper half, round, shift, and round again; XNNPACK
# rounds once, in float32. FULLY_CONNECTED is not among them: most are answered alike by all, yet one of an int8 tcn
# differs by itself with the builtin kernels, which ``parting.py`` finds and names.
TWICE = ("CONV_2D", "DEPTHWISE_CONV_2D", "ADD", "SUB", "MUL", "MEAN", "AVERAGE_POOL_2D", "TRANSPOSE_CONV")


@dataclass(frozen=True)
class IntegerOps:
    """The operations of a file on 8-bit integers.

    Attributes:
        twice: how many of each kind some kernels round twice; largest number first.
        lowest: weights of -128, by the tensor's name.
    """

    twice: tuple[tuple[str, int], ...]
    lowest: tuple[tuple[str, int], ...]


def read(path: Path) -> IntegerOps:
    """Of the first graph of a file. Raises ImportError without LiteRT, and whatever a damaged file leads to."""
    from ai_edge_litert import schema_py_generated as schema  # 3 MB

    model = schema.Model.GetRootAs(path.read_bytes(), 0)
    names = {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}
    graph = model.Subgraphs(0)
    twice: Counter[str] = Counter()
    for i in range(graph.OperatorsLength()):
        op = graph.Operators(i)
        name = names.get(code_of(model.OperatorCodes(op.OpcodeIndex())), "")
        if name in TWICE and graph.Tensors(op.Outputs(0)).Type() == schema.TensorType.INT8:
            twice[name] += 1
    lowest = {}
    for i in range(graph.TensorsLength()):
        tensor = graph.Tensors(i)
        if tensor.Type() == schema.TensorType.INT8 and model.Buffers(tensor.Buffer()).DataLength():
            content = np.asarray(model.Buffers(tensor.Buffer()).DataAsNumpy(), np.uint8).view(np.int8)
            if count := int((content == -128).sum()):
                lowest[tensor.Name().decode("utf-8", errors="replace")] = count
    return IntegerOps(tuple(twice.most_common()), tuple(lowest.items()))


def code_of(code: Any) -> int:
    """The operation of an operator code: older files have it in a byte."""
    return max(int(code.BuiltinCode()), int(code.DeprecatedBuiltinCode()))


def has_float16(path: Path) -> bool:
    """Whether a tensor of its first graph is in float16."""
    from ai_edge_litert import schema_py_generated as schema  # 3 MB

    graph = schema.Model.GetRootAs(path.read_bytes(), 0).Subgraphs(0)
    return any(graph.Tensors(i).Type() == schema.TensorType.FLOAT16 for i in range(graph.TensorsLength()))
