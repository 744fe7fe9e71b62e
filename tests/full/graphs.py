"""Small ONNX graphs for the tests: written by hand in ONNX's text form, and drawn at random."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import onnxruntime
from hypothesis import strategies as st

NORM = "BatchNormalization"
BN = f"{NORM}(h, ns, no, nm, nv)"
OPSETS = (13, 17, 18, 20)


def graph(body: str, shape: tuple[int | str, ...] = (2, 3, 8), opset: int = 17, **constants: np.ndarray) -> Any:
    """A model from ``x`` to ``y`` in the text form of ONNX, its shapes inferred."""
    axes = ", ".join(map(str, shape))
    head = f'<ir_version: 8, opset_import: ["": {opset}]> g (float[{axes}] x) => (float[] y)'
    model = onnx.parser.parse_model(f"{head} {{{body}}}")
    model.graph.output[0].type.tensor_type.ClearField("shape")
    model.graph.initializer.extend(onnx.numpy_helper.from_array(array, name) for name, array in constants.items())
    return onnx.shape_inference.infer_shapes(model, strict_mode=True)


def norm(channels: int, seed: int = 0, name: str = "n") -> dict[str, np.ndarray]:
    """The parameters of a BatchNormalization as trained ones may be: also negative, also zero."""
    draw = np.random.default_rng(seed)
    scale, offset, average = draw.normal(size=(3, channels)).astype(np.float32)
    scale[0] = 0.0
    variance = draw.uniform(0.05, 3, channels).astype(np.float32)
    return dict(zip((f"{name}{what}" for what in "somv"), (scale, offset, average, variance), strict=True))


def weight(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)


def operators(model: Any) -> list[str]:
    return [node.op_type for node in model.graph.node]


def outputs(model: Any, batch: int = 2, **given: np.ndarray) -> list[np.ndarray]:
    """All outputs for random inputs; ``batch`` where it is free."""
    axes = model.graph.input[0].type.tensor_type.shape.dim
    shape = [axis.dim_value or batch for axis in axes]
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x, **given})


@dataclass
class Drawn:
    """A random network being written: its nodes, constants, and the value that goes on."""

    seed: int
    body: str = ""
    constants: dict[str, np.ndarray] = field(default_factory=dict)
    value: str = "x"
    channels: int = 3
    length: int = 16
    count: int = 0

    def constant(self, array: np.ndarray) -> str:
        name = f"k{len(self.constants)}"
        self.constants[name] = array
        return name

    def numbers(self, *shape: int) -> str:
        rng = np.random.default_rng([self.seed, len(self.constants)])
        return self.constant((rng.normal(size=shape) / max(1, np.prod(shape[1:]) ** 0.5)).astype(np.float32))

    def integers(self, *values: int) -> str:
        return self.constant(np.array(values, dtype=np.int64))

    def add(self, text: str, channels: int | None = None, length: int | None = None) -> str:
        """A node; what it gives goes on."""
        self.count += 1
        self.value = f"v{self.count}"
        self.body += f"{self.value} = {text} "
        self.channels, self.length = channels or self.channels, length or self.length
        return self.value

    def conv(self, kernel: int, channels: int, biased: bool) -> str:
        bias = f", {self.numbers(channels)}" if biased else ""
        pad = kernel // 2
        text = f"Conv<pads=[{pad},{pad}]>({self.value}, {self.numbers(channels, self.channels, kernel)}{bias})"
        return self.add(text, channels, self.length + 2 * pad - kernel + 1)

    def norm(self) -> str:
        names = [self.constant(array) for array in norm(self.channels, self.seed + self.count).values()]
        return self.add(f"{NORM}({self.value}, {', '.join(names)})")


STEPS = (
    "conv", "conv", "norm", "relu", "clip", "max", "ceil", "average", "concat", "residual", "scale", "upsample",
    "resize", "pad", "slice", "rows", "identity", "dropout", "softmax", "split", "tanh", "constant", "gate", "matmul",
)  # fmt: skip
ENDS = ("pool", "mean", "flatten", "reshape", "squeeze", "none", "unsqueeze")


@st.composite
def networks(draw: Any) -> Any:
    """A model of a few layers from ``x`` (N, 3, 16) to ``y``, sometimes with a second output."""
    made = Drawn(draw(st.integers(0, 1000)))
    small = st.integers(1, 4)
    for step in draw(st.lists(st.sampled_from(STEPS), min_size=1, max_size=9)):
        if made.length > 100 or made.length < 4:
            break
        write_step(step, made, draw, small)
    side = made.value if made.value != "x" and draw(st.booleans()) else ""
    end = draw(st.sampled_from(ENDS))
    write_end(end, made)
    made.body += f"y = Identity({made.value})" if draw(st.booleans()) else f"y = Neg({made.value})"
    model = graph(made.body, ("N", 3, 16), draw(st.sampled_from(OPSETS)), **made.constants)
    if side:
        model.graph.output.append(next(value for value in model.graph.value_info if value.name == side))
    onnx.checker.check_model(model, full_check=True)
    return model


def write_step(step: str, made: Drawn, draw: Any, small: Any) -> None:
    value, length = made.value, made.length
    if step == "conv":
        made.conv(draw(small), draw(small), draw(st.booleans()))
    elif step == "norm":
        made.norm()
    elif step in ("relu", "tanh", "identity"):
        made.add(f"{step.capitalize()}({value})")
    elif step == "clip":
        made.add(f"Clip({value}, {made.constant(np.float32(-0.5))}, {made.constant(np.float32(0.5))})")
    elif step in ("max", "average"):
        made.add(f"{step.capitalize()}Pool<kernel_shape=[2], strides=[2]>({value})", length=length // 2)
    elif step == "ceil":
        made.add(f"MaxPool<kernel_shape=[2], strides=[2], ceil_mode=1>({value})", length=(length + 1) // 2)
    elif step == "concat":
        branches, channels = [], made.channels
        total = 0
        for _ in range(draw(st.integers(1, 3))):
            made.value, made.channels = value, channels
            branches.append(made.conv(draw(st.sampled_from([1, 3])), draw(small), draw(st.booleans())))
            total += made.channels
        if draw(st.booleans()):
            branches.append(value)
            total += channels
        made.add(f"Concat<axis={draw(st.sampled_from([1, -2]))}>({', '.join(branches)})", total)
    elif step == "residual":
        other = made.conv(3, made.channels, True)
        made.add(f"Add({other}, {value})")
    elif step == "scale":
        shape = draw(st.sampled_from([(), (made.length,), (made.channels, 1), (1, made.channels, 1)]))
        made.add(f"Mul({value}, {made.numbers(*shape)})" if shape else f"Add({value}, {made.constant(np.float32(2))})")
    elif step in ("upsample", "resize"):
        times = draw(st.integers(2, 3)) if step == "upsample" else 2
        mode = draw(st.sampled_from(["nearest_mode='floor', coordinate_transformation_mode='asymmetric'", ""]))
        mode = mode if step == "upsample" else "mode='linear'"
        scales = made.constant(np.array([1, 1, times], dtype=np.float32))
        text = f"Resize<{mode}>({value}, , {scales})" if mode else f"Resize({value}, , {scales})"
        made.add(text.replace("'", '"'), length=length * times)
    elif step == "pad":
        mode = draw(st.sampled_from(["reflect", "edge"]))  # of zeros onnxruntime 1.31 makes poolings that it refuses
        made.add(f'Pad<mode="{mode}">({value}, {made.integers(0, 0, 1, 0, 0, 1)})', length=length + 2)
    elif step == "slice":
        made.add(
            f"Slice({value}, {made.integers(1)}, {made.integers(-1)}, {made.integers(draw(st.sampled_from([2, -1])))})",
            length=length - 2,
        )
    elif step == "rows":  # channels last and back, with the last sample once more
        rows = made.add(f"Transpose<perm=[0, 2, 1]>({value})")
        last = made.add(f"Slice({rows}, {made.integers(-1)}, {made.integers(2**31)}, {made.integers(1)})")
        more = made.add(f"Concat<axis=1>({rows}, {last})")
        made.add(f"Transpose<perm=[0, 2, 1]>({more})", length=length + 1)
    elif step == "dropout":
        made.add(f"Dropout({value})")
    elif step == "softmax":
        made.add(f"Softmax<axis={draw(st.sampled_from([1, 2, -1]))}>({value})")
    elif step == "split" and made.channels > 1:
        first, second = f"{value}_a", f"{value}_b"
        sizes = made.integers(1, made.channels - 1)
        made.body += f"{first}, {second} = Split<axis=1>({value}, {sizes}) "
        made.add(f"Concat<axis=1>({second}, {first})")
    elif step == "constant":  # a weight of constants, as weight norm leaves it
        direction, size = made.numbers(2, made.channels, 3), made.numbers(2, 1, 1)
        square = made.add(f"Mul({direction}, {direction})")
        length_of = made.add(f"Sqrt({square})")
        unit = made.add(f"Div({direction}, {length_of})")
        full = made.add(f"Mul({unit}, {size})")
        made.add(f"Conv<pads=[1, 1]>({value}, {full})", 2)
    elif step == "gate":  # squeeze and excite
        pooled = made.add(f"GlobalAveragePool({value})")
        gate = made.add(f"Sigmoid({pooled})")
        made.add(f"Mul({value}, {gate})")
    elif step == "matmul":
        made.add(f"MatMul({value}, {made.numbers(length, length)})")


def write_end(end: str, made: Drawn) -> None:
    value, channels, length = made.value, made.channels, made.length
    if end == "pool":
        pooled = made.add(f"GlobalAveragePool({value})")
        made.add(f"Flatten({pooled})")
    elif end == "mean":
        made.add(f"GlobalMaxPool({value})")
    elif end == "flatten":
        flat = made.add(f"Flatten({value})")
        made.add(f"Gemm({flat}, {made.numbers(channels * length, 2)})")
    elif end == "reshape":
        made.add(f"Reshape({value}, {made.integers(-1, channels * length)})")
    elif end == "squeeze":
        pooled = made.add(f"GlobalAveragePool({value})")
        made.add(f"Squeeze({pooled}, {made.integers(2)})")
    elif end == "unsqueeze":
        flat = made.add(f"Reshape({value}, {made.integers(0, channels * length)})")
        made.add(f"Unsqueeze({flat}, {made.integers(1)})")
