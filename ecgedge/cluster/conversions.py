"""Conversions that are carried out elsewhere, before anything is scored or timed here.

By the same versions from the same source, a network is the same wherever it is made. What it answers is not: an int8
file may answer otherwise on another processor. So cells are converted there, and scored where they are timed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from ecgedge.api.artifact import Artifact, copy_to
from ecgedge.cluster.crew import Crew, Lacks, Lost, hand_out
from ecgedge.cluster.workplace import Workplace
from ecgedge.convert.ahead import Job as Step
from ecgedge.convert.ahead import groups_of
from ecgedge.convert.beats import write_beats
from ecgedge.convert.fallback import Passes
from ecgedge.convert.lab import Lab
from ecgedge.convert.store import Store, open_store
from ecgedge.convert.tools import tools_of
from ecgedge.errors import ConversionError, EcgEdgeError, MachineError
from ecgedge.plan.plan import Cell
from ecgedge.workers.client import ChildError, Limits

DIED = "whoever converted it died with it, each time that it was tried"


@dataclass(frozen=True)
class Terms:
    """What is the same for all conversions of a run.

    Attributes:
        options: of the parts, with what quantizers settle by the processor of who asks.
        unavailable: (kind, name) of the parts that are left out, with the reason.
        calibration: training beats that int8 is calibrated on.
        limits: of each step in a child process.
        logs: the folder for what child processes print, where whoever works has it.
        versions: a digest of all that has to be the same where it is carried out.
    """

    options: Mapping[str, Any]
    unavailable: Mapping[tuple[str, str], str]
    calibration: int
    seed: int
    limits: Limits
    logs: Path
    versions: str


@dataclass(frozen=True)
class Conversions:
    """Cells of one model whose ways share what is made on them.

    Attributes:
        id: by which it is told.
        data: the digest of its file, see ``data.kept``.
        source: the key of the model in the store of who asks.
        network: the name of the model's part; None: it is a file made elsewhere.
        steps: each a cell, and the beats a call of its file.
    """

    id: str
    data: str
    source: str
    network: str | None
    steps: tuple[Step, ...]
    terms: Terms


@dataclass(frozen=True)
class Failure:
    """Why a cell cannot be made; see ``ChildError``."""

    step: Step
    reason: str
    why: str = "wrong"
    trace: str = ""


@dataclass(frozen=True)
class Converted:
    """What became of conversions.

    Attributes:
        entries: keys of the store where they were carried out, of all that was made or found on the way.
        failures: what cannot be made.
        usable: see ``Lab``.
        worker: who did it.
    """

    entries: tuple[str, ...]
    failures: tuple[Failure, ...] = ()
    usable: Mapping[tuple[Any, ...], Passes] = field(default_factory=dict)
    worker: str = ""


# -- here


def make_there(
    lab: Lab, cells: Sequence[Cell], crew: Crew[Conversions, Converted], data: str, terms: Terms,
    tell: Callable[[int, int], object],
) -> None:  # fmt: skip
    """Have what cells need made by others, and put into the store here. What cannot be made, ``lab`` then knows.

    What is in the store already is not made again. Parts that work in an environment of their own are left out: whether
    others have the same environment is not known.

    Args:
        data: the digest of the data set's file.
        tell: is called with how many groups of conversions are done, of how many.

    Raises:
        MachineError, EcgEdgeError: the work cannot go on.
    """
    jobs = [*jobs_of(lab, cells, data, terms)]
    suspects: list[Conversions] = []
    done = 0

    def settle(job: Conversions, found: Converted | Lost) -> Iterable[Conversions]:
        nonlocal done
        if not isinstance(found, Lost):
            lab.usable.update(found.usable)
            lab.failed |= {each.step: ChildError(each.reason, each.why, each.trace) for each in found.failures}
        elif job in suspects:
            lab.failed[job.steps[0]] = ChildError(DIED)
        else:
            suspects.extend(replace(job, id=f"{job.id}.{n}", steps=(step,)) for n, step in enumerate(job.steps))
        done += 1
        tell(done, len(jobs) + len(suspects))
        return ()

    if jobs:
        tell(0, len(jobs))
    hand_out(jobs, crew, settle)
    for job in [*suspects]:  # one after the other: what waits at a worker that dies is suspected, too
        hand_out([job], crew, settle)


def jobs_of(lab: Lab, cells: Sequence[Cell], data: str, terms: Terms) -> Iterator[Conversions]:
    """What is not in the store here yet."""
    here = replace(lab, store=KeptOnly(lab.store.root), usable={}, failed={})
    for name, group in groupby(sorted(cells, key=lambda cell: cell.model), lambda cell: cell.model):
        source, key = lab.sources[name], ""
        for steps in groups_of(lab, [cell for cell in group if can_travel(lab, cell)]):
            if not (left := tuple(step for step in steps if not is_kept(here, step))):
                continue
            key = key or keep_source(lab.store, source)
            cell, batch = left[0]
            way = "-".join([name, *cell.route, cell.quantizer, f"b{batch}"])
            yield Conversions(way, data, key, source.model.name if source.model else None, left, terms)


def can_travel(lab: Lab, cell: Cell) -> bool:
    """Whether all parts of a cell's conversion work where ecgedge itself does."""
    parts = [*(lab.tools.parts["exporter", name] for name in cell.route), lab.tools.parts["quantizer", cell.quantizer]]
    return all(part.environment is None for part in parts)


