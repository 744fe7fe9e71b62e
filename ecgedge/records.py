"""From records back to artifacts: between processes, out of files, and of files that carry none."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ecgedge.artifacts import Anomaly, Artifact, Classification, Task, digest_of
from ecgedge.errors import EcgEdgeError
from ecgedge.tensors import TensorSpec, arrange

if TYPE_CHECKING:
    from ecgedge.kinds import Model

SIDECAR = "ecgedge.json"
SCORES = (None, "logits", "probabilities")  # what a classifier's outputs may be


def from_record(path: Path, record: Mapping[str, Any], model: Model | None = None) -> Artifact:
    """Read back what ``Artifact.record`` wrote. Raises KeyError, TypeError or ValueError on any other."""
    given, returned = (
        TensorSpec(**record[key] | {"shape": tuple(record[key]["shape"])}) for key in ("input", "output")
    )
    return Artifact(
        path=path,
        format=record["format"],
        precision=record["precision"],
        task=task_from_record(record["task"]),
        input=given,
        output=returned,
        name=record["name"],
        digest=record["digest"],
        parents=tuple(record["parents"]),
        passes=tuple(record.get("passes", ())),  # older records know none
        notes=record.get("notes", {}),
        maker=record["maker"],
        model=model,
    )


def task_from_record(record: Mapping[str, Any]) -> Task:
    """Read back what ``task_record`` wrote. Raises KeyError, TypeError or ValueError on any other."""
    if not isinstance(record, Mapping):
        raise TypeError(f"a task is not a {type(record).__name__}")
    labels = tuple(record["labels"])
    if not labels or not all(isinstance(label, str) for label in labels):
        raise ValueError(f"labels {labels!r}")
    if record["kind"] == "classification":
        scores = record.get("scores")  # older records know none
        if scores not in SCORES:
            raise ValueError(f"scores {scores!r}")
        return Classification(labels, scores)
    if record["kind"] != "anomaly" or record["normal"] not in labels:
        raise ValueError(f"task {record['kind']!r}, normal class {record.get('normal')!r}")
    window = int(record.get("window", 1))  # older records know none
    return Anomaly(float(record["threshold"]), float(record["quantile"]), record["normal"], labels, window)


def pack(artifact: Artifact) -> dict[str, Any]:
    """An artifact as JSON, for another process on this machine."""
    model = artifact.model.name if artifact.model else None
    return {"path": str(artifact.path), "record": artifact.record(), "model": model}


def unpack(packed: Mapping[str, Any], models: Mapping[str, Model]) -> Artifact:
    """Read back what ``pack`` wrote."""
    model = models[packed["model"]] if packed["model"] else None
    return from_record(Path(packed["path"]), packed["record"], model)


def artifact_from(
    path: Path, text: str | bytes, given: TensorSpec, returned: TensorSpec, scores: str | None = None
) -> Artifact:
    """The artifact in ``path``, by the record that the file carries.

    Args:
        text: the record, JSON.
        given, returned: input and output as the file itself declares them.
        scores: of a classifier, as the file's own graph shows (see ``Classification``); None: as its record says.

    Raises:
        EcgEdgeError: the record is damaged, or not that of this file.
    """
    try:
        artifact = from_record(path, json.loads(text))
        for told, found in ((artifact.input, given), (artifact.output, returned)):
            if (told.name, told.dtype, len(told.shape)) != (found.name, found.dtype, len(found.shape)):
                raise ValueError(f"{told} is not {found}")
            if told.layout != "NC":
                arrange(np.zeros((1, 1, 1)), told.layout)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise EcgEdgeError(f"{path}: its record cannot be read: {error!r}"[:300], "convert it again") from error
    return dataclasses.replace(artifact, task=with_scores(artifact.task, scores), digest=digest_of(path))


def with_scores(task: Task, scores: str | None) -> Task:
    """A classifier's task with what its outputs are, where that is told; any other as it is."""
    return dataclasses.replace(task, scores=scores) if scores and isinstance(task, Classification) else task


def write_sidecar(artifact: Artifact) -> None:
    """Leave the record in the artifact's folder: formats that are folders carry it so."""
    (artifact.path / SIDECAR).write_text(json.dumps(artifact.record(), indent=1) + "\n", encoding="utf-8")


