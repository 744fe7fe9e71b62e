"""The parts keep ecgedge's contracts, and what is special to C holds."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from ecgedge_c import boards, folder, integers, tflite
from ecgedge_c.builder import Call, build
from ecgedge_c.compiler import STRICT, Library, compiler
from ecgedge_c.contracts import *  # noqa: F403  (classes that pytest collects)
from ecgedge_c.contracts import CORE, EXPORTER, HOST, SPECIMENS, exported, specimen
from ecgedge_c.emulator import Emulator
from ecgedge_c.net import Tensor
from ecgedge_c.steps import copied_rows, joined_distance, window_rows
from ecgedge_c.targets import targets

from ecgedge import Artifact, Classification, Context, ConversionError, EcgEdgeError
from ecgedge.testing import draw, judge_graph

BEATS = 50


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return exported("full-int8", tmp_path_factory.mktemp("model"))


def reference(artifact: Artifact, beats: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Beats as a TFLite file takes them, and what LiteRT's reference kernels give for them."""
    stored = artifact.input.encode(beats).reshape(len(beats), -1)
    return stored, tflite.answer(tflite.reference(artifact.path.read_bytes()), stored)


def one_op(kind: str, inputs: tuple[int, ...] = (0,), tensors: tuple[Tensor, ...] = (), **options: object) -> bytes:
    """A file of one operation on ``(1, 1, 10, 4)`` int8; ``tensors`` are those between input and output."""
    x = Tensor(0, "x", (1, 1, 10, 4), "int8", (0.1,), (3,))
    y = Tensor(len(tensors) + 1, "y", (1, 1, 10, 4), "int8", (0.2,), (-4,))
    return build((x, *tensors, y), (Call(kind, inputs, (len(tensors) + 1,), options, 2),), 0, len(tensors) + 1)


def test_the_entry_point_leads_here() -> None:
    [point] = [point for point in metadata.entry_points(group="ecgedge") if point.name == "c"]
    module = point.load()
    assert [part.name for part in module.ecgedge_exporters()] == ["c"]
    assert [part.name for part in module.ecgedge_quantizers()] == ["c-fp32", "c-full-int8"]
    names = ["c", "c-cortex-m4", "c-cortex-m7", "c-cortex-m55", "c-rv32imc"]
    assert [part.name for part in module.ecgedge_runtimes()] == names


def test_int8_answers_bit_for_bit_as_the_reference_kernels_do(model: Artifact) -> None:
    stored, expected = reference(specimen("full-int8"), draw(BEATS))
    np.testing.assert_array_equal(expected, Library(model.path).answer(stored))


@pytest.mark.parametrize("target", targets(), ids=lambda target: target.name)
def test_so_does_each_emulated_core(model: Artifact, target) -> None:
    if reason := target.missing():
        pytest.skip(reason)
    stored, expected = reference(specimen("full-int8"), draw(5))
    core = Emulator(model.path, target)
    np.testing.assert_array_equal(expected, core.answer(stored))
    cost, again = core.cost(), core
    np.testing.assert_array_equal(expected[:2], again.answer(stored[:2]))  # started anew
    assert cost == again.cost() or cost.instructions >= again.cost().instructions
    core.close()
    weights = 12_000  # bytes that nothing can make smaller
    assert weights < cost.flash < 1.6 * weights
    assert 4_516 < cost.ram < 6_000 and 0 < cost.stack < 1_000
    assert 1e6 < cost.instructions < 1e7


def test_instructions_are_the_same_each_time(model: Artifact) -> None:
    [target] = [target for target in targets() if target.name == "cortex-m4"]
    if reason := target.missing():
        pytest.skip(reason)
    stored, _ = reference(specimen("full-int8"), draw(2))
    counted = []
    for _ in range(2):
        core = Emulator(model.path, target)
        core.answer(stored)
        counted.append(core.cost().instructions)
        core.close()
    assert counted[0] == counted[1]


