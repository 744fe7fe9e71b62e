"""The paths in a question or an answer, changed to those of another machine."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

V = TypeVar("V")


def with_paths(value: V, change: Callable[[str, Path], Path], name: str = "") -> V:
    """The same value, each path in it another.

    Args:
        change: from the name of the field that holds a path, ``out`` for what a worker writes, and the path.
    """
    return cast(V, changed(value, change, name))


def changed(value: Any, change: Callable[[str, Path], Path], name: str) -> Any:
    if isinstance(value, Path):
        return change(name, value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = [field.name for field in dataclasses.fields(value)]
        return dataclasses.replace(value, **{each: changed(getattr(value, each), change, each) for each in fields})
    if isinstance(value, Mapping):
        return {key: changed(each, change, name) for key, each in value.items()}
    return tuple(changed(each, change, name) for each in value) if isinstance(value, tuple) else value
