"""The folder of a run: made, described by its ``run.json``, and taken up again."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shlex
import shutil
import stat
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from ecgedge.cli import common
from ecgedge.cli.options import COLUMNS, NORMALIZE, TOLD, trusted
from ecgedge.errors import EcgEdgeError, MachineError, machine_error, remedy, told_by_system
from ecgedge.files.locks import PART, usable_folder, whole_file

if TYPE_CHECKING:
    from ecgedge.api.artifact import Artifact
    from ecgedge.convert.lab import Lab
    from ecgedge.data.dataset import Dataset
    from ecgedge.measure.machine import EnergyCounter
    from ecgedge.plan.plan import Cell, Skip
    from ecgedge.plugins import Parts
    from ecgedge.run import MatrixRequest, RunFolder

RUN, BEATS, LOG = "run.json", "beats.npz", "conversions.log"
SAID_ANEW = ("resume", "mlflow", "trust")  # what whoever resumes says for himself, and no run for him
NEAR = "data/ECG5000"  # where data is found that nobody named


def new_folder(out: Path | None) -> Path:
    """The folder of this run, made and empty."""
    folder = out or Path("runs") / time.strftime("%Y%m%d-%H%M%S")
    if folder.is_dir() and any(folder.iterdir()):
        raise EcgEdgeError(f"{folder} is not empty", "name a new folder with --out")
    return usable_folder(folder)


@contextlib.contextmanager
def writing(folder: Path, uri: str | None) -> Iterator[None]:
    """What the machine did is the user's to mend, and the run then goes on; one that had not begun leaves nothing.

    Args:
        uri: of the MLflow server that it is sent to.

    Raises:
        MachineError: the hint says how to go on.
    """
    try:
        yield
    except MachineError as error:
        raise to_go_on(folder, uri, error, error.message) from error
    except OSError as error:
        place = f"{folder}: {error.filename}" if error.filename else str(folder)
        what = "written" if told_by_system(error) else "used"
        raise to_go_on(folder, uri, error, machine_error(f"{place} cannot be {what}", error).message) from error
    except MemoryError as error:
        raise to_go_on(folder, uri, error, f"{folder}: out of memory") from error


@contextlib.contextmanager
def beginning(folder: Path) -> Iterator[None]:
    """What fails before there is a run leaves its folder empty, so that it can be named again."""
    try:
        yield
    except BaseException:
        clear(folder)
        raise


def to_go_on(folder: Path, uri: str | None, error: Exception, message: str) -> MachineError:
    """The error with what to do, so that the run can go on."""
    said = told_by_system(error)
    mend = remedy(said) if said else (error.hint if isinstance(error, MachineError) else "mend that")
    mend = mend.removesuffix(", then do it again")
    if (folder / RUN).exists():
        return MachineError(message, f"{mend}, then: {resume_command(folder, uri)}")
    clear(folder)
    return MachineError(message, f"{mend}, then do it again, or name another folder with --out")


def clear(folder: Path) -> None:
    """Take away what a run that has not begun left of itself, so that the folder can be named again."""
    from ecgedge.run.journal import JOURNAL

    with contextlib.suppress(OSError):
        journal = folder / JOURNAL
        if (folder / RUN).exists() or (journal.exists() and journal.stat().st_size):
            return
        for name in (JOURNAL, BEATS, LOG):
            (folder / name).unlink(missing_ok=True)
        for left in folder.glob(f".*{PART}"):
            left.unlink()
        shutil.rmtree(folder / "samples", ignore_errors=True)


def describe_run(
    request: MatrixRequest,
    data: Dataset,
    sources: dict[str, Artifact],
    cells: list[Cell],
    skips: list[Skip],
    energy: EnergyCounter,
    installed: dict[str, dict[str, str]],
) -> dict[str, Any]:
    """What ``run.json`` holds: what was asked, of which data and models, on which machine.

    Args:
        installed: versions in the environments of their own that its cells work in.

    Raises:
        EcgEdgeError: it could not be read again, such as for a name that is no text.
    """
    from ecgedge.measure import machine
    from ecgedge.measure.bench import PROFILES
    from ecgedge.measure.steadiness import most_rounds
    from ecgedge.run import SCHEMA

    profile = PROFILES[request.preset]
    about = {
        "schema": SCHEMA,
        "command": shlex.join(["ecgedge", *sys.argv[1:]]),
        "request": request.record(),
        "data": data.describe(),
        "data_source": data.source,
        "data_digest": data.digest,
        "labels": list(data.labels),  # label i is class i
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
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }
    check_readable(about)
    return about


def check_readable(about: dict[str, Any]) -> None:
    """Raise EcgEdgeError where ``run.json`` would not be read again: before anything is measured."""
    from ecgedge.files import strict_json
    from ecgedge.files.schema import SchemaError
    from ecgedge.run import check_about

    hint = "name it otherwise"
    told = strict_json.loads(json.dumps(about), "what is asked for", hint)
    try:
        check_about(told)
    except SchemaError as error:
        raise EcgEdgeError(f"no run can be kept of what is asked for: {error}"[:300], hint) from error


def write_run(folder: Path, run: dict[str, Any], lab: Lab) -> None:
    """``beats.npz``, what was scored and what the quantizers saw, and ``run.json``, which makes it a run."""
    import numpy as np

    from ecgedge.api.artifact import digest_of

    train = lab.data.train
    with whole_file(folder / BEATS) as file:
        np.savez_compressed(file, x=lab.scored.x, y=lab.scored.y, index=lab.index,
                            train_x=train.x, train_y=train.y, calibration=lab.calibration)  # fmt: skip
    run["files"] = {BEATS: digest_of(folder / BEATS)}
    with whole_file(folder / RUN, "w", encoding="utf-8") as file:
        file.write(json.dumps(run, indent=1) + "\n")


def take_up(ctx: click.Context, folder: Path) -> RunFolder:
    """An interrupted run, with what it was asked for; what commands read of that in the context's meta is put there.

    The folder may be a stranger's. No address and no trust is taken from it, and it is not worked in: who resumes
    says these anew.

    Raises:
        EcgEdgeError: there is no run in that folder, it is damaged or holds what no run holds; or another option is
            given.
    """
    from ecgedge.run import RunFolder

    given = [
        parameter.opts[0]
        for parameter in ctx.command.params
        if parameter.name not in SAID_ANEW
        and ctx.get_parameter_source(parameter.name or "") is not ParameterSource.DEFAULT
    ]
    if given:
        raise EcgEdgeError(f"--resume goes on with what was asked for then, so {given[0]} has no place", "leave it out")
    run = RunFolder.read(folder)
    run.check_for_resume(trusted())
    asked = run.request
    ctx.meta[NORMALIZE] = asked.normalize
    ctx.meta[COLUMNS] = {"label_column": asked.label_column, "ignore_column": list(asked.ignore_columns)}
    ctx.meta[TOLD] = {**dataclasses.asdict(asked.told), "trust": trusted()}
    return run


def asked_then(request: MatrixRequest, parts: Parts) -> MatrixRequest:
    """What a run was asked for; files are named as they were then, from where that was.

    Raises:
        EcgEdgeError: a name leads to a pipe or a device.
    """
    place, data = Path(request.place), request.data
    if data and data.lower() not in ("synthetic", "ecg5000"):
        data = named_from(place, data)
    elif not data and not os.environ.get("ECGEDGE_DATA") and (place / NEAR).is_dir():
        data = named_from(place, NEAR)
    models, files = (
        tuple(each if each in parts.models else named_from(place, each) for each in names)
        for names in (request.models, request.files)
    )
    return dataclasses.replace(request, data=data, models=models, files=files)


def named_from(place: Path, name: str) -> str:
    """A file or folder by its name in the folder ``place``, as it can be found from here."""
    path = place / name if place.is_absolute() else Path(name)
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):  # whoever opens it tells what is wrong
        return name
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise EcgEdgeError(f"{path} is neither a file nor a folder", "the run names it as a model or as its data")
    return str(path)


def mlflow_uri(request: MatrixRequest, said: str | None) -> str | None:
    """Where a run that is resumed is sent: as its user says, by the option or in the environment, never the run."""
    if uri := said or (os.environ.get("MLFLOW_TRACKING_URI") if request.sent else None):
        return uri
    if request.sent:
        common.note("the run was to be sent to MLflow; --mlflow URI says where, else it is not sent")
    return None


def check_same(known: dict[str, Any], now: dict[str, Any], folder: Path) -> None:
    """Raise EcgEdgeError where a run cannot go on, since what it measures is no longer the same."""
    for key, what in (
        ("data_digest", "the data"),
        ("sources", "a model"),
        ("cells", "what can run here"),
        ("skips", "what cannot run here"),
        ("versions", "a library"),
        ("environments", "a library in an environment of its own"),
    ):
        then, today = known.get(key, {}), now[key]  # older runs know no environments
        if then != today:
            raise EcgEdgeError(
                f"{folder} cannot be resumed: {what} has changed ({difference(then, today)})",
                "bring it back as it was, or start a new run",
            )
    for part in ("cpu", "gpu"):
        then = known["machine"].get(part, now["machine"][part])  # older runs know no GPU
        if then != now["machine"][part]:
            raise EcgEdgeError(f"{folder} was measured on {then or f'no {part}'}", "start a new run on this machine")


def difference(old: Any, new: Any) -> str:
    """The first thing that differs, in words."""
    if isinstance(old, dict):
        name = next(name for name in {**old, **new} if old.get(name) != new.get(name))
        if isinstance(old.get(name), dict) and isinstance(new.get(name), dict):
            return f"{name}, {difference(old[name], new[name])}"
        return f"{name}: {str(old.get(name))[:12]} then, {str(new.get(name))[:12]} now"
    if isinstance(old, list):
        odd = next(iter(set(old) ^ set(new)), "their order")
        return f"{odd} {'then' if odd in old else 'now'} only"
    return f"{str(old)[:12]} then, {str(new)[:12]} now"


def resume_command(folder: Path, uri: str | None = None) -> str:
    """The command line that goes on with a run, and sends it to MLflow there."""
    extra = ["--plugins-dir", os.environ["ECGEDGE_PLUGINS_DIR"]] if "ECGEDGE_PLUGINS_DIR" in os.environ else []
    trust = ["--trust"] if trusted() else []
    sent = ["--mlflow", uri] if uri else []
    return shlex.join(["ecgedge", *extra, "matrix", "--resume", str(folder), *sent, *trust])
