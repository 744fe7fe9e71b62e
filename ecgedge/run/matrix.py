"""Carry out cells: from a trained model to what the journal of a run holds.

The cells of one model are made and scored one by one, each in a process of its own that stays alive,
asleep. Then these processes are timed in turns: round after round, a block of calls each, in random
order, so that a machine that slows down or speeds up does so for all of them. Rounds are added while too
few were timed in the machine's usual quick state. One cell, drawn at random, is timed a second time in
another process: what differs between the two is noise.
"""

from __future__ import annotations

import base64
import contextlib
import json
import random
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from itertools import groupby, product
from pathlib import Path
from typing import Any

import numpy as np

from ecgedge.api.artifact import Anomaly, Artifact, copy_to, digest_of, file_name
from ecgedge.api.graph import Graph
from ecgedge.api.parts import Runtime
from ecgedge.api.records import USER
from ecgedge.convert.lab import Lab
from ecgedge.errors import ConversionError, EcgEdgeError, MachineError, machine_error
from ecgedge.evaluate import precision_check, verdicts
from ecgedge.files import typed_json
from ecgedge.files.locks import PART, check_room, whole_file
from ecgedge.measure import machine, memory
from ecgedge.measure.bench import BATCHES, PROFILES, Profile
from ecgedge.measure.machine import EnergyCounter
from ecgedge.measure.steadiness import about_block, most_rounds
from ecgedge.plan.plan import Cell, Skip
from ecgedge.run import TWIN, read_array, read_graph
from ecgedge.run.journal import Journal
from ecgedge.run.rows import Timing
from ecgedge.workers import protocol
from ecgedge.workers.client import Child, ChildError
from ecgedge.workers.protocol import Packed, pack

KEPT = ("outputs.npy", "train.npy", "graph.json", "throughput.npz")  # of a cell, what its row is made from
UNCLAIMED = "unclaimed"  # a precision that the precision check holds to nothing
FOLDERS = ("cells", "artifacts", "logs")  # of a run, beside that of the samples

Tell = Callable[[float, str], object]  # how many steps are done, and what comes next


def measure_cells(
    cells: list[Cell],
    skips: list[Skip],
    lab: Lab,
    journal: Journal,
    profile: str,
    energy: EnergyCounter,
    tell: Tell,
) -> None:
    """Carry out what the journal does not hold yet. A cell is two steps: to be scored, and to be timed.

    Raises:
        MachineError, OSError: the machine failed; what the journal holds stays, and the rest can be done later.
    """
    for name in FOLDERS:
        (journal.folder / name).mkdir(exist_ok=True)
    sweep(journal.folder)
    for skip in skips:
        if not journal.of("scored", skip.id):
            journal.append("scored", cell=skip.id, row=skip_row(skip, lab))
    done = 0
    for _, group in groupby(cells, lambda cell: cell.model):
        of_model = list(group)
        run = ModelRun(of_model, lab, journal, PROFILES[profile], energy)
        run.carry_out(lambda steps, what, base=done: tell(base + steps, what))  # type: ignore[misc]
        done += 2 * len(of_model)
    tell(done, "")


