"""Data sets: found, fetched, read from files, checked, and split where they have no test part."""

from __future__ import annotations

import os
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from ecgedge.data.dataset import Dataset, Split, with_leads
from ecgedge.data.drawing import strata, stratified
from ecgedge.data.fetch import DownloadError, download
from ecgedge.data.normalizing import normalized
from ecgedge.data.patients import halves
from ecgedge.data.readers import (
    ANY_COLUMNS,
    SUFFIXES,
    WAYS_TO_NAME_DATA,
    Columns,
    Files,
    Part,
    check_classes,
    check_labels,
    find_beside,
    find_in_folder,
    named,
    order_labels,
    read_names,
    read_pair,
    read_part,
    renamed,
    unpack,
)
from ecgedge.data.records.opening import EDF, is_record
from ecgedge.data.synthetic import LABELS, draw_beats
from ecgedge.errors import EcgEdgeError
from ecgedge.files.cache import cache_folder

ECG5000_DIGEST = "7428d4a5cfe072fb5644ffde24ff35da42ea82a45ea9b6012a350f5128d3a1e9"
ECG5000_URL = "https://www.timeseriesclassification.com/aeon-toolkit/ECG5000.zip"
ECG5000_FILES = ("ECG5000_TRAIN.txt", "ECG5000_TEST.txt")
ECG5000_BEATS = (500, 4500)
SPLIT_SEED = 0


def load(location: str | None = None, normalize: bool = False, columns: Columns = ANY_COLUMNS) -> tuple[Dataset, str]:
    """Find and read a data set.

    Args:
        location: ``"ecg5000"``, ``"synthetic"``, or a path to a folder, a file or a zip. None:
            ``ECGEDGE_DATA`` where that is set, else ECG5000 from ``data/ECG5000``, the user cache or the
            archive, else the synthetic beats.
        normalize: z-normalise each beat, after all checks of what was read.
        columns: what the user says of the columns of a table, and of leads: which are wanted, and where they lie.

    Returns:
        The data, and a warning for the user (empty where all is as asked).

    Raises:
        EcgEdgeError: a named location is missing or unreadable, or its content is not what it must be.
    """
    data, warning = find(location or os.environ.get("ECGEDGE_DATA"), columns)
    data = with_leads(data, columns.leads)
    return (normalized(data) if normalize else data), warning


def find(named: str | None, columns: Columns) -> tuple[Dataset, str]:
    """As ``load``, once the environment was asked, and as the files have it."""
    if named and named.lower() not in ("synthetic", "ecg5000"):
        return read_path(Path(named), columns)
    if columns:
        raise EcgEdgeError(
            f"{columns.describe()}: {named or 'ecg5000'} has no columns to choose",
            "leave the columns out, or name a table with --dataset",
        )
    if columns.layout:
        raise EcgEdgeError(f"{named or 'ecg5000'} holds no array: --layout has no place", "leave --layout out")
    if named and named.lower() == "synthetic":
        return synthetic(), ""
    try:
        return read_ecg5000(), ""
    except DownloadError as error:
        if named:
            raise
        return synthetic(), f"{error.message}; using the embedded synthetic beats instead ({error.hint})"


def read_ecg5000() -> Dataset:
    """ECG5000 from ``ECGEDGE_DATA``, ``data/ECG5000``, the user cache, or a download."""
    named = os.environ.get("ECGEDGE_DATA", "")
    if named.lower() not in ("", "ecg5000", "synthetic"):
        data, _ = read_path(Path(named))
        if data.name != "ecg5000":
            raise EcgEdgeError(f"ECGEDGE_DATA is {named}, which holds {data.name}, not ecg5000", WAYS_TO_NAME_DATA)
        return data
    folder = local_ecg5000()
    return read_folder(folder) if folder else fetch_ecg5000(ECG5000_URL)[0]


def local_ecg5000() -> Path | None:
    """``data/ECG5000`` or the folder in the user cache, whichever is whole."""
    for folder in (Path("data/ECG5000"), cache_folder() / "ECG5000"):
        if all((folder / name).is_file() for name in ECG5000_FILES):
            return folder
    return None


def fetch_ecg5000(url: str | None = None) -> tuple[Dataset, bool]:
    """ECG5000 in the user cache, checked; downloaded where it is not there, is damaged, or a ``url`` is named.

    Returns:
        The data, and whether it was downloaded now.

    Raises:
        EcgEdgeError: as ``download`` in ``ecgedge.data.fetch`` has it.
    """
    folder = cache_folder() / "ECG5000"
    if url is None:
        try:
            return read_folder(folder), False
        except EcgEdgeError:  # not there, or damaged
            pass
    return read_folder(download(url or ECG5000_URL, folder, ECG5000_FILES, read_folder)), True


