"""The built-in models with several leads, from the training to the bundle; and with one, as ever."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ecgedge import Anomaly, Artifact, Context, EcgEdgeError, TensorSpec, infer, load_network, plugins
from ecgedge import evaluate as evaluate_file
from ecgedge import predict as decide
from ecgedge.api.tasks import anomaly_scores
from ecgedge.audit.answers import errors, flat
from ecgedge.bundle.vectors import Vectors
from ecgedge.convert.checkpoint import read_checkpoint
from ecgedge.data.finding import load
from ecgedge.data.readers import Columns
from ecgedge.report.html.beats import Trace, beat_plot
from ecgedge.testing import draw
from ecgedge.training.augment import augment
from ecgedge.training.recipe import recipe_for
from ecgedge.training.rocket import Rocket
from ecgedge.training.train import train
from tests.conftest import Command, error_of, script
from tests.leads import NAMES, write

torch = pytest.importorskip("torch")
FIVE = ("base-cnn", "vgg", "inception", "tcn", "cnn-ae")


@pytest.fixture(scope="module")
def twelve(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("data") / "twelve.npz", 90, 60)


def trained(name: str, data: Path, out: Path, leads: tuple[str, ...] = (), **changes: object) -> Artifact:
    """The checkpoint of a short training without a teacher."""
    parts = plugins.load()
    model = parts.models[name]
    beats, _ = load(str(data), columns=Columns(leads=leads))
    out.mkdir()
    train(model, beats, recipe_for(model, {"teacher": False, "epochs": 2, **changes}), out, {}, cv=0)
    return read_checkpoint(out, parts.models)


def answers_of(artifact: Artifact, x: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return load_network(artifact)(torch.from_numpy(x)).numpy()


@pytest.mark.parametrize("name", FIVE)
@pytest.mark.parametrize(("leads", "length"), [(2, 33), (12, 50)])
def test_each_model_takes_any_number_of_leads(name: str, leads: int, length: int) -> None:
    model = plugins.load().models[name]
    network = model.build(3, length, leads=leads).eval()
    x = torch.from_numpy(draw(2, length, leads=leads))
    with torch.inference_mode():
        y = network(x)
        swapped = network(x.flip(1))
    assert y.shape == ((2, leads, length) if model.task == "anomaly" else (2, 3))
    assert not torch.allclose(y, swapped), "each lead matters"


def test_a_teacher_learns_what_two_leads_say(twelve: Path, tmp_path: Path) -> None:
    """No lead alone tells the classes apart, and the two that do are enough."""
    beats, _ = load(str(twelve))
    rocket = Rocket(200, 64, 0, leads=12)
    x, y = (torch.from_numpy(array) for array in (beats.train.x, beats.train.y))
    one_hot = torch.nn.functional.one_hot(y, 3).float()
    found = {}
    for told, kept in (("both", [1, 6]), ("II", [1]), ("V1", [6])):
        hidden = torch.zeros_like(x)
        hidden[:, kept] = x[:, kept]
        features = rocket(hidden)
        weights = torch.linalg.lstsq(features[:60], one_hot[:60], driver="gelsd").solution
        found[told] = (features[60:] @ weights).argmax(dim=1).eq(y[60:]).float().mean()
    assert found["both"] > 0.9 > max(found["II"], found["V1"])


def test_the_leads_of_a_beat_are_moved_together() -> None:
    torch.manual_seed(0)
    x = torch.from_numpy(draw(40, leads=1)).repeat(1, 3, 1)
    moved = augment(x, 1.0)
    spread = moved.std(dim=2)
    assert not torch.equal(moved, x) and (spread / spread[:, :1] - 1).abs().max() < 0.05, "one gain"
    first, second = (lead - lead.mean(-1, keepdim=True) for lead in moved[:, :2].unbind(1))
    correlated = torch.nn.functional.cosine_similarity(first, second)
    assert correlated.min() > 0.98, "one shift"


def test_one_lead_is_what_it_was() -> None:
    """Weights, the teacher's features, the changes to beats and the file of a shipped model, bit for bit."""
    parts = plugins.load()
    x = torch.from_numpy(draw(6))
    torch.manual_seed(1)
    count, each = len(x), (len(x), 1, 1)
    times = torch.arange(140)
    at = (2 * torch.rand(count, 1) - 1) * 0.03 * 140
    for order in (1, 2, 3):
        at = at + torch.randn(count, 1) * 0.02 * 140 / order * torch.sin(torch.pi * order * times / 139)
    at = (times + at).clamp(0, 139)
    before = at.floor().long().clamp(max=138)
    flat_, share = x[:, 0], at - before
    read = (flat_.gather(1, before) * (1 - share) + flat_.gather(1, before + 1) * share)[:, None]
    gain, offset = 1 + 0.1 * torch.randn(each), 0.05 * torch.randn(each)
    expected = read * gain + offset + 0.05 * torch.rand(each) * torch.randn_like(x)
    torch.manual_seed(1)
    torch.testing.assert_close(augment(x, 1.0), expected, rtol=0, atol=0)
    rng = np.random.default_rng(5)
    size = int(rng.choice((7, 9, 11)))
    weights = rng.standard_normal(size)
    [kernel] = Rocket(1, 140, 5).kernels.values()
    assert np.array_equal(kernel[0].numpy()[0, 0], (weights - weights.mean()).astype(np.float32))
    for name in FIVE:
        model = parts.models[name]
        shipped = read_checkpoint(model.pretrained(), parts.models)
        assert shipped.notes == {} and shipped.input == TensorSpec("input", (None, 1, 140), "float32", "NCL")
        assert "leads" not in json.loads((shipped.path / "model.json").read_text())["options"]
        torch.manual_seed(0)
        plain = model.build(5, 140)
        torch.manual_seed(0)
        told = model.build(5, 140, leads=1)
        for key, value in plain.state_dict().items():
            assert torch.equal(value, told.state_dict()[key]), (name, key)


