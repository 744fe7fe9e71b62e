"""Content-addressed artifacts: the same conversion of the same source is made once."""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import json
import logging
import shutil
import tempfile
from collections.abc import Callable, Mapping
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

from ecgedge.artifacts import Artifact, digest_of
from ecgedge.errors import ConversionError, EcgEdgeError
from ecgedge.kinds import Part
from ecgedge.records import from_record

RECORD = "record.json"
log = logging.getLogger(__name__)


class Store:
    """A folder with one folder an artifact, named by the key of how it was made.

    Writes go to a temporary name and are renamed, so that several runs may share a store and a
    killed one leaves nothing half-written.
    """

    def __init__(self, root: Path):
        self.root = root
        try:
            root.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=root).close()
        except OSError as error:
            raise EcgEdgeError(
                f"the artifact store {root} cannot be written: {error.strerror}", "set ECGEDGE_CACHE to another folder"
            ) from error

    def find(self, key: str) -> Artifact | None:
        """The artifact of that key, if it is there and undamaged; a damaged one is removed."""
        folder = self.root / key
        if not folder.exists():
            return None
        try:
            record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
            artifact = from_record(folder / record["file"], record["artifact"])
            if digest_of(artifact.path) == artifact.digest:
                return artifact
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            pass  # damaged, like a digest that differs: made again
        log.warning("%s is damaged and is made again", folder)
        with tempfile.TemporaryDirectory(dir=self.root, prefix=".bad-") as aside:
            folder.rename(Path(aside) / key)
        return None

    def make(self, key: str, file: str, maker: Mapping[str, Any], build: Callable[[Path], Artifact]) -> Artifact:
        """The artifact of that key, from the store or built by ``build(path)``."""
        if found := self.find(key):
            log.info("%s: from the store, %s", maker.get("part", "artifact"), found.path)
            return found
        with tempfile.TemporaryDirectory(dir=self.root, prefix=".new-") as scratch:
            content = Path(scratch) / "content"
            content.mkdir()
            built = build(content / file)
            if content not in built.path.parents or not built.path.exists():
                raise ConversionError(f"{maker.get('part', 'the part')} left nothing at the path that it was given")
            built = dataclasses.replace(built, digest=digest_of(built.path), maker=dict(maker))
            for extra in content.iterdir():
                if extra != built.path:
                    shutil.rmtree(extra) if extra.is_dir() else extra.unlink()
            record = {"file": built.path.name, "key": key, "artifact": built.record()}
            (content / RECORD).write_text(json.dumps(record, indent=1), encoding="utf-8")
            try:
                content.rename(self.root / key)
            except OSError:  # another run was faster
                if found := self.find(key):
                    return found
                raise
        made = dataclasses.replace(built, path=self.root / key / built.path.name)
        log.info("%s: made %s, %d bytes", maker.get("part", "artifact"), made.path, made.size_bytes)
        return made


@lru_cache
def code_digest(kind: type) -> str:
    """Of the Python files beside and below the one that defines a class: helpers and bases live there.

    A single-file plugin shares its folder with strangers, so there it is the file alone.
    """
    file = inspect.getsourcefile(kind)
    if not file:
        return ""
    files = sorted(Path(file).parent.rglob("*.py")) if "." in kind.__module__ else [Path(file)]
    return hashlib.sha256(b"".join(digest_of(each).encode() for each in files)).hexdigest()[:16]


def maker_of(part: Part, distribution: str, version: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Who makes an artifact: the part, its code, and the libraries that matter, with versions."""
    return {
        "part": f"{part.kind} {part.name}",
        "distribution": distribution,
        "version": version,
        "code": code_digest(type(part)),
        "options": dict(options),
        "libraries": {name: found for name in part.libraries if (found := version_of(name))},
    }


def version_of(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def key_of(source: Artifact, maker: Mapping[str, Any], **what: Any) -> str:
    """The key of a conversion: a digest of all that its result depends on."""
    network = code_digest(type(source.model)) if source.model else None
    task = source.record()["task"]
    parts = {"source": source.digest, "network": network, "task": task, "maker": dict(maker), **what}
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
