"""Content-addressed artifacts: the same conversion of the same source is made once."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import hashlib
import inspect
import json
import logging
import os
import re
import shutil
import tempfile
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from functools import lru_cache
from pathlib import Path
from typing import Any

from ecgedge.api.artifact import Artifact, digest_of, file_name
from ecgedge.api.origins import origins_file
from ecgedge.api.parts import Part
from ecgedge.api.records import from_record
from ecgedge.environments.versions import VERSION, canonical, version_of
from ecgedge.errors import ConversionError, EcgEdgeError, MachineError, remedy, told_by_system
from ecgedge.files import strict_json
from ecgedge.files.cache import cache_folder
from ecgedge.files.locks import check_room
from ecgedge.passes import apply_pass

RECORD = "record.json"
NEW, BAD = ".new-", ".bad-"  # how the names of folders begin that are being filled, or taken away
PASSES_NEED = ("onnx", "onnx-ir", "onnxruntime-gpu", "onnxruntime")  # distributions
NO_SPACE = tuple(os.strerror(number) for number in (errno.ENOSPC, errno.EDQUOT))
MEND = "ecgedge store prune frees some, or set ECGEDGE_CACHE to another folder"
log = logging.getLogger(__name__)


class Damaged(Exception):
    """Why an entry of the store cannot be used, one line."""


class Store:
    """A folder with one folder an artifact, named by the key of how it was made.

    Writes go to a temporary name and are renamed, so that several runs may share a store and a
    killed one leaves nothing half-written. A store that cannot be written serves what it has.

    Attributes:
        making: what threads of this process are making, by its key.
        changing: held by whoever looks into that, or changes it.

    Raises:
        MachineError: there is no such folder and none can be made.
        EcgEdgeError: it cannot be read.
    """

    def __init__(self, root: Path):
        self.root = root
        self.making: dict[str, Future[Artifact]] = {}
        self.changing = threading.Lock()
        try:
            root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self.unwritable(error) from error
        if not os.access(root, os.R_OK | os.X_OK):
            raise EcgEdgeError(
                f"the artifact store {root} cannot be read: {os.strerror(errno.EACCES)}",
                "set ECGEDGE_CACHE to another folder",
            )

    def find(self, key: str) -> Artifact | None:
        """The artifact of that key, if it is there and undamaged; a damaged one is removed.

        The time of its record becomes now: that of its last use.
        """
        folder = self.root / key
        with contextlib.suppress(OSError):  # it is not there, or not ours to write
            os.utime(folder / RECORD)  # first: from here on prune leaves it alone
        try:
            return read_entry(folder)
        except Damaged as damage:
            if not folder.exists():
                return None
            log.warning("%s is damaged (%s) and is made again", folder, damage)
        with contextlib.suppress(OSError):  # a store that cannot be written: whoever makes it again is told
            self.remove(key, unless=sound)
        return None

    def make(self, key: str, file: str, maker: Mapping[str, Any], build: Callable[[Path], Artifact]) -> Artifact:
        """The artifact of that key, from the store or built by ``build(path)``.

        Who asks for what another thread is making waits for that, and shares what comes of it.

        Raises:
            MachineError: it has to be built, and the store cannot be written or its disk is full.
            ConversionError: ``build`` left nothing.
        """
        with self.changing:
            begun = self.making.get(key)
            mine = self.making.setdefault(key, Future())
        if begun:
            return begun.result()
        try:
            made = self.find_or_build(key, file, maker, build)
        except BaseException as error:
            interrupted = MachineError(f"making {file} was interrupted", "do it again")  # Ctrl-C: one thread has it
            mine.set_exception(error if isinstance(error, Exception) else interrupted)
            raise
        else:
            mine.set_result(made)
            return made
        finally:
            with self.changing:
                del self.making[key]

    def find_or_build(
        self, key: str, file: str, maker: Mapping[str, Any], build: Callable[[Path], Artifact]
    ) -> Artifact:
        """As ``make``, for the one thread that does it."""
        part = maker.get("part", "artifact")
        if found := self.find(key):
            log.info("%s: from the store, %s", part, found.path)
            return found
        try:
            scratch = tempfile.TemporaryDirectory(dir=self.root, prefix=NEW, ignore_cleanup_errors=True)
        except OSError as error:
            raise self.unwritable(error) from error
        with scratch as name:
            try:
                return self.enter(key, fill(Path(name) / "content", key, file_name(file), maker, build))
            except MachineError as error:
                raise self.unmade(part, error) from error
            except Exception as error:  # a part may raise anything on a full disk, or its process may die
                if not is_full(Path(name), error):
                    raise
                raise self.unmade(part, error) from error

    def enter(self, key: str, built: Artifact) -> Artifact:
        """Give a filled folder its name, at once; returns the artifact there."""
        content, entry = built.path.parent, self.root / key
        made = dataclasses.replace(built, path=entry / built.path.name)
        size = built.size_bytes
        try:
            content.rename(entry)
        except OSError:  # another run was faster
            if found := self.find(key):
                return found
            content.rename(entry)  # what it made is damaged, or gone again
        log.info("%s: made %s, %d bytes", made.maker.get("part", "artifact"), made.path, size)
        return made

    def remove(self, key: str, unless: Callable[[Path], bool]) -> bool:
        """Take an entry away, at once; whether it is gone.

        ``unless(folder)`` is asked when nobody else can reach it any more: where another run has
        renewed or used it in between, it is put back.

        Raises:
            OSError: the store cannot be written.
        """
        entry, aside = self.root / key, self.root / f"{BAD}{uuid.uuid4().hex}"
        try:
            os.utime(entry)  # a left-over of a dead run is told by its age
            entry.rename(aside)
        except FileNotFoundError:  # another run was faster
            return False
        if unless(aside):
            with contextlib.suppress(OSError):  # made again in between
                aside.rename(entry)
                return False
        shutil.rmtree(aside, ignore_errors=True)
        return True

    def unnamed(self, text: str, name: str, word: str = "it") -> str:
        """A text in which a word stands for each file of this store: where that lies is no matter to who reads it.

        Args:
            name: of the model, by which its files here are called, whatever their suffix.
        """
        entry = rf"{re.escape(str(self.root))}/(?:{re.escape(NEW)}\w+/content|[0-9a-f]+)/"
        return re.sub(rf"{entry}(?:{re.escape(file_name(name))}\.\w+|[^\s:;,]+)", lambda _: word, text)

    def unwritable(self, error: OSError) -> MachineError:
        told = f"the artifact store {self.root} cannot be written: {error.strerror}"
        return MachineError(told, "set ECGEDGE_CACHE to another folder")

    def unmade(self, part: str, error: Exception) -> MachineError:
        said = told_by_system(error)
        if said not in ("", *NO_SPACE):
            return MachineError(f"{part} cannot be made in {self.root}: {error}", f"{remedy(said)}, then do it again")
        return MachineError(f"no space left to make {part} in {self.root}: {error}", MEND)


def open_store() -> Store:
    """The artifact store in the cache. Raises EcgEdgeError where there is none and none can be made."""
    return Store(cache_folder() / "store")


def fill(content: Path, key: str, file: str, maker: Mapping[str, Any], build: Callable[[Path], Artifact]) -> Artifact:
    """Make the folder of an entry: what ``build`` leaves at ``content / file``, its record, its tensors' origins."""
    content.mkdir()
    built = build(content / file)
    if content not in built.path.parents or not built.path.exists():
        raise ConversionError(f"{maker.get('part', 'the part')} left nothing at the path that it was given")
    built = dataclasses.replace(built, digest=digest_of(built.path), maker=dict(maker))
    record = {"file": built.path.name, "key": key, "artifact": built.record()}
    record |= {"digest": digest_of_record(record)}
    extras = [path for path in content.iterdir() if path not in (built.path, origins_file(built.path))]
    # before anything is taken away: where a part overlooked that the disk is full, this fails too
    (content / RECORD).write_text(json.dumps(record, indent=1), encoding="utf-8")
    for extra in extras:
        shutil.rmtree(extra) if extra.is_dir() else extra.unlink()
    return built


