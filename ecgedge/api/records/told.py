"""Files that carry no record: what is told of them by their input and output, by the data, and by the user."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ecgedge.api.artifact import Anomaly, Artifact, Binary, Classification, Multilabel, Task, digest_of, task_record
from ecgedge.api.records import with_scores
from ecgedge.api.records.rules import FED, MOST_LABELS, TENSOR, USER, check_meaning, check_tensor, task_rule, values_of
from ecgedge.api.tensors import TensorSpec, samples_first, shape_told, turned
from ecgedge.errors import EcgEdgeError, counted
from ecgedge.files.schema import SchemaError

REMEDIES = {  # for what an option says, by the field that it becomes
    "task.window": "lower --window",
    "task.threshold": "say another --threshold",
    "task.labels": "say others with --labels",
}


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
            f"{artifact.path} gives {counted(values, 'value')} a beat, and {has}",
            "name the data that it was trained for",
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
    has = f"{counted(len(labels), 'class')} and {of}{counted(length, 'sample')}"
    told = f"{artifact.path} gives {counted(values, 'value')} a beat; the data has {has}"
    hint = "use --task anomaly for an autoencoder" if values == beat else "name the data that it was trained for"
    raise EcgEdgeError(told, hint)
