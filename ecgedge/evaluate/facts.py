"""How a fact of a row is declared: once, with its name in JSON, its rule and, where it is a figure, its metric.

Facts come in groups, dataclasses whose fields are made by ``told`` and ``figure``. JSON has them flat, under the
declared keys. What is not told is None and not in JSON; what was asked for and is not known is null there.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import field
from typing import Any, TypeVar

from ecgedge.evaluate.metric import Metric
from ecgedge.files.schema import Rule, record
from ecgedge.files.values import ANY

Group = TypeVar("Group")


def told(rule: Rule, key: str = "", null: bool = False, needed: bool = False, of: Any = None) -> Any:
    """A fact of a row.

    Args:
        rule: for its value in JSON.
        key: of it in JSON; empty: its name.
        null: it is null in JSON where its group is told and it is not known.
        needed: its group has it in any case.
        of: a class that its value in JSON is read into.
    """
    metadata = {"rule": rule, "key": key, "null": null, "needed": needed, "of": of}
    return field(metadata=metadata) if needed else field(default=None, metadata=metadata)


def figure(rule: Rule, metric: Metric, null: bool = False, needed: bool = False) -> Any:
    """A fact that is a metric, too, under the metric's key."""
    metadata = {"rule": rule, "key": metric.key, "null": null, "needed": needed, "metric": metric, "of": None}
    return field(metadata=metadata) if needed else field(default=None, metadata=metadata)


def key_of(fact: dataclasses.Field[Any]) -> str:
    """In JSON."""
    return fact.metadata["key"] or fact.name


def keys_of(group: type) -> list[str]:
    """In JSON, of all that a group may tell."""
    return [key_of(fact) for fact in dataclasses.fields(group)]


def needed_of(group: type) -> list[str]:
    """In JSON, of what a group tells in any case."""
    return [key_of(fact) for fact in dataclasses.fields(group) if fact.metadata["needed"]]


def rule_of(group: type) -> Rule:
    """For an object in JSON that is one of a group."""
    rules, needed = {key_of(fact): fact.metadata["rule"] for fact in dataclasses.fields(group)}, needed_of(group)
    others = {key: rules[key] for key in rules if key not in needed}
    return record({key: rules[key] for key in needed}, others, others=ANY)


def read(group: type[Group], told: Mapping[str, Any]) -> Group | None:
    """A group of a row, from its JSON; None where that tells nothing of it."""
    found = {
        fact.name: as_told(fact, told[key_of(fact)])
        for fact in dataclasses.fields(group)  # type: ignore[arg-type]
        if key_of(fact) in told
    }
    return group(**found) if found else None


def as_told(fact: dataclasses.Field[Any], value: Any) -> Any:
    """A value of JSON as its field has it."""
    inner = fact.metadata["of"]
    if inner is None or value is None:
        return value
    return [read(inner, each) for each in value] if isinstance(value, list | tuple) else read(inner, value)


def plain(group: Any) -> dict[str, Any]:
    """A group as JSON has it."""
    found = {}
    for fact in dataclasses.fields(group):
        value = getattr(group, fact.name)
        if value is not None or fact.metadata["null"]:
            found[key_of(fact)] = as_json(value)
    return found


def as_json(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return plain(value)
    return [as_json(each) for each in value] if isinstance(value, list | tuple) else value
