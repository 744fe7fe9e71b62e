"""A network of one-dimensional layers as one of two-dimensional layers, the only ones that XNNPACK has.

Every value ``(N, C, L)`` of the network becomes a plane ``(N, C, L, 1)``. What has no counterpart among the
planes is computed as before, on ``(N, C, L)``. Imported only by a conversion: torch is heavy.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn

from ecgedge_executorch.norms import CONVOLUTIONS, fold_norms, put, value_of

aten = torch.ops.aten

RESHAPES = {
    aten.flatten.using_ints, aten.reshape.default, aten.squeeze.default, aten.squeeze.dim, aten.squeeze.dims,
    aten.unsqueeze.default, aten.view.default,
}  # fmt: skip
POINTWISE = {
    aten.add.Tensor, aten.clamp.default, aten.dropout.default, aten.elu.default, aten.gelu.default,
    aten.hardswish.default, aten.hardtanh.default, aten.leaky_relu.default, aten.mul.Tensor, aten.relu.default,
    aten.relu_.default, aten.sigmoid.default, aten.silu.default, aten.sub.Tensor, aten.tanh.default,
}  # fmt: skip


def in_planes(network: nn.Module, batch: int, length: int) -> torch.export.ExportedProgram:
    """The network for ``batch`` beats a call, exported, with the same answers."""
    beats = torch.zeros(batch, 1, length)
    flat = torch.export.export(network, (beats,)).module(check_guards=False)
    fold_norms(flat)
    for node in flat.graph.nodes:
        if node.target in CONVOLUTIONS:
            with flat.graph.inserting_before(node):
                weight = put(flat, value_of(flat, node.args[1]).unsqueeze(3))
            node.args = (node.args[0], weight, *node.args[2:])
    flat.graph.eliminate_dead_code()
    flat.recompile()
    with torch.no_grad():
        return torch.export.export(InPlanes(flat), (beats,))


class InPlanes(nn.Module):
    """Runs a graph of convolutions with weights ``(O, I, K, 1)`` in planes."""

    def __init__(self, flat: fx.GraphModule):
        super().__init__()
        self.flat = flat

    def forward(self, x: Tensor) -> Any:
        return Planes(self.flat).run(x)


class Planes(fx.Interpreter):
    """Computes a graph with a plane for each value ``(N, C, L)``."""

    def run_node(self, node: fx.Node) -> Any:
        if node.op == "placeholder":
            return raised(super().run_node(node), node)
        if node.op == "output":
            return self.as_it_was(node.args[0])
        if node.op != "call_function":
            return super().run_node(node)
        args, kwargs = self.fetch_args_kwargs_from_env(node)
        planes = all(map(is_plane, node.all_input_nodes))
        if node.target in RESHAPES:
            return args[0].reshape(raised_shape(node))
        if node.target in POINTWISE and planes:
            return node.target(*args, **kwargs)
        if node.target in LAYERS and is_plane(node.all_input_nodes[0]):
            result = LAYERS[node.target](node, *args, **kwargs)
            if result is not None:
                return result
        args, kwargs = self.as_it_was(node.args), self.as_it_was(node.kwargs)
        return raised(node.target(*args, **kwargs), node)

    def as_it_was(self, arguments: Any) -> Any:
        """Arguments with values in the shapes that the network knows."""

        def lowered(node: fx.Node) -> Any:
            value = self.env[node]
            return value.reshape(node.meta["val"].shape) if is_plane(node) else value

        return fx.map_arg(arguments, lowered)


def is_plane(node: fx.Node) -> bool:
    """Whether a node's value is carried as a plane: each ``(N, C, L)`` that is no weight."""
    value = node.meta.get("val")
    return node.op != "get_attr" and isinstance(value, Tensor) and value.dim() == 3


def raised_shape(node: fx.Node) -> tuple[int, ...]:
    return (*node.meta["val"].shape, 1) if is_plane(node) else tuple(node.meta["val"].shape)


