"""A worker on an emulated aarch64 core: another instruction set and other kernels, the same integers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ecgedge.data.dataset import Dataset
from ecgedge.devices import boards
from ecgedge.devices.boards import Board
from ecgedge.devices.link import Link
from ecgedge.workers import protocol
from ecgedge.workers.boards import BoardChild
from ecgedge.workers.client import Child
from ecgedge.workers.session import open_session
from tests.conftest import Command, error_of

SECONDS = 300
CORES = ("cortex-a53", "cortex-a76")  # without and with dot products of 8-bit integers


@pytest.fixture(params=CORES)
def emulated(request: pytest.FixtureRequest, rootfs: Path, tmp_path: Path) -> Iterator[BoardChild]:
    """A worker on such a core."""
    board = Board("arm64", emulated=request.param, rootfs=rootfs, cache=str(tmp_path / "cache"))
    with Link(board, tmp_path / "link.log", wait=5) as link, BoardChild(link, tmp_path / "log", threads=1) as child:
        yield child


def test_int8_answers_are_those_of_this_processor_bit_for_bit(
    emulated: BoardChild, here: Child, packed: protocol.Packed, beats: Dataset, tmp_path: Path
) -> None:
    np.save(tmp_path / "beats.npy", beats.test.x[:50])
    facts = emulated.ask(protocol.Describe(), SECONDS)
    assert ("asimddp" in facts.isa) is (emulated.link.board.emulated == "cortex-a76"), facts.isa
    for name, child in (("here", here), ("there", emulated)):
        with open_session(child, protocol.Open("tflite", packed, 1), SECONDS) as session:
            session.infer(tmp_path / "beats.npy", tmp_path / f"{name}.npy")
    answers = np.load(tmp_path / "here.npy")
    assert answers.shape == (50, 5) and len(np.unique(answers.argmax(axis=1))) > 1
    assert np.array_equal(answers, np.load(tmp_path / "there.npy"))


def test_check_says_that_its_times_do_not_hold(
    ecgedge: Command, rootfs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ECGEDGE_BOARDS", str(tmp_path / "boards.json"))
    added = ecgedge("board", "add", "a76", "--emulated", "cortex-a76", "--rootfs", rootfs, "--cache", tmp_path / "c")
    assert added.code == 0 and [*boards.boards()] == ["a76"]
    found = ecgedge("board", "check", "a76")
    assert found.code == 0, found.err
    assert "its answers hold, its times do not" in found.out and "it is aarch64" in found.out
    assert "runtime tflite works there" in found.out and "governed" not in found.out
    assert "docker/arm64-rootfs.sh" in error_of(ecgedge("board", "setup", "a76"))
