"""``matrix --device``: one table over this machine and boards, each with its own times, and what happens when one goes.

The boards are this machine over a real ssh: their answers have to be its answers, bit for bit. An emulated one has
other kernels and the same integers.
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ecgedge import EcgEdgeError, MatrixRequest, diverge, open_run, run_matrix
from ecgedge.audit import check_run
from ecgedge.data.dataset import Dataset
from ecgedge.devices import boards
from ecgedge.devices.boards import Board
from ecgedge.devices.link import Link
from ecgedge.run import device
from ecgedge.run.journal import read
from tests.board import sshd as servers
from tests.brief import measuring_briefly
from tests.conftest import Command, error_of, rows_of

TCN = Path(__file__).parent / "tcn-int8.tflite"
CELL = "tcn-int8.tflite.none.tflite"


@pytest.fixture(autouse=True)
def briefly() -> Iterator[None]:
    """None of these is about times; on a busy machine three times as many rounds would be timed of each cell."""
    with measuring_briefly():
        yield


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECGEDGE_BOARDS", str(tmp_path / "boards.json"))


@pytest.fixture
def loop(sshd: servers.Sshd, registry: None) -> servers.Sshd:
    """A board by the name of ``loop``."""
    boards.add(sshd.board())
    return sshd


@pytest.fixture
def other(loop: servers.Sshd, tmp_path: Path) -> Iterator[servers.Sshd]:
    """A second board, by the name of ``other``, on a port of its own."""
    made = servers.make(tmp_path / "sshd-2")
    boards.add(made.board("other"))
    yield made
    made.close()


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lost board is waited for no longer than a test can wait."""
    monkeypatch.setattr(device, "Link", partial(Link, patience=2))


def asked(*devices: str, **more: Any) -> MatrixRequest:
    return MatrixRequest(data="synthetic", files=(TCN,), devices=devices, preset="quick", **more)


def measured(folder: Path, *devices: str, at: str = "", do: Callable[[], object] | None = None) -> Path:
    """A run of the file on devices; ``do`` is done once, when progress first tells of ``at``."""
    left = [do] if do else []

    def progress(_: float, __: int, text: str) -> None:
        if at in text and left:
            left.pop()()

    run_matrix(asked(*devices), folder, progress)
    assert not left, f"progress never told of {at}"
    return folder


def rows(folder: Path) -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in map(json.loads, (folder / "rows.jsonl").read_text().splitlines())}


def answers(folder: Path, cell: str) -> np.ndarray:
    return np.load(folder / "cells" / f"{cell}.outputs.npy")


def holds(folder: Path) -> bool:
    return not check_run(folder).reasons


def test_one_table_over_this_machine_and_two_boards(ecgedge: Command, other: servers.Sshd, tmp_path: Path) -> None:
    folder = measured(tmp_path / "run", "host", "loop", "other")
    cells = [CELL, f"{CELL}@loop", f"{CELL}@other"]
    found = rows(folder)
    assert [cell for cell in found if found[cell]["status"] == "ok"] == cells
    assert [found[cell].get("board") for cell in cells] == [None, "loop", "other"]
    for cell in cells:
        assert np.array_equal(answers(folder, cell), answers(folder, CELL))
        assert found[cell]["latency_p50_us"] > 0 and found[cell]["throughput_1_per_s"] > 0
        assert found[cell]["noise_floor"] is not None, "each device has a file that was timed twice"
    assert len({found[cell]["digest"] for cell in cells}) == 1, "it was converted once"
    assert holds(folder)
    run = open_run(folder)
    assert {*run.told.noise} == {"tcn-int8.tflite", "tcn-int8.tflite on loop", "tcn-int8.tflite on other"}
    assert {*run.about["boards"]} == {"loop", "other"} and "127.0.0.1" not in json.dumps(run.about["boards"])

    text = run.report()
    assert re.search(r"tcn-int8\.tflite +tflite +\S+ +tflite +loop ", text), text
    assert "loop: 1 of 1 files answer bit for bit as on host" in text
    page = (folder / "report.html").read_text()
    for title in ("The same file on each device", "Classification on loop", "tcn-int8.tflite on other"):
        assert title in page

    told = ecgedge("choose", folder, "--require", "latency_p50@loop<=1s", "--require", "latency_p50@host<=1s",
                   "--optimize", "latency_p50@other", "--output", "json")  # fmt: skip
    [choice] = json.loads(told.out)["choices"]
    assert (choice["device"], choice["winner"]["id"]) == ("other", cells[2])
    told = ecgedge("choose", folder, "--require", "latency_p50@loop<=1ns")
    assert told.code == 1 and f"{found[cells[1]]['latency_p50_us']:.1f}" in told.out, "the figure there is the miss"
    assert "unknown device 'pi'" in error_of(ecgedge("choose", folder, "--require", "latency_p50@pi<=1s"))
    same = ecgedge("compare", folder, folder, "--output", "json")
    compared = json.loads(same.out)["cells"]
    assert same.code == 0 and [cell["id"] for cell in compared] == cells
    assert [cell["device"] for cell in compared] == ["host", "loop", "other"]
    [latencies] = {tuple(v["change"] for v in cell["verdicts"] if v["metric"] == "latency") for cell in compared}
    assert latencies == (0.0,), "each is compared with itself"


