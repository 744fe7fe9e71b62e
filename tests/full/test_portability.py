"""``ecgedge portability``: files that are planted to round otherwise, to lose sums, and to do neither."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from ecgedge.devices.emulated import X86_EMULATORS
from ecgedge.portability import kept
from tests.conftest import Command, error_of, rows_of
from tests.full.graphs import graph

SCALE, ZERO = np.float32(2**-5), np.uint8(128)  # powers of 2: no product of scales is rounded
BODY = """
    q = QuantizeLinear(x, s, z) d = DequantizeLinear(q, s, z)
    k = DequantizeLinear<axis = 0>(w, ws, wz) b = DequantizeLinear<axis = 0>(o, bs, bz)
    c = Conv<strides = [2]>(d, k, b) r = Relu(c) cq = QuantizeLinear(r, cs, z0) cd = DequantizeLinear(cq, cs, z0)
    m = MaxPool<kernel_shape = [3], pads = [1, 1]>(cd) mq = QuantizeLinear(m, cs, z0) md = DequantizeLinear(mq, cs, z0)
    p = GlobalAveragePool(md) f = Flatten(p) yq = QuantizeLinear(f, ys, z) y = DequantizeLinear(yq, ys, z)
"""
NO_EMULATOR = not any(map(shutil.which, X86_EMULATORS))


def planted(out: Path, most: int) -> Path:
    """An int8 classifier of one convolution whose weights are ``most`` and less, in pairs."""
    draw = np.random.default_rng(0)
    weights = draw.integers(-most, most + 1, (5, 1, 14)).astype(np.int8)
    weights[0], weights[1, 0, :4] = most, -most
    ones, zeros = np.ones(5, np.float32), np.zeros(5, np.int8)
    model = graph(
        BODY, shape=("batch", 1, 140), s=np.asarray(SCALE), z=np.asarray(ZERO), w=weights, ws=2**-7 * ones, wz=zeros,
        o=np.arange(5, dtype=np.int32) * 1000, bs=2**-7 * SCALE * ones, bz=np.zeros(5, np.int32),
        cs=np.asarray(np.float32(2**-4)), z0=np.asarray(np.uint8(0)), ys=np.asarray(np.float32(2**-5)),
    )  # fmt: skip
    onnx.save(model, out)
    return out


def told(here: Command, *arguments: str | Path) -> dict[str, Any]:
    result = here("portability", *arguments, "--dataset", "synthetic", "--json")
    assert result.code == 0, result.err
    found: dict[str, Any] = json.loads(result.out)
    return found


def test_a_file_that_loses_sums_is_found_by_analysis(here: Command, tmp_path: Path) -> None:
    found = told(here, planted(tmp_path / "wide.onnx", 127), "--no-emulate", "--beats", "40")
    [layer] = found["saturation"]
    assert 0 < layer["did"] <= layer["can"] < layer["pairs"] == 5 * 7
    assert layer["cut"] > 0 and layer["beats"] > 0 and layer["changed"] > 0 and layer["steps"] > 0
    by = {each["by"]: each for each in found["tried"] if not each["family"].startswith(("plain", "precise"))}
    assert by["model"]["equal"] < 1 and by["model"]["beats"] == 40
    assert found["verdict"] in ("equivalent", "fragile")
    assert any("--reduce-range" in finding["remedy"] for finding in found["findings"])
    assert any("aarch64" in missed["what"] for missed in found["not_tried"])


def test_a_certificate_is_held_to_its_answers(here: Command, tmp_path: Path) -> None:
    folder, file = tmp_path / "kept", planted(tmp_path / "wide.onnx", 127)
    told(here, file, "--no-emulate", "--beats", "40", "--out", folder)
    assert "not empty" in error_of(here("portability", file, "--dataset", "synthetic", "--no-emulate", "-o", folder))
    result = here("check", folder)
    assert result.code == 0 and "figures of 5 rows hold" in result.out and "not checked: file, digest" in result.out
    certificate = folder / "portability.json"
    record = json.loads(certificate.read_text(encoding="utf-8"))
    for change in (
        {"verdict": "exact"},
        {"margin": record["margin"] * 2 + 1},
        {"tried": [*record["tried"][:-1], record["tried"][-1] | {"equal": 1.0}]},
        {"tried": [*record["tried"][:-1], record["tried"][-1] | {"flips": [{"beat": 0}]}]},
        {"saturation": [record["saturation"][0] | {"did": 1000}]},
        {"saturation": []},
        {"not_tried": []},
        {"findings": []},
    ):
        certificate.write_text(json.dumps(record | change), encoding="utf-8")
        result = here("check", folder)
        assert result.code == 1 and result.out and "Traceback" not in result.err, change
    certificate.write_text("{}", encoding="utf-8")
    result = here("check", folder)
    assert result.code == 1 and result.out.strip() == "portability.json: file is missing"


def test_a_certificate_goes_along_in_a_bundle_and_bounds_its_vectors(here: Command, tmp_path: Path) -> None:
    file, folder, out = tmp_path / "mean.tflite", tmp_path / "kept", tmp_path / "bundle"
    file.write_bytes(mean(0.0173, -11))
    told(here, file, "--no-emulate", "--out", folder)
    result = here("bundle", file, "--portability", folder, "-o", out)
    assert result.code == 0, result.err
    record = json.loads((out / "record.json").read_text(encoding="utf-8"))
    assert (record["vectors"]["tolerance"], record["vectors"]["unit"]) == (1, "steps")
    assert (out / "portability.json").read_bytes() == (folder / "portability.json").read_bytes()
    assert "portability: " in (out / "MODEL_CARD.md").read_text(encoding="utf-8")
    said = {"verdict": "fragile", "ways": 3, "fewer_beats": 0, "of": hashlib.sha256(file.read_bytes()).hexdigest()}
    assert {name: record["portability"][name] for name in said} == said
    again = here("bundle", file, "-o", tmp_path / "again")  # what was found before goes along by itself
    assert again.code == 0 and "mean.tflite: fragile, as found on" in again.err
    assert (tmp_path / "again" / "portability.json").read_bytes() == (folder / "portability.json").read_bytes()
    assert here("bundle", file, "--no-portability", "-o", tmp_path / "without").code == 0
    assert not (tmp_path / "without" / "portability.json").exists()
    for before, _ in [*kept.of_file(said["of"])]:
        certificate = before / "portability.json"
        certificate.write_text(
            certificate.read_text(encoding="utf-8").replace('"fragile"', '"exact"'), encoding="utf-8"
        )
    spoilt = here("bundle", file, "-o", tmp_path / "spoilt")
    assert spoilt.code == 0 and "does not hold and is left out" in spoilt.err
    assert not (tmp_path / "spoilt" / "portability.json").exists()
    file.write_bytes(mean(0.02, -11))
    other = here("bundle", file, "-o", tmp_path / "changed")
    assert "as found on" not in other.err and not (tmp_path / "changed" / "portability.json").exists()
    assert "of another file" in error_of(here("bundle", file, "--portability", folder, "-o", tmp_path / "other"))
    assert "holds no certificate" in error_of(here("bundle", file, "--portability", out.parent, "-o", tmp_path / "no"))


def test_a_verdict_can_be_required(here: Command, tmp_path: Path) -> None:
    asked = ("--dataset", "synthetic", "--no-emulate", "--beats", "40", "--require")
    assert here("portability", planted(tmp_path / "narrow.onnx", 63), *asked, "exact").code == 0
    assert here("portability", planted(tmp_path / "wide.onnx", 127), *asked, "exact").code == 1


@pytest.mark.skipif(NO_EMULATOR, reason="QEMU's user mode is not installed")
def test_a_core_without_vnni_answers_as_the_integer_model_has_it(here: Command, tmp_path: Path) -> None:
    found = told(here, planted(tmp_path / "wide.onnx", 127), "--beats", "40")
    by = {(each["family"], each["place"]): each for each in found["tried"]}
    emulated, model = by["optimized", "Haswell (emulated)"], by["16-bit pairs", "AVX2 or AVX-512, no VNNI"]
    assert emulated["digest"] == model["digest"] and emulated["equal"] < 1
    assert emulated["confirmed"].startswith("16-bit pairs")
    assert by["precise", "Haswell (emulated)"]["equal"] == 1  # the remedy


def test_seven_bits_lose_none_and_the_file_is_exact(here: Command, tmp_path: Path) -> None:
    file = planted(tmp_path / "narrow.onnx", 63)
    found = told(here, file, "--no-emulate")
    assert (found["verdict"], found["saturation"], found["largest"]) == ("exact", [], 0)
    assert {each["family"] for each in found["tried"]} >= {"optimized", "precise", "plain"}
    shown = here("portability", file, "--dataset", "synthetic", "--no-emulate")
    assert "exact: bit for bit the same in all" in shown.out
    assert max(map(len, shown.out.partition("\n\n")[2].partition("\n\n")[0].splitlines())) <= 120


def mean(scale: float, zero: int) -> bytes:
    """A TFLite file of int8: the beat in five columns, and their means."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model, graph_of, buffers = schema.ModelT(), schema.SubGraphT(), [schema.BufferT()]
    int8, int32 = schema.TensorType.INT8, schema.TensorType.INT32

    def constant(values: list[int]) -> int:
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(np.asarray(values, np.int32).tobytes(), np.uint8)
        buffers.append(buffer)
        return len(buffers) - 1

    def tensor(
        name: str, shape: list[int], kind: int, buffer: int = 0, quantized: tuple[float, int] | None = None
    ) -> Any:
        made = schema.TensorT()
        made.name, made.shape, made.type, made.buffer = name, np.asarray(shape, np.int32), kind, buffer
        if quantized:
            made.quantization = schema.QuantizationParametersT()
            made.quantization.scale = np.asarray(quantized[:1], np.float32)
            made.quantization.zeroPoint = np.asarray(quantized[1:], np.int64)
        return made

    def operator(code: int, takes: list[int], gives: int, options: Any, kind: int) -> Any:
        made = schema.OperatorT()
        made.opcodeIndex, made.builtinOptions, made.builtinOptionsType = code, options, kind
        made.inputs, made.outputs = np.asarray(takes, np.int32), np.asarray([gives], np.int32)
        return made

    for number, version in ((schema.BuiltinOperator.RESHAPE, 1), (schema.BuiltinOperator.MEAN, 2)):
        code = schema.OperatorCodeT()
        code.builtinCode = code.deprecatedBuiltinCode = number
        code.version = version
        model.operatorCodes = [*(model.operatorCodes or []), code]
    given = (0.03, 5)
    graph_of.tensors = [
        tensor("input", [1, 140, 1], int8, quantized=given),
        tensor("shape", [3], int32, constant([1, 28, 5])),
        tensor("columns", [1, 28, 5], int8, quantized=given),
        tensor("axis", [1], int32, constant([1])),
        tensor("output", [1, 5], int8, quantized=(scale, zero)),
    ]
    shape, reduced = schema.ReshapeOptionsT(), schema.ReducerOptionsT()
    shape.newShape = np.asarray([1, 28, 5], np.int32)
    graph_of.operators = [
        operator(0, [0, 1], 2, shape, schema.BuiltinOptions.ReshapeOptions),
        operator(1, [2, 3], 4, reduced, schema.BuiltinOptions.ReducerOptions),
    ]
    graph_of.inputs, graph_of.outputs = np.asarray([0], np.int32), np.asarray([4], np.int32)
    model.version, model.subgraphs, model.buffers, model.description = 3, [graph_of], buffers, "mean"
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def test_a_mean_that_is_rounded_twice_is_named(here: Command, tmp_path: Path) -> None:
    file = tmp_path / "mean.tflite"
    file.write_bytes(mean(0.0173, -11))
    found = told(here, file, "--no-emulate")
    by = {each["family"]: each for each in found["tried"]}
    assert list(by) == ["xnnpack", "builtin", "reference"]
    assert by["builtin"]["equal"] < 1 and by["builtin"]["steps"] == pytest.approx(1)
    assert by["builtin"]["ran"] != by["xnnpack"]["ran"] and "XNNPACK" in by["xnnpack"]["ran"]
    texts = [finding["text"] for finding in found["findings"]]
    assert any("1 MEAN" in text and "rounded twice" in text for text in texts)
    assert any(text.startswith("builtin parts first in MEAN 1: ") and "1 step at most" in text for text in texts)
    assert found["step"] == pytest.approx(0.0173)


