"""Try many records with something wrong in them at every door that a record comes in by.

    python benchmarks/fuzz_records.py --examples 100000 --seed 0

Each must be read rightly, or refused in one clear line. What is right is judged by ``tests/mutation.py``, which knows
nothing of ecgedge's rules. A file's own tensors come from onnxruntime and LiteRT; what is read of real files is run.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))  # the mutations are those of the tests

from ecgedge import Anomaly, Artifact, Classification, EcgEdgeError, TensorSpec, artifact_from, infer
from ecgedge.api.records import read_sidecar
from ecgedge.convert.checkpoint import read_checkpoint, write_checkpoint
from ecgedge.testing import FakeModel
from tests.mutation import (
    GOOD,
    File,
    Outcome,
    Record,
    Tensor,
    attempt,
    is_plain,
    mutant,
    valid,
    valid_checkpoint,
)
from tests.real_files import SEEDS, onnx_with, runtime_of, tensors_of, tflite_with

LABELS = ("1", "2", "3", "4", "5")
BEAT = TensorSpec("input", (None, 1, 140), "float32", "NCL")
CODED = TensorSpec("beat:0", (1, 140, 1), "int8", "NLC", 0.05, -3)
Door = tuple[Record, Callable[[bytes], Any], Callable[[Any], bool]]  # a valid record, what reads it, what is right


def doors(folder: Path) -> dict[str, Door]:
    """Every door, by name."""
    file = folder / "model"
    file.write_bytes(b"model")
    scores = TensorSpec("y", (None, 5), "float32", "NC")
    net = Artifact(file, "onnx", "fp32", Classification(LABELS, "logits"), BEAT, scores, "net", "0" * 64)
    back = TensorSpec("y", (1, 140), "int8", "NCL", 0.06, 4)
    detector = replace(net, format="tflite", task=Anomaly(0.015, 0.97, "1", LABELS, 5), input=CODED, output=back)
    return {
        "metadata, classifier": in_metadata(net),
        "metadata, autoencoder": in_metadata(detector),
        "sidecar": beside(detector, folder / "sidecar"),
        "checkpoint": checkpoint(folder / "checkpoint"),
        "ONNX file": real("record.onnx", folder),
        "TFLite file": real("int8.tflite", folder),
    }


def in_metadata(artifact: Artifact) -> Door:
    specs = (artifact.input, artifact.output)
    file = File(*(Tensor(s.name, s.shape, s.dtype, s.scale, s.zero_point) for s in specs))
    return plain(artifact), lambda text: artifact_from(artifact.path, text, *specs), lambda record: valid(record, file)


def beside(artifact: Artifact, folder: Path) -> Door:
    folder.mkdir()

    def read(text: bytes) -> Artifact:
        (folder / "ecgedge.json").write_bytes(text)
        return read_sidecar(folder)

    return plain(artifact), read, lambda record: valid(record, None)


def checkpoint(folder: Path) -> Door:
    folder.mkdir()
    (folder / "weights.npy").write_bytes(b"weights")
    write_checkpoint(folder, model="net", files=["weights.npy"], classes=5, length=140, options={"width": 8},
                     task=Classification(LABELS), training={"recipe": {"epochs": 5}})  # fmt: skip
    base = json.loads((folder / "model.json").read_text())
    models = {"net": FakeModel(folder, "net")}

    def read(text: bytes) -> Artifact:
        (folder / "model.json").write_bytes(text)
        return read_checkpoint(folder, models)

    def is_right(record: Any) -> bool:
        known = valid_checkpoint(record) and record["model"] == "net" and record["files"] == ["weights.npy"]
        return known and record["task"]["kind"] == "classification"

    return base, read, is_right


def real(name: str, folder: Path) -> Door:
    """A file that its library opens, and beats that are run where a record is believed."""
    content, file = SEEDS[name], folder / name
    write = onnx_with if name.endswith(".onnx") else tflite_with
    runtime, own = runtime_of(file), tensors_of(content, file)
    file.write_bytes(content)
    base = plain(runtime.inspect(file))

    def read(text: bytes) -> Artifact:
        file.write_bytes(write(content, text))
        artifact = runtime.inspect(file)
        shape = artifact.input.shape
        beats = np.zeros((3, 1, shape[1 if artifact.input.layout in ("NL", "NLC") else 2]), np.float32)
        answers = infer(runtime.load(artifact, 1), beats)
        assert answers.reshape(3, -1).shape == (3, len(artifact.task.labels)), answers.shape
        return artifact

    return base, read, lambda record: valid(record, own)


def plain(artifact: Artifact) -> Record:
    record: Record = json.loads(json.dumps(artifact.record()))
    assert is_plain(record)
    return record


def main() -> None:
    parser = argparse.ArgumentParser(description="Fuzz the readers of records.")
    parser.add_argument("--examples", type=int, default=100_000, help="of all doors together")
    parser.add_argument("--seed", type=int, default=0, help="of the drawing: the same records every time")
    parser.add_argument("--door", help="this one alone, by the beginning of its name")
    asked = parser.parse_args()
    start, total = time.monotonic(), Counter[str]()
    with tempfile.TemporaryDirectory() as folder:
        found = {name: door for name, door in doors(Path(folder)).items() if name.startswith(asked.door or "")}
        for number, (name, door) in enumerate(found.items()):
            count = asked.examples // len(found) + (number < asked.examples % len(found))
            kinds, shown = tried(door, count, asked.seed)
            total += kinds
            print(f"{name:22} {sum(kinds.values()):7,} records: {told(kinds)}", flush=True)
            for outcome in shown:
                print(f"    {outcome.kind}: {outcome.told[:150]!r} {str(outcome.made or '')[:200]}", flush=True)
    seconds = time.monotonic() - start
    print(f"{'all':22} {sum(total.values()):7,} records: {told(total)}; seed {asked.seed}, {seconds:.0f} s")
    sys.exit(any(kind not in GOOD for kind in total))


def told(kinds: Counter[str]) -> str:
    return ", ".join(f"{kinds[kind]:,} {kind}" for kind in [*GOOD, *sorted(set(kinds) - {*GOOD})])


def tried(door: Door, count: int, number: int) -> tuple[Counter[str], list[Outcome]]:
    """Outcomes by kind, and some of those that are wrong."""
    base, read, is_right = door
    kinds: Counter[str] = Counter()
    shown: list[Outcome] = []

    rng = Random(number)
    for _ in range(count):
        drawn = mutant(rng, base)
        outcome = attempt(read, drawn, is_right(drawn.record), (EcgEdgeError,))
        kinds[outcome.kind] += 1
        if outcome.kind not in GOOD and len(shown) < 8:
            shown.append(outcome)
    return kinds, shown


if __name__ == "__main__":
    main()
