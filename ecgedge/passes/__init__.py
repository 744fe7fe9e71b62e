"""Graph passes, ONNX -> ONNX: repairs that make a graph faster or let a delegate take it, with the same answers.

Each is a module of this package with a function ``apply(model, batch)``, which changes an
``onnx.ModelProto`` whose shapes are inferred in place, and leaves alone what it does not know. Who
consumes a graph says which it ``wants``, by name and in order.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from typing import Any

from ecgedge.errors import unknown
from ecgedge.passes.values import is_op, names_read

# In the order in which they help each other.
NAMES = (
    "fix_batch",
    "fold_constants",
    "sink_transposes",
    "mean_to_pool",
    "relu_into_concat",
    "fold_norms",
    "norm_to_conv",
    "merge_convs",
    "drop_idle_relu",
    "crop_in_place",
    "ceil_to_repeat",
    "upsample_into_conv",
    "upsample_to_concat",
    "conv_to_2d",
    "drop_dead_ends",
)


def check_names(names: Iterable[str]) -> None:
    """Raise EcgEdgeError, with the choices, for a name that no pass has."""
    for name in names:
        if name not in NAMES:
            raise unknown("pass", name, list(NAMES))


def apply_pass(model: Any, name: str, batch: int = 1) -> Any | None:
    """A model with one pass applied; None where it changes nothing.

    Args:
        model: an ``onnx.ModelProto``; it stays as it is.
        batch: for ``fix_batch``.
    """
    import onnx  # heavy

    bare = type(model).FromString(model.SerializeToString())
    del bare.graph.value_info[:]  # another tool's may be stale, and the passes change shapes
    changed = onnx.shape_inference.infer_shapes(bare, data_prop=True)
    before, read = changed.SerializeToString(deterministic=True), set(names_read(changed.graph))
    importlib.import_module(f"ecgedge.passes.{name}").apply(changed, batch)
    if changed.SerializeToString(deterministic=True) == before:
        return None
    del changed.graph.value_info[:]
    drop_constants(changed.graph, read - set(names_read(changed.graph)))
    return changed


def drop_constants(graph: Any, unread: set[str]) -> None:
    """Take away the constants, among some names, that no output is."""
    unread = unread - {value.name for value in graph.output}
    for tensor in [tensor for tensor in graph.initializer if tensor.name in unread]:
        graph.initializer.remove(tensor)
    for node in [node for node in graph.node if is_op(node, "Constant") and node.output[0] in unread]:
        graph.node.remove(node)
