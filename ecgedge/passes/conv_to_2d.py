"""Convolutions of one dimension, and all that lies between them, get a second one of size 1::

    before   x (N, C, L) -> Conv1d -> BN -> Relu -> MaxPool1d -> ... -> GlobalAveragePool -> Flatten (N, C)
    after    x -> Reshape (N, C, 1, L) -> Conv2d -> BN -> Relu -> MaxPool2d -> ... -> GlobalAveragePool -> Flatten

onnxruntime has blocked kernels (NCHWc) for two dimensions only. A Reshape is added for each value
that enters and for each that is read outside, and none in between; a Reshape, Flatten, Squeeze,
Unsqueeze or reduction at the border does that itself. Where a tool has written convolutions of two dimensions
already, with a Squeeze behind each and an Unsqueeze before the next, these go.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir

from ecgedge.passes.values import (
    Shape,
    add_constant,
    axes_of,
    constant,
    is_op,
    new_value,
    opset_of,
    rank_of,
    shape_of,
)

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
    attributes: dict[str, int | list[int]] = field(default_factory=dict)
    operator: str = ""


def apply(model: ir.Model, batch: int) -> None:
    """All nodes that can be changed and hang together, where a convolution is among them."""
    forms = {node: form for node in model.graph if (form := form_of(node)) is not None}
    chosen = {node: forms[node] for node in with_convs(forms)}
    inside = {value for node, form in chosen.items() if form.gives for value in node.outputs}
    lifted: dict[ir.Value, ir.Value] = {}  # those that enter, with the new axis
    made: dict[tuple[ir.Value | None, Shape, bytes], ir.Value] = {}
    for node in [node for node in model.graph if node in chosen]:
        form = chosen[node]
        for place in form.inputs:
            value = node.inputs[place]
            if value in inside:
                continue
            if value not in lifted:
                lifted[value] = new_value(f"{value.name}_2d")
                shape = shape_of(value)
                node.prepend(reshape_node(value, lifted[value], (*shape[:UNIT], 1, *shape[UNIT:]), model.graph))
            node.replace_input_with(place, lifted[value])
        change(node, form, made)
        for value in node.outputs if form.gives else ():
            if value.name:
                lift(value, chosen)


def with_convs(forms: dict[ir.Node, Form]) -> set[ir.Node]:
    """The nodes that hang together with a convolution, by values of four axes."""
    groups: dict[ir.Value, set[ir.Node]] = {}
    for node, form in forms.items():
        values = [node.inputs[place] for place in form.inputs] + [*(node.outputs if form.gives else ())]
        group = {node}.union(*(groups.get(value, set()) for value in values))
        for value in {*values, *(value for value, other in groups.items() if other & group)}:
            groups[value] = group
    found = [
        group
        for group in groups.values()
        if any(is_op(node, "Conv", "ConvTranspose") or forms[node].operator for node in group)
    ]
    return set().union(*found)


def lift(value: ir.Value, chosen: dict[ir.Node, Form]) -> None:
    """Give a value the new axis; what reads it outside gets a Reshape of the old form, by the old name."""
    node, graph = value.producer(), value.producer().graph
    outside = [use for use in value.uses() if use.node not in chosen or use.idx not in chosen[use.node].inputs]
    name, shape = value.name, value.shape
    if outside or value.is_graph_output():
        old = ir.Value(name=name, shape=shape, type=value.type)
        node.append(reshape_node(value, old, shape_of(value), graph))
        for use in outside:
            use.node.replace_input_with(use.idx, old)
        for i in [i for i, output in enumerate(graph.outputs) if output is value]:
            graph.outputs[i] = old
    value.name, value.shape = f"{name}_2d", None


def reshape_node(given: ir.Value, made: ir.Value, shape: Shape, graph: ir.Graph) -> ir.Node:
    """A Reshape of a value into a form with or without the new axis: onnx2tf 1.28 converts an Unsqueeze wrongly.

    Args:
        shape: what comes out. The batch is copied (0), so that onnxruntime knows two of one batch as equal; the
            last axis is worked out where it is not known.
    """
    sizes = [0, *shape[1:]] if None not in shape[1:] else [0, 0, *[1] * (len(shape) - 3), -1]
    sized = add_constant(graph, f"{made.name}_shape", np.array(sizes, dtype=np.int64))
    return ir.node("Reshape", [given, sized], outputs=[made])


def change(node: ir.Node, form: Form, made: dict[tuple[ir.Value | None, Shape, bytes], ir.Value]) -> None:
    """Give a node its new constants, those that were ``made`` already among them, and its new attributes."""
    for place, array in form.constants.items():
        node.resize_inputs(max(place + 1, len(node.inputs)))
        old = node.inputs[place]
        key = (old, array.shape, array.tobytes())
        if key not in made:
            made[key] = add_constant(node.graph, f"{(old or node.outputs[0]).name}_2d", array)
        node.replace_input_with(place, made[key])
    for name, value in form.attributes.items():
        node.attributes.add(ir.AttrInt64(name, value) if isinstance(value, int) else ir.AttrInt64s(name, value))
    if form.operator:
        node.op_type = form.operator
        node.attributes.clear()
        node.resize_inputs(1)


# -- what each operator becomes; None: it stays


def form_of(node: ir.Node) -> Form | None:
    """How a node becomes one of four axes; None where it cannot, or nothing is known of it."""
    if not is_op(node, *RULES) or any(value.name and not rank_of(value) for value in node.outputs):
        return None
    return RULES[node.op_type](node)


def moved(axis: int, rank: int = 3) -> int:
    """Where an axis of three is among four."""
    axis = int(axis) % rank
    return axis + (axis >= UNIT)


def same(node: ir.Node) -> Form | None:
    """What treats each element, or each channel, alike. Masks and statistics are not known with a new axis."""
    trains = node.attributes.get_int("training_mode", 0) or any(value.name for value in node.outputs[1:])
    return Form() if rank_of(node.inputs[0]) == 3 and not trains else None


def conv(node: ir.Node) -> Form | None:
    weight = constant(node.inputs[1])
    form = window(node)
    if form is None or weight is None or weight.ndim != 3:
        return None
    form.constants[1] = np.expand_dims(weight, UNIT)
    return form


def window(node: ir.Node) -> Form | None:
    """A convolution or pooling: along the new axis a window of one, without padding."""
    if same(node) is None:
        return None
    form = Form()
    for name, unit in (("kernel_shape", 1), ("strides", 1), ("dilations", 1), ("output_padding", 0)):
        if (held := node.attributes.get_ints(name)) is not None:
            form.attributes[name] = [unit, *held]
    if (pads := node.attributes.get_ints("pads")) is not None:
        form.attributes["pads"] = [0, pads[0], 0, pads[1]]
    if (shape := node.attributes.get_ints("output_shape")) is not None:
        form.attributes["output_shape"] = [1, *shape]
    return form


def broadcast(node: ir.Node) -> Form | None:
    """Element by element of several: constants get the new axis too.

    All their four axes are written out: onnx2tf 1.28 takes one of fewer for another than it is.
    """
    form = Form(inputs=tuple(i for i, value in enumerate(node.inputs) if rank_of(value) == 3))
    for i, value in enumerate(node.inputs):
        if i in form.inputs:
            continue
        array = constant(value)
        if array is None or array.ndim > 3:
            return None
        if array.size > 1:
            form.constants[i] = np.expand_dims(array.reshape(*[1] * (3 - array.ndim), *array.shape), UNIT)
    return form if form.inputs else None


def along(node: ir.Node) -> Form | None:
    """One axis, by an attribute, of values that all have three."""
    default = {"Softmax": -1, "LogSoftmax": -1}.get(node.op_type, 0)
    if node.op_type in ("Softmax", "LogSoftmax") and opset_of(node.graph) < 13:  # of all axes from there on
        return None
    places = range(len(node.inputs)) if node.op_type == "Concat" else (0,)
    form = Form(inputs=tuple(i for i in places if rank_of(node.inputs[i]) == 3))
    form.attributes["axis"] = moved(node.attributes.get_int("axis", default))
    for i in set(places) - {*form.inputs}:
        array = constant(node.inputs[i])
        if array is None or array.ndim != 3:
            return None
        form.constants[i] = np.expand_dims(array, UNIT)
    return form if form.inputs else None


def gather(node: ir.Node) -> Form | None:
    indices = constant(node.inputs[1])
    return along(node) if indices is not None and indices.ndim == 1 else None


def transpose(node: ir.Node) -> Form | None:
    if rank_of(node.inputs[0]) != 3:
        return None
    order = [moved(axis) for axis in node.attributes.get_ints("perm", [2, 1, 0])]
    return Form(attributes={"perm": [*order[:UNIT], UNIT, *order[UNIT:]]})


def cut(node: ir.Node) -> Form | None:
    """Slice, by inputs."""
    given = [value for value in node.inputs[1:] if value]
    known = [array for array in map(constant, given) if array is not None]
    if opset_of(node.graph) < 10 or rank_of(node.inputs[0]) != 3 or len(known) < len(given):
        return None
    axes = known[2] if len(node.inputs) > 3 and node.inputs[3] else range(len(known[0]))
    return Form(constants={3: np.array([moved(axis) for axis in axes], dtype=np.int64)})


def pad(node: ir.Node) -> Form | None:
    amounts = constant(node.inputs[1]) if len(node.inputs) > 1 else None
    if opset_of(node.graph) < 11 or rank_of(node.inputs[0]) != 3 or amounts is None:
        return None
    if len(node.inputs) > 3 and node.inputs[3]:
        axes = constant(node.inputs[3])
        return None if axes is None else Form(constants={3: np.array([moved(axis) for axis in axes], dtype=np.int64)})
    return Form(constants={1: np.concatenate([with_unit(amounts[:3], 0), with_unit(amounts[3:], 0)])})


def tile(node: ir.Node) -> Form | None:
    times = constant(node.inputs[1])
    return Form(constants={1: with_unit(times, 1)}) if times is not None and rank_of(node.inputs[0]) == 3 else None


def resize(node: ir.Node) -> Form | None:
    """By scales or sizes, of all axes."""
    last = len(node.inputs) - 1  # x, roi, scales, sizes; of an Upsample x, scales
    wanted = constant(node.inputs[last])
    is_known = wanted is not None and len(wanted) == 3 and not node.attributes.get_ints("axes", [])
    if not is_known or wanted is None or last == 0 or rank_of(node.inputs[0]) != 3:
        return None
    if is_op(node, "Resize") and node.attributes.get_string("mode", "nearest") == "cubic":
        return None
    return Form(constants={last: with_unit(wanted, 1)})


def with_unit(three: np.ndarray, unit: int) -> np.ndarray:
    """A number for each of three axes, and one for the new axis."""
    return np.insert(three, UNIT, unit)


# -- what may end or begin a region


def reshape(node: ir.Node) -> Form | None:
    shape, x, y = constant(node.inputs[1]), node.inputs[0], node.outputs[0]
    if shape is None or node.attributes.get_int("allowzero", 0) or not rank_of(x):
        return None
    enters, leaves = rank_of(x) != 3, rank_of(y) != 3
    copies = [i for i, size in enumerate(shape) if size == 0 and i >= UNIT]  # a size of the input
    if (enters and leaves) or (copies and (enters or leaves)):
        return None
    form = Form(inputs=() if enters else (0,), gives=not leaves)
    if not leaves:
        form.constants[1] = with_unit(shape, 1)
    return form


def flatten(node: ir.Node) -> Form | None:
    axis = node.attributes.get_int("axis", 1)
    axis += 3 if axis < 0 else 0
    if rank_of(node.inputs[0]) != 3:
        return None
    return Form(gives=False, attributes={"axis": axis + (axis > UNIT)})


def squeeze(node: ir.Node) -> Form | None:
    axes = axes_of(node)
    if axes and rank_of(node.inputs[0]) == 4 and {axis % 4 for axis in axes} == {UNIT}:
        return Form(inputs=(), operator="Identity")  # the new axis was there before
    if not axes or rank_of(node.inputs[0]) != 3:
        return None
    return with_axes(node, Form(gives=False), {UNIT, *map(moved, axes)})


def unsqueeze(node: ir.Node) -> Form | None:
    axes = axes_of(node)
    if len(axes) == 1 and rank_of(node.inputs[0]) == 3 and axes[0] % 4 == UNIT:
        return Form(gives=False, operator="Identity")
    if len(axes) != 1 or rank_of(node.inputs[0]) != 2:
        return None
    return with_axes(node, Form(inputs=()), {UNIT, moved(axes[0])})


def reduce(node: ir.Node) -> Form | None:
    axes = axes_of(node)
    if not axes or rank_of(node.inputs[0]) != 3:
        return None
    keeps = bool(node.attributes.get_int("keepdims", 1))
    return with_axes(node, Form(gives=keeps), {*map(moved, axes)} | (set() if keeps else {UNIT}))


def with_axes(node: ir.Node, form: Form, axes: set[int]) -> Form:
    """Axes as an input where the node has them there, else as an attribute."""
    if len(node.inputs) > 1:
        form.constants[1] = np.array(sorted(axes), dtype=np.int64)
    else:
        form.attributes["axes"] = sorted(axes)
    return form


Rule = Callable[[ir.Node], Form | None]
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