def read_sidecar(folder: Path) -> Artifact:
    """The artifact that a folder says it is. Raises EcgEdgeError where its record is damaged."""
    try:
        record = json.loads((folder / SIDECAR).read_text(encoding="utf-8"))
        return dataclasses.replace(from_record(folder, record), digest=digest_of(folder))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise EcgEdgeError(f"{folder / SIDECAR} cannot be read: {error!r}"[:300], "convert it again") from error


FED = ("float16", "float32", "float64", "int8", "uint8", "int16")  # input types that beats can be turned into
USER = "user"  # the maker of files that carry no record


def tell_artifact(
    path: Path, format: str, given: TensorSpec, returned: TensorSpec, scores: str | None = None
) -> Artifact:
    """The record of a file that carries none, told from its input and output.

    What its outputs mean is settled later, with the data: see ``told_task``.

    Args:
        scores: as for ``artifact_from``.

    Raises:
        EcgEdgeError: it does not look like a model of one-channel beats.
    """
    if given.layout == "?":
        leads = min((axis for axis in given.shape[1:] if axis), default=0) if len(given.shape) == 3 else 0
        if leads > 1:
            told = f"{path} takes beats of {leads} leads (its input is {shape_told(given)}), ecgedge knows one lead"
            raise EcgEdgeError(told, "only models of one-channel beats can be used: (N, 1, L), (N, L, 1) or (N, L)")
        raise EcgEdgeError(
            f"{path}: input of shape {shape_told(given)} is not (N, 1, L), (N, L, 1) or (N, L)",
            "only models of one-channel beats can be used",
        )
    if given.dtype not in FED:
        raise EcgEdgeError(f"{path}: its input is {given.dtype}", f"beats can be fed as {', '.join(FED)}")
    if len(returned.shape) not in (2, 3) or None in returned.shape[1:]:
        raise EcgEdgeError(
            f"{path}: an output of shape {shape_told(returned)} is neither class scores (N, C) nor a reconstruction",
            "fix its shape when exporting",
        )
    precision = "fp32" if given.dtype == "float32" and returned.dtype == "float32" else given.dtype
    labels = tuple(str(value) for value in range(values_of(returned)))
    maker = {"part": USER}
    return Artifact(
        path, format, precision, Classification(labels, scores), given, returned, path.stem, digest_of(path),
        maker=maker,
    )  # fmt: skip


def shape_told(spec: TensorSpec) -> str:
    """``(N, 12, 1000)``; N: free."""
    return f"({', '.join('N' if axis is None else str(axis) for axis in spec.shape)})"


def check_values(artifact: Artifact) -> None:
    """Raise EcgEdgeError where a user's file gives one value a beat, of which no class can be told."""
    if values_of(artifact.output) == 1:
        told = f"{artifact.path} gives one value a beat ({artifact.output.name}), and not a score for each class"
        raise EcgEdgeError(told, "of a probability p give both classes: torch.cat([1 - p, p], 1)")


def values_of(spec: TensorSpec) -> int:
    """Values a beat."""
    return int(np.prod([axis or 1 for axis in spec.shape[1:]]))


def told_task(
    artifact: Artifact, kind: str | None, labels: tuple[str, ...], length: int, normal: str, window: int
) -> Task:
    """What the outputs of a user's file mean for beats of that length and those labels.

    Args:
        kind: ``"classification"``, ``"anomaly"``, or None where the user did not say.
        normal, window: of an autoencoder, see ``Anomaly``.

    Returns:
        For an autoencoder a threshold of nan: it has to be fitted.

    Raises:
        EcgEdgeError: it cannot be told, or is not what the user says; names the option that tells it.
    """
    check_values(artifact)
    values = values_of(artifact.output)
    if kind != "anomaly" and values == len(labels) and (kind or values != length):
        return with_scores(Classification(labels), getattr(artifact.task, "scores", None))
    if kind == "anomaly" and values == length:
        if normal not in labels:
            raise EcgEdgeError(f"no class {normal!r} in the data", f"--normal takes {', '.join(labels)}")
        if window > length:
            raise EcgEdgeError(f"a beat has {length} samples, fewer than a window of {window}", "lower --window")
        return Anomaly(float("nan"), float("nan"), normal, labels, window)
    told = f"{artifact.path} gives {values} values a beat; the data has {len(labels)} classes and {length} samples"
    hint = "use --task anomaly for an autoencoder" if values == length else "name the data that it was trained for"
    raise EcgEdgeError(told, hint)
