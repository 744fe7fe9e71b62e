"""What commands and their workers import on the full stack, once for all that are forked: see ``forking.py``."""

import contextlib
import importlib
import os

from ecgedge.builtin.onnx2tf_exporter import without

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"  # as ecgedge has it
LIBRARIES = (
    "torch._dynamo", "onnx", "onnx_ir.passes.common", "onnxruntime.quantization", "ai_edge_litert.interpreter",
    "matplotlib.figure",
)  # fmt: skip
TENSORFLOW = ("onnx2tf", "tensorflow", "tf_keras")

for name in LIBRARIES:
    with contextlib.suppress(ImportError):  # who needs it is skipped
        importlib.import_module(name)
with without("pandas", "scipy"):  # as ecgedge imports them
    for name in TENSORFLOW:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
