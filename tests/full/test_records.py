"""Records in real ONNX and TFLite files: held against what the file's own library tells, and run where believed."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings

from ecgedge import Artifact, EcgEdgeError, infer
from tests.conftest import Command, error_of
from tests.mutation import GOOD, Mutant, attempt, mutants, valid
from tests.real_files import SEEDS, onnx_with, runtime_of, tensors_of, tflite_with

for framework in ("onnx", "onnxruntime", "ai_edge_litert"):
    pytest.importorskip(framework)

WRITE = {"record.onnx": onnx_with, "int8.tflite": tflite_with}
LENGTH = 20  # samples of a beat


@pytest.mark.parametrize("name", SEEDS)
def test_mutated_records(name: str, tmp_path: Path) -> None:
    content, file = SEEDS[name], tmp_path / name
    file.write_bytes(content)
    runtime, own = runtime_of(file), tensors_of(content, file)
    base = json.loads(json.dumps(runtime.inspect(file).record()))
    assert valid(base, own)
    seen: Counter[str] = Counter()

    def read(text: bytes) -> Artifact:
        file.write_bytes(WRITE[name](content, text))
        artifact = runtime.inspect(file)
        answers = infer(runtime.load(artifact, 1), np.zeros((3, 1, LENGTH), np.float32))
        assert answers.reshape(3, -1).shape == (3, len(artifact.task.labels))
        return artifact

    @settings(max_examples=80, deadline=None, database=None, derandomize=True, phases=[Phase.generate, Phase.shrink],
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(mutants(base))
    def check(mutant: Mutant) -> None:
        outcome = attempt(read, mutant, valid(mutant.record, own), (EcgEdgeError,))
        assert outcome.kind in GOOD, outcome
        seen[outcome.kind] += 1

    check()
    assert min(seen["right"], seen["refused"]) > 1, seen


@pytest.mark.parametrize("name", SEEDS)
@pytest.mark.parametrize("command", ["evaluate", "bundle"])
def test_what_reached_a_header_of_c(name: str, command: str, here: Command, tmp_path: Path) -> None:
    """A shape that is a line of C."""
    base = json.loads(json.dumps(runtime_of(Path(name)).inspect(seed(name, tmp_path)).record()))
    base["output"]["shape"][0] = "1}\n#include </etc/passwd>\n"
    (tmp_path / name).write_bytes(WRITE[name](SEEDS[name], json.dumps(base).encode()))
    told = error_of(here(command, name))
    assert "output.shape[0] is '1}\\n#include" in told


def seed(name: str, folder: Path) -> Path:
    (folder / name).write_bytes(SEEDS[name])
    return folder / name


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--labels", f"a,b,{'x' * 100_000}"], "task.labels[2] is 'xxx"),
        (["--labels", "a,b\u202e,c"], "task.labels[1] is 'b\\u202e'"),
        (["--labels", "a,b\x1b[2J,c"], "task.labels[1] is 'b\\x1b[2J'"),
    ],
    ids=["long", "turned", "escape"],
)
def test_labels_of_the_command_line_are_held_to_the_same(
    options: list[str], told: str, here: Command, tmp_path: Path
) -> None:
    (tmp_path / "plain.onnx").write_bytes((Path(__file__).parents[1] / "fuzz/corpus/onnx/plain.onnx").read_bytes())
    assert told in error_of(here("bundle", "plain.onnx", *options))
