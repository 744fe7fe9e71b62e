"""The raw samples of timed calls: all there, none besides, as the journal describes them."""

from __future__ import annotations

import hashlib

import numpy as np

from ecgedge.audit.findings import Findings
from ecgedge.audit.reading import read_bytes
from ecgedge.audit.run import Record, Run

PAIR = 16  # bytes of a call's two samples
CALLS, SECONDS = 100, 10.0  # a block has so many calls, or lasted that long
LOST = 0.1  # seconds of such a block that lie between its calls


def check_samples(run: Run, findings: Findings) -> None:
    blocks: dict[str, list[Record]] = {}
    for record in run.of("block"):
        blocks.setdefault(record["cell"], []).append(record)
    files = {path.name.removesuffix(".i64"): path for path in sorted((run.folder / "samples").glob("*"))}
    for name in sorted(blocks.keys() | files.keys()):
        if name not in run.scored and name not in run.twins:
            findings.wrong(name, "it has samples, and is neither a cell nor one that was timed twice")
        elif name not in files:
            findings.wrong(name, f"samples/{name}.i64 is missing")
        else:
            with findings.reading(name, "its samples"):
                content = read_bytes(run.folder, f"samples/{files[name].name}")
                check_file(run, name, content, blocks.get(name, []), findings)


def calls_fault(run: Run, name: str, block: Record, samples: np.ndarray) -> str:
    """Why a block has not the calls that it should have; empty where it has.

    Those that the runtime asked for, exactly; or as many as every block has, where it did not last so long that fewer
    are no fault.
    """
    wanted = run.asked(name).get("calls")
    if wanted is not None:
        return "" if block["calls"] == wanted else f"{block['calls']} calls, {wanted} were asked for"
    within = None if block.get("clock") else float(samples.sum()) / 1e9
    return "" if block["calls"] >= CALLS or lasted_long(block, within) else f"only {block['calls']} calls"


def lasted_long(block: Record, within: float | None) -> bool:
    """Whether a block lasted so long that few calls are no fault; others may have had their turn between its calls.

    Args:
        within: seconds of its calls; None: by another clock. Older runs tell of no others.
    """
    lasted = block.get("seconds")
    if lasted is None:
        return within is not None and within >= SECONDS - LOST
    return bool(lasted >= SECONDS and (within is None or within <= lasted + LOST))


def check_file(run: Run, name: str, content: bytes, blocks: list[Record], findings: Findings) -> None:
    """The blocks of one name, in the order in which they lie in the file."""
    end, before = 0, len(findings.reasons)
    most = run.rounds(name) if run.is_fixed(name) else run.rounds_most
    found: dict[int, np.ndarray] = {}
    for block in sorted(blocks, key=lambda block: block["offset"]):
        told, start = f"round {block['round']}", block["offset"]
        if start != end:
            findings.wrong(name, f"{told} starts at byte {start:,} of its samples, and not at {end:,}")
        end = start + block["calls"] * PAIR
        part = content[start:end]
        if hashlib.sha256(part).hexdigest() != block["sha256"]:
            findings.wrong(name, f"the samples of {told} are not those of the journal, by their digest")
        if len(part) != end - start:
            findings.wrong(name, f"the samples of {told} are cut off")
            continue
        if block["round"] in found or not 0 <= block["round"] < most:
            findings.wrong(name, f"{told} is there twice, or was not asked for")
        found[block["round"]] = np.frombuffer(part, "<i8").reshape(-1, 2)
        if fault := calls_fault(run, name, block, found[block["round"]]):
            findings.wrong(name, f"{told} has {fault}")
        if block.get("clock") != run.clock(name):
            was, now = run.clock(name) or "this machine's clock", block.get("clock") or "this machine's clock"
            findings.wrong(name, f"{told} was timed by {now}, its row says by {was}")
    if len(content) > end:
        findings.wrong(name, f"{len(content) - end:,} bytes at the end of its samples belong to no block")
    if len(found) >= run.rounds(name) and sorted(found) == list(range(len(found))):
        run.samples[name] = [found[number] for number in sorted(found)]
    findings.digests += len(findings.reasons) == before
