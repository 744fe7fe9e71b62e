"""Which column of a table holds the label, and which hold no samples: as the user says, by name, or guessed."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ecgedge.data.readers.fields import LABEL_NAMES, plain, short
from ecgedge.data.readers.table import Table
from ecgedge.errors import EcgEdgeError

SAY = "say --label-column NAME|N|last, and --ignore-column NAME|N for each that holds no samples"
ROW_NUMBERS = ("", "unnamed0", "index", "idx", "row", "rownames", "rowid", "id", "no", "nr", "beat", "beatid")
NO_SAMPLES = (  # what columns are called that are neither label nor samples, as ``plain`` has it
    "id", "index", "idx", "row", "rowid", "beat", "beatid", "patient", "patientid", "subject", "subjectid", "record",
    "recordid", "recordname", "fold", "split", "age", "sex", "gender", "lead", "time", "timestamp", "file", "filename",
)  # fmt: skip
PATIENTS = ("patient", "patientid", "subject", "subjectid", "record", "recordid", "recordname")  # of these
ENOUGH = 4  # lines from which the values of a column tell anything
ONE_HOT = 8  # lines from which columns of 0 and 1 that sum to 1 are no chance


@dataclass(frozen=True)
class Columns:
    """What the user says of the columns of a table, and of leads. None and empty: nothing.

    It is true where something is said of columns.

    Attributes:
        label: the one that holds the label: its name, its number from 1 (``:1`` is never a name), or ``last``; or those
            of a label in one-hot form, as ``N,S,V`` or ``6-8``.
        ignore: those that hold neither label nor samples, likewise.
        leads: those that are wanted, each by its name or its number from 1, in that order; empty: all.
        layout: of arrays with three axes, ``"NCL"`` or ``"NLC"``; None: it is told from their shape.
        group: the one that holds the patient, or whatever else must not be in both parts.
        labels: a file with the labels of beats that are in a file without them, an ``.npy``.
        classes: a file with the names of the classes, as ``ecgedge.data.readers.names`` reads it.
        known: no word of the user's, but the labels of a model, of which several may hold: where beats without labels
            are read, columns that are called so hold no samples.
    """

    label: str | None = None
    ignore: tuple[str, ...] = ()
    leads: tuple[str, ...] = ()
    layout: str | None = None
    group: str | None = None
    labels: str | None = None
    classes: str | None = None
    known: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        said = (self.label, self.group, self.labels, self.classes)
        return bool(self.ignore) or any(each is not None for each in said)

    def describe(self) -> str:
        """What was said, as a data set's source has it."""
        said = [
            ("label in column", self.label), ("label file", self.labels),
            *(("without column", each) for each in self.ignore),
            ("patients in column", self.group), ("class names of", self.classes),
        ]  # fmt: skip
        return ", ".join(f"{what} {which}" for what, which in said if which is not None)

    def options(self) -> list[str]:
        """The options that name columns, of those that were given."""
        said = {"--label-column": self.label, "--ignore-column": self.ignore or None, "--group": self.group}
        return [option for option, value in said.items() if value is not None]


@dataclass(frozen=True)
class Layout:
    """What each column of a table is, by its index from 0.

    Attributes:
        names: of all columns; empty where the table has no header.
        label_told: the label's column, as an error calls it.
        asked: whether the user named it.
        told: what was found and guessed, in one line.
        one_hot: the columns of a label in one-hot form, of which ``label`` is the first; empty for any other.
        group: the column of the patient; None where none was named.
    """

    width: int
    names: tuple[str, ...]
    label: int
    samples: tuple[int, ...]
    label_told: str
    asked: bool
    told: str
    one_hot: tuple[int, ...] = ()
    group: int | None = None


@dataclass(frozen=True)
class Part:
    """Beats of one file, or of one part of it.

    Attributes:
        labels: N words.
        x: beats ``(N, C, L)`` float32 of C leads.
        layout: of the table that they were in; None where they were in none.
        leads: what they are called, C names; empty where the file does not say.
        told: how the axes of an array were told; empty where there was nothing to tell.
        groups: the patient of each beat, N words; None where that is not known.
        recipe: how the beats were cut from records, as ``ecgedge.data.records`` writes it; empty for any others.
        bits: of labels in a column each, which each beat has, ``(N, K)`` int64 of 0 and 1; None for any others.
        bit_names: what the K labels are called; empty with ``bits`` None.
    """

    labels: list[str]
    x: np.ndarray
    layout: Layout | None = None
    leads: tuple[str, ...] = ()
    told: str = ""
    groups: list[str] | None = None
    recipe: str = ""
    bits: np.ndarray | None = None
    bit_names: tuple[str, ...] = ()

    @property
    def several(self) -> bool:
        """Whether several labels hold for a beat, or none."""
        return self.bits is not None and bool((self.bits.sum(axis=1) != 1).any())


