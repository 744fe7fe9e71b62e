"""Training through the command: what it writes, that a seed fixes it, that nothing is overwritten."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ecgedge.api.artifact import digest_of
from tests.conftest import Command, Result, error_of, rows_of
from tests.core.test_multilabel import write_npz
from tests.full.conftest import Once

pytest.importorskip("torch")
PNG = b"\x89PNG\r\n\x1a\n"


def train(ecgedge: Command, *arguments: str | Path) -> Result:
    """Briefly, and without the seconds that a teacher takes."""
    return ecgedge("train", "--epochs", "2", "--no-teacher", "--dataset", "synthetic", *arguments)


@pytest.fixture
def trained(ecgedge: Command, once: Once) -> Callable[..., Path]:
    """The checkpoint that a brief training with these arguments leaves, shared by tests; in ``out.txt`` its output."""

    def checkpoint(*arguments: str | Path) -> Path:
        def fill(folder: Path) -> None:
            result = train(ecgedge, *arguments, "--out", folder)
            assert result.code == 0, result.err
            (folder / "out.txt").write_text(result.out)

        return once(" ".join(["trained", *map(str, arguments)]).replace(os.sep, "_"), fill)

    return checkpoint


@pytest.fixture
def waves(ecgedge: Command, once: Once) -> Path:
    """Two classes of 41 samples, and in ``tcn`` what a teacher made of them."""

    def fill(folder: Path) -> None:
        rng = np.random.default_rng(0)
        for part, count in (("TRAIN", 60), ("TEST", 40)):
            y = rng.integers(0, 2, count)
            x = np.sin(np.linspace(0, 6, 41) * (1 + y[:, None])) + 0.1 * rng.standard_normal((count, 41))
            np.savetxt(folder / f"Waves_{part}.txt", np.column_stack([y, x]))
        done = ecgedge("train", "tcn", "--dataset", folder, "--epochs", "3", "--out", folder / "tcn")
        assert done.code == 0, done.err

    return once("Waves", fill)


def weights(folder: Path) -> str:
    return digest_of(folder / "weights.safetensors")


def test_a_teacher_makes_another_network_and_a_seed_fixes_it(ecgedge: Command, waves: Path, tmp_path: Path) -> None:
    arguments = ("train", "tcn", "--epochs", "3", "--dataset", waves, "--out")
    assert ecgedge(*arguments, "again").code == 0
    assert ecgedge(*arguments, "labels", "--no-teacher").code == 0
    assert weights(waves / "tcn") == weights(tmp_path / "again") != weights(tmp_path / "labels")
    recipe = json.loads((waves / "tcn" / "metrics.json").read_text())["training"]["recipe"]
    assert recipe["teacher"] is True


def test_a_classifier(ecgedge: Command, trained: Callable[..., Path]) -> None:
    one = trained("base-cnn")
    assert "trained on synthetic" in (one / "out.txt").read_text()
    for name in ("curves.png", "confusion.png", "reliability.png"):
        assert (one / name).read_bytes().startswith(PNG)
    metrics = json.loads((one / "metrics.json").read_text())
    assert len(metrics["history"]) == 2
    assert 0 < metrics["test"]["accuracy"] <= 1
    assert metrics["training"]["data"]["name"] == "synthetic"
    assert sum(row["beats"] for row in metrics["test"]["reliability"]) == 4500
    assert metrics["training"]["cross_validation"] is None
    assert_told_again(ecgedge, one, metrics)


def test_another_seed_into_an_empty_folder_that_is_there(
    ecgedge: Command, trained: Callable[..., Path], waves: Path, tmp_path: Path
) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    result = train(ecgedge, "base-cnn", "--dataset", waves, "--seed", "1", "--out", "link")
    assert result.code == 0, result.err
    assert weights(tmp_path / "real") != weights(trained("base-cnn", "--dataset", waves))
    assert (tmp_path / "real" / "metrics.json").is_file()


def assert_told_again(ecgedge: Command, checkpoint: str | Path, metrics: dict) -> None:
    """Hold ``evaluate`` to the accuracy in metrics.json, give or take the near-ties: it scores in other batches."""
    told = ecgedge("evaluate", checkpoint, "--dataset", "synthetic")
    accuracy = float(told.out.partition("accuracy ")[2].split()[0])
    allowed = len(metrics["near_ties"]) / metrics["test_beats"]
    assert accuracy == pytest.approx(metrics["test"]["accuracy"], abs=allowed + 0.5e-4)


def test_a_checkpoint_is_replaced_only_by_force(ecgedge: Command, trained: Callable[..., Path], tmp_path: Path) -> None:
    shutil.copytree(trained("base-cnn"), tmp_path / "one")
    first = weights(tmp_path / "one")
    again = train(ecgedge, "base-cnn", "--out", "one")
    assert "one is not empty: it holds a checkpoint" in error_of(again)
    assert "other data" not in again.err
    folder = tmp_path / "Less"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for part in ("TRAIN", "TEST"):
        np.savetxt(folder / f"Less_{part}.txt", np.column_stack([np.arange(20) % 2, rng.normal(size=(20, 40))]))
    other = ("train", "base-cnn", "--dataset", folder, "--epochs", "1", "--no-teacher", "--out", "one")
    assert "trained on other data" in error_of(ecgedge(*other))
    assert "not finite" in error_of(ecgedge(*other, "--force", "--lr", "1e30"))
    assert weights(tmp_path / "one") == first
    (tmp_path / "one" / "notes.txt").write_text("mine")
    done = ecgedge(*other, "--force")
    assert done.code == 0, done.err
    assert weights(tmp_path / "one") != first
    assert (tmp_path / "one" / "notes.txt").read_text() == "mine"


def test_cross_validation_is_told_with_its_spread(
    ecgedge: Command, trained: Callable[..., Path], waves: Path, tmp_path: Path
) -> None:
    asked = ("base-cnn", "--dataset", waves)
    result = train(ecgedge, *asked, "--out", "cv", "--cv", "3", "--repeats", "2")
    assert result.code == 0, result.err
    assert "cross-validated: 3 folds x 2, 60 training beats" in result.out
    metrics = json.loads((tmp_path / "cv" / "metrics.json").read_text())
    told = metrics["training"]["cross_validation"]["figures"]["accuracy"]
    assert f"accuracy {told['mean']:.4f}  sd {told['fold_sd']:.4f} between folds, {told['sd']:.4f}" in result.out
    assert 0 < told["mean"] <= 1
    assert [len(records) for records in metrics["fold_histories"]] == [2] * 6
    assert all(record["held_out_loss"] > 0 for records in metrics["fold_histories"] for record in records)
    # a seed fixes what is trained, and the estimate changes nothing of it
    assert weights(tmp_path / "cv") == weights(trained(*asked))
    assert "cannot make 61 folds" in error_of(train(ecgedge, *asked, "--out", "many", "--cv", "61"))


def test_mlflow_gets_what_was_trained(ecgedge: Command, tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow")
    result = train(ecgedge, "base-cnn", "--out", "logged", "--mlflow")
    assert result.code == 0, result.err
    metrics = json.loads((tmp_path / "logged" / "metrics.json").read_text())
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    (experiment,) = client.search_experiments(filter_string="name = 'ecgedge train'")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.data.params["model"] == "base-cnn"
    assert run.data.params["epochs"] == "2"
    assert run.data.tags["data.digest"] == metrics["training"]["data"]["digest"]
    assert run.data.metrics["test.accuracy"] == metrics["test"]["accuracy"]
    curve = client.get_metric_history(run.info.run_id, "train_loss")
    assert [point.value for point in curve] == [record["train_loss"] for record in metrics["history"]]
    names = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert names >= {"architecture.txt", "weights.safetensors", "model.json", "curves.png", "confusion.png"}
    refused = train(ecgedge, "base-cnn", "--out", "refused", "--mlflow", "nonsense://x")
    assert "MLflow cannot use nonsense://x" in error_of(refused)


def test_the_autoencoder(ecgedge: Command, tmp_path: Path) -> None:
    result = train(ecgedge, "cnn-ae", "--out", "ae")
    assert result.code == 0, result.err
    for name in ("curves.png", "scores.png", "roc.png"):
        assert (tmp_path / "ae" / name).read_bytes().startswith(PNG)
    task = json.loads((tmp_path / "ae" / "model.json").read_text())["task"]
    assert task["kind"] == "anomaly"
    assert task["threshold"] > 0
    assert "no class 'x'" in error_of(train(ecgedge, "cnn-ae", "--out", "ae2", "--normal", "x"))
    told = error_of(train(ecgedge, "cnn-ae", "--out", "ae2", "--window", "141"))
    assert "140 samples, fewer than a window of 141" in told and "--window" in told


def test_a_training_that_cannot_learn_says_so(ecgedge: Command, tmp_path: Path) -> None:
    assert "the loss is not finite" in error_of(train(ecgedge, "base-cnn", "--lr", "1e30", "--out", "wild"))
    assert not (tmp_path / "wild" / "model.json").exists()
    folder = tmp_path / "Few"
    folder.mkdir()
    for part in ("TRAIN", "TEST"):
        np.savetxt(folder / f"Few_{part}.txt", np.column_stack([[1, 2], np.random.default_rng(0).normal(size=(2, 40))]))
    result = ecgedge("train", "cnn-ae", "--dataset", folder, "--out", "few")
    assert "too few" in error_of(result)
    for part in ("TRAIN", "TEST"):
        np.savetxt(folder / f"Few_{part}.txt", np.column_stack([[1, 2, 2, 1], np.ones((4, 40))]))
    result = ecgedge("train", "base-cnn", "--dataset", folder, "--label-column", "1", "--out", "few")
    assert "every training beat of few is constant" in error_of(result)
    (tmp_path / "file").touch()
    assert "cannot be written" in error_of(train(ecgedge, "tcn", "--out", "file"))


def test_half(ecgedge: Command, trained: Callable[..., Path]) -> None:
    half = trained("base-cnn", "--half")
    assert_told_again(ecgedge, half, json.loads((half / "metrics.json").read_text()))
    assert (half / "weights.safetensors").stat().st_size < 400_000


@pytest.mark.parametrize(
    ("name", "options", "small"), [("base-cnn", ["--half"], False), ("base-cnn", [], False), ("tcn", ["--half"], True)]
)
def test_the_figures_are_those_of_the_stored_weights(
    trained: Callable[..., Path], waves: Path, name: str, options: list[str], small: bool
) -> None:
    """By torch itself, in float64: buffers are rounded as weights are, and tcn's weight norm is folded before."""
    import torch
    from safetensors.torch import load_file

    from ecgedge.builtin.models import BaseCnn, Tcn
    from ecgedge.convert.checkpoint import fold_parametrizations
    from ecgedge.data.finding import load

    one = trained(name, *options, *(["--dataset", waves] if small else []))
    metrics = json.loads((one / "metrics.json").read_text())
    data, _ = load(str(waves) if small else "synthetic")
    network = {"base-cnn": BaseCnn, "tcn": Tcn}[name]().build(data.classes, data.length)
    fold_parametrizations(network)
    network.load_state_dict(load_file(one / "weights.safetensors"))
    with torch.inference_mode():
        logits = network.double().eval()(torch.from_numpy(data.test.x).double())
    nll = torch.nn.functional.cross_entropy(logits, torch.from_numpy(data.test.y)).item()
    assert metrics["test"]["nll"] == pytest.approx(nll, rel=1e-5)


