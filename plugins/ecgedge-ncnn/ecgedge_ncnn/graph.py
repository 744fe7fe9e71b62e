"""What ran, by ncnn's own word: each layer's results are taken out as they lie in memory, with type and shape."""

from __future__ import annotations

from math import prod
from typing import Any

from ecgedge import Artifact, Graph, Node
from ecgedge_ncnn.kinds import kind_of, macs_of
from ecgedge_ncnn.model_file import PARAM_FILE, Layer, Shape, read_layers, read_weights

RAW = 1  # of ``Extractor.extract``: neither unpacked nor turned into float32


def read_graph(net: Any, artifact: Artifact, x: Any) -> Graph:
    """The layers as they run on one batch, and the constants of the file.

    ncnn does not tell what it makes of weights when it loads them: nodes take them with the types of the file.

    Args:
        net: an ``ncnn.Net``.
        x: the batch, an ``ncnn.Mat``.
    """
    extractor = net.create_extractor()
    extractor.set_light_mode(False)  # results that were read stay
    extractor.input(artifact.input.name, x)
    values = {blob: extractor.extract(blob, RAW)[1] for layer in net.layers() for blob in layer.tops}
    weights = read_weights(artifact.path)
    dtypes = {weight.name: weight.dtype for weight in weights or ()}
    told = read_layers(artifact.path / PARAM_FILE)
    is_half = net.opt.use_bf16_storage
    nodes = tuple(
        node_of(layer, line, values, dtypes, is_half)
        for layer, line in zip(net.layers(), told, strict=True)
        if layer.type != "Input"
    )
    given, returned = artifact.input, artifact.output
    return Graph(nodes, weights, input=given.dtype, output=returned.dtype)


def node_of(layer: Any, line: Layer, values: dict[int, Any], dtypes: dict[str, str], is_half: bool) -> Node:
    """A layer, its weights among what it takes.

    ncnn turns what a layer takes into bfloat16 where the layer can have it, into float32 where it cannot.

    Args:
        values: all results, by ncnn's numbers.
        dtypes: of the weights in the file, by name; empty where they are not told.
    """
    taken, given = [values[blob] for blob in layer.bottoms], [values[blob] for blob in layer.tops]
    dtype = "bfloat16" if is_half and layer.support_bf16_storage else "float32"
    shapes = line.shapes if dtypes else ()
    read, made = [*map(shape_of, taken)], [*map(shape_of, given)]
    return Node(
        layer.name,
        layer.type,
        "ncnn",
        "cpu",
        (*[dtype] * len(taken), *(dtypes[f"{layer.name}.{place}"] for place in range(len(shapes)))),
        tuple(dtype_of(value, is_half) for value in given),
        (*[0] * len(taken), *map(prod, shapes)),
        (*read, *shapes),
        tuple(made),
        kind=kind_of(layer.type),
        macs=macs_of(layer.type, read, shapes, made),
    )


def dtype_of(value: Any, is_half: bool) -> str:
    """By numpy's name. ncnn tells the bits alone, and whether it was asked for bfloat16."""
    return {32: "float32", 16: "bfloat16" if is_half else "float16", 8: "int8"}.get(value.elembits(), "unknown")


def shape_of(value: Any) -> Shape:
    """``(N, ...)``; ncnn packs up to 16 channels, or whatever the first axis is, into one element."""
    axes = {1: (value.w,), 2: (value.h, value.w), 3: (value.c, value.h, value.w)}
    first, *others = axes.get(value.dims, (value.c, value.d, value.h, value.w))
    return (value.n, first * value.elempack, *others)