def test_a_board_that_is_lost_fails_its_own_rows_and_the_run_goes_on_later(
    other: servers.Sshd, hasty: None, tmp_path: Path
) -> None:
    folder = measured(tmp_path / "run", "host", "loop", "other", at="on other round 2", do=other.stop)
    found = rows(folder)
    assert [found[cell]["status"] for cell in (CELL, f"{CELL}@loop", f"{CELL}@other")] == ["ok", "ok", "failed"]
    lost = found[f"{CELL}@other"]
    assert lost["stage"] == "board" and "board other is lost" in lost["reason"]
    assert "resume it" in "\n".join(check_run(folder).reasons)
    kept = found[f"{CELL}@loop"]

    other.start()
    run_matrix(folder=folder, resume=True)
    assert rows(folder)[f"{CELL}@other"]["status"] == "ok"
    assert rows(folder)[f"{CELL}@loop"] == kept, "what was done is not done again"
    assert holds(folder)


def test_a_connection_that_is_cut_costs_nothing(loop: servers.Sshd, tmp_path: Path) -> None:
    for at in ("on loop round 3", "on loop tflite"):
        folder = measured(tmp_path / at.replace(" ", "-"), "loop", at=at, do=loop.cut)
        assert rows(folder)[f"{CELL}@loop"]["status"] == "ok"
        assert holds(folder)


