"""Certificates for the files of a matrix, once everything is timed: nothing of it runs beside a timed block."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ecgedge.api.artifact import digest_of
from ecgedge.api.records import from_record
from ecgedge.commands.ways import Asked, certify, unfit_format
from ecgedge.convert.lab import Lab
from ecgedge.data.dataset import Dataset
from ecgedge.devices.boards import Board
from ecgedge.errors import ConversionError, EcgEdgeError, MachineError
from ecgedge.evaluate.facts import plain
from ecgedge.evaluate.portable import NOT_TRIED, Portable
from ecgedge.files.locks import PART
from ecgedge.plugins import Parts
from ecgedge.portability.record import ANSWERS, CERTIFICATE, Portability
from ecgedge.portability.wording import summary
from ecgedge.run.journal import Journal
from ecgedge.workers.availability import pick_runtime
from ecgedge.workers.client import ChildError, Limits
from ecgedge.workers.hosts import hosts
from ecgedge.workers.standins import Workers

FOLDER = "portability"  # of the certificates, in the run's folder
NO_EMULATOR = "not in a matrix; ecgedge portability RUN ROW plays such cores"


@dataclass(frozen=True)
class Certifying:
    """What it takes.

    Attributes:
        boards: that the run measures on: they answer, too.
        tell: takes what is being tried, in one line.
    """

    parts: Parts
    data: Dataset
    lab: Lab
    journal: Journal
    limits: Limits
    boards: Sequence[Board]
    tell: Callable[[str], object]

    @property
    def folder(self) -> Path:
        return self.journal.folder


def certify_files(asked: Certifying) -> None:
    """Try every file of the rows that work which the journal has no certificate of yet."""
    left = [*files_left(asked.journal)]
    if not left:
        return
    with Workers(hosts(asked.parts), asked.limits) as workers:
        for number, (row, packed) in enumerate(left, 1):
            asked.tell(f"portability of {row['model']} {row['format']} {row['precision']}, {number} of {len(left)}")
            clear(asked.folder / place_of(row))
            found, kept = of_file(asked, row, packed, workers)
            asked.journal.append("portability", digest=row["digest"], found=plain(found), files=kept)


def files_left(journal: Journal) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """A row and the packed artifact of each file; rows of this machine first, whose runtime is at hand."""
    seen = {record["digest"] for record in journal.of("portability")}
    failed = {record["cell"] for record in journal.of("failed")}
    scored = [record for record in journal.of("scored") if record["cell"] not in failed]
    for record in sorted(scored, key=lambda record: record["row"].get("board") is not None):
        row = record["row"]
        if row["status"] == "ok" and record.get("artifact") and row["digest"] not in seen:
            seen.add(row["digest"])
            yield row, record["artifact"]


def of_file(
    asked: Certifying, row: dict[str, Any], packed: dict[str, Any], workers: Workers
) -> tuple[Portable, dict[str, str]]:
    """The certificate of a file in short, and what is kept of it by path in the run's folder, with its SHA-256."""
    if reason := unfit_format(row["format"], asked.parts):
        return not_tried(f"its format is {reason}"), {}
    artifact, beats = from_record(asked.folder / packed["path"], packed["record"]), asked.lab.beats.scored
    try:
        wanted = row["runtime"] if row.get("board") is None else None
        runtime = pick_runtime(artifact.format, wanted, asked.parts, workers).name
        posed = Asked(artifact, runtime, beats.x, beats.y, asked.data.describe(), asked.boards, NO_EMULATOR)
        found = certify(posed, asked.parts, workers, asked.limits, asked.tell)
    except MachineError:
        raise
    except (ChildError, EcgEdgeError, ConversionError) as error:
        return not_tried(" ".join(str(error).split())[:300]), {}
    return in_short(found, place := place_of(row)), write(asked.folder, place, found)


def place_of(row: dict[str, Any]) -> str:
    """The folder of a file's certificate, below that of the run."""
    return f"{FOLDER}/{row['digest'][:12]}"


def clear(folder: Path) -> None:
    """Take away a certificate that a killed run left there."""
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(folder)


def not_tried(reason: str) -> Portable:
    return Portable(verdict=NOT_TRIED, reason=reason)


def in_short(found: Portability, folder: str) -> Portable:
    """What a row says of a certificate in that folder."""
    certificate = found.certificate
    return Portable(
        verdict=certificate.verdict,
        reason=summary(certificate),
        folder=folder,
        ways=len(certificate.tried),
        largest=certificate.largest,
        flips=certificate.flipped,
        layers=[*(each.layer for each in certificate.saturation), *(each.layer for each in certificate.overflow)],
    )


def write(run: Path, place: str, found: Portability) -> dict[str, str]:
    """Keep a certificate in the folder of a run, whole or not at all."""
    (run / FOLDER).mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=run / FOLDER, prefix=".", suffix=PART, ignore_cleanup_errors=True) as scratch:
        found.write(Path(scratch) / "whole")
        (Path(scratch) / "whole").rename(run / place)
    return {f"{place}/{name}": digest_of(run / place / name) for name in (CERTIFICATE, ANSWERS)}
