"""A model as a folder of C: what is written into it, and what is read of it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from importlib import metadata, resources
from pathlib import Path
from string import Template

import numpy as np

from ecgedge import Artifact, EcgEdgeError, Graph, TensorSpec, artifact_from, loads_json
from ecgedge_c import lower, source, tables, tflite
from ecgedge_c.graph import graph_of
from ecgedge_c.net import Net
from ecgedge_c.source import Sources

RECORD, GRAPH = "ecgedge.json", "graph.json"
FILES = ("model.h", "model.c", "selftest.c", "Makefile", "CMakeLists.txt", GRAPH)
VECTORS = 8  # beats of the self-test
CLOSE = 1e-4  # by which a float output may differ in the self-test, relative where it is above 1
FUNCTION = re.compile(r"^void (\w+)_run\(const (int8_t|float) input\[\w+\], \2 output\[\w+\]\);$", re.MULTILINE)


@dataclass(frozen=True)
class Interface:
    """What ``model.h`` declares.

    Attributes:
        name: of the function, without ``_run``.
        dtype: of input and output, by numpy's name.
        inputs, outputs: how many values.
    """

    name: str
    dtype: str
    inputs: int
    outputs: int
    arena: int


def version() -> str:
    return metadata.version("ecgedge-c")


def write(source_file: Artifact, out: Path, beats: np.ndarray, cmsis_nn: bool = False) -> tuple[Net, Sources]:
    """Write the C of a TFLite file, with a self-test of some of ``beats``, into the folder ``out``.

    Args:
        cmsis_nn: whether its convolutions can be compiled to call CMSIS-NN.

    Raises:
        EcgEdgeError: an operation cannot become C; says which, and what to do.
    """
    made = write_sources(source_file, out, cmsis_nn)
    net = tflite.read(source_file.path)
    (out / "selftest.c").write_text(selftest(net, made, source_file, beats), encoding="utf-8")
    for name in ("Makefile", "CMakeLists.txt"):
        (out / name).write_text(Template(template(name)).substitute(name=made.name), encoding="utf-8")
    (out / GRAPH).write_text(json.dumps(graph_of(net).record()) + "\n", encoding="utf-8")
    return net, made


def write_sources(source_file: Artifact, out: Path, cmsis_nn: bool = False) -> Sources:
    """Write ``model.h`` and ``model.c`` alone. Raises EcgEdgeError as ``write``."""
    net = tflite.read(source_file.path)
    made = source.write(net, lower.lower(net, tables.table, cmsis_nn), source_file, version())
    out.mkdir()
    (out / "model.h").write_text(made.header, encoding="utf-8")
    (out / "model.c").write_text(made.code, encoding="utf-8")
    return made


def selftest(net: Net, made: Sources, artifact: Artifact, beats: np.ndarray) -> str:
    """``selftest.c``: beats as the model takes them, and what LiteRT's reference kernels give for them."""
    chosen = beats[np.linspace(0, len(beats) - 1, min(VECTORS, len(beats))).astype(int)]
    stored = artifact.input.encode(chosen).reshape(len(chosen), -1)
    expected = tflite.answer(tflite.reference(artifact.path.read_bytes()), stored)
    ctype = "float" if net.is_float else "int8_t"
    if net.is_float:
        difference = (
            "const float apart = found[o] - outputs[i][o], size = outputs[i][o] < 0 ? -outputs[i][o] : outputs[i][o];\n"
            f"      const float most = {CLOSE}f * (size > 1 ? size : 1);\n"
            "      differs |= !(apart <= most && -apart <= most);"
        )
    else:
        difference = "differs |= found[o] != outputs[i][o];"
    return Template(template("selftest.c")).substitute(
        name=made.name, upper=made.name.upper(), vectors=len(chosen), io=ctype, difference=difference,
        inputs=rows(stored, ctype), outputs=rows(expected, ctype),
    )  # fmt: skip


def rows(values: np.ndarray, ctype: str) -> str:
    """A braced row a beat."""
    return ",\n".join(f"{{\n{source.numbers(row, ctype)}\n}}" for row in values)


def template(name: str) -> str:
    return resources.files("ecgedge_c").joinpath("templates").joinpath(name).read_text(encoding="utf-8")


def inspect(path: Path) -> Artifact:
    """The artifact that a folder of C says it is. Raises EcgEdgeError where it is damaged."""
    told = interface(path)
    try:
        text = (path / RECORD).read_text(encoding="utf-8")
        record = loads_json(text, "the record")
        given, returned = (
            TensorSpec(**{**record[key], "shape": tuple(record[key]["shape"])}) for key in ("input", "output")
        )
        sizes = [int(np.prod([axis or 0 for axis in spec.shape[1:]])) for spec in (given, returned)]
    except (OSError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise EcgEdgeError(f"{path}: its record cannot be read: {error}"[:300], "convert it again") from error
    if sizes != [told.inputs, told.outputs] or {given.dtype, returned.dtype} != {told.dtype}:
        raise EcgEdgeError(f"{path}: its record is not of its model.h", "convert it again")
    return artifact_from(path, text, given, returned)


def interface(path: Path) -> Interface:
    """What a folder's ``model.h`` declares. Raises EcgEdgeError where that is none of ours."""
    try:
        text = (path / "model.h").read_text(encoding="utf-8")
        declared = FUNCTION.search(text)
        if not declared:
            raise ValueError("model.h declares no such function")
        facts = {
            key: int(value)
            for key, value in re.findall(r"^#define \w+_(INPUTS|OUTPUTS|ARENA_BYTES) (\d{1,9})$", text, re.MULTILINE)
        }
        dtype = "float32" if declared[2] == "float" else "int8"
        return Interface(declared[1], dtype, facts["INPUTS"], facts["OUTPUTS"], facts["ARENA_BYTES"])
    except (OSError, KeyError, ValueError) as error:
        raise EcgEdgeError(f"{path} is no folder of C that ecgedge made: {error}"[:300], "convert it again") from error


def graph(path: Path, device: str) -> Graph:
    """The operations of a folder, as they run on a device. Raises EcgEdgeError where they cannot be read."""
    try:
        told = Graph.from_record(loads_json((path / GRAPH).read_text(encoding="utf-8"), GRAPH))
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise EcgEdgeError(f"{path / GRAPH} cannot be read: {error}"[:300], "convert it again") from error
    return replace(told, nodes=tuple(replace(node, device=device) for node in told.nodes))
