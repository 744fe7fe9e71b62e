"""Do the journal, ``rows.jsonl``, ``report.csv`` and the plan in ``run.json`` tell the same? Is the run finished?"""

from __future__ import annotations

import csv
import io

from ecgedge.audit.findings import MISSING, Findings, shown
from ecgedge.audit.reading import LINES_BYTES, read_bytes
from ecgedge.audit.run import Row, Run

RESUME = "resume it"


def check_tables(run: Run, findings: Findings) -> None:
    unfinished = check_finished(run, findings)
    if run.rows is None:
        if not unfinished:
            findings.wrong("rows.jsonl", "it is missing")
        return
    check_cells(run, findings)
    check_boards(run, findings)
    for cell in run.lost:
        if run.is_lost(cell) and run.rows[cell] != run.lost[cell]:
            findings.wrong(cell, "rows.jsonl says otherwise than the journal that its board was lost")
    for cell in run.scored:
        if run.is_lost(cell):
            continue
        if cell in run.rows:
            check_row_of_journal(run, cell, run.rows[cell], findings)
        elif cell not in unfinished:
            findings.wrong(cell, "it is in the journal and not in rows.jsonl")
    for cell in run.rows.keys() - run.scored.keys() - run.lost.keys():
        findings.wrong(cell, "it is in rows.jsonl and not in the journal")
    with findings.reading("report.csv", "it"):
        check_csv(run, run.rows, findings)


def check_boards(run: Run, findings: Findings) -> None:
    """Boards were lost to cells that were planned, and what was timed on one was timed since it was started last."""
    for record in run.of("lost"):
        cell, row = record["cell"], record["row"]
        if cell not in run.about["cells"] or row.get("id") != cell or row.get("status") == "ok":
            findings.wrong(cell, "its board is said to be lost, and it was not planned, or its row says otherwise")
    boots: dict[tuple[str, str | None], set[str]] = {}
    for record in run.of("warm"):
        if "boot" in record and record["cell"] in run.timed():
            boots.setdefault((run.model(record["cell"]), run.board(record["cell"])), set()).add(record["boot"])
    for (model, board), found in boots.items():
        if len(found) > 1:
            findings.wrong(model, f"on {board} it was timed partly before that was started anew, which does not count")


def check_finished(run: Run, findings: Findings) -> set[str]:
    """Say which cells lack something; returns them."""
    lacking = {}
    for cell in run.about["cells"]:
        if cell not in run.scored:
            lacking[cell] = "it was not scored"
    if (run.about.get("request") or {}).get("portability"):
        tried = {record["digest"] for record in run.of("portability")}
        for cell in run.scored.keys() - run.lost.keys() - lacking.keys():
            if run.base(cell).get("status") == "ok" and run.base(cell).get("digest") not in tried:
                lacking[cell] = "its portability was not tried"
    done: dict[str, set[int]] = {name: set() for name in run.timed()}
    wanted: dict[tuple[str, str | None], int] = {}
    for block in run.of("block"):
        if (name := block["cell"]) in done:
            done[name].add(block["round"])
            if not run.is_fixed(name):  # rounds are added for all of these together
                group = run.model(name), run.board(name)
                wanted[group] = max(wanted.get(group, 0), block["round"] + 1)
    for name in sorted(done):
        added = wanted.get((run.model(name), run.board(name)), 0)
        rounds = run.rounds(name) if run.is_fixed(name) else max(run.rounds(name), added)
        if missing := sorted(set(range(rounds)) - done[name]):
            lacking[name] = f"rounds {', '.join(map(str, missing))} are missing"
    for name, what in sorted(lacking.items()):
        findings.wrong(name, f"not finished, {what}: {RESUME}")
    models, paired = (
        {(run.model(cell), *run.by(cell)) for cell in cells if cell in run.scored}
        for cells in (run.timed(), run.twins.values())
    )
    for model, board, clock in sorted(models - paired):
        place = (f" on {board}" if board else "") + (f" by {clock}" if clock else "")
        what = f"none of its cells was timed twice{place}"
        findings.wrong(model, f"not finished, {what}: {RESUME}")
    return set(lacking)


def check_cells(run: Run, findings: Findings) -> None:
    """The rows are the cells and the skips that were planned."""
    for skip in run.about["skips"]:
        if skip not in run.scored:
            findings.wrong(skip, "it was planned to be skipped, and has no row")
    for cell, record in run.scored.items():
        row = record["row"]
        planned, skipped = cell in run.about["cells"], row.get("status") == "skipped"
        if planned == skipped or skipped != (cell in run.about["skips"]):
            findings.wrong(cell, "it was planned, and is said to be skipped" if planned else "it was not planned")
        way = [] if skipped else [*row.get("route", ()), row.get("quantizer")]
        place = f"@{row['board']}" if row.get("board") else ""
        if cell != row.get("id") or cell != ".".join(map(str, [row.get("model"), *way, row.get("runtime")])) + place:
            findings.wrong(cell, "its name is not made of its model, route, quantizer, runtime and board")
        known = run.about.get("boards", {}).get(row.get("board"), {})
        if place and not known:
            findings.wrong(cell, f"run.json tells of no board {row['board']}")
        elif place and not skipped and known.get("emulated") != row.get("emulated"):
            findings.wrong(cell, "whether its board is emulated is told otherwise in run.json")


def check_row_of_journal(run: Run, cell: str, row: Row, findings: Findings) -> None:
    for name, told in run.base(cell).items():
        if name not in row or row[name] != told:
            claimed = shown(row.get(name, MISSING))
            findings.wrong(cell, f"{name}: rows.jsonl says {claimed}, the journal {shown(told)}")


def check_csv(run: Run, rows: dict[str, Row], findings: Findings) -> None:
    """``report.csv`` holds what is flat of each row."""
    text = read_bytes(run.folder, "report.csv", LINES_BYTES).decode("utf-8")
    flat = {line["id"]: line for line in csv.DictReader(io.StringIO(text, newline=""))}
    for cell in rows.keys() ^ flat.keys():
        findings.wrong(cell, f"it is in {'rows.jsonl' if cell in rows else 'report.csv'} only, not in the other")
    for cell in rows.keys() & flat.keys():
        row = rows[cell] | {f"figures.{name}": value for name, value in (rows[cell].get("figures") or {}).items()}
        for name in dict.fromkeys([*row, *flat[cell]]):
            told = row.get(name)
            if not isinstance(told, dict | list) and (told_flat := flat[cell].get(name)) != as_text(told):
                findings.wrong(cell, f"{name}: report.csv says {told_flat}, rows.jsonl {as_text(told)}")


def as_text(value: object) -> str:
    return "" if value is None else str(value)
