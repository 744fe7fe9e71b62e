"""Score the cells of a model: make their artifacts, load them, have them answer all beats, judge what came out.

Loading and throughput are timed, one cell after the other. In between all of them answer, on every core that there is.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ecgedge.api.artifact import Anomaly, Artifact, copy_to, digest_of, file_name
from ecgedge.api.graph import Graph
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
from ecgedge.run.device import OF_BOARD, TRIES, Device
from ecgedge.run.journal import Journal
from ecgedge.run.processes import Processes, status_of
from ecgedge.run.reading import read_graph
from ecgedge.run.row import Outcome, Row
from ecgedge.run.rows import is_timed
from ecgedge.run.scored_row import file_of, judged, loaded, started, with_figures
from ecgedge.workers.client import ChildError
from ecgedge.workers.protocol import Packed, pack
from ecgedge.workers.session import OpenSession

KEPT = ("outputs.npy", "train.npy", "graph.json", "throughput.npz")  # of a cell, what its row is made from


@dataclass
class Attempt:
    """A cell on its way to its row.

    Attributes:
        row: as far as it is known.
        stage: what is being done, or failed.
        sized: its files for other batch sizes.
        answered: becomes the graph that ran, once all beats are answered.
        cut_off: how often the connection to its board was lost, or that was started anew, since it was loaded first.
    """

    cell: Cell
    row: Row
    stage: str = "convert"
    artifact: Artifact | None = None
    sized: dict[int, Packed] = field(default_factory=dict)
    session: OpenSession | None = None
    answered: Future[Graph | None] | None = None
    cut_off: int = 0


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

    @property
    def device(self) -> Device:
        return self.processes.device

    def prepare(self, cells: Sequence[Cell]) -> list[Attempt]:
        """Make the artifacts of cells."""
        attempts = [
            Attempt(cell, started(cell, self.lab, self.profile, self.processes.emulated(cell))) for cell in cells
        ]
        for attempt in attempts:
            self.carry_out(attempt, self.make)
        return attempts

    def score(
        self, attempts: Sequence[Attempt], tell: Callable[[Cell], object], judged: Callable[[Row], object]
    ) -> None:
        """Record what is found of cells; the process of each stays where all is well.

        Args:
            tell: is called with each before the last that is done for it.
            judged: is called with the row of each as soon as its quality is known, while nothing is timed.

        Raises:
            BoardGone: the board that they run on is lost.
        """
        with self.device.turn(self.lab):
            for attempt in attempts:
                self.carry_out(attempt, self.load)
            with self.answering(attempts):
                for attempt in attempts:
                    self.carry_out(attempt, self.judge)
                    judged(attempt.row)
            for attempt in attempts:
                tell(attempt.cell)
                self.carry_out(attempt, self.finish)
                self.record(attempt)

    def carry_out(self, attempt: Attempt, step: Callable[[Attempt], None]) -> None:
        """Do one step for a cell, unless an earlier one failed; what fails here fails this cell alone.

        What a lost connection, or a board that was started anew, cuts off is done once more from its loading on.
        """
        if attempt.row.status != "ok":
            return
        try:
            step(attempt)
        except MachineError:
            raise
        except (ChildError, EcgEdgeError, ConversionError) as error:
            self.processes.check_machine(error, is_made_here=attempt.stage == "convert")
            if is_cut_off(error) and attempt.cut_off < TRIES:
                attempt.cut_off += 1
                self.carry_out_again(attempt, step)
            else:
                attempt.row = replace(
                    attempt.row, outcome=Outcome(status=status_of(error), stage=attempt.stage, reason=str(error))
                )

    def carry_out_again(self, attempt: Attempt, step: Callable[[Attempt], None]) -> None:
        """Load a cell anew, and do what it needs up to a step, that included."""
        self.carry_out(attempt, self.load)
        if step != self.load:
            self.carry_out(attempt, self.answer_now)
            self.carry_out(attempt, step)

    def answer_now(self, attempt: Attempt) -> None:
        """Have it answer at once, and not beside others."""
        attempt.answered = Future()
        attempt.answered.set_result(self.answer(attempt))

    def make(self, attempt: Attempt) -> None:
        """Its artifact, and those for other batch sizes."""
        attempt.stage = "convert"
        attempt.artifact = self.keep(self.lab.make(attempt.cell))
        attempt.row = replace(attempt.row, file=file_of(attempt.artifact, self.packed(attempt)["path"]))
        attempt.sized = self.sized(attempt.cell) if attempt.artifact.input.batch else {}

    def load(self, attempt: Attempt) -> None:
        """Load it, which is timed and weighed."""
        attempt.stage = "load"
        assert attempt.artifact is not None
        attempt.session = self.processes.open(attempt.cell.id, attempt.cell, pack(attempt.artifact))
        attempt.row = loaded(attempt.row, attempt.session.opened)

    @contextlib.contextmanager
    def answering(self, attempts: Sequence[Attempt]) -> Iterator[None]:
        """Have all that are loaded answer, as many at a time as there are cores for."""
        left = [attempt for attempt in attempts if attempt.row.status == "ok"]
        threads = max((attempt.cell.threads for attempt in left), default=1)
        with ThreadPoolExecutor(max(self.device.cores() // threads, 1)) as pool:
            try:
                for attempt in left:
                    attempt.answered = pool.submit(self.answer, attempt)
                yield
            except BaseException as error:
                pool.shutdown(wait=False, cancel_futures=True)
                if not isinstance(error, Exception):  # Ctrl-C waits for nobody; else they may end what they write
                    self.processes.kill()
                raise

    def judge(self, attempt: Attempt) -> None:
        """Its figures of quality and of the precision check, once it has answered."""
        attempt.stage = "reference"
        expected = self.reference(attempt.cell.model)
        attempt.stage = "score"
        assert attempt.answered is not None and attempt.session is not None and attempt.artifact is not None
        graph = attempt.answered.result()
        runtime = self.lab.tools.parts["runtime", attempt.cell.runtime]
        attempt.row = with_figures(attempt.row, attempt.session.figures(), runtime)
        attempt.stage = "judge"
        with self.lab.converters.turn() if self.device.beside else contextlib.nullcontext():  # it keeps a core busy
            attempt.row = judged(attempt.row, self.judgements(attempt.cell, attempt.artifact, expected, graph))

    def finish(self, attempt: Attempt) -> None:
        """Its throughput, where there are times."""
        attempt.stage = "throughput"
        assert attempt.session is not None
        if attempt.row.emulated:
            return
        found = self.throughput(attempt.session, attempt.cell, attempt.sized)
        attempt.row = replace(attempt.row, throughput=found)

    def record(self, attempt: Attempt) -> None:
        """Write its row down; a process that is not to be timed ends."""
        cell, row = attempt.cell, attempt.row
        artifact = self.packed(attempt) if attempt.artifact else None
        self.journal.append("scored", cell=cell.id, row=row.flat, artifact=artifact, files=self.digests(cell))
        if not is_timed(row.flat) and cell.id in self.processes.children:
            self.processes.drop(cell.id)

    def packed(self, attempt: Attempt) -> Any:
        """Its artifact as the journal keeps it, with its path in the run's folder."""
        assert attempt.artifact is not None
        path = attempt.artifact.path.relative_to(self.folder)
        return typed_json.plain(replace(pack(attempt.artifact), path=path))

    def digests(self, cell: Cell) -> dict[str, str]:
        """SHA-256 of what is kept of a cell, by path in the run's folder."""
        kept = [self.folder / "cells" / f"{cell.model}.reference.npy", *(self.file(cell, what) for what in KEPT)]
        return {str(path.relative_to(self.folder)): digest_of(path) for path in kept if path.exists()}

    def keep(self, artifact: Artifact) -> Artifact:
        """A copy in the run's folder: what is measured is what the reader of the run has."""
        mark = f"{artifact.digest[:12]}-"  # which a file has that comes from another run
        path = self.folder / "artifacts" / f"{mark}{file_name(artifact.path.name.removeprefix(mark))}"
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
        """The files of a cell for each batch size of the throughput but 1, packed, where its format fixes the batch.

        One that cannot be made here has none: the run that it comes from keeps that for one beat.
        """
        if self.lab.comes_along(cell):
            return {}
        sizes = self.lab.batch_sizes or BATCHES
        return {size: pack(self.lab.make(cell, size)) for size in sizes if size != 1}

    def reference(self, model: str) -> np.ndarray:
        """What the trained model or the user's file itself answers on the scored beats."""
        file = self.folder / "cells" / f"{model}.reference.npy"
        if not file.exists():
            lab = self.lab if self.device.beside else self.lab.in_this_turn()
            outputs = lab.outputs_of(self.lab.sources[model], "scored")
            with whole_file(file) as scratch:
                np.save(scratch, outputs)
        return read_array(self.folder, f"cells/{model}.reference.npy")

    def answer(self, attempt: Attempt) -> Graph | None:
        """Have the outputs saved, an anomaly detector's for the training beats too, and the graph that ran."""
        session, artifact = attempt.session, attempt.artifact
        assert session is not None and artifact is not None
        session.infer(self.lab.beats.files["scored"], self.file(attempt.cell, "outputs.npy"))
        if isinstance(artifact.task, Anomaly):
            session.infer(self.lab.beats.files["train"], self.file(attempt.cell, "train.npy"))
        graph = session.graph()
        if graph:
            with whole_file(self.file(attempt.cell, "graph.json"), "w", encoding="utf-8") as file:
                json.dump(arithmetic.kept(graph), file)
        return graph

    def judgements(
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
        if (file_along := self.lab.comes_along(cell)) and file_along.input.batch:
            sizes = (1,)
        return session.throughput(sized, self.lab.beats.files["scored"], self.profile, file, sizes)

    def file(self, cell: Cell, what: str) -> Path:
        return self.folder / "cells" / f"{cell.id}.{what}"


def is_cut_off(error: Exception) -> bool:
    """Whether a cell failed since its board was out of reach, or was started anew."""
    return isinstance(error, ChildError) and error.why in OF_BOARD


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
