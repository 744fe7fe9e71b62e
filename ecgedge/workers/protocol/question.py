"""What every question is."""

from __future__ import annotations

from pathlib import Path
from typing import Generic, TypeVar, cast

from ecgedge.workers.protocol.packed import Packed

A = TypeVar("A")


class Question(Generic[A]):
    """A question that is answered with an ``A``."""

    @property
    def about(self) -> Path | None:
        """The file that it is about, where it is about one."""
        for name in ("path", "artifact", "source"):
            if found := vars(self).get(name):
                return found.path if isinstance(found, Packed) else cast(Path, found)
        return None
