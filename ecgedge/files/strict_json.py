"""JSON of strangers: bounded in size, depth and numbers, each key once, and text that UTF-8 can hold."""

from __future__ import annotations

import json
import math
import os
import re
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NoReturn

from ecgedge.errors import EcgEdgeError

MOST_BYTES = 64 * 2**20  # of one document; a journal is one a line
MOST_DEPTH = 64  # containers in each other: ours have up to ten
MOST_INTEGER = 2**64  # nothing that is counted here comes near
SAFE_DEPTH = 1000  # that Python's parser can go down on any stack
TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+(?:"|\Z)|[\[\]{}]', re.DOTALL)  # a text, whole or not, or a bracket
SURROGATE = re.compile(r"\\u[dD][89a-fA-F]|[\ud800-\udfff]")


class JsonError(EcgEdgeError, ValueError):
    """A document that is no JSON, or more than is believed; whoever reads many lines may go on to the next."""


def loads(text: str | bytes, what: str, hint: str = "", most: int = MOST_BYTES) -> Any:
    """Read one JSON document that somebody else may have written.

    Args:
        text: the document; bytes are UTF-8.
        what: it is, for the message: a file's path, or ``"the record of x.onnx"``.
        hint: what to do where it cannot be read, one line.
        most: bytes, or characters, that it may have.

    Raises:
        JsonError: it is not JSON, too long, too deep, has a key twice, an integer beyond 64 bits, a number that is
            not finite (``NaN``, ``1e999``), or text with half of a surrogate pair. It is one line.
    """
    try:
        if not isinstance(text, str | bytes):
            raise ValueError("it is no text")
        if len(text) > most:
            raise ValueError(f"it is longer than {most:,} bytes")
        plain = text.decode("utf-8") if isinstance(text, bytes) else text
        containers_at_most = plain.count("[") + plain.count("{")
        if containers_at_most > SAFE_DEPTH:  # a library may have raised the limit that keeps the parser's stack
            check_brackets(plain)
        value = json.loads(
            plain, object_pairs_hook=once, parse_constant=no_constant, parse_float=finite, parse_int=bounded
        )
        if containers_at_most > MOST_DEPTH:  # else it cannot be deeper
            check_depth(value)
        if SURROGATE.search(plain):
            check_text(value)
    except RecursionError:
        raise JsonError(f"{what} cannot be read: it is nested too deeply", hint) from None
    except ValueError as error:
        raise JsonError(f"{what} cannot be read: {reason(error)}", hint) from error
    return value


def read(path: Path, hint: str = "", most: int = MOST_BYTES) -> Any:
    """Read a file as ``loads`` does. A pipe or a device is not waited for.

    Raises:
        JsonError: as for ``loads``; or it is no regular file.
        OSError: it cannot be opened.
    """
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    with open(descriptor, "rb") as file:  # noqa: PTH123 - what is open already is looked at, not a path anew
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise JsonError(f"{path} cannot be read: it is no regular file", hint)
        return loads(file.read(most + 1), str(path), hint, most)


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose keys differ."""
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a key is in it twice")
    return made


def no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:20]} is no finite number")
    return value


def bounded(text: str) -> int:
    if len(text) > len(str(MOST_INTEGER)) or abs(value := int(text)) > MOST_INTEGER:
        raise ValueError(f"an integer of {len(text):,} digits")
    return value


def check_brackets(plain: str) -> None:
    """Raise RecursionError where brackets are nested more deeply than ``SAFE_DEPTH``, before anything is parsed."""
    depth = 0
    for token in TOKEN.finditer(plain):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(token[0], 0)
        if depth > SAFE_DEPTH:
            raise RecursionError


def check_depth(value: Any) -> None:
    """Raise ValueError where containers are nested more deeply than ``MOST_DEPTH``."""
    level, depth = containers([value]), 0
    while level:
        depth += 1
        if depth > MOST_DEPTH:
            raise ValueError(f"it is nested more than {MOST_DEPTH} levels deep")
        level = [inner for each in level for inner in containers(each.values() if isinstance(each, dict) else each)]


def containers(values: Iterable[Any]) -> list[Any]:
    return [value for value in values if isinstance(value, dict | list)]


def check_text(value: Any) -> None:
    """Raise ValueError where a string has half of a surrogate pair, which no file and no terminal takes."""
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError("its text has half of a surrogate pair") from None


def reason(error: ValueError) -> str:
    """One line of an error: what is not JSON, or not UTF-8, and where."""
    if isinstance(error, UnicodeDecodeError):
        return f"byte {error.start:,} is not UTF-8"
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg}, line {error.lineno} column {error.colno}"
    return str(error)
