"""A child process: takes requests as JSON lines on stdin, answers each with one line on stdout.

Whatever a library prints goes to stderr, so that it cannot be taken for an answer.
"""

from __future__ import annotations

import json
import os
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


def main() -> None:
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    parts = plugins.load()
    actions = {action.__name__: action for action in (available, convert, outputs, measured)}
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = {"ok": actions[request.pop("do")](parts, **request)}
        except Exception as error:  # a part's code may raise anything; the parent decides what it means
            traceback.print_exc()
            mine = isinstance(error, EcgEdgeError | ConversionError)
            answer = {"error": str(error) if mine else one_line(error)}
            if isinstance(error, EcgEdgeError):
                answer["hint"] = error.hint
        sys.stderr.flush()
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


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
