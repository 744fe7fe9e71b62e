"""Training through the command without torch: a model that is fitted in one step, and keeps its weights in its way."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from ecgedge import Anomaly, Classification, EcgEdgeError, Model, Multilabel, write_checkpoint
from ecgedge.cli.train import tell_cross_validation
from ecgedge.convert.checkpoint import read_checkpoint
from ecgedge.data.dataset import Dataset, Split
from ecgedge.testing import FakeModel
from ecgedge.training import recipe_for, told_for_many
from ecgedge.training.crossval import Estimate
from tests.conftest import Command, error_of, rows_of


def means_of(x: np.ndarray, y: np.ndarray, classes: int) -> np.ndarray:
    """The mean beats of the classes, each of length 1."""
    means = np.stack([x[y == label, 0].mean(axis=0) for label in range(classes)])
    return means / np.linalg.norm(means, axis=1, keepdims=True)


def test_a_model_of_numpy_is_trained_cross_validated_and_measured(
    ecgedge: Command, fakes: Path, beats: Dataset, tmp_path: Path
) -> None:
    asked = ("--plugins-dir", fakes, "train", "fake", "--dataset", "synthetic")
    result = ecgedge(*asked, "--out", "one", "--cv", "3", "--repeats", "2", "--option", "fake.scale=2.5")
    assert result.code == 0, result.err
    assert "cross-validated: 3 folds x 2, 500 training beats" in result.out
    folds = [line for line in result.err.splitlines() if line.startswith("Note: fold ")]
    assert [line.split(": ")[1] for line in folds] == [f"fold {number} of 6" for number in range(1, 7)]
    assert "fake is trained on 333 beats, to answer the 167 left out" in folds[0]
    assert "now fake is trained on all 500 training beats" in result.err
    told = "no curves.png: the model's own training reports no loss"
    assert (told if find_spec("matplotlib") else "no pictures: matplotlib is not installed") in result.err

    weights = 2.5 * means_of(beats.train.x, beats.train.y, beats.classes)
    np.testing.assert_allclose(np.load(tmp_path / "one" / "weights.npy"), weights, rtol=1e-5)
    right = ((beats.test.x[:, 0] @ weights.T).argmax(axis=1) == beats.test.y).mean()
    metrics = json.loads((tmp_path / "one" / "metrics.json").read_text())
    assert metrics["test"]["accuracy"] == pytest.approx(right, abs=1e-3)
    assert metrics["history"] == [] and metrics["fold_histories"] == [[]] * 6
    training = metrics["training"]
    assert training["recipe"] == {"seed": 0}, "and nothing that it does not heed"
    assert training["options"] == {"scale": 2.5}
    figures = training["cross_validation"]["figures"]["accuracy"]
    assert figures["mean"] == pytest.approx(right, abs=0.05) and figures["sd"] > 0
    record = json.loads((tmp_path / "one" / "model.json").read_text())
    assert record["files"] == ["weights.npy"] and record["options"] == {}
    assert (record["input_shape"], record["output_shape"]) == ([None, 1, 140], [None, 5])
    assert not (tmp_path / "one" / "curves.png").exists()

    ran = ecgedge("--plugins-dir", fakes, "matrix", "--model", "one", "--dataset", "synthetic", "--profile", "quick",
                  "--runtime", "fake-runtime", "--out", "run")  # fmt: skip
    assert ran.code == 0, ran.out + ran.err
    rows = rows_of(tmp_path / "run")
    assert {row["precision"]: row["status"] for row in rows} == {"fp32": "ok", "full-int8": "ok"}


@pytest.mark.parametrize("kind", ["anomaly", "multilabel"])
def test_folds_that_lack_a_label_have_no_spread(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One beat has it, so one fold of five does: what cannot be told is null in the record, and said."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((20, 1, 8)).astype(np.float32)
    once = (np.arange(20) == 3).astype(int)
    if kind == "anomaly":
        task, y, outputs = Anomaly(0.1, 0.9, "0", ("0", "1")), once, x + 0.1 * rng.standard_normal(x.shape)
    else:  # the other label all beats have
        task, y, outputs = Multilabel(("a", "b"), "logits"), np.stack([once, once * 0 + 1], 1), rng.normal(size=(20, 2))
    figures = Estimate([outputs], [np.arange(20) % 5], []).figures(Split(x, y), task)
    name = "auroc" if kind == "anomaly" else "macro_auroc"
    assert figures[name]["mean"] is not None and figures[name]["fold_sd"] is None
    assert figures["f1" if kind == "anomaly" else "mean_f1"]["fold_sd"] is not None
    json.dumps(figures, allow_nan=False)
    tell_cross_validation({"folds": 5, "repeats": 1, "figures": figures}, 20)
    assert "sd not defined between folds" in capsys.readouterr().out


def test_an_option_that_a_training_does_not_heed_is_told(ecgedge: Command, fakes: Path) -> None:
    asked = ("--plugins-dir", fakes, "train", "fake", "--dataset", "synthetic")
    result = ecgedge(*asked, "--epochs", "3", "--no-teacher", "--seed", "1", "--out", "one")
    assert result.code == 0, result.err
    assert "Warning: the training of fake does not heed --epochs, --no-teacher\n" in result.err
    assert "option fake.scale cannot be '0'" in error_of(ecgedge(*asked, "--option", "fake.scale=0", "--out", "two"))
    assert "fake has no option 'size'" in error_of(ecgedge(*asked, "--option", "fake.size=1", "--out", "two"))


def test_what_an_earlier_training_left_goes_with_it(ecgedge: Command, fakes: Path, tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    for name in ("curves.png", "scores.png", "old.bin", "notes.txt"):
        (tmp_path / "one" / name).write_text(name)
    write_checkpoint(tmp_path / "one", model="fake", files=["old.bin"], classes=2, length=9,
                     task=Classification(("a", "b")))  # fmt: skip
    done = ecgedge("--plugins-dir", fakes, "train", "fake", "--dataset", "synthetic", "--out", "one", "--force")
    assert done.code == 0, done.err
    left = {path.name for path in (tmp_path / "one").iterdir()}
    assert {"notes.txt", "weights.npy", "model.json", "metrics.json"} <= left
    assert not left & {"curves.png", "scores.png", "old.bin"}


UNTRAINED = """
from pathlib import Path
from ecgedge import Fitted, Model, hookimpl
from ecgedge.testing import FakeModel

