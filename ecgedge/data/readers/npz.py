"""NumPy's ``.npz``: arrays ``x`` and ``y``, or ``x_train``, ``y_train``, ``x_test`` and ``y_test``."""

from __future__ import annotations

import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from ecgedge.data.readers.bits import called_by
from ecgedge.data.readers.columns import Columns, Layout, Part, refuse_columns
from ecgedge.data.readers.fields import BIGGEST, WAYS_TO_NAME_DATA, parse_group, parse_label, short, unreadable
from ecgedge.data.readers.leads import check_names, in_leads, names_beside
from ecgedge.errors import EcgEdgeError

NAMES = "it needs the arrays x and y, or x_train, y_train, x_test and y_test"
PAIR = ("x_train", "y_train", "x_test", "y_test")
GROUPS = ("groups", "group", "patients", "patient_ids", "subjects", "records")  # that may name the patients
RECIPE = "recipe"  # the array that says how the beats were cut from records
CLASSES = "classes"  # the array that may name the classes of labels in one-hot form
LEADS = ("leads", "lead_names", "sig_name", "channels")  # arrays that may name the leads


def read_npz(path: Path, asked: Columns, _: Layout | None = None) -> Part:
    """Read the beats ``x`` ``(N, L)``, ``(N, C, L)`` or ``(N, L, C)`` and their labels ``y`` ``(N,)``.

    What the leads are called stands in an array ``leads`` of C words, or in a ``leads.txt`` beside the file; the
    patient of each beat in ``groups`` (N,), or the array that ``--group`` names.

    Raises:
        EcgEdgeError: no such arrays, or their types, shapes or values cannot be beats and labels; or the user
            names columns.
    """
    refuse_columns(path, replace(asked, group=None), "its labels are the array y")
    arrays = load(path)
    if "x" not in arrays or "y" not in arrays:
        raise EcgEdgeError(f"{path} holds {', '.join(map(short, list(arrays)[:4])) or 'no array'}", NAMES)
    part = beats_of(path, arrays, "x", "y", lead_names(path, arrays), asked.layout)
    return with_groups(path, arrays, part, asked.group, "")


def read_npz_pair(path: Path, asked: Columns) -> list[Part]:
    """Training and test part, each as ``read_npz`` has it; empty where the file holds one part only."""
    refuse_columns(path, replace(asked, group=None), "its labels are arrays")
    arrays = load(path)
    if not all(name in arrays for name in PAIR):
        return []
    names = lead_names(path, arrays)
    return [
        with_groups(
            path, arrays, beats_of(path, arrays, f"x_{each}", f"y_{each}", names, asked.layout), asked.group, f"_{each}"
        )
        for each in ("train", "test")
    ]


def with_groups(path: Path, arrays: dict[str, np.ndarray], part: Part, asked: str | None, end: str) -> Part:
    """The beats with the patient of each, and how they were cut, where the file says so.

    Args:
        asked: the array of the patients as the user names it; None: one of ``GROUPS``, if there is one.
        end: ``_train`` or ``_test`` of a file with both parts.

    Raises:
        EcgEdgeError: there is no such array, or it does not name a patient for each beat.
    """
    names = (asked.lower(),) if asked else GROUPS
    found = next((name + end for name in names if name + end in arrays), None)
    if asked and found is None:
        told = ", ".join(map(short, list(arrays)[:6]))
        raise EcgEdgeError(f"{path} has no array {asked[:40]}{end} (--group); it has {told}", "name one of these")
    recipe = arrays.get(RECIPE)
    cut = str(recipe) if recipe is not None and recipe.ndim == 0 and recipe.dtype.kind == "U" else ""
    if found is None:
        return replace(part, recipe=cut)
    groups = arrays[found]
    if groups.dtype.kind not in "iuUS" or groups.shape != (len(part.labels),) or beyond_unicode(groups) is not None:
        told = f"{path}: {found} of type {short(groups.dtype)} and shape {short(groups.shape)} names no patients"
        raise EcgEdgeError(told, "a word or a whole number for each beat")
    words = [parse_group(word, f"{path}, {found}, beat {number}") for number, word in enumerate(words_of(groups), 1)]
    return replace(part, groups=words, recipe=cut)


def lead_names(path: Path, arrays: dict[str, np.ndarray]) -> tuple[str, ...]:
    """What the leads are called; empty where nothing says so. Raises EcgEdgeError where they cannot be names."""
    for name in LEADS:
        found = arrays.get(name)
        if found is not None and found.ndim == 1 and found.dtype.kind in "US":
            if beyond_unicode(found) is not None:
                raise EcgEdgeError(f"{path}, {name}: no text", "the file is damaged; write it again")
            return check_names(words_of(found), f"{path}, {name}")
    return names_beside(path)


def words_of(y: np.ndarray) -> list[str]:
    """The entries ``(N,)`` of an array as words."""
    return [v.decode("utf-8", "surrogateescape") if isinstance(v, bytes) else str(v) for v in y.tolist()]