def test_other_data_through_the_matrix(ecgedge: Command, waves: Path, tmp_path: Path) -> None:
    """Two classes of 41 samples: train, then convert and measure the checkpoint."""
    result = ecgedge("matrix", "--dataset", waves, "--model", "tcn", "--profile", "quick", "--out", "run")
    # the name of a built-in means the built-in, whose shipped weights do not fit this data
    assert "takes beats of 140 samples, those of waves have 41" in error_of(result)
    arguments = ("--model", waves / "tcn", "--quantizer", "full-int8", "--profile", "quick", "--out", "run")
    result = ecgedge("matrix", "--dataset", waves, *arguments)
    assert result.code == 0, result.err
    rows = [row for row in rows_of(tmp_path / "run") if row["status"] != "skipped"]
    assert [(row["format"], row["status"]) for row in rows] == [("onnx", "ok"), ("tflite", "ok")]


def test_all_five_on_other_data(ecgedge: Command, tmp_path: Path) -> None:
    """Two classes of 96 samples through training, conversion and measurement, all five architectures."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "Other"
    folder.mkdir()
    for part in ("TRAIN", "TEST"):
        y = np.arange(40) % 2
        x = np.sin(np.linspace(0, 6, 96) * (1 + y[:, None])) + 0.1 * rng.standard_normal((40, 96))
        np.savetxt(folder / f"Other_{part}.tsv", np.column_stack([y, x]), delimiter="\t")
    names = ("base-cnn", "vgg", "inception", "tcn", "cnn-ae")
    for name in names:
        done = ecgedge("train", name, "--dataset", folder, "--epochs", "1", "--no-teacher", "--out", f"my-{name}")
        assert done.code == 0, done.err
    models = [word for name in names for word in ("--model", f"my-{name}")]
    arguments = ("--format", "tflite", "--quantizer", "full-int8", "--profile", "quick", "--out", "run")
    result = ecgedge("matrix", "--dataset", folder, *models, *arguments)
    assert result.code == 0, result.out + result.err
    assert {row["model"]: row["status"] for row in rows_of(tmp_path / "run")} == {f"my-{name}": "ok" for name in names}


def test_no_picture_costs_more_for_hundreds_of_classes() -> None:
    """A text a cell is what takes minutes."""
    from matplotlib.figure import Figure

    from ecgedge.training.pictures import draw_confusion

    axes = {count: Figure().subplots() for count in (5, 400)}
    for count, each in axes.items():
        draw_confusion(each, np.eye(count, dtype=int), tuple(f"a rather long label {i}" for i in range(count)))
    assert len(axes[5].texts) == 25
    assert not axes[400].texts and len(axes[400].get_xticklabels()) == len(axes[400].get_yticklabels()) == 20
    assert "400 classes: too many for their counts, which are in metrics.json" in axes[400].get_title()


def test_an_autoencoder_of_one_short_epoch_and_no_anomaly_to_test(ecgedge: Command, tmp_path: Path) -> None:
    """Four steps: the schedule's rise was of none, which torch divided by; and there is no ROC of one kind of beats."""
    chance = np.random.default_rng(0)

    def put(name: str, classes: list[str]) -> None:
        rows = [f"{label} {' '.join(f'{v:.3f}' for v in chance.normal(size=64))}" for label in classes]
        (tmp_path / name).write_text("\n".join(rows))

    put("T_TRAIN.txt", ["n"] * 240 + ["x"] * 4)
    put("T_TEST.txt", ["n"] * 20)
    told = ecgedge(
        "train", "cnn-ae", "--dataset", "T_TRAIN.txt", "--epochs", "1", "--normal", "n", "--cv", "2", "--out", "one"
    )
    assert told.code == 0, told.err
    assert "AUROC not defined" in told.out
    assert (tmp_path / "one" / "roc.png").read_bytes().startswith(PNG)


