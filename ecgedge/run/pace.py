"""How long a matrix takes: as long as its models took here before, or for want of that by a rule."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ecgedge.errors import EcgEdgeError
from ecgedge.files import strict_json, typed_json
from ecgedge.files.cache import cache_folder
from ecgedge.files.locks import whole_file
from ecgedge.files.schema import SchemaError
from ecgedge.plan.plan import Cell

START = 15.0  # seconds until everything is imported that converts
RULE = {"quick": 3.0, "full": 8.0}  # seconds a cell, its conversions among them, of the shipped models on two cores
MOST = 200  # models of which it is kept
Paces = Mapping[str, Mapping[str, float]]  # seconds a cell, by profile and model


@dataclass(frozen=True)
class Kept:
    """What earlier runs took."""

    seconds_a_cell: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Expected:
    """How long cells may take.

    Attributes:
        seen: whether all of their models were measured here before, in that profile.
    """

    seconds: float
    seen: bool


def expected(cells: Sequence[Cell], profile: str) -> Expected:
    """How long cells may take in a profile."""
    known = read().get(profile, {})
    seen = all(cell.model in known for cell in cells)
    return Expected(sum(known.get(cell.model, RULE[profile]) for cell in cells) + (0 if seen else START), seen)


def keep(model: str, profile: str, seconds: float) -> None:
    """Keep how long a cell of a model took; a cache that cannot be written keeps nothing."""
    paces = {name: dict(each) for name, each in read().items()}
    of_profile = paces.setdefault(profile, {})
    of_profile.pop(model, None)
    of_profile[model] = round(seconds, 2)
    for name in [*of_profile][:-MOST]:
        del of_profile[name]
    with contextlib.suppress(OSError, EcgEdgeError), whole_file(file(), "w", encoding="utf-8") as out:
        out.write(json.dumps(typed_json.plain(Kept(paces)), indent=1) + "\n")


def read() -> Paces:
    """What is kept; nothing where it cannot be read."""
    with contextlib.suppress(OSError, UnicodeError, strict_json.JsonError, SchemaError):
        kept: Kept = typed_json.read(Kept, strict_json.loads(file().read_text(encoding="utf-8"), str(file())))
        return kept.seconds_a_cell
    return {}


def file() -> Path:
    return cache_folder() / "paces.json"
