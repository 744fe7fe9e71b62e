"""An interpreter in which a worker runs, and the command that starts it there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ecgedge.devices import launch


def launching(python: Path | str, module: str) -> list[str]:
    """The command that runs a module of ecgedge in a child; -P: no module of the user's folder gets in."""
    return [str(python), "-P", launch.__file__, module]


@dataclass(frozen=True)
class Host:
    """An interpreter of its own: where a child runs that is not to run in ours.

    Attributes:
        environment: its name, as parts say it.
        python: the interpreter.
        guests: what is lent to it, JSON; see ``launch.py``.
    """

    environment: str
    python: Path
    guests: str

    def command(self, module: str) -> list[str]:
        """What runs a module of ecgedge there."""
        return launching(self.python, module)

    def surroundings(self, ours: Mapping[str, str]) -> dict[str, str]:
        """The variables of a process there: ours, but for those that would lead it to our libraries."""
        kept = {name: value for name, value in ours.items() if name not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")}
        return kept | {"PYTHONNOUSERSITE": "1", "ECGEDGE_HERE": self.environment, "ECGEDGE_GUESTS": self.guests}