def test_a_shipped_model_gives_the_same_file(tmp_path: Path) -> None:
    """Its record has nothing that it had not before there were leads, and it answers as it did."""
    pytest.importorskip("onnxruntime")
    parts = plugins.load()
    source = read_checkpoint(parts.models["tcn"].pretrained(), parts.models)
    x = draw(8)
    made = parts.exporters["onnx"].convert(source, tmp_path / "tcn.onnx", Context(x))
    record = made.record()
    assert record["input"]["layout"] == "NCL" and record["notes"] == {}
    known = {"format", "precision", "task", "input", "output", "name", "digest", "parents", "passes", "notes", "maker"}
    assert set(record) == known
    session = parts.runtimes["cpu"].load(made, 1)
    np.testing.assert_allclose(infer(session, x), answers_of(source, x), atol=1e-5)


def test_a_classifier_from_training_to_bundle(
    ecgedge: Command, unpacked: Callable[..., Path], twelve: Path, tmp_path: Path
) -> None:
    pytest.importorskip("onnxruntime")
    artifact = trained("base-cnn", twelve, tmp_path / "mine", ("V1", "II"))
    assert artifact.notes == {"leads": ["V1", "II"]}
    beats, _ = load(str(twelve), columns=Columns(leads=("V1", "II")))
    x = beats.test.x
    file = plugins.load().exporters["onnx"].convert(artifact, tmp_path / "two.onnx", Context(x)).path
    scores = answers_of(artifact, x)
    found = evaluate_file(file, data=twelve, leads=("V1", "II"))
    assert found.scores.accuracy == pytest.approx((scores.argmax(axis=1) == beats.test.y).mean())
    told = error_of(ecgedge("evaluate", file, "--dataset", twelve, "--leads", "II,V1"))
    assert "base-cnn was trained on the leads V1, II, twelve has II, V1\n  say --leads V1,II" in told
    arrays = np.load(twelve)
    np.savez(tmp_path / "beats.npz", x=arrays["x_test"], leads=arrays["leads"])
    np.savetxt(tmp_path / "beats.csv", x.reshape(len(x), -1), fmt="%.9g", delimiter=",")
    expected = "".join(
        f"{i},{label},{share:.4f}\n" for i, (label, share) in enumerate(zip(*as_decided(decide(file, x)), strict=True))
    )
    asked = ["predict", file, "beats.npz", "--leads", "V1,II"]
    for command in (asked, ["predict", file, "beats.csv"]):
        answered = ecgedge(*command)
        assert answered.code == 0 and answered.out.partition("\n")[2] == expected, answered.err
    wrong = error_of(ecgedge("predict", file, "beats.npz", "--leads", "II,V1"))
    assert "trained on the leads V1, II" in wrong
    assert "takes beats of 2 leads, those of beats.npz have 12" in error_of(ecgedge("predict", file, "beats.npz"))
    assert "--leads has no place" in error_of(ecgedge("predict", file, "beats.csv", "--leads", "V1,II"))
    folder = unpacked(file)
    done = script(sys.executable, folder / "predict.py", tmp_path / "beats.csv")
    assert done.stdout.partition("\n")[2] == expected, done.stderr
    assert script(sys.executable, folder / "check.py").returncode == 0
    header = (folder / "model.h").read_text()
    assert "INPUT_SIZE 128" in header and "a beat of 2 leads, axes NCL" in header
    assert (
        "128 numbers (the 64 samples of one lead after those of the other, 2 leads (V1, II))"
        in (folder / "README.md").read_text()
    )
    short = script(sys.executable, folder / "predict.py", "-", stdin="1,2\n")
    assert short.returncode == 1 and "a line is a beat of 128 finite numbers, lead after lead" in short.stderr


