"""``ecgedge portability``: does a file answer the same with other kernels, and on other processors?"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ecgedge.errors import EcgEdgeError

if TYPE_CHECKING:  # the rest is imported when something is tried: ``import ecgedge`` is to stay quick
    from ecgedge.api.artifact import Artifact
    from ecgedge.api.parts import Family, Runtime
    from ecgedge.devices.boards import Board
    from ecgedge.devices.link import Link
    from ecgedge.portability.certificate import Certificate, NotTried
    from ecgedge.portability.study import Answers, Session
    from ecgedge.run import Told
    from ecgedge.workers.client import Limits, WorkerClient
    from ecgedge.workers.standins import RuntimeElsewhere, SessionElsewhere

SOME = 200  # beats for what is slow
FORMATS = ("onnx", "tflite")
SATURATING = "Haswell"  # whose products of 8-bit integers are added in 16 bits: what avoids that is tried, too


@dataclass(frozen=True)
class Portability:
    """How a file answers elsewhere.

    Attributes:
        artifact: as it was used on these data.
        runtime: whose first kernels the others are held against.
        data: the data, in one line.
        answers: that the certificate is by, one for each that was tried.
        beats: all test beats ``(N, C, L)``.
    """

    artifact: Artifact
    runtime: str
    data: str
    certificate: Certificate
    answers: tuple[Answers, ...] = field(repr=False)
    beats: np.ndarray = field(repr=False)

    def record(self) -> dict[str, Any]:
        """All of it as JSON has it."""
        from ecgedge.api.artifact import task_record
        from ecgedge.measure import machine

        found = self.certificate
        return {
            "file": self.artifact.path.name,
            "format": self.artifact.format,
            "precision": self.artifact.precision,
            "runtime": self.runtime,
            "data": self.data,
            "task": task_record(self.artifact.task),
            "verdict": found.verdict,
            "largest": found.largest,
            **dataclasses.asdict(found),
            "machine": machine.describe(),
            "versions": machine.versions(),
        }

    def write(self, folder: Path) -> None:
        """Keep it in a folder, with the answers by which ``ecgedge check`` finds its figures again.

        Raises:
            EcgEdgeError: the folder cannot be written, or is not empty.
        """
        from ecgedge.files.locks import usable_folder, whole_file

        check_free(folder)
        arrays = {"x": self.beats}
        for i, each in enumerate(self.answers):
            arrays |= {f"outputs_{i}": each.outputs, f"against_{i}": each.against, f"numbers_{i}": each.numbers}
        usable_folder(folder)
        with whole_file(folder / "answers.npz") as file:
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
        with whole_file(folder / "portability.json", "w", encoding="utf-8") as file:
            file.write(json.dumps(self.record(), indent=1) + "\n")


def check_free(folder: Path) -> None:
    """Raise EcgEdgeError where something lies there."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise EcgEdgeError(f"{folder} is there, and not empty", "name another folder")


def portability(
    target: str | os.PathLike[str],
    *,
    runtime: str | None = None,
    devices: Sequence[str] = (),
    emulate: bool = True,
    beats: int = SOME,
    data: str | os.PathLike[str] | None = None,
    normalize: bool = False,
    label_column: str | None = None,
    ignore_columns: str | Sequence[str] = (),
    leads: str | Sequence[str] = (),
    layout: str | None = None,
    group_column: str | None = None,
    label_file: str | os.PathLike[str] | None = None,
    class_names: str | os.PathLike[str] | None = None,
    told: Told | None = None,
    trust: bool = False,
    timeout: float = 300,
    memory: int | None = None,
) -> Portability:
    """Have a file answer the test beats with all kernels and on all processors that there are, bit for bit compared.

    Args:
        target: a file, ONNX or TFLite.
        runtime: whose kernels they are; None: the first that takes it and works here. Others that take it are tried,
            too.
        devices: boards, by name.
        emulate: other x86-64 cores are emulated, where this machine can.
        beats: that emulators and the integer model are given; a runtime of this machine gets all.
        data: where it lies, as for ``evaluate``; so all of that about columns, leads and labels.
        told: what is to be known of a file without a record.
        trust: code that a file brings may run.
        timeout: seconds that a step in a child process may take.
        memory: millions of bytes that a child process may take; None: no limit.

    Raises:
        EcgEdgeError: there is no such file, data or board, they do not fit each other, or no runtime works.
        ConversionError: it gives no answers.
    """
    from ecgedge.commands.loading import data_of, limits_of, load_parts, settled
    from ecgedge.convert.opening import opener, with_threshold
    from ecgedge.devices import boards
    from ecgedge.devices.link import Link
    from ecgedge.files.notices import note
    from ecgedge.plan.plan import takers
    from ecgedge.plugins import missing
    from ecgedge.portability import study
    from ecgedge.portability.certificate import NotTried
    from ecgedge.run import Told
    from ecgedge.workers.availability import pick_runtime

    request = settled(
        data=data, normalize=normalize, label_column=label_column, ignore_columns=ignore_columns, leads=leads,
        layout=layout, group_column=group_column, label_file=label_file, class_names=class_names, told=told or Told(),
        threads=1, timeout=timeout, memory=memory,
    )  # fmt: skip
    found = [boards.find(name) for name in dict.fromkeys(devices) if name != boards.HOST]
    parts, limits = load_parts(), limits_of(request)
    known = data_of(request)
    with opener(parts, limits, request.told, trust) as opened, contextlib.ExitStack() as closed:
        artifact = opened.find_artifact(os.fspath(target))
        if artifact.format not in FORMATS:
            told_so = f"{target}: its format is {artifact.format}, portability is of {' and '.join(FORMATS)} files"
            raise EcgEdgeError(told_so, f"ecgedge convert {target} --to onnx")
        artifact = opened.fit_to_data(artifact, known)
        taken = pick_runtime(artifact.format, runtime, parts, opened.workers).name
        session = opened.workers.runtime(parts.runtimes[taken]).load(artifact, 1)
        artifact = with_threshold(artifact, known, lambda _, split: session.infer(split.x), note)
        missed: list[NotTried] = []
        sessions = of_this_machine(artifact, parts.runtimes[taken], opened.workers.runtime)
        for part in takers(artifact.format, parts.runtimes):
            if part.name == taken:
                continue
            reason = missing(part) or part.refuses.get(artifact.precision) or unfit(opened.workers.runtime(part))
            if reason:
                missed.append(NotTried(part.name, str(reason)))
            else:
                sessions += of_this_machine(artifact, part, opened.workers.runtime, of_other=True)
        first = parts.runtimes[taken]
        if emulate and not first.environment:
            sessions += emulated(artifact, first, limits, missed)
        else:
            reason = (
                f"{first.name} runs in an environment of its own" if emulate else "it was asked not to (--no-emulate)"
            )
            missed.append(NotTried("x86-64 with fewer instructions, emulated", reason))
        scratch = Path(closed.enter_context(tempfile.TemporaryDirectory()))
        for board in found:
            link = closed.enter_context(Link(board, scratch / f"{board.name}.log"))
            sessions.append(on_board(artifact, first, board, link, limits))
        asked = study.Study(artifact, known.test.x, study.some(known.test.y, beats), note)
        certificate, answers = study.study(asked, sessions, [*missed, *unknown_places(found)])
    return Portability(artifact, taken, known.describe(), certificate, answers, known.test.x)


