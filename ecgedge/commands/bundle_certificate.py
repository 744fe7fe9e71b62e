"""The certificate of portability that goes along in a bundle: chosen, and held to its answers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ecgedge.api.artifact import Artifact, digest_of, task_record
from ecgedge.audit import check_certificate, is_certificate
from ecgedge.audit.portability import CERTIFICATE
from ecgedge.bundle import Portable
from ecgedge.commands.of_run import RowOfRun
from ecgedge.errors import EcgEdgeError
from ecgedge.files import strict_json
from ecgedge.files.notices import note
from ecgedge.portability import kept

DECIDING = ("kind", "threshold", "thresholds", "window")  # of what a task is that by which a beat is decided


def widest_certificate(artifact: Artifact, of_run: RowOfRun | None) -> Path | None:
    """The folder of the run's certificate; of one that was found of these very bytes and decisions before, where more
    was tried for that: the user is told."""
    of_row = of_run.certificate if of_run else None
    least = of_run.row.portable.ways or 0 if of_run and of_row and of_run.row.portable else 0
    for folder, record in kept.of_file(digest_of(artifact.path)):
        if len(record.certificate.tried) <= least:
            break
        if decides_otherwise(record.about.task, artifact):
            continue
        if reasons := check_certificate(folder).reasons:
            note(f"{folder}: this certificate of {artifact.path} does not hold and is left out: {reasons[0]}")
            continue
        found = f"{record.certificate.verdict}, as found on {kept.since(folder)} by ecgedge portability"
        note(f"{artifact.path}: {found}; its certificate goes along and bounds the test vectors")
        return folder
    return of_row


def decides_otherwise(told: Mapping[str, Any], artifact: Artifact) -> str:
    """Where the decisions of a certificate are not those of the artifact; empty where they are."""
    here = task_record(artifact.task)
    for name in DECIDING:
        was, now = (list(each) if isinstance(each, tuple) else each for each in (told.get(name), here.get(name)))
        if was != now:
            return f"{name} {was}, not {now}"
    return ""


def portable(folder: Path, artifact: Artifact) -> Portable:
    """The certificate in a folder, held to its answers.

    Raises:
        EcgEdgeError: it does not hold, or is of another file, or of other decisions.
    """
    again = f"ecgedge portability {artifact.path} -o FOLDER"
    if not is_certificate(folder):
        raise EcgEdgeError(f"{folder} holds no certificate", again)
    if reasons := check_certificate(folder).reasons:
        raise EcgEdgeError(f"the certificate does not hold: {reasons[0]}"[:300], f"ecgedge check {folder}")
    told = strict_json.read(folder / CERTIFICATE, again)
    if told["digest"] != digest_of(artifact.path):
        raise EcgEdgeError(f"the certificate in {folder} is of another file", again)
    if reason := decides_otherwise(told["task"], artifact):
        raise EcgEdgeError(f"the certificate in {folder} is of other decisions: {reason}", again)
    text = (folder / CERTIFICATE).read_text(encoding="utf-8")
    fewer = sum(each["beats"] < told["beats"] for each in told["tried"])
    return Portable(text, told["digest"], told["verdict"], told["largest"], len(told["tried"]), fewer)
