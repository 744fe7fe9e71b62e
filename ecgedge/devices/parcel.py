"""The package as it travels to a board: a zip, known by its digest, that an interpreter with numpy alone can run."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ecgedge.devices import launch

STAYS = ("audit", "bundle", "choose", "cli", "compare", "report", "run", "testing", "tracking", "training", "weights")
GUEST = "pluggy"  # all that ecgedge imports beside numpy, and plain Python
MADE = (1980, 1, 1, 0, 0, 0)  # of each file, so that the same files are the same zip


@dataclass(frozen=True)
class Parcel:
    """What travels.

    Attributes:
        digest: SHA-256 of the content.
    """

    content: bytes
    digest: str


@cache
def parcel() -> Parcel:
    """Pack what a worker imports; the first that runs is ``launch.py``, as in a child on this machine."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        for name, path in sorted(travelling()):
            file.writestr(zipfile.ZipInfo(name, MADE), path.read_bytes(), zipfile.ZIP_DEFLATED)
    return Parcel(out.getvalue(), hashlib.sha256(out.getvalue()).hexdigest())


def travelling() -> Iterator[tuple[str, Path]]:
    """The files of the zip by their names there."""
    ours = Path(launch.__file__).parents[1]
    spec = importlib.util.find_spec(GUEST)
    assert spec and spec.origin
    yield "__main__.py", Path(launch.__file__)
    for folder in (ours, Path(spec.origin).parent):
        for path in folder.rglob("*.py"):
            inside = path.relative_to(folder)
            if folder != ours or inside.parts[0] not in STAYS:
                yield f"{folder.name}/{inside.as_posix()}", path
