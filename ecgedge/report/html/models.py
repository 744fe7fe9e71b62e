"""The section of one model: its int8 form against its fp32 form, and every form's times."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import numpy as np

from ecgedge.api import multilabel, tasks
from ecgedge.api.artifact import Anomaly, Binary, Classification, Multilabel
from ecgedge.choose import is_sound
from ecgedge.report.html import beats as curves
from ecgedge.report.html import classes, detection, labelled
from ecgedge.report.html.figures import Figure, Key, form
from ecgedge.report.html.latency import latencies
from ecgedge.report.html.run_files import RunFiles
from ecgedge.run import Beats
from ecgedge.run.row import Row

CHANGED = 6  # beats that are shown at most
RECALLS = 200  # classes in the table of recalls at most


@dataclass
class Section:
    """Attributes:
    compared: fp32, then the form it is held against, where there are such.
    why: that form is the one.
    missing: why figures are absent; empty where none is.
    meaning: what an output speaks for, where its name does not say it; empty where there is nothing to say.
    labels: where several may hold: what each form makes of each.
    examples_title, example_keys, examples: beats with their curves.
    """

    title: str
    anchor: str
    compared: list[Row]
    why: str = ""
    missing: str = ""
    meaning: str = ""
    confusions: list[classes.Confusion] = field(default_factory=list)
    recalls: list[classes.Recall] = field(default_factory=list)
    recall_forms: list[str] = field(default_factory=list)
    recall_plot: Figure | None = None
    labels: list[labelled.Line] = field(default_factory=list)
    label_forms: list[str] = field(default_factory=list)
    quality: list[Figure] = field(default_factory=list)
    examples_title: str = ""
    example_keys: list[Key] = field(default_factory=list)
    examples: list[Figure] = field(default_factory=list)
    latency: Figure | None = None

    @property
    def recalls_shown(self) -> list[classes.Recall]:
        return self.recalls[:RECALLS]

    @property
    def names(self) -> list[str]:
        return [form(row) for row in self.compared]


def section(
    number: int, title: str, rows: Sequence[Row], files: RunFiles, colour: str, suggested: Collection[str] = ()
) -> Section:
    """From the rows of one model on one device, and what the run's folder still holds; ``suggested``: see ``pair``."""
    ready = [row for row in rows if row.status == "ok"]
    compared = pair(ready, suggested)
    found = Section(title, f"model-{number}", compared, why_compared(compared, suggested))
    found.latency = latencies(ready, files.calls, colour)
    if not ready:
        found.missing = "No form of this model was measured; the reasons are below."
        return found
    answers = {row.id: files.outputs(row.id) for row in ready}
    task = files.task(ready[0].id)
    if files.beats is None or task is None or any(each is None for each in answers.values()):
        found.missing = (
            "The beats or the answers are no longer in the folder of the run, so what is drawn from them is not."
        )
        return found
    known = {name: tasks.of_classes(each, task) for name, each in answers.items() if each is not None}
    if isinstance(task, Anomaly):
        fill_detector(found, known, files.beats, task)
    elif isinstance(task, Multilabel):
        fill_labels(found, known, files.beats, task)
    else:
        fill_classifier(found, ready, known, files.beats, task)
    return found


def pair(rows: Sequence[Row], suggested: Collection[str] = ()) -> list[Row]:
    """The form that is explained, after its fp32 form: the quantized one that is suggested, else the quickest in 8
    bits, or for want of one the quickest quantized one.

    Args:
        suggested: ids of the rows that are chosen or on the front.
    """
    quantized = [row for row in rows if row.precision != "fp32"]
    wanted = [row for row in quantized if row.id in suggested and is_sound(row)]
    eights = [row for row in quantized if row.precision and "int8" in row.precision] or quantized
    whole = [row for row in rows if row.is_whole]
    if not eights or not whole:
        return [min(rows, key=quickness)] if rows else []
    chosen = min(wanted or eights, key=quickness)
    parent = chosen.time_ratio.to if chosen.time_ratio else None
    return [next((row for row in whole if row.id == parent), whole[0]), chosen]


def why_compared(rows: Sequence[Row], suggested: Collection[str]) -> str:
    """Why the second of two forms is the one that is explained."""
    if len(rows) < 2:
        return ""
    row = rows[1]
    if row.id in suggested:
        return "which the choice above names"
    kind = "8-bit" if row.precision and "int8" in row.precision else "quantized"
    return f"the {'quickest' if row.latency else 'smallest'} {kind} form"


def quickness(row: Row) -> tuple[bool, float]:
    """A key to sort rows by: those whose times are unsteady last; the smallest first, where there are no times."""
    return row.unsteady, row.latency.p50_us if row.latency else row.size_bytes or 0


