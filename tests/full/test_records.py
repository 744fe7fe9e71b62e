"""Records in real ONNX and TFLite files: held against what the file's own library tells, and run where believed."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings

from ecgedge import Artifact, Classification, EcgEdgeError, infer, write_record
from tests.conftest import Command, error_of
from tests.mutation import GOOD, Mutant, attempt, mutants, valid
from tests.real_files import CORPUS, SEEDS, onnx_with, runtime_of, tensors_of, tflite_with

for framework in ("onnx", "onnxruntime", "ai_edge_litert"):
    pytest.importorskip(framework)

WRITE = {"record.onnx": onnx_with, "int8.tflite": tflite_with}
LENGTH = 20  # samples of a beat


@pytest.mark.parametrize("name", SEEDS)
def test_mutated_records(name: str, tmp_path: Path) -> None:
    content, file = SEEDS[name], tmp_path / name
    file.write_bytes(content)
    runtime, own = runtime_of(file), tensors_of(content, file)
    base = json.loads(json.dumps(runtime.inspect(file).record()))
    assert valid(base, own)
    seen: Counter[str] = Counter()

    def read(text: bytes) -> Artifact:
        file.write_bytes(WRITE[name](content, text))
        artifact = runtime.inspect(file)
        answers = infer(runtime.load(artifact, 1), np.zeros((3, 1, LENGTH), np.float32))
        assert answers.reshape(3, -1).shape == (3, len(artifact.task.labels))
        return artifact

    @settings(max_examples=80, deadline=None, database=None, derandomize=True, phases=[Phase.generate, Phase.shrink],
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(mutants(base))
    def check(mutant: Mutant) -> None:
        outcome = attempt(read, mutant, valid(mutant.record, own), (EcgEdgeError,))
        assert outcome.kind in GOOD, outcome
        seen[outcome.kind] += 1

    check()
    assert min(seen["right"], seen["refused"]) > 1, seen


@pytest.mark.parametrize("name", SEEDS)
@pytest.mark.parametrize("command", ["evaluate", "bundle"])
def test_what_reached_a_header_of_c(name: str, command: str, here: Command, tmp_path: Path) -> None:
    """A shape that is a line of C."""
    base = json.loads(json.dumps(runtime_of(Path(name)).inspect(seed(name, tmp_path)).record()))
    base["output"]["shape"][0] = "1}\n#include </etc/passwd>\n"
    (tmp_path / name).write_bytes(WRITE[name](SEEDS[name], json.dumps(base).encode()))
    told = error_of(here(command, name))
    assert "output.shape[0] is '1}\\n#include" in told


def seed(name: str, folder: Path) -> Path:
    (folder / name).write_bytes(SEEDS[name])
    return folder / name


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--labels", f"a,b,{'x' * 100_000}"], "task.labels[2] is 'xxx"),
        (["--labels", "a,b\u202e,c"], "task.labels[1] is 'b\\u202e'"),
        (["--labels", "a,b\x1b[2J,c"], "task.labels[1] is 'b\\x1b[2J'"),
    ],
    ids=["long", "turned", "escape"],
)
def test_labels_of_the_command_line_are_held_to_the_same(
    options: list[str], told: str, here: Command, tmp_path: Path
) -> None:
    (tmp_path / "plain.onnx").write_bytes((Path(__file__).parents[1] / "fuzz/corpus/onnx/plain.onnx").read_bytes())
    assert told in error_of(here("bundle", "plain.onnx", *options))


@pytest.mark.parametrize("name", ["onnx/plain.onnx", "tflite/plain.tflite", "onnx/record.onnx", "tflite/int8.tflite"])
def test_a_part_of_others_puts_a_record_into_its_file(name: str, tmp_path: Path) -> None:
    """One that holds none, or another's, which goes; all else in the file stays, and it answers as before."""
    file = tmp_path / Path(name).name
    file.write_bytes(with_author((CORPUS / name).read_bytes(), file))
    runtime = runtime_of(file)
    told = runtime.inspect(file)
    before = infer(runtime.load(told, 1), np.ones((3, 1, LENGTH), np.float32))
    task = Classification(tuple("abc"), "logits")
    mine = replace(told, name="mine", task=task, maker={"part": "exporter mine"}, notes={"text": "by others"})
    for length in (3000, 30):  # a shorter one after a longer one
        mine = replace(mine, notes={"text": "w" * length})
        write_record(mine)
        again = runtime.inspect(file)
        assert (again.name, again.task, again.maker, again.notes) == (mine.name, task, mine.maker, mine.notes)
        assert (again.input, again.output) == (mine.input, mine.output)
    assert sorted(keys_of(file)) == ["author", "ecgedge"]
    np.testing.assert_array_equal(infer(runtime.load(again, 1), np.ones((3, 1, LENGTH), np.float32)), before)
    assert [each.name for each in tmp_path.iterdir()] == [file.name]


