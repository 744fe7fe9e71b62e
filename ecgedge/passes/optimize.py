"""An ONNX artifact through graph passes, each of which has to prove that the answers stay, or is left out."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ecgedge.api.artifact import Artifact, copy_to, joined
from ecgedge.api.origins import write_origins
from ecgedge.api.parts import Context, GraphPass
from ecgedge.api.records.embedded import add_to_onnx
from ecgedge.api.tensors import TensorSpec
from ecgedge.errors import ConversionError, told_by_system
from ecgedge.passes import NONE, apply_to, shaped

RELATIVE = 1e-5  # of an output's range, by which a pass may move it
ROUNDINGS = 8  # of its largest value, by which it may move in any case
FREE = 16  # beats a call, where the batch is free: of more the cache does not hold what goes between layers


def optimize(
    source: Artifact,
    out: Path,
    names: Iterable[str],
    context: Context,
    left_out: Mapping[str, str] | None = None,
    others: Mapping[str, GraphPass] = NONE,
) -> Artifact:
    """Apply passes, in order, and write what comes out with its record; a copy where none changes anything.

    A pass that fails, or moves an output on ``context.beats``, is left out: its name and the reason are in the
    notes. A graph that is quantized is copied: there a rounding decides which integer comes out.

    Args:
        left_out: passes that are not among ``names``, with the reason, for the notes.
        others: passes of plugins, by name.

    Raises:
        ConversionError: onnxruntime cannot run the source.
    """
    import onnx  # heavy

    model = onnx.load(source.path)
    quantized = any("Quantize" in node.op_type or "Integer" in node.op_type for node in model.graph.node)
    done = carry_out(model, () if quantized else tuple(names), source, context, others)
    model, applied, idle, left = done.model, done.applied, done.idle, {**(left_out or {}), **done.left}
    told = ({"idle": idle} if idle else {}) | (left_out_notes(left) if left else {})
    artifact = dataclasses.replace(source, notes=joined(source.notes, told))
    if not applied:
        copy_to(source.path, out)
        return artifact.derive(out)
    given = spec_of(model, source.input)
    returned = dataclasses.replace(source.output, shape=(given.batch, *source.output.shape[1:]))
    passes = tuple(dict.fromkeys([*source.passes, *applied]))
    artifact = artifact.derive(out, input=given, output=returned, passes=passes)
    add_to_onnx(model, artifact)
    onnx.save(model, out)
    if done.origins:
        write_origins(out, done.origins)
    return artifact


@dataclasses.dataclass
class Done:
    """A model after passes.

    Attributes:
        applied: those that changed it.
        idle: those that did not.
        left: those that could not be used, with the reason.
        origins: names in the source of the values that have another name now, by that.
    """

    model: Any
    applied: list[str] = dataclasses.field(default_factory=list)
    idle: list[str] = dataclasses.field(default_factory=list)
    left: dict[str, str] = dataclasses.field(default_factory=dict)
    origins: dict[str, str] = dataclasses.field(default_factory=dict)


def carry_out(
    model: Any, names: Sequence[str], source: Artifact, context: Context, others: Mapping[str, GraphPass] = NONE
) -> Done:
    """Apply passes to an ``onnx.ModelProto``, and prove that the answers stay.

    All of them are proved at once, which nearly always is enough. Only where the answers move each is proved by itself,
    in order, and left out where it is the one that moves them.
    """
    done = apply_all(model, names, context, others)
    if not done.applied or not moved(done.model, source, context):
        return done
    return apply_all(model, names, context, others, lambda changed: moved(changed, source, context))


def apply_all(
    model: Any,
    names: Sequence[str],
    context: Context,
    others: Mapping[str, GraphPass] = NONE,
    check: Callable[[Any], str] = lambda _: "",
) -> Done:
    """Apply passes in order; one that fails, or of whose result ``check`` tells a fault, is left out."""
    done, given = Done(model), None  # the shapes of a model are inferred once, and again when a pass has changed it
    for name in names:
        try:
            given = given or shaped(done.model)
            changed = apply_to(given, name, context.batch, context.beats.shape[-1], others) if given else None
        except Exception as error:  # onnx raises classes of its own
            if told_by_system(error):  # no fault of the pass
                raise
            done.left[name] = f"it failed: {short(error)}"
            continue
        if changed is None:
            done.idle.append(name)
        elif fault := check(changed.model):
            done.left[name] = fault
        else:
            done.model, given = changed.model, None
            done.applied.append(name)
            done.origins |= {name: done.origins.get(was, was) for name, was in changed.origins.items()}
    return done


def moved(changed: Any, source: Artifact, context: Context) -> str:
    """How a changed model answers otherwise than its source on the beats of a context, in one line; empty: it does not.

    Raises:
        ConversionError: onnxruntime cannot run the source.
    """
    size = batch_of(changed, source.input.name)
    expected = outputs_of_source(source, context.beats, size)
    try:
        check_unmoved(expected, outputs_of(changed.SerializeToString(), source, context.beats, size))
    except Exception as error:  # onnxruntime raises classes of its own
        if told_by_system(error):
            raise
        return short(error)
    return ""


def left_out_notes(left: Mapping[str, str]) -> dict[str, Any]:
    """What the notes of an artifact say of passes that could not be used."""
    by_reason: dict[str, list[str]] = {}
    for name, reason in left.items():
        by_reason.setdefault(reason, []).append(name)
    told = [f"pass{'es' if len(names) > 1 else ''} {', '.join(names)} left out: {why}"
            for why, names in by_reason.items()]  # fmt: skip
    return {"left_out": dict(left), "text": "; ".join(told)}


def short(error: Exception) -> str:
    """An error in one line."""
    return " ".join(str(error).split())[:200]


def spec_of(model: Any, given: TensorSpec) -> TensorSpec:
    """The input of a graph as it is after the passes."""
    [value] = [value for value in model.graph.input if value.name == given.name]
    sizes = [axis.dim_value if axis.HasField("dim_value") else None for axis in value.type.tensor_type.shape.dim]
    return dataclasses.replace(given, shape=tuple(sizes))


def batch_of(model: Any, name: str) -> int | None:
    """Beats a call; None: any number."""
    [given] = [value for value in model.graph.input if value.name == name]
    axis = given.type.tensor_type.shape.dim[0]
    return axis.dim_value if axis.HasField("dim_value") else None


KEPT = 4  # sources whose outputs are kept: the forms of one model are made from the same, one after the other
EXPECTED: dict[tuple[Any, ...], list[np.ndarray]] = {}


def outputs_of_source(source: Artifact, beats: np.ndarray, size: int | None) -> list[np.ndarray]:
    """What a pass must not move. Raises ConversionError where the source itself cannot run."""
    content = source.path.read_bytes()
    key = size, *(hashlib.sha256(each).digest() for each in (content, beats.tobytes()))
    if key not in EXPECTED:
        try:
            EXPECTED[key] = outputs_of(content, source, beats, size)
        except Exception as error:  # onnxruntime raises classes of its own
            raise ConversionError(f"onnxruntime cannot run {source.name}: {short(error)}") from error
        while len(EXPECTED) > KEPT:
            del EXPECTED[next(iter(EXPECTED))]
    return EXPECTED[key]


def outputs_of(content: bytes, source: Artifact, beats: np.ndarray, size: int | None) -> list[np.ndarray]:
    """Every output of a model that is a tensor, for all beats in calls of ``size``, on all processors."""
    import onnxruntime  # heavy

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # or threads that wait take all a core has
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_outputs() if value.type.startswith("tensor(")]
    spec = dataclasses.replace(source.input, shape=(size, *source.input.shape[1:]))
    calls = [session.run(names, {spec.name: batch}) for batch in spec.batches(beats, FREE)]
    return [np.concatenate([np.atleast_1d(one) for one in of_output]) for of_output in zip(*calls, strict=True)]


def check_unmoved(expected: list[np.ndarray], found: list[np.ndarray]) -> None:
    """Raise ConversionError where an output has another shape, or is not what it was."""
    for one, other in zip(expected, found, strict=True):
        if one.shape != other.shape:
            raise ConversionError(f"an output of shape {other.shape[1:]} instead of {one.shape[1:]}")
        if one.dtype.kind != "f":
            if not np.array_equal(one, other):
                raise ConversionError(f"it changes an output of type {one.dtype}")
            continue
        finite = np.isfinite(one)
        if not np.array_equal(one[~finite], other[~finite], equal_nan=True):
            raise ConversionError("it changes which values of an output are not finite")
        before, after = one[finite].astype(np.float64), other[finite].astype(np.float64)
        if not before.size:
            continue
        moved, span = np.abs(before - after).max(), np.ptp(before)
        rounding = ROUNDINGS * np.finfo(one.dtype).eps * np.abs(before).max()  # of an output that hardly varies
        if not moved <= max(RELATIVE * span, rounding):
            raise ConversionError(
                f"it moves an output by {moved / (span or 1):.2g} of its range, {RELATIVE:g} is allowed"
            )
