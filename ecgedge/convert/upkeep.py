"""Look after the artifact store: list what it holds, find what is damaged, clear what nobody uses."""

from __future__ import annotations

import contextlib
import math
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ecgedge.api.artifact import Artifact
from ecgedge.convert.store import BAD, NEW, RECORD, Damaged, Store, read_entry, sound

KEY = re.compile("[0-9a-f]{64}")  # whatever else lies in the folder is not ours
DAY = 86_400


@dataclass(frozen=True)
class Entry:
    """One folder of the store.

    Attributes:
        artifact: None where the entry is damaged.
        damage: why it cannot be used; empty where it can.
        size_bytes: of all files in it.
        used: when it was last used, in seconds since the epoch.
    """

    key: str
    artifact: Artifact | None
    damage: str
    size_bytes: int
    used: float


@dataclass(frozen=True)
class Removed:
    """What ``prune`` took away, or would: the name of the folder, what it was, why, and its bytes."""

    name: str
    artifact: Artifact | None
    reason: str
    size_bytes: int


def entries(store: Store, whole: bool) -> list[Entry]:
    """All entries, the one used last at the end; ``whole``: the content of each is checked."""
    found = []
    for folder in store.root.iterdir():
        if not KEY.fullmatch(folder.name):
            continue
        try:
            artifact, damage = read_entry(folder, whole), ""
        except Damaged as error:
            artifact, damage = None, str(error)
        if folder.is_dir():  # nobody pruned it in between
            found.append(Entry(folder.name, artifact, damage, bytes_in(folder), last_use(folder)))
    return sorted(found, key=lambda entry: (entry.used, entry.key))


def prune(store: Store, days: float | None, dry_run: bool = False) -> Iterator[Removed]:
    """Remove what is damaged, what dead runs left, and what was not used for so many days; None: everything.

    What another run uses, makes or renews meanwhile stays. Yields each as soon as it is removed.

    Raises:
        OSError: the store cannot be written.
    """
    now = time.time()
    oldest = math.inf if days is None else now - days * DAY
    for folder in sorted(store.root.iterdir()):
        written = modified(folder)
        if folder.name.startswith((NEW, BAD)) and written is not None and written < now - DAY:
            size = bytes_in(folder)
            if not dry_run:
                with contextlib.suppress(FileNotFoundError):  # another prune is at it
                    shutil.rmtree(folder)
            yield Removed(folder.name, None, "left over by a dead run", size)
    for entry in entries(store, whole=True):
        if entry.damage:
            reason, unless = f"damaged: {entry.damage}", sound
        elif entry.used < oldest:
            reason, unless = ago(now - entry.used), lambda folder: last_use(folder) >= oldest
        else:
            continue
        if dry_run or store.remove(entry.key, unless):
            yield Removed(entry.key, entry.artifact, reason, entry.size_bytes)


def ago(seconds: float) -> str:
    return f"last used {max(0, seconds) / DAY:.1f} days ago"


def last_use(folder: Path) -> float:
    """The time of its record, which ``Store.find`` renews; that of the folder where it has none."""
    times = (modified(folder / RECORD), modified(folder))
    return next((at for at in times if at is not None), 0.0)


def modified(path: Path) -> float | None:
    """When it was written; None where it is gone."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return None


def bytes_in(folder: Path) -> int:
    """Of all files; those that go away meanwhile do not count."""
    total = 0
    for file in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            total += file.lstat().st_size if not file.is_dir() else 0
    return total