def test_weights_that_lie_behind_a_model_stay(tmp_path: Path) -> None:
    """As AI Edge Quantizer writes larger TFLite models: packed anew they would be lost."""
    file = tmp_path / "behind.tflite"
    told = replace(runtime_of(file).inspect(seed("int8.tflite", tmp_path)), path=file)
    file.write_bytes(behind(SEEDS["int8.tflite"]))
    runtime = runtime_of(file)
    beats = np.random.default_rng(0).standard_normal((3, 1, LENGTH), dtype=np.float32)
    before = infer(runtime.load(told, 1), beats)
    assert len({*before.ravel().tolist()}) > 1
    write_record(replace(told, name="mine"))
    assert runtime.inspect(file).name == "mine"
    np.testing.assert_array_equal(infer(runtime.load(told, 1), beats), before)


def test_a_record_in_a_folder_and_in_a_file_that_has_no_room(tmp_path: Path) -> None:
    told = replace(runtime_of(Path("a.onnx")).inspect(seed("record.onnx", tmp_path)), path=tmp_path / "made")
    (tmp_path / "made").mkdir()
    write_record(told)
    assert json.loads((tmp_path / "made" / "ecgedge.json").read_text())["name"] == told.name
    (tmp_path / "made.bin").write_bytes(b"weights")
    with pytest.raises(ValueError, match="no place for a record is known in files of the format 'theirs'"):
        write_record(replace(told, path=tmp_path / "made.bin", format="theirs"))
    assert (tmp_path / "made.bin").read_bytes() == b"weights"


def behind(content: bytes) -> bytes:
    """A TFLite file whose largest constant lies behind the model, which tells where."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    weights = {tensor.buffer for tensor in model.subgraphs[0].tensors if tensor.shape is not None}
    known = [model.buffers[number] for number in weights if model.buffers[number].data is not None]
    largest = max(known, key=lambda each: len(each.data))
    constant, largest.data = bytes(largest.data), None
    largest.size, largest.offset = len(constant), 1 << 20
    for _ in range(2):  # first with any offset, to know the right one
        builder = flatbuffers.Builder(1024)
        builder.Finish(model.Pack(builder), b"TFL3")
        packed = bytes(builder.Output())
        packed += bytes(-len(packed) % 16)
        largest.offset = len(packed)
    return packed + constant


def with_author(content: bytes, file: Path) -> bytes:
    """A file with an entry of another's among its metadata."""
    if file.suffix == ".onnx":
        import onnx

        model = onnx.ModelProto.FromString(content)
        model.metadata_props.add(key="author", value="someone")
        return model.SerializeToString()
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    entry, buffer = schema.MetadataT(), schema.BufferT()
    buffer.data, entry.name, entry.buffer = np.frombuffer(b"someone", np.uint8), "author", len(model.buffers)
    model.buffers.append(buffer)
    model.metadata = [*(each for each in model.metadata or [] if each.name in (b"ecgedge", "ecgedge")), entry]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def keys_of(file: Path) -> list[str]:
    """The names of a file's metadata."""
    if file.suffix == ".onnx":
        import onnx

        return [entry.key for entry in onnx.load(file).metadata_props]
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(file.read_bytes(), 0))
    return [entry.name.decode() for entry in model.metadata]
