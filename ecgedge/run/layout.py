"""What the files of a run's folder must hold: ``run.json``, each record of the journal, each row, each graph.

The format has a number, ``SCHEMA``. A field that these tables do not name may be there, as long as JSON can hold it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ecgedge.files.opening import is_name, is_path
from ecgedge.files.schema import (
    Rule,
    SchemaError,
    flag,
    free,
    list_of,
    maybe,
    number,
    one_of,
    record,
    table_of,
    unlike,
    whole,
    words,
)
from ecgedge.run.request import REQUEST

SCHEMA = 2  # of the folder
MANY = 1_000_000  # cells, rounds, entries of a list
COUNT = 2**53
THROUGHPUT = re.compile(r"throughput_([1-9]\d{0,8})_per_s")

WORD, LINE, TEXT = words(300), words(10_000), words(1_000_000)
LABEL = words(1000)
STATUSES = ("ok", "rejected", "failed", "timeout", "skipped")
PROFILES = ("quick", "full")


def name(value: Any, where: str) -> str:
    """What files of a cell are named by."""
    if not is_name(value):
        raise unlike(where, value, "the name of a file")
    return str(value)


def path(value: Any, where: str) -> str:
    """A path within the folder."""
    if not is_path(value):
        raise unlike(where, value, "a path within the folder of the run")
    return str(value)


def either(*rules: Rule) -> Rule:
    """What the first of some rules takes that takes it; what the last one says where none does."""

    def check(value: Any, where: str) -> Any:
        for rule in rules[:-1]:
            try:
                return rule(value, where)
            except SchemaError:
                pass
        return rules[-1](value, where)

    return check


COUNTED, TRIED_COUNT = whole(0, COUNT), whole(1, COUNT)
SHARE = number(least=0, below=1 + 1e-9)
CHANGE = number(least=-1 - 1e-9, below=1 + 1e-9)
POSITIVE = number(above=0, below=1e15)
AMOUNT = number(least=0, below=1e15)
WORDS = list_of(TEXT, MANY)
ANY = free(most=50_000_000)

MACHINE = record(
    {
        "cpu": LINE,
        "isa": list_of(WORD, 1000),
        "cores": maybe(whole(1, MANY)),
        "governor": maybe(LINE),
        "load": maybe(AMOUNT),
        "energy": either(LINE, record({"counter": LINE}, {"idle_w": number()}, others=ANY)),
        "system": LINE,
    },
    {"gpu": maybe(LINE)},
    others=ANY,
)
VERSIONS = table_of(WORD, 10_000)
DIGESTS = table_of(WORD, MANY)
CELLS = list_of(name, MANY, unique=True)
ABOUT = record(
    {
        "command": TEXT,
        "request": REQUEST,
        "data": LINE,
        "data_source": LINE,
        "data_digest": WORD,
        "labels": list_of(LABEL, 100_000, least=1),
        "beats": whole(1, 10**9),
        "profile": WORD,
        "rounds": whole(1, 10_000),
        "seed": whole(0, 2**63 - 1),
        "threads": whole(1, 100_000),
        "sources": DIGESTS,
        "cells": CELLS,
        "skips": CELLS,
        "machine": MACHINE,
        "versions": VERSIONS,
        "started": WORD,
    },
    {  # older runs know none of these
        "rounds_most": whole(1, 100_000),
        "batch_sizes": maybe(list_of(whole(1, 2**20), 1000, least=1)),
        "environments": table_of(VERSIONS, 1000),
        "files": table_of(WORD, 1000),
    },
    others=ANY,
)

VERDICT = record(
    {
        "result": one_of("better", "same", "worse"),
        **dict.fromkeys(("difference", "low", "high"), CHANGE),
        "p": SHARE,
        "text": TEXT,
    },
    {"against": LINE},
    others=ANY,
)
RATIO = record(
    {**dict.fromkeys(("ratio", "low", "high"), POSITIVE), "result": one_of("faster", "slower", "tie", "unsteady")},
    {"to": name, "rounds": COUNTED},
    others=ANY,
)
ROW = record(
    {
        "id": name,
        "model": LINE,
        "task": one_of("classification", "anomaly"),
        "format": LINE,
        "precision": maybe(LINE),
        "runtime": LINE,
        "status": one_of(*STATUSES),
    },
    {
        **dict.fromkeys(("quantizer", "device", "dataset", "profile", "placement", "digest", "dataset_digest"), LINE),
        **dict.fromkeys(("reason", "truth"), TEXT),
        **{key: maybe(LINE) for key in ("environment", "stage", "copies", "runtime_computes")},
        **dict.fromkeys(("input_dtype", "output_dtype"), LINE),
        "artifact": path,
        "route": list_of(LINE, 1000),
        "passes": list_of(LINE, 10_000),
        "runtime_options": table_of(ANY, 1000),
        "threads": whole(1, 100_000),
        "batch": whole(1, 2**20),
        "beats": whole(1, 10**9),
        "size_bytes": TRIED_COUNT,
        # of the answers
        **dict.fromkeys(("accuracy", "macro_f1", "f1", "f1_refitted", "accuracy_low", "accuracy_high"), SHARE),
        **dict.fromkeys(("anomaly_precision", "anomaly_recall", "equal_decisions"), SHARE),
        **{key: maybe(SHARE) for key in ("auroc", "auprc", "auroc_low", "auroc_high")},
        **{key: number(least=0) for key in ("max_abs_diff", "mean_abs_diff", "threshold", "threshold_refitted")},
        "threshold_drift": maybe(number()),
        "cosine": number(),
        "tolerance": table_of(number(), 100),
        "changed_decisions": COUNTED,
        "changed": list_of(
            record({"beat": COUNTED, "reference": COUNTED, "here": COUNTED, "margin": number(least=0)}, others=ANY),
            MANY,
        ),
        "confusion": list_of(list_of(COUNTED, 100_000), 100_000, least=1),
        "per_class": table_of(
            record({**dict.fromkeys(("precision", "recall", "f1"), SHARE), "support": COUNTED}, others=ANY), 100_000
        ),
        "recall_change": table_of(maybe(CHANGE), 100_000),
        "support": table_of(COUNTED, 100),
        "verdict": maybe(VERDICT),
        "gates": list_of(
            record({"gate": LINE, "text": TEXT}, {"label": LABEL, "change": number(), "p": SHARE}, others=ANY), MANY
        ),
        # of the graph
        "weight_shares": table_of(SHARE, 1000),
        "exempt": list_of(ANY, MANY),
        "computes": table_of(COUNTED, 10_000),
        "placed": table_of(COUNTED, 10_000),
        "float_ops": WORDS,
        "faults": list_of(ANY, MANY),
        "notes": record({}, {"text": TEXT}, others=ANY),
        "figures": table_of(either(number(), TEXT), 10_000),
        # measured once
        **dict.fromkeys(("load_ms", "first_call_us"), AMOUNT),
        **{key: maybe(AMOUNT) for key in ("memory_kb", "memory_base_kb", "device_memory_kb", "load", "sm_clock_mhz")},
        "processors": maybe(list_of(whole(0, MANY), MANY)),
        "warm_up_calls": COUNTED,
        "stable": flag,
        # of the timed calls
        **{f"latency_{key}_us": POSITIVE for key in ("p50", "p50_low", "p50_high", "p90", "p95")},
        "latency_p99_us": maybe(POSITIVE),
        "host_p50_us": AMOUNT,
        "timed_calls": TRIED_COUNT,
        "blocks": whole(1, 100_000),
        "blocks_quick": whole(0, 100_000),
        "unsteady": flag,
        "cpu_share": AMOUNT,
        "energy_uj_per_beat": either(number(), LINE),
        "noise_floor": maybe(AMOUNT),
        "time_ratio": RATIO,
    },
    others=ANY,
)
TRIED = ("precision", "route", "quantizer", "batch", "threads")  # of a row that is not skipped
WORKS = ("size_bytes", "artifact", "gates", "verdict")  # of one that is ok
TIMED = (
    "latency_p50_us", "latency_p50_low_us", "latency_p50_high_us", "latency_p90_us", "latency_p95_us", "host_p50_us",
    "timed_calls", "blocks",
)  # fmt: skip
ANSWERED = {
    "classification": ("accuracy", "accuracy_low", "accuracy_high", "macro_f1", "confusion"),
    "anomaly": ("auroc", "auroc_low", "auroc_high", "f1", "threshold"),
}


def scored_row(row: Any, where: str) -> dict[str, Any]:
    """A row as the journal has it: all but what is timed in turns."""
    ROW(row, where)
    needed = ["reason"] if row["status"] != "ok" else [*WORKS, *ANSWERED[row["task"]]]
    needed += TRIED if row["status"] != "skipped" else ()
    needed += ("weight_shares", "placement") if row.get("computes") else ()
    needed += ("blocks_quick", "blocks") if row.get("unsteady") else ()
    need(row, needed, where)
    if row["status"] in ("ok", "rejected") and row["precision"] is None:
        raise unlike(f"{where}.precision", None, "that of a file")
    if row["status"] == "ok" and row["task"] == "anomaly":
        known = [row[key] is not None for key in ("auroc", "auroc_low", "auroc_high")]
        if any(known) and not all(known):
            raise SchemaError(f"{where} has an AUROC without its interval, or the other way round")
    if any(len(line) != len(row["confusion"]) for line in row.get("confusion", ())):
        raise SchemaError(f"{where}.confusion has not as many columns as lines")
    for key in row:
        if key.startswith("throughput_"):
            if not THROUGHPUT.fullmatch(key):
                raise SchemaError(f"{where} has the key {key[:60]!r}, which no throughput has")
            POSITIVE(row[key], f"{where}.{key}")
    return dict(row)


def finished_row(row: Any, where: str) -> dict[str, Any]:
    """A row as ``rows.jsonl`` has it."""
    scored_row(row, where)
    if row["status"] == "ok":
        need(row, TIMED, where)
    return dict(row)


def need(row: Mapping[str, Any], names: Any, where: str) -> None:
    for each in names:
        if each not in row:
            raise SchemaError(f"{where} has no {each}")


PACKED = record(
    {"path": path, "record": record({"task": free(dict)}, others=ANY)}, {"model": maybe(LINE)}, others=ANY
)  # ``records`` knows more of it
LOST = record({"status": one_of("failed", "timeout"), "stage": LINE, "reason": TEXT}, others=ANY)
EVENTS: dict[str, Rule] = {  # of the journal, by name
    "start": record({"time": WORD}, {"load": maybe(AMOUNT)}, others=ANY),
    "scored": record(
        {"cell": name, "row": scored_row}, {"artifact": maybe(PACKED), "files": table_of(WORD, 10_000)}, others=ANY
    ),
    "twin": record({"cell": name, "name": name}, others=ANY),
    "warm": record(
        {"cell": name, "warm_up_calls": COUNTED, "stable": flag, "load": maybe(AMOUNT)},
        {"sm_clock_mhz": maybe(AMOUNT)},
        others=ANY,
    ),
    "block": record(
        {
            "cell": name,
            "round": whole(0, 100_000),
            "offset": COUNTED,
            "calls": whole(1, 2**40),
            "sha256": WORD,
            "cpu_share": AMOUNT,
        },
        {
            "reference_ns": list_of(POSITIVE, 2, least=2),
            "kernel": WORD,
            **{key: number(least=0, below=1e6) for key in ("steal", "waited")},
            "seconds": AMOUNT,
            "active_uj": number(),
            "package_uj": number(),
        },
        others=ANY,
    ),
    "failed": record({"cell": name, "row": LOST}, others=ANY),
}

NODE = record(
    {
        **dict.fromkeys(("name", "op", "runner", "device"), LINE),
        **{key: list_of(WORD, MANY) for key in ("takes", "gives")},
        "constants": list_of(COUNTED, MANY),
    },
    {
        **{key: list_of(list_of(whole(0, COUNT), 100), MANY) for key in ("input_shapes", "output_shapes")},
        "makes": LINE,
    },
)
WEIGHT = record({"name": LINE, "dtype": WORD, "size_bytes": COUNTED}, {"digest": WORD})
GRAPH = record(
    {"nodes": list_of(NODE, MANY), "weights": maybe(list_of(WEIGHT, MANY))},
    {"partitions": maybe(COUNTED), "delegate": LINE, "input": LINE, "output": LINE, "free_batch": flag},
)


class OtherFormat(SchemaError):
    """The folder is of another number than ``SCHEMA``."""


def check_about(about: Any) -> None:
    """Raise SchemaError where ``run.json`` is none; one of another format is told by its number."""
    if not isinstance(about, dict):
        raise SchemaError("it is no table")
    if type(found := about.get("schema")) is not int or found != SCHEMA:
        said = f"is {found}" if type(found) is int else "is not told"
        raise OtherFormat(f"the number of its format (schema) {said}, this ecgedge reads {SCHEMA}")
    ABOUT(about, "")


def check_record(told: Any) -> None:
    """Raise SchemaError where a line of the journal is no record of a known event."""
    event = told.get("event") if isinstance(told, dict) else None
    if not isinstance(event, str) or event not in EVENTS:
        raise unlike("event", event, f"one of {', '.join(EVENTS)}")
    EVENTS[event](told, "")
