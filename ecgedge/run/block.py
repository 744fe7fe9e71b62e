"""One timed block of one file: the same steps wherever files are timed in turns."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

import numpy as np

from ecgedge.measure.machine import EnergyCounter
from ecgedge.measure.steadiness import about_block
from ecgedge.workers import protocol
from ecgedge.workers.session import OpenSession


@dataclass(frozen=True)
class Block:
    """What a block is.

    Attributes:
        samples: little-endian int64 pairs, nanoseconds of the model and of the host.
        figures: what the process says of it, and the energy where that is counted.
        state: what the reference kernel beside it says, see ``steadiness.about_block``.
    """

    samples: bytes
    figures: dict[str, Any]
    state: dict[str, Any]

    @property
    def median_us(self) -> float:
        """Of the model, in microseconds."""
        return float(np.median(np.frombuffer(self.samples, dtype="<i8").reshape(-1, 2)[:, 0])) / 1e3


def time_block(session: OpenSession, seconds: float, energy: EnergyCounter | None = None) -> Block:
    """Load the file anew and time calls; beside them the reference kernel runs, before and after, in the same process
    and outside of the block's energy.

    Args:
        seconds: of timed calls.
    """
    session.load_anew()
    first = session.ask(protocol.Reference())
    before = energy.read() if energy else (0, 0.0)
    answer = session.block(seconds)
    spent = energy.since(before) if energy else {}
    last = session.ask(protocol.Reference())
    state = about_block(first.facts(), last.facts())
    return Block(base64.b64decode(answer.samples), answer.figures() | spent, state)
