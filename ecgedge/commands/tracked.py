"""A matrix that goes to MLflow: asked for at the start, sent when all is measured, and no part of the run itself."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ecgedge.commands.run import Run
from ecgedge.convert.lab import Lab
from ecgedge.errors import ConversionError, EcgEdgeError
from ecgedge.files import strict_json
from ecgedge.files.locks import whole_file
from ecgedge.files.notices import note, warn
from ecgedge.plan.plan import Cell
from ecgedge.run import read_bytes
from ecgedge.tracking import reason_of
from ecgedge.tracking.matrix import log_matrix
from ecgedge.workers.client import ChildError

SENT = "mlflow.json"  # in the run's folder, once it is in MLflow
MOST_SENT = 2**16  # bytes of it
REMEDY = "delete it to send the run again"
SAVED_MODEL = "saved_model"


def saved_models(cells: Sequence[Cell], records: Sequence[Mapping[str, Any]], lab: Lab) -> dict[str, Path]:
    """The SavedModel on the way to each cell that has one and works; from the store, where it was kept."""
    worked = {r["cell"] for r in records if r["event"] == "scored" and r["row"]["status"] == "ok"}
    found = {}
    for cell in cells:
        if lab.comes_along(cell):  # alone, without what was made on its way
            continue
        formats = [lab.tools.parts["exporter", name].produces for name in cell.route]
        if cell.id in worked and SAVED_MODEL in formats:
            with contextlib.suppress(ChildError, ConversionError, EcgEdgeError):  # a store pruned meanwhile
                found[cell.id] = next(made.path for made in lab.way(cell) if made.format == SAVED_MODEL)
    return found


def sent_before(folder: Path) -> str:
    """The id of the run of MLflow that a folder was sent as; empty where it was not. Raises EcgEdgeError."""
    try:
        told = strict_json.loads(read_bytes(folder, SENT, MOST_SENT), str(folder / SENT), REMEDY)
    except FileNotFoundError:
        return ""
    found = told.get("run") if isinstance(told, dict) else None
    if not isinstance(found, str) or not found.isalnum():
        raise EcgEdgeError(f"{folder / SENT} does not say where the run went", REMEDY)
    return found


def send(uri: str, run: Run, records: Sequence[Mapping[str, Any]], models: Mapping[str, Path], again: str) -> None:
    """Send a run that is whole, once. A server that fails now costs nothing but a warning.

    Args:
        models: the SavedModel of each cell that has one.
        again: how the user sends it again.
    """
    from mlflow.exceptions import MlflowException  # heavy

    folder, sent = run.folder, run.folder / SENT
    if before := sent_before(folder):
        note(f"mlflow: was sent before: {before}")
        return
    try:
        found = log_matrix(run.about, run.rows, records, run.told.noise, folder, models)
    except (MlflowException, OSError) as error:
        warn(f"not in MLflow: {reason_of(error)[:200]}; the run is whole in {folder}, to send it again: {again}")
        return
    try:
        with whole_file(sent, "w", encoding="utf-8") as file:
            file.write(json.dumps({"uri": uri, "run": found}) + "\n")
    except OSError as error:
        warn(f"{sent} cannot be written: {error.strerror}; a resumed run would be sent once more")
    note(f"mlflow: run {found} in {uri}")
