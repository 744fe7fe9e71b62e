"""Dataclasses as JSON, and strictly back: what is read is of the declared types, or one line says where it is not."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from ecgedge.files.schema import SchemaError, shown, unlike

NAMES = {str: "text", int: "a whole number", float: "a number", bool: "true or false", type(None): "null"}


def plain(value: Any) -> Any:
    """Turn a value into what ``json.dumps`` takes; ``read`` gives it back."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    return [plain(each) for each in value] if isinstance(value, list | tuple) else value


def known(value: Any) -> dict[str, Any]:
    """Turn a dataclass into a plain object, without those of its fields that are None."""
    return {key: each for key, each in plain(value).items() if each is not None}


def read(kind: Any, value: Any, where: str = "") -> Any:
    """Read a value of JSON as one of a declared type.

    Args:
        kind: a dataclass, ``str``, ``int``, ``float``, ``bool``, ``None``, ``Path``, ``Any``, a ``Literal``, a tuple, a
            ``Mapping`` by text or whole numbers, or a union of these.
        where: the value stands, for the message.

    Raises:
        SchemaError: the value is of another type, a field is missing, or one is there that is not declared.
    """
    if kind is Any:
        return value
    kind = type(None) if kind is None else kind
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        return read_fields(kind, value, where)
    if kind is Path:
        return Path(read(str, value, where))
    if kind is float and type(value) is int:
        return float(value)
    if kind in NAMES:
        if type(value) is not kind:
            raise unlike(where, value, NAMES[kind])
        return value
    return read_generic(get_origin(kind), get_args(kind), value, where)


def read_fields(kind: Any, value: Any, where: str) -> Any:
    """Read an object as a dataclass; fields with a default may be missing."""
    if not isinstance(value, dict):
        raise unlike(where, value, "an object")
    inside, declared = f"{where}." if where else "", types_of(kind)
    if strange := value.keys() - declared.keys():
        raise SchemaError(f"{where or 'it'} has the key {shown(min(strange))}, known are {', '.join(declared)}")
    for field in dataclasses.fields(kind):
        has_default = field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING
        if field.name not in value and not has_default:
            raise SchemaError(f"{inside}{field.name} is missing")
    return kind(**{name: read(declared[name], each, inside + name) for name, each in value.items()})


@cache
def types_of(kind: Any) -> dict[str, Any]:
    """The types of a dataclass's fields by their names."""
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}


def read_generic(origin: Any, inner: tuple[Any, ...], value: Any, where: str) -> Any:
    """Read what is put together of other types."""
    if origin is Literal:
        if value not in inner:
            raise unlike(where, value, f"one of {', '.join(map(str, inner))}")
        return value
    if origin in (Union, types.UnionType):
        return read_union(inner, value, where)
    if origin is tuple:
        if not isinstance(value, list):
            raise unlike(where, value, "a list")
        each = inner[:1] * len(value) if inner[1:] == (...,) else inner
        if len(each) != len(value):
            raise unlike(where, value, f"a list of {len(each)}")
        return tuple(read(one, entry, f"{where}[{i}]") for i, (one, entry) in enumerate(zip(each, value, strict=True)))
    if origin is Mapping:
        if not isinstance(value, dict):
            raise unlike(where, value, "an object")
        return {
            read_key(inner[0], key, where): read(inner[1], entry, f"{where}[{shown(key)}]")
            for key, entry in value.items()
        }
    raise TypeError(f"{origin} of {inner} is declared, which JSON cannot be read as")


def read_union(kinds: tuple[Any, ...], value: Any, where: str) -> Any:
    """Read a value as the first of some types that takes it as it is; the message is that of the last but None."""
    plainly = next((kind for kind in kinds if type(value) is kind), None)
    if plainly is not None:
        return value
    others = [kind for kind in kinds if kind is not type(None)]
    for kind in others[:-1]:
        try:
            return read(kind, value, where)
        except SchemaError:
            continue
    return read(others[-1], value, where)


def read_key(kind: Any, key: str, where: str) -> Any:
    """Read the key of an object; whole numbers stand there as text."""
    if kind is not int:
        return key
    try:
        return int(key)
    except ValueError:
        raise SchemaError(f"{where} has the key {shown(key)}, not a whole number") from None
