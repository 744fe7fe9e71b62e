"""A package that nobody knows, installed through its entry point: full rows, with no line of ecgedge about it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import ecgedge as package
from ecgedge.data.dataset import Dataset
from ecgedge.testing import read_fake
from tests.conftest import Command, Result, error_of, rows_of
from tests.packages import HERE, install

ASKED = ("matrix", "--dataset", "synthetic", "--model", "fake", "--profile", "quick", "--runtime", "nimbus",
         "--quantizer", "none", "--quantizer", "w4a8")  # fmt: skip


@pytest.fixture
def nimbus(ecgedge: Command, fakes: Path, tmp_path: Path) -> Callable[..., Result]:
    """ecgedge with that package installed, beside the fakes."""
    (tmp_path / "site").mkdir()
    install(HERE / "ecgedge-nimbus", tmp_path / "site")
    path = os.pathsep.join([str(tmp_path / "site"), *filter(None, [os.environ.get("PYTHONPATH")])])

    def run(*arguments: str | Path) -> Result:
        environment = {"PYTHONPATH": path, "ECGEDGE_PLUGINS": "nimbus", "ECGEDGE_PLUGINS_DIR": str(fakes)}
        return ecgedge(*arguments, **environment)

    return run


def test_it_keeps_its_contracts(nimbus: Callable[..., Result]) -> None:
    done = nimbus("plugins", "check", "nimbus")
    assert done.code == 0 and "failed" not in done.out, done.out
    assert "runtime nimbus: " in done.out and "quantizer nimbus-w4: " in done.out


def test_its_rows_are_full(nimbus: Callable[..., Result], beats: Dataset, tmp_path: Path) -> None:
    done = nimbus(*ASKED, "--option", "nimbus.lanes=4", "--out", "run")
    assert done.code == 0, done.err
    rows = {row["precision"]: row for row in rows_of(tmp_path / "run")}
    small = rows["w4a8"]
    told = {name: (row["status"], row["precision_check"], row["kinds"]) for name, row in rows.items()}
    assert told == dict.fromkeys(("fp32", "w4a8"), ("ok", "checked", "told"))
    assert small["weight_shares"] == {"int4": 1.0} and small["tolerance"] == {"cosine": 0.98}
    assert small["placement"] == "3/3 Nimbus" and small["placed"] == {"nimbus-7": 3}
    assert small["runtime_options"] == {"lanes": 4} and small["figures"] == {"sram_bytes": 350 + 4 * 5, "lanes": 4}
    assert "sram_bytes" in done.out and "of the array's own memory, in B" in done.out
    assert small["accuracy"] == pytest.approx(by_hand(tmp_path, beats, small["beats"]))

    # 140 samples by 5 classes on 4 lanes, 10 ns a cycle, whatever the weights
    times = ("latency_p50_us", "latency_p50_low_us", "latency_p50_high_us", "latency_p90_us", "latency_p95_us")
    assert {small[name] for name in times} == {140 * 5 / 4 * 0.010} == {rows["fp32"][name] for name in times}
    assert (small["clock"], small["timed_calls"], small["blocks"]) == ("Nimbus cycle counter at 100 MHz", 150, 6)
    assert (small["energy_uj_per_beat"], small["energy_source"]) == (0.25, "Nimbus power rail")
    assert (small["memory_kib"] * 1024, small["memory_source"]) == (350 + 4 * 5, "Nimbus SRAM")
    assert small["throughput_64_per_s"] == pytest.approx(1e9 / (140 * 5 / 4 * 10), abs=0.06)
    assert small["noise_floor"] == 0.0, "a counter that never errs, by its own twin"
    assert "* of nimbus: times by Nimbus cycle counter at 100 MHz; RAM by Nimbus SRAM; energy by Nimbus" in done.out

    held = nimbus("check", "run")
    assert held.code == 0, held.out
    chosen = json.loads(nimbus("choose", "run", "--require", "precision!=fp32", "--require", "sram_bytes<=1KiB",
                               "--optimize", "size", "--output", "json").out)  # fmt: skip
    assert chosen["choices"][0]["winner"]["id"] == small["id"]


def by_hand(folder: Path, beats: Dataset, count: int) -> float:
    """The accuracy of the matrix with 4 bits a weight and 8 a sample, computed without any of the package's code."""
    [file] = [path for path in (folder / "run" / "artifacts").iterdir() if path.suffix == ".fake"][:1]
    weights = read_fake(file)
    scales = np.abs(weights).max(axis=1, keepdims=True) / 7
    scored = np.load(folder / "run" / "beats.npz")
    step = np.abs(scored["calibration"]).max() / 127
    x = np.clip(np.round(scored["x"][:, 0] / step), -127, 127) * step
    assert len(x) == count
    return float(((x @ (np.round(weights / scales) * scales).T).argmax(axis=1) == scored["y"]).mean())


def test_a_file_that_runs_otherwise_is_rejected(nimbus: Callable[..., Result], tmp_path: Path) -> None:
    """ecgedge's own int8 file of that format, which this engine multiplies in float."""
    done = nimbus(*ASKED[:-4], "--quantizer", "fake-int8", "--out", "run")
    assert done.code == 1
    [row] = rows_of(tmp_path / "run")
    assert row["status"] == "rejected" and row["reason"].startswith("full-int8: it has no int8 weights")


def test_a_file_of_it_is_explained(nimbus: Callable[..., Result]) -> None:
    made = nimbus(
        "convert", "fake", "--to", "nimbus", "--quantize", "w4a8", "--dataset", "synthetic", "--out", "a.nimbus"
    )
    assert made.code == 0, made.err
    told = json.loads(nimbus("explain", "a.nimbus", "--json").out)
    assert (told["precision"], told["placement"]) == ("w4a8", "3/3 Nimbus")
    assert [(line["op"], line["macs"], line["share"]) for line in told["operations"]] == [
        ("Sniff", 0, pytest.approx(0.1)), ("Weave", 700, pytest.approx(0.7)), ("Breathe", 0, pytest.approx(0.2)),
    ]  # fmt: skip
    assert "none was measured, nimbus computes on nimbus-7" in " ".join(told["notes"])


def test_a_wrong_option_is_told_with_the_choices(nimbus: Callable[..., Result]) -> None:
    told = error_of(nimbus(*ASKED, "--option", "nimbus.lanes=3", "--out", "run"))
    assert "option nimbus.lanes cannot be '3'\n  it is one of 1, 2, 4" in told
    assert "--option nimbus.lanes=...  Rows of its array that work at once." in nimbus("plugins", "show", "nimbus").out


def test_no_line_of_ecgedge_knows_it() -> None:
    folder = Path(package.__file__).parent
    found = subprocess.run(["grep", "-rliE", "nimbus|w4a8|Weave", "--include=*.py", folder], capture_output=True)
    assert found.stdout == b""
