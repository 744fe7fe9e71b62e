"""Carry out cells: from a trained model to a row of figures."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ecgedge import tasks
from ecgedge.artifacts import Artifact
from ecgedge.dataset import Dataset, Split, digest_of_beats
from ecgedge.errors import ConversionError, EcgEdgeError
from ecgedge.kinds import Exporter, Quantizer
from ecgedge.measure import BULK
from ecgedge.parity import ATOL
from ecgedge.plan import Cell, Skip, takes
from ecgedge.process import Child, ChildError
from ecgedge.records import from_record, pack
from ecgedge.store import Store, key_of, maker_of

CONVERT_SECONDS = 300
MEASURE_SECONDS = 300
LISTED = 100  # changed decisions that a row lists at most


@dataclass
class Lab:
    """What all cells of a run share.

    Attributes:
        sources: the trained models by the name that their rows bear.
        parts: exporters, quantizers and runtimes by (kind, name), with (distribution, version).
        index: of the test beats that are scored, in order.
        calibration: training beats for the quantizers, ``(N, 1, L)``.
        folder: of the run.
        converter: the process in which conversions run.
    """

    data: Dataset
    sources: dict[str, Artifact]
    parts: Mapping[tuple[str, str], Any]
    owners: Mapping[tuple[str, str], tuple[str, str]]
    index: np.ndarray
    calibration: np.ndarray
    store: Store
    folder: Path
    converter: Child
    seed: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)
    expected: dict[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.scored: Split = self.data.test.take(self.index)
        for name in ("cells", "logs"):
            (self.folder / name).mkdir(exist_ok=True)
        self.scratch = tempfile.TemporaryDirectory()
        self.calibration_file = Path(self.scratch.name) / "calibration.npy"
        self.beats_file = Path(self.scratch.name) / "beats.npy"
        np.save(self.calibration_file, self.calibration)
        np.save(self.beats_file, self.scored.x)

    def outputs_of(self, source: Artifact, split: Split) -> np.ndarray:
        """Outputs of a source on the first runtime that takes its format, one thread.

        Raises:
            EcgEdgeError: no runtime takes it.
        """
        runtimes = [part for (kind, _), part in self.parts.items() if kind == "runtime"]
        runtime = next((part for part in runtimes if takes(part.accepts, source.format)), None)
        if runtime is None:
            raise EcgEdgeError(
                f"no runtime takes the format {source.format!r} of {source.name}", "install one that does"
            )
        beats, file = (Path(self.scratch.name) / name for name in ("given.npy", "returned.npy"))
        np.save(beats, split.x)
        request = {"runtime": runtime.name, "artifact": pack(source), "beats": str(beats), "out": str(file)}
        self.converter.ask("outputs", MEASURE_SECONDS, **request, threads=1)
        return np.load(file)

    def close(self) -> None:
        """End the converter, and take away the copies of the data."""
        self.converter.close()
        self.scratch.cleanup()


def run_matrix(
    cells: list[Cell],
    skips: list[Skip],
    lab: Lab,
    profile: str,
    rows: list[dict[str, Any]],
    progress: Callable[[int, Cell | None], None],
) -> None:
    """Every cell and skip as a row, appended to ``rows`` and to ``rows.jsonl`` as soon as it is known.

    A failed cell is a row like the others. ``progress(done, cell)`` is called before each cell, and
    with None after the last.
    """
    with (lab.folder / "rows.jsonl").open("a", encoding="utf-8") as journal:
        for skip in skips:
            rows.append(append(journal, skip_row(skip, lab)))
        for done, cell in enumerate(cells):
            progress(done, cell)
            rows.append(append(journal, run_cell(cell, lab, profile)))
        progress(len(cells), None)


def append(journal: Any, row: dict[str, Any]) -> dict[str, Any]:
    journal.write(json.dumps(row, allow_nan=False) + "\n")
    journal.flush()
    os.fsync(journal.fileno())
    return row


def run_cell(cell: Cell, lab: Lab, profile: str) -> dict[str, Any]:
    """One cell: export, quantize, measure, judge."""
    row = empty_row(cell, lab) | {"profile": profile}
    stage = "convert"
    try:
        artifact = produce(cell, lab, batch=1)
        made = {"size_bytes": artifact.size_bytes, "artifact": str(artifact.path), "digest": artifact.digest}
        bulk = produce(cell, lab, batch=BULK) if artifact.input.batch else None
        stage = "reference"
        expected = reference(cell.model, lab)
        stage = "measure"
        figures, outputs = measure_cell(cell, artifact, bulk, lab, profile)
        stage = "judge"
        verdict = judge(outputs, expected, artifact, lab, lab.parts["runtime", cell.runtime].computes)
    except ChildError as error:
        return row | {"status": error.status, "stage": stage, "reason": str(error)}
    except (EcgEdgeError, ConversionError, OSError) as error:
        return row | {"status": "failed", "stage": stage, "reason": str(error)}
    return row | made | figures | verdict


def empty_row(cell: Cell, lab: Lab) -> dict[str, Any]:
    source = lab.sources[cell.model]
    return {
        "id": cell.id,
        "model": cell.model,
        "task": source.task.kind,
        "format": cell.format,
        "precision": cell.precision if source.precision == "fp32" else source.precision,
        "runtime": cell.runtime,
        "device": lab.parts["runtime", cell.runtime].device,
        "route": list(cell.route),
        "quantizer": cell.quantizer,
        "threads": cell.threads,
        "batch": 1,
        "dataset": lab.data.name,
        "dataset_digest": lab.data.digest,
        "beats": len(lab.scored),
    }


def skip_row(skip: Skip, lab: Lab) -> dict[str, Any]:
    return {
        "id": f"{skip.model}.{skip.runtime}",
        "model": skip.model,
        "task": lab.sources[skip.model].task.kind,
        "format": skip.format,
        "precision": None,
        "runtime": skip.runtime,
        "dataset": lab.data.name,
        "status": "skipped",
        "reason": skip.reason,
    }


def produce(cell: Cell, lab: Lab, batch: int) -> Artifact:
    """The artifact of a cell: its model through its exporters and its quantizer."""
    artifact = lab.sources[cell.model]
    for name in cell.route:
        artifact = convert(artifact, "exporter", name, lab, batch)
    return convert(artifact, "quantizer", cell.quantizer, lab, batch)


def convert(source: Artifact, kind: str, name: str, lab: Lab, batch: int) -> Artifact:
    """One step, from the store where the same step was done before."""
    part: Exporter | Quantizer = lab.parts[kind, name]
    options = {key: value for key, value in lab.options.items() if key in part.options}
    maker = maker_of(part, *lab.owners[kind, name], options)
    used = {"batch": batch if part.fixed_batch else 1, "seed": lab.seed, "options": options}
    drawn = None  # only what is calibrated depends on beats and seed
    if isinstance(part, Quantizer) and part.calibrates:
        drawn = {"beats": digest_of_beats(lab.calibration), "seed": lab.seed}
    key = key_of(source, maker, batch=used["batch"], calibration=drawn)

    def build(out: Path) -> Artifact:
        answer = lab.converter.ask(
            "convert",
            CONVERT_SECONDS,
            kind=kind,
            part=name,
            source=pack(source),
            out=str(out),
            context={"beats": str(lab.calibration_file), **used},
        )
        return from_record(Path(answer["path"]), answer["record"])

    made = lab.store.make(key, f"{source.name}.{part.produces or source.format}", maker, build)
    return replace(made, model=source.model if made.format == source.format else None)


def reference(model: str, lab: Lab) -> np.ndarray:
    """What the trained model or the user's file itself answers on the scored beats."""
    if model not in lab.expected:
        lab.expected[model] = lab.outputs_of(lab.sources[model], lab.scored)
        np.save(lab.folder / "cells" / f"{model}.reference.npy", lab.expected[model])
    return lab.expected[model]


