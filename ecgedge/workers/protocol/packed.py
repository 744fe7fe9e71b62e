"""An artifact on its way between processes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ecgedge.api.artifact import Artifact
from ecgedge.api.parts import Model
from ecgedge.api.records import from_record
from ecgedge.errors import ConversionError


@dataclass(frozen=True)
class Packed:
    """An artifact on its way to another process on this machine, or as the journal keeps it.

    Attributes:
        record: as ``Artifact.record`` gives it; ``from_record`` checks it.
        model: the name of the part that built its network; None: there is none.
    """

    path: Path
    record: Any
    model: str | None = None


def pack(artifact: Artifact) -> Packed:
    """Make an artifact ready for another process."""
    return Packed(artifact.path, artifact.record(), artifact.model.name if artifact.model else None)


def unpack(packed: Packed, models: Mapping[str, Model]) -> Artifact:
    """Read back what ``pack`` made."""
    return from_record(packed.path, packed.record, models[packed.model] if packed.model else None)


def answered(packed: Packed, who: str) -> Artifact:
    """Read the artifact that a worker packed. Raises ConversionError where it is none: ``who`` made it."""
    try:
        return from_record(packed.path, packed.record)
    except (KeyError, TypeError, ValueError) as error:
        raise ConversionError(f"{who} gave an artifact that is none: {error}"[:300]) from error