def test_what_was_timed_before_a_board_was_started_anew_does_not_count(
    loop: servers.Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    boot = tmp_path / "boot_id"
    boot.write_text("first\n")
    monkeypatch.setattr(device, "Link", partial(Link, patience=5, boot_id=str(boot)))

    def start_anew() -> None:
        boot.write_text("second\n")
        loop.cut()

    folder = measured(tmp_path / "run", "loop", at="on loop round 3", do=start_anew)
    records = read(folder)
    void = max(i for i, record in enumerate(records) if record["event"] == "void")
    blocks = [i for i, record in enumerate(records) if record["event"] == "block" and record["cell"] == f"{CELL}@loop"]
    assert min(blocks) < void < max(blocks)
    counted = sum(i > void for i in blocks)
    assert rows(folder)[f"{CELL}@loop"]["blocks"] == counted
    assert {record["boot"] for record in records[void:] if record["event"] == "warm"} == {"second"}
    assert holds(folder)


def test_a_run_that_goes_on_after_a_board_was_started_anew_times_it_from_the_beginning(
    loop: servers.Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    boot = tmp_path / "boot_id"
    boot.write_text("first\n")
    monkeypatch.setattr(device, "Link", partial(Link, boot_id=str(boot)))

    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measured(tmp_path / "run", "loop", at="on loop round 3", do=interrupt)
    assert any(record["event"] == "block" for record in read(tmp_path / "run"))
    boot.write_text("second\n")
    run_matrix(folder=tmp_path / "run", resume=True)
    records = read(tmp_path / "run")
    assert any(record["event"] == "void" for record in records)
    assert rows(tmp_path / "run")[f"{CELL}@loop"]["status"] == "ok"
    assert holds(tmp_path / "run")


def test_a_board_that_takes_longer_to_start_anew_than_it_is_waited_for(
    loop: servers.Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    boot = tmp_path / "boot_id"
    boot.write_text("first\n")
    monkeypatch.setattr(device, "Link", partial(Link, patience=4, boot_id=str(boot)))
    later = threading.Timer(5.5, loop.start)  # who asked has given up by then, who asks why has not

    def start_anew() -> None:
        boot.write_text("second\n")
        loop.stop()
        later.start()

    folder = measured(tmp_path / "run", "loop", at="on loop round 3", do=start_anew)
    later.join()
    records = read(folder)
    void = max((i for i, record in enumerate(records) if record["event"] == "void"), default=-1)
    assert void > 0, "what was timed before does not count"
    assert {each["boot"] for each in records[void:] if each["event"] == "warm"} == {"second"}
    assert rows(folder)[f"{CELL}@loop"]["status"] == "ok" and holds(folder)


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Ctrl-C is heard, also where the tests are a shell's job in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_ends_all_boards_and_the_run_goes_on(other: servers.Sshd, tmp_path: Path) -> None:
    told: list[str] = []
    left, at = [lambda: signal.raise_signal(signal.SIGINT)], list[int]()

    def progress(_: float, __: int, text: str) -> None:
        told.append(text)
        if left and {"tcn-int8.tflite on loop round 2", "tcn-int8.tflite on other round 2"} <= {*told}:
            at.append(max(int(round[1]) for each in told if (round := re.search(r"round (\d+)", each))))
            left.pop()()

    with pytest.raises(KeyboardInterrupt):
        run_matrix(asked("loop", "other"), tmp_path / "run", progress)
    assert not servers.workers(boards.find("loop")) and not servers.workers(boards.find("other"))
    records = read(tmp_path / "run")
    assert not {"failed", "lost"} & {record["event"] for record in records}, "nobody's fault"
    rounds = [record["round"] for record in records if record["event"] == "block"]
    assert rounds and max(rounds) <= at[0] + 1, "they left off at once"

    run_matrix(folder=tmp_path / "run", resume=True)
    assert {row["status"] for row in rows(tmp_path / "run").values()} == {"ok"}
    assert holds(tmp_path / "run")


def test_what_cannot_be_asked_for_is_said_before_anything_is_done(
    ecgedge: Command, loop: servers.Sshd, tmp_path: Path
) -> None:
    asked = ("matrix", "--artifact", TCN, "--dataset", "synthetic", "--out", "run")
    assert "unknown board 'pi4'" in error_of(ecgedge(*asked, "--device", "pi4"))
    assert "device loop is named twice" in error_of(ecgedge(*asked, "--device", "loop", "--device", "loop"))
    assert "unknown device 'host'" in error_of(ecgedge(*asked, "--device", "loop", "--require", "latency_p50@host<=1s"))
    listed = ecgedge(*asked, "--device", "loop", "--dry-run")
    assert "on tflite, loop" in listed.out, listed
    loop.stop()
    told = error_of(ecgedge(*asked, "--device", "host", "--device", "loop"))
    assert "board loop (loop) refuses the connection" in told
    assert not (tmp_path / "run").exists()


def test_a_stranger_cannot_say_that_an_emulated_board_has_times(loop: servers.Sshd, tmp_path: Path) -> None:
    folder = measured(tmp_path / "run", "loop")
    about = json.loads((folder / "run.json").read_text())
    about["boards"]["loop"]["emulated"] = "cortex-a53"
    (folder / "run.json").write_text(json.dumps(about))
    assert "whether its board is emulated" in "\n".join(check_run(folder).reasons)


def test_what_a_run_does_not_say_of_its_boards_is_not_taken_on_trust(loop: servers.Sshd, tmp_path: Path) -> None:
    folder = measured(tmp_path / "run", "loop")
    about = json.loads((folder / "run.json").read_text())
    del about["boards"]
    (folder / "run.json").write_text(json.dumps(about))
    with pytest.raises(EcgEdgeError, match="board loop has changed"):
        run_matrix(folder=folder, resume=True)


def test_explain_on_a_board(ecgedge: Command, loop: servers.Sshd) -> None:
    found = json.loads(ecgedge("explain", TCN, "--device", "loop", "--json").out)
    assert (found["device"], found["runtime"]) == ("loop", "tflite")
    assert found["machine"]["boot_id"] and found["total"]["whole_us"] > 0
    peaks = found["peaks"]  # of the board: what it lacks to measure one is told
    assert peaks["missing"]["int8"] if "int8" in peaks["missing"] else peaks["int8"]["gmacs"] > 0


def test_a_board_with_a_wrong_clock_is_measured_like_any(loop: servers.Sshd, tmp_path: Path) -> None:
    library, interpreter = tmp_path / "wrong_clock.so", tmp_path / "python"
    source = Path(__file__).with_name("wrong_clock.c")
    subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", library, source], check=True)
    interpreter.write_text(f'#!/bin/sh\nLD_PRELOAD={library} exec {sys.executable} "$@"\n')
    interpreter.chmod(0o755)
    told = subprocess.run([interpreter, "-c", "import time; print(time.time(), time.gmtime().tm_year)"],
                          capture_output=True, text=True, check=True).stdout.split()  # fmt: skip
    assert float(told[0]) < time.time() - 19 * 365 * 86400
    boards.add(replace(boards.find("loop"), name="late", python=str(interpreter)))
    folder = measured(tmp_path / "run", "host", "late")
    row = rows(folder)[f"{CELL}@late"]
    assert row["status"] == "ok" and 0 < row["latency_p50_us"] < 1e6 and row["load_ms"] > 0
    assert np.array_equal(answers(folder, CELL), answers(folder, f"{CELL}@late"))
    assert holds(folder)


def test_an_emulated_board_has_answers_and_no_times(
    ecgedge: Command,
    rootfs: Path,
    registry: None,
    tmp_path: Path,
) -> None:
    boards.add(Board("a76", emulated="cortex-a76", rootfs=rootfs, cache=str(tmp_path / "cache")))
    folder = measured(tmp_path / "run", "host", "a76")
    row = rows(folder)[f"{CELL}@a76"]
    assert (row["status"], row["emulated"]) == ("ok", "cortex-a76")
    assert not [key for key in row if key.startswith(("latency", "throughput", "memory", "load", "energy"))]
    assert np.array_equal(answers(folder, CELL), answers(folder, f"{CELL}@a76"))
    assert holds(folder)
    told = open_run(folder)
    assert "a76: an emulated cortex-a76, of which there are answers and no times" in told.report()
    assert [choice.device for choice in told.choose()] == ["host", "a76"]
    assert told.best(optimize="latency_p50").id == CELL
    with pytest.raises(EcgEdgeError, match="a76 is emulated: it has answers, and no latency_p50"):
        told.choose(optimize="latency_p50@a76")
    for more in ({"requirements": ["memory@a76<=1MB"]}, {"optimize": "throughput@a76"}):
        with pytest.raises(EcgEdgeError, match="a76 is emulated"):
            run_matrix(asked("host", "a76", **more), tmp_path / "never")
    assert not (tmp_path / "never").exists(), "it is told before anything is measured"
    assert "has no times" in error_of(ecgedge("explain", TCN, "--device", "a76"))

    claimed = rows(folder)
    claimed[row["id"]]["latency_p50_us"] = 1.0
    (folder / "rows.jsonl").write_text("".join(json.dumps(each) + "\n" for each in claimed.values()))
    assert "is claimed of an emulated cortex-a76" in "\n".join(check_run(folder).reasons)


def test_a_matrix_asks_its_boards_for_certificates_once_they_are_timed(
    ecgedge: Command, loop: servers.Sshd, beats: Dataset, tmp_path: Path
) -> None:
    asked = ("matrix", "--artifact", TCN, "--runtime", "tflite", "--device", "loop", "--dataset", "synthetic")
    done = ecgedge(*asked, "--profile", "quick", "--portability", "--out", "run")
    assert done.code == 0, done.err
    [row] = rows_of(tmp_path / "run")
    told = json.loads((tmp_path / "run" / row["portability_folder"] / "portability.json").read_text(encoding="utf-8"))
    by = {(each["family"], each["place"]): each for each in told["tried"]}
    assert by["xnnpack", "loop"]["equal"] == 1 and by["xnnpack", "loop"]["beats"] == 500
    assert not check_run(tmp_path / "run").reasons


def test_portability_asks_a_board_as_well(ecgedge: Command, loop: servers.Sshd, beats: Dataset, tmp_path: Path) -> None:
    """It is this machine: bit for bit the same."""
    few = tmp_path / "few.csv"
    names = [beats.labels[y] for y in beats.test.y[:100]]
    rows = [",".join([name, *map(str, row)]) for name, row in zip(names, beats.test.x[:100, 0].tolist(), strict=True)]
    few.write_text("\n".join([",".join(["label", *(f"s{i}" for i in range(140))]), *rows]), encoding="utf-8")
    found = ecgedge("portability", TCN, "--dataset", few, "--device", "loop", "--no-emulate", "--json")
    assert found.code == 0, found.err
    by = {(each["family"], each["place"]): each for each in json.loads(found.out)["tried"]}
    assert by["xnnpack", "loop"]["equal"] == 1 and by["xnnpack", "loop"]["by"] == "run"
    assert by["xnnpack", "loop"]["digest"] == by["xnnpack", "this machine"]["digest"]
    assert not [missed for missed in json.loads(found.out)["not_tried"] if missed["what"] == "aarch64"]


def test_a_file_on_a_board_is_looked_into_there(loop: servers.Sshd) -> None:
    found = diverge(TCN, against=TCN, device="loop", data="synthetic", beats=16)
    assert [stage.name for stage in found.stages] == [str(TCN), f"{TCN} on loop"]
    assert found.stages[1].largest == 0 and found.culprit is None and not found.notes
    assert found.study and found.study.matched == 1 and len(found.study.lines) == 17