def refuse_columns(path: Path, asked: Columns, label: str) -> None:
    """Raise EcgEdgeError where the user names columns of a file that has none; ``label``: where it has its label."""
    if named := asked.options():
        raise EcgEdgeError(f"{path} is no table: {named[0]} has no place, {label}", f"leave {named[0]} out")


def find_column(said: str, option: str, names: Sequence[str], width: int, where: str) -> int:
    """The index from 0 of the column that the user names.

    Raises:
        EcgEdgeError: there is none, or what was said means two.
    """
    text = said.strip()
    named = [index for index, name in enumerate(names) if name.strip() == text]
    named = named or [index for index, name in enumerate(names) if name.strip().lower() == text.lower()]
    counted = text.removeprefix(":")
    number = int(counted) - 1 if re.fullmatch("[0-9]{1,9}", counted) else width - 1 if text.lower() == "last" else None
    if number is not None and not 0 <= number < width:
        number = None
    found = sorted({*(named if not text.startswith(":") else []), *([] if number is None else [number])})
    if len(found) > 1:
        told = " and ".join(f"column {index + 1}" for index in found[:3])
        raise EcgEdgeError(f"{where}: {option} {said} means {told}", f"say its number, as in {option} :{found[0] + 1}")
    if not found:
        has = f"the columns {', '.join(short(name) for name in names[:3])}, ... " if names else "columns without names"
        raise EcgEdgeError(
            f"{where}: no column {said[:40]!r} ({option}); it has {has.rstrip()}, {width} in all",
            "name one by its name, by its number from 1, or as last",
        )
    return found[0]


def find_labels(said: str, names: Sequence[str], width: int, where: str) -> tuple[int, ...]:
    """The indices from 0 of the columns that the user names as the label: several are one in one-hot form.

    Raises:
        EcgEdgeError: as ``find_column``; or one is named twice.
    """
    known = {name.strip().lower() for name in names}
    each = [word.strip() for word in said.split(",")] if said.strip().lower() not in known else [said]
    if len(each) == 1 and each[0].lower() not in known and (span := re.fullmatch("([0-9]{1,6})-([0-9]{1,6})", each[0])):
        each = [f":{number}" for number in range(int(span[1]), int(span[2]) + 1)][: width + 1] or each
    found = tuple(find_column(one, "--label-column", names, width, where) for one in each)
    if len({*found}) < len(found):
        raise EcgEdgeError(f"{where}: --label-column {said} names a column twice", "name each column once")
    return found


