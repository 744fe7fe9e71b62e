"""The certificates of a run: each held to its answers, and to what the journal and the rows say of it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from ecgedge.audit.files import hashed_file
from ecgedge.audit.findings import Findings
from ecgedge.audit.portability import CERTIFICATE, check_certificate
from ecgedge.audit.portability_rules import ANSWERS
from ecgedge.audit.reading import JSON_BYTES, as_json, read_arrays, read_bytes
from ecgedge.audit.run import Record, Run

FOLDER = "portability/"
PREFIX = "portability"  # of the names of all that a row says of it


def check_certificates(run: Run, findings: Findings) -> None:
    """Each file that was to be tried has one, or it is said why not; and each row says what it says."""
    known: dict[str, Record] = {}
    for told in run.of("portability"):
        known[told["digest"]] = told
    for digest, told in known.items():
        where = f"the certificate of {digest[:12]}"
        with findings.reading(where, "it"):
            for name, claimed in (told.get("files") or {}).items():
                check_digest(run, name, claimed, findings)
            check_claims(run, digest, told["found"], where, findings)
    asked = (run.about.get("request") or {}).get("portability")
    for cell in run.scored:
        row = (run.rows or {}).get(cell)
        if row is None or row.get("status") != "ok":
            continue
        record = known.get(str(row.get("digest")))
        if record is None:
            if asked:
                findings.wrong(cell, "not finished, its portability was not tried: resume it")
            if any(name.startswith(PREFIX) for name in row):
                findings.wrong(cell, "portability: it is claimed, and the journal tells of no certificate")
            continue
        for name in {*record["found"], *(name for name in row if name.startswith(PREFIX))}:
            findings.hold(row, name, record["found"].get(name))


def check_digest(run: Run, name: str, claimed: str, findings: Findings) -> None:
    if (found := hashed_file(run.folder, name)[0]) != claimed:
        findings.wrong("journal.jsonl", f"{name}: SHA-256 {claimed[:12]} is claimed, {found[:12]} was found")
    else:
        findings.digests += 1


def check_claims(run: Run, digest: str, found: dict[str, Any], where: str, findings: Findings) -> None:
    """What the journal says of a file, against the certificate in the folder, and that against its answers."""
    if found[PREFIX] == "not tried":
        if not found.get("portability_reason") or "portability_folder" in found:
            findings.wrong(where, "it was not tried, and it is not said why, or there is a folder")
        if os.path.lexists(run.folder / FOLDER / digest[:12]):
            findings.wrong(where, f"it was not tried, it says, and {FOLDER}{digest[:12]} is there")
        return
    place = str(found["portability_folder"])
    if not place.startswith(FOLDER) or ".." in Path(place).parts:
        findings.wrong(where, f"it lies in {place[:80]!r}, and not in {FOLDER}")
        return
    held = check_certificate(run.folder / place)
    findings.reasons += [f"{place}: {reason}" for reason in held.reasons]
    findings.unchecked += [each for each in held.unchecked if each not in findings.unchecked]
    findings.figures += held.figures
    if held.reasons:
        return
    record = as_json(read_bytes(run.folder, f"{place}/{CERTIFICATE}", JSON_BYTES))
    claims = {
        PREFIX: record["verdict"],
        "portability_ways": len(record["tried"]),
        "portability_largest": record["largest"],
        "portability_flips": len({flip["beat"] for each in record["tried"] for flip in each["flips"]}),
        "portability_layers": [layer["layer"] for layer in (*record["saturation"], *record["overflow"])],
    }
    for name, value in claims.items():
        findings.compare(where, name, found.get(name), value, 0.0)
    if record["digest"] != digest:
        findings.wrong(where, "it is of another file")
    for cell, scored in run.scored.items():
        meant = ((scored.get("artifact") or {}).get("record") or {}).get("task")
        if scored["row"].get("digest") == digest and meant is not None and record["task"] != meant:
            findings.wrong(where, f"its task is not that of {cell}: other decisions are held against each other")
    beats = read_arrays(run.folder, f"{place}/{ANSWERS}")["x"]
    if not np.array_equal(beats.astype(np.float32), run.beats["x"].astype(np.float32)):
        findings.wrong(where, "its beats are not those of the run")
