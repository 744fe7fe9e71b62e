"""What a data set is: beats, their classes or labels, their patients; and its digest."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from ecgedge.data.readers.leads import pick_leads


@dataclass(frozen=True)
class Split:
    """Beats ``x`` of shape ``(N, C, L)`` float32 of C leads, and their class indices ``y`` of shape ``(N,)``; where
    several labels may hold, ``y`` ``(N, K)`` says of each with 0 and 1 whether it does.

    ``groups`` ``(N,)`` names the patient (or record) of each beat; None where that is not known.
    """

    x: np.ndarray
    y: np.ndarray
    groups: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.y)

    def take(self, index: np.ndarray) -> Split:
        return Split(self.x[index], self.y[index], None if self.groups is None else self.groups[index])


@dataclass(frozen=True)
class Dataset:
    """A training and a test split; ``labels[i]`` is what class ``i`` is called in the files.

    ``told`` says how a table was read, or the axes of an array, what was guessed above all; it is empty for other
    files. ``lead_names`` has C names, or none where nothing says what the leads are called. ``recipe`` says how beats
    were cut from records, as ``ecgedge.data.records.Recipe`` writes it; it is empty for others. ``normalized``: they
    were z-normalised after they were read.
    """

    name: str
    train: Split
    test: Split
    labels: tuple[str, ...]
    source: str
    told: str = ""
    lead_names: tuple[str, ...] = ()
    recipe: str = ""
    normalized: bool = False

    @property
    def leads(self) -> int:
        """Leads a beat."""
        return self.train.x.shape[1]

    @property
    def length(self) -> int:
        return self.train.x.shape[2]

    @property
    def classes(self) -> int:
        return len(self.labels)

    @property
    def multilabel(self) -> bool:
        """Whether several labels may hold for a beat."""
        return self.train.y.ndim == 2

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the beats (float32, rounded to 4 decimals) and class indices of both splits, and the recipe."""
        digest = hashlib.sha256()
        for split in (self.train, self.test):
            digest.update(beat_bytes(split.x))
            digest.update(split.y.astype("<i8").tobytes())
        digest.update(self.recipe.encode())
        return digest.hexdigest()

    def describe(self) -> str:
        leads = f"{self.leads} leads and " if self.leads > 1 else ""
        return (
            f"{self.name}, {len(self.train):,} training and {len(self.test):,} test beats of {leads}{self.length} "
            f"samples, {self.classes} {'labels of which several may hold' if self.multilabel else 'classes'}, "
            f"digest {self.digest[:12]}"
        )


def beat_bytes(x: np.ndarray) -> bytes:
    """Beats ``(N, C, L)`` as digests see them: float32 rounded to 4 decimals, without negative zeros.

    Where there are several leads, their number stands in front: two leads are not one that is twice as long.
    """
    leads = x.shape[1]
    return (f"{leads} leads\n".encode() if leads > 1 else b"") + (np.round(x, 4) + 0.0).astype("<f4").tobytes()


def digest_of_beats(x: np.ndarray) -> str:
    """SHA-256 of beats ``(N, C, L)``."""
    return hashlib.sha256(beat_bytes(x)).hexdigest()


def with_leads(data: Dataset, wanted: Sequence[str]) -> Dataset:
    """The data with these leads alone, each by its name or its number from 1, in that order; none: as it is.

    Raises:
        EcgEdgeError: it has no such lead, or one is wanted twice.
    """
    if not wanted:
        return data
    picked = pick_leads(wanted, data.lead_names, data.leads, data.name)
    if picked == list(range(data.leads)):
        return data
    train, test = (replace(part, x=np.ascontiguousarray(part.x[:, picked])) for part in (data.train, data.test))
    names = tuple(data.lead_names[index] for index in picked) if data.lead_names else ()
    told = ", ".join(names or (str(index + 1) for index in picked))
    return replace(data, train=train, test=test, lead_names=names, source=f"{data.source}, leads {told}")
