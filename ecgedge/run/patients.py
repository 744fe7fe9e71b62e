"""Whose beats a run scored, and how a form does on each patient: an average hides a patient who is told badly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ecgedge.api import tasks
from ecgedge.api.artifact import Anomaly, Task
from ecgedge.files.arrays import read_arrays
from ecgedge.files.schema import SchemaError, list_of, words
from ecgedge.run.folder import RunFolder
from ecgedge.run.reading import BEATS, RUN, damaged

PATIENTS, PATIENT = "patients", "patient"  # names in ``run.json``, and the number of each beat's in ``beats.npz``
FEWEST = 5  # beats from which a patient's accuracy is told


@dataclass(frozen=True)
class Whose:
    """The patients of the scored beats: their names, and the number ``(N,)`` of each beat's among them."""

    names: tuple[str, ...]
    of: np.ndarray


@dataclass(frozen=True)
class Spread:
    """The accuracy of a form on each patient with ``FEWEST`` beats or more.

    Attributes:
        patients: how many they are.
        median, lowest, highest: accuracies; ``lowest`` is that of ``worst``, who has ``beats`` beats.
    """

    patients: int
    median: float
    lowest: float
    highest: float
    worst: str
    beats: int


def whose_beats(run: RunFolder) -> Whose | None:
    """The patients of the scored beats; None where the run knows none, or its beats are gone.

    Raises:
        EcgEdgeError: what the folder says of them is damaged.
    """
    told = run.about.get(PATIENTS)
    if told is None or run.beats is None:
        return None
    try:
        names = list_of(words(80), 10**6, least=1)(told, PATIENTS)
    except SchemaError as error:
        raise damaged(run.path / RUN, error) from error
    of = read_arrays(run.path, BEATS, (PATIENT,))[PATIENT]
    if of.shape != run.beats.y.shape[:1] or of.dtype.kind not in "iu" or (of < 0).any() or of.max() >= len(names):
        raise damaged(run.path / BEATS, f"{PATIENT} does not tell of each beat")
    return Whose(names, of.astype(np.int64))


def spread_of(whose: Whose, outputs: np.ndarray, x: np.ndarray, y: np.ndarray, task: Task) -> Spread | None:
    """How a form does on each patient; None where none has enough beats.

    Args:
        outputs: of the form, ``(N, values)``.
        x, y: the scored beats ``(N, C, L)`` and their class indices ``(N,)``.
    """
    truth = y != task.labels.index(task.normal) if isinstance(task, Anomaly) else y
    right = tasks.decide(outputs, x, task).astype(np.int64) == truth.astype(np.int64)
    if right.ndim == 2:  # every label of the beat
        right = right.all(axis=1)
    beats = np.bincount(whose.of, minlength=len(whose.names))
    enough = np.flatnonzero(beats >= FEWEST)
    if not len(enough):
        return None
    shares = (np.bincount(whose.of, weights=right, minlength=len(whose.names)) / np.maximum(beats, 1))[enough]
    worst = int(enough[shares.argmin()])
    return Spread(
        len(enough),
        float(np.median(shares)),
        float(shares.min()),
        float(shares.max()),
        whose.names[worst],
        int(beats[worst]),
    )
