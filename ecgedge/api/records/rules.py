"""What a record has to be, as one table: of an artifact, its task and tensors, and of a checkpoint.

A record in a file is a stranger's. What is beyond these rules is refused, and the line says which field.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ecgedge.api.artifact import FILES
from ecgedge.api.tensors import LAYOUTS
from ecgedge.files.schema import (
    SchemaError,
    flag,
    free,
    like,
    list_of,
    maybe,
    number,
    one_of,
    record,
    table_of,
    text,
    unlike,
    whole,
    words,
)

MOST_BYTES = 2**22  # of a record's text; of a checkpoint's, which tells its training too
MOST_LABELS = 1000  # classes: each is a column of a table and a row of a confusion matrix
MOST_AXIS = 2**20  # samples of a beat, and values that a model gives for one
MOST_BATCH = 2**20  # beats a call
INTEGERS = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")
DTYPES = (*INTEGERS, "float16", "bfloat16", "float32", "float64", "bool")
FLOAT32 = float(np.finfo(np.float32).tiny), float(np.finfo(np.float32).max)
FED = ("float16", "float32", "float64", "int8", "uint8", "int16")  # input types that beats can be turned into
USER = "user"  # the maker of files that carry no record
SCORES = (None, "logits", "probabilities")  # what a classifier's outputs may be

LABEL = text(80)  # as those of data sets (readers.fields)
NAME = text(255)  # of a model, or a file without its suffix
WORD = text(100)  # a format, a precision, a pass
DIGEST = like("(?:[0-9a-f]{64})?", "a SHA-256 in small hexadecimal digits")  # empty: not stored yet
SHAPE = list_of(maybe(whole(1, MOST_AXIS)), most=4, least=2)
LABELS = list_of(LABEL, MOST_LABELS, least=1, unique=True)

TENSOR = record(
    {
        "name": text(2000),  # TensorFlow joins the names of what it fuses
        "shape": SHAPE,
        "dtype": one_of(*DTYPES),
        "layout": one_of(*LAYOUTS, "NC"),
    },
    {"scale": maybe(number(above=0)), "zero_point": maybe(whole(-(2**63), 2**64 - 1))},
)
CLASSIFICATION = record({"kind": one_of("classification"), "labels": LABELS}, {"scores": one_of(*SCORES)})
BINARY = record({"kind": one_of("binary"), "labels": LABELS}, {"scores": one_of(*SCORES)})
MULTILABEL = record(
    {"kind": one_of("multilabel"), "labels": LABELS},
    {"scores": one_of(*SCORES), "thresholds": list_of(number(least=0, below=1), MOST_LABELS)},
)
ANOMALY = record(
    {
        "kind": one_of("anomaly"),
        "threshold": maybe(number(least=0)),  # null: not fitted yet
        "quantile": maybe(number(above=0, below=1)),  # null: not known
        "normal": LABEL,
        "labels": LABELS,
    },
    {"window": whole(1, MOST_AXIS)},  # older records know none
)


def task_rule(value: Any, where: str) -> dict[str, Any]:
    """A task's record, by its kind; the normal class is one of the labels, a threshold is of each label."""
    inside = f"{where}." if where else ""
    kind = value.get("kind", "classification") if isinstance(value, Mapping) else "classification"
    if not isinstance(kind, str) or kind not in TASKS:
        raise unlike(f"{inside}kind", kind, f"{', '.join([*TASKS][:-1])} or {[*TASKS][-1]}")
    told: dict[str, Any] = TASKS[kind](value, where)
    if kind == "anomaly" and told["normal"] not in told["labels"]:
        raise SchemaError(f"{inside}normal is {told['normal']!r}, which is not among its labels")
    if kind == "binary" and len(told["labels"]) != 2:
        raise SchemaError(f"{inside}labels has {len(told['labels']):,} entries: one output decides between two classes")
    if kind == "multilabel" and told.get("thresholds") and len(told["thresholds"]) != len(told["labels"]):
        raise SchemaError(f"{inside}thresholds has {len(told['thresholds']):,} entries, labels {len(told['labels']):,}")
    return told