def fill_classifier(
    found: Section, rows: Sequence[Row], answers: dict[str, np.ndarray], beats: Beats, task: Classification
) -> None:
    whole, *other = found.compared
    labels = task.labels
    if isinstance(task, Binary):
        found.meaning = f"The one output of this model is the probability of class {task.positive}."
    found.confusions = [classes.confusion(whole, labels), *(classes.confusion(row, labels, whole) for row in other)]
    decided = {name: outputs.argmax(axis=1) for name, outputs in answers.items()}
    series = [(form(row), answers[row.id]) for row in found.compared]
    found.quality = [classes.reliability(series, beats.y, task.scores)]
    others = [row for row in rows if not row.is_whole]
    if whole.is_whole and others:
        found.recall_forms = [form(row) for row in others]
        found.recalls = classes.recalls(decided[whole.id], [(row, decided[row.id]) for row in others], beats.y, labels)
        found.recall_plot = classes.recall_plot(found.recalls, others)
    if other:
        show_changed(found, decided[whole.id], decided[other[0].id], answers[whole.id], beats, task)


def fill_labels(found: Section, answers: dict[str, np.ndarray], beats: Beats, task: Multilabel) -> None:
    forms = [(row, answers[row.id]) for row in found.compared]
    found.label_forms = found.names
    found.labels = labelled.lines(forms, beats.y, task)
    found.quality = [labelled.reliability([(form(row), outputs) for row, outputs in forms], beats.y, task)]
    if len(forms) < 2:
        return
    was, here = (multilabel.held(outputs, task) for _, outputs in forms)
    margins = tasks.margins(forms[0][1], beats.x, task)
    changed = sorted(map(tuple, np.argwhere(was != here).tolist()), key=lambda at: -margins[at])
    count, total = len(changed), was.size
    found.examples_title = (
        f"{count:,} of {total:,} labels are decided otherwise" if count else "All labels are decided alike"
    )
    if count > CHANGED:
        found.examples_title += f"; the {CHANGED} of which fp32 was surest"
    for i, k in changed[:CHANGED]:
        title, now = f"Beat {beats.index[i]:,}", "holds" if here[i, k] else "does not hold"
        right = "right" if here[i, k] == beats.y[i, k] else "wrong"
        words = f"{task.labels[k]} {now} by the other form, which is {right}; margin {margins[i, k]:.2g}"
        trace = curves.Trace("beat", beats.x[i])
        found.examples.append(curves.beat_plot(title, f"{title}: {words}", [trace], beats.leads))


def show_changed(
    found: Section, was: np.ndarray, here: np.ndarray, outputs: np.ndarray, beats: Beats, task: Classification
) -> None:
    """The beats on which the two forms differ, those of which fp32 was surest first."""
    margins = tasks.margins(outputs, beats.x, task)
    changed = sorted(np.flatnonzero(was != here), key=lambda i: -margins[i])
    count = len(changed)
    found.examples_title = (
        f"{count:,} of {len(was):,} beats are decided otherwise" if count else "All beats are decided alike"
    )
    if count > CHANGED:
        found.examples_title += f"; the {CHANGED} of which fp32 was surest"
    for i in changed[:CHANGED]:
        label, before, after = (task.labels[each] for each in (beats.y[i], was[i], here[i]))
        right = "right" if after == label else "was right" if before == label else "both wrong"
        title = f"Beat {beats.index[i]:,}"
        words = f"true {label}, fp32 {before}, now {after} ({right}); margin {margins[i]:.2g}"
        trace = curves.Trace("beat", beats.x[i])
        found.examples.append(curves.beat_plot(title, f"{title}: {words}", [trace], beats.leads))


def fill_detector(found: Section, answers: dict[str, np.ndarray], beats: Beats, task: Anomaly) -> None:
    positive = beats.y != task.labels.index(task.normal)
    forms = [
        detection.Scores(row, tasks.anomaly_scores(answers[row.id], beats.x, task.window), positive)
        for row in found.compared
    ]
    found.quality = [detection.histograms(forms, tasks.score_name(task.window))]
    if curve := detection.roc(forms):
        found.quality.append(curve)
    found.examples_title = "Example beats and their reconstructions"
    found.example_keys = curves.trace_keys(["beat", *found.names])
    for words, i in curves.examples(forms[0].scores, positive, task.threshold):
        traces = [curves.Trace("beat", beats.x[i])]
        traces += [curves.Trace(form(one.row), answers[one.row.id][i].reshape(beats.x[i].shape)) for one in forms]
        errors = ", ".join(f"{one.scores[i]:.3g}" for one in forms)
        title = f"Beat {beats.index[i]:,}"
        caption = f"{title}, {words}: class {task.labels[beats.y[i]]}, error {errors} (threshold {task.threshold:.3g})"
        found.examples.append(curves.beat_plot(title, caption, traces, beats.leads))
