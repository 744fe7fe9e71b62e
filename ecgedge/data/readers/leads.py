"""Which axis of an array holds the leads, what they are called, and which of them are wanted."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ecgedge.api.tensors import MOST_LEADS
from ecgedge.data.readers.fields import short
from ecgedge.errors import EcgEdgeError, counted

LONGEST_NAME = 40
NAMES_FILE = "leads.txt"
LAYOUTS = ("NCL", "NLC")
SAY_LAYOUT = "say --layout NCL (beats, leads, samples) or --layout NLC (beats, samples, leads)"


def in_leads(x: np.ndarray, where: str, names: Sequence[str] = (), layout: str | None = None) -> tuple[np.ndarray, str]:
    """An array of beats as ``(N, C, L)``, C its leads.

    Args:
        x: ``(N, L)``, ``(N, C, L)`` or ``(N, L, C)``; an axis more, of size 1, as of (N, C, 1, L), is taken out.
        where: the file and the array, as errors call them.
        names: of the leads; empty: not known.
        layout: ``"NCL"`` or ``"NLC"`` where the user says it; None: it is told from the shape.

    Returns:
        The beats, and how their axes were told; empty where there was nothing to tell.

    Raises:
        EcgEdgeError: it has too few or too many axes, none of the size that the names ask for, or it cannot be told
            which axis is which.
    """
    shape = x.shape
    if x.ndim == 4 and 1 in shape[1:]:
        x = x.squeeze(1 + shape[1:].index(1))
    if x.ndim == 2 and not layout:
        x = x[:, None]
    if x.ndim != 3:
        told = (
            f"--layout {layout}" if layout and x.ndim == 2 else "beats are (beats, samples) or (beats, leads, samples)"
        )
        hint = "leave --layout out: it is one lead" if layout and x.ndim == 2 else "reshape it so"
        raise EcgEdgeError(f"{where} of shape {short(shape)}: {told}", hint)
    axis = leads_axis(x.shape[1:], where, names, layout)
    found = x if axis == 1 else x.transpose(0, 2, 1)
    leads, length = found.shape[1:]
    if names and len(names) != leads:
        raise EcgEdgeError(
            f"{where} of shape {short(shape)}: {counted(leads, 'lead')}, and {counted(len(names), 'name')} for them",
            SAY_LAYOUT,
        )
    called = f" ({', '.join(names)})" if names else ""
    return found, f"{where} of shape {shape}: {leads} leads{called} of {length} samples" if leads > 1 else ""


def leads_axis(sizes: tuple[int, ...], where: str, names: Sequence[str], layout: str | None) -> int:
    """Which axis of (beats, A, B) holds the leads, 1 or 2, by ``sizes``, which are A and B.

    It is the one that the user says; else the only one of size 1; else that of as many as there are names; else the one
    of ``MOST_LEADS`` at most, where the other is longer.

    Raises:
        EcgEdgeError: that tells nothing.
    """
    if layout:
        return 1 if layout == "NCL" else 2
    if 1 in sizes:
        return 1 + sizes.index(1)
    if names:
        fits = [1 + axis for axis, size in enumerate(sizes) if size == len(names)]
        if not fits:
            told = f"{where}: {counted(len(names), 'name')} of leads, and {sizes[0]} by {sizes[1]} values a beat"
            raise EcgEdgeError(told, f"it needs a name for each lead ({names[0]}, ...), no more and no fewer")
        if len(fits) == 1:
            return fits[0]
    few = [1 + axis for axis, size in enumerate(sizes) if size <= MOST_LEADS]
    if len(few) != 1:
        told = f"{where}: {sizes[0]} leads of {sizes[1]} samples, or {sizes[1]} leads of {sizes[0]}?"
        raise EcgEdgeError(told, SAY_LAYOUT)
    return few[0]


def check_names(names: Sequence[str], where: str) -> tuple[str, ...]:
    """The names of leads, without blanks around them. Raises EcgEdgeError where one is none, or comes twice."""
    found = tuple(name.strip() for name in names)
    for name in found:
        if not name or len(name) > LONGEST_NAME or not name.isprintable() or "," in name:
            told = f"{where}: {short(name) if name else 'nothing'} is no name of a lead"
            raise EcgEdgeError(told, f"a name has 1 to {LONGEST_NAME} printable characters, and no comma")
    if twice := [name for name, count in Counter(name.lower() for name in found).items() if count > 1]:
        raise EcgEdgeError(f"{where}: two leads are called {short(twice[0])}", "name each lead once")
    return found


def names_beside(path: Path) -> tuple[str, ...]:
    """The names in the ``leads.txt`` that lies beside a file, parted by commas or lines; empty where there is none.

    Raises:
        EcgEdgeError: it cannot be read, or holds no such names.
    """
    file = path.with_name(NAMES_FILE)
    if not file.is_file():
        return ()
    try:
        with file.open(encoding="utf-8-sig", errors="surrogateescape") as source:
            text = source.read(100_000)
    except OSError as error:
        raise EcgEdgeError(f"{file} cannot be read: {error.strerror}", "repair or delete it") from error
    return check_names([word for word in re.split(r"[,\n]", text) if word.strip()], str(file))


def pick_leads(wanted: Sequence[str], names: Sequence[str], leads: int, of: str) -> list[int]:
    """The indices from 0 of the leads that the user wants, in that order.

    Args:
        wanted: each by its name, or its number from 1 (``:1`` is never a name).
        names: of all leads; empty: they have none.
        of: whose leads these are, for the error.

    Raises:
        EcgEdgeError: there is no such lead, or it is wanted twice.
    """
    found: list[int] = []
    for word in wanted:
        named = [i for i, name in enumerate(names) if name == word]
        named = named or [i for i, name in enumerate(names) if name.lower() == word.lower()]
        counted = word.removeprefix(":")
        number = int(counted) - 1 if re.fullmatch("[0-9]{1,9}", counted) else -1
        index = named[0] if named else number
        if not 0 <= index < leads:
            has = ", ".join(names) if names else ("1, its only one" if leads == 1 else f"1 to {leads}, without names")
            told = f"{of} has no lead {word[:40]!r}: it has {has}"
            raise EcgEdgeError(told, f"name them in --leads by name or number, or in a {NAMES_FILE} beside the data")
        if index in found:
            raise EcgEdgeError(f"--leads names lead {word[:40]} twice", "name each lead once")
        found.append(index)
    return found
