"""What a conversion hands on: a file or folder, and the record of what it is and where it came from."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ecgedge.errors import EcgEdgeError

if TYPE_CHECKING:
    from ecgedge.kinds import Model


CHECKPOINT_FILE = "model.json"


@dataclass(frozen=True)
class TensorSpec:
    """One input or output as the file declares it.

    Attributes:
        name: as in the file.
        shape: None where an axis is free.
        dtype: numpy's name, ``"float32"`` or ``"int8"``.
        layout: an axis a letter: ``"NCL"``, ``"NLC"``, ``"NL"``, or ``"NC"`` for class scores.
        scale: with ``zero_point``, the affine quantization: value = (stored - zero_point) * scale.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str
    layout: str
    scale: float | None = None
    zero_point: int | None = None

    @property
    def batch(self) -> int | None:
        """Beats a call; None: any number."""
        return self.shape[0]

    def encode(self, x: np.ndarray) -> np.ndarray:
        """Beats ``(N, 1, L)`` float32 as this input wants them: its layout, its type, its scale."""
        x = arrange(x, self.layout)
        if self.scale is None or self.zero_point is None:
            return np.ascontiguousarray(x, dtype=self.dtype)
        limits = np.iinfo(self.dtype)
        stored = np.rint(x / np.float32(self.scale)) + self.zero_point
        return np.clip(stored, limits.min, limits.max).astype(self.dtype)

    def decode(self, y: np.ndarray) -> np.ndarray:
        """What this output holds as float32: scores ``(N, C)``, or ``(N, 1, L)``."""
        y = y.astype(np.float32)
        if self.scale is not None and self.zero_point is not None:
            y = (y - self.zero_point) * np.float32(self.scale)
        return y if self.layout == "NC" else y.reshape(len(y), 1, -1)


def arrange(x: np.ndarray, layout: str) -> np.ndarray:
    """Beats ``(N, 1, L)`` in the axis order of ``layout``."""
    if layout == "NCL":
        return x
    if layout == "NLC":
        return x.transpose(0, 2, 1)
    if layout == "NL":
        return x[:, 0]
    raise ValueError(f"unknown layout {layout!r}")


def layout_of(shape: tuple[int | None, ...]) -> str | None:
    """The layout of a one-channel input of that shape, or None where it cannot be told."""
    if len(shape) == 2:
        return "NL"
    if len(shape) == 3 and shape[1] == 1 and shape[2] != 1:
        return "NCL"
    if len(shape) == 3 and shape[2] == 1:
        return "NLC"
    return None


def tell_artifact(path: Path, format: str, source: TensorSpec, result: TensorSpec) -> Artifact:
    """The record of a file that carries none, told from its input and output.

    Raises:
        EcgEdgeError: it does not look like a model of one-channel beats.
    """
    if source.layout == "?":
        raise EcgEdgeError(
            f"{path}: input of shape {source.shape} is not (N, 1, L), (N, L, 1) or (N, L)",
            "only models of one-channel beats can be used",
        )
    if not (source.dtype.startswith("float") or source.scale is not None):
        raise EcgEdgeError(
            f"{path}: its input is {source.dtype} without a scale", "only float inputs, or quantized ones, can be fed"
        )
    length = source.shape[2 if source.layout == "NCL" else 1]
    elements = int(np.prod([axis or 1 for axis in result.shape[1:]]))
    if length is None or elements == length or len(result.shape) != 2:
        raise EcgEdgeError(
            f"{path}: its record is missing and its task cannot be told from output {result.shape}",
            "use a file that ecgedge made, or a classifier with a fixed length",
        )
    labels = tuple(str(c) for c in range(elements))
    precision = "fp32" if source.scale is None else "full-int8"
    task = Classification(labels)
    return Artifact(path, format, precision, task, source, result, path.stem, digest_of(path), maker={"part": "user"})


@dataclass(frozen=True)
class Classification:
    """Outputs are class scores ``(N, C)``, logits or probabilities; ``labels[i]`` names class i."""

    labels: tuple[str, ...]
    kind: ClassVar[str] = "classification"


@dataclass(frozen=True)
class Anomaly:
    """Outputs are reconstructions; the mean squared error above ``threshold`` is an anomaly.

    Attributes:
        threshold: in squared input units.
        quantile: of the scores of normal training beats at which the threshold was set.
        normal: the label of the class that counts as normal, all others are anomalies.
        labels: all labels, as in ``Classification``.
    """

    threshold: float
    quantile: float
    normal: str
    labels: tuple[str, ...]
    kind: ClassVar[str] = "anomaly"


Task = Classification | Anomaly


