"""What a conversion hands on: a file or folder, and the record of what it is and where it came from."""

from __future__ import annotations

import dataclasses
import hashlib
import math
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from ecgedge.api.tensors import TensorSpec
from ecgedge.files import strict_json
from ecgedge.files.schema import like, list_of

if TYPE_CHECKING:
    from ecgedge.api.parts import Model


CHECKPOINT_FILE = "model.json"
FILES = list_of(  # of a checkpoint, as its record lists them
    like(r"(?!\.|model\.json$)[\w .+-]{1,200}", "the name of a file beside model.json"), 100, least=1, unique=True
)
LONGEST_NAME, LONGEST_SUFFIX = 120, 20  # bytes
TRUSTED = "trusted"  # in the notes of a file that runs code of its own, set where the user says so and nowhere else


@dataclass(frozen=True)
class Classification:
    """Outputs are class scores ``(N, C)``.

    Attributes:
        labels: ``labels[i]`` names class i.
        scores: ``"logits"``, of which a softmax makes probabilities, or ``"probabilities"``; None: nothing tells.
    """

    labels: tuple[str, ...]
    scores: str | None = None
    kind: ClassVar[str] = "classification"
    judged_as: ClassVar[str] = "classification"

    def values(self, beat: int) -> int:
        """How many values there are for a beat of so many."""
        return len(self.labels)


@dataclass(frozen=True)
class Binary(Classification):
    """One output ``(N, 1)`` decides between two classes: the score of the second.

    Attributes:
        scores: ``"logits"``, of which a sigmoid makes its probability, or ``"probabilities"``; None: nothing tells.
    """

    kind: ClassVar[str] = "binary"

    @property
    def positive(self) -> str:
        """The class whose probability the output is."""
        return self.labels[1]

    def values(self, beat: int) -> int:
        return 1


@dataclass(frozen=True)
class Multilabel:
    """Outputs are a score for each label ``(N, K)``, of which several, or none, may hold at once.

    Attributes:
        labels: ``labels[k]`` names output k.
        scores: ``"logits"``, of each of which a sigmoid makes a probability, or ``"probabilities"``; None: nothing
            tells.
        thresholds: of the probabilities: above, a label holds; empty: none were chosen, which is 0.5.
    """

    labels: tuple[str, ...]
    scores: str | None = None
    thresholds: tuple[float, ...] = ()
    kind: ClassVar[str] = "multilabel"
    judged_as: ClassVar[str] = "multilabel"

    def values(self, beat: int) -> int:
        """How many values there are for a beat of so many."""
        return len(self.labels)


@dataclass(frozen=True)
class Anomaly:
    """Outputs are reconstructions; a score (``tasks.anomaly_scores``) above ``threshold`` is an anomaly.

    Attributes:
        threshold: in squared input units.
        quantile: of the scores of normal training beats at which the threshold was set.
        normal: the label of the class that counts as normal, all others are anomalies.
        labels: all labels, as in ``Classification``.
        window: samples over which the residual is averaged before it is squared; 1: plain mean squared error.
    """

    threshold: float
    quantile: float
    normal: str
    labels: tuple[str, ...]
    window: int = 1
    kind: ClassVar[str] = "anomaly"
    judged_as: ClassVar[str] = "anomaly"

    def values(self, beat: int) -> int:
        """How many values there are for a beat of so many."""
        return beat


Task = Classification | Multilabel | Anomaly


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
        passes: the graph passes that changed it, or what it was made from, in order.
        notes: what its conversion has to tell of it, fit for JSON; ``text`` among them is a line for people,
            ``left_out`` holds the graph passes that could not be used, with the reason, ``idle`` those that
            changed nothing.
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
    passes: tuple[str, ...] = ()
    notes: Mapping[str, Any] = field(default_factory=dict)
    maker: Mapping[str, Any] = field(default_factory=dict)
    model: Model | None = field(default=None, compare=False, repr=False)

    @property
    def trusted(self) -> bool:
        """Whether the user vouched for code that the file, or what it was made from, runs when it is loaded."""
        return bool(self.notes.get(TRUSTED))

    def derive(self, path: Path, **changes: Any) -> Artifact:
        """The artifact that a conversion of this one left at ``path``; ``changes`` as the fields, notes are added."""
        if "notes" in changes:
            changes["notes"] = joined(self.notes, changes["notes"])
        parents = (self.digest, *self.parents)
        model = self.model if changes.get("format", self.format) == self.format else None
        return dataclasses.replace(self, path=path, parents=parents, digest="", maker={}, model=model, **changes)

    def record(self) -> dict[str, Any]:
        """All but ``path`` and ``model``, as JSON can hold it; ``records.from_record`` reads it back."""
        kept = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name not in ("path", "model")}
        kept |= {"input": dataclasses.asdict(self.input), "output": dataclasses.asdict(self.output)}
        return (
            kept
            | {"task": task_record(self.task), "maker": dict(self.maker), "notes": dict(self.notes)}
            | {
                "parents": list(self.parents),
                "passes": list(self.passes),
            }
        )

    @property
    def size_bytes(self) -> int:
        """Of the file, or of all files that make up the folder."""
        return sum(file.stat().st_size for file in files_of(self.path))


def joined(notes: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Notes and those of a later step: what both tell is the later one's, the lines of both are kept."""
    texts = dict.fromkeys(text for text in (notes.get("text"), more.get("text")) if text)
    return {**notes, **more} | ({"text": "; ".join(texts)} if texts else {})


def files_of(path: Path) -> list[Path]:
    """The files that make up an artifact, sorted: itself, or what its folder holds.

    A checkpoint is what its ``model.json`` names; pictures and figures beside it do not count.

    Raises:
        ValueError: that lists no files, or such as lie elsewhere.
    """
    if path.is_file():
        return [path]
    if (path / CHECKPOINT_FILE).is_file():
        told = strict_json.read(path / CHECKPOINT_FILE)
        names = FILES(told.get("files") if isinstance(told, dict) else None, "files")
        return [path / name for name in sorted([CHECKPOINT_FILE, *names])]
    return sorted(file for file in path.rglob("*") if file.is_file())


def task_record(task: Task) -> dict[str, Any]:
    """A task as JSON can hold it: what is nan, not fitted or not known, is null."""
    told = {"kind": task.kind, **dataclasses.asdict(task)}
    return {key: None if isinstance(value, float) and math.isnan(value) else value for key, value in told.items()}


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


def file_name(name: str) -> str:
    """A name that files may be called by with more before and behind it: one that is too long keeps its beginning.

    File systems take 255 bytes at most.
    """
    if len(os.fsencode(name)) <= LONGEST_NAME:
        return name
    mark = hashlib.sha256(os.fsencode(name)).hexdigest()[:8]
    suffix = Path(name).suffix if len(os.fsencode(Path(name).suffix)) <= LONGEST_SUFFIX else ""
    kept = name
    while len(os.fsencode(kept)) > LONGEST_NAME - LONGEST_SUFFIX - len(mark) - 1:
        kept = kept[:-1]
    return f"{kept}-{mark}{suffix}"


def copy_to(source: Path, out: Path) -> None:
    """Copy the files of an artifact."""
    if source.is_file():
        shutil.copyfile(source, out)
        return
    for file in files_of(source):
        target = out / file.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