def lay_out(table: Table, asked: Columns) -> Layout:
    """Which column of a table is what.

    Raises:
        EcgEdgeError: that cannot be told; says what to ask for.
    """
    if len(table.lines) == 1 and not table.names and not np.isfinite(table.values).any():
        raise EcgEdgeError(
            f"{table.where}: its one line holds no number", "it needs a line for each beat, below a header"
        )
    ignored = {find_column(each, "--ignore-column", table.names, table.width, table.where) for each in asked.ignore}
    group = None
    if asked.group is not None:
        group = find_column(asked.group, "--group", table.names, table.width, table.where)
        ignored.add(group)
    label, how = None, ""
    labels: tuple[int, ...] = ()
    if asked.label is not None:
        labels = find_labels(asked.label, table.names, table.width, table.where)
        if both := ignored & {*labels}:
            what = "the label, and to be ignored" if group not in both else "the label, and that of the patients"
            raise EcgEdgeError(f"{table.where}: {table.call(min(both))} is {what}", SAY)
    else:
        labels = named_one_hot(table, [index for index in range(table.width) if index not in ignored])
        how = ", guessed from its columns" if labels else ""
    if labels:
        label = labels[0]
    rest = [index for index in range(table.width) if index not in ignored and index not in labels]
    numbering = 0 if rest and rest[0] == 0 and is_row_number(table, 0) else None
    if numbering is not None:
        rest.remove(0)
    if label is None:
        check_one_label(table, rest)
        label, how = find_label(table, rest)
    counted = numbering is None and rest[:1] == [0] and label != 0 and not table.names and counts_rows(table, 0)
    if label is None and counted:
        label, how = find_label(table, rest[1:])
    if counted and label is not None:  # without another label the numbers are that: a class a beat
        numbering = 0
    if label is None:
        label, how = by_convention(table, rest)
    rest = [index for index in rest if index not in (label, numbering)]
    one_hot = labels if len(labels) > 1 else ()
    if one_hot:
        check_one_hot(table, one_hot)
    check_samples(table, rest, label)
    left_out = [f"{table.call(numbering)} holds row numbers and is left out"] if numbering is not None else []
    if whole := whole_among_fractions(table, rest):
        called = table.call(whole[0])
        if asked.label is None:
            raise EcgEdgeError(
                f"{table.where}: {called} holds whole numbers alone, as no sample beside it does; the label was "
                f"guessed to be {table.call(label)}",
                f"--ignore-column {whole[0] + 1} leaves it out, --group {whole[0] + 1} makes it the patients; to read "
                f"it as a sample, say --label-column {label + 1}",
            )
        left_out.append(f"{called} holds whole numbers alone and is read as a sample")
    if len(rest) > 1 and rest[0] < label and is_constant(table, rest[0]) and len(table.values) >= ENOUGH:
        left_out.append(f"{table.call(rest[0])} is the same in every line and read as a sample")
    several = len(labels) > 1 and is_several(table, labels)
    kind = "several may hold" if several else "one-hot"
    where = f"columns {label + 1} to {labels[-1] + 1} ({kind})" if one_hot else table.call(label)
    if group is not None:
        left_out.append(f"patients in {table.call(group)}")
    told = [table.describe(), f"label{'s' * several} in {where}{how}", *left_out]
    return Layout(
        table.width,
        tuple(table.names),
        label,
        tuple(rest),
        where,
        asked.label is not None,
        "; ".join(told),
        one_hot,
        group,
    )


def named_one_hot(table: Table, rest: Sequence[int]) -> tuple[int, ...]:
    """The columns at an end of a table that are a label in one-hot form, by their names and values.

    Empty where there are none, or where another column is called a label.
    """
    if any(table.names and plain(table.names[index]) in LABEL_NAMES for index in rest):
        return ()
    odd = {*strays(table, rest)}
    for block in (leading_bits(table, rest), leading_bits(table, rest[::-1])[::-1]):
        if len(block) > 1 and odd >= {*block}:
            return tuple(block)
    return ()


def check_one_label(table: Table, columns: Sequence[int]) -> None:
    """Raise EcgEdgeError where columns at an end are together like a label in one-hot form: one alone is none."""
    if any(table.names and plain(table.names[index]) in LABEL_NAMES for index in columns):
        return
    for block in (leading_bits(table, columns), leading_bits(table, columns[::-1])[::-1]):
        if len(block) > 1:
            raise looks_one_hot(table, block)


def looks_one_hot(table: Table, block: Sequence[int]) -> EcgEdgeError:
    return EcgEdgeError(
        f"{table.where}: columns {block[0] + 1} to {block[-1] + 1} look like a label in one-hot form",
        f"--label-column {block[0] + 1}-{block[-1] + 1} reads them so; --ignore-column leaves each out",
    )


def check_one_hot(table: Table, labels: tuple[int, ...]) -> None:
    """Raise EcgEdgeError where the columns are no labels in a column each: they hold 0 and 1 alone."""
    bits = table.values[:, list(labels)]
    wrong = ~np.isin(bits, (0, 1)).all(axis=1)
    if wrong.any():
        number = table.lines[int(np.flatnonzero(wrong)[0])][0]
        raise EcgEdgeError(
            f"{table.where}, {table.unit} {number}: the columns of the label hold {short(bits[wrong][0].tolist())}",
            "labels in a column each are 0 or 1: a single 1 where a beat has one class, any number where several hold",
        )


def is_several(table: Table, labels: Sequence[int]) -> bool:
    """Whether the labels in these columns are such that several hold for a beat, or none."""
    return bool(labels) and bool((table.values[:, list(labels)].sum(axis=1) != 1).any())


