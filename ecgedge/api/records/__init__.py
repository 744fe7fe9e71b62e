"""From records back to artifacts: out of files, and of files that carry none."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ecgedge.api.artifact import (
    Anomaly,
    Artifact,
    Binary,
    Classification,
    Multilabel,
    Task,
    digest_of,
    task_record,
)
from ecgedge.api.records.rules import (
    ARTIFACT,
    MOST_BYTES,
    MOST_LABELS,
    SCORED,
    TENSOR,
    check_meaning,
    check_tensor,
    task_rule,
    values_of,
)
from ecgedge.api.tensors import TensorSpec, counted, samples_first, turned
from ecgedge.errors import EcgEdgeError
from ecgedge.files import strict_json
from ecgedge.files.schema import SchemaError, shown

if TYPE_CHECKING:
    from ecgedge.api.parts import Model

SIDECAR = "ecgedge.json"
REMEDIES = {  # for what an option says, by the field that it becomes
    "task.window": "lower --window",
    "task.threshold": "say another --threshold",
    "task.labels": "say others with --labels",
}
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


def check_leads(artifact: Artifact, leads: int, of: str) -> None:
    """Raise EcgEdgeError where a model takes beats of another number of leads than those that it is to be given.

    Args:
        of: whose beats these are, for the error.
    """
    wanted = artifact.input.leads
    if wanted not in (None, leads):
        told = f"{artifact.name} takes beats of {counted(wanted)}, those of {of} have {leads}"
        raise EcgEdgeError(told, "--leads picks those that it takes, or name the data that it was trained for")


def as_data_has_it(artifact: Artifact, leads: int, length: int) -> Artifact:
    """A user's file with its axes in the order in which they fit beats of so many leads and samples.

    Its shape alone does not tell which of two axes holds the leads where both could be (``layout_of``).
    """
    given = artifact.input
    if artifact.maker.get("part") != USER or given.layout == "NL":
        return artifact
    fits, turns = (each.leads in (None, leads) and each.length in (None, length) for each in (given, turned(given)))
    given = turned(given) if turns and not fits else given
    return dataclasses.replace(artifact, input=given, output=in_order(artifact.output, given, leads, length))


def in_order(returned: TensorSpec, given: TensorSpec, leads: int | None, length: int | None) -> TensorSpec:
    """An output of a user's file with the order of its axes, where it has that of a beat: by their sizes, else as the
    input has it."""
    sizes = [axis for axis in returned.shape[1:] if axis != 1]
    if returned.layout == "NC" or len(sizes) != 2:
        return returned
    is_told = leads != length and sizes in ([leads, length], [length, leads])
    is_last = sizes == [length, leads] if is_told else samples_first(given.layout)
    return dataclasses.replace(returned, layout="NLC" if is_last else "NCL")


def notes_of_leads(names: Sequence[str]) -> dict[str, list[str]]:
    """What an artifact notes of the leads that its model was trained on; nothing where they have no names."""
    return {LEADS: [*names]} if names else {}


def notes_of_beats(normalized: bool | None, recipe: str) -> dict[str, Any]:
    """What an artifact notes of how the beats were prepared that its model was trained on.

    Args:
        normalized: each lead of each was z-normalised; None: not by ecgedge, and they looked so.
        recipe: how they were cut from records, as ``ecgedge.data.records.Recipe`` writes it; empty: they were not.
    """
    return ({} if normalized is None else {NORMALIZED: normalized}) | ({RECIPE: recipe} if recipe else {})


def wants_normalized(artifact: Artifact) -> bool:
    """Whether a model was trained on beats that were z-normalised after they were read."""
    return artifact.notes.get(NORMALIZED) is True


def check_not_normalized(artifact: Artifact, normalize: bool) -> None:
    """Raise EcgEdgeError where beats are z-normalised for a model that was trained on beats that were not."""
    if normalize and artifact.notes.get(NORMALIZED) is False:
        told = f"{artifact.name} was trained on beats that were not z-normalised, and these would be"
        raise EcgEdgeError(told, "leave --normalize out, and bring them as in its training")


def check_lead_names(artifact: Artifact, names: Sequence[str], of: str) -> None:
    """Raise EcgEdgeError where beats have other leads than a model was trained on, or have them in another order.

    Args:
        names: of the leads of the beats; empty: they have none.
        of: whose beats these are, for the error.
    """
    known = tuple(artifact.notes.get(LEADS, ()))
    if not known or not names or [name.lower() for name in known] == [name.lower() for name in names]:
        return
    told = f"{artifact.name} was trained on the leads {', '.join(known)}, {of} has {', '.join(names)}"
    lacking = {name.lower() for name in known} - {name.lower() for name in names}
    raise EcgEdgeError(
        told[:300], "name the data that it was trained for" if lacking else f"say --leads {','.join(known)}"
    )


def check_told(artifact: Artifact) -> Artifact:
    """A user's file with what the user says of it. Raises EcgEdgeError where no record could say so."""
    try:
        task_rule(task_record(artifact.task), "task")
        check_tensor(artifact.input, "input")
        check_meaning(artifact)
    except SchemaError as error:
        todo = [REMEDIES[field] for field in REMEDIES if field in str(error)] or ["mend what the options say of it"]
        raise EcgEdgeError(f"{artifact.path}: {error}"[:300], todo[0]) from error
    return artifact


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


