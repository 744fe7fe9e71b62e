"""A child process: takes requests as JSON lines on stdin, answers each with one line on stdout.

Whatever a library prints goes to stderr, so that it cannot be taken for an answer.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

import numpy as np

from ecgedge import measure, plugins
from ecgedge.artifacts import Artifact
from ecgedge.errors import ConversionError, EcgEdgeError
from ecgedge.kinds import Context
from ecgedge.plugins import Parts, one_line
from ecgedge.records import pack, unpack

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main() -> None:
    limit_memory()
    die_with_parent()
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    if hasattr(os, "register_at_fork"):  # what a part forks must not keep the parent waiting for an answer
        os.register_at_fork(after_in_child=answers.close)
    parts = plugins.load()
    actions = {action.__name__: action for action in (available, convert, outputs, measured)}
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = {"ok": actions[request.pop("do")](parts, **request)}
        except (Exception, SystemExit) as error:  # a part's code may raise anything; the parent decides what it means
            traceback.print_exc()
            mine = isinstance(error, EcgEdgeError | ConversionError)
            answer = {"error": str(error) if mine else one_line(error)}
            if isinstance(error, EcgEdgeError):
                answer["hint"] = error.hint
        sys.stderr.flush()
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def limit_memory() -> None:
    """Be the first to go when memory runs out, and keep the data to ECGEDGE_MEMORY bytes."""
    with contextlib.suppress(OSError):  # Linux only
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    if limit := os.environ.get("ECGEDGE_MEMORY"):
        import resource  # not on Windows

        resource.setrlimit(resource.RLIMIT_DATA, (int(limit), resource.getrlimit(resource.RLIMIT_DATA)[1]))


def die_with_parent() -> None:
    """Be killed when the thread that started this process ends; exit at once where it has ended already.

    Elsewhere than on Linux the end of stdin tells, once the request at hand is done.
    """
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    stdin = select.poll()
    stdin.register(0, 0)
    if stdin.poll(0):  # the other end is closed
        sys.exit("the parent is gone")


def available(parts: Parts, runtime: str) -> str | None:
    """Why a runtime cannot run here."""
    part = parts.find("runtime", runtime)
    return plugins.missing(part) or part.available()


def convert(parts: Parts, kind: str, part: str, source: dict[str, Any], out: str, context: dict[str, Any]) -> Any:
    """Run one exporter or quantizer; answers the artifact."""
    beats = np.load(context.pop("beats"))
    work = parts.find(kind, part)
    step = work.convert if kind == "exporter" else work.quantize
    made = step(unpack(source, parts.models), Path(out), Context(beats, **context))
    if not isinstance(made, Artifact):
        raise ConversionError(f"{kind} {part} returned {made!r}, which is no artifact")
    return pack(made)


def outputs(parts: Parts, runtime: str, artifact: dict[str, Any], beats: str, out: str, threads: int) -> None:
    """Outputs of an artifact for all beats, saved to ``out``."""
    session = parts.find("runtime", runtime).load(unpack(artifact, parts.models), threads)
    np.save(out, measure.infer(session, np.load(beats)))
    session.close()


def measured(
    parts: Parts,
    runtime: str,
    artifact: dict[str, Any],
    bulk: dict[str, Any] | None,
    beats: str,
    profile: str,
    threads: int,
    seed: int,
    out: str,
) -> dict[str, Any]:
    """Measure one cell; answers the figures, and saves the arrays to ``out``."""
    figures, arrays = measure.measure(
        parts.find("runtime", runtime),
        unpack(artifact, parts.models),
        unpack(bulk, parts.models) if bulk else None,
        np.load(beats),
        measure.PROFILES[profile],
        threads,
        seed,
    )
    np.savez_compressed(out, **arrays)  # type: ignore[arg-type]  # numpy's stub wants the flags first
    return figures


if __name__ == "__main__":
    main()
