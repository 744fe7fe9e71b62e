"""Carry out a job: train, convert, score. Whatever a framework does to a process, it does to a child of this one."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from ecgedge.api.artifact import Anomaly, Artifact
from ecgedge.api.graph import Graph
from ecgedge.api.parts import Model, Runtime
from ecgedge.cluster.crew import Lacks
from ecgedge.cluster.workplace import Workplace
from ecgedge.convert.beats import write_beats
from ecgedge.convert.checkpoint import read_checkpoint
from ecgedge.convert.converters import Converters
from ecgedge.convert.lab import Lab
from ecgedge.convert.store import Store, code_digest, maker_of, open_store
from ecgedge.convert.tools import Tools, tools_of
from ecgedge.data import kept
from ecgedge.data.dataset import Dataset
from ecgedge.data.drawing import stratified
from ecgedge.devices.pipe import ProcessPipe
from ecgedge.environments.versions import version_of
from ecgedge.errors import ConversionError, EcgEdgeError, MachineError
from ecgedge.evaluate import precision_check, verdicts
from ecgedge.evaluate.verdicts import Answers
from ecgedge.measure.bench import PROFILES
from ecgedge.plan.options import options_of
from ecgedge.plan.plan import Cell, is_parent
from ecgedge.run.processes import status_of
from ecgedge.run.row import Identity, Outcome, Row, Setup
from ecgedge.run.scored_row import file_of, judged, with_figures
from ecgedge.sweep.job import Job, Made
from ecgedge.training import recipe_for
from ecgedge.training.recipe import heeded, told
from ecgedge.training.train import train
from ecgedge.workers import protocol
from ecgedge.workers.client import ChildError
from ecgedge.workers.protocol import pack
from ecgedge.workers.session import open_session

if TYPE_CHECKING:
    from ecgedge.plugins import Parts

TRAINER = "ecgedge.training.server"
FAILURES = (ChildError, EcgEdgeError, ConversionError)  # of a cell alone, where it is no MachineError


def workplace(parts: Parts, name: str) -> Workplace:
    """Where jobs of a sweep are carried out: its processes can train, too."""
    return Workplace(parts, name, module=TRAINER)


def carry_out(place: Workplace, job: Job) -> Made | Lacks:
    """Train the model of a job, convert it, and score what comes of it; what fails is a row.

    Raises:
        MachineError: the machine is at fault.
    """
    if lacks := place.lacks(job.data, job.checkpoint):
        return lacks
    with place.at_work(job.terms.limits, job.terms.logs) as converters:
        return Shift(place.parts, job, place.data(job.data), open_store(), converters).carry_out()


@dataclass
class Shift:
    """A job while it is carried out.

    Attributes:
        graphs: that ran, of the cells that were scored.
        cpu: see ``Made``.
        entries: likewise.
        expected: the trained model's own answers, once they were asked for.
    """

    parts: Parts
    job: Job
    data: Dataset
    store: Store
    converters: Converters
    graphs: dict[str, Graph | None] = field(default_factory=dict)
    cpu: dict[str, float] = field(default_factory=dict)
    entries: list[str] = field(default_factory=list)
    expected: np.ndarray | None = None

    def carry_out(self) -> Made:
        job, terms = self.job, self.job.terms
        model = self.parts.models[job.model]
        tools = tools_of(self.parts, terms.options, terms.unavailable)
        try:
            with self.counted("train"):
                source, figures = self.trained(model, tools)
        except MachineError:
            raise
        except FAILURES as error:
            rows = [self.row(cell, failed(error, "train")) for cell in job.cells]
            return Made(tuple(rows), cpu=self.cpu)
        if not job.cells:
            return Made((), figures, tuple(self.entries), self.entries[0], self.cpu)
        count = PROFILES[terms.profile].beats or len(self.data.test)
        index = np.sort(stratified(self.data.test.y, count, job.seed))
        try:
            beats = write_beats(self.data, index, terms.calibration, job.seed)
        except MachineError:
            raise
        except EcgEdgeError as error:
            rows = [self.row(cell, failed(error, "convert")) for cell in job.cells]
            return Made(tuple(rows), figures, tuple(self.entries), self.entries[0], self.cpu)
        with contextlib.closing(beats):
            lab = Lab({job.model: source}, tools, beats, self.converters, self.store, job.seed)
            scored = [(cell, self.scored(cell, lab)) for cell in (*job.beside, *job.cells)]
        rows = [row.flat | {"id": job.row_id(cell), "seed": job.seed} for cell, row in scored if cell in job.cells]
        return Made(tuple(rows), figures, tuple(dict.fromkeys(self.entries)), self.entries[0], self.cpu)

    def row(self, cell: Cell, outcome: Outcome) -> dict[str, Any]:
        """The row of a cell whose model could not be trained."""
        found = row_of_lost(self.job, cell, outcome)
        return found.flat | {"id": self.job.row_id(cell), "seed": self.job.seed}

    # -- training

    def trained(self, model: Model, tools: Tools) -> tuple[Artifact, Mapping[str, float | None]]:
        """The checkpoint, from the store where the same training was done before, and its figures on the test beats.

        Raises:
            ChildError, EcgEdgeError, ConversionError: it cannot be trained.
        """
        job, terms = self.job, self.job.terms
        recipe = {**terms.recipe, "seed": job.seed}
        chosen = options_of(model, terms.options)
        owner = self.parts.owners["model", model.name]
        maker = maker_of(model, owner.distribution, owner.version, chosen)
        maker |= {"training": {"recipe": told(recipe_for(model, recipe), heeded(model)), "code": code_digest(train),
                               "torch": version_of("torch"), "numpy": version_of("numpy")}}  # fmt: skip
        key = training_key(job.data, maker)

        def build(out: Path) -> Artifact:
            question = protocol.Train(model.name, kept.file_of(job.data), recipe, chosen, out)
            figures = self.converters.of(None).ask(question, terms.training_timeout)
            made = read_checkpoint(out, self.parts.models)
            return replace(made, notes={**made.notes, "test": dict(figures)})

        made = self.store.make(key, model.name, maker, build)
        self.entries.append(key)
        figures = dict(made.notes.get("test", {}))
        return replace(made, model=model, notes={}), figures

    # -- a cell

    def scored(self, cell: Cell, lab: Lab) -> Row:
        """What is found of a cell; what fails here fails this cell alone."""
        row, stage = begun(self.job, cell, lab), "convert"
        try:
            with self.counted("convert"):
                artifact = lab.make(cell)
            self.entries.append(artifact.path.parent.name)
            row = replace(row, file=file_of(artifact, f"{artifact.path.parent.name}/{artifact.path.name}"))
            with self.counted("score"), TemporaryDirectory() as scratch:
                stage = "score"
                runtime: Runtime = lab.tools.parts["runtime", cell.runtime]
                outputs, training, graph, figures = self.answers(cell, lab, artifact, Path(scratch))
                self.graphs[cell.id] = graph
                row = with_figures(row, figures, runtime)
                stage = "reference"
                expected = self.reference(cell, lab)
                stage = "judge"
                here = Answers(outputs, lab.beats.scored.x, lab.beats.scored.y, lab.beats.index)
                terms = lab.tools.terms(artifact, runtime, lab.seed)
                found = verdicts.judge(here, expected, artifact.task, terms, training)
                source, parent = lab.sources[cell.model], self.parent_graph(cell)
                claims = precision_check.judge_file(graph, artifact, source, runtime, parent, lab.tools.precisions)
                return judged(row, (claims, found))
        except MachineError:
            raise
        except FAILURES as error:
            return replace(row, outcome=failed(error, stage))

    def answers(
        self, cell: Cell, lab: Lab, artifact: Artifact, scratch: Path
    ) -> tuple[np.ndarray, Answers | None, Graph | None, Mapping[str, int | float | str]]:
        """What an artifact answers to the scored beats, an anomaly detector to the training beats too, the graph that
        ran, and what the runtime tells besides."""
        runtime = lab.tools.parts["runtime", cell.runtime]
        question = protocol.Open(runtime.name, pack(artifact), cell.threads, lab.tools.options_of(runtime))
        seconds, training = self.converters.limits.seconds, None
        with open_session(self.converters.of(runtime), question, seconds) as session:
            session.infer(lab.beats.files["scored"], scratch / "outputs.npy")
            if isinstance(artifact.task, Anomaly):
                session.infer(lab.beats.files["train"], scratch / "train.npy")
                beats = lab.beats.data.train
                training = Answers(np.load(scratch / "train.npy"), beats.x, beats.y)
            return np.load(scratch / "outputs.npy"), training, session.graph(), session.figures()

    def reference(self, cell: Cell, lab: Lab) -> np.ndarray:
        """What the trained model itself answers, asked once."""
        if self.expected is None:
            self.expected = lab.outputs_of(lab.sources[cell.model], "scored")
        return self.expected

    def parent_graph(self, cell: Cell) -> Graph | None:
        """The graph of the fp32 form of a quantized cell, where that was scored here."""
        known = (*self.job.beside, *self.job.cells)
        parent = next((other for other in known if is_parent(other, cell)), None)
        return self.graphs.get(parent.id) if parent else None

    @contextlib.contextmanager
    def counted(self, what: str) -> Iterator[None]:
        """Add what is done to the processor time of a part of the job, that of this thread and of its children."""
        before = self.spent()
        try:
            yield
        finally:
            self.cpu[what] = round(self.cpu.get(what, 0.0) + max(self.spent() - before, 0.0), 3)

    def spent(self) -> float:
        """Processor seconds so far."""
        pipes = [child.pipe for child in self.converters.running.values()]
        return time.thread_time() + sum(seconds_of(pipe.process.pid) for pipe in pipes if isinstance(pipe, ProcessPipe))


def begun(job: Job, cell: Cell, lab: Lab) -> Row:
    """What is known of a cell before anything is done."""
    runtime: Runtime = lab.tools.parts["runtime", cell.runtime]
    row = row_of_lost(job, cell, Outcome(status="ok"))
    assert row.setup is not None
    setup = replace(
        row.setup,
        device=runtime.device,
        environment=runtime.environment,
        dataset_digest=lab.beats.data.digest,
        beats=len(lab.beats.scored),
        profile=job.terms.profile,
        runtime_options=lab.tools.options_of(runtime) or None,
    )
    return replace(row, setup=setup)


def row_of_lost(job: Job, cell: Cell, outcome: Outcome) -> Row:
    """The row of a cell of which nothing is known but why."""
    return Row(
        identity=Identity(id=cell.id, model=cell.model, task=job.task, format=cell.format, precision=cell.precision,
                          runtime=cell.runtime, dataset=job.name),
        setup=Setup(route=list(cell.route), quantizer=cell.quantizer, threads=cell.threads, batch=1),
        outcome=outcome,
    )  # fmt: skip


def failed(error: Exception, stage: str) -> Outcome:
    return Outcome(status=status_of(error), stage=stage, reason=str(error))


def training_key(data: str, maker: Mapping[str, Any]) -> str:
    """The key of a training in the store: a digest of all that its result depends on.

    Args:
        data: the digest of the data set's file, which has all that is known of its beats.
    """
    told = {"data": data, "maker": dict(maker)}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def seconds_of(pid: int) -> float:
    """Processor seconds of a process so far; 0 where the system does not tell."""
    try:
        words = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return 0.0
