"""What can go wrong by the user's hand, and by a part's."""

from __future__ import annotations


class EcgEdgeError(Exception):
    """A mistake that the user can mend: printed in one or two lines, exit code 2, no traceback.

    Args:
        message: what is wrong, one line.
        hint: what to do about it, one line; may be empty.
    """

    def __init__(self, message: str, hint: str = ""):
        super().__init__(message)
        self.message = message
        self.hint = hint


class ConversionError(Exception):
    """A conversion ran and its result is wrong or missing. The cell fails, the matrix goes on."""


def unknown(what: str, name: str, choices: list[str]) -> EcgEdgeError:
    """The error for a name that is not there: it lists those that are."""
    listed = ", ".join(choices) or "none"
    return EcgEdgeError(f"unknown {what} {name!r}", f"choose from: {listed}")
