"""Score a cell: make its artifact, load it, have it answer all beats, and judge what came out."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ecgedge.api.artifact import Anomaly, Artifact, copy_to, digest_of, file_name
from ecgedge.api.graph import Graph
from ecgedge.api.parts import Runtime
from ecgedge.convert.lab import Lab
from ecgedge.errors import ConversionError, EcgEdgeError, MachineError
from ecgedge.evaluate import arithmetic, precision_check, verdicts
from ecgedge.evaluate.judgement import Judgement
from ecgedge.evaluate.verdicts import Answers
from ecgedge.files import typed_json
from ecgedge.files.arrays import read_array
from ecgedge.files.locks import PART, whole_file
from ecgedge.measure.bench import BATCHES
from ecgedge.plan.plan import Cell, is_parent
from ecgedge.run.journal import Journal
from ecgedge.run.measurement import Elsewhere, Loading, Memory, Meters
from ecgedge.run.processes import Processes, status_of
from ecgedge.run.reading import read_graph
from ecgedge.run.row import File, Identity, Outcome, Row, Setup
from ecgedge.workers.client import ChildError
from ecgedge.workers.protocol import Opened, Packed, pack
from ecgedge.workers.session import OpenSession

KEPT = ("outputs.npy", "train.npy", "graph.json", "throughput.npz")  # of a cell, what its row is made from


@dataclass
class Scoring:
    """What scoring the cells of one model takes.

    Attributes:
        cells: of the model.
        profile: the name of one of ``bench.PROFILES``.
    """

    cells: Sequence[Cell]
    lab: Lab
    journal: Journal
    profile: str
    processes: Processes

    @property
    def folder(self) -> Path:
        return self.journal.folder

    def score(self, cell: Cell) -> None:
        """Record what is found of a cell; its process stays where all is well."""
        row, packed = started(cell, self.lab, self.profile), None
        stage = "convert"
        try:
            artifact = self.keep(self.lab.make(cell))
            packed = typed_json.plain(replace(pack(artifact), path=artifact.path.relative_to(self.folder)))
            row = replace(row, file=file_of(artifact, packed["path"]))
            sized = self.sized(cell) if artifact.input.batch else {}
            stage = "reference"
            expected = self.reference(cell.model)
            with self.lab.converters.turn():
                stage = "load"
                session = self.processes.open(cell.id, cell, pack(artifact))
                row = loaded(row, session.opened)
                stage = "score"
                graph = self.answer(session, cell, artifact)
                row = with_figures(row, session.figures(), self.lab.tools.parts["runtime", cell.runtime])
                stage = "judge"
                row = judged(row, self.judge(cell, artifact, expected, graph))
                stage = "throughput"
                if row.status == "ok":
                    row = replace(row, throughput=self.throughput(session, cell, sized))
        except MachineError:
            raise
        except (ChildError, EcgEdgeError, ConversionError) as error:
            self.processes.check_machine(error)
            row = replace(row, outcome=Outcome(status=status_of(error), stage=stage, reason=str(error)))
        self.journal.append("scored", cell=cell.id, row=row.flat, artifact=packed, files=self.digests(cell))
        if row.status != "ok" and cell.id in self.processes.children:
            self.processes.drop(cell.id)

    def digests(self, cell: Cell) -> dict[str, str]:
        """SHA-256 of what is kept of a cell, by path in the run's folder."""
        kept = [self.folder / "cells" / f"{cell.model}.reference.npy", *(self.file(cell, what) for what in KEPT)]
        return {str(path.relative_to(self.folder)): digest_of(path) for path in kept if path.exists()}

    def keep(self, artifact: Artifact) -> Artifact:
        """A copy in the run's folder: what is measured is what the reader of the run has."""
        path = self.folder / "artifacts" / f"{artifact.digest[:12]}-{file_name(artifact.path.name)}"
        if not is_kept(path, artifact.digest):
            with tempfile.TemporaryDirectory(
                dir=path.parent, prefix=".", suffix=PART, ignore_cleanup_errors=True
            ) as scratch:
                copy_to(artifact.path, Path(scratch) / "whole")
                (Path(scratch) / "whole").replace(path)
        return replace(artifact, path=path)

    def bring_back(self, cell: Cell) -> None:
        """Make a scored cell's artifact once more where the run's folder has lost it.

        Raises:
            MachineError: it cannot be made, or what is made now is another.
        """
        row = self.journal.row(cell.id)
        if (self.folder / row["artifact"]).exists():
            return
        gone = f"{self.folder / row['artifact']} is gone"
        try:
            made = self.keep(self.lab.make(cell))
        except (ChildError, ConversionError) as error:
            raise MachineError(f"{gone}, and cannot be made again: {error}", "bring it back") from error
        if made.digest != row["digest"]:
            raise MachineError(f"{gone}, and what is made now differs", "bring it back")

    def sized(self, cell: Cell) -> dict[int, Packed]:
        """The files of a cell for each batch size of the throughput but 1, packed, where its format fixes the batch."""
        sizes = self.lab.batch_sizes or BATCHES
        return {size: pack(self.lab.make(cell, size)) for size in sizes if size != 1}

    def reference(self, model: str) -> np.ndarray:
        """What the trained model or the user's file itself answers on the scored beats."""
        file = self.folder / "cells" / f"{model}.reference.npy"
        if not file.exists():
            outputs = self.lab.outputs_of(self.lab.sources[model], "scored")
            with whole_file(file) as scratch:
                np.save(scratch, outputs)
        return read_array(self.folder, f"cells/{model}.reference.npy")

    def answer(self, session: OpenSession, cell: Cell, artifact: Artifact) -> Graph | None:
        """Have the outputs saved, an anomaly detector's for the training beats too, and the graph that ran."""
        session.infer(self.lab.beats.files["scored"], self.file(cell, "outputs.npy"))
        if isinstance(artifact.task, Anomaly):
            session.infer(self.lab.beats.files["train"], self.file(cell, "train.npy"))
        graph = session.graph()
        if graph:
            with whole_file(self.file(cell, "graph.json"), "w", encoding="utf-8") as file:
                json.dump(arithmetic.kept(graph), file)
        return graph

    def judge(
        self, cell: Cell, artifact: Artifact, expected: np.ndarray, graph: Graph | None
    ) -> tuple[Judgement, Judgement]:
        """Whether the file is what it claims to be, and whether its answers are right."""
        lab, runtime, train = self.lab, self.lab.tools.parts["runtime", cell.runtime], self.lab.beats.data.train
        training = None
        if isinstance(artifact.task, Anomaly):
            training = Answers(np.load(self.file(cell, "train.npy")), train.x, train.y)
        outputs = np.load(self.file(cell, "outputs.npy"))
        here = Answers(outputs, lab.beats.scored.x, lab.beats.scored.y, lab.beats.index)
        answers = verdicts.judge(here, expected, artifact.task, lab.tools.terms(artifact, runtime, lab.seed), training)
        source, parent = lab.sources[cell.model], self.parent_graph(cell)
        return precision_check.judge_file(graph, artifact, source, runtime, parent, lab.tools.precisions), answers

    def parent_graph(self, cell: Cell) -> Graph | None:
        """The graph of the fp32 form of a quantized cell, where this run has it."""
        parent = next((other for other in self.cells if is_parent(other, cell)), None)
        if parent is None or not self.file(parent, "graph.json").exists():
            return None
        return Graph.from_record(read_graph(self.folder, f"cells/{parent.id}.graph.json"))

    def throughput(self, session: OpenSession, cell: Cell, sized: dict[int, Packed]) -> Mapping[int, float]:
        """Beats a second by batch size."""
        file = self.file(cell, "throughput.npz")
        sizes = tuple(self.lab.batch_sizes) if self.lab.batch_sizes else None
        return session.throughput(sized, self.lab.beats.files["scored"], self.profile, file, sizes)

    def file(self, cell: Cell, what: str) -> Path:
        return self.folder / "cells" / f"{cell.id}.{what}"


