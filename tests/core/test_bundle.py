"""What a bundle holds and where it goes, without a framework: C, sums, zips, refusals."""

from __future__ import annotations

import ast
import hashlib
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import ecgedge
from ecgedge import Anomaly, Artifact, Binary, Classification, EcgEdgeError, TensorSpec, bundle
from ecgedge.bundle import Facts, Vectors
from ecgedge.commands.bundle import vector_beats
from ecgedge.data.synthetic import synthetic_beats

ROOT = Path(ecgedge.__file__).parent
TEMPLATES = ROOT / "bundle" / "templates"
MODEL = np.random.default_rng(0).integers(0, 256, 1234, dtype=np.uint8).tobytes()
INT8 = TensorSpec("x", (1, 140, 1), "int8", "NLC", 0.05, -3)
LABELS = ("1", 'a "b" \\?', "µ", "4", "5")


def artifact(**changes) -> Artifact:
    scores = TensorSpec("y", (1, 5), "int8", "NC", 0.1, 7)
    made = Artifact(Path("m"), "tflite", "full-int8", Classification(LABELS), INT8, scores, "net", digest="0" * 64)
    return replace(made, **changes)


def contents(made: Artifact, name: str = "my net-2", **facts) -> dict[str, bytes]:
    beats = synthetic_beats(20, 140)
    outputs = np.random.default_rng(1).normal(size=(20, int(np.prod(made.output.shape[1:])))).astype(np.float32)
    vectors = Vectors.of(made, beats, outputs, "synthetic beats")
    return bundle.contents(made, {f"model.{made.format}": MODEL}, vectors, Facts(name, "net.tflite", **facts))


def unpacked(files: dict[str, bytes], folder: Path) -> Path:
    bundle.place(files, "net", folder)
    return folder


def test_the_model_is_there_byte_by_byte_and_all_files_have_their_sums(tmp_path: Path) -> None:
    files = contents(artifact())
    assert files["model.tflite"] == MODEL
    sums = dict(line.split("  ")[::-1] for line in files["SHA256SUMS"].decode().splitlines())
    assert sums == {name: hashlib.sha256(content).hexdigest() for name, content in files.items() if name in sums}
    assert set(files) - set(sums) == {"SHA256SUMS"}
    folder = unpacked(files, tmp_path / "net")
    if shutil.which("sha256sum"):
        subprocess.run(["sha256sum", "-c", "--quiet", "--strict", "SHA256SUMS"], cwd=folder, check=True)


def test_the_record_says_what_is_needed() -> None:
    files = contents(artifact(), normalize=True)
    record = json.loads(files["record.json"])
    assert tuple(record["task"]["labels"]) == tuple(json.loads(files["labels.json"])) == LABELS
    assert (record["input"]["scale"], record["input"]["zero_point"], record["length"]) == (0.05, -3, 140)
    assert record["preprocessing"]["normalize"] is True
    assert record["vectors"]["tolerance"] == 4
    made = artifact(
        task=Anomaly(0.5, float("nan"), "1", ("1", "2")), output=replace(INT8, name="y"), maker={"part": "user"}
    )
    files = contents(made)
    task = json.loads(files["record.json"], parse_constant=pytest.fail)["task"]
    assert (task["threshold"], task["quantile"]) == (0.5, None)
    card = files["MODEL_CARD.md"].decode()
    assert "not known: who made it" in card and "- model: " not in card
    assert "Not a medical device" in card
    assert "not known" not in contents(artifact(), weights="# net\n\nA card.\n")["MODEL_CARD.md"].decode()


def test_the_card_has_the_name_of_the_bundle_and_says_what_a_run_leaves_open() -> None:
    card = contents(artifact(), measured=("trained model: mine, SHA-256 0",))["MODEL_CARD.md"].decode()
    assert card.startswith("# my net-2\n") and "- model: `net`, the name in its record" in card
    assert "not known: what it was trained on" not in card
    assert "not known: on which beats the trained model, which is named below with its SHA-256, was trained" in card


def test_the_card_says_which_class_is_the_positive_one() -> None:
    one = artifact(task=Binary(("AF", "no"), "logits"), output=TensorSpec("y", (1, 1), "int8", "NC", 0.1, 7))
    assert "whose positive class is no;" in contents(one)["MODEL_CARD.md"].decode()


