"""``ecgedge explain``: where a file's time goes, and what may help."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecgedge.api.artifact import Artifact
from ecgedge.errors import EcgEdgeError

if TYPE_CHECKING:  # the rest is imported when something is explained: ``import ecgedge`` is to stay quick
    from ecgedge.api.measured import Blocks
    from ecgedge.devices.boards import Board
    from ecgedge.explain.explanation import Explanation
    from ecgedge.explain.findings import Finding
    from ecgedge.plugins import Parts
    from ecgedge.run import Told
    from ecgedge.run.turns import Setting
    from ecgedge.workers.survey import Surveyed


@dataclass(frozen=True)
class Explained:
    """Where a file's time goes.

    Attributes:
        explanation: each operation with its time, its work and the machine's limit.
        findings: what stands out, with a remedy where there is one.
        batch: beats a call that were timed.
        threads: of the model.
        board: on which it ran; None: this machine.
    """

    explanation: Explanation
    findings: tuple[Finding, ...]
    batch: int
    threads: int
    board: Surveyed | None = None

    def record(self) -> dict[str, Any]:
        """All of it as JSON has it."""
        from ecgedge.files import typed_json
        from ecgedge.measure import machine

        e, there = self.explanation, typed_json.plain(self.board.facts) if self.board else None
        return {
            "file": str(e.artifact.path),
            "format": e.artifact.format,
            "precision": e.precision,
            "passes": list(e.artifact.passes),
            "runtime": e.runtime,
            "batch": self.batch,
            "threads": self.threads,
            "placement": e.graph.placement(),
            "operations": [dataclasses.asdict(line) for line in e.lines],
            "total": {
                "whole_us": e.whole_us,
                "operations_us": e.ops_us,
                "profiled_us": e.profiled_us,
                "told_us": e.told_us,
                "profiler_cost_us": e.cost_us,
                "cpu_share": e.cpu_share,
                "tick_us": e.tick,
                "calls": e.calls,
                "macs": e.macs,
                "bytes": e.bytes,
                "limit_us": e.limit_us,
            },
            "peaks": dict(e.peaks),
            "device": self.board.board.name if self.board else "host",
            "machine": there or machine.describe(),
            "versions": there["libraries"] if there else machine.versions(),
            "notes": list(e.notes),
            "against": dict(e.ratio) or None,
            "findings": [dataclasses.asdict(finding) for finding in self.findings],
        }


def explain(
    target: str | os.PathLike[str],
    *,
    row: str | Sequence[str] = (),
    runtime: str | None = None,
    device: str | None = None,
    batch: int | None = None,
    against: str | os.PathLike[str] | None = None,
    told: Told | None = None,
    trust: bool = False,
    options: Mapping[str, Any] | None = None,
    threads: int = 1,
    timeout: float = 300,
    memory: int | None = None,
) -> Explained:
    """Say why a file takes its time: each operation, how far it is from the machine's limit, and what to do.

    Args:
        target: the name of a model, a folder of a checkpoint, a file, or the folder of a run.
        row: of a run: the id of a row, or words that only it has; empty: the row that the run suggests.
        runtime: that runs it; None: that of the row, else the first that takes it and works there.
        device: a board, by its name; None: that of the row, else this machine.
        batch: beats a call; None: that of the file, else 1.
        against: a file that is timed in turns with it, one beat a call.
        told: which output of a file without a record is meant, where it has several.
        trust: code that a file brings may run.
        options: of the runtimes, as ``MatrixRequest`` has them.
        threads: of the model.
        timeout: seconds that a step in a child process may take.
        memory: millions of bytes that a child process may take; None: no limit.

    Raises:
        EcgEdgeError: there is no such file, no runtime runs it, its runtime tells nothing of its operations, or the
            board cannot be reached, or has no times.
    """
    from ecgedge.commands.loading import limits_of, load_parts, settled
    from ecgedge.commands.of_run import check_row, row_of_run
    from ecgedge.convert.opening import opener
    from ecgedge.devices.link import Link
    from ecgedge.explain import study
    from ecgedge.explain.findings import find
    from ecgedge.files.locks import gate
    from ecgedge.plan.options import check_used, chosen, options_of
    from ecgedge.run import Told
    from ecgedge.run.turns import Setting
    from ecgedge.workers.availability import pick_runtime
    from ecgedge.workers.hosts import networked, runtime_hosts
    from ecgedge.workers.survey import pick_there, survey

    request = settled(told=told or Told(), batch_sizes=batch, options=options or {}, threads=threads,
                      timeout=timeout, memory=memory)  # fmt: skip
    parts, limits = load_parts(), limits_of(request)
    given = chosen(request.options, parts.steps, parts.models.values())
    found = row_of_run(target, row, parts, trust) if check_row(target, row) else None
    if found:
        target, runtime, device = found.artifact.path, runtime or found.row.runtime, device or found.row.board
    board = timed_board(device)
    with opener(parts, limits, request.told, trust) as opened:
        artifact = found.artifact if found else opened.find_artifact(os.fspath(target))
        there = survey(board, parts, parts.runtimes) if board else None

        def picked(format: str, name: str | None) -> str:
            if there:
                return pick_there(there, format, name, parts)
            return pick_runtime(format, name, parts, opened.workers).name

        taken = picked(artifact.format, runtime)
        size = chosen_batch(artifact, batch)
        other = opened.find_artifact(os.fspath(against), alone=False) if against is not None else None
        if other:
            name = taken if other.format == artifact.format else None
            pair = other, picked(other.format, name)
        check_used(given, [parts.runtimes[name] for name in (taken, *([pair[1]] if other else []))])
    with tempfile.TemporaryDirectory() as scratch, contextlib.ExitStack() as closed:
        folder = Path(scratch)
        link = closed.enter_context(Link(board, folder / "board.log")) if board else None
        beats = study.write_beats(artifact, size, folder / "call.npy")
        setting = Setting(folder, beats, gate(), threads, seconds=limits.seconds, memory=limits.memory,
                          hosts=runtime_hosts(parts), networked=networked(parts),
                          options={name: options_of(part, given) for name, part in parts.runtimes.items()},
                          blocks=blocks_of(parts), link=link)  # fmt: skip
        explained = study.study(artifact, taken, setting, against_peaks(artifact, taken, parts),
                                there.facts.isa if there else None)  # fmt: skip
        explanation = named(explained, os.fspath(target), parts, request.told.output)
        if other:
            timed = dataclasses.replace(setting, beats=study.write_beats(artifact, study.BEATS, folder / "beats.npy"))
            explanation = dataclasses.replace(explanation, ratio=compare(explanation, *pair, timed))
    return Explained(explanation, tuple(find(explanation)), size, threads, there)


def timed_board(name: str | None) -> Board | None:
    """The board of that name; None for this machine. Raises EcgEdgeError where there is none, or it has no times."""
    from ecgedge.devices import boards

    if name in (None, boards.HOST):
        return None
    board = boards.find(str(name))
    if board.emulated:
        raise EcgEdgeError(f"board {name} is an emulated {board.emulated}, which has no times", "name a real one")
    return board


def blocks_of(parts: Parts) -> dict[str, Blocks]:
    """The blocks of calls that runtimes ask for, by the runtime's name."""
    return {name: part.blocks for name, part in parts.runtimes.items() if part.blocks}


