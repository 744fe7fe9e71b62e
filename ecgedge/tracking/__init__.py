"""MLflow: whether it is there, and where."""

from __future__ import annotations

import logging
import os
from urllib.parse import urlsplit

from ecgedge.errors import EcgEdgeError

KIND = "mlflow.experimentKind"  # what MLflow's pages show first: models, not language models
SETTINGS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",  # a wrong address, or a server that has died, is told soon
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # stdout is for our own results
    "MLFLOW_DISABLE_TELEMETRY": "true",
}


def connect(uri: str, experiment: str) -> None:
    """Use ``uri`` from here on. Raises EcgEdgeError where MLflow is not installed, or cannot reach or use it."""
    if urlsplit(uri).scheme in ("http", "https") and urlsplit(uri).password:
        hint = "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD tell it"
        raise EcgEdgeError("the address of MLflow holds a password, which the run would keep", hint)
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    try:
        import mlflow  # heavy
        from mlflow.exceptions import MlflowException
    except ImportError as error:
        raise EcgEdgeError("mlflow is not installed", "pip install 'ecgedge[mlflow]'") from error
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    mlflow.set_tracking_uri(uri)
    try:
        if KIND not in mlflow.set_experiment(experiment).tags:
            mlflow.set_experiment_tag(KIND, "custom_model_development")
    except (MlflowException, OSError) as error:
        raise EcgEdgeError(f"MLflow cannot use {uri}: {reason_of(error)}"[:300], "--mlflow takes its URI") from error


def reason_of(error: Exception) -> str:
    """The first line of an error, which MLflow's may have many of."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