class ModelRun:
    """The cells of one model."""

    def __init__(self, cells: list[Cell], lab: Lab, journal: Journal, profile: Profile, energy: EnergyCounter):
        self.cells, self.lab, self.journal, self.profile, self.energy = cells, lab, journal, profile, energy
        self.folder = journal.folder
        self.children: dict[str, Child] = {}

    def carry_out(self, tell: Tell) -> None:
        try:
            for done, cell in enumerate(self.cells):
                tell(done, f"{cell.model} {cell.format} {cell.precision} {cell.runtime}")
                if not self.journal.of("scored", cell.id):
                    self.score(cell)
            self.pair_up()
            for name in [*self.children]:
                self.warm_up(name)
            number = 0
            while number < self.wanted():
                share = number / max(self.profile.rounds, number + 1)
                tell(len(self.cells) * (1 + share), f"{self.cells[0].model} round {number + 1}")
                self.time_round(number)
                number += 1
        finally:
            for child in self.children.values():
                child.close()

    # -- scoring

    def score(self, cell: Cell) -> None:
        """Make a cell's artifact, load it, run all beats, judge what came out; the process stays where all is well."""
        child = self.child(cell.id, cell)
        row, packed = empty_row(cell, self.lab) | {"profile": self.profile.name}, None
        stage = "convert"
        try:
            artifact = self.keep(self.lab.make(cell))
            packed = typed_json.plain(replace(pack(artifact), path=artifact.path.relative_to(self.folder)))
            row |= {"size_bytes": artifact.size_bytes, "artifact": packed["path"], "digest": artifact.digest}
            row |= {"passes": list(artifact.passes), "notes": dict(artifact.notes)}
            sized = self.sized(cell) if artifact.input.batch else {}
            stage = "reference"
            expected = self.reference(cell.model)
            with self.lab.turn():
                stage = "load"
                row |= self.load(child, cell, artifact)
                stage = "score"
                graph, figures = self.outputs(child, cell, artifact)
                row |= {"figures": figures} if figures else {}
                stage = "judge"
                row |= self.judge(cell, artifact, expected, graph)
                stage = "throughput"
                if row["status"] == "ok":
                    row |= self.throughput(child, cell, sized)
        except MachineError:
            raise
        except (ChildError, EcgEdgeError, ConversionError) as error:
            self.check_machine(error)
            row |= {"status": status_of(error), "stage": stage, "reason": str(error)}
        kept = [self.folder / "cells" / f"{cell.model}.reference.npy", *(self.file(cell, what) for what in KEPT)]
        files = {str(path.relative_to(self.folder)): digest_of(path) for path in kept if path.exists()}
        self.journal.append("scored", cell=cell.id, row=row, artifact=packed, files=files)
        if row["status"] != "ok":
            self.children.pop(cell.id).close()

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

    def load(self, child: Child, cell: Cell, artifact: Artifact) -> dict[str, Any]:
        """Load an artifact in a cell's process."""
        return child.ask(self.loading(cell, pack(artifact)), self.lab.seconds).figures()

    def loading(self, cell: Cell, packed: Packed) -> protocol.Load:
        """What a cell's process is asked for when it is to load its artifact."""
        options = self.lab.options_of(self.lab.parts["runtime", cell.runtime])
        return protocol.Load(
            cell.runtime, packed, self.lab.files["scored"], cell.threads, self.lab.seed, options=options
        )

    def outputs(self, child: Child, cell: Cell, artifact: Artifact) -> tuple[Graph | None, dict[str, Any]]:
        """Have the outputs saved, an anomaly detector's for the training beats too.

        Returns the graph that ran, and what the session tells besides.
        """
        more = {}
        if isinstance(artifact.task, Anomaly):
            more = {str(self.lab.files["train"]): self.file(cell, "train.npy")}
        told = child.ask(protocol.Score(self.file(cell, "outputs.npy"), more), self.lab.seconds)
        if told.graph:
            with whole_file(self.file(cell, "graph.json"), "w", encoding="utf-8") as file:
                json.dump(told.graph.record(), file)
        return told.graph, dict(told.figures)

    def judge(self, cell: Cell, artifact: Artifact, expected: np.ndarray, graph: Graph | None) -> dict[str, Any]:
        """Whether the file is what it claims to be, and whether its answers are right."""
        runtime, scored, train = self.lab.parts["runtime", cell.runtime], self.lab.scored, self.lab.data.train
        more = {}
        if isinstance(artifact.task, Anomaly):
            outputs = np.load(self.file(cell, "train.npy"))
            more = {"train_outputs": outputs, "train_beats": train.x, "train_y": train.y}
        answers = verdicts.judge(
            np.load(self.file(cell, "outputs.npy")),
            expected,
            scored.x,
            scored.y,
            artifact.task,
            artifact.precision,
            computes=runtime.computes,
            index=self.lab.index,
            seed=self.lab.seed,
            **more,
        )
        claims = judge_claims(graph, artifact, self.lab.sources[cell.model], runtime, self.parent_graph(cell))
        reasons = [told["reason"] for told in (claims, answers) if told["reason"]]
        status = next((told["status"] for told in (claims, answers) if told["status"] != "ok"), "ok")
        return claims | answers | {"status": status, "reason": "; ".join(reasons)}

    def parent_graph(self, cell: Cell) -> Graph | None:
        """The graph of the fp32 form of a quantized cell, where this run has it."""
        parent = next((other for other in self.cells if is_parent(other, cell)), None)
        if parent is None or not self.file(parent, "graph.json").exists():
            return None
        return Graph.from_record(read_graph(self.folder, f"cells/{parent.id}.graph.json"))

    def throughput(self, child: Child, cell: Cell, sized: dict[int, Packed]) -> dict[str, Any]:
        file = self.file(cell, "throughput.npz")
        sizes = tuple(self.lab.batch_sizes) if self.lab.batch_sizes else None
        found = child.ask(protocol.Throughput(sized, self.profile.name, file, sizes), self.lab.seconds)
        return {f"throughput_{size}_per_s": per_second for size, per_second in found.items()}

    # -- timing

    def pair_up(self) -> None:
        """Draw the cell that is timed twice, once and for all, and have a process for each that is not done."""
        ready = [cell for cell in self.cells if self.row(cell.id)["status"] == "ok"]
        if ready and not any(self.journal.of("twin", cell.id) for cell in self.cells):
            drawn = random.Random(f"{self.lab.seed} {ready[0].model}").choice(ready)
            self.journal.append("twin", cell=drawn.id, name=drawn.id + TWIN)
        self.timed = {cell.id: cell for cell in ready}
        self.timed |= {cell.id + TWIN: cell for cell in ready if self.journal.of("twin", cell.id)}
        wanted = self.wanted()
        for cell in ready:
            self.bring_back(cell)
        for name in (name for name, rounds in self.rounds().items() if len(rounds) < wanted):
            self.child(name, self.timed[name])

    def bring_back(self, cell: Cell) -> None:
        """Make a scored cell's artifact once more where the run's folder has lost it.

        Raises:
            MachineError: it cannot be made, or what is made now is another.
        """
        row = self.row(cell.id)
        if (self.folder / row["artifact"]).exists():
            return
        gone = f"{self.folder / row['artifact']} is gone"
        try:
            made = self.keep(self.lab.make(cell))
        except (ChildError, ConversionError) as error:
            raise MachineError(f"{gone}, and cannot be made again: {error}", "bring it back") from error
        if made.digest != row["digest"]:
            raise MachineError(f"{gone}, and what is made now differs", "bring it back")

    def rounds(self) -> dict[str, set[int]]:
        """The rounds that are on record of each cell and twin that did not fail."""
        failed = {record["cell"] for record in self.journal.of("failed")}
        found: dict[str, set[int]] = {name: set() for name in self.timed if name not in failed}
        for block in self.journal.of("block"):
            if block["cell"] in found:
                found[block["cell"]].add(block["round"])
        return found

    def lacking(self, number: int) -> list[str]:
        """The names that still lack a round."""
        return [name for name, rounds in self.rounds().items() if number not in rounds]

    def wanted(self) -> int:
        """How many rounds there shall be, by what is on record.

        Those of the profile; then one more each time, as long as too few were in the machine's usual quick state, and
        there are not ``most_rounds`` yet.
        """
        done = self.rounds()
        begun = max((max(rounds) + 1 for rounds in done.values() if rounds), default=0)
        wanted = max(self.profile.rounds, begun)
        if not done or any(len(rounds) < wanted for rounds in done.values()):
            return wanted if done else 0
        return wanted if wanted >= most_rounds(self.profile.rounds) or self.enough([*done]) else wanted + 1

    def enough(self, names: list[str]) -> bool:
        """Whether each cell has blocks enough in the quick state, and each two that are compared have rounds enough.

        By the records up to these cells' own: what models show that are timed later adds no rounds.
        """
        records = self.journal.records
        last = max(i for i, each in enumerate(records) if each["event"] == "block" and each["cell"] in names)
        timing = Timing(records[: last + 1], self.profile.rounds, self.folder)
        pairs = [(name, name.removesuffix(TWIN)) for name in names if name.endswith(TWIN)]
        pairs += [(one, other) for one, other in product(names, names) if is_parent(self.timed[other], self.timed[one])]
        return not any(map(timing.unsteady, names)) and all(
            timing.common(*pair)[1] for pair in pairs if pair[1] in names
        )

    def warm_up(self, name: str) -> None:
        """Load a cell where its process is new, and run it until it is as fast as it gets."""
        cell, child = self.timed[name], self.children[name]
        packed = self.journal.of("scored", cell.id)[0]["artifact"]
        with self.surviving(name, "warm up"), self.lab.turn():
            if child.process is None:
                here = Packed(self.folder / packed["path"], packed["record"], packed["model"])
                child.ask(self.loading(cell, here), self.lab.seconds)
            found = child.ask(protocol.WarmUp(), self.lab.seconds)
            self.journal.append("warm", cell=name, load=machine.load(), **found.figures())

    def time_round(self, number: int) -> None:
        """A block of timed calls for each cell that lacks this round, in random order.

        Beside it the reference kernel runs, before and after, in the same process and outside of the block's energy.
        """
        names = self.lacking(number)
        for name in names:
            if name not in self.children:  # it had all rounds that were wanted when this run went on
                self.child(name, self.timed[name])
                self.warm_up(name)
        names = [name for name in self.children if name in names]
        random.Random(f"{self.lab.seed} {self.cells[0].model} {number}").shuffle(names)
        for name in names:
            with self.surviving(name, "measure"), self.lab.turn():
                child = self.children[name]
                child.ask(protocol.LoadAnew(), self.lab.seconds)
                first = child.ask(protocol.Reference(), self.lab.seconds)
                before = self.energy.read()
                answer = child.ask(protocol.Block(self.profile.block_seconds), self.lab.seconds)
                spent = self.energy.since(before)
                last = child.ask(protocol.Reference(), self.lab.seconds)
                state = about_block(first.facts(), last.facts())
                samples = base64.b64decode(answer.samples)
                self.journal.block(name, number, samples, **answer.figures(), **spent, **state)

    # -- small helpers

    @contextlib.contextmanager
    def surviving(self, name: str, stage: str) -> Any:
        """A process that dies or hangs fails its own cell only."""
        try:
            yield
        except MachineError:
            raise
        except (ChildError, EcgEdgeError) as error:
            self.check_machine(error)
            row = {"status": status_of(error), "stage": stage, "reason": str(error)}
            self.journal.append("failed", cell=name, row=row)
            self.children.pop(name).close()

    def check_machine(self, error: Exception) -> None:
        """Whether a failure may be the cell's own.

        Raises:
            MachineError: it lacks memory, without a limit of its own, and others have most of it; something that the
                run needs is gone; or nothing can be written any more.
        """
        is_of_memory = isinstance(error, ChildError) and error.why == "memory"
        if is_of_memory and ("SIGKILL" in str(error) or self.lab.memory is None) and memory.is_short():
            raise MachineError(f"the machine is short of memory: {error}", "free some memory")
        artifacts = [record["artifact"]["path"] for record in self.journal.of("scored") if record.get("artifact")]
        needed = [self.folder / name for name in (*FOLDERS, *artifacts)]
        if gone := next((path for path in (*needed, *self.lab.files.values()) if not path.exists()), None):
            raise MachineError(f"{gone} is gone", "bring it back")
        for folder in (self.folder, Path(self.lab.scratch.name)):
            try:
                check_room(folder)
            except OSError as error:
                raise machine_error(f"{folder} cannot be written", error) from error

    def child(self, name: str, cell: Cell) -> Child:
        if name not in self.children:
            log = self.folder / "logs" / f"{name}.log"
            self.children[name] = self.lab.child(self.lab.parts["runtime", cell.runtime], log, cell.threads)
        return self.children[name]

    def row(self, name: str) -> dict[str, Any]:
        return self.journal.of("scored", name)[0]["row"]

    def file(self, cell: Cell, what: str) -> Path:
        return self.folder / "cells" / f"{cell.id}.{what}"


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


