"""Models with a training of their own, from an installed package: against scikit-learn on the same beats."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from ecgedge import infer, plugins
from ecgedge.convert.checkpoint import read_checkpoint
from ecgedge.data.dataset import Dataset
from ecgedge.data.finding import load
from tests.conftest import Command, Result, rows_of
from tests.full.conftest import Once
from tests.packages import HERE, install

for framework in ("torch", "onnxruntime", "sklearn"):
    pytest.importorskip(framework)

Trained = Callable[..., tuple[Path, Result]]


@pytest.fixture
def closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package is installed, for this process and its children."""
    (tmp_path / "site").mkdir()
    install(HERE / "ecgedge-closed", tmp_path / "site")
    monkeypatch.syspath_prepend(tmp_path / "site")
    path = os.pathsep.join([str(tmp_path / "site"), *filter(None, [os.environ.get("PYTHONPATH")])])
    monkeypatch.setenv("PYTHONPATH", path)
    monkeypatch.setenv("ECGEDGE_PLUGINS", "closed")


@pytest.fixture
def trained(here: Command, closed: None, tmp_path: Path) -> Trained:
    """The checkpoint that a training of a model of the package leaves, and what was told meanwhile."""

    def train(model: str, *arguments: str | Path) -> tuple[Path, Result]:
        result = here("train", model, "--out", f"my-{model}", *arguments)
        assert result.code == 0, result.err
        return tmp_path / f"my-{model}", result

    return train


@pytest.fixture
def waves(once: Once) -> Path:
    """Two classes of 40 samples, noisy enough to be mistaken."""

    def fill(folder: Path) -> None:
        rng = np.random.default_rng(3)
        for part, count in (("TRAIN", 40), ("TEST", 60)):
            y = rng.integers(0, 2, count)
            x = np.sin(np.linspace(0, 6, 40) * (1 + 0.1 * y[:, None])) + rng.standard_normal((count, 40))
            np.savetxt(folder / f"Noisy_{part}.txt", np.column_stack([y, x]))

    return once("Noisy", fill)


def accuracy(told: Result) -> float:
    """As ``ecgedge evaluate`` prints it."""
    assert told.code == 0, told.err
    return float(told.out.partition("accuracy ")[2].split()[0])


def ridge(data: Dataset):
    """scikit-learn's ridge classifier, fitted to the training beats."""
    from sklearn.linear_model import RidgeClassifier

    return RidgeClassifier(alpha=1.0).fit(data.train.x[:, 0].astype(np.float64), data.train.y)


def told_of(folder: Path) -> dict:
    return json.loads((folder / "metrics.json").read_text())


def test_both_on_ecg5000_through_training_matrix_and_report(
    ecgedge: Command, trained: Trained, ecg5000: Path, tmp_path: Path
) -> None:
    data, _ = load(str(ecg5000))
    trained_ridge(trained, ecg5000, data)
    trained_components(trained, ecg5000, data)
    models = ("--model", "my-ridge", "--model", "my-components")
    forms = ("--format", "torch", "--format", "onnx", "--quantizer", "none", "--runtime", "torch", "--runtime", "cpu")
    ran = ecgedge("matrix", "--dataset", ecg5000, *models, *forms, "--profile", "quick", "--out", "run")
    assert ran.code == 0, ran.out + ran.err
    rows = {(row["model"], row["format"]): row for row in rows_of(tmp_path / "run") if row["status"] != "skipped"}
    assert {*rows} == {(model, form) for model in ("my-ridge", "my-components") for form in ("torch", "onnx")}
    assert {row["status"] for row in rows.values()} == {"ok"}
    with np.load(tmp_path / "run" / "beats.npz") as kept:
        right = (ridge(data).predict(kept["x"][:, 0].astype(np.float64)) == kept["y"]).mean()
    assert rows["my-ridge", "onnx"]["accuracy"] == pytest.approx(right, abs=1e-3)
    assert rows["my-components", "onnx"]["auroc"] > 0.9
    told = ecgedge("report", "run")
    assert told.code == 0, told.err
    page = (tmp_path / "run" / "report.html").read_text()
    assert "ridge" in page and "components" in page


