"""The runtime keeps ecgedge's contract, and what is special to TFLM holds."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import pytest
from ecgedge_tflm import agreement, boards
from ecgedge_tflm.contracts import *  # noqa: F403  (classes that pytest collects)
from ecgedge_tflm.contracts import SPECIMENS, TFLM
from tflite_micro.python.tflite_micro import runtime
from tflite_micro.tensorflow.lite.micro.python import schema_py_generated as schema

from ecgedge import EcgEdgeError
from ecgedge.testing import draw, judge_graph

INT8, FP32 = SPECIMENS / "cnn-ae-full-int8.tflite", SPECIMENS / "cnn-ae-fp32.tflite"


def changed(change: Callable[[Any], None], out: Path) -> Path:
    """The int8 specimen with a change to its ``ModelT``."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(INT8.read_bytes(), 0))
    change(model)
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    out.write_bytes(bytes(builder.Output()))
    return out


def tile_for_concatenation(model: Any) -> None:
    for code in model.operatorCodes:
        if code.builtinCode == schema.BuiltinOperator.CONCATENATION:
            code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.TILE


def float_activations(model: Any) -> None:
    """As in a dynamic range file: int8 weights, all else in float."""
    for tensor in model.subgraphs[0].tensors:
        if model.buffers[tensor.buffer].data is None and tensor.type == schema.TensorType.INT8:
            tensor.type, tensor.quantization = schema.TensorType.FLOAT32, None


def command(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "ecgedge_tflm", *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True)


def test_the_entry_point_leads_here() -> None:
    [point] = [point for point in metadata.entry_points(group="ecgedge") if point.name == "tflm"]
    assert [part.name for part in point.load().ecgedge_runtimes()] == ["tflm"]


@pytest.mark.parametrize(("file", "precision"), [(INT8, "full-int8"), (FP32, "fp32")])
def test_the_graph_is_what_the_file_claims_and_ran_on_no_cpu_of_ours(file: Path, precision: str) -> None:
    graph = TFLM.load(TFLM.inspect(file), 1).graph()
    verdict = judge_graph(graph, precision, TFLM.device)
    assert (verdict["status"], verdict["precision_check"]) == ("ok", "checked"), verdict["reason"]
    assert verdict["placed"] == {"tflm-host": len(graph.nodes)}
    assert [node.op for node in graph.nodes].count("CONV_2D") == 7
    other = {"full-int8": "fp32", "fp32": "full-int8"}[precision]
    assert judge_graph(graph, other, TFLM.device)["status"] == "rejected"


@pytest.mark.parametrize(("file", "precision"), [(INT8, "full-int8"), (FP32, "fp32")])
def test_what_lies_in_a_file_is_told_as_litert_tells_it(file: Path, precision: str) -> None:
    from ecgedge.builtin.tflite_runtime import TfliteRuntime

    litert = TfliteRuntime()
    theirs, ours = litert.inspect(file), TFLM.inspect(file)
    assert ours == theirs and ours.precision == precision
    theirs_graph, ours_graph = litert.load(theirs, 1).graph(), TFLM.load(ours, 1).graph()
    strip = lambda graph: [replace(node, runner="", device="") for node in graph.nodes]  # noqa: E731
    assert strip(ours_graph) == strip(theirs_graph)
    assert ours_graph.weights == theirs_graph.weights


def test_the_arena_is_the_least_that_works() -> None:
    session = TFLM.load(TFLM.inspect(INT8), 1)
    session.bind(draw(1))
    session.invoke()
    figures = session.figures()
    assert figures["arena_bytes"] == figures["arena_head_bytes"] + figures["arena_tail_bytes"]
    least = figures["arena_smallest_bytes"]
    assert abs(least - figures["arena_bytes"]) < 256
    content = INT8.read_bytes()
    runtime.Interpreter.from_bytes(content, arena_size=least).invoke()
    with pytest.raises(RuntimeError):
        runtime.Interpreter.from_bytes(content, arena_size=least - 16)
    whole = TFLM.load(TFLM.inspect(FP32), 1)
    whole.bind(draw(1))
    whole.invoke()
    assert whole.figures()["arena_head_bytes"] == 4 * figures["arena_head_bytes"]


def test_a_missing_kernel_is_named(tmp_path: Path) -> None:
    file = changed(tile_for_concatenation, tmp_path / "tile.tflite")
    with pytest.raises(EcgEdgeError, match=r"^TFLM refuses it: it has no kernel for TILE\n"):
        TFLM.load(TFLM.inspect(INT8).derive(file), 1)


def test_a_hybrid_operation_is_named(tmp_path: Path) -> None:
    file = changed(float_activations, tmp_path / "dynamic.tflite")
    with pytest.raises(EcgEdgeError, match=r"^TFLM refuses it: CONV_2D \(operation \d+\): Hybrid models are not"):
        TFLM.load(TFLM.inspect(INT8).derive(file), 1)


