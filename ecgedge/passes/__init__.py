"""Graph passes, ONNX -> ONNX: repairs that make a graph faster or let a delegate take it, with the same answers.

Each is a module of this package with a function ``apply(model, batch)``, which changes an
``onnx_ir.Model`` whose shapes are inferred in place, and leaves alone what it does not know. Who
consumes a graph says which it ``wants``, by name and in order. Plugins bring others: ``api.parts.GraphPass``.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from ecgedge.api.parts import GraphPass
from ecgedge.errors import unknown

NONE: Mapping[str, GraphPass] = MappingProxyType({})

# In the order in which they help each other.
NAMES = (
    "fix_batch",
    "fold_constants",
    "gelu_in_order",
    "spell_norms",
    "stable_softplus",
    "reciprocal_to_div",
    "wrap_to_concat",
    "sink_transposes",
    "mean_to_pool",
    "relu_into_concat",
    "fold_norms",
    "norm_to_conv",
    "merge_convs",
    "drop_idle_relu",
    "crop_in_place",
    "crop_into_conv",
    "ceil_to_repeat",
    "upsample_into_conv",
    "upsample_to_concat",
    "conv_to_2d",
    "drop_dead_ends",
)

# Which of them takes away an ONNX operation that is computed in float among int8 ones, by that operation's type.
INT8_FOR = {"ReduceMean": "mean_to_pool", "BatchNormalization": "norm_to_conv", "Resize": "upsample_to_concat"}


def check_names(names: Iterable[str], others: Iterable[str] = ()) -> None:
    """Raise EcgEdgeError, with the choices, for a name that no pass has.

    Args:
        others: names of passes that plugins have.
    """
    known = [*NAMES, *others]
    for name in names:
        if name not in known:
            raise unknown("pass", name, known)


@dataclass(frozen=True)
class Shaped:
    """A model that passes can be applied to, one after the other as long as none changes it.

    Attributes:
        model: an ``onnx.ModelProto`` whose shapes are inferred.
        content: what it says of itself.
    """

    model: Any
    content: bytes


def shaped(model: Any) -> Shaped | None:
    """An ``onnx.ModelProto``, which stays as it is, with its shapes; None where it has sparse initializers."""
    import onnx  # heavy, with the next
    import onnx_ir as ir

    if model.graph.sparse_initializer:  # which onnx-ir does not know
        return None
    read = ir.from_proto(model)
    if "ai.onnx" in read.opset_imports:  # the long name of the standard domain, which nodes do not have any more
        read.opset_imports[""] = read.opset_imports.pop("ai.onnx")
    found = onnx.shape_inference.infer_shapes(without_shapes(read), data_prop=True)
    return Shaped(found, content(ir.from_proto(found)))


def apply_pass(
    model: Any, name: str, batch: int = 1, length: int | None = None, others: Mapping[str, GraphPass] = NONE
) -> Any | None:
    """A model with one pass applied; None where it changes nothing, or the model has sparse initializers.

    Args:
        model: an ``onnx.ModelProto``; it stays as it is.
        batch: for ``fix_batch``.
        length: of the beats, for ``fix_batch`` as well; None: a free one stays free.
        others: passes of plugins, by name.
    """
    given = shaped(model)
    changed = apply_to(given, name, batch, length, others) if given else None
    return changed.model if changed else None


@dataclass(frozen=True)
class Changed:
    """What a pass made of a model.

    Attributes:
        model: an ``onnx.ModelProto`` without shapes.
        origins: old names of the values that have another name now, by the new one.
    """

    model: Any
    origins: Mapping[str, str]


def apply_to(
    given: Shaped, name: str, batch: int = 1, length: int | None = None, others: Mapping[str, GraphPass] = NONE
) -> Changed | None:
    """As ``apply_pass``, to a model whose shapes are known; it stays as it is."""
    import onnx_ir as ir  # heavy, with the next
    from onnx_ir.passes.common import NameFixPass

    changed = ir.from_proto(given.model)
    idle = {value for value in constants(changed.graph) if not value.uses()}
    names = {value: value.name for node in changed.graph for value in node.outputs}
    if name in others:
        others[name].apply(changed, batch, length)
    else:
        known = {"length": length} if name == "fix_batch" and length else {}
        importlib.import_module(f"ecgedge.passes.{name}").apply(changed, batch, **known)
    if content(changed) == given.content:
        return None
    drop_constants(changed.graph, idle)
    NameFixPass()(changed)
    return Changed(without_shapes(changed), origins_of(changed.graph, names))


def origins_of(graph: Any, names: Mapping[Any, str]) -> dict[str, str]:
    """What the values of an ``onnx_ir.Graph`` were called before, by what they are called now, where that is another.

    A value that took over the name of another one means what that did, and is left out.

    Args:
        names: of its values, before.
    """
    known = {*names.values()}
    now = [value for node in graph for value in node.outputs if value in names]
    return {value.name: names[value] for value in now if value.name and names[value] and value.name not in known}


def without_shapes(model: Any) -> Any:
    """An ``onnx_ir.Model`` as an ``onnx.ModelProto``: passes change shapes, and another tool's may be stale."""
    import onnx_ir as ir  # heavy

    made = ir.to_proto(model)
    del made.graph.value_info[:]
    return made


def content(model: Any) -> bytes:
    """What an ``onnx_ir.Model`` says of itself in a file."""
    import onnx_ir as ir  # heavy

    return ir.to_proto(model).SerializeToString(deterministic=True)


def constants(graph: Any) -> Iterator[Any]:
    """The initializers, and what Constant nodes give."""
    yield from graph.initializers.values()
    yield from (node.outputs[0] for node in graph if node.op_type == "Constant" and node.domain == "")


def drop_constants(graph: Any, kept: set[Any]) -> None:
    """Take away the constants that nothing reads, but for some."""
    for value in list(constants(graph)):
        if value in kept or value.uses() or value.is_graph_output() or value.is_graph_input():
            continue
        if value.is_initializer():
            del graph.initializers[value.name]
        else:
            graph.remove(value.producer(), safe=True)
