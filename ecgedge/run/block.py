"""One timed block of one file: the same steps wherever files are timed in turns."""

from __future__ import annotations

import base64
import contextlib
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ecgedge.api.measured import Blocks
from ecgedge.measure.machine import EnergyCounter
from ecgedge.measure.steadiness import about_block
from ecgedge.run.measurement import BLOCKS
from ecgedge.workers import protocol
from ecgedge.workers.session import OpenSession

USUAL = Blocks()  # where a runtime asks for none


def asked_in(row: Mapping[str, Any]) -> Blocks | None:
    """The blocks that the runtime of a scored cell asked for, as its row tells them; None: none of its own."""
    told = row.get("blocks_asked")
    return None if told is None else Blocks(**{key: told[key] for key in BLOCKS if key in told})


@dataclass(frozen=True)
class Block:
    """What a block is.

    Attributes:
        samples: little-endian int64 pairs, nanoseconds of the model and of the host.
        figures: what the process says of it, and the energy where that is counted.
        state: what the reference kernel beside it says, see ``steadiness.about_block``; or, where the times are not by
            this machine's clock, the name of the ``clock`` that they are by.
    """

    samples: bytes
    figures: dict[str, Any]
    state: dict[str, Any]

    @property
    def median_us(self) -> float:
        """Of the model, in microseconds."""
        return float(np.median(np.frombuffer(self.samples, dtype="<i8").reshape(-1, 2)[:, 0])) / 1e3


def time_block(
    session: OpenSession, seconds: float, asked: Blocks | None = None, energy: EnergyCounter | None = None
) -> Block:
    """Load the file anew and time calls; beside them the reference kernel runs, before and after, in the same process
    and outside of the block's energy.

    A session with a clock of its own needs no reference: how quick this machine is, is nothing to its times. This
    machine's energy is not that of a session with a clock or an energy meter of its own.

    Args:
        seconds: of timed calls.
        asked: what the runtime asks for instead.
    """
    blocks = asked or USUAL
    if blocks.reload:
        session.load_anew()
    if session.clock:
        return block_of(session.block(seconds, blocks.calls), {"clock": session.clock})
    counter = energy if session.energy_source is None else None
    first = session.ask(protocol.Reference())
    before = counter.read() if counter else (0, 0.0)
    answer = session.block(seconds, blocks.calls)
    spent = counter.since(before) if counter else {}
    last = session.ask(protocol.Reference())
    return block_of(answer, about_block(first.facts(), last.facts()), spent)


def block_of(answer: protocol.Timed, state: dict[str, Any], spent: dict[str, float] | None = None) -> Block:
    return Block(base64.b64decode(answer.samples), answer.figures() | (spent or {}), state)


@dataclass
class Pauses:
    """The pauses that runtimes ask for, so that a device cools down or a battery recovers between two blocks."""

    ended: dict[str, float] = field(default_factory=dict)  # when the last block of a runtime did

    @contextlib.contextmanager
    def around(self, runtime: str, asked: Blocks | None) -> Iterator[None]:
        """Time a block once the pause after the last one on this runtime is over."""
        left = self.ended.get(runtime, -math.inf) + (asked or USUAL).pause_s - time.monotonic()
        if left > 0:
            time.sleep(left)
        try:
            yield
        finally:
            self.ended[runtime] = time.monotonic()