def load(path: Path) -> dict[str, np.ndarray]:
    """The arrays by their names in small letters."""
    try:
        with zipfile.ZipFile(path) as file:
            total = sum(entry.file_size for entry in file.infolist())
        if total > BIGGEST:
            raise EcgEdgeError(f"{path} unpacks to {total:,} bytes", f"up to {BIGGEST:,} are read")
        with np.load(path, allow_pickle=False) as arrays:
            return {name.lower(): np.asarray(arrays[name]) for name in arrays.files}
    except OSError as error:
        raise unreadable(path, error) from error
    except EcgEdgeError:
        raise
    except Exception as error:  # zip and array headers may be damaged in any way
        reason = short(" ".join(str(error).split()), 90) if str(error) else type(error).__name__
        raise EcgEdgeError(f"{path} is not an npz file that can be read: {reason}", NAMES) from error


def beats_of(
    path: Path,
    arrays: dict[str, np.ndarray],
    x_name: str,
    y_name: str,
    names: tuple[str, ...] = (),
    layout: str | None = None,
) -> Part:
    """The beats and labels of two arrays; ``names`` and ``layout`` as for ``in_leads``."""
    x, y = arrays[x_name], arrays[y_name]
    if x.dtype.kind not in "fiu":
        raise EcgEdgeError(f"{path}: {x_name} is of type {short(x.dtype)}", "beats must be numbers")
    if y.dtype.kind not in "fiubUS":
        raise EcgEdgeError(f"{path}: {y_name} is of type {short(y.dtype)}", "labels must be numbers or words")
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    bits, called, how = bits_of(y, arrays.get(CLASSES), f"{path}: {y_name}")
    if bits is not None:
        y = np.array([called_by(each, called) for each in bits], np.str_)
    if x.ndim not in (2, 3, 4) or (x.ndim == 4 and 1 not in x.shape[1:]) or y.shape != x.shape[:1]:
        raise EcgEdgeError(
            f"{path}: {x_name} of shape {short(x.shape)}, {y_name} of shape {short(arrays[y_name].shape)}",
            "they must be (beats, samples), (beats, leads, samples) or (beats, samples, leads), and (beats,)",
        )
    if not x.size:
        raise EcgEdgeError(f"{path} is empty", WAYS_TO_NAME_DATA)
    x, told = in_leads(x, f"{path}: {x_name}", names, layout)
    with np.errstate(over="ignore", invalid="ignore"):  # too large for float32 becomes inf, which is told below
        x = x.astype(np.float32)
    wrong = np.argwhere(~np.isfinite(x))
    if len(wrong):
        beat, lead, sample = (int(value) for value in wrong[0])
        of_lead = f"lead {lead + 1}, " if x.shape[1] > 1 else ""
        raise EcgEdgeError(
            f"{path}, {x_name}, beat {beat + 1}, {of_lead}column {sample + 1}: {x[beat, lead, sample]:g} is not a "
            "finite number",
            "every sample must be a number; remove or repair the beat",
        )
    if (odd := beyond_unicode(y)) is not None:
        raise EcgEdgeError(f"{path}, {y_name}, beat {odd + 1}: no text", "the file is damaged; write it again")
    labels = [parse_label(word, f"{path}, {y_name}, beat {i}") for i, word in enumerate(words_of(y), 1)]
    words = tuple(parse_label(word, f"{path}, the names of the labels") for word in called)
    how = "; ".join(filter(None, (told, how)))
    return Part(labels, np.ascontiguousarray(x), None, names, how, bits=bits, bit_names=words)


def bits_of(y: np.ndarray, names: np.ndarray | None, where: str) -> tuple[np.ndarray | None, tuple[str, ...], str]:
    """Which of K labels each beat has ``(N, K)``, what they are called, and how that was read; None of other labels.

    Args:
        names: of the K labels; None or others than K: they are called 0, 1, 2, ...

    Raises:
        EcgEdgeError: a value is neither 0 nor 1.
    """
    if y.ndim != 2 or y.shape[1] < 2 or y.dtype.kind not in "fiub":
        return None, (), ""
    bits = y.astype(np.float64)
    wrong = ~np.isin(bits, (0, 1)).all(axis=1)
    if wrong.any():
        beat = int(np.flatnonzero(wrong)[0])
        raise EcgEdgeError(
            f"{where}, beat {beat + 1}: {short(y[beat].tolist())} holds no labels in a column each",
            "0 or 1: a single 1 where a beat has one class, any number where several labels hold",
        )
    several = bool((bits.sum(axis=1) != 1).any())
    what = f"{y.shape[1]} labels of which several may hold" if several else "labels in one-hot form, of"
    told = f"{where}: {what}" if several else f"{where}: {what} {y.shape[1]} classes"
    is_named = names is not None and names.shape == (y.shape[1],) and names.dtype.kind in "US"
    if is_named and beyond_unicode(names) is None:  # type: ignore[arg-type]
        return bits.astype(np.int64), tuple(words_of(names)), told  # type: ignore[arg-type]
    told += f"{',' * several} that are called by their number from 0"
    return bits.astype(np.int64), tuple(map(str, range(y.shape[1]))), told


def beyond_unicode(y: np.ndarray) -> int | None:
    """The first label ``(N,)`` with a code that is no character; NumPy would make a broken ``str`` of it."""
    if y.dtype.kind != "U" or not y.dtype.itemsize:
        return None
    codes = np.ascontiguousarray(y).view(np.dtype("u4").newbyteorder(y.dtype.byteorder)).reshape(len(y), -1)
    wrong = np.flatnonzero((codes > sys.maxunicode).any(axis=1))
    return int(wrong[0]) if len(wrong) else None