class Plain(Model):
    name, produces = "plain", "numpy"
    def build(self, classes, length, **options):
        return None

class Odd(FakeModel):
    {odd}

@hookimpl
def ecgedge_models():
    return [Plain(), Odd(Path("none"), "odd")]
"""


def test_a_model_that_names_what_no_recipe_has_is_left_out(ecgedge: Command, fakes: Path) -> None:
    odd = {
        "heeds = ('epoch',)": "Odd.heeds names 'epoch'; a recipe has amp, augment, average",
        "recipe = {'rate': 1}": "Odd.recipe names 'rate'",
        "build_options = ('width',)": "Odd.build_options names 'width'",
        "build_options = 'dropout'": "Odd.build_options must be a tuple of strings",
    }
    for number, line in enumerate(odd):
        (fakes / f"odd{number}.py").write_text(UNTRAINED.format(odd=line))
    listed = ecgedge("--plugins-dir", fakes, "plugins")
    assert listed.code == 0 and all(told in listed.err for told in odd.values()), listed.err


def test_a_training_that_gives_no_answers_is_told(ecgedge: Command, fakes: Path, tmp_path: Path) -> None:
    def train(odd: str, model: str = "odd") -> str:
        (fakes / "odd.py").write_text(UNTRAINED.format(odd=odd))
        return error_of(ecgedge("--plugins-dir", fakes, "train", model, "--dataset", "synthetic", "--out", "out"))

    assert "plain is no torch model (numpy)" in train("pass", "plain")
    scale = "fit = lambda self, data, context: Fitted(self.build(data.classes, data.length) {})"
    assert "outputs for 500 of 500 beats are not finite" in train(scale.format("* float('nan')"))
    assert "outputs of shape (4,) a beat instead of 5 values" in train(scale.format("[1:]"))
    loss = "fit = lambda self, data, context: context.report({'train_loss': float('inf')})"
    assert "train_loss is not finite in epoch 1" in train(loss)
    assert not (tmp_path / "out" / "model.json").exists()


def test_a_checkpoint_says_its_own_shapes_and_options(tmp_path: Path) -> None:
    (tmp_path / "weights.npy").write_bytes(b"")
    told = {"model": "fake", "files": ["weights.npy"], "classes": 2, "length": 9, "task": Classification(("a", "b"))}
    models: dict[str, Model] = {"fake": FakeModel(tmp_path)}

    def written(**more: object) -> tuple:
        write_checkpoint(tmp_path, **told | more)  # type: ignore[arg-type]
        artifact = read_checkpoint(tmp_path, models)
        return artifact.input.shape, artifact.output.shape

    assert written() == ((None, 1, 9), (None, 2))
    assert written(input_shape=(None, 1, 9), output_shape=(None, 2, 1)) == ((None, 1, 9), (None, 2, 1))
    assert written(input_shape=(None, 12, 9)) == ((None, 12, 9), (None, 2))
    written(options={"width": 8, "sizes": [3, 5]})
    assert json.loads((tmp_path / "model.json").read_text())["options"] == {"width": 8, "sizes": [3, 5]}
    before = (tmp_path / "model.json").read_bytes()
    for wrong, line in (
        ({"output_shape": (None, 3)}, r"output_shape is \[None, 3\], and its task wants 2 values a beat"),
        ({"input_shape": (None, 1, 8)}, r"input_shape is \[None, 1, 8\], and length is 9"),
        ({"input_shape": (None, 2**20, 9)}, "more than 1,048,576 values a beat"),
        ({"files": ["../weights"]}, "not the name of a file"),
        ({"classes": 3}, "classes is 3, and task.labels has 2"),
        ({"training": {"loss": float("nan")}}, "not JSON compliant"),
    ):
        with pytest.raises(ValueError, match=line):
            written(**wrong)
    assert (tmp_path / "model.json").read_bytes() == before, "what is wrong is not written"


class Networks(Model):
    """One that is trained by ecgedge's own loop."""

    name, produces = "networks", "torch"
    recipe: dict[str, object] = {}

    def build(self, classes: int, length: int, **options: object) -> object:
        raise NotImplementedError