def trained_ridge(trained: Trained, ecg5000: Path, data: Dataset) -> None:
    from sklearn.model_selection import StratifiedKFold, cross_val_score

    folder, told = trained("ridge", "--dataset", ecg5000, "--cv", "5", "--epochs", "3")
    assert "Warning: the training of ridge does not heed --epochs\n" in told.err
    assert "Note: no curves.png: the model's own training reports no loss\n" in told.err
    assert not (folder / "curves.png").exists() and (folder / "confusion.png").is_file()
    metrics = told_of(folder)
    right = ridge(data).predict(data.test.x[:, 0].astype(np.float64)) == data.test.y
    ties = len(metrics["near_ties"]) / len(data.test)
    assert metrics["test"]["accuracy"] == pytest.approx(right.mean(), abs=ties + 1e-9)
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # two beats of a class are fewer than folds
        scores = cross_val_score(ridge(data), data.train.x[:, 0].astype(np.float64), data.train.y, cv=folds)
    found = metrics["training"]["cross_validation"]["figures"]["accuracy"]
    assert found["mean"] == pytest.approx(scores.mean(), abs=0.01), "other folds: not the same, and no other figure"


def trained_components(trained: Trained, ecg5000: Path, data: Dataset) -> None:
    """Its threshold comes from left-out beats as any other's; its answers have two axes, and are read as such."""
    from sklearn.decomposition import PCA
    from sklearn.metrics import roc_auc_score

    folder, told = trained("components", "--dataset", ecg5000, "--cv", "3", "--window", "1", "--dropout", "0.2")
    assert "Warning: the training of components does not heed --dropout\n" in told.err
    record = json.loads((folder / "model.json").read_text())
    assert record["output_shape"] == [None, 140] and record["options"] == {"count": 8}
    assert record["task"]["threshold"] > 0 and (folder / "roc.png").is_file()
    parts = plugins.load()
    session = parts.runtimes["torch"].load(read_checkpoint(folder, parts.models), 1)
    assert infer(session, data.test.x[:3]).shape == (3, 1, 140), "as any session gives them"
    normal = data.train.x[data.train.y == data.labels.index("1"), 0].astype(np.float64)
    theirs = PCA(8, svd_solver="full").fit(normal)
    beats = data.test.x[:, 0].astype(np.float64)
    lost = ((theirs.inverse_transform(theirs.transform(beats)) - beats) ** 2).mean(axis=1)
    right = roc_auc_score(data.test.y != data.labels.index("1"), lost)
    assert told_of(folder)["test"]["auroc"] == pytest.approx(right, abs=1e-4)


def test_its_options_build_another_network_and_mlflow_gets_them(
    ecgedge: Command, trained: Trained, waves: Path, tmp_path: Path
) -> None:
    """One that is rebuilt from what the checkpoint keeps; against scikit-learn on the same means."""
    from sklearn.linear_model import RidgeClassifier

    logged = ["--mlflow"] if find_spec("mlflow") else []
    options = ("--option", "ridge.pool=4", "--option", "ridge.penalty=20")
    folder, _ = trained("ridge", "--dataset", waves, "--cv", "2", *options, *logged)
    record = json.loads((folder / "model.json").read_text())
    assert record["options"] == {"pool": 4} and record["training"]["options"] == {"pool": 4, "penalty": 20.0}
    data, _ = load(str(waves))
    train, test = (split.x.astype(np.float64).reshape(-1, 10, 4).mean(axis=2) for split in (data.train, data.test))
    right = RidgeClassifier(alpha=20).fit(train, data.train.y).score(test, data.test.y)
    assert accuracy(ecgedge("evaluate", folder, "--dataset", waves)) == pytest.approx(right, abs=1e-4)
    if logged:
        logged_in_mlflow(tmp_path / "mlflow.db", told_of(folder))


def logged_in_mlflow(database: Path, metrics: dict) -> None:
    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{database}")
    (experiment,) = client.search_experiments(filter_string="name = 'ecgedge train'")
    (run,) = client.search_runs([experiment.experiment_id])
    own = {"ridge.pool": "4", "ridge.penalty": "20.0"}
    assert run.data.params == {"model": "ridge", "seed": "0", "half": "False"} | own, (
        "and no epochs that there were not"
    )
    assert run.data.metrics["test.accuracy"] == metrics["test"]["accuracy"]
    assert "cv.accuracy.mean" in run.data.metrics and "train_loss" not in run.data.metrics
    assert {file.path for file in client.list_artifacts(run.info.run_id)} >= {"architecture.txt", "model.json"}


