"""What mends a loss: other precisions of the same conversion, tried from the cheapest on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ecgedge.api import tasks
from ecgedge.api.artifact import Artifact, Task
from ecgedge.errors import ConversionError, EcgEdgeError

CHEAPEST = ("mixed", "dynamic", "fp16")  # precisions, the ones that keep most in integers first


@dataclass(frozen=True)
class Tried:
    """One precision that was tried.

    Attributes:
        drop: of the task's quality against the trained model, in hundredths; None: it could not be made.
        changed: decisions that are not the trained model's.
        size_bytes: of the file.
        reason: why it could not be made; empty where it was.
    """

    quantizer: str
    drop: float | None
    changed: int = 0
    size_bytes: int = 0
    reason: str = ""


@dataclass(frozen=True)
class Fixed:
    """What came of it.

    Attributes:
        was: the drop of what was asked for, in hundredths.
        allowed: the drop that may be, in hundredths.
        tried: in order.
        quantizer: that brings the loss within ``allowed``; empty: none does.
        command: that makes the file; empty likewise, and where nothing was to be mended.
    """

    was: float
    allowed: float
    tried: tuple[Tried, ...] = ()
    quantizer: str = ""
    command: str = ""


def quality(outputs: np.ndarray, x: np.ndarray, y: np.ndarray, task: Task) -> float:
    """Accuracy of a classifier, AUROC of a detector or of labels (0 where one is missing), in hundredths."""
    names = {"anomaly": "auroc", "multilabel": "macro_auroc"}
    name = names.get(task.kind, "accuracy")
    return 100 * float(tasks.evaluate(outputs, x, y, task)[name] or 0.0)


def mend(was: float, allowed: float, make: Callable[[str], Artifact], drop_of: Callable[[Artifact], tuple[float, int]],
         command: Callable[[str], str], precisions: Sequence[str] = CHEAPEST) -> Fixed:  # fmt: skip
    """Try precisions until one loses no more than is allowed.

    Args:
        make: the file of a precision.
        drop_of: what such a file loses, in hundredths, and how many decisions it changes.
        command: that makes the file of a precision.
    """

    def attempts() -> Iterator[Tried]:
        for precision in precisions if was > allowed else ():
            try:
                made = make(precision)
                drop, changed = drop_of(made)
            except (EcgEdgeError, ConversionError) as error:
                yield Tried(precision, None, reason=str(error))
                continue
            yield Tried(precision, drop, changed, made.size_bytes)
            if drop <= allowed:
                return

    tried = tuple(attempts())
    last = tried[-1] if tried else None
    if last is None or last.drop is None or last.drop > allowed:
        return Fixed(was, allowed, tried)
    return Fixed(was, allowed, tried, last.quantizer, command(last.quantizer))
