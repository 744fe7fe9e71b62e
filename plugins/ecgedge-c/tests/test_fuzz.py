"""Random graphs: the C answers bit for bit as LiteRT's reference kernels do."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np
from ecgedge_c import folder, tflite
from ecgedge_c.compiler import compiler, run
from graphs import graphs
from hypothesis import HealthCheck, given, settings

from ecgedge import Artifact, Classification

GRAPHS = int(os.environ.get("ECGEDGE_GRAPHS", 60))  # 500 in earnest
BEATS = 6


@settings(max_examples=GRAPHS, deadline=None, derandomize=True, database=None,
          suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])  # fmt: skip
@given(graphs())
def test_random_graphs_answer_as_the_reference_kernels_do(drawn: tuple[bytes, int]) -> None:
    content, count = drawn
    values = np.random.default_rng(count).integers(-128, 128, (BEATS, count)).astype(np.int8)
    expected = tflite.answer(tflite.reference(content), values)
    with tempfile.TemporaryDirectory() as scratch:
        found = answers(content, values, Path(scratch))
    np.testing.assert_array_equal(expected, found)


def answers(content: bytes, values: np.ndarray, scratch: Path) -> np.ndarray:
    """Of the C, by a program of its own with the sanitizers on: what reads or writes beside an array ends it."""
    file = scratch / "model.tflite"
    file.write_bytes(content)
    net = tflite.read(file)
    given, returned = (tflite.spec_of(net.tensors[index], "?") for index in (net.input, net.output))
    artifact = Artifact(file, "tflite", "full-int8", Classification(("a",)), given, returned, "model")
    out = scratch / "out"
    made = folder.write_sources(artifact, out)
    rows = folder.rows(values, "int8_t")
    outputs = net.tensors[net.output].count
    (out / "main.c").write_text(
        f'#include <stdio.h>\n#include "model.h"\nstatic const int8_t in[][{values.shape[1]}] = {{{rows}}};\n'
        f"int main(void) {{\n  for (int i = 0; i < {len(values)}; ++i) {{\n    int8_t y[{outputs}];\n"
        f'    {made.name}_run(in[i], y);\n    for (int o = 0; o < {outputs}; ++o) printf("%d ", y[o]);\n  }}\n}}\n'
    )
    program = scratch / "program"
    flags = ["-std=c99", "-O1", "-Wall", "-Wextra", "-Werror", "-pedantic", "-fsanitize=address,undefined"]
    run([*compiler(), *flags, "-fno-sanitize-recover=all", "-o", program, out / "model.c", out / "main.c"], "model.c")
    return np.array(run([program], "the program").split(), np.int8).reshape(len(values), outputs)