def test_leaving_each_beat_out_gives_what_scikit_learn_says(trained: Trained, waves: Path) -> None:
    """Each fold is one beat, however they are dealt."""
    from safetensors.numpy import load_file
    from sklearn.model_selection import LeaveOneOut, cross_val_predict

    folder, _ = trained("ridge", "--dataset", waves, "--cv", "40", "--half")
    data, _ = load(str(waves))
    x = data.train.x[:, 0].astype(np.float64)
    right = cross_val_predict(ridge(data), x, data.train.y, cv=LeaveOneOut()) == data.train.y
    assert 0.5 < right.mean() < 1
    figures = told_of(folder)["training"]["cross_validation"]["figures"]
    assert figures["accuracy"]["mean"] == pytest.approx(right.mean())
    assert {tensor.dtype for tensor in load_file(folder / "weights.safetensors").values()} == {np.dtype("float16")}


def test_the_package_keeps_its_contracts(ecgedge: Command, closed: None) -> None:
    checked = ecgedge("plugins", "check", "closed")
    assert checked.code == 0, checked.out + checked.err
    assert "model ridge: " in checked.out and "model components: " in checked.out and "skipped" not in checked.out


LOOPED = """
from ecgedge import ANY, Fitted, Model, Option, hookimpl

class Small(Model):
    name = "small"
    needs = ("torch", "safetensors")
    options = (Option("bias", bool, True, "Whether there is one."),)

    def build(self, classes, length, bias=True):
        from torch import nn
        return nn.Sequential(nn.Flatten(), nn.Linear(length, classes, bias))

class Twice(Small):
    '''ecgedge's loop in two stages.'''
    name = "twice"
    heeds = (ANY,)

    def fit(self, data, context):
        network = self.build(data.classes, data.length)
        for _ in range(2):
            context.loop(network, data, context.recipe)
        return Fitted(network)

class Descent(Small):
    name = "descent"
    heeds = ("epochs", "lr")

    def fit(self, data, context):
        import torch
        network = self.build(data.classes, data.length)
        optimizer = torch.optim.SGD(network.parameters(), lr=context.recipe.lr)
        x, y = torch.from_numpy(data.x), torch.from_numpy(data.y)
        (context.scratch / "log").write_text(context.title)
        for _ in range(context.recipe.epochs):
            loss = torch.nn.functional.cross_entropy(network(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            context.report({"train_loss": loss.item()}, network)
        return Fitted(network)

@hookimpl
def ecgedge_models():
    return Small(), Twice(), Descent()
"""


def test_a_training_in_steps_reports_its_curves(here: Command, waves: Path, tmp_path: Path) -> None:
    """Full-batch descent is the same anywhere: its loss against torch's own on the same start."""
    import torch
    from safetensors.numpy import load_file

    (tmp_path / "my-plugins").mkdir()
    (tmp_path / "my-plugins" / "looped.py").write_text(LOOPED)
    asked = ("--plugins-dir", "my-plugins", "train")

    def train(model: str, *arguments: str) -> tuple[dict, str]:
        result = here(*asked, model, "--dataset", waves, "--epochs", "2", "--out", f"my-{model}", *arguments)
        assert result.code == 0, result.err
        assert (tmp_path / f"my-{model}" / "curves.png").is_file()
        return json.loads((tmp_path / f"my-{model}" / "metrics.json").read_text()), result.err

    metrics, told = train("descent", "--lr", "0.1", "--cv", "2")
    assert "Warning" not in told
    data, _ = load(str(waves))
    torch.manual_seed(0)
    linear, x = torch.nn.Linear(40, 2), torch.from_numpy(data.train.x[:, 0])
    with torch.no_grad():
        first = torch.nn.functional.cross_entropy(linear(x), torch.from_numpy(data.train.y))
    assert metrics["history"][0] == {"epoch": 1, "train_loss": pytest.approx(first.item(), rel=1e-6)}
    assert [[record["epoch"] for record in records] for records in metrics["fold_histories"]] == [[1, 2]] * 2
    assert all(record["held_out_loss"] > 0 for records in metrics["fold_histories"] for record in records)
    assert metrics["training"]["recipe"] == {"epochs": 2, "lr": 0.1, "seed": 0, "half": False}

    metrics, told = train("twice", "--no-teacher", "--dropout", "0.5")
    assert "does not heed --dropout\n" in told and "--no-teacher" not in told, "its network has none"
    assert len(metrics["history"]) == 4 and "dropout" not in metrics["training"]["recipe"]

    metrics, told = train("small", "--no-teacher", "--denoise", "0.1", "--option", "small.bias=no")
    assert "does not heed --denoise\n" in told
    assert json.loads((tmp_path / "my-small" / "model.json").read_text())["options"] == {"bias": False}
    assert {*load_file(tmp_path / "my-small" / "weights.safetensors")} == {"1.weight"}, "as build made it"
