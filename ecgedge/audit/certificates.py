"""The certificates of a run: each held to its answers, and to what the journal and the rows say of it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from ecgedge.audit.answers import flat
from ecgedge.audit.files import hashed_file
from ecgedge.audit.findings import Findings
from ecgedge.audit.portability import ALONE, CALLS, CERTIFICATE, check_certificate, same_bits
from ecgedge.audit.portability_rules import ANSWERS, HERE, KERNELS
from ecgedge.audit.reading import JSON_BYTES, LINES_BYTES, as_json, is_file, read_array, read_arrays, read_bytes
from ecgedge.audit.run import Record, Row, Run
from ecgedge.files.escape import markdown

FOLDER = "portability/"
PREFIX = "portability"  # of the names of all that a row says of it
NOT_TRIED = "not tried"
PAGE, TRIED, SAME = "report.md", "  - tried: ", "bit for bit the same"
TRIABLE = ("onnx", "tflite")  # files of which something can be said whatever the plugins are
OF_RUN = "file and step of a certificate: not held to the file that the run kept"  # all else of the file is
NO_KERNELS = "its format is "  # how it begins why a file of another format was not tried


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
    check_left_out(run, known, findings)
    for cell in run.scored:
        row = (run.rows or {}).get(cell)
        if row is None or row.get("status") != "ok":
            continue
        record = known.get(str(row.get("digest")))
        if record is None:
            if any(name.startswith(PREFIX) for name in row):
                findings.wrong(cell, "portability: it is claimed, and the journal tells of no certificate")
            continue
        for name in {*record["found"], *(name for name in row if name.startswith(PREFIX))}:
            findings.hold(row, name, record["found"].get(name))


def check_left_out(run: Run, known: dict[str, Record], findings: Findings) -> None:
    """No file was left out of which something can be said: what failed is tried again when the run is resumed."""
    if not known and is_file(run.folder, PAGE) and TRIED in section_of(run):
        findings.wrong(PAGE, "portability: it tells of certificates, and the journal of none")
    left = {digest: told["found"] for digest, told in known.items() if told["found"][PREFIX] == NOT_TRIED}
    triable = {*TRIABLE, *(row["format"] for digest in known.keys() - left.keys() for row in of_file(run, digest))}
    for digest, found in left.items():
        reason = str(found.get("portability_reason"))
        for row in of_file(run, digest)[:1]:
            check_page(run, row, NOT_TRIED, [], findings)
            if row["format"] in triable or not reason.startswith(f"{NO_KERNELS}{row['format']}, "):
                findings.wrong(row["id"], f"not finished, its portability was not tried ({reason[:100]}): resume it")


def of_file(run: Run, digest: str) -> list[Row]:
    """The rows of a file that work."""
    rows = (run.rows or {}).values()
    return [
        row for row in rows if row.get("digest") == digest and row.get("status") == "ok" and row["id"] in run.scored
    ]


def check_digest(run: Run, name: str, claimed: str, findings: Findings) -> None:
    if (found := hashed_file(run.folder, name)[0]) != claimed:
        findings.wrong("journal.jsonl", f"{name}: SHA-256 {claimed[:12]} is claimed, {found[:12]} was found")
    else:
        findings.digests += 1


def check_claims(run: Run, digest: str, found: dict[str, Any], where: str, findings: Findings) -> None:
    """What the journal says of a file, against the certificate in the folder, and that against its answers."""
    if found[PREFIX] == NOT_TRIED:
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
    unchecked = [OF_RUN if each == ALONE else each for each in held.unchecked]
    findings.unchecked += [each for each in unchecked if each not in findings.unchecked]
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
        meant = (scored.get("artifact") or {}).get("record") or {}
        if scored["row"].get("digest") != digest or not meant:
            continue
        if record["task"] != meant.get("task"):
            findings.wrong(where, f"its task is not that of {cell}: other decisions are held against each other")
        for name in ("format", "precision"):
            if record[name] != meant.get(name):
                findings.wrong(where, f"its {name} is {record[name][:40]}, that of {cell} {meant.get(name)}")
    arrays = read_arrays(run.folder, f"{place}/{ANSWERS}")
    if not np.array_equal(arrays["x"].astype(np.float32), run.beats["x"].astype(np.float32)):
        findings.wrong(where, "its beats are not those of the run")
        return
    check_ways(run, record, arrays, digest, findings)
    for row in of_file(run, digest)[:1]:
        check_page(run, row, record["verdict"], record["tried"], findings)


def check_ways(run: Run, record: Record, arrays: dict[str, np.ndarray], digest: str, findings: Findings) -> None:
    """Each row of the file is a way that was tried, or it is told why not; and a way that is a row's answers as that
    did, bit for bit: in the same calls, with as many threads, by the kernels that the row's options choose."""
    depends = any(each["text"].startswith(CALLS) for each in record["findings"])
    held: set[int] = set()
    for row in of_file(run, digest):
        named = [i for i, each in enumerate(record["tried"]) if is_way_of(row, each, i, record["runtime"])]
        if not named:
            if not any(is_told_of(row, each["what"]) for each in record["not_tried"]):
                findings.wrong(row["id"], "portability: it is no way that was tried, nor is it told why not")
            continue
        if row.get("board") is not None and (depends or row["runtime"] != record["runtime"]):
            continue
        if row.get("device") != "cpu" and row["runtime"] not in KERNELS:
            continue  # a GPU's libraries choose their kernels anew in each session
        if (kept := outputs_of(run, row["id"], findings)) is None:
            continue
        same = [i for i in named if same_bits(flat(arrays[f"outputs_{i}"]), kept[arrays[f"numbers_{i}"]]).all()]
        held |= {*same}
        options = row.get("runtime_options") or {}
        if not same and (not options or (row["runtime"] in KERNELS and len(options) == 1)):
            name = f"{record['tried'][named[0]]['family']} on {record['tried'][named[0]]['place']}"
            findings.wrong(row["id"], f"portability: {name} does not answer as the outputs that the run kept")
    for name in (f"{each['family']} on {each['place']}" for i, each in enumerate(record["tried"]) if i not in held):
        if (told := f"the answers of {name}: no row of the run gives them") not in findings.unchecked:
            findings.unchecked.append(told)