def bits_of(table: Table, layout: Layout) -> tuple[np.ndarray, tuple[str, ...]]:
    """Which labels the beats of a table have ``(N, K)``, and what they are called: as their columns, or by number."""
    columns = list(layout.one_hot)
    called = [table.names[index].strip() if table.names else str(at) for at, index in enumerate(columns)]
    return table.values[:, columns].astype(np.int64), tuple(called)


def find_label(table: Table, rest: list[int]) -> tuple[int | None, str]:
    """The one column of ``rest`` that can be the label, and how that is known; None where none stands out.

    Raises:
        EcgEdgeError: several could be.
    """
    named = [index for index in rest if table.names and plain(table.names[index]) in LABEL_NAMES]
    if len(named) == 1:
        return named[0], ""
    words = [index for index in rest if table.is_words(index)]
    others = [index for index in rest if index not in words]
    odd = [index for index in strays(table, others) if plain(table.names[index]) not in NO_SAMPLES]
    ends = [index for index in (others[0], others[-1]) if stands_out(table, index, others)] if others else []
    found = named or sorted({*words, *(index for index in odd if like_labels(table, index)), *ends})
    if len(found) > 1:
        told = ", ".join(map(table.call, found[:4])) + (", ..." if len(found) > 4 else "")
        bits = all(not table.is_words(index) and np.isin(table.values[:, index], (0, 1)).all() for index in found)
        joined = ",".join(table.names[index].strip() if table.names else str(index + 1) for index in found[:4])
        joined += ",..." if len(found) > 4 else ""
        more = f"; --label-column {joined} takes all, where a beat may have several or none" if bits else ""
        raise EcgEdgeError(f"{table.where}: {len(found)} columns could hold the label: {told}", SAY + more)
    if not found:
        return None, ""
    return found[0], ", the only one of words" if words else ", guessed from its values"


def by_convention(table: Table, rest: list[int]) -> tuple[int, str]:
    """The first column, where nothing speaks against it.

    Raises:
        EcgEdgeError: the values of the first or last column could be labels, or samples.
    """
    if not rest:
        raise EcgEdgeError(f"{table.where}: no column is left for the label", SAY)
    if len(rest) > 1 and len(table.values) >= ENOUGH:
        if any(like_labels(table, index) for index in (rest[0], rest[-1])):
            told = f"{table.call(rest[0])} or {table.call(rest[-1])}"
            raise EcgEdgeError(f"{table.where}: is the label in {told}? All hold few whole numbers", SAY)
        if is_constant(table, rest[0]):
            value = table.column(rest[0])[0]
            raise EcgEdgeError(
                f"{table.where}: {table.call(rest[0])} holds {short(value)} in every line: the label, or a sample?", SAY
            )
    return rest[0], ", guessed: the first"


def check_samples(table: Table, samples: list[int], label: int) -> None:
    """Raise EcgEdgeError for columns that are left as samples and cannot be such."""
    present = [index for index in samples if not table.is_blank(index)]
    if wordy := [index for index in present if table.is_words(index)]:
        fields = [field for field in table.column(wordy[0]) if field]
        raise EcgEdgeError(
            f"{table.where}: {table.call(wordy[0])} holds words ({short(fields[0], 20)}), and the label is in "
            f"{table.call(label)}",
            f"--ignore-column {wordy[0] + 1} leaves it out; --label-column NAME|N|last names another label"
            + of_patients(table, wordy[0]),
        )
    for block in (leading_bits(table, samples), leading_bits(table, samples[::-1])[::-1]):
        if len(block) > 1:
            raise looks_one_hot(table, block)
    if odd := strays(table, samples):
        raise stray(table, odd[0])


def stray(table: Table, index: int, labelled: bool = True) -> EcgEdgeError:
    """That a column is named as no sample is; ``labelled``: what is read has labels."""
    name = wordless(table, index)
    hint = f"--ignore-column {name} leaves it out" + (f", --label-column {name} makes it the label" if labelled else "")
    hint += of_patients(table, index) if labelled else ""
    return EcgEdgeError(f"{table.where}: {table.call(index)} is not named as samples are", hint)


def of_patients(table: Table, index: int) -> str:
    """What else a hint says of a column that is called as patients are."""
    if not table.names or plain(table.names[index]) not in PATIENTS:
        return ""
    return f"; --group {wordless(table, index)} keeps the beats of each patient on one side"