@dataclass(frozen=True)
class Artifact:
    """A model in one format and precision.

    Attributes:
        path: the file, or folder, that holds it.
        format: an open string: ``"torch"``, ``"onnx"``, ``"saved_model"``, ``"tflite"``, ...
        precision: what its quantizer promised: ``"fp32"``, ``"fp16"``, ``"dynamic"``, ``"full-int8"``, ...
        task: what its outputs mean.
        input, output: the one input and the one output.
        name: of the model, or of the file that a user brought.
        digest: SHA-256 of the content; empty until it is stored.
        parents: digests of what it was made from, nearest first.
        maker: part, its distribution and version, options, versions of the libraries that matter.
        model: in this process only: the part that can rebuild the network of a checkpoint.
    """

    path: Path
    format: str
    precision: str
    task: Task
    input: TensorSpec
    output: TensorSpec
    name: str
    digest: str = ""
    parents: tuple[str, ...] = ()
    maker: Mapping[str, Any] = field(default_factory=dict)
    model: Model | None = field(default=None, compare=False, repr=False)

    def derive(self, path: Path, **changes: Any) -> Artifact:
        """The artifact that a conversion of this one left at ``path``; ``changes`` as the fields."""
        parents = (self.digest, *self.parents)
        model = self.model if changes.get("format", self.format) == self.format else None
        return dataclasses.replace(self, path=path, parents=parents, digest="", maker={}, model=model, **changes)

    def record(self) -> dict[str, Any]:
        """All but ``path`` and ``model``, as JSON can hold it; ``from_record`` reads it back."""
        kept = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name not in ("path", "model")}
        kept |= {"input": dataclasses.asdict(self.input), "output": dataclasses.asdict(self.output)}
        return kept | {"task": task_record(self.task), "maker": dict(self.maker), "parents": list(self.parents)}

    @property
    def size_bytes(self) -> int:
        """Of the file, or of all files that make up the folder."""
        return sum(file.stat().st_size for file in files_of(self.path))


def files_of(path: Path) -> list[Path]:
    """The files that make up an artifact, sorted: itself, or what its folder holds.

    A checkpoint is what its ``model.json`` names; pictures and figures beside it do not count.
    """
    if path.is_file():
        return [path]
    if (path / CHECKPOINT_FILE).is_file():
        names = json.loads((path / CHECKPOINT_FILE).read_text(encoding="utf-8"))["files"]
        return [path / name for name in sorted([CHECKPOINT_FILE, *names])]
    return sorted(file for file in path.rglob("*") if file.is_file())


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
        maker=record["maker"],
        model=model,
    )


def pack(artifact: Artifact) -> dict[str, Any]:
    """An artifact as JSON, for another process on this machine."""
    model = artifact.model.name if artifact.model else None
    return {"path": str(artifact.path), "record": artifact.record(), "model": model}


def unpack(packed: Mapping[str, Any], models: Mapping[str, Model]) -> Artifact:
    """Read back what ``pack`` wrote."""
    model = models[packed["model"]] if packed["model"] else None
    return from_record(Path(packed["path"]), packed["record"], model)


def artifact_from(path: Path, text: str | bytes, given: TensorSpec, returned: TensorSpec) -> Artifact:
    """The artifact in ``path``, by the record that the file carries.

    Args:
        text: the record, JSON.
        given, returned: input and output as the file itself declares them.

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
    return dataclasses.replace(artifact, digest=digest_of(path))


SIDECAR = "ecgedge.json"


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


def task_record(task: Task) -> dict[str, Any]:
    return {"kind": task.kind, **dataclasses.asdict(task)}


def task_from_record(record: Mapping[str, Any]) -> Task:
    """Read back what ``task_record`` wrote. Raises KeyError, TypeError or ValueError on any other."""
    if not isinstance(record, Mapping):
        raise TypeError(f"a task is not a {type(record).__name__}")
    labels = tuple(record["labels"])
    if not labels or not all(isinstance(label, str) for label in labels):
        raise ValueError(f"labels {labels!r}")
    if record["kind"] == "classification":
        return Classification(labels)
    if record["kind"] != "anomaly" or record["normal"] not in labels:
        raise ValueError(f"task {record['kind']!r}, normal class {record.get('normal')!r}")
    return Anomaly(float(record["threshold"]), float(record["quantile"]), record["normal"], labels)


def digest_of(path: Path) -> str:
    """SHA-256 of a file's bytes, or of the relative names and bytes of a folder's files."""
    if path.is_file():
        return hashlib.sha256(path.read_bytes()).hexdigest()
    digest = hashlib.sha256()
    for file in files_of(path):
        content = file.read_bytes()
        digest.update(f"{file.relative_to(path).as_posix()}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def copy_to(source: Path, out: Path) -> None:
    """Copy the files of an artifact."""
    if source.is_file():
        shutil.copyfile(source, out)
        return
    for file in files_of(source):
        target = out / file.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
