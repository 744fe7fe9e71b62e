"""A training as a run of MLflow."""

from __future__ import annotations

from typing import Any

from ecgedge.api.parts import Model
from ecgedge.files import escape
from ecgedge.training.train import Trained

EXPERIMENT = "ecgedge train"


def log(trained: Trained, model: Model) -> str:
    """Log parameters, metrics, curves, files, the architecture and the data digest; returns the run's id.

    ``ecgedge.tracking.connect`` comes first.
    """
    import mlflow

    training, test = trained.metrics["training"], trained.metrics["test"]
    with mlflow.start_run(run_name=escape.mlflow_value(model.name)) as run:
        options = {f"{model.name}.{name}": value for name, value in training["options"].items()}
        mlflow.log_params(escape.mlflow_values(training["recipe"] | options | {"model": model.name}))
        data = {f"data.{key}": value for key, value in training["data"].items()}
        versions = {f"version.{key}": value for key, value in training["versions"].items()}
        mlflow.set_tags(escape.mlflow_values(data | versions))
        mlflow.log_metrics({f"test.{key}": value for key, value in test.items() if isinstance(value, float)})
        for record in trained.metrics["history"]:
            figures = {escape.mlflow_name(key): value for key, value in record.items() if key != "epoch"}
            mlflow.log_metrics(figures, step=record["epoch"])
        mlflow.log_metrics(cross_validated(training["cross_validation"]))
        if trained.summary:
            mlflow.log_text(trained.summary, "architecture.txt")
        mlflow.log_artifacts(str(trained.folder))
    return run.info.run_id


def cross_validated(record: dict[str, Any] | None) -> dict[str, float]:
    figures = record["figures"] if record else {}
    named = {f"cv.{name}.{key}": value for name, values in figures.items() for key, value in values.items()}
    return {name: value for name, value in named.items() if value is not None}
