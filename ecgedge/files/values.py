"""Rules for values that records are full of: names, paths, counts, shares."""

from __future__ import annotations

from typing import Any

from ecgedge.files.opening import is_name, is_path
from ecgedge.files.schema import Rule, SchemaError, free, list_of, number, unlike, whole, words

MANY = 1_000_000  # cells, rounds, entries of a list
COUNT = 2**53

WORD, LINE, TEXT = words(300), words(10_000), words(1_000_000)
LABEL = words(1000)

COUNTED, TRIED_COUNT = whole(0, COUNT), whole(1, COUNT)
SHARE = number(least=0, below=1 + 1e-9)
CHANGE = number(least=-1 - 1e-9, below=1 + 1e-9)
POSITIVE = number(least=1e-9, below=1e15)  # times in ns or us, and ratios of such: of less no logarithm can be taken
AMOUNT = number(least=0, below=1e15)
WORDS = list_of(TEXT, MANY)
ANY = free(most=50_000_000)


def name(value: Any, where: str) -> str:
    """What files of a cell are named by."""
    if not is_name(value):
        raise unlike(where, value, "the name of a file")
    return str(value)


def path(value: Any, where: str) -> str:
    """A path within the folder."""
    if not is_path(value):
        raise unlike(where, value, "a path within the folder of the run")
    return str(value)


def either(*rules: Rule) -> Rule:
    """What the first of some rules takes that takes it; what the last one says where none does."""

    def check(value: Any, where: str) -> Any:
        for rule in rules[:-1]:
            try:
                return rule(value, where)
            except SchemaError:
                pass
        return rules[-1](value, where)

    return check
