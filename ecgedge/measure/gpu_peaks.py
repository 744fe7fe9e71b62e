"""A GPU's own limit: multiply-accumulates a second of large matrix products in fp32, TF32 and fp16, measured there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import numpy as np

from ecgedge.measure.peaks import AGREEING, BLOCKS, IR, OPSET, agree, timed

SIZE = 8192  # rows and columns: a product takes a GPU about a millisecond, the call that starts it some microseconds
BLOCKS_MOST = 40  # after which the peak is an interval
PRECISIONS = ("fp32", "tf32", "fp16")

Product = Callable[[], object]


def measure_gpu_peaks(float32: str | None) -> dict[str, Any]:
    """The fastest of many matrix products in each precision, by torch or, where it sees no GPU, by onnxruntime.

    Args:
        float32: the peak that holds for what the runtime computes in float32, such as ``"tf32"``; None: ``"fp32"``.

    Returns:
        As ``peaks.measure_peaks``, with ``device`` and ``holds_for``: which peak holds for what is computed in.
    """
    holds_for = {"float32": float32 or "fp32", "float16": "fp16"}
    told = {"device": "cuda", "holds_for": holds_for, "size": SIZE}
    missing = {}
    for name, products in (("torch", torch_products), ("onnxruntime", onnx_products)):
        if not find_spec(name):
            missing[name] = "is not installed"
            continue
        try:
            peaks = {precision: rate(product) | {"by": by} for precision, by, product in products()}
            return told | peaks | {"missing": {}}
        except Exception as error:  # each library has errors of its own
            missing[name] = " ".join(str(error).split())[:100] or "failed without a word"
    why = "none was measured on this GPU: " + ", ".join(f"{name} {reason}" for name, reason in missing.items())
    return told | {"missing": dict.fromkeys(PRECISIONS, why)}


def rate(product: Product) -> dict[str, Any]:
    """How fast a product is, as ``peaks.rate`` finds it."""
    product()
    taken: list[float] = []
    best: list[float] = []  # seconds of the fastest call of each block
    while len(best) < BLOCKS or not (agree(best) or len(best) >= BLOCKS_MOST):
        block = timed(product)
        taken += block
        best.append(min(block))
    low = sorted(best)[AGREEING - 1] if agree(best) else float(np.median(best))
    fastest, slowest, median = (
        round(SIZE**3 / seconds / 1e9, 1) for seconds in (min(best), low, float(np.median(taken)))
    )
    return {"gmacs": fastest, "low": slowest, "median": median, "calls": len(taken)}


def torch_products() -> Iterator[tuple[str, str, Product]]:
    """The precision, what computes it, and a call that returns when the GPU is done."""
    import torch  # heavy

    if not torch.cuda.is_available():
        raise RuntimeError("sees no GPU")
    device = torch.device("cuda")
    generator = torch.Generator(device).manual_seed(0)
    a, b = torch.randn((2, SIZE, SIZE), generator=generator, device=device)
    halves = a.half(), b.half()

    def product(one: Any, other: Any) -> Product:
        def call() -> None:
            one @ other
            torch.cuda.synchronize()

        return call

    by = f"torch matmul on {torch.cuda.get_device_name(device)}"
    for precision, tf32, pair in (("fp32", False, (a, b)), ("tf32", True, (a, b)), ("fp16", False, halves)):
        with matrices_in_tf32(tf32):
            yield precision, by, product(*pair)


@contextmanager
def matrices_in_tf32(wanted: bool) -> Iterator[None]:
    """Have torch multiply float32 matrices on a GPU in TF32, or not; then as before."""
    import torch  # heavy

    place = torch.backends.cuda.matmul
    is_new = hasattr(torch.backends.cudnn, "conv")  # torch 2.9 and later
    name = "fp32_precision" if is_new else "allow_tf32"
    before = getattr(place, name)
    setattr(place, name, ("tf32" if wanted else "ieee") if is_new else wanted)
    try:
        yield
    finally:
        setattr(place, name, before)


def onnx_products() -> Iterator[tuple[str, str, Product]]:
    """As ``torch_products``, with both matrices and the product in the GPU's memory."""
    import onnxruntime  # heavy

    if hasattr(onnxruntime, "preload_dlls"):
        onnxruntime.preload_dlls()
    a, b = np.random.default_rng(0).standard_normal((2, SIZE, SIZE), dtype=np.float32)
    for precision, dtype in (("fp32", np.float32), ("tf32", np.float32), ("fp16", np.float16)):
        session = onnxruntime.InferenceSession(
            product_model(dtype), providers=[("CUDAExecutionProvider", {"use_tf32": str(int(precision == "tf32"))})]
        )
        if "CUDAExecutionProvider" not in session.get_providers():
            raise RuntimeError("could not use CUDAExecutionProvider")
        binding = session.io_binding()
        for name, value in (("a", a), ("b", b)):
            on_gpu = onnxruntime.OrtValue.ortvalue_from_numpy(value.astype(dtype), "cuda", 0)
            binding.bind_ortvalue_input(name, on_gpu)
        made = onnxruntime.OrtValue.ortvalue_from_shape_and_type((SIZE, SIZE), dtype, "cuda", 0)
        binding.bind_ortvalue_output("c", made)

        def call(session: Any = session, binding: Any = binding) -> None:
            session.run_with_iobinding(binding)
            binding.synchronize_outputs()

        yield precision, "onnxruntime MatMul", call


def product_model(dtype: type) -> bytes:
    """An ONNX model of one product of two matrices."""
    import onnx  # heavy

    kind = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    a, b, c = (onnx.helper.make_tensor_value_info(name, kind, [SIZE, SIZE]) for name in "abc")
    graph = onnx.helper.make_graph([onnx.helper.make_node("MatMul", ["a", "b"], ["c"])], "product", [a, b], [c])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", OPSET)], ir_version=IR)
    return bytes(model.SerializeToString())
