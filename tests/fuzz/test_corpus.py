"""What the fuzzer was given first, and what it once found, at the door that it came in by."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fuzz.run import CORPUS, DOORS
from tests.fuzz.targets import TARGETS

for framework in ("torch", "safetensors", "onnx", "onnxruntime", "ai_edge_litert"):
    pytest.importorskip(framework)

FILES = sorted(file for door in DOORS for file in (CORPUS / door).iterdir())


def test_every_door_has_its_corpus() -> None:
    assert list(DOORS) == list(TARGETS)
    assert {file.parent.name for file in FILES} == {*DOORS}


@pytest.fixture
def alarm() -> Iterator[None]:
    """What once never ended ends in a minute."""

    def ring(*_: object) -> None:
        raise TimeoutError("it does not end")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.usefixtures("alarm")
@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_what_was_kept(file: Path) -> None:
    TARGETS[file.parent.name](file.read_bytes())