def against_peaks(artifact: Artifact, runtime: str, parts: Parts) -> dict[str, str]:
    """The peaks that a file's precision, or what its runtime computes float32 in, is held against, by the types."""
    from ecgedge.api.precisions import TYPES, find

    computes, known = parts.runtimes[runtime].computes, parts.precisions
    of_runtime = find(computes, known).peak if computes else ""
    of_file = find(artifact.precision, known).peak
    return ({"float32": of_runtime} if of_runtime else {}) | (dict.fromkeys(TYPES, of_file) if of_file else {})


def named(explanation: Explanation, target: str, parts: Parts, output: str | None) -> Explanation:
    """With what a command may call its source: the model, or the file itself where passes can still be applied."""
    artifact = explanation.artifact
    if artifact.name in parts.models:
        return dataclasses.replace(explanation, source=artifact.name)
    if artifact.format == "onnx" and explanation.precision in ("fp32", "float32"):
        return dataclasses.replace(explanation, source=target + (f" --output-name {output}" if output else ""))
    return explanation


def chosen_batch(artifact: Artifact, wanted: int | None) -> int:
    """Beats a call. Raises EcgEdgeError where the file fixes another number, or so many need too much memory."""
    from ecgedge.measure.bench import check_size

    fixed = artifact.input.batch
    if wanted and fixed and wanted != fixed:
        raise EcgEdgeError(
            f"{artifact.path} takes {fixed} beat{'' if fixed == 1 else 's'} a call, not {wanted}",
            f"make another: ecgedge convert MODEL --to {artifact.format} --batch {wanted}",
        )
    check_size(artifact, wanted or fixed or 1)
    return wanted or fixed or 1


def compare(explanation: Explanation, other: Artifact, runtime: str, setting: Setting) -> dict[str, Any]:
    """How long the file takes, relative to another one on its runtime."""
    from ecgedge.api.records.rules import USER
    from ecgedge.run.turns import time_in_turns
    from ecgedge.workers.client import ChildError

    mine, runtimes = explanation.artifact, (runtime, explanation.runtime)
    try:
        pair = time_in_turns((other, mine), runtimes, setting)
    except ChildError as error:
        told = f"{mine.path} and {other.path} cannot be timed in turns: {error.plain}"
        raise EcgEdgeError(told, error.hint) from None
    known = other.maker.get("part") != USER
    return {
        "against": str(other.path),
        "precision": other.precision if known else other.path.name,
        "runtime": runtimes[0],
        "us": pair.second,
        "against_us": pair.first,
        "ratio": pair.ratio,
        "low": pair.low,
        "high": pair.high,
        "result": pair.result,
        "rounds": pair.rounds,
        "rounds_timed": pair.timed,
    }