TASKS = {"classification": CLASSIFICATION, "binary": BINARY, "multilabel": MULTILABEL, "anomaly": ANOMALY}
SCORED = {"classification", "binary", "multilabel"}  # the kinds whose outputs are scores of classes or labels


def values_wanted(kind: str, labels: int, beat: int) -> int:
    """Values that a model of a kind of task gives for a beat of so many values."""
    return {"binary": 1, "anomaly": beat}.get(kind, labels)


NOTES = record(
    {},
    {
        "text": words(100_000),
        "left_out": table_of(words(2000), 1000),
        "idle": list_of(WORD, 1000),
        "left": list_of(words(2000), 10_000),
        "trusted": flag,
        "leads": list_of(text(40), 1000),
        "normalized": flag,
        "recipe": words(100_000),
    },
    others=free(dict),
)
ARTIFACT = record(
    {
        "format": WORD,
        "precision": WORD,
        "task": task_rule,
        "input": TENSOR,
        "output": TENSOR,
        "name": NAME,
        "digest": DIGEST,
        "parents": list_of(DIGEST, 100),
        "maker": free(dict),
    },
    {"passes": list_of(WORD, 1000), "notes": NOTES},  # older records know neither
)
CHECKPOINT = record(
    {
        "model": NAME,
        "files": FILES,
        "classes": whole(1, MOST_LABELS),
        "length": whole(1, MOST_AXIS),
        "options": table_of(free(most=100), 100),
        "task": task_rule,
    },
    {"input_shape": SHAPE, "output_shape": SHAPE, "training": free()},  # older records know no shapes
)


def check_tensor(spec: Any, where: str) -> None:
    """Raise SchemaError where the facts of a tensor do not go together.

    Args:
        spec: a TensorSpec.
        where: ``"input"`` or ``"output"``.
    """
    if (spec.scale is None) != (spec.zero_point is None):
        raise SchemaError(f"{where} has a scale or a zero_point without the other")
    if spec.scale is not None and spec.dtype not in INTEGERS:
        raise SchemaError(f"{where}.scale is {spec.scale:g}, not null: values of {spec.dtype} have none")
    if spec.scale is not None and not FLOAT32[0] <= spec.scale <= FLOAT32[1]:
        raise unlike(f"{where}.scale", spec.scale, "a number that float32 can hold")
    if spec.zero_point is not None:
        limits = np.iinfo(spec.dtype)
        if not limits.min <= spec.zero_point <= limits.max:
            raise unlike(f"{where}.zero_point", spec.zero_point, f"in the range of {spec.dtype}")
    if where == "input" and LAYOUTS.get(spec.layout) != len(spec.shape):
        raise unlike("input.layout", spec.layout, f"the order of {len(spec.shape)} axes: {', '.join(LAYOUTS)}")
    if where == "input" and "1" in spec.layout and spec.shape[spec.layout.index("1")] != 1:
        raise unlike("input.layout", spec.layout, f"an order of axes of {list(spec.shape)}")
    if values_of(spec) > MOST_AXIS:
        raise SchemaError(f"{where}.shape is {list(spec.shape)}, more than {MOST_AXIS:,} values a beat")


def check_meaning(artifact: Any) -> None:
    """Raise SchemaError where the outputs of an artifact cannot be what its task says: by their number."""
    task, length = artifact.task, length_of(artifact)
    if None in artifact.output.shape[1:]:
        return
    values = values_of(artifact.output)
    if task.kind in SCORED and values != task.values(0):
        raise SchemaError(f"task.labels has {len(task.labels):,} entries, the output {values:,} values")
    beat = values_of(artifact.input)
    if task.kind == "anomaly" and length is not None and values != beat:
        raise SchemaError(f"output.shape gives {values:,} values for a beat of {beat:,}: no reconstruction")
    if task.kind == "anomaly" and length is not None and task.window > length:
        raise unlike("task.window", task.window, f"at most the {length:,} samples of a beat")


def values_of(spec: Any) -> int:
    """Values a beat."""
    return math.prod(axis or 1 for axis in spec.shape[1:])


def length_of(artifact: Any) -> int | None:
    """Samples a beat and lead; None where the model takes any number."""
    length: int | None = artifact.input.length
    return length
