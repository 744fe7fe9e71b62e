"""A run that begins: what its ``run.json`` says, and how little is left where it cannot begin."""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ecgedge.api.artifact import Artifact, digest_of
from ecgedge.api.precisions import Precision
from ecgedge.errors import EcgEdgeError, MachineError, machine_error, remedy, told_by_system
from ecgedge.files import strict_json
from ecgedge.files.locks import PART, whole_file
from ecgedge.files.schema import SchemaError
from ecgedge.measure import machine
from ecgedge.measure.bench import PROFILES
from ecgedge.measure.machine import EnergyCounter
from ecgedge.measure.steadiness import most_rounds
from ecgedge.run.layout import SCHEMA, check_about
from ecgedge.run.patients import PATIENT, PATIENTS
from ecgedge.run.reading import BEATS, JOURNAL, RUN
from ecgedge.run.request import MatrixRequest

if TYPE_CHECKING:
    from ecgedge.convert.lab import Lab
    from ecgedge.data.dataset import Dataset
    from ecgedge.plan.plan import Cell, Skip

LOG = "conversions.log"
AGAIN = "name it otherwise"


@dataclass(frozen=True, kw_only=True)
class AboutBoard:
    """What is kept of a board that cells run on; not where it is.

    Attributes:
        isa: the instruction sets that matter, by Linux's names.
        libraries: versions by distribution.
        emulated: the core that it plays; None: it is a real one.
        governor: how the first processor's frequency is governed.
        memory_kib: in units of 1,024 bytes.
    """

    cpu: str
    isa: tuple[str, ...]
    cores: int | None
    system: str
    libraries: Mapping[str, str]
    emulated: str | None
    governor: str | None
    memory_kib: int | None


def describe_run(
    request: MatrixRequest,
    data: Dataset,
    sources: Mapping[str, Artifact],
    cells: Sequence[Cell],
    skips: Sequence[Skip],
    energy: EnergyCounter,
    installed: Mapping[str, Mapping[str, str]],
    command: str,
    precisions: Mapping[str, Precision],
    boards: Mapping[str, AboutBoard],
) -> dict[str, Any]:
    """What ``run.json`` holds: what was asked, of which data and models, on which machine.

    Args:
        installed: versions in the environments of their own that its cells work in.
        command: by which it was asked for.
        precisions: that its cells have, those that are built in aside.
        boards: what is told of those that cells run on, by name.

    Raises:
        EcgEdgeError: it could not be read again, such as for a name that is no text.
    """
    profile = PROFILES[request.preset]
    about = {
        "schema": SCHEMA,
        "command": command,
        "request": request.record(),
        "data": data.describe(),
        "data_source": data.source,
        "data_digest": data.digest,
        "labels": list(data.labels),  # label i is class i
        **({"leads": list(data.lead_names)} if data.lead_names else {}),
        "beats": min(profile.beats or len(data.test), len(data.test)),
        "profile": profile.name,
        "rounds": profile.rounds,
        "rounds_most": most_rounds(profile.rounds),
        "batch_sizes": request.batch_sizes,  # None: the default ones, and more on another device than the CPU
        "seed": request.seed,
        "threads": request.threads,
        "sources": {name: source.digest for name, source in sources.items()},
        "cells": [cell.id for cell in cells],
        "skips": [skip.id for skip in skips],
        "machine": machine.describe(energy),
        "versions": machine.versions(),
        "environments": installed,
        "precisions": {name: each.record() for name, each in precisions.items()},
        **({"boards": {name: asdict(each) for name, each in boards.items()}} if boards else {}),
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }
    check_readable(about)
    return about


def check_readable(about: Mapping[str, Any]) -> None:
    """Raise EcgEdgeError where ``run.json`` would not be read again: before anything is measured."""
    told = strict_json.loads(json.dumps(about), "what is asked for", AGAIN)
    try:
        check_about(told)
    except SchemaError as error:
        raise EcgEdgeError(f"no run can be kept of what is asked for: {error}"[:300], AGAIN) from error


def write_run(folder: Path, run: dict[str, Any], lab: Lab) -> None:
    """``beats.npz``, what was scored and what the quantizers saw, and ``run.json``, which makes it a run."""
    train, scored = lab.beats.data.train, lab.beats.scored
    arrays = {"x": scored.x, "y": scored.y, "index": lab.beats.index}
    arrays |= {"train_x": train.x, "train_y": train.y, "calibration": lab.beats.calibration}
    if scored.groups is not None:
        names, numbers = np.unique(scored.groups, return_inverse=True)
        run[PATIENTS], arrays[PATIENT] = names.tolist(), numbers.astype(np.int64)
    with whole_file(folder / BEATS) as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
    run["files"] = {BEATS: digest_of(folder / BEATS)}
    with whole_file(folder / RUN, "w", encoding="utf-8") as file:
        file.write(json.dumps(run, indent=1) + "\n")


@contextlib.contextmanager
def writing(folder: Path, go_on: str) -> Iterator[None]:
    """What the machine did is the user's to mend, and the run then goes on; one that had not begun leaves nothing.

    Args:
        go_on: how the user goes on with it.

    Raises:
        MachineError: the hint says how to go on.
    """
    try:
        yield
    except MachineError as error:
        raise to_go_on(folder, go_on, error, error.message) from error
    except OSError as error:
        place = f"{folder}: {error.filename}" if error.filename else str(folder)
        what = "written" if told_by_system(error) else "used"
        raise to_go_on(folder, go_on, error, machine_error(f"{place} cannot be {what}", error).message) from error
    except MemoryError as error:
        raise to_go_on(folder, go_on, error, f"{folder}: out of memory") from error


@contextlib.contextmanager
def beginning(folder: Path) -> Iterator[None]:
    """What fails before there is a run leaves its folder empty, so that it can be named again."""
    try:
        yield
    except BaseException:
        clear(folder)
        raise


def to_go_on(folder: Path, go_on: str, error: Exception, message: str) -> MachineError:
    """The error with what to do, so that the run can go on."""
    said = told_by_system(error)
    mend = remedy(said) if said else (error.hint if isinstance(error, MachineError) else "mend that")
    mend = mend.removesuffix(", then do it again")
    if (folder / RUN).exists():
        return MachineError(message, f"{mend}, then: {go_on}")
    clear(folder)
    return MachineError(message, f"{mend}, then do it again, or name another folder with --out")


def clear(folder: Path) -> None:
    """Take away what a run that has not begun left of itself, so that the folder can be named again."""
    with contextlib.suppress(OSError):
        journal = folder / JOURNAL
        if (folder / RUN).exists() or (journal.exists() and journal.stat().st_size):
            return
        for name in (JOURNAL, BEATS, LOG):
            (folder / name).unlink(missing_ok=True)
        for left in folder.glob(f".*{PART}"):
            left.unlink()
        shutil.rmtree(folder / "samples", ignore_errors=True)
