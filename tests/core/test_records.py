"""Records of strangers: each mutation is read rightly or refused in one clear line, at every door of the core."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings

from ecgedge import Anomaly, Artifact, Classification, ConversionError, EcgEdgeError, TensorSpec, artifact_from
from ecgedge.api.records import SIDECAR, from_record, read_sidecar, write_sidecar
from ecgedge.api.records.told import check_told, tell_artifact
from ecgedge.convert.checkpoint import read_checkpoint, write_checkpoint
from ecgedge.files.schema import SchemaError
from ecgedge.testing import FakeModel
from ecgedge.workers.protocol import Inspect, Packed, answer_in, answered
from tests.conftest import Command, error_of, rows_of
from tests.mutation import (
    GOOD,
    NASTY,
    NUMBERS,
    File,
    Mutant,
    Outcome,
    Record,
    Tensor,
    attempt,
    encoded,
    get,
    is_json,
    is_utf8,
    mutants,
    places,
    valid,
    valid_checkpoint,
)

LABELS = ("1", "2", "3", "4", "5")
CLEAR = (EcgEdgeError,)
BEAT = TensorSpec("input", (None, 1, 140), "float32", "NCL")
CODED = TensorSpec("beat:0", (1, 140, 1), "int8", "NLC", 0.05, -3)
DETECTOR = Anomaly(0.015, 0.97, "1", LABELS, 5)
MAKER = {"part": "exporter onnx", "libraries": {"onnx": "1.23.2"}, "options": {"opset": 17}}
KINDS = {
    "classifier": Artifact(
        Path("m"), "onnx", "fp32", Classification(LABELS, "logits"), BEAT, TensorSpec("y", (None, 5), "float32", "NC"),
        "net", "0" * 64, ("a" * 64,), ("fold_norms",), {"text": "as it is", "idle": ["fold_norms"]}, MAKER,
    ),
    "detector": Artifact(
        Path("m"), "tflite", "full-int8", DETECTOR, CODED, TensorSpec("y", (1, 140), "int8", "NCL", 0.06, 4), "net",
        "0" * 64, maker=MAKER, notes={"left": ["conv1"], "loss": {"mixed": 0.93}},
    ),
}  # fmt: skip
few = settings(
    max_examples=200,
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)


def base_of(kind: str) -> Record:
    return json.loads(json.dumps(KINDS[kind].record()))


def file_of(kind: str) -> File:
    specs = (KINDS[kind].input, KINDS[kind].output)
    return File(*(Tensor(s.name, s.shape, s.dtype, s.scale, s.zero_point) for s in specs))


def hold(outcome: Outcome) -> None:
    assert outcome.kind in GOOD, outcome
    if isinstance(outcome.made, Artifact):
        again = json.loads(json.dumps(outcome.made.record(), allow_nan=False))
        assert from_record(outcome.made.path, again) == outcome.made, "it does not survive the journey"


@pytest.mark.parametrize("kind", KINDS)
def test_a_record_in_a_file(kind: str, tmp_path: Path) -> None:
    file, specs = tmp_path / "model", (KINDS[kind].input, KINDS[kind].output)
    file.write_bytes(b"model")
    seen: Counter[str] = Counter()

    @few
    @given(mutants(base_of(kind)))
    def check(mutant: Mutant) -> None:
        outcome = attempt(
            lambda text: artifact_from(file, text, *specs), mutant, valid(mutant.record, file_of(kind)), CLEAR
        )
        hold(outcome)
        seen[outcome.kind] += 1

    check()
    assert min(seen["right"], seen["refused"]) > 5, seen


@pytest.mark.parametrize("kind", KINDS)
def test_each_field_with_each_value(kind: str, tmp_path: Path) -> None:
    file, specs = tmp_path / "model", (KINDS[kind].input, KINDS[kind].output)
    file.write_bytes(b"model")
    for path in places(base_of(kind)):
        for value in [*NASTY, *NUMBERS, True, False, None, [], {}, [None], {"x": 1}]:
            record: Any = {"": base_of(kind)}
            get(record, ("", *path[:-1]) if path else ())[path[-1] if path else ""] = value
            text = encoded(json.dumps(record[""]))
            mutant = Mutant(text, record[""] if is_json(record[""]) and is_utf8(text) else None)
            outcome = attempt(
                lambda text: artifact_from(file, text, *specs), mutant, valid(mutant.record, file_of(kind)), CLEAR
            )
            assert outcome.kind in GOOD, (path, value, outcome)


@pytest.mark.parametrize("kind", KINDS)
def test_a_record_beside_files(kind: str, tmp_path: Path) -> None:
    def read(text: bytes) -> Artifact:
        (tmp_path / SIDECAR).write_bytes(text)
        return read_sidecar(tmp_path)

    @few
    @given(mutants(base_of(kind)))
    def check(mutant: Mutant) -> None:
        hold(attempt(read, mutant, valid(mutant.record, None), CLEAR))

    check()


def test_a_record_of_a_checkpoint(tmp_path: Path) -> None:
    model = FakeModel(tmp_path, "net")
    (tmp_path / "weights.npy").write_bytes(b"weights")
    training = {"recipe": {"epochs": 5}, "data": {"name": "beats", "digest": "0" * 64}}
    write_checkpoint(tmp_path, model="net", files=["weights.npy"], classes=5, length=140, options={"width": 8},
                     input_shape=(None, 1, 140), output_shape=(None, 5), task=Classification(LABELS),
                     training=training)  # fmt: skip
    base = json.loads((tmp_path / "model.json").read_text())

    def read(text: bytes) -> Artifact:
        (tmp_path / "model.json").write_bytes(text)
        return read_checkpoint(tmp_path, {"net": model})

    def is_valid(record: Any) -> bool:
        if not valid_checkpoint(record) or record["task"]["kind"] != "classification":
            return False
        return record["model"] == "net" and record["files"] == ["weights.npy"]

    @few
    @given(mutants(base))
    def check(mutant: Mutant) -> None:
        hold(attempt(read, mutant, is_valid(mutant.record), CLEAR))

    check()


def test_what_a_worker_answers() -> None:
    """Of a part that returns anything: its cell fails, in one line."""

    def read(text: bytes) -> Artifact:
        return answered(Packed(Path("m"), json.loads(text)), "exporter net")

    for record in (
        [],
        None,
        {"task": []},
        base_of("detector") | {"input": 5},
        base_of("detector") | {"notes": {"text": []}},
    ):
        outcome = attempt(read, Mutant(json.dumps(record).encode(), record), False, (ConversionError,))
        assert outcome.kind == "refused" and outcome.told.startswith("exporter net gave an artifact that is none: ")
    question = Inspect("runtime", Path("m"))
    for packed in ({}, [], None, {"path": 5, "record": base_of("detector")}):
        with pytest.raises(SchemaError):
            answer_in(json.dumps({"answer": packed}), question)


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("input.shape.0", "1\n#include </etc/passwd>", "input.shape[0] is '1\\n#include </etc/passwd>', not a whole"),
        ("input.shape.0", True, "input.shape[0] is True, not a whole number from 1 to 1,048,576"),
        ("input.shape.0", 1.5, "input.shape[0] is 1.5, not a whole number"),
        ("input.shape.0", 10**9, "input.shape[0] is 1000000000, not a whole number"),
        ("input.shape.0", -3, "input.shape[0] is -3, not a whole number"),
        ("input.zero_point", 200, "input.zero_point is 200, not in the range of int8"),
        ("input.zero_point", None, "input has a scale or a zero_point without the other"),
        ("input.scale", 0.0, "input.scale is 0.0, not a finite number above 0"),
        ("input.scale", 0.06, "input.scale is 0.06, the file has 0.05"),
        ("task.window", 0, "task.window is 0, not a whole number from 1"),
        ("task.window", 141, "task.window is 141, not at most the 140 samples of a beat"),
        ("task.threshold", None, "task.threshold is null, not a finite number"),
        ("task.threshold", -0.5, "task.threshold is -0.5, not a finite number 0 or more"),
        ("task.threshold", float("inf"), "Infinity is no number of JSON"),
        ("task.quantile", 1, "task.quantile is 1, not a finite number above 0 below 1"),
        ("task.normal", "9", "task.normal is '9', which is not among its labels"),
        ("task.labels.1", "1", "task.labels has '1' more than once"),
        ("task.labels.1", "x" * 100_000, "task.labels[1] is 'xxxxxxxxxxxxxxxxx...xxxxxxxxxxxxxxxxxx', not printable"),
        ("task.labels.1", "\u202eevil", "task.labels[1] is '\\u202eevil', not printable text of 1 to 80 characters"),
        ("task.labels.1", "\ud800", "its text has half of a surrogate pair"),
        ("name", "a\x1b[2J", "name is 'a\\x1b[2J', not printable text of 1 to 255 characters"),
        ("maker.part", "user", "maker.part is user, which stands for files without a record"),
        ("notes.text", ["a"], "notes.text is ['a'], not text of at most 100,000 characters"),
        ("digest", "12ab", "digest is '12ab', not a SHA-256"),
        ("output.shape", [1, 139], "output.shape gives 139 values for a beat of 140: no reconstruction"),
        ("more", 1, "it has the key 'more', known are format, precision, task"),
    ],
)  # fmt: skip
def test_the_line_says_which_field(field: str, value: Any, told: str, tmp_path: Path) -> None:
    (tmp_path / "m").write_bytes(b"model")
    record, artifact = base_of("detector"), KINDS["detector"]
    holder: Any = record
    *way, last = field.split(".")
    for key in way:
        holder = holder[int(key) if key.isdigit() else key]
    holder[int(last) if last.isdigit() else last] = value
    with pytest.raises(EcgEdgeError) as caught:
        artifact_from(tmp_path / "m", json.dumps(record), artifact.input, artifact.output)
    assert told in caught.value.message
    assert caught.value.message.startswith(f"{tmp_path / 'm'}: its record")
    assert caught.value.hint == "convert it again"


def test_an_output_that_is_left_open_has_as_many_labels_as_the_file_gives_values(tmp_path: Path) -> None:
    (tmp_path / "m").write_bytes(b"model")
    record, artifact = base_of("classifier"), KINDS["classifier"]
    record["output"]["shape"] = [None, None]
    assert artifact_from(tmp_path / "m", json.dumps(record), artifact.input, artifact.output).task.labels == LABELS
    record["task"]["labels"] = ["1", "2"]
    with pytest.raises(EcgEdgeError, match=r"task\.labels has 2 entries, the output 5 values"):
        artifact_from(tmp_path / "m", json.dumps(record), artifact.input, artifact.output)


def test_what_is_not_fitted_yet_goes_to_a_worker_and_not_into_a_file(tmp_path: Path) -> None:
    nan = float("nan")
    artifact = replace(KINDS["detector"], path=tmp_path, task=replace(DETECTOR, threshold=nan, quantile=nan))
    again = from_record(tmp_path, json.loads(json.dumps(artifact.record(), allow_nan=False)))
    assert np.isnan(again.task.threshold) and np.isnan(again.task.quantile)
    write_sidecar(artifact)
    with pytest.raises(EcgEdgeError, match="threshold is null"):
        read_sidecar(tmp_path)
    write_sidecar(replace(artifact, task=replace(DETECTOR, quantile=nan)))
    assert np.isnan(read_sidecar(tmp_path).task.quantile), "it is not known where a user told the threshold"


@pytest.mark.parametrize(
    ("given", "returned", "told"),
    [
        (replace(BEAT, name="a\nb"), None, "input.name is 'a\\nb'"),
        (replace(BEAT, shape=(10**9, 1, 140)), None, "input.shape[0] is 1000000000"),
        (replace(BEAT, shape=(1, 1, -1)), None, "input.shape[2] is -1"),
        (replace(CODED, scale=-0.5), None, "input.scale is -0.5"),
        (replace(CODED, scale=float("nan")), None, "input.scale is nan"),
        (replace(CODED, zero_point=500), None, "input.zero_point is 500"),
        (None, (None, 2**40, 2**40), "output.shape[1] is 1099511627776"),
        (None, (None, 2**20, 2**20), "more than 1,048,576 values a beat"),
    ],
)
def test_a_file_without_a_record_is_a_strangers_too(
    given: TensorSpec | None, returned: tuple | None, told: str, tmp_path: Path
) -> None:
    (tmp_path / "m").write_bytes(b"model")
    output = TensorSpec("y", returned or (None, 5), "float32", "NC")
    with pytest.raises(EcgEdgeError) as caught:
        tell_artifact(tmp_path / "m", "onnx", given or BEAT, output)
    assert told in caught.value.message and "\n" not in caught.value.message


OPEN = TensorSpec("y", (None, None, None), "float32", "NCL")


def test_a_shape_that_a_file_leaves_open_is_told_by_running_it(tmp_path: Path) -> None:
    def told(answer: Callable[[np.ndarray], np.ndarray], given: TensorSpec = BEAT) -> TensorSpec:
        return tell_artifact(tmp_path / "m", "onnx", given, OPEN, answer=answer).output

    (tmp_path / "m").write_bytes(b"model")
    for batch in (None, 1, 3):
        given = replace(BEAT, shape=(batch, 1, 140))
        assert told(lambda x: x * 2, given) == replace(OPEN, shape=(batch, 1, 140))
        assert told(lambda x: x[:, 0, :5], given) == replace(OPEN, shape=(batch, 5), layout="NC")
    assert told(lambda x: x.astype(np.float32), CODED).shape == CODED.shape
    for answer in (
        lambda x: x[:, :, x[0, 0] > 0],  # as many values as some beat has above zero
        lambda x: x.reshape(1, 1, -1),  # the beats of a call in one
        lambda x: x.mean(),
    ):
        with pytest.raises(EcgEdgeError, match=r"an output of shape \(N, N, N\) is neither"):
            told(answer)
    with pytest.raises(EcgEdgeError, match="neither"):
        told(lambda x: x, replace(BEAT, shape=(None, 1, None)))


def test_the_name_of_a_file_becomes_one_that_can_be_printed(tmp_path: Path) -> None:
    file = tmp_path / "a\nb\u202e.onnx"
    file.write_bytes(b"model")
    artifact = tell_artifact(file, "onnx", BEAT, TensorSpec("y", (None, 5), "float32", "NC"))
    assert artifact.name == "a_b_"
    assert from_record(file, artifact.record()) == artifact


def test_what_the_options_say_is_held_to_the_same(tmp_path: Path) -> None:
    (tmp_path / "m").write_bytes(b"model")
    artifact = tell_artifact(tmp_path / "m", "onnx", CODED, TensorSpec("y", (1, 2), "float32", "NC"))
    for wrong in (
        replace(artifact, task=Classification(("a", "a"))),
        replace(artifact, task=Classification(("a", "b" * 100_000))),
        replace(artifact, task=Classification(("a", "b\x00"))),
        replace(artifact, input=replace(CODED, zero_point=1000)),
        replace(artifact, task=Classification(("a", "b", "c"))),
    ):
        with pytest.raises(EcgEdgeError) as caught:
            check_told(wrong)
        assert "\n" not in caught.value.message
    assert check_told(artifact) is artifact


@pytest.mark.parametrize(
    ("option", "value"), [("--threshold", "nan"), ("--threshold", "inf"), ("--input-scale", "nan")]
)
def test_no_number_is_no_option(ecgedge: Command, option: str, value: str) -> None:
    result = ecgedge("predict", "m.onnx", "-", option, value)
    assert result.code == 2 and f"Invalid value for '{option}'" in result.err


@pytest.mark.parametrize("text", ['{"files": ' + "[" * 100_000, "[]"], ids=["deep", "list"])
def test_a_checkpoint_that_is_none(ecgedge: Command, fakes: Path, tmp_path: Path, text: str) -> None:
    folder = tmp_path / "fake-checkpoint"
    (folder / "model.json").write_text(text)
    told = error_of(ecgedge("--plugins-dir", fakes, "evaluate", f"./{folder.name}", "--dataset", "synthetic"))
    assert "model.json is damaged: " in told


ODD = """
from ecgedge import hookimpl
from ecgedge.testing import FakeRuntime

class Odd(FakeRuntime):
    def load(self, artifact, threads):
        session = super().load(artifact, threads)
        session.figures = lambda: {"share": float("nan")}
        return session

@hookimpl
def ecgedge_runtimes():
    return [Odd("odd")]
"""


def test_what_a_worker_says_is_no_json(ecgedge: Command, fakes: Path, tmp_path: Path) -> None:
    """A part that tells what is no number: its cell fails, in one line."""
    (fakes / "odd.py").write_text(ODD)
    result = ecgedge("--plugins-dir", fakes, "matrix", "--profile", "quick", "--dataset", "synthetic", "--out", "run",
                     "--model", "fake", "--format", "fake", "--quantizer", "none", "--runtime", "odd")  # fmt: skip
    assert result.code == 1 and "Traceback" not in result.err, result.err
    [row] = [row for row in rows_of(tmp_path / "run") if row["runtime"] == "odd"]
    assert row["status"] == "failed" and "NaN is no number of JSON" in row["reason"]
