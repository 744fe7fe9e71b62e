"""Convolutions of one dimension, and all that lies between them, get a second one of size 1::

    before   x (N, C, L) -> Conv1d -> BN -> Relu -> MaxPool1d -> ... -> GlobalAveragePool -> Flatten (N, C)
    after    x -> Reshape (N, C, 1, L) -> Conv2d -> BN -> Relu -> MaxPool2d -> ... -> GlobalAveragePool -> Flatten

onnxruntime has blocked kernels (NCHWc) for two dimensions only. A Reshape is added for each value
that enters and for each that is read outside, and none in between; a Reshape, Flatten, Squeeze,
Unsqueeze or reduction at the border does that itself. Where a tool has written convolutions of two dimensions
already, with a Squeeze behind each and an Unsqueeze before the next, these go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ecgedge.passes.values import Shape, Values, attribute, bodies, is_op, names_read, replace_nodes, set_attributes

UNIT = 2  # where the new axis is


@dataclass
class Form:
    """How a node becomes one of four axes.

    Attributes:
        inputs: the places of the inputs that get the new axis.
        gives: whether its outputs have it too; else they are what they were.
        constants: new values of constant inputs, by their place.
        attributes: new values.
        operator: what it becomes, of its first input alone; empty: it stays what it is.
    """

    inputs: tuple[int, ...] = (0,)
    gives: bool = True
    constants: dict[int, np.ndarray] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)
    operator: str = ""


def apply(model: Any, batch: int) -> None:
    """All nodes that can be changed and hang together, where a convolution is among them."""
    values = Values(model)
    forms = {i: form for i, node in enumerate(model.graph.node) if (form := form_of(node, values)) is not None}
    nodes = [*model.graph.node]
    chosen = with_convs(nodes, forms)
    inside = {name for i in chosen if forms[i].gives for name in nodes[i].output if name}
    outside = {*read_outside(nodes, chosen), *(value.name for value in model.graph.output)}
    lifted: dict[str, str] = {}  # the name of a value with the new axis
    made: dict[Any, str] = {}
    written: list[Any] = []
    for i, node in enumerate(nodes):
        if i not in chosen:
            written.append(node)
            continue
        form = forms[i]
        for place in form.inputs:
            name = node.input[place]
            if name not in lifted and name not in inside:
                lifted[name] = values.new_name(f"{name}_2d")
                shape = values.shapes[name]
                written.append(reshaped(name, lifted[name], (*shape[:UNIT], 1, *shape[UNIT:]), values))
            node.input[place] = lifted[name]
        change(node, form, values, made)
        written.append(node)
        for place, name in enumerate(node.output if form.gives else ()):
            if name:
                lifted[name] = node.output[place] = values.new_name(f"{name}_2d")
                if name in outside:
                    written.append(reshaped(lifted[name], name, values.shapes[name], values))
    replace_nodes(model.graph, written)


def with_convs(nodes: list[Any], forms: dict[int, Form]) -> set[int]:
    """The nodes that hang together with a convolution, by values of four axes."""
    groups: dict[str, set[int]] = {}
    for i, form in forms.items():
        names = [nodes[i].input[place] for place in form.inputs] + [*(nodes[i].output if form.gives else ())]
        group = {i}.union(*(groups.get(name, set()) for name in names))
        for name in {*names, *(name for name, other in groups.items() if other & group)}:
            groups[name] = group
    found = [
        group
        for group in groups.values()
        if any(is_op(nodes[i], "Conv", "ConvTranspose") or forms[i].operator for i in group)
    ]
    return set().union(*found)


def read_outside(nodes: list[Any], chosen: set[int]) -> Iterator[str]:
    """What the other nodes read, and the inner graphs."""
    for i, node in enumerate(nodes):
        if i not in chosen:
            yield from node.input
        for body in bodies(node):
            yield from (*names_read(body), *(value.name for value in body.output))


def reshaped(given: str, made: str, shape: Shape, values: Values) -> Any:
    """A Reshape of a value into a form with or without the new axis: onnx2tf 1.28 converts an Unsqueeze wrongly.

    Args:
        shape: what comes out. The batch is copied (0), so that onnxruntime knows two of one batch as equal; the
            last axis is worked out where it is not known.
    """
    from onnx import helper  # heavy

    sizes = [0, *shape[1:]] if None not in shape[1:] else [0, 0, *[1] * (len(shape) - 3), -1]
    return helper.make_node(
        "Reshape", [given, values.add_constant(f"{made}_shape", np.array(sizes, dtype=np.int64))], [made]
    )


def change(node: Any, form: Form, values: Values, made: dict[Any, str]) -> None:
    """Give a node its new constants, those that were ``made`` already among them, and its new attributes."""
    for place, array in form.constants.items():
        node.input.extend([""] * (place + 1 - len(node.input)))
        key = (node.input[place], array.shape, array.tobytes())
        if key not in made:
            made[key] = values.add_constant(f"{node.input[place] or node.output[0]}_2d", array)
        node.input[place] = made[key]
    set_attributes(node, **form.attributes)
    if form.operator:
        node.op_type = form.operator
        del node.attribute[:], node.input[1:]


# -- what each operator becomes; None: it stays


def form_of(node: Any, values: Values) -> Form | None:
    """How a node becomes one of four axes; None where it cannot, or nothing is known of it."""
    if not is_op(node, *RULES) or any(name and name not in values.shapes for name in node.output):
        return None
    return RULES[node.op_type](node, values)


def moved(axis: int, rank: int = 3) -> int:
    """Where an axis of three is among four."""
    axis = int(axis) % rank
    return axis + (axis >= UNIT)


def same(node: Any, values: Values) -> Form | None:
    """What treats each element, or each channel, alike. Masks and statistics are not known with a new axis."""
    trains = attribute(node, "training_mode", 0) or any(node.output[1:])
    return Form() if values.computed(node.input[0], 3) and not trains else None


def conv(node: Any, values: Values) -> Form | None:
    weight = values.constants.get(node.input[1])
    form = window(node, values)
    if form is None or weight is None or weight.ndim != 3:
        return None
    form.constants[1] = np.expand_dims(weight, UNIT)
    return form


def window(node: Any, values: Values) -> Form | None:
    """A convolution or pooling: along the new axis a window of one, without padding."""
    if same(node, values) is None:
        return None
    form = Form()
    for name, unit in (("kernel_shape", 1), ("strides", 1), ("dilations", 1), ("output_padding", 0)):
        if (held := attribute(node, name, None)) is not None:
            form.attributes[name] = [unit, *held]
    if (pads := attribute(node, "pads", None)) is not None:
        form.attributes["pads"] = [0, pads[0], 0, pads[1]]
    if (shape := attribute(node, "output_shape", None)) is not None:
        form.attributes["output_shape"] = [1, *shape]
    return form


def broadcast(node: Any, values: Values) -> Form | None:
    """Element by element of several: constants of two or three axes get the new one too."""
    form = Form(inputs=tuple(i for i, name in enumerate(node.input) if values.computed(name, 3)))
    for i, name in enumerate(node.input):
        if i in form.inputs:
            continue
        array = values.constants.get(name)
        if array is None or array.ndim > 3:
            return None
        if array.ndim > 1:
            form.constants[i] = np.expand_dims(array, -2)
    return form if form.inputs else None


def along(node: Any, values: Values) -> Form | None:
    """One axis, by an attribute, of values that all have three."""
    default = {"Softmax": -1, "LogSoftmax": -1}.get(node.op_type, 0)
    if node.op_type in ("Softmax", "LogSoftmax") and values.opset < 13:  # of all axes from there on
        return None
    places = range(len(node.input)) if node.op_type == "Concat" else (0,)
    form = Form(inputs=tuple(i for i in places if values.computed(node.input[i], 3)))
    form.attributes["axis"] = moved(attribute(node, "axis", default))
    for i in set(places) - {*form.inputs}:
        array = values.constants.get(node.input[i])
        if array is None or array.ndim != 3:
            return None
        form.constants[i] = np.expand_dims(array, UNIT)
    return form if form.inputs else None


def gather(node: Any, values: Values) -> Form | None:
    indices = values.constants.get(node.input[1])
    return along(node, values) if indices is not None and indices.ndim == 1 else None


def transpose(node: Any, values: Values) -> Form | None:
    if not values.computed(node.input[0], 3):
        return None
    order = [moved(axis) for axis in attribute(node, "perm", [2, 1, 0])]
    return Form(attributes={"perm": [*order[:UNIT], UNIT, *order[UNIT:]]})


def cut(node: Any, values: Values) -> Form | None:
    """Slice, by inputs."""
    known = [values.constants.get(name) for name in node.input[1:] if name]
    if values.opset < 10 or not values.computed(node.input[0], 3) or any(array is None for array in known):
        return None
    has_axes = len(node.input) > 3 and node.input[3]
    axes = values.constants[node.input[3]] if has_axes else range(len(values.constants[node.input[1]]))
    return Form(constants={3: np.array([moved(axis) for axis in axes], dtype=np.int64)})


def pad(node: Any, values: Values) -> Form | None:
    amounts = values.constants.get(node.input[1]) if len(node.input) > 1 else None
    if values.opset < 11 or not values.computed(node.input[0], 3) or amounts is None:
        return None
    if len(node.input) > 3 and node.input[3]:
        axes = values.constants.get(node.input[3])
        return None if axes is None else Form(constants={3: np.array([moved(axis) for axis in axes], dtype=np.int64)})
    return Form(constants={1: np.concatenate([with_unit(amounts[:3], 0), with_unit(amounts[3:], 0)])})


def tile(node: Any, values: Values) -> Form | None:
    times = values.constants.get(node.input[1])
    return Form(constants={1: with_unit(times, 1)}) if times is not None and values.computed(node.input[0], 3) else None


def resize(node: Any, values: Values) -> Form | None:
    """By scales or sizes, of all axes."""
    last = len(node.input) - 1  # x, roi, scales, sizes; of an Upsample x, scales
    wanted = values.constants.get(node.input[last])
    is_known = wanted is not None and len(wanted) == 3 and not attribute(node, "axes", [])
    if not is_known or wanted is None or last == 0 or not values.computed(node.input[0], 3):
        return None
    if is_op(node, "Resize") and attribute(node, "mode", b"nearest") == b"cubic":
        return None
    return Form(constants={last: with_unit(wanted, 1)})


def with_unit(three: np.ndarray, unit: int) -> np.ndarray:
    """A number for each of three axes, and one for the new axis."""
    return np.insert(three, UNIT, unit)


# -- what may end or begin a region


def reshape(node: Any, values: Values) -> Form | None:
    shape, x, y = values.constants.get(node.input[1]), node.input[0], node.output[0]
    if shape is None or attribute(node, "allowzero", 0) or not values.rank(x) or x in values.constants:
        return None
    enters, leaves = values.rank(x) != 3, values.rank(y) != 3
    copies = [i for i, size in enumerate(shape) if size == 0 and i >= UNIT]  # a size of the input
    if (enters and leaves) or (copies and (enters or leaves)):
        return None
    form = Form(inputs=() if enters else (0,), gives=not leaves)
    if not leaves:
        form.constants[1] = with_unit(shape, 1)
    return form


def flatten(node: Any, values: Values) -> Form | None:
    axis = attribute(node, "axis", 1)
    axis += 3 if axis < 0 else 0
    if not values.computed(node.input[0], 3):
        return None
    return Form(gives=False, attributes={"axis": axis + (axis > UNIT)})


def squeeze(node: Any, values: Values) -> Form | None:
    axes = values.axes(node)
    if axes and values.computed(node.input[0], 4) and {axis % 4 for axis in axes} == {UNIT}:
        return Form(inputs=(), operator="Identity")  # the new axis was there before
    if not axes or not values.computed(node.input[0], 3):
        return None
    return with_axes(node, Form(gives=False), {UNIT, *map(moved, axes)})


def unsqueeze(node: Any, values: Values) -> Form | None:
    axes = values.axes(node)
    if len(axes) == 1 and values.computed(node.input[0], 3) and axes[0] % 4 == UNIT:
        return Form(gives=False, operator="Identity")
    if len(axes) != 1 or not values.computed(node.input[0], 2):
        return None
    return with_axes(node, Form(inputs=()), {UNIT, moved(axes[0])})


def reduce(node: Any, values: Values) -> Form | None:
    axes = values.axes(node)
    if not axes or not values.computed(node.input[0], 3):
        return None
    keeps = bool(attribute(node, "keepdims", 1))
    return with_axes(node, Form(gives=keeps), {*map(moved, axes)} | (set() if keeps else {UNIT}))


def with_axes(node: Any, form: Form, axes: set[int]) -> Form:
    """Axes as an input where the node has them there, else as an attribute."""
    if len(node.input) > 1:
        form.constants[1] = np.array(sorted(axes), dtype=np.int64)
    else:
        form.attributes["axes"] = sorted(axes)
    return form


Rule = Callable[[Any, Values], Form | None]
RULES: dict[str, Rule] = {
    "Conv": conv, "ConvTranspose": conv,
    **dict.fromkeys(("MaxPool", "AveragePool"), window),
    **dict.fromkeys((
        "Abs", "BatchNormalization", "Celu", "Clip", "Dropout", "Elu", "Erf", "Exp", "Gelu", "GlobalAveragePool",
        "GlobalMaxPool", "HardSigmoid", "HardSwish", "Identity", "InstanceNormalization", "LeakyRelu", "Log", "Mish",
        "Neg", "Reciprocal", "Relu", "Selu", "Sigmoid", "Softplus", "Softsign", "Sqrt", "Tanh", "ThresholdedRelu",
    ), same),
    **dict.fromkeys(("Add", "Div", "Max", "Mean", "Min", "Mul", "PRelu", "Pow", "Sub", "Sum"), broadcast),
    **dict.fromkeys(("Concat", "LogSoftmax", "Softmax", "Split"), along),
    "Gather": gather, "Transpose": transpose, "Slice": cut, "Pad": pad, "Tile": tile,
    **dict.fromkeys(("Resize", "Upsample"), resize),
    "Reshape": reshape, "Flatten": flatten, "Squeeze": squeeze, "Unsqueeze": unsqueeze,
    **dict.fromkeys(("ReduceMax", "ReduceMean", "ReduceMin", "ReduceSum"), reduce),
}  # fmt: skip
