"""A run as its folder holds it, and in what two of them differ."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ecgedge import journal, results
from ecgedge.artifacts import Task
from ecgedge.errors import EcgEdgeError
from ecgedge.records import task_from_record
from ecgedge.steadiness.states import WIDTH_LEAST

Row = dict[str, Any]
SKIPPED = "skipped"
TOLD_OF_MACHINE = ("cpu", "cores", "isa", "governor", "system")
TOLD_OF_RUN = ("profile", "threads", "seed", "command")
NEEDED = (
    *TOLD_OF_RUN,
    "data_digest",
    "data_source",
    "labels",
    "beats",
    "sources",
    "cells",
    "machine",
    "versions",
    "started",
)


@dataclass(frozen=True)
class Run:
    """What a run's folder holds.

    Attributes:
        about: its ``run.json``.
        rows: of the cells that were tried.
        skips: of those that were not.
        timing: the timed blocks.
        tasks: what the outputs of a cell mean, by cell.
        floors: the noise floor of each model, where it is known.
        x, y, index: the scored beats, ``(N, 1, L)``, their classes and their numbers among the test beats, ``(N,)``.
    """

    folder: Path
    about: dict[str, Any]
    rows: list[Row]
    skips: list[Row]
    timing: results.Timing
    tasks: dict[str, Task]
    floors: dict[str, float]
    x: np.ndarray
    y: np.ndarray
    index: np.ndarray

    def outputs(self, row: Row) -> np.ndarray:
        """For each scored beat, ``(N, values)``."""
        return np.load(self.folder / "cells" / f"{row['id']}.outputs.npy").reshape(len(self.y), -1)

    def block_medians(self, row: Row) -> np.ndarray:
        """Nanoseconds of one beat in each timed block that the row's figures are from."""
        return self.timing.used_medians(row["id"])

    def quick_blocks(self, row: Row) -> str:
        """How many of a row's blocks were timed in the machine's usual quick state, in words."""
        quick, blocks = self.timing.quick_blocks(row["id"]), self.timing.blocks[row["id"]]
        return f"{len(quick)} of {len(blocks)} blocks in the machine's usual quick state"

    def why_missing(self, row: Row) -> str:
        """Why a cell of another run is not in this one, as far as this one tells."""
        same = [skip for skip in self.skips if (skip["model"], skip["runtime"]) == (row["model"], row["runtime"])]
        if same:
            return f"skipped: {same[0]['reason']}"
        return "the run is not finished" if row["id"] in self.about["cells"] else "not part of that run"


def read_run(folder: Path) -> Run:
    """Read a run. Raises EcgEdgeError where the folder holds none, or one that has no rows yet or is damaged."""
    if not (folder / "run.json").is_file():
        raise EcgEdgeError(f"{folder} holds no run", "name the folder of a run of ecgedge matrix")
    if not (folder / "rows.jsonl").is_file():
        raise EcgEdgeError(f"{folder} has no rows yet", f"finish it: ecgedge matrix --resume {folder}")
    try:
        about = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        if lacking := [key for key in NEEDED if key not in about]:
            raise KeyError(f"run.json has no {lacking[0]}")
        rows = [json.loads(line) for line in (folder / "rows.jsonl").read_text(encoding="utf-8").splitlines()]
        records = journal.read(folder)
        beats = np.load(folder / "beats.npz")
        return Run(
            folder=folder,
            about=about,
            rows=[row for row in rows if row["status"] != SKIPPED],
            skips=[row for row in rows if row["status"] == SKIPPED],
            timing=results.Timing(records, about["rounds"], folder),
            tasks={r["cell"]: task_from_record(r["artifact"]["record"]["task"]) for r in records if r.get("artifact")},
            floors={model: pair["floor"] for model, pair in results.noise_of(records, about["rounds"], folder).items()},
            x=beats["x"],
            y=beats["y"],
            index=beats["index"],
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise damaged(folder, error) from error


def damaged(folder: Path, error: Exception) -> EcgEdgeError:
    told = error.args[0] if isinstance(error, KeyError) else error  # a KeyError quotes what it says
    reason = f"{type(error).__name__}: {told}".splitlines()[0]
    return EcgEdgeError(
        f"{folder} cannot be read: {reason}"[:300], f"ecgedge check {folder} says what is wrong with it"
    )


def differences(a: Run, b: Run) -> list[str]:
    """What else is not the same in two runs, a line each."""
    told = [*differing("", of(a, TOLD_OF_RUN), of(b, TOLD_OF_RUN))]
    told += differing("data ", {"digest": a.about["data_digest"]}, {"digest": b.about["data_digest"]})
    told += differing("machine: ", *({key: run.about["machine"][key] for key in TOLD_OF_MACHINE} for run in (a, b)))
    told += kernels_that_differ(a, b)
    told += differing("library ", a.about["versions"], b.about["versions"])
    common = a.about["sources"].keys() & b.about["sources"].keys()
    told += differing("model ", *({name: run.about["sources"][name] for name in sorted(common)} for run in (a, b)))
    return told


def kernels_that_differ(a: Run, b: Run) -> Iterator[str]:
    """Whether the machine itself was another one in its usual quick state, by the reference kernel."""
    for kernel, was in a.timing.kernels.items():
        now = b.timing.kernels.get(kernel, was)
        if abs(math.log(now / was)) > WIDTH_LEAST:
            yield (f"machine: the reference kernel took {was / 1e3:.0f} us in A, {now / 1e3:.0f} us in B "
                   f"({now / was - 1:+.0%}): latency differs by that where the files are the same")  # fmt: skip


def of(run: Run, keys: tuple[str, ...]) -> dict[str, Any]:
    return {key: run.about[key] for key in keys}


def differing(what: str, first: Mapping[str, Any], second: Mapping[str, Any]) -> Iterator[str]:
    for key in {**first, **second}:
        one, other = first.get(key), second.get(key)
        if one != other:
            yield f"{what}{key}: {spoken(one)} in A, {spoken(other)} in B"


def spoken(value: Any) -> str:
    """A value in words; of a digest its first 12 letters."""
    if isinstance(value, list):
        return " ".join(map(str, value)) or "none"
    text = "none" if value is None else str(value)
    return text[:12] if len(text) == 64 and " " not in text else text
