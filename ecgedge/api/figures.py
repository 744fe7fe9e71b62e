"""Figures that a runtime tells of a file and nobody else measures: their units, and which way is better."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

UNITS: dict[str, dict[str, float]] = {  # of each kind of figure: in shares, numbers, microseconds, beats/s, ...
    "share": {"": 1, "%": 0.01},
    "number": {"": 1},
    "time": {"ns": 1e-3, "us": 1, "µs": 1, "ms": 1e3, "s": 1e6},
    "rate": {"": 1, "/s": 1, "beats/s": 1},
    "energy": {"nJ": 1e-3, "uJ": 1, "µJ": 1, "mJ": 1e3, "J": 1e6},
    "bytes": {"B": 1, "KB": 1e3, "KiB": 2**10, "MB": 1e6, "MiB": 2**20, "GB": 1e9, "GiB": 2**30},
}
FIGURE_NAME = "[a-z][a-z0-9_]{0,63}"
UNIT_NAME = "[A-Za-z%/µ²³^0-9_]{0,20}"
BETTER = ("lower", "higher")


@dataclass(frozen=True)
class Figure:
    """One of the figures of ``Session.figures``, so that it can be required, ranked by, and shown in tables.

    Attributes:
        name: small letters, digits and underscores; as ``Session.figures`` has it.
        unit: one of ``UNITS``, such as ``"B"``, ``"us"``, ``"uJ"``, ``"/s"`` or ``"%"``, or a word of its own, such as
            ``"cycles"``; empty: a number.
        better: ``"lower"`` or ``"higher"``.
        help: what it is, one line.
        exact: telling it again gives the same, as of a size; else what is close may be a tie.
    """

    name: str
    unit: str = ""
    better: str = "lower"
    help: str = ""
    exact: bool = False

    @property
    def kind(self) -> str:
        """Of ``UNITS``; a number where the unit is a word of its own, or none."""
        return next((kind for kind, units in UNITS.items() if self.unit and self.unit in units), "number")

    @property
    def scale(self) -> float:
        """From its unit to the kind's own."""
        return UNITS[self.kind].get(self.unit, 1)

    def record(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)