def test_kernels_can_be_chosen_for_other_commands_too(here: Command, tmp_path: Path) -> None:
    file = tmp_path / "mean.tflite"
    file.write_bytes(mean(0.0173, -11))
    asked = ("evaluate", file, "--dataset", "synthetic", "--option")
    assert here(*asked, "tflite.kernels=reference").code == 0
    assert "one of xnnpack, builtin, reference" in error_of(here(*asked, "tflite.kernels=fast"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("tcn",), "portability is of onnx and tflite files"),
        (("none.onnx",), "none.onnx"),
        (("tcn.onnx", "--device", "nowhere"), "unknown board 'nowhere'"),
    ],
)
def test_what_cannot_be_asked(here: Command, arguments: tuple[str, ...], message: str) -> None:
    assert message in error_of(here("portability", *arguments, "--dataset", "synthetic"))


def test_a_row_brings_the_certificate_of_its_run_into_its_bundle(here: Command, tmp_path: Path) -> None:
    planted(tmp_path / "wide.onnx", 126)  # bytes of its own: what other tests found of a file goes along, too
    asked = ("matrix", "--artifact", "wide.onnx", "--runtime", "cpu", "--dataset", "synthetic", "--profile", "quick")
    done = here(*asked, "--quantizer", "none", "--portability", "--out", "run")
    assert done.code == 0, done.err
    [row] = [row for row in rows_of(tmp_path / "run") if row["status"] == "ok"]
    assert row["portability_layers"] and row["portability"] in ("equivalent", "fragile")
    assert "sums can leave 16 bits: " in (tmp_path / "run" / "report.md").read_text(encoding="utf-8")
    result = here("bundle", "run", "-o", "bundle")
    assert result.code == 0, result.err
    kept = tmp_path / "run" / row["portability_folder"] / "portability.json"
    assert (tmp_path / "bundle" / "portability.json").read_bytes() == kept.read_bytes()


