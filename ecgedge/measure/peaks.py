"""The machine's limit: multiply-accumulates a second of large matrix products, measured here and now."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from time import perf_counter
from typing import Any

import numpy as np

SIZE = 512  # rows and columns: all three matrices stay in a second-level cache of 3 MB
BLOCK_CALLS = 5  # at least, of one block
BLOCK_SECONDS = 0.05  # at least, of one block
BLOCKS = 6  # at least, after a call to warm up
AGREEING = 4  # of the fastest blocks, that have to
STABLE = 0.03  # what these may be apart, relative to the fastest
SECONDS_MOST = 2.0  # after which it is an interval
OPSET, IR = 17, 8

Product = Callable[[], object]


def measure_peaks(threads: int) -> dict[str, Any]:
    """The fastest of many matrix products in float32 and in int8 (unsigned by signed), by the library that is faster.

    Returns:
        For ``"fp32"`` and ``"int8"``: ``gmacs`` (10^9 multiply-accumulates a second, the best call), ``low`` (the
        least that the peak may be, see ``rate``), ``median`` (of all calls), ``calls`` and ``by``; or, under
        ``missing``, why there is none.
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
    """How fast a product is: blocks of calls until the fastest ones agree, or the time is up.

    Where they agree, ``low`` is the slowest of these, hardly below ``gmacs``. Where they do not, other work or
    another clock kept the processor from what it can: ``low`` is then the median block, and what the peak is lies
    between the two, or above.
    """
    product()
    taken: list[float] = []
    best: list[float] = []  # seconds of the fastest call of each block
    begun = perf_counter()
    while len(best) < BLOCKS or not (agree(best) or perf_counter() > begun + SECONDS_MOST):
        block = timed(product)
        taken += block
        best.append(min(block))
    low = sorted(best)[AGREEING - 1] if agree(best) else float(np.median(best))
    fastest, slowest, median = (
        round(SIZE**3 / seconds / 1e9, 2) for seconds in (min(best), low, float(np.median(taken)))
    )
    return {"gmacs": fastest, "low": slowest, "median": median, "calls": len(taken)}


def timed(product: Product) -> list[float]:
    """The seconds of each call of one block."""
    taken: list[float] = []
    begun = perf_counter()
    while len(taken) < BLOCK_CALLS or perf_counter() < begun + BLOCK_SECONDS:
        start = perf_counter()
        product()
        taken.append(perf_counter() - start)
    return taken


def agree(best: list[float]) -> bool:
    """Whether the fastest blocks are all but equally fast."""
    ordered = sorted(best)
    return ordered[AGREEING - 1] <= (1 + STABLE) * ordered[0]


def known(low: float, high: float) -> bool:
    """Whether the two ends of an interval are all but the same."""
    return high <= (1 + 2 * STABLE) * low


def joined(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Two measurements of the same peaks as one: the higher peak, and the lower of what each may be at the least.

    Measured before and after a file, so that a machine that was slowed down through one of the two whole
    measurements is seen, too.
    """
    both: dict[str, Any] = dict(before)
    for precision in (key for key in ("fp32", "tf32", "fp16", "int8") if key in before and key in after):
        one, other = before[precision], after[precision]
        fastest = max(one, other, key=lambda each: float(each["gmacs"]))
        moved = abs(one["gmacs"] - other["gmacs"]) > STABLE * fastest["gmacs"]
        told = (one["low"], other["low"]) if moved else (max(one["low"], other["low"]),)
        both[precision] = {**fastest, "low": min(told), "calls": one["calls"] + other["calls"]}
    return both
