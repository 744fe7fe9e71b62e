"""The question that trains a model. Of the processes that answer, those of a sweep alone know it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ecgedge.workers.protocol.question import Question


@dataclass(frozen=True)
class Train(Question[Mapping[str, float | None]]):
    """Train a model, and leave its checkpoint in a new folder; the answer has its figures on the test beats.

    Attributes:
        data: a file of ``ecgedge.data.kept``.
        recipe: what is changed of the model's own, see ``Recipe``.
        options: the model's own that were chosen.
    """

    model: str
    data: Path
    recipe: Mapping[str, Any]
    options: Mapping[str, Any]
    out: Path