def raised(value: Any, node: fx.Node) -> Any:
    return value.reshape(raised_shape(node)) if is_plane(node) else value


# Layers: each takes the node, then the operation's arguments with planes for values, and gives a plane (or what
# the operation gives, where that is no ``(N, C, L)``); None where it knows no way.


def convolution(
    node: fx.Node,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sequence[int] = (1,),
    padding: Any = (0,),
    dilation: Sequence[int] = (1,),
    groups: int = 1,
) -> Tensor:
    around = padding if isinstance(padding, str) else pair(padding, 0)
    return torch.conv2d(x, weight, bias, pair(stride, 1), around, pair(dilation, 1), groups)


def max_pool(
    node: fx.Node,
    x: Tensor,
    kernel: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0,),
    dilation: Sequence[int] = (1,),
    ceil_mode: bool = False,
) -> Tensor | None:
    """XNNPACK never rounds up: an incomplete last window is filled with copies of the last sample instead."""
    stride = stride or kernel
    if ceil_mode:
        covered = (node.meta["val"].shape[2] - 1) * stride[0] + dilation[0] * (kernel[0] - 1) + 1
        missing = covered - x.shape[2]
        if padding[0] and missing > 0:
            return None
        if missing > 0:
            x = torch.cat([x, *[x[:, :, -1:]] * missing], 2)
    return torch.max_pool2d(x, pair(kernel, 1), pair(stride, 1), pair(padding, 0), pair(dilation, 1))


def average_pool(
    node: fx.Node,
    x: Tensor,
    kernel: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0,),
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    window, step = pair(kernel, 1), pair(stride or kernel, 1)
    return nn.functional.avg_pool2d(x, window, step, pair(padding, 0), ceil_mode, count_include_pad)


def adaptive_pool(node: fx.Node, x: Tensor, size: Sequence[int]) -> Tensor:
    return nn.functional.adaptive_avg_pool2d(x, pair(size, 1))


def mean(node: fx.Node, x: Tensor, axes: Sequence[int] | None, keepdim: bool = False, dtype: Any = None) -> Any:
    """Over time, as a pooling: that is what PT2E's quantizer knows."""
    if axes is None or [axis % 3 for axis in axes] != [2] or dtype:
        return None
    return nn.functional.adaptive_avg_pool2d(x, (1, 1)).reshape(raised_shape(node))


def concatenation(node: fx.Node, values: Sequence[Tensor], axis: int = 0) -> Tensor | None:
    return torch.cat(list(values), axis % 3) if all(map(is_plane, node.all_input_nodes)) else None


def nearest(node: fx.Node, x: Tensor, size: Any, scales: Any = None) -> Tensor | None:
    """XNNPACK cannot repeat samples, but of a plane padded to three columns a pooling of two makes two equal ones."""
    times, rest = divmod(node.meta["val"].shape[2], x.shape[2])
    if rest or times.bit_count() != 1:  # doubled as often as it takes
        return None
    for _ in range(times.bit_length() - 1):
        x = torch.max_pool2d(x, (1, 2), 1, (0, 1)).reshape(*x.shape[:2], 2 * x.shape[2], 1)
    return x


def piece(node: fx.Node, x: Tensor, axis: int = 0, *bounds: Any) -> Tensor:
    return aten.slice.Tensor(x, axis % 3, *bounds)


def pair(along: Sequence[int], across: int) -> tuple[int, int]:
    """A layer's number along a beat, and what it is across the plane."""
    return (along[0], across)


LAYERS = {
    **dict.fromkeys(CONVOLUTIONS, convolution),
    aten.max_pool1d.default: max_pool,
    aten.avg_pool1d.default: average_pool,
    aten.adaptive_avg_pool1d.default: adaptive_pool,
    aten.mean.dim: mean,
    aten.cat.default: concatenation,
    aten.upsample_nearest1d.vec: nearest,
    aten.slice.Tensor: piece,
}