def read_folder(folder: Path) -> Dataset:
    """The data set of a folder, as ``read_path`` has it, without the warning."""
    if folder.is_file():
        raise EcgEdgeError(f"data folder {folder} is a file, not a folder", WAYS_TO_NAME_DATA)
    return read_path(folder)[0]


def read_path(path: Path, columns: Columns = ANY_COLUMNS) -> tuple[Dataset, str]:
    """Read a folder, a file or a zip.

    ``NAME_TRAIN`` and ``NAME_TEST`` of any suffix in ``SUFFIXES`` are the two splits. Beats without a test
    part are split in halves here: at random with a fixed seed, stratified by class.

    Returns:
        The data, and a warning where the split was made here (else empty).

    Raises:
        EcgEdgeError: files are missing, cut or not numeric, or the beats differ in length; they have more classes
            than beats can carry, or it cannot be told which column holds them; or the files are named ECG5000 and
            do not hold it.
    """
    try:
        if is_record(path) or (path.is_dir() and holds_records(path)):
            what = "holds records" if path.is_dir() else "is a record"
            told = f"ecgedge data cut {path} --annotation atr -o beats.npz, then name that"
            raise EcgEdgeError(f"{path} {what}, which are no beats yet", told)
        if path.is_dir():
            return read_files(find_in_folder(path), str(path), columns)
        if not path.exists():
            raise EcgEdgeError(f"data folder {path} does not exist", WAYS_TO_NAME_DATA)
        if path.suffix.lower() == ".zip":
            return read_zip(path, columns)
        return read_files(find_beside(path), str(path), columns)
    except OSError as error:
        raise EcgEdgeError(f"{path} cannot be read: {error.strerror}", WAYS_TO_NAME_DATA) from error


def holds_records(folder: Path) -> bool:
    """Whether a folder holds WFDB or EDF records, and no files of beats."""
    suffixes = {each.suffix.lower() for each in folder.iterdir()}
    return bool(suffixes & {*EDF, ".hea"}) and not suffixes & {*SUFFIXES}