def in_float16(out: Path, loud: float) -> Path:
    """A classifier in float16 whose second layer is made so loud, and its fourth as quiet again."""
    weights = np.random.default_rng(0).normal(0, 1, (5, 1, 14)).astype(np.float16)
    body = """
        h = Cast<to = 10>(x) c = Conv<strides = [2]>(h, w) l = Mul(c, up) r = Relu(l) s = Mul(r, down)
        p = GlobalAveragePool(s) f = Flatten(p) y = Cast<to = 1>(f)
    """
    up, down = (np.full(1, value, np.float16) for value in (loud, 1 / loud))
    onnx.save(graph(body, shape=("batch", 1, 140), w=weights, up=up, down=down), out)
    return out


def test_values_that_float16_cannot_hold_are_found_and_computed(here: Command, tmp_path: Path) -> None:
    file, folder = in_float16(tmp_path / "loud.onnx", 30_000), tmp_path / "kept"
    found = told(here, file, "--no-emulate", "--beats", "40", "--out", folder)
    assert [layer["layer"] for layer in found["overflow"]] == ["l", "r"]  # this machine computes in float32
    assert all(layer["largest"] > 65_504 and layer["beats"] == layer["seen"] == 40 for layer in found["overflow"])
    by = {each["family"]: each for each in found["tried"]}
    assert by["plain"]["equal"] == 1 and (by["float16"]["by"], len(by["float16"]["flips"])) == ("model", 40)
    assert found["verdict"] == "fragile" and any("leave float16" in each["text"] for each in found["findings"])
    assert here("check", folder).code == 0
    certificate = folder / "portability.json"
    record = json.loads(certificate.read_text(encoding="utf-8"))
    for change in ({"overflow": []}, {"overflow": [record["overflow"][0] | {"largest": 9.0}]}, {"findings": []}):
        certificate.write_text(json.dumps(record | change), encoding="utf-8")
        assert here("check", folder).code == 1, change
    quiet = told(here, in_float16(tmp_path / "quiet.onnx", 2), "--no-emulate", "--beats", "40")
    assert (quiet["verdict"], quiet["overflow"], quiet["findings"]) == ("exact", [], [])
