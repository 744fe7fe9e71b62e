"""What the files of a run's folder must hold: ``run.json``, each record of the journal, each row, each graph.

The format has a number, ``SCHEMA``. A field that these tables do not name may be there, as long as JSON can hold it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ecgedge.api.figures import BETTER, FIGURE_NAME, UNIT_NAME
from ecgedge.api.graph import KINDS
from ecgedge.api.precisions import PEAKS, TYPES
from ecgedge.evaluate.facts import key_of, keys_of, needed_of, rule_of
from ecgedge.evaluate.portable import Portable
from ecgedge.files.schema import (
    Rule,
    SchemaError,
    flag,
    free,
    like,
    list_of,
    maybe,
    number,
    one_of,
    record,
    table_of,
    unlike,
    whole,
)
from ecgedge.files.values import (
    AMOUNT,
    ANY,
    COUNT,
    COUNTED,
    LABEL,
    LINE,
    MANY,
    POSITIVE,
    TEXT,
    WORD,
    either,
    name,
    path,
)
from ecgedge.run.request import REQUEST
from ecgedge.run.row import GROUPS, THROUGHPUT, Identity, Outcome, facts

SCHEMA = 3  # of the folder

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
BOARD = record(
    {"cpu": LINE, "isa": list_of(WORD, 1000), "cores": maybe(whole(1, MANY)), "system": LINE, "libraries": VERSIONS},
    {"emulated": maybe(LINE), "governor": maybe(LINE), "memory_kib": maybe(COUNTED)},
    others=ANY,
)
DIGESTS = table_of(WORD, MANY)
PRECISION = record(
    {
        "name": WORD,
        "help": LINE,
        "weights": list_of(one_of(*TYPES), 100),
        "products": one_of("", *TYPES),
        "activations": list_of(one_of(*TYPES), 100),
        "cosine": maybe(number(-1)),
        "peak": one_of("", *PEAKS),
    },
    others=ANY,
)
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
        "precisions": table_of(PRECISION, 1000),
        "files": table_of(WORD, 1000),
        "boards": table_of(BOARD, 1000),
        "leads": list_of(LABEL, 1000),
    },
    others=ANY,
)

FIGURE = record(
    {
        "name": like(FIGURE_NAME, "the name of a figure"),
        "unit": like(UNIT_NAME, "a unit"),
        "better": one_of(*BETTER),
        "help": LINE,
        "exact": flag,
    }
)
FACTS = {key_of(fact): fact.metadata["rule"] for fact in facts()}
ALWAYS = [*needed_of(Identity), *needed_of(Outcome)]  # of a row, whatever became of its cell
ROW = record(
    {key: FACTS[key] for key in ALWAYS},
    {key: FACTS[key] for key in FACTS if key not in ALWAYS}
    | {"figures": table_of(either(number(), TEXT), 10_000), "figures_declared": list_of(FIGURE, 1000)},
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
    "multilabel": ("macro_auroc", "macro_auroc_low", "macro_auroc_high", "mean_f1", "exact_match", "label_ece"),
    "anomaly": ("auroc", "auroc_low", "auroc_high", "f1", "threshold"),
}


def scored_row(row: Any, where: str) -> dict[str, Any]:
    """A row as the journal has it: all but what is timed in turns."""
    ROW(row, where)
    for group in GROUPS.values():
        if any(key in row for key in keys_of(group)):
            need(row, needed_of(group), where)
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
    if row["status"] == "ok" and not row.get("emulated"):
        need(row, TIMED, where)
    return dict(row)


def lost_row(row: Any, where: str) -> dict[str, Any]:
    """A row whose board was lost before it was done."""
    FAILURE(row, where)
    return scored_row(row, where)


def certified(found: Any, where: str) -> dict[str, Any]:
    """What a row says of its certificate."""
    rule_of(Portable)(found, where)
    need(found, ["portability"], where)
    return dict(found)


def need(row: Mapping[str, Any], names: Iterable[str], where: str) -> None:
    for each in names:
        if each not in row:
            raise SchemaError(f"{where} has no {each}")


PACKED = record(
    {"path": path, "record": record({"task": free(dict)}, others=ANY)}, {"model": maybe(LINE)}, others=ANY
)  # ``records`` knows more of it
FAILURE = record({"status": one_of("failed", "timeout"), "stage": LINE, "reason": TEXT}, others=ANY)
EVENTS: dict[str, Rule] = {  # of the journal, by name
    "start": record({"time": WORD}, {"load": maybe(AMOUNT)}, others=ANY),
    "scored": record(
        {"cell": name, "row": scored_row}, {"artifact": maybe(PACKED), "files": table_of(WORD, 10_000)}, others=ANY
    ),
    "twin": record({"cell": name, "name": name}, others=ANY),
    "warm": record(
        {"cell": name, "warm_up_calls": COUNTED, "stable": flag, "load": maybe(AMOUNT)},
        {"sm_clock_mhz": maybe(AMOUNT), "boot": maybe(LINE)},
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
            "clock": LINE,
            "energy_uj": AMOUNT,
        },
        others=ANY,
    ),
    "failed": record({"cell": name, "row": FAILURE}, others=ANY),
    "lost": record({"cell": name, "row": lost_row}, others=ANY),
    "void": record({"cell": name, "reason": LINE}, others=ANY),
    "portability": record({"digest": WORD, "found": certified}, {"files": table_of(WORD, 10)}, others=ANY),
    "board": record({"board": name}, {"celsius": maybe(number()), "throttled": maybe(list_of(LINE, 100))}, others=ANY),
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
        "kind": one_of("", *KINDS),
        "macs": maybe(whole(0, 2**62)),
        "dynamic": flag,
        "data": whole(0, 100),
        "told": list_of(one_of("kind", "macs", "dynamic"), 3, unique=True),  # older runs know neither this nor data
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