def read_zip(path: Path, columns: Columns) -> tuple[Dataset, str]:
    """As ``read_path``, of the files in a zip, or in the one folder in it."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        unpack(path, folder, lambda name: Path(name).suffix.lower() in SUFFIXES)
        inside = list(folder.iterdir())
        while len(inside) == 1 and inside[0].is_dir():
            folder = inside[0]
            inside = list(folder.iterdir())
        try:
            return read_files(find_in_folder(folder), str(path), columns)
        except EcgEdgeError as error:  # the user knows the zip, not the folder it was unpacked to
            raise EcgEdgeError(error.message.replace(str(folder), str(path)), error.hint) from error


def read_files(files: Files, source: str, columns: Columns) -> tuple[Dataset, str]:
    if columns.labels is not None and (files.test is not None or files.train.suffix.lower() != ".npy"):
        told = f"{source}: --label-file {columns.labels} has no place: it is for one .npy that holds all beats"
        raise EcgEdgeError(told, "leave it out")
    official = files.name.lower() == "ecg5000"
    both = read_pair(files.train, columns)
    said = f"{source} ({columns.describe()})" if columns else source
    if not both and files.test is None:
        if official and files.train.stem.endswith("_TRAIN"):
            raise EcgEdgeError(f"ECG5000_TEST.txt is missing in {files.train.parent}", WAYS_TO_NAME_DATA)
        beats = read_part(files.train, columns)
        if beats.several:
            [beats], labels = several([beats], source, columns)
        else:
            [beats], labels = called([replace(beats, bits=None)], columns)
        return split_here(files, beats, labels, source, said)
    if files.test is not None:
        train = read_part(files.train, columns)
        both = [train, read_part(files.test, columns, train.layout)]
    train, test = both
    names = (files.train.name[-60:], files.test.name[-60:]) if files.test else ("x_train", "x_test")
    check_shapes(train, test, names)
    if official and (len(train.labels), len(test.labels)) != ECG5000_BEATS:
        raise not_official(source, f"{len(train.labels):,} training and {len(test.labels):,} test beats")
    if any(part.several for part in both):
        (train, test), labels = several(both, source, columns)
    else:
        check_classes(both, source)
        (train, test), order = called([replace(part, bits=None) for part in both], columns)
        labels = tuple(label for label in order if label in set(train.labels))
    if train.bits is None and (strangers := sorted(set(test.labels) - set(labels))):
        raise EcgEdgeError(
            f"{names[1]} has class {strangers[0]}, which no beat of {names[0]} has", "every class needs training beats"
        )
    told = "" if official else told_of(files.train, train)  # its content is known
    leads = train.leads or test.leads
    data = Dataset(
        files.called(source), as_split(train, labels), as_split(test, labels), labels, said, told, leads, train.recipe
    )
    if official and data.digest != ECG5000_DIGEST:
        raise not_official(source, f"digest {data.digest[:12]} instead of {ECG5000_DIGEST[:12]}")
    return data, ""


def called(parts: list[Part], columns: Columns) -> tuple[list[Part], tuple[str, ...]]:
    """The parts with their classes called as the user says, and all classes in order."""
    if columns.classes is None:
        return parts, order_labels(label for part in parts for label in part.labels)
    return named(parts, read_names(Path(columns.classes)))


def several(parts: list[Part], source: str, columns: Columns) -> tuple[list[Part], tuple[str, ...]]:
    """The parts and their labels, of which several may hold, called as the user says. Raises as ``check_labels``."""
    if columns.classes is not None:
        check_labels(parts, source)  # labels that differ between the parts are renamed in none
        parts = renamed(parts, read_names(Path(columns.classes)))
    return parts, check_labels(parts, source)


def check_shapes(train: Part, test: Part, names: tuple[str, str]) -> None:
    """Raise EcgEdgeError where training and test beats differ in length or leads; ``names``: of the two parts."""
    if train.x.shape[1] != test.x.shape[1]:
        raise EcgEdgeError(
            f"beats of {train.x.shape[1]} leads in {names[0]}, of {test.x.shape[1]} in {names[1]}",
            "training and test beats must have the same leads",
        )
    if train.x.shape[2] != test.x.shape[2]:
        raise EcgEdgeError(
            f"beats of {train.x.shape[2]} samples in {names[0]}, of {test.x.shape[2]} in {names[1]}",
            "training and test beats must be of one length",
        )
    if train.leads and test.leads and train.leads != test.leads:
        raise EcgEdgeError(
            f"leads {', '.join(train.leads)} in {names[0]}, {', '.join(test.leads)} in {names[1]}"[:280],
            "training and test beats must have the same leads in the same order",
        )


def split_here(files: Files, beats: Part, labels: tuple[str, ...], source: str, said: str) -> tuple[Dataset, str]:
    """Beats without a test part, in halves, each in the order of the file; ``said``: the source with its columns."""
    if beats.bits is None:
        check_classes([beats], source)
    whole = as_split(beats, labels)
    count = max(len(whole) // 2, len(labels))
    if count >= len(whole):
        raise EcgEdgeError(
            f"{source} has no test part, and its {len(whole):,} beats of {len(labels):,} classes are too few to split",
            "every class needs a training beat, and the test part one beat at least",
        )
    how = f"split here: half for training, stratified, seed {SPLIT_SEED}"
    if whole.groups is None or len(np.unique(whole.groups)) < 2:
        index = np.sort(stratified(whole.y, count, SPLIT_SEED))
    else:
        index = np.flatnonzero(halves(strata(whole.y), whole.groups, SPLIT_SEED))
        how = f"split here: half for training, whole patients, seed {SPLIT_SEED}"
    rest = np.setdiff1d(np.arange(len(whole)), index)
    name, train, test = files.called(source), whole.take(index), whole.take(rest)
    if name == "ecg5000":
        raise not_official(source, "training and test beats in one file")
    told = told_of(files.train, beats)
    return Dataset(name, train, test, labels, f"{said} ({how})", told, beats.leads, beats.recipe), (
        f"{source} has no test part; {how}"
    )


def told_of(file: Path, part: Part) -> str:
    """How a table was read, or the axes of an array, for the user; empty for other files."""
    return f"{file.name[-60:]}: {part.layout.told}; {part.x.shape[2]} samples a beat" if part.layout else part.told


def as_split(beats: Part, labels: tuple[str, ...]) -> Split:
    groups = None if beats.groups is None else np.array(beats.groups)
    if beats.bits is not None:
        return Split(beats.x.copy(), beats.bits, groups)
    index = {label: i for i, label in enumerate(labels)}
    return Split(beats.x.copy(), np.array([index[label] for label in beats.labels], np.int64), groups)


def not_official(source: str, what: str) -> EcgEdgeError:
    return EcgEdgeError(
        f"the files in {source} are not the official ECG5000 split ({what})",
        "fetch them again, or rename them if they were changed on purpose",
    )


def synthetic(seed: int = 0) -> Dataset:
    """The embedded synthetic beats: 500 for training, 4,500 for test.

    For trying things out and for tests: no figure on them says anything about hearts.
    """
    train, test = Split(*draw_beats(500, 2 * seed)), Split(*draw_beats(4500, 2 * seed + 1))
    return Dataset("synthetic", train, test, LABELS, "embedded, drawn from a fitted model")
