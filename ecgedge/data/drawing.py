"""Beats drawn from a data set: stratified, and those on which quantizers calibrate and judge."""

from __future__ import annotations

import numpy as np

from ecgedge.data.dataset import Dataset, Split
from ecgedge.data.patients import deal_groups, shared_patients
from ecgedge.errors import EcgEdgeError, counted

ENOUGH_TO_JUDGE = 1000  # beats: one decision of them is 0.1 point of accuracy


def held_by(y: np.ndarray) -> set[int]:
    """The classes, or labels, that some beats have, by their indices."""
    found = np.unique(y) if y.ndim == 1 else np.flatnonzero(y.any(axis=0))
    return {int(each) for each in found}


def strata(y: np.ndarray, most: int | None = None) -> np.ndarray:
    """Of class indices ``(N,)`` these; of labels ``(N, K)`` a number for each set of labels that beats have, ``(N,)``.

    Args:
        most: sets that are told apart; where there are more, beats count by the rarest of their labels.
    """
    if y.ndim == 1:
        return y
    _, found = np.unique(y, axis=0, return_inverse=True)
    if most is not None and len(np.unique(found)) > most:
        rarest = np.argsort(y.sum(axis=0), kind="stable")
        found = np.where(y.any(axis=1), rarest[y[:, rarest].argmax(axis=1)], y.shape[1])
    return found.reshape(-1)


def stratified(y: np.ndarray, count: int, seed: int) -> np.ndarray:
    """``count`` indices into ``y``, drawn so that each class keeps its share and none is left out.

    Args:
        y: class indices ``(N,)``, or which labels hold ``(N, K)``: then beats with the same labels are a class.
        count: how many to draw; N or more returns all, shuffled.
        seed: of the drawing.

    Returns:
        Shuffled indices ``(min(count, N),)``, without repetition.

    Raises:
        EcgEdgeError: ``count`` is less than the number of classes.
    """
    rng = np.random.default_rng(seed)
    if count >= len(y):
        return rng.permutation(len(y))
    y = strata(y, count)
    classes, sizes = np.unique(y, return_counts=True)
    if count < len(classes):
        raise EcgEdgeError(
            f"{counted(count, 'beat')} cannot hold {counted(len(classes), 'class')}", "ask for more beats"
        )
    wanted = sizes * count / len(y)
    takes = np.maximum(np.floor(wanted).astype(int), 1)
    while takes.sum() < count:  # the one furthest below its share
        takes[np.argmin(np.where(takes < sizes, takes - wanted, np.inf))] += 1
    while takes.sum() > count:  # the one furthest above, of those with beats to spare
        takes[np.argmax(np.where(takes > 1, takes - wanted, -np.inf))] -= 1
    picked = [rng.permutation(np.flatnonzero(y == c))[:n] for c, n in zip(classes, takes, strict=True)]
    return rng.permutation(np.concatenate(picked))


def calibration_beats(data: Dataset, count: int, seed: int) -> np.ndarray:
    """Training beats for quantizers, stratified; never one that the test part has too, nor one of a patient there.

    Returns:
        ``(min(count, N), C, L)``.

    Raises:
        EcgEdgeError: ``count`` is less than the number of classes, or a class has no beat of its own.
    """
    train, _ = calibrating_and_judging(data, seed)
    return train.x[stratified(train.y, count, seed)]


def judging_beats(data: Dataset, count: int, seed: int) -> Split:
    """Training beats on which a quantizer measures what it costs; none that the test part has, nor of a patient there.

    Those that ``calibration_beats`` leaves, where there are ``ENOUGH_TO_JUDGE``; else all. Of patients, where they are
    known, who have no calibration beats, if those have enough.

    Raises:
        EcgEdgeError: as ``calibration_beats``.
    """
    train, others = calibrating_and_judging(data, seed)
    if others is not None:
        return others
    rest = np.setdiff1d(np.arange(len(train)), stratified(train.y, count, seed))
    return train.take(rest) if len(rest) >= ENOUGH_TO_JUDGE else train


def calibrating_and_judging(data: Dataset, seed: int) -> tuple[Split, Split | None]:
    """The training beats to calibrate on and, where these have other patients who are enough, those to judge on."""
    train = own_training_beats(data)
    if train.groups is None or len(np.unique(train.groups)) < 2:
        return train, None
    kinds = strata(train.y)
    fold = deal_groups(kinds, train.groups, 2, seed)
    one, two = (train.take(np.flatnonzero(fold == at)) for at in (0, 1))
    apart = len(two) >= ENOUGH_TO_JUDGE and set(kinds[fold == 0]) == set(kinds[fold == 1])
    return (one, two) if apart else (train, None)


def own_training_beats(data: Dataset) -> Split:
    """The training beats that the test part has not, of patients that it has not.

    Raises:
        EcgEdgeError: a class has none.
    """
    known = {beat.tobytes() for beat in data.test.x}
    own = np.array([beat.tobytes() not in known for beat in data.train.x])
    both = shared_patients(data)
    if data.train.groups is not None and not np.isin(data.train.groups, both).all():  # else nobody would be left
        own &= ~np.isin(data.train.groups, both)
    train = data.train.take(np.flatnonzero(own))
    if lacking := held_by(data.train.y) - held_by(train.y):
        label = data.labels[min(lacking)]
        why = ", or of a patient there" if both else ""
        raise EcgEdgeError(
            f"every training beat of class {label} is a test beat, too{why}", "nothing can be calibrated on such data"
        )
    return train