def of_this_machine(
    artifact: Artifact, part: Runtime, stand_in: Callable[[Runtime], RuntimeElsewhere], of_other: bool = False
) -> list[Session]:
    """A runtime's families here, those first that run where nothing is chosen; of another runtime these alone."""
    from ecgedge.portability.certificate import HOST, Way
    from ecgedge.portability.study import Session

    families = part.families or (default_family(part),)
    if of_other:
        families = (dataclasses.replace(families[0], name=part.name),)

    def opened(family: Family) -> contextlib.closing[SessionElsewhere]:
        return contextlib.closing(stand_in(part).load(artifact, 1, **family.options))

    return [Session(Way(each.name, each.about, HOST, "run"), partial(opened, each), False) for each in families]


def emulated(artifact: Artifact, part: Runtime, limits: Limits, missed: list[NotTried]) -> list[Session]:
    """Cores of this machine's family with fewer instructions, as an emulator plays them.

    Args:
        missed: takes why there are none.
    """
    from ecgedge.devices.emulated import X86_CORES, x86_command
    from ecgedge.portability.certificate import NotTried, Way
    from ecgedge.portability.study import Session
    from ecgedge.workers.client import Child

    sessions = []
    for core, about in X86_CORES.items():
        try:
            command = x86_command(core)
        except EcgEdgeError as error:
            missed.append(NotTried(f"{part.name} on {core} ({about})", f"{error.message} ({error.hint})"))
            continue
        worker = partial(Child, threads=1, memory=limits.memory, before=command)
        for family in part.families[: 2 if core == SATURATING else 1] or (default_family(part),):
            way = Way(family.name, f"{family.about}, on {about}", f"{core} (emulated)", "emulator")
            sessions.append(Session(way, partial(session_by, worker, part, family, artifact, limits), True))
    return sessions


def on_board(artifact: Artifact, part: Runtime, board: Board, link: Link, limits: Limits) -> Session:
    """A runtime's first kernels on a board."""
    from ecgedge.portability.certificate import Way
    from ecgedge.portability.study import Session
    from ecgedge.workers.boards import BoardChild

    family, core = (part.families or (default_family(part),))[0], board.emulated
    place = f"{board.name} ({core}, emulated)" if core else board.name
    way = Way(family.name, family.about, place, "emulator" if core else "run")
    worker = partial(BoardChild, link, threads=1, memory=limits.memory)
    return Session(way, partial(session_by, worker, part, family, artifact, limits), bool(core))


def unfit(part: RuntimeElsewhere) -> str:
    """Why a runtime cannot work here, one line; empty where it can."""
    try:
        return part.available() or ""
    except Exception as error:  # of its library, or of its author
        return str(error)[:200]


def default_family(part: Runtime) -> Family:
    from ecgedge.api.parts import Family

    return Family(part.name, f"the kernels of {part.name}")


@contextlib.contextmanager
def session_by(
    worker: Callable[[Path], WorkerClient], part: Runtime, family: Family, artifact: Artifact, limits: Limits
) -> Iterator[SessionElsewhere]:
    """A session in a worker of its own, which ends with it."""
    from ecgedge.workers.standins import Errand, SessionElsewhere

    with Errand(None, 1, limits, worker=worker) as errand:
        yield SessionElsewhere(errand, part.name, artifact, 1, family.options)


def unknown_places(found: Sequence[Board]) -> list[NotTried]:
    """What nobody here can try."""
    from ecgedge.portability.certificate import NotTried

    kinds = [] if found else [NotTried("aarch64", "no board was named (--device NAME, see ecgedge board)")]
    return [
        *kinds,
        NotTried("x86-64 with AVX-512 and without VNNI", "no such processor, and no emulator of one, is here"),
    ]
