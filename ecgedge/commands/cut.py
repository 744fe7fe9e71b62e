"""``ecgedge data cut``: records in, a data set out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ecgedge.errors import EcgEdgeError
from ecgedge.files.locks import whole_file
from ecgedge.files.notices import note

if TYPE_CHECKING:
    from ecgedge.data.records import Left, Recipe, Record, Way


@dataclass(frozen=True)
class Cutting:
    """What was cut.

    Attributes:
        records: how many.
        counts: beats or segments of each class.
        leads: their names.
        length, rate: samples of a beat or segment, and samples a second.
        left: what was left out and why; empty where nothing was.
    """

    records: int
    counts: Mapping[str, int]
    leads: tuple[str, ...]
    length: int
    rate: float
    left: str


@dataclass(frozen=True)
class OfRecord:
    """The beats of one record: ``x`` ``(N, C, L)``, its classes and times in seconds, N each."""

    name: str
    x: np.ndarray
    labels: tuple[str, ...]
    seconds: np.ndarray


def cut(
    records: Sequence[Path],
    out: Path,
    recipe: Recipe,
    *,
    classes: Mapping[str, str] | None = None,
    test: Sequence[str] = (),
    subjects: Mapping[str, str] | None = None,
) -> Cutting:
    """Cut beats or segments from records, and write them as a data set: an ``.npz`` with its recipe.

    Args:
        records: their paths.
        classes: of each record by its name, where annotations do not tell them.
        test: names of records that are the test part; empty: whoever reads the data set splits it.
        subjects: whose a record is; one that is not named is of a person of its own.

    Raises:
        EcgEdgeError: a record cannot be read or cut, has another rate or other leads than those before, or nothing is
            found in them.
    """
    from ecgedge.data.records import Left, open_record, way_of

    left = Left()
    found: list[OfRecord] = []
    leads: tuple[str, ...] = ()
    rate = 0.0
    for path in records:
        record = open_record(path)
        for told in record.told:
            note(told)
        way = way_of(record, recipe)
        names = way.names(record)
        if found and (names, way.chain.rate_out) != (leads, rate):
            raise unlike(record.name, names, way.chain.rate_out, leads, rate)
        leads, rate = names, way.chain.rate_out
        found.append(cut_one(record, way, left, classes))
    if unknown := [name for name in test if name not in {each.name for each in found}]:
        raise EcgEdgeError(f"--test names {unknown[0]}, which is not among the records", "name records that are there")
    check_found(found, left)
    arrays = arrays_of(found, frozenset(test), subjects or {})
    arrays |= {"leads": np.array(leads), "rate": np.array(rate), "recipe": np.array(recipe.as_json())}
    with whole_file(out, "wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
    counts = Counter(label for each in found for label in each.labels)
    return Cutting(len(found), dict(sorted(counts.items())), leads, found[0].x.shape[2], rate, left.tell())


def cut_one(record: Record, way: Way, left: Left, classes: Mapping[str, str] | None) -> OfRecord:
    """The beats of a record, all at once."""
    from ecgedge.data.records import pieces

    if classes is not None and record.name not in classes:
        raise EcgEdgeError(f"no class is told for record {record.name}", "add it to the file, or leave the record out")
    of_all = classes[record.name] if classes is not None else None
    found = list(pieces(record, way, left, of_all))
    x = np.concatenate([np.zeros((0, len(way.leads), way.length), np.float32), *(piece.x for piece in found)])
    at = np.concatenate([np.zeros(0, np.int64), *(piece.at for piece in found)])
    return OfRecord(record.name, x, tuple(label for piece in found for label in piece.labels), at / record.rate)


def arrays_of(found: Sequence[OfRecord], test: frozenset[str], subjects: Mapping[str, str]) -> dict[str, np.ndarray]:
    """The arrays of the data set, by their names in the file."""
    if not test:
        return part_of(found, subjects, "")
    parts = [each for each in found if each.name not in test], [each for each in found if each.name in test]
    if not all(parts):
        raise EcgEdgeError("--test leaves no record to train on", "name some of the records only")
    return part_of(parts[0], subjects, "_train") | part_of(parts[1], subjects, "_test")


def part_of(found: Sequence[OfRecord], subjects: Mapping[str, str], end: str) -> dict[str, np.ndarray]:
    groups = [subjects.get(each.name, each.name) for each in found for _ in each.labels]
    return {
        f"x{end}": np.concatenate([each.x for each in found]),
        f"y{end}": np.array([label for each in found for label in each.labels]),
        f"groups{end}": np.array(groups),
        f"seconds{end}": np.concatenate([each.seconds for each in found]),
    }


def check_found(found: Sequence[OfRecord], left: Left) -> None:
    """Raise EcgEdgeError where nothing was found."""
    if not any(len(each.x) for each in found):
        names = ", ".join(each.name for each in found[:3])
        why = f" ({left.tell()})" if left.tell() else ""
        raise EcgEdgeError(
            f"nothing could be cut from {names}{why}", "look at the record's annotations, or find beats with --detect"
        )


def unlike(name: str, leads: Sequence[str], rate: float, before: Sequence[str], rate_before: float) -> EcgEdgeError:
    if rate != rate_before:
        told = f"{name} has {rate:g} samples a second, the records before {rate_before:g}"
        return EcgEdgeError(told, "bring all to one rate with --resample RATE")
    told = f"{name} has the leads {', '.join(leads)}, the records before {', '.join(before)}"
    return EcgEdgeError(told[:280], "name leads that all of them have with --leads NAME,...")