@pytest.mark.parametrize("name", ["full-int8", "fp32"])
@pytest.mark.parametrize("language", [("-x", "c", "-std=c99"), ("-x", "c++", "-std=c++11")], ids=["C99", "C++11"])
def test_the_c_has_no_warnings(name: str, language: tuple[str, ...], tmp_path: Path) -> None:
    made = exported(name, tmp_path)
    command = [*compiler(), *language, "-O2", *STRICT, "-Wshadow", "-c", "-o", "/dev/null", str(made.path / "model.c")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0 and not done.stderr, done.stderr[:2000]


def test_the_c_needs_string_h_and_no_heap(model: Artifact) -> None:
    code = (model.path / "model.c").read_text()
    assert set(re.findall(r"#include [<\"]([\w.]+)[>\"]", code)) - {"immintrin.h", "arm_nnfunctions.h"} == {
        "model.h",
        "stddef.h",
        "string.h",
    }
    assert not re.search(r"\b(malloc|calloc|alloca|printf|double)\b", code)


def test_the_self_test_passes_and_finds_a_wrong_weight(model: Artifact, tmp_path: Path) -> None:
    made = tmp_path / "made"
    shutil.copytree(model.path, made)
    told = subprocess.run(["make", "-C", made, "test"], capture_output=True, text=True)
    assert told.returncode == 0 and "8 of 8 beats" in told.stdout, told.stderr
    code = (made / "model.c").read_text()
    (made / "model.c").write_text(re.sub(r"(bias_1\[\d+\] = \{\n  )(-?\d+)", r"\g<1>99999", code))
    told = subprocess.run(["make", "-C", made, "test"], capture_output=True, text=True)
    assert told.returncode != 0 and "8 of 8" not in told.stdout


def test_cmake_builds_it_and_its_self_test_passes(model: Artifact, tmp_path: Path) -> None:
    if shutil.which("cmake") is None:
        pytest.skip("cmake is not installed")
    for line in (
        ("cmake", "-S", model.path, "-B", tmp_path / "built"),
        ("cmake", "--build", tmp_path / "built"),
        ("ctest", "--test-dir", tmp_path / "built", "--no-tests=error"),
    ):
        done = subprocess.run([*map(str, line)], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    assert "100% tests passed" in done.stdout


def test_the_header_says_what_the_record_says(model: Artifact) -> None:
    text = (model.path / "model.h").read_text()
    facts = dict(re.findall(r"^#define CNN_AE_FULL_INT8_(\w+) (.+)$", text, re.MULTILINE))
    assert (facts["INPUTS"], facts["OUTPUTS"]) == ("140", "140")
    assert float(facts["INPUT_SCALE"].rstrip("f")) == pytest.approx(model.input.scale, rel=1e-8)
    assert facts["INPUT_ZERO_POINT"] == f"({model.input.zero_point})"
    assert float(facts["THRESHOLD"]) == pytest.approx(model.task.threshold, rel=1e-8)
    assert facts["WINDOW"] == str(model.task.window)
    content = (SPECIMENS / "cnn-ae-full-int8.tflite").read_bytes()
    assert facts["DIGEST"].strip('"') == tflite.parse(content).digest


@pytest.mark.parametrize(
    ("name", "precision", "other"), [("full-int8", "full-int8", "fp32"), ("fp32", "fp32", "full-int8")]
)
def test_the_graph_is_what_the_file_claims(name: str, precision: str, other: str, tmp_path: Path) -> None:
    graph = HOST.load(exported(name, tmp_path), 1).graph()
    verdict = judge_graph(graph, precision, HOST.device)
    assert (verdict["status"], verdict["precision_check"]) == ("ok", "checked"), verdict["reason"]
    assert judge_graph(graph, other, HOST.device)["status"] == "rejected"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (one_op("SOFTMAX", beta=1.0), r"SOFTMAX \(operation 0\) cannot become C.*\n.*logits"),
        (
            one_op("CUMSUM", (0, 1), (Tensor(1, "a", (), "int32", data=np.array(2, np.int32)),)),
            r"CUMSUM \(operation 0\)",
        ),
        (one_op("ADD", (0, 0), fusedActivationFunction=4), r"ADD \(operation 0\).*fused with activation 4"),
    ],
    ids=["softmax", "cumsum", "tanh fused"],
)
def test_an_operation_that_cannot_become_c_is_named(content: bytes, told: str, tmp_path: Path) -> None:
    file = tmp_path / "theirs.tflite"
    file.write_bytes(content)
    artifact = replace(specimen("full-int8"), path=file)
    with pytest.raises(EcgEdgeError, match=f"(?s){told}"):
        EXPORTER.convert(artifact, tmp_path / "out", Context(draw(4)))