class Longer(Networks):
    recipe = {"epochs": 600, "batch": 32}


def test_an_objective_says_how_classes_are_drawn_unless_somebody_else_does() -> None:
    usual, labels = recipe_for(Networks(), {}), {"teacher": False}
    for objective, with_teacher, without in (("accuracy", 0.5, 0.0), ("balanced", 0.5, 0.5)):
        asked = {"objective": objective}
        assert recipe_for(Networks(), asked) == replace(usual, objective=objective, balance=with_teacher)
        assert recipe_for(Networks(), asked | labels).balance == without
        assert recipe_for(Networks(), asked | labels | {"balance": 0.3}).balance == 0.3
    with pytest.raises(EcgEdgeError, match="no objective 'recall'"):
        recipe_for(Networks(), {"objective": "recall"})


def test_many_beats_change_what_nobody_asked_for() -> None:
    assert recipe_for(Networks(), {}, 8192) == recipe_for(Networks(), {})
    many = recipe_for(Networks(), {}, 90_000)
    assert (many.epochs, many.batch, many.teacher) == (4, 256, False)
    own = recipe_for(Longer(), {"teacher": True}, 90_000)
    assert (own.epochs, own.batch, own.teacher) == (4, 32, True)
    assert recipe_for(Networks(), {"epochs": 75}, 10**7).epochs == 75
    assert recipe_for(Networks(), {}, 10**7).epochs == 1
    assert recipe_for(FakeModel(Path("none")), {}, 90_000) == recipe_for(FakeModel(Path("none")), {}), "it heeds none"

    told = told_for_many(Networks(), many, 90_000)
    assert told.startswith("90,000 training beats are many: --epochs 4 --batch 256 --no-teacher (for few: --epochs 75 ")
    assert told.endswith("360,000 beats are shown, not 6,750,000")
    assert "--batch" not in told_for_many(Longer(), own, 90_000)
    asked = recipe_for(Networks(), {"epochs": 75, "batch": 64, "teacher": True}, 90_000)
    assert told_for_many(Networks(), asked, 90_000) == told_for_many(Networks(), many, 8192) == ""


LARGE = """
from pathlib import Path
from ecgedge import hookimpl
from ecgedge.testing import FakeModel

class Large(FakeModel):
    heeds = ("epochs",)

@hookimpl
def ecgedge_models():
    return [Large(Path("none"), "large")]
"""


def test_a_well_known_table_of_many_beats_is_trained_on_and_patients_stay_apart(
    ecgedge: Command, fakes: Path, tmp_path: Path
) -> None:
    """187 samples and the label last, no header; with a column of patients in front the folds know these."""
    (fakes / "large.py").write_text(LARGE)
    rng = np.random.default_rng(0)
    for part, count in (("train", 9000), ("test", 500)):
        y = rng.integers(0, 5, count)
        x = np.clip(np.sin(np.linspace(0, 3, 187) * (1 + y[:, None])) + 0.1 * rng.normal(size=(count, 187)), 0, 1)
        table = np.column_stack([rng.integers(1, 7, count), x, y])
        np.savetxt(tmp_path / f"hearts_{part}.csv", table, delimiter=",", fmt=["%d", *["%.3f"] * 187, "%.18e"])
    asked = ("--plugins-dir", fakes, "train", "large", "--dataset", "hearts_train.csv", "--label-column", "last")
    done = ecgedge(*asked, "--group", "1", "--out", "one", "--cv", "3")
    assert done.code == 0, done.err
    assert "9,000 training and 500 test beats of 187 samples, 5 classes" in done.out
    assert "Note: 9,000 training beats are many: --epochs 36 (for few: --epochs 75); 324,000 beats" in done.err
    assert "patients are in both parts" in done.err
    assert json.loads((tmp_path / "one" / "metrics.json").read_text())["training"]["recipe"]["epochs"] == 36
    assert "7" in error_of(ecgedge(*asked, "--group", "1", "--out", "two", "--cv", "7")), "six patients, seven folds"

    said = ecgedge("train", "large", "--objective", "recall")
    assert said.code == 2 and "'recall' is not one of 'accuracy', 'balanced'" in said.err
