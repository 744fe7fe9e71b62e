"""What a session measures itself, and the blocks of calls that a runtime asks for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Measured:
    """What a session's device measured itself of the last calls of ``invoke``. What is None it does not measure.

    Attributes:
        latencies_ns: nanoseconds of each call, in order: whole numbers above 0.
        clock: a short name of what these are from, such as ``"Cortex-M55 cycle counter at 32 MHz"``.
        energy_uj: microjoules of these calls together; 0 is what a coarse meter may say.
        energy_source: a short name of what counted them.
        memory_bytes: the most that the model has taken so far.
        memory_source: a short name of what tells that.
    """

    latencies_ns: tuple[int, ...] | None = None
    clock: str = ""
    energy_uj: float | None = None
    energy_source: str = ""
    memory_bytes: int | None = None
    memory_source: str = ""


@dataclass(frozen=True)
class Blocks:
    """The blocks of calls in which a runtime's sessions are timed, where ecgedge's own do not suit its device.

    Attributes:
        calls: of a block, exactly; None: at least 100, for at least the time of the profile.
        rounds: how many blocks, six at least, whatever state the machine is in; None: those of the profile.
        pause_s: seconds between the end of a block on this runtime and the begin of the next one, whatever the file.
        reload: whether a file that loads quickly is loaded anew before each block.
    """

    calls: int | None = None
    rounds: int | None = None
    pause_s: float = 0.0
    reload: bool = True
