"""The ``.ts`` format of aeon and sktime: headers that begin with ``@``, then ``v,v,v:label`` lines.

A beat of several leads is ``v,v,v:v,v,v:label``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ecgedge.data.readers.columns import Columns, Layout, Part, refuse_columns
from ecgedge.data.readers.fields import ONE_LENGTH, lines_of, parse_label, parse_numbers, short, stack, unreadable
from ecgedge.errors import EcgEdgeError, counted

KNOWN = "only labelled beats of one length and no time stamps are read"
REFUSED = {  # what a header may not say, by its name in small letters
    ("timestamps", "true"): "its series have time stamps",
    ("equallength", "false"): "its series differ in length",
    ("classlabel", "false"): "its series have no labels",
    ("targetlabel", "true"): "its series have values to predict, not classes",
}


def read_ts(path: Path, asked: Columns, _: Layout | None = None) -> Part:
    """Read a ``.ts`` file.

    Raises:
        EcgEdgeError: with the line (and column) of what is wrong, missing or not supported; or the user names columns.
    """
    refuse_columns(path, asked, "its labels stand behind a colon")
    labels: list[str] = []
    rows: list[np.ndarray] = []
    known: set[str] = set()
    in_data = is_single = False
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape") as file:
            for number, line in enumerate(lines_of(file, path), 1):
                line, where = line.strip(), f"{path}, line {number}"
                if not line or line.startswith("#"):
                    continue
                if not in_data:
                    words = line.split()
                    in_data = words[0].lower() == "@data"
                    is_single |= [word.lower() for word in words] == ["@univariate", "true"]
                    known |= read_header(words, where)
                    continue
                label, row = read_beat(line, where)
                if known and label not in known:
                    raise EcgEdgeError(f"{where}: {short(label)} is not in @classLabel", "add it, or correct the label")
                if is_single and len(row) > 1:
                    raise EcgEdgeError(f"{where}: {len(row)} leads, and @univariate is true", "mend the header")
                if rows and len(row) != len(rows[0]):
                    raise EcgEdgeError(
                        f"{where}: {counted(len(row), 'lead')} where the first beat has {len(rows[0])}", ONE_LENGTH
                    )
                if rows and row.shape != rows[0].shape:
                    raise EcgEdgeError(
                        f"{where}, column {min(row.shape[1], rows[0].shape[1]) + 1}: {row.shape[1]} samples "
                        f"where the first beat has {rows[0].shape[1]}",
                        ONE_LENGTH,
                    )
                labels.append(label)
                rows.append(row)
    except OSError as error:
        raise unreadable(path, error) from error
    if not in_data:
        raise EcgEdgeError(f"{path} has no @data line", "a .ts file has headers, then @data, then beats")
    return Part(labels, stack(rows, path))


def read_header(words: list[str], where: str) -> set[str]:
    """The labels that a header line lists (none for other headers). Raises EcgEdgeError where it cannot be read."""
    if not words[0].startswith("@"):
        raise EcgEdgeError(f"{where}: {short(words[0])} before @data", "headers begin with @, comments with #")
    name, value = words[0][1:].lower(), words[1].lower() if len(words) > 1 else ""
    if reason := REFUSED.get((name, value)):
        raise EcgEdgeError(f"{where}: {reason}", KNOWN)
    return {parse_label(word, where) for word in words[2:]} if name == "classlabel" else set()


def read_beat(line: str, where: str) -> tuple[str, np.ndarray]:
    """The label and the samples ``(C, L)`` of a line: those of each lead parted by commas, all parted by colons."""
    *leads, label = line.split(":")
    if not leads:
        raise EcgEdgeError(f"{where}: no label", KNOWN)
    fields = [[field.strip() for field in lead.split(",")] for lead in leads]
    if len({len(each) for each in fields}) > 1:
        told = " and ".join(str(len(each)) for each in fields[:2])
        raise EcgEdgeError(f"{where}: leads of {told} samples", "the leads of a beat must be of one length")
    rows = [parse_numbers(each, where, range(1, len(each) + 1)) for each in fields]
    return parse_label(label, where), np.stack(rows)