def test_test_vectors_of_a_large_file_are_bounded(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="ecgedge")
    for count, most in ((1000, 1000), (1001, 1000)):
        beats = np.random.default_rng(0).normal(size=(count, 140)).astype(np.float32)
        np.savetxt(tmp_path / "beats.csv", beats, fmt="%.3f", delimiter=",")
        found, origin = vector_beats(artifact(), tmp_path / "beats.csv", None, False)
        np.testing.assert_allclose(found[:, 0], beats[:most], atol=6e-4)
        said = "holds more beats than a bundle takes along: the first 1,000 are its test vectors"
        assert (said in caplog.text) == (count > most) == origin.startswith("the first")


@pytest.mark.parametrize("compiler", ["gcc", "g++"])
@pytest.mark.parametrize("kind", ["int8", "float32", "float16", "float64"])
def test_c_gives_back_the_bytes_and_the_vectors(tmp_path: Path, compiler: str, kind: str) -> None:
    if shutil.which(compiler) is None:
        pytest.skip(f"no {compiler} here")
    made = artifact()
    if kind != "int8":
        made = artifact(
            input=TensorSpec("x", (None, 1, 140), kind, "NCL"), output=TensorSpec("y", (None, 5), kind, "NC")
        )
    files = contents(made)
    folder = unpacked(files, tmp_path / "net")
    (folder / "main.c").write_text(
        '#include <stdio.h>\n#include "vectors/vectors.h"\n'
        "int main(void) {\n"
        "  static const char *const labels[MY_NET_2_CLASSES] = MY_NET_2_LABELS;\n"
        "  static const int shape[] = MY_NET_2_INPUT_SHAPE;\n"
        "  if ((uintptr_t)my_net_2_model % 16 || shape[0] * shape[1] * shape[2] != MY_NET_2_INPUT_SIZE) return 1;\n"
        "  fwrite(my_net_2_model, 1, my_net_2_model_length, stdout);\n"
        "  fwrite(my_net_2_inputs, 1, sizeof my_net_2_inputs, stdout);\n"
        "  fwrite(my_net_2_outputs, 1, sizeof my_net_2_outputs, stdout);\n"
        "  for (int i = 0; i < MY_NET_2_CLASSES; ++i) puts(labels[i]);\n"
        "  return 0;\n}\n"
    )
    language = ["-xc++", "-std=c++11"] if compiler == "g++" else ["-xc", "-std=c11"]
    strict = ["-Wall", "-Wextra", "-Werror", "-pedantic"]
    subprocess.run([compiler, *strict, *language, "main.c", "model.c", "-o", "main"], cwd=folder, check=True)
    told = subprocess.run([folder / "main"], check=True, capture_output=True).stdout
    outputs = np.loadtxt(folder / "vectors" / "outputs.csv", delimiter=",", dtype=np.float32).astype(kind)
    inputs = made.input.encode(synthetic_beats(20, 140))
    assert told == MODEL + inputs.tobytes() + outputs.tobytes() + ("\n".join(LABELS) + "\n").encode()


def test_the_same_contents_give_the_same_zip(tmp_path: Path) -> None:
    first, second = tmp_path / "a.zip", tmp_path / "b.zip"
    bundle.place(contents(artifact()), "net", first)
    bundle.place(dict(reversed(contents(artifact()).items())), "net", second)
    assert first.read_bytes() == second.read_bytes()
    shutil.unpack_archive(first, tmp_path)
    assert {
        file.relative_to(tmp_path / "net").as_posix() for file in (tmp_path / "net").rglob("*") if file.is_file()
    } == {*contents(artifact())}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zip", "b.zip", "net"]


def test_nothing_of_the_users_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "notes").write_text("mine")
    unpacked(contents(artifact()), tmp_path / "net")
    for name, force, reason in [
        ("net", False, "exists"),
        ("thesis", True, "a folder that is no bundle"),
        ("notes", True, "is a file"),
    ]:
        with pytest.raises(EcgEdgeError, match=reason):
            bundle.check_target(tmp_path / name, force)
    bundle.check_target(tmp_path / "net", force=True)
    unpacked({"only": b"one"}, tmp_path / "net")
    assert [path.name for path in (tmp_path / "net").iterdir()] == ["only"]


@pytest.mark.parametrize("length", [1, 64, 140, 187])
def test_synthetic_beats_of_any_length(length: int) -> None:
    beats = synthetic_beats(20, length)
    assert beats.shape == (20, 1, length)
    np.testing.assert_array_equal(beats, synthetic_beats(20, length))
    np.testing.assert_allclose(beats.mean(axis=2), 0, atol=1e-5)