@pytest.mark.parametrize(
    "content", [b"", b"no model at all", (SPECIMENS / "cnn-ae-full-int8.tflite").read_bytes()[:5000]]
)
def test_a_damaged_file_is_the_users_error(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "bad.tflite"
    file.write_bytes(content)
    with pytest.raises(EcgEdgeError, match=r"bad\.tflite"):
        tflite.read(file)


@pytest.mark.parametrize("name", ["model.h", "ecgedge.json", "graph.json"])
def test_a_damaged_folder_is_the_users_error(model: Artifact, name: str, tmp_path: Path) -> None:
    made = tmp_path / "made"
    shutil.copytree(model.path, made)
    (made / name).write_text("{")
    with pytest.raises(EcgEdgeError, match=r"made"):
        HOST.load(HOST.inspect(made), 1).graph()


def test_a_conversion_that_answers_otherwise_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    factors = integers.multiplier_of
    monkeypatch.setattr(integers, "multiplier_of", lambda real: factors(real * 1.02))
    with pytest.raises(ConversionError, match="other answers than LiteRT's reference kernels"):
        exported("full-int8", tmp_path)


def test_a_folder_of_c_is_code_that_is_told(model: Artifact) -> None:
    assert HOST.code_in(model.path) and CORE.code_in(model.path)
    assert HOST.inspect(model.path).task == model.task


def test_activations_lie_over_each_other(model: Artifact) -> None:
    """Hardly more bytes than the largest tensor has, the output of the first convolution."""
    assert 140 * 32 < folder.interface(model.path).arena < 140 * 32 + 100


def test_distances_keep_what_is_still_to_be_read() -> None:
    assert window_rows(10, 4, 1, 1, 10, 4).distance() == 8  # row t is written while row t - 1 is read
    assert window_rows(10, 4, 2, 0, 5, 4).distance() == 4
    assert window_rows(10, 4, 1, 0, 10, 4).distance(pitch=8, offset=4) == 9 * 8 + 4 + 4 - 9 * 4  # rows apart
    assert copied_rows(3, 0, 8, 4).distance() == 0 and copied_rows(1, 0, 8, 4).distance() == 0
    assert joined_distance(2, [4, 4], [0]) == 4 and joined_distance(2, [4, 4], [1]) == 8


def test_boards_have_sources_and_say_what_lacks() -> None:
    found = {board.name: board for board in boards.load()}
    assert all(board.source for board in found.values())
    board = found["stm32g431"]
    assert (board.lacking(100_000, 30_000), board.lacking(200_000, 30_000)) == ("", "flash")
    assert board.lacking(200_000, 40_000) == "flash and RAM"


@pytest.mark.parametrize(
    ("name", "fits", "too_small"),
    [
        ("cortex-m4", "nano-33-ble-sense, stm32f411", "stm32g431 (flash)"),
        ("cortex-m7", "stm32f746", "none"),
        ("cortex-m55", boards.UNKNOWN, "none"),
        ("rv32imc", "esp32-c3", "none"),
    ],
)
def test_an_image_fits_boards_of_its_own_core(name: str, fits: str, too_small: str) -> None:
    assert boards.judged(name, 200_000, 30_000) == (fits, too_small)


def test_a_row_of_a_core_names_boards_of_that_core(model: Artifact) -> None:
    if reason := CORE.available():
        pytest.skip(reason)
    session = CORE.load(model, 1)
    session.bind(draw(1))
    session.invoke()
    told = session.figures()
    session.close()
    assert (told["fits"], told["too_small"]) == (boards.UNKNOWN, "none")


def grown() -> bytes:
    """A file that widens, pools and widens again: each input of a convolution lies behind where the pooling puts it."""
    rng = np.random.default_rng(0)
    tensors = [Tensor(0, "t0", (1, 1, 32, 4), "int8", (0.05,), (0,))]
    calls = []
    for length, channels, pooled in ((32, 16, True), (16, 32, True), (8, 64, False)):
        given, at = tensors[-1], len(tensors)
        weights = rng.integers(-127, 128, (channels, 1, 3, given.shape[3])).astype(np.int8)
        w = Tensor(at, f"t{at}", weights.shape, "int8", (0.002,) * channels, (0,) * channels, 0, weights)
        zeros = np.zeros(channels, np.int32)
        bias = Tensor(at + 1, f"t{at + 1}", (channels,), "int32", (0.0001,) * channels, (0,) * channels, 0, zeros)
        tensors += [w, bias, Tensor(at + 2, f"t{at + 2}", (1, 1, length, channels), "int8", (0.05,), (0,))]
        options = {"strideH": 1, "strideW": 1, "padding": 0, "dilationHFactor": 1, "dilationWFactor": 1}
        calls.append(Call("CONV_2D", (given.index, at, at + 1), (at + 2,), options, 3))
        if pooled:
            shape = (1, 1, length // 2, channels)
            tensors.append(Tensor(at + 3, f"t{at + 3}", shape, "int8", (0.05,), (0,)))
            options = {"strideH": 1, "strideW": 2, "filterHeight": 1, "filterWidth": 2, "padding": 1}
            calls.append(Call("MAX_POOL_2D", (at + 2,), (at + 3,), options, 2))
    return build(tensors, calls, 0, tensors[-1].index)


def test_a_tensor_is_moved_where_that_saves_memory(tmp_path: Path) -> None:
    """Side by side, input and output of the second convolution are 768 bytes; one over the other 600 are enough."""
    file = tmp_path / "grown.tflite"
    file.write_bytes(grown())
    net = tflite.read(file)
    specs = [tflite.spec_of(net.tensors[index], "?") for index in (net.input, net.output)]
    made = folder.write_sources(Artifact(file, "tflite", "full-int8", Classification(("a",)), *specs, "grown"),
                                tmp_path / "out")  # fmt: skip
    assert "memmove(arena + " in made.code and 512 < made.arena <= 600
    values = np.random.default_rng(1).integers(-128, 128, (20, 128)).astype(np.int8)
    expected = tflite.answer(tflite.reference(file.read_bytes()), values)
    np.testing.assert_array_equal(expected, Library(tmp_path / "out").answer(values))


def branched(part: str) -> bytes:
    """Three branches of 16 channels and a concatenation: two convolutions, and ``part``: a pooling, or what goes in."""
    rng, options = np.random.default_rng(0), {"strideH": 1, "strideW": 1, "padding": 0}
    tensors, calls, parts = [Tensor(0, "t0", (1, 1, 40, 16), "int8", (0.05,), (3,))], [], [0]
    for taps in (1, 5):
        at = len(tensors)
        weights = rng.integers(-127, 128, (16, 1, taps, 16)).astype(np.int8)
        tensors += [Tensor(at, f"t{at}", weights.shape, "int8", (0.002,) * 16, (0,) * 16, 0, weights),
                    Tensor(at + 1, f"t{at + 1}", (16,), "int32", (0.0001,) * 16, (0,) * 16, 0, np.zeros(16, np.int32)),
                    Tensor(at + 2, f"t{at + 2}", (1, 1, 40, 16), "int8", (0.05,), (3,))]  # fmt: skip
        dilated = {**options, "dilationHFactor": 1, "dilationWFactor": 1}
        calls.append(Call("CONV_2D", (0, at, at + 1), (at + 2,), dilated, 3))
        parts.append(at + 2)
    if part == "pooled":
        parts[0] = len(tensors)
        tensors.append(Tensor(parts[0], "pooled", (1, 1, 40, 16), "int8", (0.05,), (3,)))
        calls.append(Call("MAX_POOL_2D", (0,), (parts[0],), {**options, "filterHeight": 1, "filterWidth": 3}, 2))
    tensors.append(Tensor(len(tensors), "out", (1, 1, 40, 48), "int8", (0.05,), (3,)))
    calls.append(Call("CONCATENATION", parts, (len(tensors) - 1,), {"axis": 3}, 2))
    return build(tensors, calls, 0, len(tensors) - 1)


@pytest.mark.parametrize(("part", "copied"), [("pooled", False), ("given", True)])
def test_branches_write_where_they_are_joined(part: str, copied: bool, tmp_path: Path) -> None:
    """Input and output are 640 and 1,920 bytes: there is no room for a branch beside them."""
    file = tmp_path / "branched.tflite"
    file.write_bytes(branched(part))
    net = tflite.read(file)
    specs = [tflite.spec_of(net.tensors[index], "?") for index in (net.input, net.output)]
    made = folder.write_sources(Artifact(file, "tflite", "full-int8", Classification(("a",)), *specs, "branched"),
                                tmp_path / "out")  # fmt: skip
    assert made.arena <= 640 + 1_920
    assert ("rows(40, arena" in made.code, "join(" in made.code) == (copied, False)
    values = np.random.default_rng(1).integers(-128, 128, (20, 640)).astype(np.int8)
    expected = tflite.answer(tflite.reference(file.read_bytes()), values)
    np.testing.assert_array_equal(expected, Library(tmp_path / "out").answer(values))


def test_the_page_of_cores_takes_a_model_of_several_leads(model: Artifact, tmp_path: Path) -> None:
    from click.testing import CliRunner
    from ecgedge_c.__main__ import main

    two = tmp_path / "two"
    shutil.copytree(model.path, two)
    record = json.loads((two / "ecgedge.json").read_text())
    leads, length = record["input"]["shape"][1:]
    record["input"]["shape"][1:] = [2 * leads, length // 2]  # the same values, as a model of two leads has them
    (two / "ecgedge.json").write_text(json.dumps(record))
    done = CliRunner().invoke(main, [str(two), "--target", "cortex-m4"])
    assert done.exit_code == 0, done.output
    assert "beats as here" in done.output or "not run" in done.output
