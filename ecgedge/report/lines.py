"""Lines of text that fit a terminal: a path or a command that has no room behind its sentence goes below it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ecgedge.files import escape

COLUMNS = 120  # of a terminal
INDENT = "  "


@dataclass(frozen=True)
class Note:
    """What is to be said, and what is to be copied from it.

    Attributes:
        text: a sentence.
        place: the path of the file that it is about, or a command; empty where there is none.
        column: where the place begins, at the least.
    """

    text: str
    place: str = ""
    column: int = 0

    @property
    def whole(self) -> str:
        """In one line, however long."""
        return f"{self.text + ':':<{self.column}} {self.place}" if self.place else self.text

    def lines(self) -> list[str]:
        """In lines of ``COLUMNS`` characters; a path or a command is never broken, since it is to be copied."""
        if len(line := escape.line(self.whole)) <= COLUMNS:
            return [line]
        return [*folded(escape.line(self.text + ":" * bool(self.place))), *self.below()]

    def below(self) -> list[str]:
        """The place in a line of its own, further to the right than the sentence."""
        left = len(self.text) - len(self.text.lstrip())
        return [" " * left + INDENT + escape.line(self.place)] if self.place else []


def folded(text: str) -> list[str]:
    """A sentence in lines of ``COLUMNS`` characters, broken between words; a longer word has a line of its own."""
    if wide(text) <= COLUMNS:
        return [text]
    lines = [""]
    for word in text.split(" "):
        is_first = lines[-1] in ("", INDENT)
        if not is_first and wide(lines[-1]) + 1 + wide(word) > COLUMNS:
            lines.append(INDENT)
            is_first = True
        lines[-1] += word if is_first else f" {word}"
    return lines


def fitted(lines: Iterable[str]) -> list[str]:
    """Each line folded."""
    return [part for line in lines for part in folded(line)]


def wide(text: str) -> int:
    """How many columns of a terminal a text takes."""
    return len(escape.unstyle(text))
