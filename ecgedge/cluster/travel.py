"""Files that go from machine to machine by their digests: data sets, and entries of the artifact store."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from ecgedge.convert.store import NEW, RECORD, Damaged, Store, open_store, read_entry
from ecgedge.data import kept
from ecgedge.errors import EcgEdgeError
from ecgedge.files import strict_json
from ecgedge.files.opening import is_path

Entry = dict[str, bytes]  # the content of each file by its path in the entry's folder


def has_entry(key: str) -> bool:
    """Whether the store here has an artifact, undamaged."""
    return open_store().find(key) is not None


def read_files(key: str) -> Entry | None:
    """An entry of the store here; None where it is gone."""
    store = open_store()
    if store.find(key) is None:
        return None
    folder = store.root / key
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


def write_files(key: str, files: Entry) -> None:
    """Put an entry of another store into the one here.

    Raises:
        EcgEdgeError: it is not what its record says, or not of that key.
        MachineError, OSError: it cannot be written.
    """
    store: Store = open_store()
    wrong = EcgEdgeError(f"an artifact came damaged: {key[:12]}", "do it again")
    with TemporaryDirectory(dir=store.root, prefix=NEW, ignore_cleanup_errors=True) as scratch:
        content = Path(scratch) / "content"
        for name, data in files.items():
            if not is_path(name):
                raise wrong
            (content / name).parent.mkdir(parents=True, exist_ok=True)
            (content / name).write_bytes(data)
        try:
            made = read_entry(content)
            if strict_json.read(content / RECORD).get("key") != key:
                raise wrong
        except Damaged as error:
            raise wrong from error
        store.enter(key, made)


def read_data(digest: str) -> bytes:
    """A file of a data set. Raises OSError where it is gone."""
    return kept.file_of(digest).read_bytes()


def write_data(content: bytes) -> None:
    """Keep a file of a data set under its digest. Raises OSError where it cannot be written."""
    kept.put(content)