def started(cell: Cell, lab: Lab, profile: str) -> Row:
    """What is known of a cell before anything is done."""
    source, runtime = lab.sources[cell.model], lab.tools.parts["runtime", cell.runtime]
    return Row(
        identity=Identity(
            id=cell.id,
            model=cell.model,
            task=source.task.kind,
            format=cell.format,
            precision=cell.precision,
            runtime=cell.runtime,
            dataset=lab.beats.data.name,
        ),
        setup=Setup(
            device=runtime.device,
            environment=runtime.environment,
            route=list(cell.route),
            quantizer=cell.quantizer,
            threads=cell.threads,
            batch=1,
            dataset_digest=lab.beats.data.digest,
            beats=len(lab.beats.scored),
            profile=profile,
            runtime_options=lab.tools.options_of(runtime) or None,
            blocks_asked=typed_json.known(runtime.blocks) if runtime.blocks else None,
        ),
        outcome=Outcome(status="ok"),
    )


def with_figures(row: Row, told: Mapping[str, float | str], runtime: Runtime) -> Row:
    """With what the runtime tells, and with the unit and direction of what it declares of that."""
    declared = [figure for figure in runtime.figures if figure.name in told]
    return replace(row, figures=dict(told), declared=declared)


def file_of(artifact: Artifact, path: str) -> File:
    return File(
        path=path,
        digest=artifact.digest,
        size_bytes=artifact.size_bytes,
        passes=list(artifact.passes),
        notes=dict(artifact.notes),
    )


def loaded(row: Row, opened: Opened) -> Row:
    """With what loading took, and by what it measures itself; of another device than the CPU also what is told of
    that."""
    told = opened.loaded
    assert told is not None
    sources = Meters(clock=told.clock, memory_source=told.memory_source, energy_source=told.energy_source)
    processors = None if told.processors is None else list(told.processors)
    memory = Memory(kib=told.memory_kib, base_kib=told.memory_base_kib)
    elsewhere = None if opened.device == "cpu" else Elsewhere(copies=opened.copies, memory_kib=told.device_memory_kib)
    loading = Loading(load_ms=told.load_ms, first_call_us=told.first_call_us, processors=processors)
    meters = None if sources == Meters() else sources
    return replace(row, meters=meters, loading=loading, memory=memory, elsewhere=elsewhere)


def judged(row: Row, found: tuple[Judgement, Judgement]) -> Row:
    """With the groups of two judgements; the first that is not ok says the status."""
    claims, answers = found
    status = next((each.status for each in found if each.status != "ok"), "ok")
    reason = "; ".join(each.reason for each in found if each.reason)
    return replace(
        row,
        outcome=Outcome(status=status, reason=reason),
        precision_check=claims.precision_check,
        quality=answers.quality,
        detection=answers.detection,
        refit=answers.refit,
        losses=answers.losses,
        parity=answers.parity,
    )


def is_kept(path: Path, digest: str) -> bool:
    """Whether an artifact lies there; what else does, as a stranger's folder may have it, is taken away."""
    with contextlib.suppress(OSError, KeyError, TypeError, ValueError):
        if digest_of(path) == digest:
            return True
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    return False
