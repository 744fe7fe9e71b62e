"""Several labels may hold for a beat; and one output that decides between two classes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ecgedge.api import multilabel, tasks
from ecgedge.api.artifact import Artifact, Binary, Classification, Multilabel
from ecgedge.api.records.rules import USER
from ecgedge.api.tensors import TensorSpec
from ecgedge.audit import answers as audit
from ecgedge.convert.checkpoint import write_checkpoint
from ecgedge.convert.opening import Opener
from ecgedge.data.drawing import stratified
from ecgedge.data.finding import read_path
from ecgedge.data.readers import Columns
from ecgedge.errors import EcgEdgeError
from ecgedge.evaluate import verdicts
from ecgedge.evaluate.verdicts import Answers, Terms
from ecgedge.files.notices import NOTE
from ecgedge.plugins import Parts
from ecgedge.run import Told
from ecgedge.testing.fakes import WEIGHTS
from tests.conftest import Command, error_of, rows_of

LABELS = ("wide", "early", "none-of-these")
TASK = Multilabel(LABELS, "logits", (0.4, 0.55, 0.5))
X = np.random.default_rng(1).standard_normal((300, 1, 24)).astype(np.float32)


def drawn(seed: int, count: int = 300) -> tuple[np.ndarray, np.ndarray]:
    """Logits with many ties ``(N, 3)``, and a truth of which the last label is nobody's."""
    rng = np.random.default_rng(seed)
    truth = (rng.random((count, 3)) < (0.4, 0.2, 0)).astype(np.int64)
    return np.round(2 * truth - 1 + rng.standard_normal((count, 3)), 1).astype(np.float32), truth


def judged(here: np.ndarray, was: np.ndarray, y: np.ndarray, task: Multilabel | Classification = TASK):
    """As the matrix judges, held against the audit's own code; the judgement."""
    x = X[: len(y)]
    found = verdicts.judge(Answers(here, x, y), was, task, Terms(seed=3))
    record = {"kind": task.kind, "labels": list(task.labels), "scores": task.scores}
    record |= {"thresholds": list(task.thresholds)} if isinstance(task, Multilabel) else {}
    told = audit.Answers(record, here, was, x, y, np.arange(len(y)), None)
    figures, fault = audit.examine(told, {"precision": "fp32", "runtime_computes": None}, 3)
    flat = found.flat
    for name, value in figures.items():
        mine = flat.get(name)
        if name in ("verdict", "gates"):
            mine = [without_text(each or {}) for each in (mine if name == "gates" else [mine])]
            value = value if name == "gates" else [value or {}]
        close(mine, value, name)
    assert bool(fault) == (found.status == "rejected")
    return found


def without_text(told: dict) -> dict:
    return {key: value for key, value in told.items() if key != "text"}


def close(a: object, b: object, where: str) -> None:
    if isinstance(b, dict):
        assert isinstance(a, dict) and a.keys() >= b.keys(), where
        for key in b:
            close(a[key], b[key], f"{where}.{key}")
    elif isinstance(b, list | tuple):
        assert isinstance(a, list | tuple) and len(a) == len(b), where
        for one, other in zip(a, b, strict=True):
            close(one, other, where)
    elif isinstance(b, float):
        assert a == pytest.approx(b, abs=1e-9), where
    else:
        assert a == b, where


def test_a_label_that_no_beat_has_is_left_out_of_the_means() -> None:
    outputs, truth = drawn(0)
    found = multilabel.figures(outputs, truth, TASK)
    of = found["per_label"]
    assert of["none-of-these"]["auroc"] is of["none-of-these"]["auprc"] is None
    assert found["macro_auroc"] == pytest.approx((of["wide"]["auroc"] + of["early"]["auroc"]) / 2)
    nobody = multilabel.figures(outputs, np.zeros_like(truth), TASK)
    assert nobody["macro_auroc"] is nobody["macro_auprc"] is None


