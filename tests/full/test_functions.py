"""``convert``, ``evaluate``, ``predict`` and ``explain`` from a script, held against onnxruntime and scikit-learn."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ecgedge import Conversion, EcgEdgeError, Told, convert, evaluate, explain, predict
from ecgedge.api.artifact import digest_of
from ecgedge.data.dataset import Dataset
from ecgedge.data.drawing import stratified
from tests.conftest import write_beats
from tests.full.kept import keeping_workers

onnxruntime = pytest.importorskip("onnxruntime")
metrics = pytest.importorskip("sklearn.metrics")
pytest.importorskip("torch")


@pytest.fixture(scope="module", autouse=True)
def libraries_imported_once() -> Iterator[None]:
    """The workers of all of these calls are kept."""
    with keeping_workers():
        yield


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Conversion:
    return convert("base-cnn", "onnx", tmp_path_factory.mktemp("made") / "made.onnx", data="synthetic")


@pytest.fixture(scope="module")
def logits(made: Conversion, beats: Dataset) -> np.ndarray:
    """What the file answers on the test beats."""
    return onnxruntime.InferenceSession(made.path).run(None, {made.artifact.input.name: beats.test.x})[0]


def test_what_is_made_and_verified(made: Conversion, logits: np.ndarray, beats: Dataset) -> None:
    assert digest_of(made.path) == made.artifact.digest
    assert (made.route, made.quantizer, made.runtime) == (("onnx",), "none", "cpu")
    found = made.verification
    assert found and (found.beats, found.test_beats, found.changed_decisions) == (500, 4500, 0)
    index = stratified(beats.test.y, 500, 0)
    right = metrics.accuracy_score(beats.test.y[index], logits[index].argmax(axis=1))
    assert found.figures["accuracy"] == pytest.approx(right, abs=1e-9)
    assert (made.gain, made.cost, found.loss, found.rejected) == (None, None, "", "")


def test_scores(made: Conversion, logits: np.ndarray, beats: Dataset, capfd: pytest.CaptureFixture[str]) -> None:
    found = evaluate(made.path, data="synthetic")
    decided = logits.argmax(axis=1)
    assert found.runtime == "cpu" and found.data == beats.describe()
    assert found.scores.accuracy == pytest.approx(metrics.accuracy_score(beats.test.y, decided), abs=1e-9)
    theirs = metrics.precision_recall_fscore_support(beats.test.y, decided, labels=range(5), zero_division=0)
    for i, label in enumerate(beats.labels):
        mine = found.scores.per_class[label]
        assert (mine.precision, mine.recall, mine.f1, mine.support) == pytest.approx([each[i] for each in theirs])
    assert capfd.readouterr() == ("", "")


def test_decisions(made: Conversion, logits: np.ndarray, beats: Dataset, tmp_path: Path) -> None:
    count = 300  # more than are read at a time
    shares = np.exp(logits[:count]) / np.exp(logits[:count]).sum(axis=1, keepdims=True)
    file = write_beats(tmp_path / "beats.csv", beats.test.x[:count])
    for given in (beats.test.x[:count], beats.test.x[:count, 0], file):
        found = predict(made.path, given)
        assert found.labels == tuple(beats.labels[i] for i in logits[:count].argmax(axis=1))
        np.testing.assert_allclose(found.probabilities, shares.max(axis=1), atol=1e-5)
    raw = predict(made.path, 3 * beats.test.x[:8] + 1, normalize=True)
    np.testing.assert_allclose(raw.probabilities, predict(made.path, beats.test.x[:8], normalize=True).probabilities,
                               atol=1e-4)  # fmt: skip
    with pytest.raises(EcgEdgeError, match=r"shape \(2, 7\)"):
        predict(made.path, np.zeros((2, 7)))


def test_anomalies(shipped, beats: Dataset) -> None:
    found = predict("cnn-ae", beats.test.x[:50])
    assert found.flags.dtype == bool and len(found) == 50
    np.testing.assert_array_equal(found.flags, found.scores > shipped("cnn-ae").task.threshold)


def test_where_time_goes(made: Conversion, capfd: pytest.CaptureFixture[str]) -> None:
    found = explain(made.path, batch=2)
    assert found.explanation.whole_us > 0 and found.batch == 2
    assert {"Conv", "FusedConv"} & {line.op for line in found.explanation.lines}
    assert found.record()["runtime"] == "cpu"
    assert capfd.readouterr() == ("", "")


def test_mistakes_are_told(made: Conversion, tmp_path: Path) -> None:
    for call in (
        lambda: convert("nope", "onnx", data="synthetic"),
        lambda: convert("base-cnn", "coreml", data="synthetic"),
        lambda: convert("base-cnn", "onnx", made.path, data="synthetic"),
        lambda: convert("base-cnn", "onnx", tmp_path / "x.onnx", data="synthetic", verify="some"),
        lambda: convert("base-cnn", "onnx", tmp_path / "x.onnx", data="synthetic", passes="nope"),
        lambda: convert("base-cnn", "onnx", tmp_path / "x.onnx", data="synthetic", exporters="onnx", runtime="tflite"),
        lambda: convert("base-cnn", "onnx", tmp_path / "x.onnx", data="synthetic", seed=-1),
        lambda: convert("base-cnn", "onnx", tmp_path / "x.onnx", data="synthetic", batch=0),
        lambda: convert("base-cnn", "onnx", tmp_path / "x.onnx", data="synthetic", options={"opset": "new"}),
        lambda: predict(made.path, np.zeros((1, 140)), timeout=0),
        lambda: evaluate(made.path, data="synthetic", threads=0),
        lambda: evaluate(made.path, runtime="tflite", data="synthetic"),
        lambda: evaluate(made.path, data="synthetic", told=Told(task="anomaly")),
        lambda: explain(tmp_path / "absent.onnx"),
        lambda: predict(tmp_path / "absent.onnx", np.zeros((1, 140))),
    ):
        with pytest.raises(EcgEdgeError):
            call()
    assert not (tmp_path / "x.onnx").exists()


def test_names_of_packages_stay_those_of_functions() -> None:
    """Importing what lies in a package of the same name does not take a function's place."""
    import ecgedge
    import ecgedge.convert.opening
    import ecgedge.evaluate.verdicts
    import ecgedge.explain.study

    assert (ecgedge.convert, ecgedge.evaluate, ecgedge.explain, ecgedge.predict) == (
        convert,
        evaluate,
        explain,
        predict,
    )
