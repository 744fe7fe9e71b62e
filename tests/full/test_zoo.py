"""Networks of the zoo through ``convert``: right, or refused in one line that names the operation.

All of it takes hours: ``benchmarks/zoo.py``, which writes ``benchmarks/zoo.md``. Here are the conversions that failed
once, and some of those that the table has, drawn anew whenever the code that converts changes: they must come out as
the table says.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ecgedge.data.dataset import Dataset, Split
from tests.full import zoo, zoo_judge
from tests.full.kept import Told

Case = tuple[str, str, str, str]  # network, file, format, precision

ROOT = Path(__file__).parents[2]
SAMPLED = 4
FORMS = [(format, precision) for format in ("onnx", "tflite") for precision in ("fp32", "dynamic", "full-int8")]

# One conversion of each kind that failed once.
ONCE: list[Case] = [
    ("prelu", "ts-fixed", "tflite", "full-int8"),
    ("rms-norm", "ts-fixed", "tflite", "fp32"),
    ("layer-norm-beat", "ts-fixed", "tflite", "fp32"),
    ("lstm", "ts-fixed", "tflite", "fp32"),
    ("flat", "dynamo-fixed", "onnx", "dynamic"),
    ("rms-norm", "dynamo-fixed", "tflite", "full-int8"),
    ("gru-two-ways", "dynamo-fixed", "onnx", "dynamic"),
]

# What is refused: the operation that its one line names, the reason, and the conversions that this befalls.
EACH = "ts-fixed ts-free dynamo-fixed dynamo-free"
KINDS = [
    ("While", "TensorFlow's quantizer has no int8 for the loop, or crashes on it",
     "lstm lstm-raw lstm-two-ways gru gru-two-ways", EACH, "tflite", "full-int8"),
    ("While", "as before; torch's newer exporter unrolls it", "rnn", "ts-fixed ts-free", "tflite", "full-int8"),
    ("LSTM", "onnxruntime has no int8 for it: a file of floats", "lstm-two-ways", EACH, "onnx", "full-int8"),
    ("GRU", "as before", "gru-two-ways", EACH, "onnx", "dynamic full-int8"),
    ("ConvTranspose", "onnxruntime has no int8 for it", "transposed-classifier", EACH, "onnx", "dynamic full-int8"),
]  # fmt: skip
REFUSED: dict[Case, tuple[str, str]] = {
    (name, file, format, precision): (operation, reason)
    for operation, reason, names, files, format, precisions in KINDS
    for name in names.split()
    for file in files.split()
    for precision in precisions.split()
}


def table() -> dict[Case, str]:
    """What ``benchmarks/zoo.md`` says of ours, a letter a conversion, of files from torch."""
    found = {}
    for line in (ROOT / "benchmarks" / "zoo.md").read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[0] in zoo.ZOO and len(cells) == 2 + len(FORMS) and cells[1] != "keras":
            letters = {form: cell.split()[1] for form, cell in zip(FORMS, cells[2:], strict=True) if cell}
            found |= {(cells[0], cells[1], *form): letter for form, letter in letters.items() if letter != "."}
    return found


def sample() -> list[Case]:
    """Some that the table has right, drawn by a digest of the code that converts: the same until it changes."""
    code = [path for part in ("builtin", "passes") for path in sorted((ROOT / "ecgedge" / part).rglob("*.py"))]
    drawn = random.Random(hashlib.sha256(b"".join(path.read_bytes() for path in code)).digest())
    right = [case for case, letter in table().items() if letter == "r" and case not in ONCE]
    return drawn.sample(right, SAMPLED)


def test_what_is_refused_is_listed_with_its_reason() -> None:
    letters = table()
    assert len(letters) > 200
    assert {case for case, letter in letters.items() if letter == "f"} == set(REFUSED)
    assert set(letters.values()) <= {"r", "f", "j", "u", "-"}, "crashed, unclear, or wrong without a word"


@pytest.fixture(scope="module")
def few(beats: Dataset) -> Split:
    """Held-out beats, fewer than there are."""
    return beats.test.take(np.random.default_rng(0).choice(len(beats.test), 300, replace=False))


@pytest.fixture(scope="module")
def dataset(beats: Dataset, few: Split, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a data set that holds them."""
    folder = tmp_path_factory.mktemp("zoo-beats")
    for name, split in (("TRAIN", beats.train), ("TEST", few)):
        rows = np.column_stack([split.y + 1, split.x[:, 0]])
        np.savetxt(folder / f"zoo_{name}.txt", rows, fmt=["%d", *["%.9g"] * beats.length])
    return str(folder)


