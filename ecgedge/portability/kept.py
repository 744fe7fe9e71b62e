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
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ecgedge.api.artifact import digest_of, task_record
from ecgedge.convert.store import code_digest
from ecgedge.errors import EcgEdgeError
from ecgedge.files.cache import cache_folder
from ecgedge.measure import machine
from ecgedge.portability.certificate import NotTried, Way
from ecgedge.portability.record import ANSWERS, CERTIFICATE, Portability, Record, answers_of
from ecgedge.portability.study import Study

DAY = 86_400
MACHINE = ("cpu", "isa", "system")  # of what a machine is that which decides its kernels
log = logging.getLogger(__name__)


def place() -> Path:
    """The folder with a folder a certificate."""
    return cache_folder() / "portability"


def key_of(asked: Study, ways: Sequence[Way], missed: Sequence[NotTried], libraries: Mapping[str, Any]) -> str:
    """A digest of all that a certificate depends on: the bytes, the beats, what is tried, by whom and where.

    Args:
        libraries: versions in the environments of runtimes that have one of their own, and of emulators.
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
        written = (folder / ANSWERS).stat().st_mtime
        with contextlib.suppress(OSError):  # not ours to write
            os.utime(folder / CERTIFICATE)
    except (OSError, EcgEdgeError) as error:
        if folder.exists():
            log.warning("%s is damaged (%s) and is found anew", folder, error)
            shutil.rmtree(folder, ignore_errors=True)
        return None
    since = time.strftime("%Y-%m-%d %H:%M", time.localtime(written))
    return Portability(asked.artifact, record.about.runtime, record.about.data, record.certificate, found,
                       asked.beats, since)  # fmt: skip


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
