"""``ecgedge matrix --mlflow``: asked for at the start, sent when all is measured, and no part of the run itself."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecgedge.cli import common, run_folder
from ecgedge.errors import ConversionError, EcgEdgeError

if TYPE_CHECKING:
    from ecgedge.convert.lab import Lab
    from ecgedge.plan.plan import Cell
    from ecgedge.run.row import Row

SENT = "mlflow.json"  # in the run's folder, once it is in MLflow
MOST_SENT = 2**16  # bytes of it
TAKE_AWAY = "take it away to send the run again"
SAVED_MODEL = "saved_model"


def saved_models(cells: list[Cell], records: list[dict[str, Any]], lab: Lab) -> dict[str, Path]:
    """The SavedModel on the way to each cell that has one and works; from the store, where it was kept."""
    from ecgedge.workers.client import ChildError

    worked = {r["cell"] for r in records if r["event"] == "scored" and r["row"]["status"] == "ok"}
    found = {}
    for cell in cells:
        formats = [lab.parts["exporter", name].produces for name in cell.route]
        if cell.id in worked and SAVED_MODEL in formats:
            with contextlib.suppress(ChildError, ConversionError, EcgEdgeError):  # a store pruned meanwhile
                found[cell.id] = next(made.path for made in lab.way(cell) if made.format == SAVED_MODEL)
    return found


def sent_before(folder: Path) -> str:
    """The id of the run of MLflow that a folder was sent as; empty where it was not. Raises EcgEdgeError."""
    from ecgedge.files import strict_json
    from ecgedge.run import read_bytes

    try:
        told = strict_json.loads(read_bytes(folder, SENT, MOST_SENT), str(folder / SENT), TAKE_AWAY)
    except FileNotFoundError:
        return ""
    found = told.get("run") if isinstance(told, dict) else None
    if not isinstance(found, str) or not found.isalnum():
        raise EcgEdgeError(f"{folder / SENT} does not say where the run went", TAKE_AWAY)
    return found


def send(uri: str, run: dict[str, Any], rows: Sequence[Row], records: list[dict[str, Any]], folder: Path,
         models: dict[str, Path]) -> None:  # fmt: skip
    """Send a run that is whole, once. A server that fails now costs nothing but a warning."""
    from mlflow.exceptions import MlflowException

    from ecgedge.files.locks import whole_file
    from ecgedge.run.rows import noise_of
    from ecgedge.tracking import reason_of
    from ecgedge.tracking.matrix import log_matrix

    sent = folder / SENT
    if before := sent_before(folder):
        common.say(f"mlflow: was sent before: {before}", err=True)
        return
    try:
        found = log_matrix(run, rows, records, noise_of(records, run["rounds"], folder), folder, models)
    except (MlflowException, OSError) as error:
        again = run_folder.resume_command(folder, uri)
        common.warn(f"not in MLflow: {reason_of(error)[:200]}; the run is whole in {folder}, to send it again: {again}")
        return
    try:
        with whole_file(sent, "w", encoding="utf-8") as file:
            file.write(json.dumps({"uri": uri, "run": found}) + "\n")
    except OSError as error:
        common.warn(f"{sent} cannot be written: {error.strerror}; a resumed run would be sent once more")
    common.say(f"mlflow: run {found} in {uri}", err=True)
