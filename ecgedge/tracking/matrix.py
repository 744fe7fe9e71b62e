"""A matrix as runs of MLflow: a parent, and a child for each cell that was tried.

It is sent when all is measured: what travels in the meantime would be in the times.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from ecgedge.api.artifact import Artifact, copy_to
from ecgedge.api.records import from_record
from ecgedge.api.tensors import TensorSpec
from ecgedge.files import escape

if TYPE_CHECKING:
    from mlflow.models import Model, ModelSignature

    from ecgedge.run.row import Row
    from ecgedge.run.rows import Noise

EXPERIMENT = "ecgedge matrix"
PARAMETERS = ("model", "format", "precision", "quantizer", "runtime", "device", "board", "emulated",
              "threads", "batch", "task", "profile")  # fmt: skip
TAGS = (
    "status", "stage", "reason", "placement", "digest", "unsteady", "clock", "energy_source", "memory_source",
)  # fmt: skip
DIGEST_MOST = 36  # letters that MLflow keeps of a data set's digest; the whole one is a tag
FLAVOR = "ecgedge"
FILES = ("run.json", "rows.jsonl", "report.csv", "report.html", "report.md")  # of the folder; no other one is sent


def log_matrix(
    run: Mapping[str, Any],
    rows: Sequence[Row],
    records: Sequence[Mapping[str, Any]],
    noise: Mapping[str, Noise],
    folder: Path,
    saved_models: Mapping[str, Path],
) -> str:
    """Log a run that is whole; returns the id of the parent. ``ecgedge.tracking.connect`` comes first.

    Args:
        run: its ``run.json``.
        rows, records, noise: as ``results`` makes them, and the journal they come from, read by ``journal.read``: the
            paths in it lie within the folder.
        folder: of the run, with its reports.
        saved_models: the SavedModel from which the file of a cell was made, by cell.
    """
    import mlflow

    packed = {record["cell"]: record["artifact"] for record in records if record.get("artifact")}
    cells = [row for row in rows if row.status != "skipped"]
    with mlflow.start_run(run_name=escape.mlflow_value(folder.resolve().name)) as parent:
        mlflow.log_params(asked_for(run))
        mlflow.set_tags(about(run))
        mlflow.MlflowClient().log_inputs(parent.info.run_id, [data_of(run)])
        worked = sum(row.status == "ok" for row in cells)
        mlflow.log_metrics({"cells": len(cells), "cells_ok": worked, "cells_skipped": len(rows) - len(cells)})
        mlflow.log_metrics({escape.mlflow_name(f"noise_floor.{model}"): pair.floor for model, pair in noise.items()})
        for file in [folder / name for name in FILES if (folder / name).is_file()]:
            mlflow.log_artifact(str(file))
        for row in cells:
            log_cell(row, packed.get(row.id), run, folder, saved_models.get(row.id))
    return parent.info.run_id


def log_cell(
    row: Row, packed: Mapping[str, Any] | None, run: Mapping[str, Any], folder: Path, saved_model: Path | None
) -> None:
    """A child run: FAILED where the row is not ``ok``."""
    import mlflow

    with mlflow.start_run(run_name=escape.mlflow_value(row.id), nested=True) as child:
        parameters = {key: row.flat[key] for key in PARAMETERS if key in row.flat}
        route, passes = " > ".join(row.route) or "none", ", ".join(row.flat.get("passes", ())) or "none"
        mlflow.log_params(escape.mlflow_values(parameters | {"route": route, "passes": passes}))
        mlflow.log_metrics(figures(row))
        tags = {key: row.flat[key] for key in TAGS if row.flat.get(key)}
        mlflow.set_tags(escape.mlflow_values(tags))
        mlflow.MlflowClient().log_inputs(child.info.run_id, [data_of(run)])
        mlflow.log_dict(row.flat, "row.json")
        if packed:
            artifact = from_record(folder / packed["path"], packed["record"])
            log_file(artifact)
        if saved_model:
            mlflow.log_artifacts(str(saved_model), "saved_model")
    if row.status != "ok":
        mlflow.MlflowClient().set_terminated(child.info.run_id, "FAILED")


def log_file(artifact: Artifact) -> None:
    """The measured file, as an artifact of the run and as a model of MLflow with its signature."""
    import mlflow
    from mlflow.models import Model

    send = mlflow.log_artifacts if artifact.path.is_dir() else mlflow.log_artifact
    send(str(artifact.path), f"artifact/{artifact.path.name}" if artifact.path.is_dir() else "artifact")
    flavor = SimpleNamespace(save_model=save_model, __name__=FLAVOR)
    name = escape.file_name(f"{artifact.name}-{artifact.format}-{artifact.precision}".replace(".", "-"))
    Model.log(None, flavor, name=name, artifact=artifact, signature=signature_of(artifact))


def save_model(path: str, mlflow_model: Model, artifact: Artifact, signature: ModelSignature) -> None:
    """Write the file and its MLmodel. MLflow knows no loader for it: a runtime of ecgedge is one."""
    folder = Path(path)
    folder.mkdir(parents=True)
    copy_to(artifact.path, folder / artifact.path.name)
    mlflow_model.signature = signature
    mlflow_model.add_flavor(FLAVOR, data=artifact.path.name, format=artifact.format, precision=artifact.precision)
    mlflow_model.save(str(folder / "MLmodel"))


def signature_of(artifact: Artifact) -> ModelSignature:
    """Input and output as the file declares them."""
    from mlflow.models import ModelSignature
    from mlflow.types import Schema

    return ModelSignature(*(Schema([tensor(spec)]) for spec in (artifact.input, artifact.output)))


def tensor(spec: TensorSpec) -> Any:
    import numpy as np
    from mlflow.types import TensorSpec as Tensor

    return Tensor(np.dtype(spec.dtype), tuple(-1 if axis is None else axis for axis in spec.shape), spec.name)


def figures(row: Row) -> dict[str, float]:
    """The numbers of a row that are no parameters, and those of its ratio and verdict."""
    flat = {key: value for key, value in row.flat.items() if key not in PARAMETERS}
    flat |= {"time_ratio": row.time_ratio.ratio if row.time_ratio else None}
    flat |= {f"figures.{key}": value for key, value in row.figures.items()}
    flat |= {f"verdict.{key}": value for key, value in (row.flat.get("verdict") or {}).items()}
    return {
        escape.mlflow_name(key): float(value)
        for key, value in flat.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


NOT_OPTIONS = ("options", "told", "place", "sent", "printed")
NAMES = {"data": "dataset", "preset": "profile"}  # of options, where a request names it otherwise
NOTHING: tuple[Any, ...] = (None, [], (), False)  # options that were not given


def asked_for(run: Mapping[str, Any]) -> dict[str, str]:
    """The options that were given or have a value."""
    asked = {key: value for key, value in run["request"].items() if key not in NOT_OPTIONS}
    options = {key: value for key, value in (asked | run["request"]["options"]).items() if value not in NOTHING}
    told = {
        NAMES.get(key, key): " ".join(map(str, value)) if isinstance(value, list | tuple) else value
        for key, value in options.items()
    }
    return escape.mlflow_values(told)


def about(run: Mapping[str, Any]) -> dict[str, str]:
    """Command, data, machine, versions and models, as tags."""
    tags = {"command": run["command"], "started": run["started"], "data": run["data"]}
    tags |= {"data.digest": run["data_digest"], "data.source": run["data_source"]}
    tags |= {f"machine.{key}": value for key, value in run["machine"].items()}
    tags |= {f"version.{key}": value for key, value in run["versions"].items()}
    tags |= {f"model.{key}": value for key, value in run["sources"].items()}
    return escape.mlflow_values(tags)


def data_of(run: Mapping[str, Any]) -> Any:
    """The scored beats as an input of MLflow: name and digest, never the beats."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    name = escape.mlflow_value(run["data"].split(",")[0])
    profile = json.dumps({"scored_beats": run["beats"], "classes": len(run["labels"]), "digest": run["data_digest"]})
    data = Dataset(name=name, digest=run["data_digest"][:DIGEST_MOST], source_type="local",
                   source=json.dumps({"uri": run["data_source"]}), profile=profile)  # fmt: skip
    return DatasetInput(dataset=data, tags=[InputTag("mlflow.data.context", "test")])
