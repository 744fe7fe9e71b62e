"""What is worth knowing beside a result: told through ``logging``, under ``ecgedge``, and printed by the command line.

A script or notebook sees nothing of it until it asks, as of any library: ``logging.basicConfig(level="INFO")``.
"""

from __future__ import annotations

import logging

NOTE = 25  # between INFO and WARNING: what was guessed, or done otherwise than one may think

log = logging.getLogger("ecgedge")


def warn(text: str) -> None:
    """Tell what may be wrong, in one line."""
    log.warning("%s", text)


def note(text: str) -> None:
    """Tell what was guessed, in one line."""
    log.log(NOTE, "%s", text)


def is_printed() -> bool:
    """Whether what is told is printed as it comes, so that a bar of progress may be drawn there, too."""
    return any(getattr(handler, "prints", False) for handler in log.handlers)