def read_entry(folder: Path, whole: bool = True) -> Artifact:
    """The artifact of an entry; ``whole``: its content is checked against its digest.

    Raises:
        Damaged: something is missing, cannot be read, or is not what was written.
    """
    try:
        record = strict_json.read(folder / RECORD)
        told = record.pop("digest", None)
        if digest_of_record(record) != told:
            raise ValueError("it differs from its own digest")
        artifact = from_record(folder / record["file"], record["artifact"])
    except FileNotFoundError:
        raise Damaged(f"{RECORD} is missing") from None
    except (OSError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise Damaged(f"{RECORD} cannot be read: {error}") from error
    name = artifact.path.name
    try:
        if not artifact.path.exists():
            raise Damaged(f"{name} is missing")
        if whole and digest_of(artifact.path) != artifact.digest:
            raise Damaged(f"the digest of {name} differs")
    except (OSError, KeyError, TypeError, ValueError) as error:  # also of the list of files in a checkpoint
        raise Damaged(f"{name} cannot be read: {error}") from error
    return artifact


def sound(folder: Path) -> bool:
    try:
        return bool(read_entry(folder))
    except Damaged:
        return False


def digest_of_record(record: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()


def is_full(folder: Path, error: Exception) -> bool:
    """Whether the disk is behind an error: it says so itself, tells what a child said, or nothing can be written."""
    if told_by_system(error):
        return True
    try:
        check_room(folder)
    except OSError:
        return True
    return False


@lru_cache
def code_digest(kind: Any) -> str:
    """Of the Python files beside and below the one that defines a class or function: helpers and bases live there.

    A single-file plugin shares its folder with strangers, so there it is the file alone.
    """
    file = inspect.getsourcefile(kind)
    if not file:
        return ""
    files = sorted(Path(file).parent.rglob("*.py")) if "." in kind.__module__ else [Path(file)]
    return hashlib.sha256(b"".join(digest_of(each).encode() for each in files)).hexdigest()[:16]


def maker_of(
    part: Part,
    distribution: str,
    version: str,
    options: Mapping[str, Any],
    installed: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Who makes an artifact: the part, its code, and the libraries that matter, with versions.

    Args:
        installed: versions by canonical name where the part works in an environment of its own; None: it works here.
    """
    look_up = version_of if installed is None else lambda name: installed.get(canonical(name))
    place = {} if installed is None else {"environment": part.environment}
    return place | {
        "part": f"{part.kind} {part.name}",
        "distribution": distribution,
        "version": version,
        "code": code_digest(type(part)),
        "options": dict(options),
        "libraries": {name: found for name in part.libraries if (found := look_up(name))},
    }


def passes_maker(names: Sequence[str]) -> dict[str, Any]:
    """As ``maker_of``, for graph passes."""
    return {
        "part": "passes",
        "distribution": "ecgedge",
        "version": VERSION,
        "code": code_digest(apply_pass),
        "options": {"passes": list(names)},
        "libraries": {name: found for name in PASSES_NEED if (found := version_of(name))},
    }


def key_of(source: Artifact, maker: Mapping[str, Any], **what: Any) -> str:
    """The key of a conversion: a digest of all that its result depends on.

    What is told of the source is among that, such as its name, its notes and what it was made from: what is made of it
    carries its record. Two models may give the same file, and two options of a part.
    """
    network = code_digest(type(source.model)) if source.model else None
    parts = {
        "name": source.name,
        "source": source.digest,
        "parents": list(source.parents),
        "network": network,
        "task": source.record()["task"],
        "passes": list(source.passes),
        "notes": dict(source.notes),
        "maker": dict(maker),
        **what,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
