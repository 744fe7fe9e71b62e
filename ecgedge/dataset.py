"""Heartbeats: find them, fetch them, read them, check them, draw from them."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from ecgedge.errors import EcgEdgeError
from ecgedge.readers import WAYS_TO_NAME_DATA, read_text
from ecgedge.synthetic import LABELS, draw_beats

ECG5000_DIGEST = "7428d4a5cfe072fb5644ffde24ff35da42ea82a45ea9b6012a350f5128d3a1e9"
ECG5000_URL = "https://www.timeseriesclassification.com/aeon-toolkit/ECG5000.zip"
ECG5000_FILES = ("ECG5000_TRAIN.txt", "ECG5000_TEST.txt")
ECG5000_BEATS = (500, 4500)
CONNECT_SECONDS = 5
READ_SECONDS = 30


@dataclass(frozen=True)
class Split:
    """Beats ``x`` of shape ``(N, 1, L)`` float32 and their class indices ``y`` of shape ``(N,)``."""

    x: np.ndarray
    y: np.ndarray

    def __len__(self) -> int:
        return len(self.y)

    def take(self, index: np.ndarray) -> Split:
        return Split(self.x[index], self.y[index])


@dataclass(frozen=True)
class Dataset:
    """A training and a test split; ``labels[i]`` is what class ``i`` is called in the files."""

    name: str
    train: Split
    test: Split
    labels: tuple[str, ...]
    source: str

    @property
    def length(self) -> int:
        return self.train.x.shape[2]

    @property
    def classes(self) -> int:
        return len(self.labels)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the beats (float32, rounded to 4 decimals) and class indices, both splits."""
        digest = hashlib.sha256()
        for split in (self.train, self.test):
            digest.update(beat_bytes(split.x))
            digest.update(split.y.astype("<i8").tobytes())
        return digest.hexdigest()

    def describe(self) -> str:
        return (
            f"{self.name}, {len(self.train):,} training and {len(self.test):,} test beats of {self.length} samples, "
            f"{self.classes} classes, digest {self.digest[:12]}"
        )


def beat_bytes(x: np.ndarray) -> bytes:
    """Beats as digests see them: float32 rounded to 4 decimals, without negative zeros."""
    return (np.round(x, 4) + 0.0).astype("<f4").tobytes()


def digest_of_beats(x: np.ndarray) -> str:
    """SHA-256 of beats ``(N, 1, L)``."""
    return hashlib.sha256(beat_bytes(x)).hexdigest()


def load(location: str | None = None) -> tuple[Dataset, str]:
    """Find and read a data set.

    Args:
        location: ``"ecg5000"``, ``"synthetic"``, or a path to a folder. None: ``ECGEDGE_DATA`` where
            that is set, else ECG5000 from ``data/ECG5000``, the user cache or the archive, else the
            synthetic beats.

    Returns:
        The data, and a warning for the user (empty where all is as asked).

    Raises:
        EcgEdgeError: a named location is missing or unreadable, or its content is not what it must be.
    """
    named = location or os.environ.get("ECGEDGE_DATA")
    if named and named.lower() == "synthetic":
        return synthetic(), ""
    if named and named.lower() != "ecg5000":
        return read_folder(Path(named)), ""
    try:
        return read_ecg5000(), ""
    except DownloadError as error:
        if named:
            raise
        return synthetic(), f"{error.message}; using the embedded synthetic beats instead ({error.hint})"


class DownloadError(EcgEdgeError):
    """The archive could not be reached or gave something else."""


def read_ecg5000() -> Dataset:
    """ECG5000 from ``ECGEDGE_DATA``, ``data/ECG5000``, the user cache, or a download."""
    named = os.environ.get("ECGEDGE_DATA", "")
    if named.lower() not in ("", "ecg5000", "synthetic"):
        data = read_folder(Path(named))
        if data.name != "ecg5000":
            raise EcgEdgeError(f"ECGEDGE_DATA is {named}, which holds {data.name}, not ecg5000", WAYS_TO_NAME_DATA)
        return data
    folder = local_ecg5000() or download(ECG5000_URL, cache_folder() / "ECG5000")
    return read_folder(folder)


def local_ecg5000() -> Path | None:
    """``data/ECG5000`` or the folder in the user cache, whichever is whole."""
    for folder in (Path("data/ECG5000"), cache_folder() / "ECG5000"):
        if all((folder / name).is_file() for name in ECG5000_FILES):
            return folder
    return None


def cache_folder() -> Path:
    """Where downloads and artifacts are kept: ``ECGEDGE_CACHE`` or the platform's user cache."""
    import platformdirs  # here, since most calls need no cache

    return Path(os.environ.get("ECGEDGE_CACHE") or platformdirs.user_cache_dir("ecgedge", appauthor=False))


