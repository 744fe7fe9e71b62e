"""``ecgedge portability``: does a file answer the same with other kernels, and on other processors?"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ecgedge.errors import EcgEdgeError

if TYPE_CHECKING:  # the rest is imported when something is tried: ``import ecgedge`` is to stay quick
    from ecgedge.commands.of_run import RowOfRun
    from ecgedge.commands.ways import Asked
    from ecgedge.convert.opening import Opener
    from ecgedge.portability.record import Portability
    from ecgedge.run import MatrixRequest, Told

SOME = 200  # beats for what is slow
OF_DATA = {  # what says which data, by its field
    "data": "--dataset", "normalize": "--normalize", "label_column": "--label-column",
    "ignore_columns": "--ignore-column", "leads": "--leads", "layout": "--layout", "group_column": "--group",
    "label_file": "--label-file", "class_names": "--class-names",
}  # fmt: skip
NOT_EMULATED = "it was asked not to (--no-emulate)"


def portability(
    target: str | os.PathLike[str],
    *,
    row: str | Sequence[str] = (),
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

    The same bytes get the same certificate again, unless what is tried has changed; boards are always tried anew.

    Args:
        target: a file, ONNX or TFLite, or the folder of a run.
        row: of a run: the id of a row, or words that only it has; empty: the row that the run suggests. Its beats are
            those that the run scored.
        runtime: whose kernels they are; None: that of the row, else the first that takes it and works here. Others that
            take it are tried, too.
        devices: boards, by name.
        emulate: other x86-64 cores are emulated, where this machine can.
        beats: that emulators and the integer model are given; a runtime of this machine gets all.
        data: where it lies, as for ``evaluate``; so all of that about columns, leads and labels. Of a run: None.
        told: what is to be known of a file without a record.
        trust: code that a file brings may run.
        timeout: seconds that a step in a child process may take.
        memory: millions of bytes that a child process may take; None: no limit.

    Raises:
        EcgEdgeError: there is no such file, row, data or board, they do not fit each other, or no runtime works.
        ConversionError: it gives no answers.
    """
    from ecgedge.commands.loading import limits_of, load_parts, settled
    from ecgedge.commands.of_run import check_row, row_of_run
    from ecgedge.commands.ways import certify
    from ecgedge.convert.opening import opener
    from ecgedge.devices import boards
    from ecgedge.files.notices import note
    from ecgedge.run import Told

    request = settled(
        data=data, normalize=normalize, label_column=label_column, ignore_columns=ignore_columns, leads=leads,
        layout=layout, group_column=group_column, label_file=label_file, class_names=class_names, told=told or Told(),
        threads=1, timeout=timeout, memory=memory,
    )  # fmt: skip
    named = [boards.find(name) for name in dict.fromkeys(devices) if name != boards.HOST]
    parts, limits = load_parts(), limits_of(request)
    found = row_of_run(target, row, parts, trust) if check_row(target, row) else None
    with opener(parts, limits, request.told, trust, found.run.request.threads if found else 1) as opened:
        asked = of_run(found, runtime, request, opened) if found else of_file(target, runtime, request, opened)
        asked = replace(asked, boards=named, no_emulator="" if emulate else NOT_EMULATED, some=beats)
        return certify(asked, parts, opened.workers, limits, note)


def of_file(target: str | os.PathLike[str], runtime: str | None, request: MatrixRequest, opened: Opener) -> Asked:
    """A file, as it is used on the data that are asked for."""
    from ecgedge.commands.loading import data_of
    from ecgedge.commands.ways import Asked, unfit_format
    from ecgedge.convert.opening import with_threshold
    from ecgedge.files.notices import note
    from ecgedge.workers.availability import pick_runtime

    known = data_of(request)
    artifact = opened.find_artifact(os.fspath(target))
    if reason := unfit_format(artifact.format, opened.parts):
        raise EcgEdgeError(f"{target}: its format is {reason}", f"ecgedge convert {target} --to onnx")
    artifact = opened.fit_to_data(artifact, known)
    taken = pick_runtime(artifact.format, runtime, opened.parts, opened.workers).name
    session = opened.workers.runtime(opened.parts.runtimes[taken]).load(artifact, 1)
    artifact = with_threshold(artifact, known, lambda _, split: session.infer(split.x), note)
    return Asked(artifact, taken, known.test.x, known.test.y, known.describe())


def of_run(found: RowOfRun, runtime: str | None, request: MatrixRequest, opened: Opener) -> Asked:
    """A row of a run, on the beats that it was scored on.

    Raises:
        EcgEdgeError: it has another format, data are named beside it, or its beats are gone.
    """
    from ecgedge.commands.ways import Asked, unfit_format
    from ecgedge.workers.availability import pick_runtime

    artifact, kept = found.artifact, found.run.told.compared_by().run
    if reason := unfit_format(artifact.format, opened.parts):
        raise EcgEdgeError(f"{found.row.id} is {reason}", f"name a row of these: ecgedge choose {found.run.folder}")
    if option := next((option for name, option in OF_DATA.items() if getattr(request, name)), None):
        told = f"{found.row.id} is tried on the beats of its run, so {option} has no place"
        raise EcgEdgeError(told, f"leave {option} out")
    if kept.beats is None:
        raise EcgEdgeError(f"the beats of {found.run.folder} are gone", f"ecgedge portability {artifact.path}")
    wanted = runtime or (found.row.runtime if found.row.board is None else None)
    taken = pick_runtime(artifact.format, wanted, opened.parts, opened.workers).name
    return Asked(artifact, taken, kept.beats.x, kept.beats.y, str(found.run.about["data"]),
                 threads=found.run.request.threads)  # fmt: skip
