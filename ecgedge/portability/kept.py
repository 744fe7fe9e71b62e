"""Certificates that were found before: the same bytes, tried in the same ways, get the same one without a new study."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from ecgedge.api.artifact import digest_of, task_record
from ecgedge.convert.store import code_digest
from ecgedge.errors import EcgEdgeError
from ecgedge.files.cache import cache_folder
from ecgedge.measure import machine
from ecgedge.portability.certificate import Certificate, NotTried, Way, compare
from ecgedge.portability.record import ANSWERS, CERTIFICATE, CHECK, Portability, Record, answers_of
from ecgedge.portability.study import Answers, Study

DAY = 86_400
MACHINE = ("cpu", "isa", "system")  # of what a machine is that which decides its kernels
log = logging.getLogger(__name__)


def place() -> Path:
    """The folder with a folder a certificate."""
    return cache_folder() / "portability"


def key_of(
    asked: Study, ways: Sequence[Way], missed: Sequence[NotTried], libraries: Mapping[str, Any], threads: int = 1
) -> str:
    """A digest of all that a certificate depends on: the bytes, the beats, what is tried, by whom and where.

    Args:
        libraries: versions in the environments of runtimes that have one of their own, and of emulators.
        threads: of each session.
    """
    here, task = machine.describe(), json.dumps(task_record(asked.artifact.task), sort_keys=True)
    told = {
        "digest": digest_of(asked.artifact.path),
        "task": task,
        "input": asdict(asked.artifact.input),
        "beats": hashlib.sha256(np.ascontiguousarray(asked.beats, "<f4").tobytes()).hexdigest(),
        "chosen": asked.chosen.tolist(),
        "ways": [asdict(way) for way in ways],
        "missed": [[each.what, each.why] for each in missed],
        "libraries": dict(libraries),
        "threads": threads,
        "versions": machine.versions(),
        "machine": [here[name] for name in MACHINE],
        "code": code_digest(Study),
    }
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def find(key: str, asked: Study) -> Portability | None:
    """The certificate of that key, if it is there and undamaged; the time of its last use becomes now."""
    folder = place() / key
    try:
        record = Record.read(folder)
        found = answers_of(folder, record.certificate)
        check_held(folder, record.certificate, found, asked)
        written = since(folder)
        with contextlib.suppress(OSError):  # not ours to write
            os.utime(folder / CERTIFICATE)
    except (OSError, EcgEdgeError, ValueError, IndexError) as error:  # arrays of another shape, beats that are none
        if folder.exists():
            log.warning("%s is damaged (%s) and is found anew", folder, error)
            shutil.rmtree(folder, ignore_errors=True)
        return None
    return Portability(asked.artifact, record.about.runtime, record.about.data, record.certificate, found,
                       asked.beats, written, record.about)  # fmt: skip


def of_file(digest: str) -> Iterator[tuple[Path, Record]]:
    """The certificates of a file with their folders, whatever they were asked on: by which most was tried first, of
    these the newest. They may be damaged."""
    found: list[tuple[int, float, Path, Record]] = []
    for folder in place().iterdir() if place().is_dir() else ():
        with contextlib.suppress(OSError, EcgEdgeError):
            record = Record.read(folder)
            if record.certificate.digest == digest:
                found.append((len(record.certificate.tried), (folder / ANSWERS).stat().st_mtime, folder, record))
    for *_, folder, record in sorted(found, key=lambda each: each[:3], reverse=True):
        yield folder, record


def since(folder: Path) -> str:
    """When a certificate was found."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime((folder / ANSWERS).stat().st_mtime))


def check_held(folder: Path, certificate: Certificate, found: Sequence[Answers], asked: Study) -> None:
    """Raise EcgEdgeError where a certificate is of another file, or says of its answers what they do not say."""
    if certificate.digest != digest_of(asked.artifact.path):
        raise EcgEdgeError(f"the certificate in {folder} is of another file", CHECK)
    for each in found:
        told, beats = each.tried, asked.beats[each.numbers]
        way = Way(told.family, told.about, told.place, told.by)
        again = compare(each.outputs, each.against, beats, each.numbers, asked.artifact.task, certificate.step, way)
        if replace(again, ran=told.ran, confirmed=told.confirmed) != told:
            raise EcgEdgeError(f"the answers of {told.name} in {folder} are not as they are told", CHECK)


def keep(key: str, found: Portability) -> None:
    """Keep a certificate for the next time; where that cannot be written, it is found anew then."""
    try:
        place().mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=place(), prefix=".", ignore_cleanup_errors=True) as scratch:
            found.write(Path(scratch) / "whole")
            (Path(scratch) / "whole").rename(place() / key)
    except (OSError, EcgEdgeError) as error:  # it may be there already
        log.info("%s is not kept: %s", place() / key, error)


def prune(days: float | None, dry_run: bool = False) -> Iterator[tuple[str, int]]:
    """Remove the certificates that were not used for so many days; None: all. Yields the name and bytes of each."""
    oldest = time.time() - days * DAY if days is not None else float("inf")
    for folder in sorted(place().iterdir()) if place().is_dir() else ():
        used = max((file.stat().st_mtime for file in folder.glob("*.*")), default=folder.stat().st_mtime)
        if used < oldest:
            size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
            if not dry_run:
                shutil.rmtree(folder, ignore_errors=True)
            yield folder.name, size
