"""A run that is gone on with: what was asked for then, found again, and whether it would measure the same."""

from __future__ import annotations

import dataclasses
import os
import stat
from collections.abc import Container
from pathlib import Path
from typing import Any

from ecgedge.errors import EcgEdgeError
from ecgedge.run.request import MatrixRequest

NEAR = "data/ECG5000"  # where data is found that nobody named


def asked_then(request: MatrixRequest, models: Container[str]) -> MatrixRequest:
    """What a run was asked for; files are named as they were then, from where that was.

    Args:
        models: names that are no folders.

    Raises:
        EcgEdgeError: a name leads to a pipe or a device.
    """
    place, data = Path(request.place), request.data
    if data and data.lower() not in ("synthetic", "ecg5000"):
        data = named_from(place, data)
    elif not data and not os.environ.get("ECGEDGE_DATA") and (place / NEAR).is_dir():
        data = named_from(place, NEAR)
    folders, files = (
        tuple(each if each in models else named_from(place, each) for each in names)
        for names in (request.models, request.files)
    )
    labels, names, brought = (
        file and named_from(place, file) for file in (request.label_file, request.class_names, request.brought)
    )
    return dataclasses.replace(request, data=data, models=folders, files=files, label_file=labels, class_names=names,
                               brought=brought)  # fmt: skip


def named_from(place: Path, name: str) -> str:
    """A file or folder by its name in the folder ``place``, as it can be found from here."""
    path = place / name if place.is_absolute() else Path(name)
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):  # whoever opens it tells what is wrong
        return name
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise EcgEdgeError(f"{path} is neither a file nor a folder", "the run names it as a model or as its data")
    return str(path)


def check_same(known: dict[str, Any], now: dict[str, Any], folder: Path) -> None:
    """Raise EcgEdgeError where a run cannot go on, since what it measures is no longer the same."""
    for key, what in (
        ("data_digest", "the data"),
        ("sources", "a model"),
        ("cells", "what can run here"),
        ("skips", "what cannot run here"),
        ("versions", "a library"),
        ("environments", "a library in an environment of its own"),
        ("precisions", "what a part declares of a precision"),
    ):
        then, today = known.get(key, {}), now[key]  # older runs know not all of these
        if then != today:
            raise EcgEdgeError(
                f"{folder} cannot be resumed: {what} has changed ({difference(then, today)})",
                "bring it back as it was, or start a new run",
            )
    was, there = known.get("boards", {}), now.get("boards", {})
    for name in {**was, **there}:
        board, today = was.get(name, {}), there.get(name, {})
        for part in ("cpu", "emulated", "libraries"):
            if board.get(part) != today.get(part):
                told = difference({part: board.get(part)}, {part: today.get(part)})
                raise EcgEdgeError(f"{folder} cannot be resumed: board {name} has changed ({told})",
                                   "bring it back as it was, or start a new run")  # fmt: skip
    for part in ("cpu", "gpu"):
        then = known["machine"].get(part, now["machine"][part])  # older runs know no GPU
        if then != now["machine"][part]:
            raise EcgEdgeError(f"{folder} was measured on {then or f'no {part}'}", "start a new run on this machine")


def difference(old: Any, new: Any) -> str:
    """The first thing that differs, in words."""
    if isinstance(old, dict):
        name = next(name for name in {**old, **new} if old.get(name) != new.get(name))
        if isinstance(old.get(name), dict) and isinstance(new.get(name), dict):
            return f"{name}, {difference(old[name], new[name])}"
        return f"{name}: {str(old.get(name))[:12]} then, {str(new.get(name))[:12]} now"
    if isinstance(old, list):
        odd = next(iter(set(old) ^ set(new)), "their order")
        return f"{odd} {'then' if odd in old else 'now'} only"
    return f"{str(old)[:12]} then, {str(new)[:12]} now"
