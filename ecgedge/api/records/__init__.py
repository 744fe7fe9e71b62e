"""From records back to artifacts: out of files, and out of the folders that some formats are."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecgedge.api.artifact import Anomaly, Artifact, Binary, Classification, Multilabel, Task, digest_of
from ecgedge.api.records.rules import (
    ARTIFACT,
    FED,
    MOST_BYTES,
    SCORED,
    USER,
    check_meaning,
    check_tensor,
    task_rule,
    values_of,
)
from ecgedge.api.tensors import TensorSpec, shape_told
from ecgedge.errors import EcgEdgeError
from ecgedge.files import strict_json
from ecgedge.files.schema import SchemaError, shown

if TYPE_CHECKING:
    from ecgedge.api.parts import Model

SIDECAR = "ecgedge.json"
NAN = float("nan")


def from_record(path: Path, record: Any, model: Model | None = None) -> Artifact:
    """Read back what ``Artifact.record`` wrote. Raises SchemaError, a ValueError, on any other."""
    told = ARTIFACT(record, "")
    given, returned = (TensorSpec(**told[key]) for key in ("input", "output"))
    check_tensor(given, "input")
    check_tensor(returned, "output")
    return Artifact(
        path=path,
        format=told["format"],
        precision=told["precision"],
        task=task_of(told["task"]),
        input=given,
        output=returned,
        name=told["name"],
        digest=told["digest"],
        parents=told["parents"],
        passes=told.get("passes", ()),  # older records know none
        notes=dict(record.get("notes", {})),  # as JSON has them: lists stay lists
        maker=told["maker"],
        model=model,
    )


def task_from_record(record: Any) -> Task:
    """Read back what ``task_record`` wrote. Raises SchemaError, a ValueError, on any other."""
    return task_of(task_rule(record, "task"))


def task_of(told: Mapping[str, Any]) -> Task:
    """A task by what ``task_rule`` returned."""
    if told["kind"] == "multilabel":
        return Multilabel(told["labels"], told.get("scores"), tuple(told.get("thresholds", ())))
    if told["kind"] in SCORED:
        of_kind = Binary if told["kind"] == "binary" else Classification
        return of_kind(told["labels"], told.get("scores"))  # older records know none
    threshold, quantile = (NAN if told[key] is None else told[key] for key in ("threshold", "quantile"))
    return Anomaly(threshold, quantile, told["normal"], told["labels"], told.get("window", 1))


def artifact_from(
    path: Path, text: str | bytes, given: TensorSpec, returned: TensorSpec, scores: str | None = None
) -> Artifact:
    """The artifact in ``path``, by the record that the file carries.

    Args:
        text: the record, JSON.
        given, returned: input and output as the file itself declares them.
        scores: of a classifier, as the file's own graph shows (see ``Classification``); None: as its record says.

    Raises:
        EcgEdgeError: the record is damaged, or not that of this file; says which field.
    """
    try:
        artifact = from_record(path, strict_json.loads(text, "it", most=MOST_BYTES))
        check_of_file(artifact)
        if None not in returned.shape[1:]:  # where the record leaves that open
            check_meaning(dataclasses.replace(artifact, output=returned))
    except ValueError as error:
        raise EcgEdgeError(f"{path}: its record cannot be read: {error}"[:300], "convert it again") from error
    check_tensors(artifact, given, returned)
    return dataclasses.replace(artifact, task=with_scores(artifact.task, scores), digest=digest_of(path))


def check_of_file(artifact: Artifact) -> None:
    """Raise SchemaError where a record is none that a file may carry: all that it takes to use it is said."""
    if isinstance(artifact.task, Anomaly) and math.isnan(artifact.task.threshold):
        raise SchemaError("task.threshold is null, not a finite number")
    if artifact.input.dtype not in FED:
        raise SchemaError(f"input.dtype is {artifact.input.dtype}, not one of {', '.join(FED)}")
    if artifact.input.scale is None and not artifact.input.dtype.startswith("float"):
        raise SchemaError(f"input.scale is null: values of {artifact.input.dtype} need one")
    if artifact.maker.get("part") == USER:
        raise SchemaError(f"maker.part is {USER}, which stands for files without a record")
    check_meaning(artifact)


def check_tensors(artifact: Artifact, given: TensorSpec, returned: TensorSpec) -> None:
    """Hold an artifact's record against its file.

    Args:
        given, returned: input and output as the file itself declares them. An axis that it leaves free may be fixed
            by the record, and the order of an output's axes is the record's.

    Raises:
        EcgEdgeError: they are others; says which field.
    """
    try:
        check_same(artifact.input, given, "input")
        check_same(artifact.output, returned, "output")
    except SchemaError as error:
        told = f"{artifact.path}: its record is not of this file: {error}"
        raise EcgEdgeError(told[:300], "convert it again") from error


def check_same(told: TensorSpec, found: TensorSpec, where: str) -> None:
    """Raise SchemaError where a record tells of a tensor what its file does not."""
    for key in ("name", "dtype"):
        if getattr(told, key) != getattr(found, key):
            raise SchemaError(
                f"{where}.{key} is {shown(getattr(told, key))}, the file has {shown(getattr(found, key))}"
            )
    if where == "input":
        pairs = zip(told.shape, found.shape)
        fits = len(told.shape) == len(found.shape) and all(axis in (one, None) for one, axis in pairs)
    else:
        fits = None in (*told.shape[1:], *found.shape[1:]) or values_of(told) == values_of(found)
    if not fits:
        raise SchemaError(f"{where}.shape is {shape_told(told)}, the file has {shape_told(found)}")
    for key in ("scale", "zero_point"):
        if found.scale is not None and getattr(told, key) != getattr(found, key):
            raise SchemaError(f"{where}.{key} is {getattr(told, key)}, the file has {getattr(found, key)}")


def with_scores(task: Task, scores: str | None) -> Task:
    """A task with what its scores are, where that is told; that of an anomaly detector as it is."""
    return task if not scores or isinstance(task, Anomaly) else dataclasses.replace(task, scores=scores)


def write_sidecar(artifact: Artifact) -> None:
    """Leave the record in the artifact's folder: formats that are folders carry it so."""
    (artifact.path / SIDECAR).write_text(json.dumps(artifact.record(), indent=1) + "\n", encoding="utf-8")


def read_sidecar(folder: Path) -> Artifact:
    """The artifact that a folder says it is. Raises EcgEdgeError where its record is damaged; says which field."""
    file = folder / SIDECAR
    try:
        artifact = from_record(folder, strict_json.read(file, most=MOST_BYTES))
        check_of_file(artifact)
        return dataclasses.replace(artifact, digest=digest_of(folder))
    except strict_json.JsonError as error:
        raise EcgEdgeError(error.message, "convert it again") from error
    except OSError as error:
        raise EcgEdgeError(f"{file} cannot be read: {error.strerror}", "convert it again") from error
    except ValueError as error:
        raise EcgEdgeError(f"{file} cannot be read: {error}"[:300], "convert it again") from error
