"""ncnn's files: ``model.param``, its layers as text, and ``model.bin``, their weights one behind the other.

As ncnn's wiki describes them (param and model file structure). The weights of a layer have no length of their own:
it follows from what the layer says of itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import BinaryIO

from ecgedge import EcgEdgeError, Weight

PARAM_FILE, BIN_FILE = "model.param", "model.bin"
MAGIC = "7767517"
Shape = tuple[int, ...]
TAGS = {0: ("float32", 4), 0x0002C056: ("float32", 4), 0x01306B47: ("float16", 2)}  # before weights that may be either
CONVOLUTIONS = frozenset({
    "Convolution", "Convolution1D", "ConvolutionDepthWise", "ConvolutionDepthWise1D", "Deconvolution",
    "Deconvolution1D", "DeconvolutionDepthWise", "DeconvolutionDepthWise1D",
})  # fmt: skip


@dataclass(frozen=True)
class Layer:
    """A line of ``model.param``.

    Attributes:
        words: what it says of itself, by the keys that ncnn gives to each type; those below 0 hold lists.
    """

    type: str
    name: str
    words: dict[str, str]

    def number(self, key: int, default: int = 0) -> int:
        """A size, or whether there is a bias; of files that ncnn has loaded, else it may raise ValueError."""
        return int(self.words.get(str(key), default))

    @property
    def shapes(self) -> tuple[Shape, ...]:
        """Of its weights in the order of the file, the first of them tagged with a type; empty where none are known.

        Convolutions: ``(M, C / groups, k...)`` and perhaps ``(M,)``; an InnerProduct: ``(M, K)`` and perhaps ``(M,)``;
        a BatchNorm: four times ``(C,)``.
        """
        count = self.number(0)
        if self.type in CONVOLUTIONS:
            width = self.number(1)
            kernel = (width,) if self.type.endswith("1D") else (self.number(11, width), width)
            weights: Shape = (count, self.number(6) // max(count * prod(kernel), 1), *kernel)
            return (weights, (count,)) if self.number(5) else (weights,)
        if self.type == "InnerProduct":
            weights = (count, self.number(2) // max(count, 1))
            return (weights, (count,)) if self.number(1) else (weights,)
        return ((count,),) * 4 if self.type == "BatchNorm" else ()


def checked_files(folder: Path) -> tuple[Path, Path]:
    """``model.param`` and ``model.bin`` of a folder; the second is empty where no layer has weights.

    Raises EcgEdgeError where one is missing.
    """
    files = folder / PARAM_FILE, folder / BIN_FILE
    for file in files:
        if not file.is_file():
            raise EcgEdgeError(f"{file} is missing", "convert it again")
    return files


def read_layers(param: Path) -> list[Layer]:
    """The layers of ``model.param`` in order. Raises EcgEdgeError where it is no such file."""
    lines = param.read_text(encoding="utf-8", errors="replace").splitlines()
    if not lines or lines[0].strip() != MAGIC:
        raise EcgEdgeError(f"{param} is no text file of ncnn: it does not begin with {MAGIC}", "convert it again")
    layers = []
    for number, line in enumerate(lines[2:], start=3):  # the second counts layers and results
        try:
            layers += [layer_of(line)] if line.strip() else []
        except ValueError as error:
            raise EcgEdgeError(f"{param}: line {number} is no layer of ncnn", "convert it again") from error
    return layers


def layer_of(line: str) -> Layer:
    """Of ``TYPE NAME INPUTS OUTPUTS input... output... key=value...``. Raises ValueError where it is another."""
    kind, name, inputs, outputs, *rest = line.split()
    pairs = [word.partition("=") for word in rest[int(inputs) + int(outputs) :]]
    return Layer(kind, name, {key: value for key, _, value in pairs})


def read_weights(folder: Path) -> tuple[Weight, ...] | None:
    """The constants in ``model.bin`` with the types that they have there.

    None: a layer has weights of which this module knows no length, so that the rest cannot be told.
    """
    param, weights = checked_files(folder)
    with weights.open("rb") as file:
        try:
            found = tuple(weight for layer in read_layers(param) for weight in weights_of(layer, file))
        except ValueError:
            return None
        return None if file.read(1) else found


def weights_of(layer: Layer, file: BinaryIO) -> Iterator[Weight]:
    """The weights of a layer, which come next. Raises ValueError where what comes cannot be that."""
    for place, shape in enumerate(layer.shapes):
        dtype, size = "float32", 4
        if place == 0 and layer.type != "BatchNorm":
            tag = int.from_bytes(file.read(4), "little")
            if tag not in TAGS:
                raise ValueError(f"unknown tag {tag:#x}")
            dtype, size = TAGS[tag]
        length = prod(shape) * size
        content = file.read(length)
        if len(content) < length:
            raise ValueError("too short")
        file.read(-length % 4)  # each begins at a multiple of 4
        yield Weight(f"{layer.name}.{place}", dtype, length, hashlib.sha256(content).hexdigest()[:16])