def test_figures_verdicts_and_gates_are_those_of_the_audit() -> None:
    was, truth = drawn(0)
    same = judged(was, was, truth)
    assert same.status == "ok" and same.parity and same.parity.verdict
    assert same.parity.verdict.text == "same (identical scores)" and not same.gates
    rng = np.random.default_rng(5)
    near = judged(was + rng.normal(0, 1e-5, was.shape).astype(np.float32), was, truth)
    assert near.status == "ok" and near.labelling and near.labelling.macro_auroc_low is not None
    worse = was.copy()
    worse[:, 0] = rng.standard_normal(len(was))
    found = judged(worse, was, truth)
    assert found.parity and found.parity.verdict and found.parity.verdict.result == "worse"
    assert {gate.gate for gate in found.gates} >= {"AUROC", "recall"} and {g.label for g in found.gates} == {"wide"}
    silent = was.copy()
    silent[:, 1] = -9
    assert "'early' is never said" in judged(silent, was, truth).reason
    loud = was + np.array([0, 2, 0], np.float32)
    assert "specificity" in {gate.gate for gate in judged(loud, was, truth).gates}
    assert "labels are in another order" in judged(was[:, [1, 0, 2]], was, truth).reason
    assert judged(was[:, :2], was, truth).status == "rejected"


def test_nothing_can_be_compared_where_no_label_has_both_kinds() -> None:
    was, truth = drawn(2)
    found = judged(was, was, np.zeros_like(truth))
    assert found.status == "ok" and found.parity and found.parity.verdict is None


def test_the_variance_of_one_label_is_delongs() -> None:
    from ecgedge.evaluate import labels
    from ecgedge.evaluate.intervals import delong

    a, truth = drawn(0)
    b = a + np.random.default_rng(1).normal(0, 1, a.shape)
    mine, theirs = labels.paired_change(a[:, :1], b[:, :1], truth[:, :1]), delong(a[:, 0], b[:, 0], truth[:, 0] == 1)
    assert mine.difference == pytest.approx(theirs.difference, abs=1e-12)
    assert mine.low == pytest.approx(theirs.low, abs=2e-4) and mine.p == pytest.approx(theirs.p, rel=0.1)


def test_the_interval_of_the_macro_auroc_is_that_of_the_bootstrap() -> None:
    from ecgedge.evaluate import labels

    rng = np.random.default_rng(0)
    truth = (rng.random((300, 2)) < 0.3).astype(np.int64)
    truth[:, 1] |= truth[:, 0]  # labels that hang together
    scores = truth + rng.normal(0, 1, truth.shape) + rng.normal(0, 0.7, (300, 1))
    low, high = labels.interval(scores, truth)
    again = [rng.integers(0, 300, 300) for _ in range(400)]
    drawn_ = np.array([labels.macro_auroc(scores[each], truth[each]) for each in again])
    assert (low, high) == pytest.approx(tuple(np.quantile(drawn_, [0.025, 0.975])), abs=0.012)


def test_thresholds_have_the_best_f1_there_is() -> None:
    outputs, truth = drawn(4)
    found = multilabel.shares(outputs, "logits")
    chosen = multilabel.choose_thresholds(found, truth)
    assert chosen[2] == 0.5
    for k in (0, 1):
        f1 = [f1_of(found[:, k] > limit, truth[:, k] == 1) for limit in [*np.unique(found[:, k]), -1]]
        assert f1_of(found[:, k] > chosen[k], truth[:, k] == 1) == pytest.approx(max(f1), abs=1e-12)


def f1_of(said: np.ndarray, true: np.ndarray) -> float:
    return 2 * (said & true).sum() / max(said.sum() + true.sum(), 1)