FED = ("float16", "float32", "float64", "int8", "uint8", "int16")  # input types that beats can be turned into
USER = "user"  # the maker of files that carry no record
LEADS = "leads"  # among the notes: what the leads are called that a model was trained on
NORMALIZED = "normalized"  # likewise: whether each lead of the beats was z-normalised before training
RECIPE = "recipe"  # likewise: how the beats were cut from records


def tell_artifact(
    path: Path,
    format: str,
    given: TensorSpec,
    returned: TensorSpec,
    scores: str | None = None,
    answer: Callable[[np.ndarray], np.ndarray] | None = None,
) -> Artifact:
    """The record of a file that carries none, told from its input and output.

    What its outputs mean is settled later, with the data: see ``told_task``.

    Args:
        scores: as for ``artifact_from``.
        answer: runs the file on an input of the shape and type of ``given``, and returns its output. It is asked
            only where the file leaves the shape of its output open: exporters may lose it on the way.

    Raises:
        EcgEdgeError: it does not look like a model of beats.
    """
    if given.layout == "?":
        raise EcgEdgeError(
            f"{path}: input of shape {shape_told(given)} is not of beats",
            "it has to be (N, C, L), (N, L, C) or (N, L), or to have four axes with one of size 1",
        )
    if given.dtype not in FED:
        raise EcgEdgeError(f"{path}: its input is {given.dtype}", f"beats can be fed as {', '.join(FED)}")
    if is_open(returned) and answer:
        returned = settled(given, returned, answer)
    returned = in_order(returned, given, given.leads, given.length)
    if is_open(returned):
        raise EcgEdgeError(
            f"{path}: an output of shape {shape_told(returned)} is neither class scores (N, C) nor a reconstruction",
            "fix its shape when exporting",
        )
    try:
        for where, spec in (("input", given), ("output", returned)):
            TENSOR(dataclasses.asdict(spec), where)
            check_tensor(spec, where)
    except SchemaError as error:
        raise EcgEdgeError(f"{path}: {error}"[:300], "such a model cannot be used: export it otherwise") from error
    precision = "fp32" if given.dtype == "float32" and returned.dtype == "float32" else given.dtype
    labels = tuple(str(value) for value in range(min(values_of(returned), MOST_LABELS)))  # more cannot be classes
    name = "".join(letter if letter.isprintable() else "_" for letter in path.stem)
    maker = {"part": USER}
    return Artifact(
        path, format, precision, Classification(labels, scores), given, returned, name, digest_of(path), maker=maker
    )


def is_open(returned: TensorSpec) -> bool:
    """Whether the shape of an output does not tell how many values there are a beat."""
    return len(returned.shape) not in (2, 3, 4) or None in returned.shape[1:]


