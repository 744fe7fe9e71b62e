"""The judge of answers as the tests ask it: in plain arguments, and what it finds as JSON has it."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from ecgedge.api import precisions
from ecgedge.evaluate import verdicts
from ecgedge.evaluate.verdicts import Answers, Terms


def judge_answers(
    outputs: np.ndarray,
    expected: np.ndarray | None,
    beats: np.ndarray,
    y: np.ndarray,
    task: Any,
    *terms: Any,
    index: np.ndarray | None = None,
    training: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """``verdicts.judge``. ``terms``: those of ``Terms``, precisions by name; ``training``: outputs, beats, classes."""
    of_training = Answers(*training) if training else None
    held_to = Terms(*map(named, terms), **{name: named(value) for name, value in more.items()})
    found = verdicts.judge(Answers(outputs, beats, y, index), expected, task, held_to, of_training)
    return json.loads(json.dumps(found.flat, allow_nan=False))


def named(value: Any) -> Any:
    """A precision by its name; anything else as it is."""
    return precisions.find(value) if isinstance(value, str) else value
