"""A board on loopback, and a file to ask it about."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ecgedge.data.dataset import Dataset
from ecgedge.devices.link import Link
from ecgedge.workers import protocol
from ecgedge.workers.boards import BoardChild
from ecgedge.workers.client import Child
from tests.board import sshd as servers

HERE = Path(__file__).parent


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[servers.Sshd]:
    """A server of this test's own. Skipped where there is none, but never in CI."""
    if servers.SSHD is None:
        told = "sshd is not installed (openssh-server)"
        pytest.fail(told) if os.environ.get("CI") else pytest.skip(told)
    made = servers.make(tmp_path / "sshd")
    yield made
    made.close()


@pytest.fixture
def link(sshd: servers.Sshd, tmp_path: Path) -> Iterator[Link]:
    with Link(sshd.board(), tmp_path / "link.log", wait=5, patience=20) as made:
        yield made


@pytest.fixture
def there(link: Link, tmp_path: Path) -> Iterator[BoardChild]:
    """A worker on the board."""
    with BoardChild(link, tmp_path / "there.log", threads=1) as child:
        yield child


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Child]:
    """A worker of this machine."""
    with Child(tmp_path / "here.log", threads=1) as child:
        yield child


@pytest.fixture
def some_beats(beats: Dataset, tmp_path: Path) -> Path:
    np.save(tmp_path / "beats.npy", beats.test.x[:40])
    return tmp_path / "beats.npy"


@pytest.fixture
def packed(here: Child) -> protocol.Packed:
    """A TFLite file in int8, as this machine reads it."""
    pytest.importorskip("ai_edge_litert")
    return here.ask(protocol.Inspect("tflite", HERE / "tcn-int8.tflite"), 120)


@pytest.fixture
def rootfs() -> Path:
    """What docker/arm64-rootfs.sh has made. Skipped where there is none, but never in CI."""
    made = os.environ.get("ECGEDGE_ROOTFS")
    if not made:
        told = "ECGEDGE_ROOTFS names no folder that docker/arm64-rootfs.sh has made"
        pytest.fail(told) if os.environ.get("CI") else pytest.skip(told)
    return Path(made)
