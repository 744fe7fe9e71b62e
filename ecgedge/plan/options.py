"""Which options of parts the user chose, held against those that the parts declare."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ecgedge.api.options import Value
from ecgedge.errors import EcgEdgeError, cut, unknown

if TYPE_CHECKING:
    from ecgedge.api.parts import Part


def chosen(given: Mapping[str, Any], parts: Iterable[Part]) -> dict[str, Value]:
    """The options that were asked for, each of its type.

    Args:
        given: values, or texts of such, by ``PART.NAME``; by ``NAME`` alone it is of all parts that have it.
        parts: those that there are.

    Raises:
        EcgEdgeError: there is no such part, it has no such option, or that has no such value.
    """
    everything = [part for part in parts if part.options]
    return {key: read(key, value, everything) for key, value in given.items()}


def read(key: str, value: Any, parts: Iterable[Part]) -> Value:
    """One of them."""
    named, _, name = key.rpartition(".")
    of_name = [part for part in parts if not named or part.name == named]
    if not of_name:
        raise unknown("part with options", named, sorted({part.name for part in parts}))
    having = [(part, option) for part in of_name for option in part.options if option.name == name]
    if not having:
        has = ", ".join(sorted({f"{part.name}.{option.name}" for part in of_name for option in part.options}))
        raise EcgEdgeError(f"{named or 'no part'} has {'no' if named else 'an'} option {cut(name)!r}",
                           f"choose from: {has or 'none'}")  # fmt: skip
    part, option = having[0]
    return option.read(value, part.name)


def options_of(part: Part, asked: Mapping[str, Value]) -> dict[str, Value]:
    """Those of the options that were asked for which a part has; what names the part comes before what does not."""
    found = {}
    for option in part.options:
        for key in (option.name, f"{part.name}.{option.name}"):
            if key in asked:
                found[option.name] = asked[key]
    return found
