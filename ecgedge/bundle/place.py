"""Where a bundle goes: a zip whose bytes depend on the contents alone, or a folder; whole or not at all."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

from ecgedge.errors import EcgEdgeError
from ecgedge.files.locks import swap_in
from ecgedge.files.opening import ending_of

EPOCH = (1980, 1, 1, 0, 0, 0)  # the first that a zip can hold
ARCHIVES = (".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar", ".whl")  # that a bundle is none of
MARKS = ("SHA256SUMS", "record.json", "predict.py")  # by which a folder is known as a bundle


def check_target(target: Path, force: bool) -> None:
    """Raise EcgEdgeError where a bundle cannot be put there without losing something of the user's."""
    if not target.name:
        raise EcgEdgeError(f"{target} is not a name for a bundle", "name one with -o")
    if ending_of(target) in ARCHIVES and not target.is_dir():
        stem = target.name.partition(".")[0] or "NAME"
        raise EcgEdgeError(
            f"{target}: a bundle is a zip or a folder, and no {ending_of(target)}", f"name it {stem}.zip"
        )
    if not target.exists():
        return
    if not force:
        raise EcgEdgeError(f"{target} exists", "name another with -o, or --force")
    if target.is_dir() and (is_zip(target) or not all((target / name).is_file() for name in MARKS)):
        raise EcgEdgeError(f"{target} is a folder that is no bundle", "name another with -o")
    if not target.is_dir() and not target.is_file():
        raise EcgEdgeError(f"{target} is a device or a pipe", "name another with -o")
    if target.is_file() and not is_zip(target):
        raise EcgEdgeError(f"{target} is a file, the bundle would be a folder", "name another with -o, or NAME.zip")


def is_zip(target: Path) -> bool:
    return ending_of(target) == ".zip"


def place(files: Mapping[str, bytes], name: str, target: Path) -> None:
    """Write a bundle: ``NAME.zip`` with one folder ``name``, or a folder.

    Raises:
        EcgEdgeError: it cannot be written.
    """
    try:
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".", suffix=".part") as scratch:
            fresh = Path(scratch) / "new"
            write_zip(files, name, fresh) if is_zip(target) else write_folder(files, fresh)
            swap_in(fresh, target, Path(scratch) / "old")
    except OSError as error:
        raise EcgEdgeError(f"{target} cannot be written: {error.strerror}", "name another with -o") from error


def write_folder(files: Mapping[str, bytes], folder: Path) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def write_zip(files: Mapping[str, bytes], name: str, path: Path) -> None:
    """Sorted, without times, and with the same rights for all, so that the same files give the same bytes."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for file in sorted(files):
            entry = zipfile.ZipInfo(f"{name}/{file}", EPOCH)
            entry.create_system, entry.external_attr = 3, 0o644 << 16  # Unix, also where it is made elsewhere
            archive.writestr(entry, files[file], zipfile.ZIP_DEFLATED, compresslevel=9)
