"""Every row: its figures found again, its status what they say."""

from __future__ import annotations

import math

from ecgedge.audit import answers, graphs, mixed, timing
from ecgedge.audit.findings import Findings, has_numbers, is_number
from ecgedge.audit.reading import JSON_BYTES, as_json, is_file, read_bytes
from ecgedge.audit.run import Record, Row, Run

OLDER = "an older ecgedge wrote it, without what each operation was taken for"
STATUSES = {"ok", "rejected", "failed", "timeout", "skipped"}
SINGLE = (  # taken once
    "load_ms", "first_call_us", "memory_kib", "memory_base_kib", "device_memory_kib", "load", "warm_up_calls",
    "sm_clock_mhz",
)  # fmt: skip


def check_rows(run: Run, findings: Findings) -> None:
    """Each row; graphs of an ecgedge that did not write down what operations do are told in one line."""
    for cell, row in (run.rows or {}).items():
        if cell not in run.scored or run.is_lost(cell):
            continue
        with findings.reading(cell, "the row"):
            check_row(run, row, findings)
    if older := findings.older:
        named = run.file(older[0], "graph.json") + (f" and {len(older) - 1} more" if len(older) > 1 else "")
        findings.wrong(named, f"{OLDER}, so that nothing can be said of the claim: measure it anew")
    known = set().union(*findings.seen.values())
    for cell, row in (run.rows or {}).items():
        for name, value in row.items():
            if has_numbers(value) and name not in findings.seen.get(cell, ()):
                if name in known:
                    findings.wrong(cell, f"{name}: it is claimed, and nothing that it could come from was found")
                elif name not in findings.unchecked:
                    findings.unchecked.append(name)


def check_row(run: Run, row: Row, findings: Findings) -> None:
    if row["status"] not in STATUSES:
        findings.wrong(row["id"], f"its status is {row['status']!r}")
    if row["status"] == "skipped":
        return
    if not row.get("reason") and row["status"] != "ok":
        findings.wrong(row["id"], f"it is {row['status']}, and no reason is given")
    check_identity(run, row, findings)
    check_single(row, findings)
    faults = [check_truth(run, row, findings), check_answers(run, row, findings)]
    if row["status"] == "ok" or (row["status"] == "rejected" and None not in faults):
        check_status(row, [fault for fault in faults if fault], findings)
    if row.get("emulated"):
        check_without_times(row, findings)
        return
    with findings.reading(row["id"], "its throughput"):
        if row["status"] == "ok" or any(name.startswith("throughput_") for name in row):
            timing.check_throughput(run, row, findings)
    if row["status"] == "ok" and row["id"] in run.samples:
        with findings.reading(row["id"], "its latency"):
            timing.check_latency(run, row, findings)
            timing.check_ratio(run, row, findings)


def check_without_times(row: Row, findings: Findings) -> None:
    """A row of a board that is emulated claims neither times nor memory."""
    measured = ("latency_", "throughput_", "load_ms", "first_call_us", "memory_", "energy_", "time_ratio", "host_p50")
    for name in row:
        if name.startswith(measured) and row[name] is not None:
            findings.wrong(row["id"], f"{name}: it is claimed of an emulated {row['emulated']}")


def check_identity(run: Run, row: Row, findings: Findings) -> None:
    """What a row shares with its run."""
    about = run.about
    for name, found in (
        ("beats", about["beats"]),
        ("threads", about["threads"]),
        ("batch", 1),
        ("dataset_digest", about["data_digest"]),
        ("profile", about["profile"]),
    ):
        findings.hold(row, name, found)
    findings.seen[row["id"]].add("blocks_asked")  # calls and rounds are held to the samples; nothing tells of a pause


def check_single(row: Row, findings: Findings) -> None:
    """Measured once, without samples: positive, if it is there at all."""
    seen = findings.seen[row["id"]]
    for name in SINGLE:
        value = row.get(name)
        if value is not None and not (is_number(value) and 0 <= value < math.inf):
            findings.wrong(row["id"], f"{name}: {value!r} cannot be")
        seen.add(name)
    cores = row.get("processors")
    if cores is not None and (len(set(cores)) != len(cores) or not 0 < len(cores) <= row["threads"]):
        findings.wrong(row["id"], f"processors: {cores} are claimed for {row['threads']} threads")
    seen.add("processors")


