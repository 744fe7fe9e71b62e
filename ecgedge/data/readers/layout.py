"""Which column of a table holds the label, and which hold no samples: as the user says, by name, or guessed."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from ecgedge.data.readers.columns import SAY, Columns, Layout, find_column, find_labels
from ecgedge.data.readers.fields import LABEL_NAMES, plain, short
from ecgedge.data.readers.table import Table
from ecgedge.data.readers.values import (
    ENOUGH,
    NO_SAMPLES,
    counts_rows,
    is_constant,
    is_row_number,
    leading_bits,
    like_labels,
    stands_out,
    strays,
    whole_among_fractions,
)
from ecgedge.errors import EcgEdgeError

PATIENTS = ("patient", "patientid", "subject", "subjectid", "record", "recordid", "recordname")  # of ``NO_SAMPLES``


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
            what = "--ignore-column" if group not in both else "--group"
            raise EcgEdgeError(f"{table.where}: {table.call(min(both))} is named by --label-column and {what}", SAY)
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
