"""Tables of operations on single int8 values: LiteRT's own reference kernel answers all 256 of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ecgedge_c import builder, tflite
from ecgedge_c.net import Net, Op

VERSIONS = {"LEAKY_RELU": 2, "QUANTIZE": 2, "LOGISTIC": 2, "TANH": 2, "RELU": 2, "RELU6": 2, "GELU": 2}


def table(net: Net, op: Op) -> np.ndarray:
    """The stored answers ``(256,)`` uint8 to the stored values 0 to 255.

    Raises:
        EcgEdgeError: LiteRT has no kernel for it.
    """
    given, made = net.tensors[op.inputs[0]], net.tensors[op.outputs[0]]
    x, y = (replace(one, index=i, shape=(1, 256), data=None, name=f"t{i}") for i, one in enumerate((given, made)))
    call = builder.Call(op.kind, (0,), (1,), op.options, VERSIONS.get(op.kind, 1))
    interpreter = tflite.reference(builder.build((x, y), (call,), 0, 1))
    values = np.arange(-128, 128).astype(np.int8)
    return (tflite.answer(interpreter, values[None])[0].astype(np.int16) + 128).astype(np.uint8)
