"""A file, run and timed in child processes, and what is told of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ecgedge.api.artifact import Artifact
from ecgedge.api.profile import Profile
from ecgedge.errors import EcgEdgeError
from ecgedge.explain.explanation import PEAKS, Explanation, cost_of_profiler, lines_of, total, typical
from ecgedge.measure import machine
from ecgedge.measure.peaks import joined
from ecgedge.run.turns import Setting
from ecgedge.workers import protocol
from ecgedge.workers.client import ChildError, WorkerClient, plainly
from ecgedge.workers.protocol import pack
from ecgedge.workers.session import open_session

LENGTH = 140  # samples a beat, where the file takes any
BEATS = 64  # for files that are timed in turns
CALLS = 200  # under the profiler, or as many as it takes to fill SECONDS, but never fewer than FEWEST
FEWEST = 20
SECONDS = 0.5
BUSY = 0.8  # of the time that the process has a processor, below which a line says so


def write_beats(artifact: Artifact, count: int, file: Path) -> Path:
    """Random beats of the leads and length that a file takes: what they say does not change what it does."""
    shape = (count, artifact.input.leads or 1, artifact.input.length or LENGTH)
    np.save(file, np.random.default_rng(0).standard_normal(shape, dtype=np.float32))
    return file


def study(
    artifact: Artifact,
    runtime: str,
    setting: Setting,
    against: Mapping[str, str] | None = None,
    isa: tuple[str, ...] | None = None,
) -> Explanation:
    """All but the comparison with another file. The beats of ``setting`` are those of one call.

    Args:
        isa: flags of the processor of a board; None: this machine's.
        against: the peaks that multiplications are held against, by the type that they compute in, where that is not
            the usual one.

    Raises:
        EcgEdgeError: the runtime cannot run it, or tells nothing of its operations.
    """
    asked = protocol.Open(runtime, pack(artifact), setting.threads, setting.options.get(runtime, {}), pinned=True)
    notes: list[str] = []
    with setting.child(runtime, setting.folder / "explained.log") as child, setting.turn():
        before = ask_peaks(child, runtime, setting, notes)
        try:
            session = open_session(child, asked, setting.seconds)
            session.invoke(setting.beats, setting.folder / "answers.npy")
            blocks = setting.blocks.get(runtime)
            weighed, graph = session.weigh(SECONDS, blocks.calls if blocks else None), session.graph()
        except ChildError as error:
            told = f"{artifact.path} does not run on {runtime}: {error.plain}"
            raise EcgEdgeError(told, error.hint or "try another --runtime") from None
        if graph is None:
            raise EcgEdgeError(f"runtime {runtime} tells nothing of its operations", "another --runtime may")
        whole_us = float(np.median(weighed.taken)) / 1e3
        calls = int(np.clip(SECONDS * 1e6 / whole_us, FEWEST, CALLS))
        device = session.opened.device
        if device != "cuda":
            profile = ask_profile(child, setting, asked, calls, notes)
        peaks = joined(before, ask_peaks(child, runtime, setting, [])) if before else {}
        if peaks and against:
            peaks["holds_for"] = {**peaks.get("holds_for", PEAKS), **against}
    if device == "cuda":  # kernels that are waited for, or the time of each would be that of its launch
        with setting.child(runtime, setting.folder / "profiled.log", CUDA_LAUNCH_BLOCKING="1") as child, setting.turn():
            profile = ask_profile(child, setting, asked, calls, notes)
    if weighed.clock:
        notes.append(f"times of whole calls are by {weighed.clock}")
    if weighed.cpu_share < BUSY and device == "cpu" and not weighed.clock:
        notes.append(f"others kept the processor busy: this process had it {weighed.cpu_share:.0%} of the time")
    times = [typical(step.microseconds, profile.tick) for step in profile.steps] if profile else []
    return Explanation(
        artifact=artifact,
        runtime=runtime,
        graph=graph,
        lines=lines_of(graph, profile, peaks, whole_us),
        whole_us=whole_us,
        profiled_us=float(np.median(profile.calls)) if profile and profile.calls else None,
        tick=profile.tick if profile else 0.0,
        calls=calls if profile else 0,
        told_us=total(times) if profile else None,
        cost_us=cost_of_profiler(times, whole_us),
        cpu_share=weighed.cpu_share,
        peaks=peaks,
        device=device,
        isa=() if device != "cpu" else tuple(machine.describe()["isa"]) if isa is None else isa,
        notes=tuple(notes),
    )


def ask_profile(
    child: WorkerClient, setting: Setting, asked: protocol.Open, calls: int, notes: list[str]
) -> Profile | None:
    """Of a session of its own; None, and a note, where the runtime does not tell or its profiler does not work: the
    rest still stands."""
    try:
        with open_session(child, asked, setting.seconds) as session:
            session.invoke(setting.beats, setting.folder / "answers.npy")
            profile = session.profile(calls)
    except (ChildError, EcgEdgeError) as error:
        notes.append(f"no time of single operations: {plainly(error)}")
        return None
    if profile is None:
        notes.append(f"no time of single operations: runtime {asked.runtime} does not tell")
    return profile


def ask_peaks(child: WorkerClient, runtime: str, setting: Setting, notes: list[str]) -> dict[str, Any]:
    """Of the device that a runtime computes on; empty, and a note, where they cannot be measured."""
    try:
        peaks = child.ask(protocol.MeasurePeaks(setting.threads, runtime), setting.seconds).figures()
    except ChildError as error:
        notes.append(f"no peak of this machine: {error.plain}")
        return {}
    where = "machine" if peaks.get("device", "cpu") == "cpu" else "device"
    missing: dict[str, list[str]] = {}
    for precision, why in peaks["missing"].items():
        missing.setdefault(why, []).append(precision)
    notes += [f"no {', '.join(names)} peak of this {where}: {why}" for why, names in missing.items()]
    return peaks