def as_decided(found: object) -> tuple[tuple[str, ...], np.ndarray]:
    return found.labels, found.probabilities


def test_an_autoencoder_through_tensorflow(unpacked: Callable[..., Path], twelve: Path, tmp_path: Path) -> None:
    """Three leads of 60 samples, which its decoder has to crop: ONNX, SavedModel, TFLite in fp32, and its bundle."""
    for name in ("onnx2tf", "tensorflow", "ai_edge_litert"):
        pytest.importorskip(name)
    arrays = dict(np.load(twelve))
    cut = {key: array[:, :3, :60] if key.startswith("x") else array for key, array in arrays.items()}
    np.savez(tmp_path / "three.npz", **cut | {"leads": arrays["leads"][:3]})
    artifact = trained("cnn-ae", tmp_path / "three.npz", tmp_path / "mine", normal="alike", window=4)
    x = np.ascontiguousarray(cut["x_test"])
    expected = answers_of(artifact, x)
    assert expected.shape == x.shape
    made = evaluate_tflite(artifact, tmp_path / "ae.tflite", x)
    found = decide(made.path, x)
    np.testing.assert_allclose(found.scores, anomaly_scores(expected, x, 4), rtol=1e-3)
    folder = unpacked(made.path)
    np.savetxt(tmp_path / "beats.csv", x.reshape(len(x), -1), fmt="%.9g", delimiter=",")
    done = script(sys.executable, folder / "predict.py", tmp_path / "beats.csv")
    told = [line.split(",")[1] for line in done.stdout.splitlines()[1:]]
    np.testing.assert_allclose(np.array(told, float), found.scores, rtol=1e-3)


def evaluate_tflite(artifact: Artifact, out: Path, x: np.ndarray) -> Artifact:
    parts, context = plugins.load(), Context(x)
    onnx = parts.exporters["onnx"].convert(artifact, out.with_suffix(".onnx"), context)
    saved = parts.exporters["onnx2tf"].convert(onnx, out.with_suffix(""), context)
    made = parts.quantizers["tflite-fp32"].quantize(saved, out, context)
    session = parts.runtimes["tflite"].load(parts.runtimes["tflite"].inspect(out), 1)
    np.testing.assert_allclose(infer(session, x), answers_of(artifact, x), atol=1e-4)
    return made


def test_the_audit_counts_the_error_lead_by_lead() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 5, 3, 20))
    found = errors(flat(y), x, {"window": 6})
    np.testing.assert_allclose(found, anomaly_scores(y, x, 6), rtol=1e-12)


def test_test_vectors_are_in_the_order_of_the_file() -> None:
    beats = draw(2, 20, leads=3)
    given = TensorSpec("x", (None, 20, 3), "float32", "NLC")
    artifact = Artifact(Path("m"), "tflite", "fp32", Anomaly(1, 0.9, "a", ("a", "b")), given, given, "m")
    vectors = Vectors.of(artifact, beats, beats, "")
    np.testing.assert_array_equal(vectors.outputs, given.encode(beats).reshape(2, -1))
    np.testing.assert_array_equal(given.decode(given.encode(beats)), beats)


def test_a_picture_has_a_strip_a_lead() -> None:
    x = draw(1, 30, leads=3)[0]
    one, three = (str(beat_plot("t", "c", [Trace("beat", x[:count])], NAMES[:count]).picture) for count in (1, 3))
    assert one.count("<path") == 1 and three.count("<path") == 3
    assert all(f">{name}<" in three for name in NAMES[:3]) and ">I<" not in one
    assert str(beat_plot("t", "c", [Trace("beat", x)]).picture).count(">2<") == 1, "numbered where they have no names"


def test_a_model_of_one_lead_takes_the_lead_that_is_picked(twelve: Path) -> None:
    with pytest.raises(EcgEdgeError, match="takes beats of 1 lead, those of twelve have 12"):
        evaluate_file("tcn", data=twelve)
    with pytest.raises(EcgEdgeError, match="takes beats of 140 samples, those of twelve have 64"):
        evaluate_file("tcn", data=twelve, leads="II")