def status_of(error: Exception) -> str:
    """Of the row of a cell that failed by it."""
    return error.status if isinstance(error, ChildError) else "failed"


def sweep(folder: Path) -> None:
    """Take away what a killed run was writing."""
    for place in (folder, *(folder / name for name in FOLDERS)):
        for left in place.glob(f".*{PART}"):
            if left.is_dir() and not left.is_symlink():
                shutil.rmtree(left)
            else:
                left.unlink()


def judge_claims(
    graph: Graph | None, artifact: Artifact, source: Artifact, runtime: Runtime, parent: Graph | None
) -> dict[str, Any]:
    """Whether a file is what its quantizer promised and ran where it was to; a user's file without a record promises
    nothing.

    Args:
        graph: that ran.
        source: what it was made from.
        parent: the graph of its fp32 form, where known.
    """
    told = source.maker.get("part") == USER and source.precision == artifact.precision
    if told:  # it is that form itself
        return precision_check.judge(graph, UNCLAIMED, runtime.device, None, artifact.notes)
    return precision_check.judge(graph, artifact.precision, runtime.device, parent, artifact.notes)


def is_parent(other: Cell, cell: Cell) -> bool:
    """Whether a cell is the fp32 form of another."""

    def form(one: Cell) -> tuple[Any, ...]:
        return one.model, one.route, one.format, one.runtime

    return other.precision == "fp32" and cell.precision != "fp32" and form(other) == form(cell)


def empty_row(cell: Cell, lab: Lab) -> dict[str, Any]:
    source, runtime = lab.sources[cell.model], lab.parts["runtime", cell.runtime]
    asked = lab.options_of(runtime)
    return ({"runtime_options": asked} if asked else {}) | {
        "id": cell.id,
        "model": cell.model,
        "task": source.task.kind,
        "format": cell.format,
        "precision": cell.precision,
        "runtime": cell.runtime,
        "device": runtime.device,
        "environment": runtime.environment,
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
        "id": skip.id,
        "model": skip.model,
        "task": lab.sources[skip.model].task.kind,
        "format": skip.format,
        "precision": None,
        "runtime": skip.runtime,
        "dataset": lab.data.name,
        "status": "skipped",
        "reason": skip.reason,
    }