def test_options_that_make_no_sense_for_several_labels_are_refused(ecgedge: Command, tmp_path: Path) -> None:
    write_npz(tmp_path / "m.npz")
    refused = ecgedge("train", "base-cnn", "--dataset", "m.npz", "--teacher", "--temperature", "0.3")
    assert "no sense for multilabel" in error_of(refused)
    assert not (tmp_path / "checkpoints" / "base-cnn").exists()  # a refused training leaves no folder
    wrong = ecgedge("train", "base-cnn", "--dataset", "m.npz", "--task", "binary")
    assert "several labels a beat" in error_of(wrong)
    assert "is for anomalies" in error_of(ecgedge("train", "cnn-ae", "--dataset", "m.npz"))


def test_it_is_told_which_class_one_output_speaks_for(ecgedge: Command, tmp_path: Path) -> None:
    """Before any training: these beats are refused."""
    labels = np.array(["no", "AF"] * 20)
    flat = {"x_train": np.zeros((40, 24)), "y_train": labels, "x_test": np.zeros((40, 24)), "y_test": labels}
    np.savez(tmp_path / "two.npz", **flat)
    asked = ("train", "base-cnn", "--dataset", "two.npz", "--task", "binary")
    told = ecgedge(*asked).err
    assert "the one output is the probability of no, the second class; --class-names FILE" in told, told
    (tmp_path / "names.txt").write_text("no\nAF\n")
    assert "the one output is the probability of AF" in ecgedge(*asked, "--class-names", "names.txt").err
    assert "one output" not in ecgedge(*asked[:-2]).err
