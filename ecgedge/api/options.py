"""What a user may choose of a part: ``--option PART.NAME=VALUE``."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from ecgedge.errors import EcgEdgeError, cut

Value = bool | int | float | str
SPELLED = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
LONGEST_TEXT = 10_000  # characters of a text


@dataclass(frozen=True)
class Option:
    """An option of a part. What the user chose is in the store's key of all that the part makes.

    Attributes:
        name: small letters, digits and underscores.
        type: ``bool``, ``int``, ``float`` or ``str``.
        default: what holds where the user chooses nothing; None: the part decides.
        help: one line.
        choices: the values that there are; empty: any of the type.
        least, most: of a number, both included; None: no limit.
    """

    name: str
    type: type[bool] | type[int] | type[float] | type[str]
    default: Value | None
    help: str
    choices: tuple[Value, ...] = ()
    least: float | None = None
    most: float | None = None

    def read(self, given: object, part: str) -> Value:
        """A value as the part takes it, of a text as of the value itself.

        Args:
            part: its name, for the error.

        Raises:
            EcgEdgeError: the option has no such value; the hint says what it may be.
        """
        value = self.typed(given)
        if value is None or (self.choices and value not in self.choices) or not self.is_within(value):
            raise EcgEdgeError(f"option {part}.{self.name} cannot be {cut(repr(given))}", f"it is {self.wanted}")
        return value

    def typed(self, given: object) -> Value | None:
        """Of its type; None where it is none of that."""
        if self.type is bool:
            return given if isinstance(given, bool) else SPELLED.get(str(given).lower())
        if self.type is str:
            return given if isinstance(given, str) and len(given) <= LONGEST_TEXT else None
        if isinstance(given, bool) or not isinstance(given, int | float | str):
            return None
        if self.type is int and isinstance(given, float) and not given.is_integer():
            return None
        try:
            finite = math.isfinite(float(given))
            number = int(given) if self.type is int else float(given)  # a float holds 53 bits of a whole number
        except (ValueError, OverflowError):
            return None
        return number if finite else None

    def is_within(self, value: Value) -> bool:
        if isinstance(value, str | bool):
            return True
        return (self.least is None or value >= self.least) and (self.most is None or value <= self.most)

    @property
    def wanted(self) -> str:
        """What it may be, in words."""
        if self.choices:
            return f"one of {', '.join(map(str, self.choices))}"
        if self.type is bool:
            return "true or false"
        words = {int: "a whole number", float: "a number", str: "a text"}[self.type]
        if self.least is not None and self.most is not None:
            return f"{words} from {self.least:g} to {self.most:g}"
        if self.least is not None:
            return f"{words} of at least {self.least:g}"
        return words if self.most is None else f"{words} of at most {self.most:g}"

    def record(self) -> dict[str, Any]:
        """The option as JSON has it."""
        found = {"name": self.name, "type": self.type.__name__, "default": self.default, "help": self.help}
        return found | {"choices": list(self.choices), "least": self.least, "most": self.most}
