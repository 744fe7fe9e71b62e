"""The doors that files of strangers come in by, each as a function of bytes: what is no user's error goes up.

``python -m tests.fuzz.run`` has them fed by coverage; ``test_corpus.py`` feeds them what was kept.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np

from ecgedge import Artifact, Classification, EcgEdgeError, TensorSpec, artifact_from
from tests.mutation import File, Mutant, Tensor, attempt, is_json, is_utf8, valid

LABELS = ("1", "2", "3")
LENGTH = 20
BEAT = TensorSpec("input", (None, 1, LENGTH), "float32", "NCL")
SCORES = TensorSpec("output", (None, 3), "float32", "NC")
TENSORS = File(Tensor("input", (None, 1, LENGTH), "float32"), Tensor("output", (None, 3), "float32"))
APART = b"\n--\n"  # between the parts of what one target is fed


@cache
def scratch() -> Path:
    """A folder for the files of this process."""
    folder = tempfile.TemporaryDirectory()
    scratch.kept = folder  # type: ignore[attr-defined]  # until the process ends
    return Path(folder.name)


def record(data: bytes) -> None:
    """The record in a file: believed where it may be, else refused in one line."""
    file = scratch() / "model"
    file.write_bytes(b"model")
    found = held(data)
    outcome = attempt(
        lambda text: artifact_from(file, text, BEAT, SCORES),
        Mutant(data, found),
        valid(found, TENSORS),
        (EcgEdgeError,),
    )
    if outcome.kind not in ("right", "refused"):
        raise AssertionError(f"{outcome.kind}: {outcome.told}")


def held(data: bytes) -> object:
    """What a text holds; None: no JSON, or more than JSON allows."""
    try:
        text = data.decode()
        pairs: list[bool] = []
        found = json.loads(
            text, object_pairs_hook=lambda each: pairs.append(len(dict(each)) == len(each)) or dict(each)
        )
        return found if is_json(found) and is_utf8(data) and all(pairs) else None
    except (ValueError, RecursionError):
        return None


def checkpoint(data: bytes) -> None:
    """A checkpoint of torch: ``model.json`` and the weights."""
    from ecgedge.convert.checkpoint import load_network, read_checkpoint

    folder = scratch() / "checkpoint"
    folder.mkdir(exist_ok=True)
    text, _, weights = data.partition(APART)
    (folder / "model.json").write_bytes(text)
    (folder / "weights.safetensors").write_bytes(weights)
    refused(lambda: load_network(read_checkpoint(folder, {"linear": linear()})))


@cache
def linear() -> object:
    """A model of one matrix."""
    import torch

    from ecgedge import Model

    class Linear(Model):
        name = "linear"

        def build(self, classes: int, length: int, **options: object) -> torch.nn.Module:
            if classes * length > 10**6 or options:
                raise ValueError("too large")
            return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(length, classes))

    return Linear()


def onnx(data: bytes) -> None:
    """An ONNX file, with a record or without."""
    from ecgedge.builtin.onnxruntime_runtimes import OnnxRuntime

    file = scratch() / "model.onnx"
    file.write_bytes(data)
    runtime = OnnxRuntime("cpu", "CPUExecutionProvider")
    refused(lambda: sane(runtime.inspect(runtime.make_whole(file, None, scratch() / "whole.onnx"))))


def tflite(data: bytes) -> None:
    """A TFLite file, with a record or without."""
    from ecgedge.builtin.tflite_runtime import TfliteRuntime

    file = scratch() / "model.tflite"
    file.write_bytes(data)
    runtime = TfliteRuntime()
    refused(lambda: sane(runtime.inspect(runtime.make_whole(file, None, scratch() / "whole.tflite"))))


def folder(data: bytes) -> None:
    """A run's folder in which one file is the fuzzer's: its name, and what it holds."""
    from ecgedge.compare.runs import read_run

    name, _, content = data.partition(APART)
    run = a_run()
    file = run / name.decode("latin-1").replace("/", "-").replace("\0", "-")[:60]
    if file.name not in FILES_OF_A_RUN:
        return
    kept = file.read_bytes()
    try:
        file.write_bytes(content)
        refused(lambda: read_run(run))
    finally:
        file.write_bytes(kept)


FILES_OF_A_RUN = ("run.json", "journal.jsonl", "rows.jsonl", "beats.npz")


@cache
def a_run() -> Path:
    """A run's folder, made without measuring; a few beats, so that it is read quickly."""
    from dataclasses import replace

    from ecgedge.data.finding import synthetic
    from tests.core.synthetic_run import write_run

    beats = synthetic()
    run = scratch() / "run"
    shutil.rmtree(run, ignore_errors=True)
    write_run(run, replace(beats, test=beats.test.take(np.arange(60))), rounds=2)
    return run


def refused(read: Callable[[], object]) -> None:
    """Let a door read; what it says where it does not has to be one line."""
    try:
        read()
    except EcgEdgeError as error:
        assert error.message.strip() and "\n" not in error.message, error.message
        assert "\n" not in error.hint, error.hint


def sane(artifact: Artifact) -> None:
    """What a door lets in can be used: it goes to a worker, and beats go in."""
    from ecgedge.api.records import from_record

    again = from_record(artifact.path, json.loads(json.dumps(artifact.record(), allow_nan=False)))
    assert again == artifact, "it does not survive the journey"
    assert isinstance(artifact.task, Classification) or artifact.task.normal in artifact.task.labels
    length = artifact.input.shape[1 if artifact.input.layout in ("NL", "NLC") else 2] or LENGTH
    if (artifact.input.batch or 1) * length < 10**6 and (artifact.input.scale or artifact.input.dtype[0] == "f"):
        [given] = list(artifact.input.batches(np.zeros((artifact.input.batch or 1, 1, length), np.float32)))
        assert given.dtype == artifact.input.dtype and len(given.shape) == len(artifact.input.shape)


TARGETS: dict[str, Callable[[bytes], None]] = {
    "record": record,
    "checkpoint": checkpoint,
    "folder": folder,
    "onnx": onnx,
    "tflite": tflite,
}
