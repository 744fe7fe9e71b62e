"""An ONNX artifact through graph passes, each of which has to prove that the answers stay."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from ecgedge.artifacts import Artifact, copy_to
from ecgedge.errors import ConversionError
from ecgedge.kinds import Context
from ecgedge.passes import apply_pass

RELATIVE = 1e-5  # of an output's range, by which a pass may move it
ROUNDINGS = 8  # of its largest value, by which it may move in any case
FREE = 50  # beats a call, where the batch is free


def optimize(source: Artifact, out: Path, names: Iterable[str], context: Context) -> Artifact:
    """Apply passes, in order, and write what comes out with its record; a copy where none changes anything.

    A graph that is quantized is copied too: there a rounding decides which integer comes out.

    Raises:
        ConversionError: a pass failed, or moved an output on ``context.beats``; it is named.
    """
    import onnx  # heavy

    model, applied = onnx.load(source.path), []
    names = () if any("Quantize" in node.op_type or "Integer" in node.op_type for node in model.graph.node) else names
    expected: list[np.ndarray] = []
    for name in names:
        try:
            changed = apply_pass(model, name, context.batch)
            if changed is None:
                continue
            size = batch_of(changed, source.input.name)
            if not expected or size != batch_of(model, source.input.name):
                expected = outputs_of(source.path.read_bytes(), source, context.beats, size)
            found = outputs_of(changed.SerializeToString(), source, context.beats, size)
        except Exception as error:  # onnx and onnxruntime raise classes of their own
            raise ConversionError(f"pass {name} failed: {' '.join(str(error).split())[:200]}") from error
        check_unmoved(expected, found, name)
        model = changed
        applied.append(name)
    if not applied:
        copy_to(source.path, out)
        return source.derive(out)
    batch = batch_of(model, source.input.name)
    given, returned = (
        dataclasses.replace(spec, shape=(batch, *spec.shape[1:])) for spec in (source.input, source.output)
    )
    passes = tuple(dict.fromkeys([*source.passes, *applied]))
    artifact = source.derive(out, input=given, output=returned, passes=passes)
    kept = {entry.key: entry.value for entry in model.metadata_props}
    onnx.helper.set_model_props(model, kept | {"ecgedge": json.dumps(artifact.record())})
    onnx.save(model, out)
    return artifact


def batch_of(model: Any, name: str) -> int | None:
    """Beats a call; None: any number."""
    [given] = [value for value in model.graph.input if value.name == name]
    axis = given.type.tensor_type.shape.dim[0]
    return axis.dim_value if axis.HasField("dim_value") else None


def outputs_of(content: bytes, source: Artifact, beats: np.ndarray, size: int | None) -> list[np.ndarray]:
    """Every output of a model that is a tensor, for all beats in calls of ``size``."""
    import onnxruntime  # heavy

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_outputs() if value.type.startswith("tensor(")]
    spec = dataclasses.replace(source.input, shape=(size, *source.input.shape[1:]))
    calls = [session.run(names, {spec.name: batch}) for batch in spec.batches(beats, FREE)]
    return [np.concatenate([np.atleast_1d(one) for one in of_output]) for of_output in zip(*calls, strict=True)]


def check_unmoved(expected: list[np.ndarray], found: list[np.ndarray], name: str) -> None:
    """Raise ConversionError where an output has another shape, or is not what it was."""
    for one, other in zip(expected, found, strict=True):
        if one.shape != other.shape:
            raise ConversionError(f"pass {name}: an output of shape {other.shape[1:]} instead of {one.shape[1:]}")
        if one.dtype.kind != "f":
            if not np.array_equal(one, other):
                raise ConversionError(f"pass {name} changes an output of type {one.dtype}")
            continue
        finite = np.isfinite(one)
        if not np.array_equal(one[~finite], other[~finite], equal_nan=True):
            raise ConversionError(f"pass {name} changes which values of an output are not finite")
        before, after = one[finite].astype(np.float64), other[finite].astype(np.float64)
        if not before.size:
            continue
        moved, span = np.abs(before - after).max(), np.ptp(before)
        rounding = ROUNDINGS * np.finfo(one.dtype).eps * np.abs(before).max()  # of an output that hardly varies
        if not moved <= max(RELATIVE * span, rounding):
            raise ConversionError(
                f"pass {name} moves an output by {moved / (span or 1):.2g} of its range, {RELATIVE:g} is allowed"
            )
