"""Certificates for the files of a matrix, once everything is timed: nothing of it runs beside a timed block."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ecgedge.api.artifact import digest_of
from ecgedge.api.records import from_record
from ecgedge.commands.ways import Asked, certify, unfit_format
from ecgedge.convert.lab import Lab
from ecgedge.data.dataset import Dataset
from ecgedge.devices.boards import Board
from ecgedge.errors import ConversionError, EcgEdgeError, MachineError
from ecgedge.evaluate.facts import plain
from ecgedge.evaluate.portable import NOT_TRIED, CertifiedFile, Portable
from ecgedge.files.locks import PART
from ecgedge.plugins import Parts
from ecgedge.portability.record import ANSWERS, CERTIFICATE, Portability
from ecgedge.portability.wording import summary
from ecgedge.run.journal import Journal
from ecgedge.run.row import Row
from ecgedge.workers.availability import pick_runtime
from ecgedge.workers.client import ChildError, Limits
from ecgedge.workers.hosts import hosts
from ecgedge.workers.protocol import Packed
from ecgedge.workers.standins import Workers

FOLDER = "portability"  # of the certificates, in the run's folder
NO_EMULATOR = "not in a matrix; ecgedge portability RUN ROW plays such cores"


@dataclass(frozen=True)
class Certifying:
    """What it takes.

    Attributes:
        boards: that the run measures on: they answer, too.
        threads: that its sessions have, so that answers are the same bit for bit.
        tell: takes what is being tried, in one line.
    """

    parts: Parts
    data: Dataset
    lab: Lab
    journal: Journal
    limits: Limits
    boards: Sequence[Board]
    threads: int
    tell: Callable[[str], object]

    @property
    def folder(self) -> Path:
        return self.journal.folder


def certify_files(asked: Certifying) -> None:
    """Try every file of the rows that work which the journal has no certificate of yet."""
    left = [*files_left(asked.journal, asked.parts)]
    if not left:
        return
    with Workers(hosts(asked.parts), asked.limits, asked.threads) as workers:
        for number, file in enumerate(left, 1):
            row = file.row
            asked.tell(f"portability of {row.model} {row.format} {row.precision}, {number} of {len(left)}")
            clear(asked.folder / place_of(file.digest))
            asked.journal.append("portability", **plain(certified(asked, file, workers)))


@dataclass(frozen=True)
class Left:
    """A file that is to be tried.

    Attributes:
        row: of it: one of this machine, where there is one, whose runtime is at hand.
        packed: its artifact, by its path in the run's folder.
    """

    digest: str
    row: Row
    packed: Packed


def files_left(journal: Journal, parts: Parts) -> Iterator[Left]:
    """Each file without a certificate; one that failed is tried again, unless nothing can be said of its format."""
    found = {each.digest: each.found for each in map(CertifiedFile.from_record, journal.of("portability"))}
    seen = {digest for digest, portable in found.items() if portable.is_tried}
    failed = {record["cell"] for record in journal.of("failed")}
    scored = [record for record in journal.of("scored") if record["cell"] not in failed]
    for record in sorted(scored, key=lambda record: record["row"].get("board") is not None):
        row, packed = Row.from_record(record["row"]), record.get("artifact")
        if row.status != "ok" or not packed or row.file is None or (digest := row.file.digest) in (None, *seen):
            continue
        seen.add(digest := str(digest))
        if digest not in found or not unfit_format(str(row.format), parts):
            yield Left(digest, row, Packed(Path(packed["path"]), packed["record"], packed.get("model")))


def certified(asked: Certifying, file: Left, workers: Workers) -> CertifiedFile:
    """Try a file in every way, keep its certificate, and say what the journal has of it."""
    row, none = file.row, partial(CertifiedFile, file.digest, files={})
    if reason := unfit_format(str(row.format), asked.parts):
        return none(found=not_tried(f"its format is {reason}"))
    artifact, beats = from_record(asked.folder / file.packed.path, file.packed.record), asked.lab.beats.scored
    try:
        wanted = row.runtime if row.board is None else None
        runtime = pick_runtime(artifact.format, wanted, asked.parts, workers).name
        posed = Asked(artifact, runtime, beats.x, beats.y, asked.data.describe(), asked.boards, NO_EMULATOR,
                      threads=asked.threads)  # fmt: skip
        found = certify(posed, asked.parts, workers, asked.limits, asked.tell)
    except MachineError:
        raise
    except (ChildError, EcgEdgeError, ConversionError) as error:
        return none(found=not_tried(" ".join(str(error).split())[:300]))
    place = place_of(file.digest)
    return CertifiedFile(file.digest, in_short(found, place), write(asked.folder, place, found))


def place_of(digest: str) -> str:
    """The folder of a file's certificate, below that of the run."""
    return f"{FOLDER}/{digest[:12]}"


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
