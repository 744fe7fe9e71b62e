"""Random graphs: the C answers bit for bit as LiteRT's reference kernels do, plain and by what this processor has."""

from __future__ import annotations

import os
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
from ecgedge_c import cmsis_nn, folder, tflite
from ecgedge_c.compiler import QUICK, compiler, native, run
from graphs import graphs
from hypothesis import HealthCheck, given, settings
from test_cmsis_nn import place

from ecgedge import Artifact, Classification

GRAPHS = int(os.environ.get("ECGEDGE_GRAPHS", 60))  # 500 in earnest
BEATS = 6
SCRATCH = tempfile.TemporaryDirectory()  # of this process


@settings(max_examples=GRAPHS, deadline=None, derandomize=True, database=None,
          suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])  # fmt: skip
@given(graphs())
def test_random_graphs_answer_as_the_reference_kernels_do(drawn: tuple[bytes, int]) -> None:
    content, count = drawn
    values = np.random.default_rng(count).integers(-128, 128, (BEATS, count)).astype(np.int8)
    expected = tflite.answer(tflite.reference(content), values)
    with tempfile.TemporaryDirectory() as scratch:
        for name, found in answers(content, values, Path(scratch)).items():
            np.testing.assert_array_equal(expected, found, err_msg=name)


def answers(content: bytes, values: np.ndarray, scratch: Path) -> dict[str, np.ndarray]:
    """Of the C, by programs of its own with the sanitizers on: what reads or writes beside an array ends them."""
    file = scratch / "model.tflite"
    file.write_bytes(content)
    net = tflite.read(file)
    given, returned = (tflite.spec_of(net.tensors[index], "?") for index in (net.input, net.output))
    artifact = Artifact(file, "tflite", "full-int8", Classification(("a",)), given, returned, "model")
    out = scratch / "out"
    made = folder.write_sources(artifact, out, cmsis_nn=place() is not None)
    rows = folder.rows(values, "int8_t")
    outputs = net.tensors[net.output].count
    (out / "main.c").write_text(
        f'#include <stdio.h>\n#include "model.h"\nstatic const int8_t in[][{values.shape[1]}] = {{{rows}}};\n'
        f"int main(void) {{\n  for (int i = 0; i < {len(values)}; ++i) {{\n    int8_t y[{outputs}];\n"
        f'    {made.name}_run(in[i], y);\n    for (int o = 0; o < {outputs}; ++o) printf("%d ", y[o]);\n  }}\n}}\n'
    )
    flags = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-fsanitize=address,undefined"]
    found, builds = {}, {"plain": ["-O1"], "native": ["-O1", *native()]}
    if theirs := place():
        builds["CMSIS-NN"] = ["-O1", *its_functions(theirs)]
    for name, more in builds.items():
        command = [*compiler(), *flags, *more, "-fno-sanitize-recover=all", "-o", scratch / name]
        run([*command, out / "model.c", out / "main.c"], "model.c")
        told = run([scratch / name], "the program").split()
        found[name] = np.array(told, np.int8).reshape(len(values), outputs)
    return found


@cache
def its_functions(folder: Path) -> list[str]:
    """What a compiler wants to be told for CMSIS-NN's convolutions; compiled once, without the sanitizers."""
    kernels, library = cmsis_nn.find(folder), Path(SCRATCH.name) / "cmsis_nn.so"
    options = [*kernels.options, *cmsis_nn.ON_THE_HOST]
    run([*compiler(), *QUICK, "-w", *options, "-o", library, *kernels.sources], "CMSIS-NN")
    return [*options, str(library)]
