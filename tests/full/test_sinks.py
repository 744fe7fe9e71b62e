"""The nasty strings as names and values in MLflow, which takes each and gives it back."""

from __future__ import annotations

from pathlib import Path

import pytest

from ecgedge.files import escape
from tests.nasty import NASTY, meant, unseen

mlflow = pytest.importorskip("mlflow", reason="mlflow is not installed")


def test_mlflow_takes_every_name_and_value(tmp_path: Path) -> None:
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    experiment = client.create_experiment("nasty", artifact_location=(tmp_path / "artifacts").as_uri())
    run = client.create_run(experiment, run_name=escape.mlflow_value("".join(NASTY)))
    names = [escape.mlflow_name(f"{number} {text}") for number, text in enumerate(NASTY)]
    told = escape.mlflow_values({f"{number} {text}": text for number, text in enumerate(NASTY)})
    assert [*told] == names and all(unseen(name, "") == [] for name in names)
    tags = [mlflow.entities.RunTag(name, value) for name, value in told.items()]
    params = [mlflow.entities.Param(name, value) for name, value in told.items()]
    metrics = [mlflow.entities.Metric(name, number, 0, 0) for number, name in enumerate(names)]
    client.log_batch(run.info.run_id, metrics, params, tags)
    found = client.get_run(run.info.run_id).data
    for number, text in enumerate(NASTY):
        name = names[number]
        assert meant(found.tags[name]) == meant(found.params[name]) == text
        assert found.metrics[name] == number


@pytest.mark.parametrize("text", NASTY, ids=ascii)
def test_mlflow_takes_the_names_of_models(text: str) -> None:
    name = escape.file_name(f"{text}-onnx-fp32".replace(".", "-"))
    mlflow.utils.validation._validate_logged_model_name(name)
