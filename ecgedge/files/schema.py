"""What a value of strangers has to be: small rules that are put together as the value is.

A rule takes a value and where it stands, and returns it as it is used; a value that is none raises SchemaError, whose
one line says where, what was found and what is expected. ``ecgedge/api/records/rules.py`` has the rules for records.
"""

from __future__ import annotations

import math
import re
import reprlib
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

Rule = Callable[[Any, str], Any]

MOST_DEPTH = 16  # of what is free within a document
MOST_VALUES = 100_000  # likewise: containers, texts and numbers in it

shorten = reprlib.Repr()
shorten.maxstring, shorten.maxother, shorten.maxlist, shorten.maxdict, shorten.maxlevel = 40, 40, 3, 3, 2


class SchemaError(ValueError):
    """A value that breaks a rule, in one line."""


def unlike(where: str, value: Any, expected: str) -> SchemaError:
    return SchemaError(f"{where or 'it'} is {shown(value)}, not {expected}")


def shown(value: Any) -> str:
    """A value as one line may show it: short, and with escapes for what cannot be printed."""
    return f"an object of {len(value):,} keys" if isinstance(value, dict) else shorten.repr(value)


def text(most: int, least: int = 1) -> Rule:
    """Text of ``least`` to ``most`` characters, each printable: no line ends, controls or marks of direction."""
    expected = f"printable text of {least} to {most:,} characters"

    def check(value: Any, where: str) -> str:
        if not isinstance(value, str) or not least <= len(value) <= most or not value.isprintable():
            raise unlike(where, value, expected)
        return value

    return check


def words(most: int) -> Rule:
    """Text of at most so many characters, which whoever shows it escapes."""

    def check(value: Any, where: str) -> str:
        if not isinstance(value, str) or len(value) > most:
            raise unlike(where, value, f"text of at most {most:,} characters")
        return value

    return check


def like(pattern: str, expected: str) -> Rule:
    """Text that a regular expression matches as a whole."""
    compiled = re.compile(pattern)

    def check(value: Any, where: str) -> str:
        if not isinstance(value, str) or not compiled.fullmatch(value):
            raise unlike(where, value, expected)
        return value

    return check


def whole(least: int, most: int) -> Rule:
    """A whole number; true and 1.0 are none."""

    def check(value: Any, where: str) -> int:
        if type(value) is not int or not least <= value <= most:
            raise unlike(where, value, f"a whole number from {least:,} to {most:,}")
        return value

    return check


def number(least: float = -math.inf, above: float = -math.inf, below: float = math.inf) -> Rule:
    """A finite number, whole or not, as a float; ``above`` and ``below`` are not among them."""
    words = [word for word, end in ((f"{least:g} or more", least), (f"above {above:g}", above)) if end > -math.inf]
    words += [f"below {below:g}"] if below < math.inf else []
    expected = " ".join(["a finite number", *words])

    def check(value: Any, where: str) -> float:
        if type(value) not in (int, float) or not math.isfinite(value) or not above < value < below or value < least:
            raise unlike(where, value, expected)
        return float(value)

    return check


def flag(value: Any, where: str) -> bool:
    """True or false."""
    if type(value) is not bool:
        raise unlike(where, value, "true or false")
    return value


def scalar(most: int) -> Rule:
    """True or false, a finite number, or a line of at most so many characters."""

    def check(value: Any, where: str) -> Any:
        if isinstance(value, bool | str):
            return value if isinstance(value, bool) else words(most)(value, where)
        number()(value, where)
        return value

    return check


def one_of(*known: Any) -> Rule:
    """One of some texts, or None."""
    expected = f"one of {', '.join('null' if word is None else str(word) for word in known)}"

    def check(value: Any, where: str) -> Any:
        if not isinstance(value, str | None) or value not in known:
            raise unlike(where, value, expected)
        return value

    return check


def maybe(rule: Rule) -> Rule:
    """What a rule takes, or None."""
    return lambda value, where: None if value is None else rule(value, where)


def list_of(rule: Rule, most: int, least: int = 0, unique: bool = False) -> Rule:
    """A list, as a tuple; ``unique``: nothing is in it twice."""

    def check(value: Any, where: str) -> tuple[Any, ...]:
        if not isinstance(value, list | tuple):
            raise unlike(where, value, "a list")
        if not least <= len(value) <= most:
            raise SchemaError(f"{where} has {len(value):,} entries, not {least} to {most:,}")
        found = tuple(rule(entry, f"{where}[{place}]") for place, entry in enumerate(value))
        if unique and len(set(found)) != len(found):
            twice = next(entry for entry, count in Counter(found).items() if count > 1)
            raise SchemaError(f"{where} has {shown(twice)} more than once")
        return found

    return check


def record(needed: Mapping[str, Rule], optional: Mapping[str, Rule] | None = None, others: Rule | None = None) -> Rule:
    """An object with these keys; one of ``optional`` that is missing stays so.

    Args:
        others: the rule for all other keys, as one object; None: there are none.
    """
    rules = {**needed, **(optional or {})}

    def check(value: Any, where: str) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise unlike(where, value, "an object")
        inside = f"{where}." if where else ""
        for key in needed:
            if key not in value:
                raise SchemaError(f"{inside}{key} is missing")
        for key in value:
            if key not in rules and not others:
                raise SchemaError(f"{where or 'it'} has the key {shown(key)}, known are {', '.join(rules)}")
        ruled = {key: rules[key](value[key], f"{inside}{key}") for key in rules if key in value}
        rest = {key: value[key] for key in value if key not in rules}
        return ruled | (others(rest, where) if others and rest else {})

    return check


def table_of(rule: Rule, most: int) -> Rule:
    """An object of at most so many keys, any, each with a value by the rule."""

    def check(value: Any, where: str) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise unlike(where, value, "an object")
        if len(value) > most:
            raise SchemaError(f"{where} has {len(value):,} keys, not at most {most:,}")
        return {key: rule(each, f"{where}[{shown(key)}]") for key, each in value.items()}

    return check


def free(kind: type = object, most: int = MOST_VALUES) -> Rule:
    """Anything that JSON can hold (``kind`` dict: an object): at most so many values, and not too deep."""

    def check(value: Any, where: str) -> Any:
        if not isinstance(value, kind):
            raise unlike(where, value, "an object")
        level, seen = [value], 0
        for _ in range(MOST_DEPTH):
            seen += len(level)
            if seen > most:
                raise SchemaError(f"{where} has more than {most:,} values")
            if bad := [each for each in level if not is_plain(each)]:
                raise SchemaError(f"{where} has {shown(bad[0])}, which JSON cannot hold")
            level = [inner for each in level for inner in parts_of(each)]
            if not level:
                return value
        raise SchemaError(f"{where} is nested more than {MOST_DEPTH} levels deep")

    return check


def parts_of(value: Any) -> list[Any]:
    return (
        list(value.values()) if isinstance(value, Mapping) else list(value) if isinstance(value, list | tuple) else []
    )


def is_plain(value: Any) -> bool:
    """Whether JSON can hold it, what is in it apart."""
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, Mapping):
        return all(isinstance(key, str) for key in value)
    return isinstance(value, str | int | list | tuple | None)
