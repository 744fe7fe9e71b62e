"""Names of classes, from a file of the user's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ecgedge.data.readers.columns import Part
from ecgedge.data.readers.dialect import guess, read_lines, split_lines
from ecgedge.data.readers.fields import check_file, order_labels, parse_label, short
from ecgedge.errors import EcgEdgeError
from ecgedge.files import strict_json

WAYS = 'write a name a line, in the order of the labels, or "label,name" lines, or JSON {"label": "name"}'
MOST = 100_000  # lines


@dataclass(frozen=True)
class Names:
    """What classes are to be called.

    Attributes:
        by_label: the name of each label; empty where the file only lists names.
        listed: the names without labels, in the order of these.
    """

    path: Path
    by_label: dict[str, str]
    listed: tuple[str, ...]

    def of(self, labels: Sequence[str]) -> tuple[str, ...]:
        """The names of labels that are in order.

        Raises:
            EcgEdgeError: a label has no name, or there are more or fewer names than labels.
        """
        if self.by_label:
            if lacking := [label for label in labels if label not in self.by_label]:
                raise EcgEdgeError(f"{self.path} has no name for class {short(lacking[0])}", WAYS)
            return tuple(self.by_label[label] for label in labels)
        if len(self.listed) != len(labels):
            told = f"{self.path} has {len(self.listed):,} names, and the beats have {len(labels):,} classes"
            raise EcgEdgeError(told, WAYS)
        return self.listed

    def order(self, labels: Sequence[str]) -> bool:
        """Whether the file lists the labels themselves: then it says in which order they are, and renames none."""
        return len(self.listed) == len(labels) and {*self.listed} == {*labels}


def read_names(path: Path) -> Names:
    """Read a file of names: JSON, or text with a name a line or a label and its name.

    Raises:
        EcgEdgeError: it cannot be read, or says two things of one label.
    """
    check_file(path, most=10_000_000)
    if path.suffix.lower() == ".json":
        return from_json(path)
    numbered = [(number, line) for number, line in enumerate(read_lines(path), 1) if line.strip()][:MOST]
    dialect = guess([line for _, line in numbered])
    lines = list(split_lines(numbered, dialect.separator, str(path)))
    paired = bool(lines) and dialect.separator != " " and all(len(fields) == 2 for _, fields in lines)
    if paired:
        pairs = [(*(parse_label(field, f"{path}, line {number}") for field in fields),) for number, fields in lines]
        return checked(path, [(label, name) for label, name in pairs])
    return Names(path, {}, tuple(parse_label(line, f"{path}, line {number}") for number, line in numbered))


def from_json(path: Path) -> Names:
    try:
        told = strict_json.read(path)
    except (OSError, ValueError) as error:
        raise EcgEdgeError(f"{path} is not JSON that can be read: {short(error, 90)}", WAYS) from error
    if isinstance(told, list) and all(isinstance(each, str) for each in told):
        return Names(path, {}, tuple(parse_label(each, str(path)) for each in told))
    if isinstance(told, dict) and all(isinstance(each, str) for each in told.values()):
        return checked(path, [(parse_label(a, str(path)), parse_label(b, str(path))) for a, b in told.items()])
    raise EcgEdgeError(f"{path} holds neither a list of names nor a name for each label", WAYS)


def checked(path: Path, pairs: Iterable[tuple[str, str]]) -> Names:
    found: dict[str, str] = {}
    for label, name in pairs:
        if found.setdefault(label, name) != name:
            raise EcgEdgeError(f"{path} calls class {short(label)} {short(found[label])} and {short(name)}", WAYS)
    return Names(path, found, ())


def named(parts: Sequence[Part], names: Names) -> tuple[list[Part], tuple[str, ...]]:
    """Parts with the names in place of their labels, and the classes: labels of one name are one class.

    The classes are in the order of their labels, by the first of those that are joined; where the file lists the labels
    themselves, in its order.
    """
    labels = order_labels(label for part in parts for label in part.labels)
    if names.order(labels):
        return list(parts), names.listed
    told = dict(zip(labels, names.of(labels), strict=True))
    renamed = [replace(part, labels=[told[label] for label in part.labels]) for part in parts]
    return renamed, tuple(dict.fromkeys(told.values()))