def download(url: str, folder: Path) -> Path:
    """Fetch the archive's zip and unpack the two text files into ``folder``, whole or not at all."""
    import logging
    import shutil
    import tempfile

    import pooch  # here, since it brings requests

    pooch.get_logger().setLevel(logging.ERROR)
    fetcher = pooch.HTTPDownloader(progressbar=True, timeout=(CONNECT_SECONDS, READ_SECONDS))
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EcgEdgeError(
            f"the cache {folder.parent} cannot be written: {error.strerror}", "set ECGEDGE_CACHE to another folder"
        ) from error
    try:
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            pooch.retrieve(
                url,
                known_hash=None,  # the zip may be packed anew; the digest of its beats is checked
                path=scratch,
                processor=pooch.Unzip(members=list(ECG5000_FILES), extract_dir="beats"),
                downloader=fetcher,
            )
            read_folder(Path(scratch) / "beats")
            shutil.rmtree(folder, ignore_errors=True)  # what an earlier, incomplete copy left
            (Path(scratch) / "beats").rename(folder)
    except EcgEdgeError as error:
        raise DownloadError(f"{url} did not hold ECG5000: {error.message}", error.hint) from error
    except Exception as error:  # whatever the network, the disk or the zip did
        reason = type(error).__name__
        raise DownloadError(
            f"ECG5000 could not be downloaded ({reason})",
            "set ECGEDGE_DATA to a folder with ECG5000_TRAIN.txt and ECG5000_TEST.txt for the real data",
        ) from error
    return folder


def read_folder(folder: Path) -> Dataset:
    """Read ``NAME_TRAIN.txt`` and ``NAME_TEST.txt``: one beat a line, its label first.

    Raises:
        EcgEdgeError: a file is missing, cut, not numeric, or the beats differ in length; or the files
            are named ECG5000 and do not hold it.
    """
    if not folder.is_dir():
        what = "is a file, not a folder" if folder.exists() else "does not exist"
        raise EcgEdgeError(f"data folder {folder} {what}", WAYS_TO_NAME_DATA)
    found = sorted(folder.glob("*_TRAIN.txt"))
    if not found:
        raise EcgEdgeError(f"no NAME_TRAIN.txt in {folder}", WAYS_TO_NAME_DATA)
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise EcgEdgeError(f"{folder} holds several data sets: {names}", "keep each in a folder of its own")
    name = found[0].name.removesuffix("_TRAIN.txt")
    other = folder / f"{name}_TEST.txt"
    if not other.is_file():
        raise EcgEdgeError(f"{other.name} is missing in {folder}", WAYS_TO_NAME_DATA)
    train, test = read_text(found[0]), read_text(other)
    if train.shape[1] != test.shape[1]:
        raise EcgEdgeError(
            f"beats of {train.shape[1] - 1} samples in {found[0].name}, of {test.shape[1] - 1} in {other.name}",
            "training and test beats must be of one length",
        )
    if name == "ECG5000" and (len(train), len(test)) != ECG5000_BEATS:
        raise not_official(folder, f"{len(train):,} training and {len(test):,} test beats")
    values = np.unique(train[:, 0])
    if strangers := sorted(set(test[:, 0]) - set(values)):
        raise EcgEdgeError(
            f"{other.name} has class {strangers[0]:g}, which no beat of {found[0].name} has",
            "every class needs training beats",
        )
    splits = [Split(rows[:, None, 1:].copy(), np.searchsorted(values, rows[:, 0])) for rows in (train, test)]
    data = Dataset(
        name=name.lower(), train=splits[0], test=splits[1], labels=tuple(f"{v:g}" for v in values), source=str(folder)
    )
    if data.name == "ecg5000" and data.digest != ECG5000_DIGEST:
        raise not_official(folder, f"digest {data.digest[:12]} instead of {ECG5000_DIGEST[:12]}")
    return data


def not_official(folder: Path, what: str) -> EcgEdgeError:
    return EcgEdgeError(
        f"the files in {folder} are not the official ECG5000 split ({what})",
        "fetch them again, or rename them if they were changed on purpose",
    )


def synthetic(seed: int = 0) -> Dataset:
    """The embedded synthetic beats: 500 for training, 4,500 for test.

    For trying things out and for tests: no figure on them says anything about hearts.
    """
    train, test = Split(*draw_beats(500, 2 * seed)), Split(*draw_beats(4500, 2 * seed + 1))
    return Dataset("synthetic", train, test, LABELS, "embedded, drawn from a fitted model")


def stratified(y: np.ndarray, count: int, seed: int) -> np.ndarray:
    """``count`` indices into ``y``, drawn so that each class keeps its share and none is left out.

    Args:
        y: class indices ``(N,)``.
        count: how many to draw; N or more returns all, shuffled.
        seed: of the drawing.

    Returns:
        Shuffled indices ``(min(count, N),)``, without repetition.

    Raises:
        EcgEdgeError: ``count`` is less than the number of classes.
    """
    rng = np.random.default_rng(seed)
    if count >= len(y):
        return rng.permutation(len(y))
    classes, sizes = np.unique(y, return_counts=True)
    if count < len(classes):
        raise EcgEdgeError(f"{count} beats cannot hold {len(classes)} classes", "ask for more beats")
    wanted = sizes * count / len(y)
    takes = np.maximum(np.floor(wanted).astype(int), 1)
    while takes.sum() < count:  # the one furthest below its share
        takes[np.argmin(np.where(takes < sizes, takes - wanted, np.inf))] += 1
    while takes.sum() > count:  # the one furthest above, of those with beats to spare
        takes[np.argmax(np.where(takes > 1, takes - wanted, -np.inf))] -= 1
    picked = [rng.permutation(np.flatnonzero(y == c))[:n] for c, n in zip(classes, takes, strict=True)]
    return rng.permutation(np.concatenate(picked))
