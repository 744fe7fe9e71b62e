"""Which layers a quantizer should leave in float: the worst ones, until the loss is small enough.

What formats share. How a layer is left in float, and what is a layer, is the quantizer's own affair.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ecgedge import Anomaly, Artifact, Context, ConversionError, Option, tasks

MAX_DROP = Option(
    "max_drop", float, 0.1, "What it may lose on training beats, in hundredths of accuracy, or of AUROC.", least=0
)
DROP = {MAX_DROP.name: MAX_DROP.default}
ROUNDING = 1e-9  # by which a loss may be above what is allowed

Outputs = Callable[[tuple[str, ...]], np.ndarray]  # for the beats of a trial, with those layers left in float


@dataclass(frozen=True)
class Step:
    """An operation of a graph: its name, and the values that it takes and gives."""

    name: str
    takes: tuple[str, ...]
    gives: tuple[str, ...]


def in_float(steps: Iterable[Step], layers: Iterable[str], left: Iterable[str], given: Iterable[str]) -> list[str]:
    """The operations that are to be in float where some layers are left in float.

    A layer is where it is said to be. Anything else, such as an activation or a pooling, goes with what it
    takes: it is in float where that holds a value in float, which is one that was made in float and that no
    int8 layer takes.

    Args:
        steps: in the order in which they run.
        layers: all of them.
        left: those in float.
        given: the inputs of the graph that are in float.
    """
    steps, layers, left = list(steps), set(layers), set(left)
    rounded = {value for step in steps if step.name in layers - left for value in step.takes}
    floats, found = set(given) - rounded, []
    for step in steps:
        if step.name in left or (step.name not in layers and floats & set(step.takes)):
            found.append(step.name)
            floats |= set(step.gives) - rounded
    return found


class Trial:
    """The training beats on which a quantizer measures what its changes cost.

    They are ``context.labelled``. Without those it is the calibration beats, and what counts is how many
    decisions stay those of the source.
    """

    def __init__(self, source: Artifact, context: Context, expected: Callable[[np.ndarray], np.ndarray]):
        """``expected(beats)``: the outputs of the source."""
        self.task = source.task
        self.x: np.ndarray
        self.y: np.ndarray | None
        self.x, self.y = context.labelled or (context.beats, None)
        self.expected = expected(self.x)
        if reason := tasks.wrong(self.expected, self.x, self.task):
            raise ConversionError(f"the source gives no answers on training beats: {reason}")
        self.decided = tasks.decide(self.expected, self.x, self.task)
        self.measure = "agreement"
        if self.y is not None and not isinstance(self.task, Anomaly):  # of several labels: of each decision
            self.measure = "accuracy"
        elif self.y is not None and not np.isnan(self.auroc(self.expected)):  # nan: a class is missing
            self.measure = "AUROC"

    def quality(self, outputs: np.ndarray) -> float:
        """Accuracy, AUROC, or the share of decisions that are the source's: whichever ``measure`` says."""
        if tasks.wrong(outputs, self.x, self.task):
            return 0.0
        if self.measure == "AUROC":
            return self.auroc(outputs)
        truth = self.y if self.measure == "accuracy" else self.decided
        return float((tasks.decide(outputs, self.x, self.task) == truth).mean())

    def auroc(self, outputs: np.ndarray) -> float:
        assert isinstance(self.task, Anomaly)
        positive = np.asarray(self.y != self.task.labels.index(self.task.normal))
        return tasks.auroc(tasks.anomaly_scores(outputs, self.x, self.task.window), positive)

    def damage(self, outputs: np.ndarray) -> float:
        """Mean squared difference to the source's outputs, relative to their variance: finer than any decision."""
        if tasks.wrong(outputs, self.x, self.task):
            return float("inf")
        expected = self.expected.reshape(len(self.x), -1).astype(np.float64)
        return float(((outputs.reshape(expected.shape) - expected) ** 2).mean() / (expected.var() or 1.0))


@dataclass(frozen=True)
class Mixed:
    """What a search found.

    Attributes:
        left: the layers that are left in float, the worst first.
        layers: how many there are.
        measure: ``"accuracy"``, ``"AUROC"``, or ``"agreement"`` with the source's decisions.
        fp32, full_int8, mixed: that measure on the training beats, before and after.
        beats: how many those are.
        max_drop: hundredths that were allowed.
        damage: what quantizing a layer alone does to the outputs, by ``Trial.damage``; empty where it was not asked.
    """

    left: tuple[str, ...]
    layers: int
    measure: str
    fp32: float
    full_int8: float
    mixed: float
    beats: int
    max_drop: float
    damage: Mapping[str, float]

    def notes(self, floats: Iterable[Sequence[str]] = ()) -> dict[str, Any]:
        """For the artifact.

        Args:
            floats: the names of each operation that the file computes in float, by any of which a runtime may
                know it; those of the layers that were left among them.
        """
        figures = {
            "layers": self.layers,
            "measure": self.measure,
            "fp32": self.fp32,
            "full_int8": self.full_int8,
            "mixed": self.mixed,
            "beats": self.beats,
            "max_drop": self.max_drop,
            "damage": dict(self.damage),
        }
        return {"left": list(self.left), "float": [list(names) for names in floats], "loss": figures, "text": self.text}

    @property
    def text(self) -> str:
        against = f"fp32 {self.fp32:.4f}, {self.beats:,} training beats"
        if not self.left:
            return f"nothing left in float: the same as full-int8; {self.measure} {self.mixed:.4f}, {against}"
        names = ", ".join(name.partition(";")[0] for name in self.left)
        left = f"{names} ({len(self.left)} of {self.layers} layers)"
        return f"left in float: {left}; {self.measure} {self.mixed:.4f}, full-int8 {self.full_int8:.4f}, {against}"


def search_mixed(layers: Sequence[str], outputs: Outputs, trial: Trial, max_drop: float) -> Mixed:
    """Leave the worst layers in float until the loss on the trial's beats is within ``max_drop``.

    Layers are ranked by what quantizing each of them alone does to the outputs. Those that turn out not to be
    needed, once a worse one is in float, go back to int8.

    Args:
        layers: names, in the order in which they run.
        outputs: of the file in which some layers, in that order, are left in float and all others are int8.
        max_drop: hundredths of what ``trial.measure`` says.

    Raises:
        ConversionError: all layers would have to be left.
    """
    fp32 = trial.quality(trial.expected)
    tried: dict[tuple[str, ...], float] = {}

    def quality(left: Iterable[str]) -> float:
        key = tuple(name for name in layers if name in set(left))
        if key not in tried:
            tried[key] = trial.quality(outputs(key))
        return tried[key]

    def is_within(left: Iterable[str]) -> bool:
        return fp32 - quality(left) <= max_drop / 100 + ROUNDING

    left: list[str] = []
    damage: dict[str, float] = {}
    if not is_within(()):
        damage = {name: trial.damage(outputs(tuple(n for n in layers if n != name))) for name in layers}
        ranked = sorted(layers, key=lambda name: -damage[name])
        left = next((ranked[:count] for count in range(1, len(ranked)) if is_within(ranked[:count])), [])
        if not left:
            raise ConversionError(
                f"all {len(layers)} layers would have to stay in float to lose at most {max_drop:g} points of "
                f"{trial.measure} on training beats: keep fp32, or allow more with --max-drop"
            )
        for name in reversed(left[:-1]):  # the last one was needed
            if is_within(fewer := [other for other in left if other != name]):
                left = fewer
    full, mixed = quality(()), quality(left)
    return Mixed(tuple(left), len(layers), trial.measure, fp32, full, mixed, len(trial.x), max_drop, damage)
