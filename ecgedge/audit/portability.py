"""A certificate of ``ecgedge portability`` once more, from the outputs that lie beside it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from ecgedge.audit import several
from ecgedge.audit.answers import errors, flat, of_classes
from ecgedge.audit.findings import Findings
from ecgedge.audit.portability_rules import (
    ANSWERS,
    check_arrays,
    check_left_out,
    check_overflow,
    check_record,
    check_saturation,
    check_ways,
)
from ecgedge.audit.reading import JSON_BYTES, as_json, is_file, read_arrays, read_bytes
from ecgedge.files.schema import SchemaError

CERTIFICATE = "portability.json"
VERDICTS = ("exact", "equivalent", "fragile")
CALLS = "an answer depends on which beats"  # are in the same call: how a finding begins
ALONE = "file, digest, format, precision, step, labels and scores of the task: the file itself is not kept here"
UNCHECKED = (
    ALONE,
    "runtime, data, machine, versions, and of each way family, about, place and ran: nothing that is kept tells them",
    "not_tried, saturation, overflow, findings: held against what was tried, and not found again",
)


def is_certificate(place: Path) -> bool:
    return place.is_dir() and is_file(place, CERTIFICATE)


def check_certificate(folder: Path) -> Findings:
    """What holds of a certificate in a folder, and what does not."""
    findings = Findings()
    with findings.reading(CERTIFICATE, "it"):
        try:
            check_all(findings, folder)
        except SchemaError as error:
            findings.wrong(CERTIFICATE, str(error))
    return findings


def check_all(findings: Findings, folder: Path) -> None:
    """Raise SchemaError, or one of those that are read as damage, where there is nothing to be found again."""
    record = as_json(read_bytes(folder, CERTIFICATE, JSON_BYTES))
    check_record(record)
    arrays = read_arrays(folder, ANSWERS)
    check_arrays(record, arrays)
    tried, x, task = record["tried"], arrays["x"].astype(np.float32), record["task"]
    all_flips, largest, is_exact = 0, 0.0, True
    for i, row in enumerate(tried):
        check_against(record, arrays, i)
        found = figures(i, arrays, x, task, record["step"])
        for name, value in found.items():
            findings.hold({"id": f"{row['family']} on {row['place']}", **row}, name, value)
        all_flips, largest = all_flips + len(found["flips"]), max(largest, found["largest"])
        is_exact = is_exact and found["equal"] == 1.0
        check_confirmed(findings, record, arrays, i)
    whole = {"id": "certificate", **record}
    findings.hold(whole, "verdict", VERDICTS[2 if all_flips else 0 if is_exact else 1])
    findings.hold(whole, "largest", largest)
    findings.hold(whole, "beats", len(x))
    findings.hold(whole, "margin", float(margins(flat(arrays["outputs_0"]), x, task).min()))
    for check in (check_ways, check_left_out, check_saturation, check_overflow):
        check(findings, record)
    findings.unchecked += UNCHECKED


def check_against(record: dict[str, Any], arrays: dict[str, np.ndarray], i: int) -> None:
    """Raise SchemaError where a way is held against anything but the first one's answers to the same beats.

    Only where an answer depends on the beats in its call, as the certificate then says, the first was asked once more
    for ways that were given a part of them.
    """
    depends = any(each["text"].startswith(CALLS) for each in record["findings"])
    if depends and record["tried"][i]["by"] != "run":
        return
    numbers, first = arrays[f"numbers_{i}"], flat(arrays["outputs_0"])
    if not same_bits(flat(arrays[f"against_{i}"]), first[numbers]).all():
        raise SchemaError(f"way {i} is not held against the answers of the first")


def figures(i: int, arrays: dict[str, np.ndarray], x: np.ndarray, task: dict[str, Any], step: float | None) -> Any:
    """What is claimed of the answers of one way."""
    numbers = arrays[f"numbers_{i}"]
    there, here = (flat(arrays[f"{name}_{i}"]).astype(np.float32) for name in ("outputs", "against"))
    if i == 0 and not (np.array_equal(numbers, np.arange(len(x))) and same_bits(there, here).all()):
        raise SchemaError("the first way is not what the others are held against")
    beats = x[numbers]
    was, now = decided(here, beats, task), decided(there, beats, task)
    distance = margins(here, beats, task)
    same = (there == here) | (np.isnan(there) & np.isnan(here))
    apart = np.where(same, 0.0, np.abs(there.astype(np.float64) - here))
    largest = float(np.where(np.isfinite(apart), apart, np.finfo(np.float32).max).max())
    return {
        "beats": len(numbers),
        "equal": float(same_bits(there, here).mean()),
        "largest": largest,
        "steps": None if step is None else largest / step,
        "flips": [
            {
                "beat": int(numbers[j]),
                "here": int(was[j, *at]),
                "there": int(now[j, *at]),
                "margin": float(distance[j, *at]),
                "label": int(at[0]) if at else None,
            }
            for j, *at in np.argwhere(was != now)
        ],
        "digest": hashlib.sha256(np.ascontiguousarray(there, "<f4").tobytes()).hexdigest(),
    }


def same_bits(there: np.ndarray, here: np.ndarray) -> np.ndarray:
    """Which values are the same as float32, bit for bit."""
    return np.equal(*(np.ascontiguousarray(each, "<f4").view("<u4") for each in (there, here)))


def decided(outputs: np.ndarray, beats: np.ndarray, task: dict[str, Any]) -> np.ndarray:
    if task["kind"] == "anomaly":
        return np.asarray(errors(outputs, beats, task) > task["threshold"]).astype(int)
    if task["kind"] == "multilabel":
        return np.asarray(several.said(outputs, task))
    return np.asarray(classes(outputs, task).argmax(axis=1))


def margins(outputs: np.ndarray, beats: np.ndarray, task: dict[str, Any]) -> np.ndarray:
    """How far each decision is from another."""
    if task["kind"] == "anomaly":
        return np.abs(errors(outputs, beats, task) - task["threshold"])
    if task["kind"] == "multilabel":
        return np.asarray(several.margins(outputs, task))
    best = np.sort(classes(outputs, task), axis=1)
    return np.asarray(best[:, -1] - best[:, -2])


def classes(outputs: np.ndarray, task: dict[str, Any]) -> np.ndarray:
    """A column a class, also where a file gives one for the second of two alone."""
    return of_classes(outputs, task) if outputs.shape[1] == 1 else outputs


def check_confirmed(findings: Findings, record: dict[str, Any], arrays: dict[str, np.ndarray], i: int) -> None:
    """Who is said to give an emulator's answers without one has to give them."""
    tried = record["tried"]
    if not (name := tried[i]["confirmed"]):
        return
    for j, other in enumerate(tried):
        if other["by"] != "emulator" and f"{other['family']} on {other['place']}" == name:
            place = {int(number): k for k, number in enumerate(arrays[f"numbers_{j}"])}
            rows = [place.get(int(number), -1) for number in arrays[f"numbers_{i}"]]
            if -1 not in rows and same_bits(flat(arrays[f"outputs_{j}"])[rows], flat(arrays[f"outputs_{i}"])).all():
                return
    findings.wrong(str(tried[i]["place"]), f"{name} does not confirm it")
