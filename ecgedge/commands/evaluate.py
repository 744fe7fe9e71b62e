"""``ecgedge evaluate``: a model or a file, scored on the test beats."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ecgedge.api import tasks
from ecgedge.api.artifact import Anomaly, Artifact, Multilabel
from ecgedge.errors import ConversionError

if TYPE_CHECKING:  # the rest is imported when something is evaluated: ``import ecgedge`` is to stay quick
    from ecgedge.run import Told


@dataclass(frozen=True)
class ClassScores:
    """Of one class: precision, recall and F1, and its test beats."""

    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True)
class Classified:
    """Scores of a classifier; macro-F1 is the mean over the classes that are there or decided."""

    accuracy: float
    macro_f1: float
    per_class: Mapping[str, ClassScores]


@dataclass(frozen=True)
class Detected:
    """Scores of an anomaly detector.

    Attributes:
        auroc, auprc: None where a kind of beats is missing.
        threshold: of the anomaly score ``score``, at which the next three are.
        f1, precision, recall: of anomalies.
        normal, anomalies: test beats of either kind.
    """

    auroc: float | None
    auprc: float | None
    score: str
    threshold: float
    f1: float
    precision: float
    recall: float
    normal: int
    anomalies: int


@dataclass(frozen=True)
class LabelScores:
    """Of one label: its test beats; AUROC and AUPRC, None where a kind of beats is missing; at its threshold the rest.

    ``ece`` is its expected calibration error.
    """

    auroc: float | None
    auprc: float | None
    f1: float
    precision: float
    recall: float
    ece: float
    threshold: float
    support: int


@dataclass(frozen=True)
class Labelled:
    """Scores where several labels may hold.

    Attributes:
        macro_auroc, macro_auprc: means over the labels that have one; None where none has.
        mean_f1: over the labels that are there or said.
        ece: expected calibration error, the mean over the labels.
        exact_match: the share of beats with every label right.
    """

    macro_auroc: float | None
    macro_auprc: float | None
    mean_f1: float
    ece: float
    exact_match: float
    per_label: Mapping[str, LabelScores]


@dataclass(frozen=True)
class Evaluation:
    """How a model or a file answers on the test beats.

    Attributes:
        artifact: as it was used on these data.
        runtime: that ran it.
        data: the data, in one line.
        scores: ``Classified``, ``Labelled`` or ``Detected``.
    """

    artifact: Artifact
    runtime: str
    data: str
    scores: Classified | Labelled | Detected


def evaluate(
    target: str | os.PathLike[str],
    *,
    runtime: str | None = None,
    data: str | os.PathLike[str] | None = None,
    normalize: bool = False,
    label_column: str | None = None,
    ignore_columns: str | Sequence[str] = (),
    leads: str | Sequence[str] = (),
    layout: str | None = None,
    group_column: str | None = None,
    label_file: str | os.PathLike[str] | None = None,
    class_names: str | os.PathLike[str] | None = None,
    told: Told | None = None,
    trust: bool = False,
    options: Mapping[str, Any] | None = None,
    threads: int = 1,
    timeout: float = 300,
    memory: int | None = None,
) -> Evaluation:
    """Score a model or a file on all test beats.

    Args:
        target: the name of a model, a folder of a checkpoint, or a file.
        runtime: that runs it; None: the first that takes it and works here.
        data: where it lies, as for ``MatrixRequest``; so ``normalize``, ``label_column``, ``ignore_columns``,
            ``leads``, ``layout``, ``group_column``, ``label_file``, ``class_names``.
        told: what is to be known of a file without a record.
        trust: code that a file brings may run.
        options: of the runtime, as ``MatrixRequest`` has them.
        threads: of the model.
        timeout: seconds that a step in a child process may take.
        memory: millions of bytes that a child process may take; None: no limit.

    Raises:
        EcgEdgeError: there is no such file or data, they do not fit each other, or no runtime works.
        ConversionError: it gives no answers, such as ones that are not finite.
    """
    from ecgedge.commands.loading import data_of, limits_of, load_parts, settled
    from ecgedge.convert.opening import opener, with_threshold
    from ecgedge.files.notices import note
    from ecgedge.plan.options import check_used, chosen, options_of
    from ecgedge.run import Told
    from ecgedge.workers.availability import pick_runtime

    request = settled(
        data=data, normalize=normalize, label_column=label_column, ignore_columns=ignore_columns, leads=leads,
        layout=layout, group_column=group_column, label_file=label_file, class_names=class_names, told=told or Told(),
        options=options or {}, threads=threads, timeout=timeout, memory=memory,
    )  # fmt: skip
    parts, beats = load_parts(), data_of(request)
    given = chosen(request.options, parts.steps, parts.models.values())
    with opener(parts, limits_of(request), request.told, trust, threads) as opened:
        artifact = opened.fit_to_data(opened.find_artifact(os.fspath(target)), beats)
        taken = pick_runtime(artifact.format, runtime, parts, opened.workers)
        check_used(given, [taken])
        session = taken.load(artifact, threads, **options_of(taken, given))
        artifact = with_threshold(artifact, beats, lambda _, split: session.infer(split.x), note)
        outputs = session.infer(beats.test.x)
    if reason := tasks.wrong(outputs, beats.test.x, artifact.task):
        raise ConversionError(f"{target} gives no answers: {reason}")
    scores = scores_of(tasks.evaluate(outputs, beats.test.x, beats.test.y, artifact.task), artifact)
    return Evaluation(artifact, taken.name, beats.describe(), scores)


def scores_of(figures: Mapping[str, Any], artifact: Artifact) -> Classified | Labelled | Detected:
    """The scores among the figures of ``tasks.evaluate``."""
    if isinstance(artifact.task, Multilabel):
        per_label = {label: LabelScores(**found) for label, found in figures["per_label"].items()}
        return Labelled(
            figures["macro_auroc"], figures["macro_auprc"], figures["mean_f1"], figures["label_ece"],
            figures["exact_match"], per_label,
        )  # fmt: skip
    if not isinstance(artifact.task, Anomaly):
        per_class = {label: ClassScores(**found) for label, found in figures["per_class"].items()}
        return Classified(figures["accuracy"], figures["macro_f1"], per_class)
    return Detected(
        auroc=figures["auroc"],
        auprc=figures["auprc"],
        score=tasks.score_name(artifact.task.window),
        threshold=figures["threshold"],
        f1=figures["f1"],
        precision=figures["anomaly_precision"],
        recall=figures["anomaly_recall"],
        normal=figures["support"]["normal"],
        anomalies=figures["support"]["anomaly"],
    )
