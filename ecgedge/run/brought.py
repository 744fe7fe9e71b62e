"""The files of a run that are measured elsewhere, where what made them is not installed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ecgedge.api.artifact import Artifact
from ecgedge.api.records import from_record
from ecgedge.data.dataset import Dataset
from ecgedge.files.arrays import read_array
from ecgedge.files.locks import whole_file
from ecgedge.plan.plan import Cell
from ecgedge.run.folder import RunFolder


def files_of(run: RunFolder, sources: Mapping[str, Artifact], trust: bool) -> dict[str, Artifact]:
    """The files that a run has of models that are the same here, by the names that their cells have on this machine.

    Args:
        run: may be a stranger's; each file is held to its digest.
        trust: code that files bring may run.

    Raises:
        EcgEdgeError: a file is another than the one that was measured, or brings code, and is not trusted.
    """
    found: dict[str, Artifact] = {}
    known: dict[str, str] = {}  # digests of files that several rows have
    there = {name for name, source in sources.items() if run.about["sources"].get(name) == source.digest}
    for row in run.rows():
        packed = run.artifacts.get(row.id)
        if row.status != "ok" or row.model not in there or row.quantizer is None or packed is None:
            continue
        run.check_artifact(row.id, packed, trust, known)
        if (path := run.path / packed["path"]).exists():
            name = Cell(row.model, tuple(row.route), row.quantizer, row.format, row.precision or "", row.runtime).id
            found.setdefault(name, from_record(path, packed["record"]))
    return found


def answered(run: RunFolder, sources: Mapping[str, Artifact], data: Dataset) -> set[str]:
    """The models whose own answers on the beats of the run are kept there, where model and data are the same here: they
    need not run here."""
    if run.about["data_digest"] != data.digest:
        return set()
    same = {name for name, source in sources.items() if run.about["sources"].get(name) == source.digest}
    return {name for name in same if (run.path / reference_of(name)).is_file()}


def bring_answers(run: RunFolder, names: Iterable[str], folder: Path) -> None:
    """Put the answers of models where the run in another folder keeps them.

    Raises:
        EcgEdgeError: they are damaged.
    """
    for name in names:
        if not (file := folder / reference_of(name)).exists():
            answers = read_array(run.path, reference_of(name))
            file.parent.mkdir(exist_ok=True)
            with whole_file(file) as scratch:
                np.save(scratch, answers)


def reference_of(model: str) -> str:
    """Where a run keeps what a trained model answers on the scored beats."""
    return f"cells/{model}.reference.npy"


def needed(
    cells: Sequence[Cell], files: Mapping[str, Artifact], unavailable: Mapping[tuple[str, str], str]
) -> dict[str, Artifact]:
    """Those of the files that cannot be made here, since a part on their way cannot work."""
    names = {replace(cell, board=None).id for cell in cells if lacking(cell, unavailable)}
    return {name: file for name, file in files.items() if name in names}


def lacking(cell: Cell, unavailable: Mapping[tuple[str, str], str]) -> list[str]:
    """The exporters and the quantizer of a cell that cannot work here."""
    steps = [*(("exporter", name) for name in cell.route), ("quantizer", cell.quantizer)]
    return [name for kind, name in steps if (kind, name) in unavailable]
