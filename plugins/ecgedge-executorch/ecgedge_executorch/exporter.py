"""torch -> ExecuTorch, float32, for XNNPACK."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ecgedge import Artifact, Context, Exporter, check_parity, load_network
from ecgedge_executorch.runtime import ENVIRONMENT, LIBRARIES, RECORD, ExecuTorchRuntime


class ExecuTorchExporter(Exporter):
    """For a fixed batch, checked against torch on real beats."""

    name = "executorch"
    needs = ("executorch", "torch", "torchao", "safetensors")
    libraries = LIBRARIES
    environment = ENVIRONMENT
    accepts = ("torch",)
    produces = "executorch"
    fixed_batch = True

    def convert(self, source: Artifact, out: Path, context: Context) -> Artifact:
        import torch  # heavy, as is what the next imports

        from ecgedge_executorch.planes import in_planes

        network = load_network(source)
        artifact = described(source, out, context.batch, "fp32")
        write(in_planes(network, *batch_and_length(artifact)), artifact)
        with torch.inference_mode():
            expected = network(torch.from_numpy(context.parity_beats)).numpy()
        check_parity(expected, answers(artifact, context.parity_beats), "torch -> executorch")
        return artifact


def described(source: Artifact, out: Path, batch: int, precision: str) -> Artifact:
    """What is about to be made of a checkpoint."""
    given = replace(source.input, name="input", shape=(batch, *source.input.shape[1:]))
    returned = replace(source.output, name="output", shape=(batch, *source.output.shape[1:]))
    return source.derive(out, format="executorch", precision=precision, input=given, output=returned)


def batch_and_length(artifact: Artifact) -> tuple[int, int]:
    batch, _, length = artifact.input.shape
    assert batch and length
    return batch, length


def write(program: Any, artifact: Artifact) -> None:
    """Lower a ``torch.export.ExportedProgram`` to XNNPACK, as far as that goes, with the record in the file."""
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner  # heavy, with the next
    from executorch.exir import ExecutorchBackendConfig, to_edge_transform_and_lower
    from executorch.exir.passes import MemoryPlanningPass

    record = {RECORD: json.dumps(artifact.record())}
    lowered = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()], constant_methods=record)
    apart = MemoryPlanningPass(alloc_graph_input=False)  # beats stay where they are, and as they are
    artifact.path.write_bytes(lowered.to_executorch(ExecutorchBackendConfig(memory_planning_pass=apart)).buffer)


def answers(artifact: Artifact, beats: np.ndarray) -> np.ndarray:
    """What the file answers to all beats."""
    session = ExecuTorchRuntime().load(artifact, 1)
    size = session.batch or len(beats)
    found = []
    for start in range(0, len(beats), size):
        session.bind(np.resize(beats[start : start + size], (size, *beats.shape[1:])))
        session.invoke()
        found.append(session.fetch())
    return np.concatenate(found)[: len(beats)]
