"""The judges as the tests ask them: in plain arguments, and what they find as JSON has it."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from ecgedge.evaluate import precision_check, verdicts
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
    """``verdicts.judge``. ``terms``: those of ``Terms``; ``training``: outputs, beats and classes."""
    of_training = Answers(*training) if training else None
    found = verdicts.judge(Answers(outputs, beats, y, index), expected, task, Terms(*terms, **more), of_training)
    return json.loads(json.dumps(found.flat, allow_nan=False))


def judge_graph(*asked: Any, **more: Any) -> dict[str, Any]:
    """``precision_check.judge``."""
    return json.loads(json.dumps(precision_check.judge(*asked, **more).flat, allow_nan=False))
