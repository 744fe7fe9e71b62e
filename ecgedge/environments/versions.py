"""Versions: of this program, and of the distributions that are installed beside it."""

from __future__ import annotations

import re
from importlib import metadata

VERSION = "0.1.0"  # of ecgedge: told by its code, which may run from a source tree that was never installed


def canonical(distribution: str) -> str:
    """A distribution's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def version_of(distribution: str) -> str | None:
    """The version of a distribution that is installed here; None where it is not."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None