def is_way_of(row: Row, way: Record, number: int, runtime: str) -> bool:
    """Whether a way answers as a row should: the first one of its runtime; one of its kernels, where options chose
    them; the one that is named for its runtime, or its board."""
    if row.get("board") is not None:
        return bool(way["place"].split(" (", 1)[0] == row["board"])
    if way["place"] != HERE or way["by"] != "run":
        return False
    if row["runtime"] != runtime:
        return bool(way["family"] == row["runtime"])
    return number == 0 or bool(row.get("runtime_options"))


def is_told_of(row: Row, what: str) -> bool:
    """Whether what was not tried is the way of a row."""
    if row.get("board") is not None:
        return what.endswith(f" on {row['board']}") or f" on {row['board']} (" in what
    return what == row["runtime"] or what == f"{row['runtime']} on {HERE}"


def outputs_of(run: Run, cell: str, findings: Findings) -> np.ndarray | None:
    """The outputs that the run kept of a cell, ``(N, values)``; None where they are not there, which others tell."""
    name = run.file(cell, "outputs.npy")
    if not is_file(run.folder, name):
        return None
    with findings.reading(cell, "its outputs"):
        kept = flat(read_array(run.folder, name)).astype(np.float32)
        return kept if len(kept) == len(run.beats["x"]) else None
    return None


def check_page(run: Run, row: Row, verdict: str, tried: list[Record], findings: Findings) -> None:
    """The page for people tells the verdict of a file, and of each way whether it was the same, as its certificate.

    Args:
        row: the first of the file.
    """
    if not is_file(run.folder, PAGE):
        return
    named = markdown(f"{row['model']} {row['format']} {row['precision']}: {verdict}: ")
    blocks = [f"- {each}" for each in section_of(run).split("\n- ")]
    if not any(each.startswith(f"- {named}") and tells(each, tried) for each in blocks):
        findings.wrong(row["id"], f"portability: {PAGE} tells otherwise what was tried")


def section_of(run: Run) -> str:
    """What the page says of portability."""
    text = read_bytes(run.folder, PAGE, LINES_BYTES).decode("utf-8")
    return text.partition("\n## Portability\n")[2].partition("\n## ")[0]


def tells(block: str, tried: list[Record]) -> bool:
    """Whether the lines of a file on the page are of these ways, and say which of them were the same."""
    lines = [line for line in block.splitlines() if line.startswith(TRIED)]
    names = [markdown(f"tried: {each['family']} on {each['place']}: ") for each in tried]
    return len(lines) == len(tried) and all(
        line.startswith(f"  - {name}") and (not i or (SAME in line) == (each["equal"] == 1.0))
        for i, (line, name, each) in enumerate(zip(lines, names, tried))
    )
