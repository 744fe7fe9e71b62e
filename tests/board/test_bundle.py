"""Bundles of TFLite files, made and used on a board: no torch, TensorFlow or onnx."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from ecgedge.data.dataset import Dataset
from tests.conftest import Command, error_of, script, write_beats

pytest.importorskip("ai_edge_litert")
HERE = Path(__file__).parent
TCN, AUTOENCODER = HERE / "tcn-int8.tflite", HERE / "cnn-ae-int8.tflite"


def test_predict_reads_what_users_have(unpacked, beats: Dataset, tmp_path: Path) -> None:
    raw = 100 + 7 * beats.test.x[:5]
    write_beats(tmp_path / "mean0.csv", beats.test.x[:5])
    text = "\ufeff" + "\n\n".join("  ".join(map(str, beat)) for beat in raw[:, 0].tolist())
    folder = unpacked(TCN, "--normalize")
    expected = script(sys.executable, folder / "predict.py", tmp_path / "mean0.csv").stdout
    assert script(sys.executable, folder / "predict.py", "-", stdin=text[1:]).stdout == expected
    (tmp_path / "bom.txt").write_text(text, encoding="utf-8")
    assert script(sys.executable, folder / "predict.py", tmp_path / "bom.txt").stdout == expected
    flat = script(sys.executable, folder / "predict.py", "-", stdin="0 " * 140)
    assert (flat.returncode, flat.stdout.count("\n")) == (0, 2)
    for wrong, reason in {"1 2 3": "140 finite numbers", "nan " * 140: "finite", "x " * 140: "'x'"}.items():
        failed = script(sys.executable, folder / "predict.py", "-", stdin=wrong)
        assert failed.returncode == 1
        assert reason in failed.stderr
    assert "predict.py beats.csv" in script(sys.executable, folder / "predict.py").stderr
    folder = unpacked(TCN, "--force")  # without --normalize
    assert script(sys.executable, folder / "predict.py", "-", stdin=text[1:]).stdout != expected


def test_check_sees_a_damaged_file_and_other_answers(unpacked) -> None:
    folder = unpacked(AUTOENCODER)
    done = script(sys.executable, folder / "check.py")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("20 beats, largest difference 0 steps; 4 is allowed")
    whole = (folder / "model.tflite").read_bytes()
    (folder / "model.tflite").write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    done = script(sys.executable, folder / "check.py")
    assert (done.returncode, done.stderr) == (1, "model.tflite is not what was bundled\n")
    (folder / "model.tflite").write_bytes(whole)
    values = np.loadtxt(folder / "vectors" / "outputs.csv", delimiter=",")
    values[3, 7] += 5  # steps; the sums are made to agree
    np.savetxt(folder / "vectors" / "outputs.csv", values, delimiter=",", fmt="%d")
    sums = (folder / "SHA256SUMS").read_text().splitlines()
    kept = [line for line in sums if not line.endswith("outputs.csv")]
    (folder / "SHA256SUMS").write_text("\n".join(kept) + "\n")
    done = script(sys.executable, folder / "check.py")
    assert done.returncode == 1
    assert "largest difference 5 steps" in done.stdout
    assert "does not answer here" in done.stderr


def test_vectors_are_the_users_only_when_asked(unpacked, beats: Dataset, tmp_path: Path) -> None:
    folder = unpacked(TCN, "--vectors", write_beats(tmp_path / "mine.csv", beats.test.x[:7]))
    kept = np.loadtxt(folder / "vectors" / "beats.csv", delimiter=",", dtype=np.float32)
    np.testing.assert_array_equal(kept, beats.test.x[:7, 0])
    assert "beats of mine.csv" in (folder / "README.md").read_text()


def test_nothing_is_overwritten_and_the_same_input_gives_the_same_bytes(ecgedge: Command, tmp_path: Path) -> None:
    file = AUTOENCODER
    assert ecgedge("bundle", file).code == 0
    first = (tmp_path / "cnn-ae-full-int8.zip").read_bytes()
    assert "exists" in error_of(ecgedge("bundle", file))
    assert ecgedge("bundle", file, "--force").code == 0
    assert (tmp_path / "cnn-ae-full-int8.zip").read_bytes() == first
    assert ecgedge("bundle", file, "-o", "folder").code == 0
    assert (tmp_path / "folder" / "model.tflite").read_bytes() == file.read_bytes()