@pytest.fixture(scope="module")
def exported(beats: Dataset, few: Split, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., tuple]:
    """A file of a network that was trained for a moment, and the network's own outputs."""
    import torch

    def make(name: str, file: str) -> tuple[Path, np.ndarray]:
        network = zoo.teach(zoo.ZOO[name], beats.train.x, beats.train.y, steps=15)
        path = tmp_path_factory.mktemp(name) / f"{file}.onnx"
        zoo.export(network, path, dynamo=file.startswith("dynamo"), free=file.endswith("free"))
        with torch.inference_mode():
            return path, network(torch.from_numpy(few.x)).reshape(len(few), -1).numpy()

    return make


@pytest.mark.parametrize("case", [*ONCE, *sample()], ids="-".join)
def test_right_or_refused(case: Case, exported: Callable, dataset: str, few: Split, tmp_path: Path) -> None:
    name, file, format, precision = case
    path, expected = exported(name, file)
    made = tmp_path / f"made.{format}"
    told = zoo_judge.convert(path, made, precision, dataset, zoo.ZOO[name].gives)
    verdict = zoo_judge.judge_refusal(told) if told.code else zoo_judge.judge(made, precision, expected, few.x, few.y)
    operation, _ = REFUSED.get(case, ("", ""))
    assert verdict.status == ("refused" if operation else "right"), verdict
    assert operation in verdict.text
    assert made.exists() != bool(told.code)


# -- the judge


def test_only_one_line_that_names_an_operation_is_a_refusal() -> None:
    def status(text: str, code: int = 1) -> str:
        return zoo_judge.judge_refusal(Told(code, "", text)).status

    assert status("Failed: onnx2tf cannot convert LSTM (log: /tmp/x.log)\n") == "refused"
    assert status("Error: TFLite has no Erf\n  use another activation\n", 2) == "refused"
    assert status("Warning: split here\nFailed: no kernel for MIRROR_PAD\n") == "refused"
    assert status("x.onnx: threshold 0.316, quantile 0.9 of normal training scores\nFailed: LSTM\n") == "refused"
    assert status("Failed: it does not work\n") == "unclear"
    assert status("Failed: ConverterError: LSTM\n") == "crashed", "a library's exception"
    assert status("Failed: loc(callsite(fused[\"Erf:\", 'Erf'\n") == "crashed", "a compiler's text"
    assert status("Failed: LSTM\nand more\n") == "crashed", "two lines"
    assert status("Traceback (most recent call last):\nLSTM\n") == "crashed"
    assert status("Failed: LSTM\n", -11) == "crashed", "a signal"
    assert status(f"Failed: LSTM {'x' * 500}\n") == "crashed", "too long to read"


def test_the_judge_sees_a_wrong_file(exported: Callable, few: Split) -> None:
    path, expected = exported("flat", "ts-free")

    def status(precision: str, wanted: np.ndarray) -> str:
        return zoo_judge.judge(path, precision, wanted, few.x, few.y).status

    assert status("fp32", expected) == "right"
    assert status("fp32", expected + 0.1 * np.abs(expected).max()) == "wrong"
    assert status("full-int8", expected) == "unquantized"
    assert status("full-int8", expected[::-1]) == "wrong"
    assert status("full-int8", expected[:, ::-1]) == "wrong"