def check_status(row: Row, faults: list[str], findings: Findings) -> None:
    if row["status"] == "ok" and faults:
        findings.wrong(row["id"], f"status: ok is claimed, and {'; '.join(faults)}")
    if row["status"] == "rejected" and not faults:
        findings.wrong(row["id"], f"status: rejected is claimed ({row['reason']}), and nothing wrong was found")


def check_truth(run: Run, row: Row, findings: Findings) -> str | None:
    """The figures of the graph that ran; returns why it is not what the row claims, None where that cannot be said."""
    notes: Record = {}
    with findings.reading(row["id"], "its notes"):
        notes = mixed.check_notes(run, row, findings)
    graph = read_graph(run, row["id"], findings)
    if graph is None:
        if "computes" in row or not row.get("precision_check", "not checked").startswith("not checked"):
            findings.wrong(row["id"], "computes: there is no graph that tells it")
        return ""
    with findings.reading(row["id"], "its graph"):
        if not graphs.says_kinds(graph):
            findings.older.append(row["id"])
            findings.seen[row["id"]] |= graphs.FIGURES
            return None
        claim = graphs.claim_of(row["precision"], run.about.get("precisions") or {})
        if row["status"] in ("ok", "rejected") or "computes" in row:
            for name, found in graphs.examine(graph, claim).items():
                findings.hold(row, name, found, timing.FOURTH if name == "weight_shares" else 0.0)
        whole = parent_of(run, row)
        parent = read_graph(run, whole, findings) if whole else None
        fault = graphs.fault_of(graph, row["precision"], claim, row["device"], parent)
        return fault or (mixed.fault_of(graph, notes) if row["precision"] == "mixed" else "")
    return "its graph cannot be read"


def read_graph(run: Run, cell: str, findings: Findings) -> Record | None:
    with findings.reading(cell, "its graph"):
        if is_file(run.folder, run.file(cell, "graph.json")):
            graph: Record = as_json(read_bytes(run.folder, run.file(cell, "graph.json"), 16 * JSON_BYTES))
            return graph
    return None


def parent_of(run: Run, row: Row) -> str | None:
    """The cell with the fp32 form of a quantized one."""
    if row["precision"] == "fp32":
        return None
    names = ("model", "route", "format", "runtime", "board")
    for cell, record in run.scored.items():
        other = record["row"]
        if timing.is_whole(other) and all(other.get(name) == row.get(name) for name in names):
            return cell
    return None


def check_answers(run: Run, row: Row, findings: Findings) -> str:
    """The figures of the outputs; returns why they are wrong."""
    if row["status"] in ("failed", "timeout") and not {"accuracy", "auroc", "macro_auroc"} & row.keys():
        return ""
    fault, found = "its outputs cannot be read", Row()
    with findings.reading(row["id"], "its outputs"):
        told = answers.read_answers(run, row["id"])
        found, fault = answers.examine(told, row, run.about["seed"], run.about.get("precisions"))
        for name, value in found.items():
            findings.hold(without_words(row) if name in ("verdict", "gates") else row, name, value)
        check_words(row, findings)
    if row["status"] == "ok" and not found:
        findings.seen[row["id"]] |= row.keys()  # said once, not for each figure
    return fault


def without_words(row: Row) -> Row:
    """A row whose verdict and gates are figures only."""
    gates = [{key: value for key, value in gate.items() if key != "text"} for gate in row.get("gates", [])]
    verdict = row.get("verdict")
    return row | {
        "gates": gates,
        "verdict": verdict and {key: value for key, value in verdict.items() if key != "text"},
    }


def check_words(row: Row, findings: Findings) -> None:
    """The text of a verdict begins with its result."""
    verdict = row.get("verdict")
    if verdict and not verdict["text"].startswith(verdict["result"]):
        findings.wrong(row["id"], f"verdict: the text {verdict['text']!r} for the result {verdict['result']!r}")
