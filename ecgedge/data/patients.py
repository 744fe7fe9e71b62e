"""Patients: beats of one must not be on both sides of a split or fold.

A group may be any other thing, such as a record. Where a data set tells no patients, all of this does nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from ecgedge.data.dataset import Dataset
from ecgedge.errors import EcgEdgeError, counted

NAMED = 3  # patients that a warning names


def deal_groups(y: np.ndarray, groups: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Deal whole groups into folds so that the folds are alike in size and classes, as far as the groups allow.

    The groups whose classes are most uneven are dealt first, each to the fold where it leaves the classes most evenly
    spread over all folds.

    Args:
        y: class indices ``(N,)``.
        groups: that of each beat ``(N,)``.
        count: of the folds.
        seed: of the order among groups that are alike.

    Returns:
        The fold of each beat ``(N,)``.

    Raises:
        EcgEdgeError: there are fewer groups than folds.
    """
    names, index = np.unique(groups, return_inverse=True)
    if len(names) < count:
        raise EcgEdgeError(
            f"{len(names)} patients cannot make {count} parts without one in two of them",
            "take fewer parts, or leave --group out where its beats may be in several",
        )
    held = np.zeros((len(names), int(y.max()) + 1))
    np.add.at(held, (index, y), 1)
    shuffled = np.random.default_rng(seed).permutation(len(names))
    order = shuffled[np.argsort(-held[shuffled].std(axis=1), kind="stable")]
    share = held / np.maximum(held.sum(axis=0), 1)  # of each class: a rare one counts as much as any other
    sums, sizes = np.zeros((count, held.shape[1])), np.zeros(count)
    fold = np.empty(len(names), np.int64)
    for place, group in enumerate(order):
        empty = np.flatnonzero(sizes == 0)
        open_folds = empty if len(empty) >= len(order) - place else np.arange(count)  # no fold stays without a group
        costs = [(spread_with(sums, int(at), share[group]), sizes[at]) for at in open_folds]
        best = int(open_folds[min(range(len(costs)), key=costs.__getitem__)])
        sums[best] += share[group]
        sizes[best] += held[group].sum()
        fold[group] = best
    return fold[index]


def spread_with(sums: np.ndarray, at: int, more: np.ndarray) -> float:
    """How unevenly classes are spread over folds ``(count, C)`` once fold ``at`` has ``more`` ``(C,)`` of them."""
    sums = sums.copy()
    sums[at] += more
    return round(float(sums.std(axis=0).mean()), 12)


def halves(y: np.ndarray, groups: np.ndarray, seed: int) -> np.ndarray:
    """Which beats are for training, ``(N,)`` bool: half of them, in whole groups, some of each class.

    Raises:
        EcgEdgeError: there is one group, or each way leaves a class without training beats or no test beats.
    """
    train = deal_groups(y, groups, 2, seed) == 0
    for label in np.unique(y):  # a class of few groups goes to the training side
        if not (train & (y == label)).any():
            of_class = groups[y == label]
            train |= groups == of_class[0]
    if train.all():
        raise EcgEdgeError(
            f"{len(np.unique(groups))} patients cannot be split so that training has every class and tests remain",
            "name a test part of your own: NAME_TRAIN and NAME_TEST",
        )
    return train


def digests(x: np.ndarray) -> list[bytes]:
    """A hash of each beat of ``(N, C, L)``, equal for equal beats."""
    return [hashlib.blake2b(beat.tobytes(), digest_size=16).digest() for beat in np.ascontiguousarray(x)]


def shared_patients(data: Dataset) -> list[str]:
    """The patients of whom both parts have beats."""
    if data.train.groups is None or data.test.groups is None:
        return []
    return sorted({*data.train.groups.tolist()} & {*data.test.groups.tolist()})


def warnings(data: Dataset) -> list[str]:
    """What makes figures on the test part look better than they are: a patient, or a beat, that is in both parts."""
    told = []
    if both := shared_patients(data):
        told.append(
            f"{counted(len(both), 'patient')} {'is' if len(both) == 1 else 'are'} in both parts ({listed(both)}): the "
            "test part does not say how well other people's beats are told"
        )
    known = set(digests(data.train.x))
    if same := sum(each in known for each in digests(data.test.x)):
        told.append(f"{counted(same, 'test beat')} {'is a training beat' if same == 1 else 'are training beats'}, too")
    return told


def listed(names: Sequence[str]) -> str:
    return ", ".join(names[:NAMED]) + (", ..." if len(names) > NAMED else "")
