"""What a board needs: ``ecgedge[tflite]`` alone evaluates, predicts and diagnoses TFLite files.

The two files were made from the shipped weights by ``ecgedge convert MODEL --to tflite --quantize
full-int8 --dataset ecg5000``.
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from ecgedge.data.dataset import Dataset
from tests.conftest import Command, error_of

pytest.importorskip("ai_edge_litert")
HERE = Path(__file__).parent
TCN, AUTOENCODER = HERE / "tcn-int8.tflite", HERE / "cnn-ae-int8.tflite"


def test_evaluate(ecgedge: Command) -> None:
    told = ecgedge("evaluate", TCN, "--dataset", "synthetic").out
    assert float(told.split("accuracy ")[1].split()[0]) > 0.85
    told = ecgedge("evaluate", AUTOENCODER, "--dataset", "synthetic").out
    assert float(told.split("AUROC ")[1].split()[0]) > 0.9


def test_predict(ecgedge: Command, beats: Dataset, tmp_path: Path) -> None:
    lines = [",".join(f"{value:.6f}" for value in row) for row in beats.test.x[:300, 0]]
    (tmp_path / "beats.csv").write_text("\n".join(lines) + "\n")
    result = ecgedge("predict", TCN, "beats.csv", "-o", "out.csv")
    assert result.code == 0, result.err
    rows = [line.split(",") for line in (tmp_path / "out.csv").read_text().splitlines()]
    assert rows[0] == ["beat", "class", "probability"]
    assert [int(row[0]) for row in rows[1:]] == list(range(300))
    right = [row[1] == beats.labels[y] for row, y in zip(rows[1:], beats.test.y)]
    assert sum(right) > 0.85 * 300
    assert all(0.2 <= float(row[2]) <= 1 for row in rows[1:])
    told = ecgedge("predict", AUTOENCODER, "beats.csv").out.splitlines()
    assert told[0] == "beat,score,anomaly"
    assert {line.split(",")[2] for line in told[1:]} == {"0", "1"}

    for broken, reason in {
        "\n".join([lines[0], "1,2,3"]): "line 2: 3 numbers, the model takes 140",
        "\n".join([lines[0], "1," + lines[1]]): "--labelled",
        lines[0].replace(lines[0].split(",")[4], "x"): "line 1, column 5: 'x'",
        lines[0].replace(lines[0].split(",")[4], "nan"): "line 1, column 5: 'nan'",
    }.items():
        (tmp_path / "broken.csv").write_text(broken)
        assert reason in error_of(ecgedge("predict", TCN, "broken.csv", "-o", "never.csv"))
        assert not list(tmp_path.glob("*never*"))
    (tmp_path / "labelled.csv").write_text("1," + lines[0])
    assert ecgedge("predict", TCN, "labelled.csv", "--labelled").out.count("\n") == 2
    assert "absent.csv cannot be read" in error_of(ecgedge("predict", TCN, "absent.csv"))


def test_predict_reads_tables_as_people_write_them(ecgedge: Command, beats: Dataset, tmp_path: Path) -> None:
    """Whatever stands beside the samples, and however they are written: the same answers as for bare numbers."""
    bare = [",".join(f"{value:.4f}" for value in row) for row in beats.test.x[:300, 0]]  # more than a guess looks at
    names = ",".join(f"s{i}" for i in range(beats.length))

    def answers(content: str, *options: str, encoding: str = "utf-8") -> tuple[str, str]:
        (tmp_path / "beats.csv").write_text(content, encoding=encoding)
        result = ecgedge("predict", TCN, "beats.csv", *options)
        assert result.code == 0, result.err
        return result.out, result.err

    right, said = answers("\n".join(bare))
    assert right.count("\n") == 301 and not said
    commas = "\n".join(f"{line.replace(',', ';').replace('.', ',')};" for line in bare)
    out, said = answers(commas, encoding="utf-16")
    assert out == right and "fields parted by ';', decimal commas" in said
    frame = [f"{i},{line},pvc" for i, line in enumerate(bare)]
    out, said = answers("\n".join([f",{names},diagnosis", *frame]))
    assert out == right
    assert "column 1 holds row numbers and is left out; column 142 (diagnosis) is called a label and is left" in said
    out, said = answers("\n".join(frame))
    assert out == right and "column 1 holds row numbers and is left out; column 142 holds words and is left out" in said
    codes = [f"{line},{i % 5}" for i, line in enumerate(bare)]
    assert answers("\n".join(codes), "--label-column", "last")[0] == right
    both = [f"{i % 5},p{i % 7},{line}" for i, line in enumerate(bare)]
    assert answers("\n".join([f"kind,patient,{names}", *both]), "--labelled", "--ignore-column", "patient")[0] == right

    for content, options, reason in (
        ("\n".join(codes), (), "line 1: 141 numbers, the model takes 140"),
        ("\n".join(codes), ("--labelled", "--label-column", "last"), "--labelled is --label-column 1"),
        ("\n".join(codes), ("--label-column", "diagnosis"), "no column 'diagnosis' (--label-column)"),
        ("\n".join([*bare[:299], bare[0].replace(",", ";", 1)]), (), "line 300: 139 numbers, the model takes 140"),
        (commas + "\n" + commas.splitlines()[0].replace(",", "."), (), "line 301, column 1: '"),
    ):
        (tmp_path / "broken.csv").write_text(content)
        assert reason in error_of(ecgedge("predict", TCN, "broken.csv", *options))


def test_doctor(ecgedge: Command) -> None:
    found = json.loads(ecgedge("doctor", "--json", "--dataset", "synthetic").out)
    states = {(part["kind"], part["name"]): part for part in found["parts"]}
    assert states["runtime", "tflite"]["state"] == "ready"
    assert found["data"]["state"] == "ready"
    assert found["machine"]["cores"]
    torch = states["runtime", "torch"]
    if importlib.util.find_spec("torch") is None:
        assert (torch["state"], torch["mend"]) == ("not usable", "pip install 'ecgedge[torch]'")
        assert "pip install 'ecgedge[convert,onnx]'" in ecgedge("doctor").out
    else:
        assert torch["state"] == "ready"


def test_damaged_files(ecgedge: Command, tmp_path: Path) -> None:
    whole = TCN.read_bytes()
    for count in (0, 3, 100, len(whole) // 3, len(whole) - 1):
        (tmp_path / "cut.tflite").write_bytes(whole[:count])
        result = ecgedge("evaluate", "cut.tflite", "--dataset", "synthetic")
        assert "cut.tflite" in error_of(result), count
