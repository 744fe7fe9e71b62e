"""The machine's limit: multiply-accumulates a second of large matrix products, measured here and now."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from time import perf_counter
from typing import Any

import numpy as np

SIZE = 512  # rows and columns: all three matrices stay in a second-level cache of 3 MB
CALLS = 20  # at least, after one to warm up
SECONDS = 0.3  # at least
OPSET, IR = 17, 8

Product = Callable[[], object]


def measure_peaks(threads: int) -> dict[str, Any]:
    """The fastest of many matrix products in float32 and in int8 (unsigned by signed), by the library that is faster.

    Returns:
        For ``"fp32"`` and ``"int8"``: ``gmacs`` (10^9 multiply-accumulates a second, the best call), ``median``
        (of all calls), ``calls`` and ``by``; or, under ``missing``, why there is none.
    """
    missing = {}
    if not (find_spec("onnxruntime") and find_spec("onnx")):
        missing["int8"] = "needs onnx and onnxruntime (ecgedge[onnx])"
    found = {"fp32": list(floats(threads)), "int8": [] if missing else [integers(threads)]}
    peaks: dict[str, Any] = {}
    for precision, products in found.items():
        if measured := [rate(product) | {"by": by} for by, product in products]:
            peaks[precision] = max(measured, key=lambda one: one["gmacs"])
    return peaks | {"missing": missing, "size": SIZE, "threads": threads}


def floats(threads: int) -> Iterator[tuple[str, Product]]:
    a, b = np.random.default_rng(0).standard_normal((2, SIZE, SIZE), dtype=np.float32)
    yield "numpy matmul", lambda: a @ b
    if find_spec("onnxruntime") and find_spec("onnx"):
        yield "onnxruntime MatMul", product_of("MatMul", a, b, "FLOAT", threads)


def integers(threads: int) -> tuple[str, Product]:
    rng = np.random.default_rng(0)
    a = rng.integers(0, 256, (SIZE, SIZE), dtype=np.uint8)
    b = rng.integers(-127, 128, (SIZE, SIZE), dtype=np.int8)
    return "onnxruntime MatMulInteger", product_of("MatMulInteger", a, b, "INT32", threads)


def product_of(op: str, a: np.ndarray, b: np.ndarray, gives: str, threads: int) -> Product:
    """``a`` by the constant ``b`` in onnxruntime, which packs ``b`` beforehand as it does with weights."""
    import onnx  # heavy
    import onnxruntime  # heavy

    def declared(name: str, dtype: int) -> Any:
        return onnx.helper.make_tensor_value_info(name, dtype, [SIZE, SIZE])

    takes = onnx.helper.np_dtype_to_tensor_dtype(a.dtype)
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node(op, ["a", "b"], ["c"])],
        "product",
        [declared("a", takes)],
        [declared("c", onnx.TensorProto.DataType.Value(gives))],
        [onnx.numpy_helper.from_array(b, "b")],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", OPSET)], ir_version=IR)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"a": a})


def rate(product: Product) -> dict[str, Any]:
    product()
    taken: list[float] = []
    begun = perf_counter()
    while len(taken) < CALLS or perf_counter() < begun + SECONDS:
        start = perf_counter()
        product()
        taken.append(perf_counter() - start)
    best, median = (SIZE**3 / seconds / 1e9 for seconds in (min(taken), float(np.median(taken))))
    return {"gmacs": round(best, 2), "median": round(median, 2), "calls": len(taken)}