def wordless(table: Table, index: int) -> str:
    """A column as the user can name it in a shell without quotes."""
    name = table.names[index].strip() if table.names else ""
    unique = sum(other.strip().lower() == name.lower() for other in table.names) == 1
    return name if unique and re.fullmatch(r"[A-Za-z][\w.-]*", name) and name.lower() != "last" else str(index + 1)


def strays(table: Table, columns: Sequence[int]) -> list[int]:
    """The columns of numbers whose names are not like those of the samples (``s0``, ``s1``, ...), or are known."""
    if not table.names:
        return []
    stems = {index: re.sub(r"[0-9]+$", "", table.names[index].strip()) for index in columns}
    numbered = [index for index in columns if stems[index] != table.names[index].strip()]
    stem, count = Counter(stems[index] for index in numbered).most_common(1)[0] if numbered else ("", 0)
    pattern = count >= 3 and 2 * count > len(columns)
    return [
        index
        for index in columns
        if plain(table.names[index]) in NO_SAMPLES
        or (pattern and not (index in numbered and stems[index] == stem))
    ]  # fmt: skip


def distinct(table: Table, index: int) -> int:
    """How many values a column has."""
    return len(np.unique(table.values[:, index]))


def is_whole(table: Table, index: int) -> bool:
    """Whether a column holds whole numbers alone."""
    values = table.values[:, index]
    return bool(len(values)) and bool((np.isfinite(values) & (values == np.round(values))).all())


def is_constant(table: Table, index: int) -> bool:
    return is_whole(table, index) and distinct(table, index) == 1


def like_labels(table: Table, index: int) -> bool:
    """Whether a column holds two classes or more, in whole numbers or words, of two beats or more on average."""
    fields = table.column(index)
    values = table.values[:, index]
    numbers = values[np.isfinite(values)]
    count = distinct(table, index) if len(numbers) == len(fields) else len(set(fields))
    return 2 <= count <= len(fields) / 2 and bool((numbers == np.round(numbers)).all())


def stands_out(table: Table, index: int, columns: Sequence[int]) -> bool:
    """Whether a column is like labels, and most of the others are not: they hold fractions, or far more values."""
    if not like_labels(table, index):
        return False
    inner = [other for other in columns if other not in (columns[0], columns[-1], index)]
    values = [distinct(table, other) if is_whole(table, other) else math.inf for other in inner]
    return bool(values) and 2 * distinct(table, index) <= float(np.median(values))


def is_row_number(table: Table, index: int) -> bool:
    """Whether a column numbers the rows: it is called so, or has no name where others have; none comes twice."""
    if not table.names or plain(table.names[index]) not in ROW_NUMBERS or not any(table.names[1:]):
        return False
    if plain(table.names[index]) in ("", "unnamed0"):  # what was drawn from a larger table keeps its numbers
        return is_whole(table, index) and distinct(table, index) == len(table.lines)
    return counts_rows(table, index)


def whole_among_fractions(table: Table, samples: Sequence[int]) -> list[int]:
    """The first and last samples of a table without a header that hold whole numbers, where most hold fractions.

    Of 0 and 1 alone are the ends of many a beat that was brought between these.
    """
    if table.names or len(table.values) < ONE_HOT or len(samples) < ENOUGH:
        return []
    if 2 * sum(is_whole(table, index) for index in samples) > len(samples):
        return []
    ends = (samples[0], samples[-1])
    return [index for index in ends if is_whole(table, index) and np.ptp(table.values[:, index]) > 1]


def counts_rows(table: Table, index: int) -> bool:
    """Whether a column holds 0, 1, 2, ... or 1, 2, 3, ..."""
    values = table.values[:, index]
    return len(values) >= ENOUGH and values[0] in (0, 1) and bool((np.diff(values) == 1).all())


def leading_bits(table: Table, samples: Sequence[int]) -> list[int]:
    """The first of these columns that hold 0 and 1 alone, where exactly one of them is 1 in every line."""
    values = table.values
    if len(values) < ONE_HOT:
        return []
    block: list[int] = []
    for index in samples:
        if not np.isin(values[:, index], (0, 1)).all():
            break
        block.append(index)
    hot = 1 < len(block) < len(samples) and (values[:, block].sum(axis=1) == 1).all()
    return block if hot and values[:, block].any(axis=0).all() else []
