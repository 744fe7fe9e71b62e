"""How many classes beats can carry."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ecgedge.data.readers.columns import SAY, Part
from ecgedge.data.readers.fields import as_float, short
from ecgedge.errors import EcgEdgeError

MOST = 200  # classes: the archive has 60 at most
FEW = 2  # classes of training beats, which any number of beats can carry
BEATS = 2  # a class, on average over both parts: sets of the archive have no fewer


def check_classes(parts: Sequence[Part], source: str) -> None:
    """Raise EcgEdgeError where what was read as labels are no classes.

    Classes are words or whole numbers, ``MOST`` at most, ``BEATS`` beats or more to a class on average. Numbers with
    a fraction are classes only in a column that the user names.

    Args:
        parts: training and test beats, or all beats.
        source: the file or folder, as errors call it.
    """
    labels = [label for part in parts for label in part.labels]
    classes = set(labels)
    layout = parts[0].layout
    where = f" in {layout.label_told}" if layout else ""
    hint = SAY if layout else "the labels must be classes: words or whole numbers"
    if len(set(parts[0].labels)) > FEW and len(labels) < BEATS * len(classes):
        raise EcgEdgeError(
            f"{source}: {len(classes):,} classes{where} are too many for {len(labels):,} beats: a class needs "
            f"{BEATS} or more on average",
            hint,
        )
    if len(classes) > MOST:
        raise EcgEdgeError(
            f"{source}: {len(classes):,} classes, and {MOST} are the most: each two of them are counted in thousands "
            "of draws, which takes time and memory with their square",
            "join classes, or name the column that holds them with --label-column",
        )
    broken = [label for label in labels if not whole(label)]
    if broken and not (layout and layout.asked):
        raise EcgEdgeError(f"{source}: the label{where} is {short(broken[0])}: a class is no fraction", hint)


def whole(label: str) -> bool:
    """Whether a label is a word or a whole number."""
    value = as_float(label)
    return not math.isfinite(value) or value.is_integer()