@pytest.mark.parametrize("scores", ["logits", "probabilities"])
def test_one_output_decides_as_two(scores: str) -> None:
    """What is said of one score of the second class is what is said of both."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 200)
    z = (2 * y - 1 + rng.normal(0, 1, 200)).astype(np.float32)[:, None]
    one = z if scores == "logits" else (1 / (1 + np.exp(-z))).astype(np.float32)
    two = np.concatenate([0 * z, z] if scores == "logits" else [1 - one, one], axis=1)
    near = one + 1e-6
    single = judged(near, one, y, Binary(("a", "b"), scores))
    pair = judged(np.concatenate([two[:, :1], near], axis=1) if scores == "logits" else
                  np.concatenate([1 - near, near], axis=1), two, y, Classification(("a", "b"), scores))  # fmt: skip
    assert single.flat == pair.flat and single.status == "ok"
    turned = -one if scores == "logits" else 1 - one
    assert "another order" in judged(turned, one, y, Binary(("a", "b"), scores)).reason
    assert (tasks.decide(one, X[:200], Binary(("a", "b"), scores)) == (z[:, 0] > 0)).all()


def write_npz(path: Path, **changed: np.ndarray) -> Path:
    """Beats of two shapes that mix; labels ``wide`` and ``early``."""
    rng = np.random.default_rng(0)
    t = np.arange(24)
    shapes = np.stack([np.sin(t / 3), np.exp(-((t - 6) ** 2) / 8)])
    arrays = {}
    for part, count in (("train", 160), ("test", 200)):
        y = (rng.random((count, 2)) < (0.5, 0.3)).astype(np.int64)
        arrays[f"x_{part}"] = (y @ shapes + rng.normal(0, 0.5, (count, 24))).astype(np.float32)
        arrays[f"y_{part}"] = y
    np.savez(path, **arrays | {"classes": np.array(["wide", "early"])} | changed)
    return path


def test_labels_of_which_several_hold_are_read_and_said(tmp_path: Path) -> None:
    data = read_path(write_npz(tmp_path / "m.npz"))[0]
    assert data.multilabel and data.labels == ("wide", "early") and data.train.y.shape == (160, 2)
    assert "2 labels of which several may hold" in data.told and "several may hold" in data.describe()
    lines = ["wide,early,s0,s1,s2,s3"]
    lines += [f"{a},{b},{x:.3f},{x + 1:.3f},.5,{-x:.3f}" for (a, b), x in zip(data.train.y, data.train.x[:, 0, 0])]
    (tmp_path / "m.csv").write_text("\n".join(lines) + "\n")
    table, warning = read_path(tmp_path / "m.csv", Columns(label="wide,early"))
    assert table.labels == ("wide", "early") and "labels in columns 1 to 2 (several may hold)" in table.told
    assert "split here" in warning and len(table.train) == 80
    both = np.concatenate([table.train.y, table.test.y])
    assert both.sum(axis=0).tolist() == data.train.y.sum(axis=0).tolist()
    (tmp_path / "names.txt").write_text("QRS wide\nPVC\n")
    named = read_path(tmp_path / "m.csv", Columns(label="1-2", classes=str(tmp_path / "names.txt")))[0]
    assert named.labels == ("QRS wide", "PVC")


def test_labels_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    for what, changed, told in (
        ("no beat has one", {"y_train": np.eye(2, dtype=int)[[0] * 160] * [[1, 0]]}, "no training beat has the label"),
        ("one part has classes", {"y_test": np.zeros(200, int)}, "the other does not have these"),
        ("a half", {"y_train": np.full((160, 2), 0.5)}, "holds no labels in a column each"),
    ):
        with pytest.raises(EcgEdgeError, match=told):
            read_path(write_npz(tmp_path / f"{what}.npz".replace(" ", "-"), **changed))


def test_draws_keep_the_share_of_each_set_of_labels() -> None:
    y = np.array([[0, 0]] * 60 + [[1, 0]] * 30 + [[1, 1]] * 10)
    drawn_ = y[stratified(y, 20, 0)]
    assert [int((drawn_ == each).all(axis=1).sum()) for each in ([0, 0], [1, 0], [1, 1])] == [12, 6, 2]


@pytest.fixture
def net(tmp_path: Path, fakes: Path) -> Path:
    """A fake of the multilabel data: its checkpoint."""
    data = read_path(write_npz(tmp_path / "m.npz"))[0]
    folder = tmp_path / "net"
    folder.mkdir()
    x = np.c_[data.train.x[:, 0]]
    weights = np.linalg.lstsq(x, 4 * data.train.y - 2, rcond=None)[0].T
    np.save(folder / WEIGHTS, weights.astype(np.float32))
    write_checkpoint(
        folder, model="fake", files=[WEIGHTS], classes=2, length=24,
        task=Multilabel(data.labels, "logits", multilabel.choose_thresholds(
            multilabel.shares(x @ weights.T, "logits"), data.train.y)),
        training={"data": {"name": data.name, "digest": data.digest}},
    )  # fmt: skip
    return folder


def test_from_the_matrix_to_the_audit(ecgedge: Command, net: Path, fakes: Path, tmp_path: Path) -> None:
    asked = ("--plugins-dir", fakes)
    made = ecgedge(*asked, "matrix", "--model", "net", "--dataset", "m.npz", "--profile", "quick", "--out", "run",
                   "--require", "macro_auroc>=0.6", "--optimize", "size")  # fmt: skip
    assert made.code == 0, made.err
    assert "Several labels" in made.out and "mAUROC" in made.out and "winner" in made.out
    rows = [row for row in rows_of(tmp_path / "run") if row["status"] == "ok"]
    assert len(rows) == 3 and all(row["task"] == "multilabel" and row["macro_auroc"] > 0.6 for row in rows)
    checked = ecgedge("check", "run")
    assert checked.code == 0 and "hold" in checked.out, checked.out
    page = (tmp_path / "run" / "report.html").read_text()
    assert "Each label" in page and "How sure it is" in page
    compared = ecgedge("compare", "run", "run")
    assert compared.code == 0 and "no regressions" in compared.out, compared.err
    lying = tmp_path / "run" / "rows.jsonl"
    told = [json.loads(line) for line in lying.read_text().splitlines()]
    told[0]["per_label"]["early"]["auprc"] = 0.5
    lying.write_text("".join(json.dumps(row) + "\n" for row in told))
    assert "per_label" in ecgedge("check", "run").out


def test_a_model_of_labels_is_scored_and_answers(ecgedge: Command, net: Path, fakes: Path, tmp_path: Path) -> None:
    asked = ("--plugins-dir", fakes)
    scored = ecgedge(*asked, "evaluate", "net", "--dataset", "m.npz")
    assert scored.code == 0 and "macro AUROC 0." in scored.out and "exact match" in scored.out, scored.err
    np.savetxt(tmp_path / "b.csv", np.load(tmp_path / "m.npz")["x_test"][:9], delimiter=",")
    answered = ecgedge(*asked, "predict", "net", "b.csv")
    assert answered.code == 0, answered.err
    head, *lines = answered.out.splitlines()
    assert head == "beat,labels,wide,early" and len(lines) == 9
    assert {line.split(",")[1] for line in lines} <= {"none", "wide", "early", "wide+early"}
    refused = ecgedge(*asked, "train", "fake", "--dataset", "m.npz", "--out", "other")
    assert "brings a training of its own" in error_of(refused)
    other = ecgedge(*asked, "evaluate", "fake", "--dataset", "m.npz")
    assert other.code == 2 and "Traceback" not in other.err


def test_columns_of_labels_that_the_model_knows_are_left_out(
    ecgedge: Command, net: Path, fakes: Path, tmp_path: Path
) -> None:
    with np.load(tmp_path / "m.npz") as arrays:
        x, y = arrays["x_test"][:30], arrays["y_test"][:30]
    np.savetxt(tmp_path / "bare.csv", x, delimiter=",")
    head = ",".join(["early", *(f"s{i}" for i in range(24)), "wide"])
    both = np.c_[y[:, 1], x, y[:, 0]]
    np.savetxt(tmp_path / "with.csv", both, delimiter=",", header=head, comments="")
    asked = ("--plugins-dir", fakes, "predict", "net")
    found = ecgedge(*asked, "with.csv")
    assert found.code == 0, found.err
    assert "early, wide are labels of the model and are left out" in found.err
    assert found.out == ecgedge(*asked, "bare.csv").out


def test_of_a_users_file_with_one_output_the_positive_class_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The one whose probability the output is taken for; with words the alphabet decides that."""
    y = np.array(["no", "AF"] * 20)
    x = np.random.default_rng(0).normal(size=(40, 24))
    np.savez(tmp_path / "two.npz", x_train=x, y_train=y, x_test=x + 1, y_test=y)
    data = read_path(tmp_path / "two.npz")[0]
    given, answer = TensorSpec("x", (1, 1, 24), "float32", "NCL"), TensorSpec("y", (1, 1), "float32", "NC")
    theirs = Artifact(tmp_path, "onnx", "fp32", Binary(("0", "1")), given, answer, "theirs", maker={"part": USER})
    with caplog.at_level(NOTE, "ecgedge"):
        found = Opener(Parts(), None, Told(), False).fit_to_data(theirs, data)  # type: ignore[arg-type]
    assert isinstance(found.task, Binary) and found.task.positive == "no"
    assert "its one output is taken as the probability of no, the second class; --class-names FILE" in caplog.text


def test_a_record_says_what_is_wrong_with_its_labels(net: Path) -> None:
    from ecgedge.api.records import task_from_record

    told = {"kind": "multilabel", "labels": ["a", "b"], "scores": "logits", "thresholds": [0.1, 0.2]}
    assert task_from_record(told) == Multilabel(("a", "b"), "logits", (0.1, 0.2))
    for changed, wrong in (({"thresholds": [0.1]}, "1 entries"), ({"thresholds": [0.1, 2]}, "below 1"),
                           ({"kind": "binary", "labels": ["a"], "thresholds": None}, "two classes")):  # fmt: skip
        bad = {key: value for key, value in (told | changed).items() if value is not None}
        with pytest.raises(ValueError, match=wrong):
            task_from_record(bad)
    assert replace(TASK, scores=None).values(7) == 3 and Binary(("a", "b")).values(7) == 1