def measure_cell(
    cell: Cell, artifact: Artifact, bulk: Artifact | None, lab: Lab, profile: str
) -> tuple[dict[str, Any], np.ndarray]:
    """Measure in a process of its own; the raw samples and per-beat outputs stay in the run's folder."""
    file = lab.folder / "cells" / f"{cell.id}.npz"
    with Child(lab.folder / "logs" / f"{cell.id}.log", cell.threads) as child:
        figures = child.ask(
            "measured",
            MEASURE_SECONDS,
            runtime=cell.runtime,
            artifact=pack(artifact),
            bulk=pack(bulk) if bulk else None,
            beats=str(lab.beats_file),
            profile=profile,
            threads=cell.threads,
            seed=lab.seed,
            out=str(file),
        )
    with np.load(file) as arrays:
        return figures, arrays["outputs"]


def judge(
    outputs: np.ndarray, expected: np.ndarray | None, artifact: Artifact, lab: Lab, computes: str | None = None
) -> dict[str, Any]:
    """Status, quality, and the difference to the trained model's own answers, where those are known.

    ``rejected``: an answer is not finite or has another shape, or fp32 is not what it claims to be.
    ``computes``: of the runtime.
    """
    task, beats = artifact.task, lab.scored.x
    if reason := tasks.wrong(outputs, beats, task):
        return {"status": "rejected", "reason": reason}
    row = tasks.evaluate(outputs, beats, lab.scored.y, task) | {"status": "ok", "reason": ""}
    return row if expected is None else row | compare(outputs, expected, artifact, lab, computes)


def compare(
    outputs: np.ndarray, expected: np.ndarray, artifact: Artifact, lab: Lab, computes: str | None = None
) -> dict[str, Any]:
    """Differences to the trained model's own answers; fp32 that has any to speak of is ``rejected``.

    But not where the runtime says that it computes in another precision.
    """
    task, beats = artifact.task, lab.scored.x
    if reason := tasks.wrong(expected, beats, task):
        return {"status": "failed", "reason": f"of the trained model itself, {reason}"}
    difference = float(np.abs(outputs.astype(np.float64) - expected.reshape(outputs.shape)).max())
    was, now = tasks.decide(expected, beats, task), tasks.decide(outputs, beats, task)
    changed = np.flatnonzero(was != now)
    margin = tasks.margins(expected, beats, task)
    row: dict[str, Any] = {
        "max_abs_diff": difference,
        "changed_decisions": len(changed),
        "changed": [
            {"beat": int(lab.index[i]), "reference": int(was[i]), "here": int(now[i]), "margin": float(margin[i])}
            for i in changed[:LISTED]
        ],
    }
    allowed = ATOL * max(1.0, float(np.abs(expected).max()))
    if artifact.precision == "fp32" and computes is None and difference > allowed:
        row |= {"status": "rejected", "reason": f"fp32 differs from the trained model by {difference:.2g}"}
    return row
