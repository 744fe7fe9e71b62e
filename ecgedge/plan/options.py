"""Which options of parts the user chose, held against those that the parts declare."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ecgedge.api.options import Value
from ecgedge.errors import EcgEdgeError, cut, unknown

if TYPE_CHECKING:
    from ecgedge.api.parts import Part, Quantizer


def chosen(given: Mapping[str, Any], parts: Iterable[Part], others: Iterable[Part] = ()) -> dict[str, Value]:
    """The options that were asked for, each of its type.

    Args:
        given: values, or texts of such, by ``PART.NAME``; by ``NAME`` alone it is of all parts that have it.
        parts: those that may be used.
        others: that are installed and cannot be used for what is asked.

    Raises:
        EcgEdgeError: there is no such part, or it is one of the others; or it has no such option, or no such value.
    """
    mine, rest = [*parts], [*others]
    return {key: read(key, value, mine, rest) for key, value in given.items()}


def read(key: str, value: Any, parts: list[Part], others: list[Part]) -> Value:
    """One of them."""
    named, _, name = key.rpartition(".")
    of_name = [part for part in parts if not named or part.name == named]
    if not of_name:
        raise misplaced(key, named, parts, others)
    having = [(part, option) for part in of_name for option in part.options if option.name == name]
    if not having:
        has = ", ".join(sorted({f"{part.name}.{option.name}" for part in of_name for option in part.options}))
        raise EcgEdgeError(f"{named or 'no part'} has {'no' if named else 'an'} option {cut(name)!r}",
                           f"choose from: {has}" if has else "it has none: leave that out")  # fmt: skip
    part, option = having[0]
    return option.read(value, part.name)


def misplaced(key: str, named: str, parts: list[Part], others: list[Part]) -> EcgEdgeError:
    """The error for an option of a part that there is not, or that cannot be used for what is asked."""
    other = next((part for part in others if part.name == named), None)
    is_training = [part.kind for part in parts] == ["model"]
    if other is None:
        having = sorted({part.name for part in parts if part.options})
        if is_training and not having:
            return EcgEdgeError(f"unknown part {cut(named)!r}", f"leave it out: {parts[0].name} has no options")
        return unknown("part", named, having)
    if is_training:
        told = f"option {cut(key)}: {named} is not the model that is trained, {parts[0].name} is"
        return EcgEdgeError(told, f"leave it out, or train {named}" if other.kind == "model" else "leave it out")
    told = f"option {cut(key)}: {named} is a {other.kind}, and its options are for its training"
    return EcgEdgeError(told, f"leave it out here: ecgedge train {named} takes it")


def check_used(given: Mapping[str, Any], used: Iterable[Part | None]) -> None:
    """Raise EcgEdgeError where an option was chosen by the name of a part that has nothing to do for what is asked.

    Args:
        given: as for ``chosen``.
        used: the parts that have; None among them is passed over.
    """
    having = [part for part in used if part is not None]
    names = sorted({part.name for part in having})
    for key in given:
        named, _, name = key.rpartition(".")
        if named in names and not any(
            option.name == name for part in having if part.name == named for option in part.options
        ):
            kinds = " and ".join(sorted({part.kind for part in having if part.name == named}))
            others = sorted({part.name for part in having for option in part.options if option.name == name})
            raise EcgEdgeError(
                f"option {cut(key)}: the part that has it is not used for this, only the {kinds} {named}",
                f"name it {', '.join(f'{other}.{name}' for other in others)}" if others else "leave it out",
            )
        if named and named not in names:
            raise EcgEdgeError(f"option {cut(key)}: {named} is not used for this", f"used are {', '.join(names)}")


def options_of(part: Part, asked: Mapping[str, Value]) -> dict[str, Value]:
    """Those of the options that were asked for which a part has; what names the part comes before what does not."""
    found = {}
    for option in part.options:
        for key in (option.name, f"{part.name}.{option.name}"):
            if key in asked:
                found[option.name] = asked[key]
    return found


def settled_options(quantizers: Iterable[Quantizer], asked: Mapping[str, Value]) -> dict[str, Value]:
    """Those that were asked for, and what quantizers settle by this machine's processor: for work done elsewhere."""
    found = dict(asked)
    for part in quantizers:
        settled, known = part.settle(options_of(part, asked)), {option.name for option in part.options}
        found |= {f"{part.name}.{name}": value for name, value in settled.items() if name in known}
    return found
