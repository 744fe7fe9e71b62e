"""``ecgedge convert``: one file, made as a cell of a matrix is, verified, and put where it is wanted."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ecgedge.api.artifact import CHECKPOINT_FILE, Artifact, copy_to, digest_of
from ecgedge.commands.converted import Comparison, Verification, measure_cost, measure_gain, verify_file, warn_of
from ecgedge.errors import ConversionError, EcgEdgeError

if TYPE_CHECKING:  # the rest is imported when something is converted: ``import ecgedge`` is to stay quick
    from ecgedge.convert.lab import Lab
    from ecgedge.data.dataset import Dataset
    from ecgedge.plugins import Parts
    from ecgedge.run import Told

VERIFIED = 500  # test beats, where not all are asked for: one decision of them is 0.2 points of accuracy


@dataclass(frozen=True)
class Conversion:
    """What ``convert`` made.

    Attributes:
        path: of the file, or folder.
        artifact: its record; its own path is where the store keeps it.
        route: the exporters on the way, in order.
        quantizer: the last step.
        runtime: that it is for, and was verified on first; empty where none that works here takes its format.
        passes: graph passes that were asked for on the way; ``artifact.passes`` are those that changed something.
        verification: None where ``runtime`` is empty: then its exporter alone has checked it.
        gain: a user's ONNX file beside itself without graph passes; None for others.
        cost: a file with layers left in float beside full int8; None for others.
    """

    path: Path
    artifact: Artifact
    route: tuple[str, ...]
    quantizer: str
    runtime: str
    passes: tuple[str, ...]
    verification: Verification | None
    gain: Comparison | None = None
    cost: Comparison | None = None


def convert(
    source: str | os.PathLike[str],
    to: str,
    out: str | os.PathLike[str] | None = None,
    *,
    quantizer: str = "none",
    exporters: str | Sequence[str] = (),
    runtime: str | None = None,
    passes: str | Sequence[str] | None = None,
    options: Mapping[str, Any] | None = None,
    batch: int = 1,
    force: bool = False,
    verify: str = "sample",
    data: str | os.PathLike[str] | None = None,
    normalize: bool = False,
    label_column: str | None = None,
    ignore_columns: str | Sequence[str] = (),
    leads: str | Sequence[str] = (),
    layout: str | None = None,
    group_column: str | None = None,
    label_file: str | os.PathLike[str] | None = None,
    class_names: str | os.PathLike[str] | None = None,
    calibration: int = 400,
    seed: int = 0,
    told: Told | None = None,
    trust: bool = False,
    timeout: float = 300,
    memory: int | None = None,
) -> Conversion:
    """Make one file of a model, a checkpoint or a file, and verify that it answers as its source does.

    It is made as a row of a matrix is: same route, passes and options, same file.

    Args:
        source: the name of a model, a folder of a checkpoint, or a file.
        to: the format, such as ``"onnx"`` or ``"tflite"``.
        out: where it is put; None: ``NAME-PRECISION.FORMAT`` here.
        quantizer: a precision, or the name of one quantizer.
        exporters: the route, all exporters in order; empty: the shortest there is.
        runtime: that it is for, which decides on graph passes; None: the first that takes the format and works here.
        passes: graph passes for ONNX, in order; None: those that their consumer wants.
        options: of the parts, as ``MatrixRequest`` has them.
        batch: beats a call of a format that fixes it.
        force: replace ``out`` where it exists.
        verify: ``"full"``: on all test beats, or ``"sample"``: on 500 of them, drawn stratified with the seed.
        data: where it lies, as for ``MatrixRequest``; so ``normalize``, ``label_column``, ``ignore_columns``,
            ``leads``, ``layout``, ``group_column``, ``label_file``, ``class_names``.
        calibration: training beats that int8 is calibrated on.
        seed: of all that is drawn at random.
        told: what is to be known of a file without a record.
        trust: code that a file brings may run.
        timeout: seconds that a step in a child process may take.
        memory: millions of bytes that a child process may take; None: no limit.

    Raises:
        EcgEdgeError: there is no such source, way or part, or ``out`` cannot be written.
        ConversionError: it cannot be made, or what was made is wrong; nothing is kept.
    """
    from ecgedge.commands.loading import data_of, limits_of, load_parts, settled
    from ecgedge.convert.lab import open_lab
    from ecgedge.convert.opening import opener
    from ecgedge.measure.bench import check_size
    from ecgedge.passes import check_names
    from ecgedge.plan.file import FileAsked
    from ecgedge.plan.options import chosen
    from ecgedge.run import Told
    from ecgedge.workers.availability import not_installed
    from ecgedge.workers.client import ChildError
    from ecgedge.workers.standins import failure

    if verify not in ("sample", "full"):
        raise EcgEdgeError(f"verify {verify!r}: no such choice", "choose from: sample, full")
    request = settled(
        exporters=exporters, passes=passes, options=options or {}, batch_sizes=batch, data=data, normalize=normalize,
        label_column=label_column, ignore_columns=ignore_columns, leads=leads, layout=layout,
        group_column=group_column, label_file=label_file, class_names=class_names, calibration=calibration,
        seed=seed, told=told or Told(), timeout=timeout, memory=memory,
    )  # fmt: skip
    used = None if request.passes is None else tuple(request.passes)
    parts, limits = load_parts(), limits_of(request)
    check_names(used or (), parts.passes)
    given, beats = chosen(request.options, parts.steps, parts.models.values()), data_of(request)
    with opener(parts, limits, request.told, trust) as opened:
        origin = opened.fit_to_data(opened.find_artifact(os.fspath(source)), beats)
    check_size(origin, batch)
    asked = FileAsked(to, quantizer, tuple(request.exporters) or None, runtime, used)
    with tempfile.TemporaryDirectory() as scratch:
        lab = open_lab(parts, beats, {origin.name: origin}, Path(scratch), verified_beats(beats, verify, seed),
                       calibration=calibration, seed=seed, options=given, unavailable=not_installed(parts),
                       limits=limits, unasked=True)  # fmt: skip
        try:
            return carry_out(Work(lab, parts, origin, batch), asked, None if out is None else Path(out), force)
        except ChildError as error:
            if error.why in ("late", "memory"):
                raise failure(error, os.fspath(source), limits) from None
            raise ConversionError(f"{error} (log: {keep_log(lab.converters.log)})") from None
        finally:
            lab.close()


def verified_beats(data: Dataset, verify: str, seed: int) -> np.ndarray:
    """Indices of the test beats that a file is verified on, in order: all, or some drawn before anything is known."""
    from ecgedge.data.drawing import stratified

    count = len(data.test) if verify == "full" else max(VERIFIED, data.classes)
    return np.sort(stratified(data.test.y, count, seed))


@dataclass(frozen=True)
class Work:
    """What a conversion works with: the source as it is used on the data, and beats a call of the result."""

    lab: Lab
    parts: Parts
    origin: Artifact
    batch: int = field(default=1)


def carry_out(work: Work, asked: Any, out: Path | None, force: bool) -> Conversion:
    """Plan, make, verify and place one file."""
    from ecgedge.convert.opening import with_threshold
    from ecgedge.files.notices import note
    from ecgedge.plan.file import plan_file
    from ecgedge.plan.options import check_used
    from ecgedge.plan.plan import source_of, takers
    from ecgedge.workers.availability import require

    lab, parts, origin = work.lab, work.parts, work.origin
    cell = plan_file(origin.name, source_of(origin), asked, parts.exporters, parts.quantizers, parts.runtimes,
                     lambda part: lab.lacks(part) is None)  # fmt: skip
    for kind, name in [*(("exporter", name) for name in cell.route), ("quantizer", cell.quantizer)]:
        require(parts.find(kind, name))
    making = [*(parts.exporters[name] for name in cell.route), parts.quantizers.get(cell.quantizer)]
    running = [parts.runtimes.get(asked.runtime or cell.runtime), *takers(origin.format, parts.runtimes)]
    check_used(lab.tools.options, [*making, *running])
    if asked.runtime and not cell.runtime:
        reason = lab.lacks(parts.runtimes[asked.runtime])
        raise EcgEdgeError(f"runtime {asked.runtime} cannot be used: {reason}", "name another, or leave --runtime out")
    target = out or Path(f"{origin.name}-{cell.precision}.{cell.format}")
    check_ending(target, cell.format, parts)
    check_target(target.absolute(), force)
    lab.sources = {
        origin.name: with_threshold(origin, lab.beats.data, lambda given, _: lab.outputs_of(given, "train"), note)
    }
    artifact = lab.make(cell, work.batch)
    proof = verify_file(artifact, cell, lab)
    gain, cost = measure_gain(artifact, cell, work.batch, lab), measure_cost(artifact, cell, work.batch, lab)
    place(artifact, target.absolute())
    warn_of(artifact, proof, parts)
    return Conversion(target, artifact, cell.route, cell.quantizer, cell.runtime, cell.passes, proof, gain, cost)


def check_ending(target: Path, format: str, parts: Parts) -> None:
    """Raise EcgEdgeError where a file is named as one of another format, as which it would be opened."""
    from ecgedge.files.opening import ending_of

    ending = ending_of(target)
    reading = [part for part in parts.runtimes.values() if ending in part.suffixes]
    if reading and not any(format in part.accepts for part in reading):
        own = [name for part in parts.runtimes.values() if format in part.accepts for name in part.suffixes]
        fitting = target.with_suffix(own[0] if own else "")
        raise EcgEdgeError(f"{target} is to be {format}, and {ending} is the ending of another format",
                           f"-o {fitting}")  # fmt: skip


def check_target(target: Path, force: bool) -> None:
    """Raise EcgEdgeError where the result cannot be put there without losing something of the user's."""
    from ecgedge.api.records import SIDECAR
    from ecgedge.files.locks import usable_folder

    if not target.name:
        raise EcgEdgeError(f"{target} is not a name for a file", "name one with -o")
    if target.exists() and not force:
        raise EcgEdgeError(f"{target} exists", "name another with -o, or --force")
    if target.exists() and not target.is_dir() and not target.is_file():
        raise EcgEdgeError(f"{target} is a device or a pipe", "name another with -o")
    ours = (target / SIDECAR).is_file() or (target / CHECKPOINT_FILE).is_file()
    if target.is_dir() and not ours:
        raise EcgEdgeError(f"{target} is a folder that ecgedge did not make", "name another with -o")
    usable_folder(target.parent)


def place(artifact: Artifact, target: Path) -> None:
    """Copy an artifact out of the store, whole or not at all."""
    from ecgedge.files.locks import swap_in

    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".", suffix=".part") as scratch:
        fresh = Path(scratch) / "new"
        copy_to(artifact.path, fresh)
        if digest_of(fresh) != artifact.digest:
            raise ConversionError(f"{target} is not written: its copy is not the file that was made")
        swap_in(fresh, target, Path(scratch) / "old")


def keep_log(log: Path) -> Path:
    """Keep the log of a failed conversion in the cache; returns where."""
    from ecgedge.files.cache import cache_folder

    kept = cache_folder() / "logs" / f"convert-{time.strftime('%Y%m%d-%H%M%S')}.log"
    kept.parent.mkdir(parents=True, exist_ok=True)
    if log.exists():
        shutil.copyfile(log, kept)
    return kept