class NotKept(Exception):
    """It is not in the store."""


class KeptOnly(Store):
    """A store in which nothing is made."""

    def make(self, key: str, *_: object) -> Artifact:
        if found := self.find(key):
            return found
        raise NotKept


def is_kept(lab: Lab, step: Step) -> bool:
    """Whether all that a cell needs is in the store."""
    try:
        return bool(lab.make(*step))
    except NotKept:
        return False


def keep_source(store: Store, source: Artifact) -> str:
    """Put a model into the store, from where it can be sent; returns its key.

    Raises:
        MachineError: the store cannot be written.
    """
    told = json.dumps({"source": source.record(), "digest": source.digest}, sort_keys=True)
    key = hashlib.sha256(told.encode()).hexdigest()

    def build(out: Path) -> Artifact:
        copy_to(source.path, out)
        return replace(source, path=out)

    store.make(key, source.path.name, {"part": f"source {source.name}"}, build)
    return key


# -- there


class Noted(Store):
    """A store that knows what it was asked for."""

    def __init__(self, root: Path):
        super().__init__(root)
        self.keys: dict[str, None] = {}

    def make(self, key: str, *how: Any) -> Artifact:
        made = super().make(key, *how)
        self.keys[key] = None
        return made


def carry_out(place: Workplace, job: Conversions) -> Converted | Lacks:
    """Convert cells; what fails is told.

    Raises:
        MachineError: the machine is at fault.
    """
    if lacks := place.lacks(job.data, job.source):
        return lacks
    terms, store, failures = job.terms, Noted(open_store().root), list[Failure]()
    source = store.find(job.source)
    if source is None:
        return Lacks((), (job.source,))
    if job.network:
        source = replace(source, model=place.parts.models[job.network])
    name = job.steps[0][0].model
    with (
        place.at_work(terms.limits, terms.logs) as converters,
        contextlib.closing(write_beats(place.data(job.data), np.zeros(1, int), terms.calibration, terms.seed)) as beats,
    ):
        tools = tools_of(place.parts, terms.options, terms.unavailable)
        lab = Lab({name: source}, tools, beats, converters, store, terms.seed)
        for step in job.steps:
            try:
                lab.make(*step)
            except MachineError:
                raise
            except ChildError as error:
                failures.append(Failure(step, str(error), error.why, error.trace))
            except (ConversionError, EcgEdgeError) as error:
                failures.append(Failure(step, str(error)))
    return Converted(tuple(store.keys), tuple(failures), lab.usable)