def settled(given: TensorSpec, returned: TensorSpec, answer: Callable[[np.ndarray], np.ndarray]) -> TensorSpec:
    """An output with the shape that it has for two batches of beats; as it is where it hangs on more than these.

    A length of the input that is free leaves that of the output free.
    """
    rest = [axis for axis in given.shape[1:] if axis is not None]
    if len(rest) < len(given.shape) - 1:
        return returned
    sizes = (given.batch, given.batch) if given.batch else (1, 2)
    draw = np.random.default_rng(0).standard_normal
    first, second = (answer(draw((size, *rest)).astype(given.dtype)).shape for size in sizes)
    if first[1:] != second[1:] or (*first[:1], *second[:1]) != sizes:
        return returned
    return dataclasses.replace(returned, shape=(given.batch, *first[1:]), layout="NC" if len(first) == 2 else "NCL")


def shape_told(spec: TensorSpec) -> str:
    """``(N, 12, 1000)``; N: free."""
    return f"({', '.join('N' if axis is None else str(axis) for axis in spec.shape)})"


def check_values(artifact: Artifact, kind: str | None = None) -> None:
    """Raise EcgEdgeError where a user's file gives more values a beat than there can be classes.

    Args:
        kind: of the tasks, or None where the user did not say.
    """
    values = values_of(artifact.output)
    if kind != "anomaly" and values > MOST_LABELS and values != beat_of(artifact):
        told = f"{artifact.path} gives {values:,} values a beat, more than the {MOST_LABELS:,} classes that are known"
        raise EcgEdgeError(told, "say --task anomaly where it is an autoencoder")


def beat_of(artifact: Artifact) -> int | None:
    """Values of a beat, of all its leads; None where the model takes any number."""
    return None if None in artifact.input.shape[1:] else values_of(artifact.input)


def told_task(
    artifact: Artifact,
    kind: str | None,
    labels: tuple[str, ...],
    length: int,
    normal: str,
    window: int,
    leads: int = 1,
    multilabel: bool = False,
) -> Task:
    """What the outputs of a user's file mean for beats of that length, those leads and those labels.

    Args:
        kind: of the tasks, or None where the user did not say.
        normal, window: of an autoencoder, see ``Anomaly``.
        multilabel: several of the labels may hold for a beat of the data.

    Returns:
        For an autoencoder a threshold of nan, for several labels none: they have to be fitted.

    Raises:
        EcgEdgeError: it cannot be told, or is not what the user says; names the option that tells it.
    """
    check_values(artifact, kind)
    values, beat = values_of(artifact.output), leads * length
    scores = getattr(artifact.task, "scores", None)
    if multilabel and kind in (None, "multilabel") and values == len(labels):
        return with_scores(Multilabel(labels), scores)
    if multilabel or kind == "multilabel":
        has = (
            f"the data has {len(labels)} labels of which several may hold"
            if multilabel
            else "a beat has one class here"
        )
        raise EcgEdgeError(
            f"{artifact.path} gives {values} values a beat, and {has}", "name the data that it was trained for"
        )
    if kind in (None, "classification", "binary") and values == 1 and len(labels) == 2 and (kind or beat != 1):
        return with_scores(Binary(labels), scores)
    if kind in (None, "classification") and values == len(labels) and (kind or values != beat):
        return with_scores(Classification(labels), scores)
    if kind == "anomaly" and values == beat:
        if normal not in labels:
            raise EcgEdgeError(f"no class {normal!r} in the data", f"--normal takes {', '.join(labels)}")
        if window > length:
            raise EcgEdgeError(f"a beat has {length} samples, fewer than a window of {window}", "lower --window")
        return Anomaly(float("nan"), float("nan"), normal, labels, window)
    of = f"{leads} leads of " if leads > 1 else ""
    told = f"{artifact.path} gives {values} values a beat; the data has {len(labels)} classes and {of}{length} samples"
    hint = "use --task anomaly for an autoencoder" if values == beat else "name the data that it was trained for"
    raise EcgEdgeError(told, hint)
