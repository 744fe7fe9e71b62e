"""Which files of a folder belong together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ecgedge.data.readers.fields import WAYS_TO_NAME_DATA, short
from ecgedge.data.readers.npy import is_beside
from ecgedge.data.readers.split import SUFFIXES
from ecgedge.errors import EcgEdgeError

TRAIN, TEST = "_TRAIN", "_TEST"


@dataclass(frozen=True)
class Files:
    """The files of one data set; without ``test`` the beats of ``train`` are all there are."""

    name: str
    train: Path
    test: Path | None

    def called(self, source: str) -> str:
        """The name of the data set, in small letters; an ``x.npy`` has that of its folder, or of the zip it was in."""
        if self.name.lower() != "x" or self.train.suffix.lower() != ".npy":
            return self.name.lower()
        place = Path(source).absolute()
        return (place.parent if place.suffix.lower() == ".npy" else place).stem.lower() or "x"


def find_in_folder(folder: Path) -> Files:
    """``NAME_TRAIN`` and ``NAME_TEST`` in a folder, or its only file of beats.

    Of several suffixes the first in the order of ``SUFFIXES`` is taken that both parts have.

    Raises:
        EcgEdgeError: there is none, or there are several data sets.
    """
    files = files_in(folder)
    names = {name_of(path, TRAIN) for path in files if is_part(path, TRAIN)}
    if not names:
        lone = [path for path in files if not is_part(path, TEST)]
        if len({path.stem for path in lone}) == 1:
            return Files(lone[0].stem, min(lone, key=rank), None)
        if not lone:
            raise EcgEdgeError(f"no NAME_TRAIN.txt in {folder} (or {', '.join(SUFFIXES[1:])})", WAYS_TO_NAME_DATA)
        names = {path.stem for path in lone}
    if len(names) > 1:
        listed = ", ".join(map(short, sorted(names)[:4])) + (", ..." if len(names) > 4 else "")
        raise EcgEdgeError(f"{folder} holds several data sets: {listed}", "keep each in a folder of its own")
    return join(files, names.pop())


def find_beside(path: Path) -> Files:
    """The data set of one file: ``NAME_TRAIN`` with the ``NAME_TEST`` beside it, any other file alone."""
    if not is_part(path, TRAIN):
        return Files(path.stem, path, None)
    name = name_of(path, TRAIN)
    beside = files_in(path.parent)
    tests = sorted((other for other in beside if is_part(other, TEST) and name_of(other, TEST) == name), key=rank)
    same = [other for other in tests if other.suffix == path.suffix]
    return Files(name, path, next(iter(same + tests), None))


def join(files: list[Path], name: str) -> Files:
    trains = sorted((path for path in files if is_part(path, TRAIN) and name_of(path, TRAIN) == name), key=rank)
    tests = sorted((path for path in files if is_part(path, TEST) and name_of(path, TEST) == name), key=rank)
    for train in trains:
        for test in tests:
            if train.suffix.lower() == test.suffix.lower():
                return Files(name, train, test)
    return Files(name, trains[0], tests[0] if tests else None)


def files_in(folder: Path) -> list[Path]:
    """The files of beats in a folder; those that only hold labels or names of leads are none."""
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file())
    return [path for path in files if not is_beside(path)]


def is_part(path: Path, part: str) -> bool:
    """Whether a file's name ends in ``part``, ``_TRAIN`` or ``_TEST``, or in that in small letters."""
    return path.stem.endswith((part, part.lower())) or (
        path.suffix.lower() == ".npy" and path.stem.lower().endswith(part.lower())
    )


def name_of(path: Path, part: str) -> str:
    """The name of a data set by that of one of its parts."""
    return path.stem[: -len(part)]


def rank(path: Path) -> int:
    return SUFFIXES.index(path.suffix.lower())
