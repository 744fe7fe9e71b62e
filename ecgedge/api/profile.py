"""What each operation took, as a runtime's own profiler tells."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """What a runtime timed on its own: an operation, or a kernel of a delegate.

    Attributes:
        op, name: as in ``Node``, or in the delegate's words.
        nodes: names of the graph's nodes that it computes; empty: not told.
        microseconds: of each call, in the clock's own units; empty: not told.
        partition: the piece of the graph that was handed to a delegate; empty: it is in none.
    """

    op: str
    name: str
    nodes: tuple[str, ...]
    microseconds: tuple[float, ...]
    partition: str = ""


@dataclass(frozen=True)
class Profile:
    """One profile of some calls.

    Attributes:
        steps: in the order in which they ran.
        calls: microseconds of each whole call, with the profiler at work; empty: not told.
        tick: microseconds that its clock counts in; times are cut to whole ones.
        partitions: names of the graph's nodes in each piece that was handed to a delegate.
    """

    steps: tuple[Step, ...]
    calls: tuple[float, ...] = ()
    tick: float = 0.0
    partitions: tuple[tuple[str, tuple[str, ...]], ...] = ()