def test_weights_behind_the_model_are_refused(tmp_path: Path) -> None:
    def move(model: Any) -> None:
        model.buffers[3].data, model.buffers[3].offset, model.buffers[3].size = None, 64, 16

    with pytest.raises(EcgEdgeError, match="behind the model, where TFLM does not look"):
        TFLM.inspect(changed(move, tmp_path / "behind.tflite"))


@pytest.mark.parametrize("content", [b"", b"no model at all", INT8.read_bytes()[:5000], None])
def test_a_damaged_file_is_the_users_error(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "bad.tflite"
    if content is not None:
        file.write_bytes(content)
    for use in (TFLM.inspect, lambda path: TFLM.load(replace(TFLM.inspect(INT8), path=path), 1)):
        with pytest.raises(EcgEdgeError, match=r"bad\.tflite"):
            use(file)


def test_it_agrees_bit_by_bit_with_the_kernels_that_it_was_made_of() -> None:
    """LiteRT's reference kernels; XNNPACK rounds elsewhere, by a few steps."""
    found = {each.kernels: each for each in agreement.compare(INT8.read_bytes(), TFLM.inspect(INT8), draw(50))}
    reference, delegate = found["reference kernels"], found["XNNPACK"]
    assert (reference.values, reference.beats, reference.largest) == (1, 1, 0)
    assert 0.5 < delegate.values < 1 and 0 < delegate.largest <= 8


def test_agreement_counts_values_and_beats() -> None:
    ours = np.array([[[1, 2, 3, 4]], [[5, 6, 7, 127]]], np.int8)
    theirs = np.array([[[1, 2, 3, 4]], [[5, 6, 7, -128]]], np.int8)
    assert agreement.agreement("any", ours, theirs) == agreement.Agreement("any", 7 / 8, 1 / 2, 255)


def test_a_board_is_too_small_for_flash_or_for_ram() -> None:
    board = replace(boards.load()[0], flash=100_000, ram=50_000, framework=10_000, kernel=1_000, margin=5_000)
    assert boards.fit(board, 80_000, 45_000, 10).fits
    assert boards.fit(board, 80_001, 45_000, 10).lacking == "flash"
    assert boards.fit(board, 80_000, 45_001, 10).lacking == "RAM"
    assert boards.fit(board, 80_001, 45_001, 10).lacking == "flash and RAM"
    assert boards.fit(board, 80_000, 45_000, 10, code=20_001).lacking == "flash"


def test_boards_of_the_users_own(tmp_path: Path) -> None:
    text = '[estimate]\nkernel_bytes = 1\n[[boards]]\nname = "mine"\nflash_bytes = 1000\nram_bytes = 10\n'
    (tmp_path / "mine.toml").write_text(text)
    [mine] = boards.load(tmp_path / "mine.toml")
    assert (mine.name, mine.flash, mine.ram, mine.kernel) == ("mine", 1000, 10, 1)
    assert mine.framework == boards.load()[0].framework
    for bad in ("", "[[boards]]\nname = 1\n", "\0"):
        (tmp_path / "bad.toml").write_text(bad)
        with pytest.raises(EcgEdgeError, match="holds no boards"):
            boards.load(tmp_path / "bad.toml")
    with pytest.raises(EcgEdgeError, match="no board 'other'"):
        boards.load(tmp_path / "mine.toml", ["other"])


def test_the_command_tells_all_of_it(tmp_path: Path) -> None:
    np.savetxt(tmp_path / "beats.txt", np.column_stack([np.ones(20), draw(20)[:, 0]]))
    told = command(INT8, "--beats", tmp_path / "beats.txt")
    assert told.returncode == 0, told.stderr
    assert f"full-int8, {INT8.stat().st_size:,} bytes" in told.stdout
    assert "arena" in told.stdout and "on 20 beats of beats.txt" in told.stdout
    assert "100.0000% of the output values are equal, 100.00% of the beats; largest difference 0 LSB" in told.stdout
    assert [board.name for board in boards.load() if f" {board.name} " not in told.stdout] == []


def test_the_command_fails_where_a_board_is_too_small(tmp_path: Path) -> None:
    told = command(INT8, "--board", "stm32f411", "--code", "600000")
    assert told.returncode == 1 and "too small: flash" in told.stdout
    assert command(INT8, "--board", "stm32f411").returncode == 0


def test_the_mistakes_of_users_are_one_line_and_exit_code_2(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("no numbers\n")
    np.savetxt(tmp_path / "short.txt", np.ones((3, 50)))
    for arguments in (
        ("absent.tflite",),
        (INT8, "--board", "none"),
        (INT8, "--beats", tmp_path / "words.txt"),
        (INT8, "--beats", tmp_path / "short.txt"),
    ):
        told = command(*arguments)
        assert told.returncode == 2 and told.stderr.startswith("error: "), told.stderr
        assert "Traceback" not in told.stderr and told.stdout == ""