def test_check_names_what_is_damaged_before_it_loads_anything(tmp_path: Path) -> None:
    folder = unpacked(contents(artifact()), tmp_path / "net")
    content = bytearray((folder / "model.tflite").read_bytes())
    content[700] ^= 1
    (folder / "model.tflite").write_bytes(content)
    (folder / "vectors" / "beats.csv").unlink()
    done = subprocess.run([sys.executable, folder / "check.py"], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.splitlines() == ["model.tflite is not what was bundled", "vectors/beats.csv is missing"]


C_HEADER = "#include <stdint.h>\nvoid net_run(const int8_t input[140], int8_t output[5]);\n"
C_CODE = (
    '#include "model.h"\nvoid net_run(const int8_t input[140], int8_t output[5]) {\n'
    "  for (int i = 0; i < 5; ++i) output[i] = input[i];\n}\n"
)


@pytest.mark.parametrize("changed", ["", "output[i] = input[i + 40]"])
def test_a_folder_of_c_is_bundled_with_what_runs_and_checks_it(tmp_path: Path, changed: str) -> None:
    if shutil.which("cc") is None:
        pytest.skip("needs a C compiler")
    made = artifact(format="c")
    beats = synthetic_beats(20, 140)
    scores = (made.input.encode(beats).reshape(20, 140)[:, :5].astype(np.float32) - 7) * np.float32(0.1)
    model = {
        "model.h": C_HEADER.encode(),
        "model.c": C_CODE.replace("output[i] = input[i]", changed or "output[i] = input[i]").encode(),
    }
    files = bundle.contents(made, model, Vectors.of(made, beats, scores, "synthetic beats"), Facts("net", "net-c"))
    assert files["model.c"] == model["model.c"] and "vectors/vectors.h" not in files
    assert "make test" in files["README.md"].decode() and "model.tflite" not in files["README.md"].decode()
    done = subprocess.run(
        [sys.executable, "check.py"], cwd=unpacked(files, tmp_path / "net"), capture_output=True, text=True
    )
    assert (done.returncode == 0) == (not changed), done.stderr
    if not changed:
        assert "20 beats, largest difference 0 steps" in done.stdout
        answers = subprocess.run(
            [sys.executable, "predict.py", "vectors/beats.csv"], cwd=tmp_path / "net", capture_output=True, text=True
        )
        assert len(answers.stdout.splitlines()) == 21
        alone = bundle.contents(made, model, Vectors.of(made, beats[:1], scores[:1], "a beat"), Facts("net", "net-c"))
        folder = unpacked(alone, tmp_path / "alone")
        done = subprocess.run([sys.executable, "check.py"], cwd=folder, capture_output=True, text=True)
        assert done.stdout.startswith("1 beat, largest difference 0 steps")


def test_predict_is_short_and_needs_only_numpy_and_the_runtime() -> None:
    scripts = {name: (TEMPLATES / name).read_text() for name in ("predict_onnx.py", "predict_tflite.py")}
    for name, text in scripts.items():
        assert len(text.splitlines()) < 81  # some 60, and what several leads and several labels need
        imports = {
            (node.module or "" if isinstance(node, ast.ImportFrom) else node.names[0].name).split(".")[0]
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.Import | ast.ImportFrom)
        }
        runtime = "onnxruntime" if name == "predict_onnx.py" else "ai_edge_litert"
        assert imports - set(sys.stdlib_module_names) == {"numpy", runtime}
    own = ("SESSION", "MODEL", "outputs +=", "outputs.append", "from onnxruntime", "from ai_edge_litert")
    scripts["predict_framework.py"] = (TEMPLATES / "predict_framework.py").read_text()
    own = (*own, "from framework")
    shared = [
        [line for line in text.splitlines() if not any(word in line for word in own)] for text in scripts.values()
    ]
    assert shared[0] == shared[1] == shared[2]


def test_each_format_that_is_bundled_has_a_runtime_that_takes_it() -> None:
    from ecgedge import plugins

    runtimes = plugins.load().runtimes
    for format, target in bundle.TARGETS.items():
        if format != "c":  # a plugin's
            assert format in runtimes[target.runtime].accepts, format


def test_the_licence_is_that_of_the_project() -> None:
    assert (TEMPLATES / "LICENSE").read_bytes() == (ROOT.parent / "LICENSE").read_bytes()


def test_a_checkpoint_is_not_bundled(ecgedge, fakes: Path) -> None:
    from tests.conftest import error_of

    told = error_of(ecgedge("--plugins-dir", fakes, "bundle", "fake"))
    assert "a bundle takes onnx, tflite, c, keras, h5, saved_model, pt2 or torchscript" in told
    assert "ecgedge convert fake --to tflite" in told
